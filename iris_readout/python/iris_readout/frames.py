"""A rate image less its dark, and divided by its flat."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from typing import Any

import numpy as np
import numpy.typing as npt

from iris_readout import library as lib
from iris_readout.arrays import as_dq, as_map
from iris_readout.errors import InvalidValueError
from iris_readout.library import check, library

__all__ = ["FramePlanes", "divide_flat", "subtract_dark"]

_MESSAGE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class FramePlanes:
    """Planes of a rate image.

    Attributes
    ----------
    rate : ndarray (ny, nx) float32
        Rate [e-/s].
    var_read, var_photon : ndarray (ny, nx) float32
        Variances from read noise and from photons [(e-/s)^2].
    dq : ndarray (ny, nx) uint32
        Data-quality bits.
    var_flat : ndarray (ny, nx) float32, optional
        Variance from the flat [(e-/s)^2].
    """

    rate: npt.NDArray[np.float32]
    var_read: npt.NDArray[np.float32]
    var_photon: npt.NDArray[np.float32]
    dq: npt.NDArray[np.uint32]
    var_flat: npt.NDArray[np.float32] | None = None


def subtract_dark(
    frame: FramePlanes,
    value: npt.ArrayLike,
    error: npt.ArrayLike,
    dq: npt.ArrayLike,
    *,
    isa: str = "auto",
) -> FramePlanes:
    """Subtract a dark rate.

    Parameters
    ----------
    frame : FramePlanes
        Rate image [e-/s]; contiguous native arrays are not copied.
    value, error : array_like (ny, nx)
        Dark rate and its one-sigma error [e-/s].
    dq : array_like (ny, nx) uint32
        Data-quality bits of the dark.
    isa : str, optional
        Instruction set; no bit depends on it.

    Returns
    -------
    FramePlanes
        New planes: `error` squared is added to ``var_read`` and `dq` OR-ed in. Where the dark cannot be used they are
        NaN with UNRELIABLE_DARK and DO_NOT_USE; REFERENCE_PIXELs keep their values.

    Raises
    ------
    InvalidValueError
        If shapes differ or `isa` is none.
    InvalidTypeError
        If an array has the wrong type.
    """
    with_flat = frame.var_flat is not None
    return _applied("iris_subtract_dark", frame, (value, error, dq), with_flat, isa)


def divide_flat(
    frame: FramePlanes,
    value: npt.ArrayLike,
    error: npt.ArrayLike,
    dq: npt.ArrayLike,
    *,
    isa: str = "auto",
) -> FramePlanes:
    """Divide by a flat field.

    Parameters
    ----------
    frame : FramePlanes
        Rate image [e-/s]; contiguous native arrays are not copied.
    value, error : array_like (ny, nx)
        Relative response and its one-sigma error.
    dq : array_like (ny, nx) uint32
        Data-quality bits of the flat.
    isa : str, optional
        Instruction set; no bit depends on it.

    Returns
    -------
    FramePlanes
        New planes, always with ``var_flat``. Where the flat cannot be used, or a result does not fit into float32,
        they are NaN with NO_FLAT_FIELD and DO_NOT_USE; REFERENCE_PIXELs keep their values.

    Raises
    ------
    InvalidValueError
        If shapes differ or `isa` is none.
    InvalidTypeError
        If an array has the wrong type.
    """
    return _applied("iris_divide_flat", frame, (value, error, dq), True, isa)


def _applied(
    call: str, frame: FramePlanes, reference: tuple[Any, Any, Any], with_flat: bool, isa: str
) -> FramePlanes:
    """Call the library with new planes to fill."""
    if isa not in lib.INSTRUCTION_SETS:
        raise InvalidValueError(
            f"isa: got {isa!r}, expected one of {', '.join(lib.INSTRUCTION_SETS)}"
        )
    shape = np.shape(frame.rate)
    given = _converted(frame, shape)
    value, error, flags = reference
    planes = as_map("value", value, shape), as_map("error", error, shape), as_dq("dq", flags, shape)
    rate, var_read, var_photon, dq = (np.empty(shape, t) for t in ("f4", "f4", "f4", "u4"))
    out = FramePlanes(
        rate, var_read, var_photon, dq, np.empty(shape, np.float32) if with_flat else None
    )
    message = ctypes.create_string_buffer(_MESSAGE)
    status = getattr(library(), call)(
        ctypes.byref(_structure(given)),
        ctypes.byref(lib.Reference(*(plane.ctypes.data for plane in planes))),
        math.prod(shape),
        lib.INSTRUCTION_SETS[isa],
        ctypes.byref(_structure(out)),
        message,
        _MESSAGE,
    )
    check(status, message.value)
    return out


def _converted(frame: FramePlanes, shape: tuple[int, ...]) -> FramePlanes:
    """Give the planes as native, contiguous arrays of one shape."""
    flat = frame.var_flat
    return FramePlanes(
        as_map("rate", frame.rate, shape),
        as_map("var_read", frame.var_read, shape),
        as_map("var_photon", frame.var_photon, shape),
        as_dq("dq", frame.dq, shape),
        None if flat is None else as_map("var_flat", flat, shape),
    )


def _structure(frame: FramePlanes) -> lib.Frame:
    """Point to the planes of a frame."""
    arrays = (frame.rate, frame.var_read, frame.var_photon, frame.var_flat, frame.dq)
    return lib.Frame(*(None if array is None else array.ctypes.data for array in arrays))
