"""Frames of one scene to one: darks, flats, skies."""

from __future__ import annotations

import ctypes
import dataclasses
import math
from collections.abc import Collection, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from iris_readout import library as lib
from iris_readout.arrays import as_count, as_dq, as_map, as_number, check_shape
from iris_readout.errors import InvalidTypeError, InvalidValueError
from iris_readout.library import check, library

__all__ = ["STACK_PLANES", "StackResult", "stack"]

#: Planes of a result and their dtypes.
STACK_PLANES: dict[str, type[np.generic]] = {
    "value": np.float32,
    "variance": np.float32,
    "dq": np.uint32,
    "nused": np.uint16,
}

_USED = "used"
_MESSAGE = 256


@dataclasses.dataclass(frozen=True, eq=False)
class StackResult:
    """Frames combined into one.

    Planes that were not asked for are None.

    Attributes
    ----------
    value : ndarray (ny, nx) float32
        Mean or median of the values used; NaN where there is none.
    variance : ndarray (ny, nx) float32
        Variance of `value`: propagated where variances were given, else from the scatter (NaN for one value).
    dq : ndarray (ny, nx) uint32
        OR of the bits of the values used; where none was, of all, with DO_NOT_USE.
    nused : ndarray (ny, nx) uint16
        Number of values used.
    used : ndarray (n, ny, nx) bool
        Which values were used.
    """

    value: npt.NDArray[np.float32]
    variance: npt.NDArray[np.float32] | None = None
    dq: npt.NDArray[np.uint32] | None = None
    nused: npt.NDArray[np.uint16] | None = None
    used: npt.NDArray[np.bool_] | None = None


def stack(
    values: Sequence[npt.ArrayLike] | npt.NDArray[Any],
    *,
    var_read: Sequence[npt.ArrayLike] | npt.NDArray[Any] | None = None,
    var_photon: Sequence[npt.ArrayLike] | npt.NDArray[Any] | None = None,
    dq: Sequence[npt.ArrayLike] | npt.NDArray[Any] | None = None,
    planes: Collection[str] = tuple(STACK_PLANES),
    out: StackResult | None = None,
    **options: Any,
) -> StackResult:
    """Combine frames of one scene pixel by pixel, leaving out outliers.

    Pixels are independent: bands of rows may be combined one by one, with the same bits.

    Parameters
    ----------
    values : sequence of array_like (ny, nx), or ndarray (n, ny, nx)
        Values of each frame. Contiguous float32 arrays are not copied.
    var_read, var_photon : the same, optional
        Their variances from read noise and from photons. The mean has weights 1 / `var_read`, equal ones where it is
        not given or not above 0; those of the photons never weigh.
    dq : sequence of array_like (ny, nx) uint32 or bool, or ndarray (n, ny, nx), optional
        Data-quality bits; values with DO_NOT_USE (or True), or not finite, are not used.
    planes : collection of str, optional
        Planes wanted: ``value`` always is, ``variance``, ``dq``, ``nused``, ``used``.
    out : StackResult, optional
        Planes to write into instead of new ones.
    **options
        ``clip`` : values further than this many sigma from the median are left out [3]; ``math.inf`` for no clipping.
        ``iterations`` : most passes [5].
        ``rule`` : ``"sigma"``, the standard deviation of the values, with the decisions of
        ``astropy.stats.sigma_clip(cenfunc="median", stdfunc="std")``; or ``"robust"``, the larger of the root of the
        median variance and of the median absolute deviation, for few values.
        ``centre`` : ``"mean"`` or ``"median"`` of what is left.
        ``offsets``, ``scales`` : one number a frame; (value - offset) / scale is combined.
        ``excess`` : (n + 1) numbers; where the scatter of k values exceeds ``excess[k]`` times the mean of their
        variances, the variance is multiplied by that ratio.
        ``nthreads`` : threads, 0 for one per processor. ``isa`` : instruction set. Neither changes a bit.

    Returns
    -------
    StackResult
        The planes asked for.

    Raises
    ------
    InvalidValueError
        If there is no frame, shapes differ, or an option is out of range.
    InvalidTypeError
        If an array or an option has the wrong type.

    Examples
    --------
    >>> import numpy as np, iris_readout
    >>> frames = np.ones((12, 2, 2), np.float32)
    >>> frames[3] = 100.0
    >>> result = iris_readout.stack(frames)
    >>> float(result.value[0, 0]), int(result.nused[0, 0])
    (1.0, 11)
    """
    if not len(values):
        raise InvalidValueError("values: got no frames, expected at least one")
    shape = np.shape(values[0])
    columns = {
        "value": _frames("values", values, shape, len(values), as_map),
        "var_read": _frames("var_read", var_read, shape, len(values), as_map),
        "var_photon": _frames("var_photon", var_photon, shape, len(values), as_map),
        "dq": _frames("dq", dq, shape, len(values), as_dq),
    }
    given, keep = _options(options, len(values))
    result = _result(planes, out, (len(values), *shape))
    frames = (lib.StackFrame * len(values))(
        *(_frame(columns, number, given, result) for number in range(len(values)))
    )
    pointers = {
        name: None if (plane := getattr(result, name)) is None else plane.ctypes.data
        for name in STACK_PLANES
    }
    message = ctypes.create_string_buffer(_MESSAGE)
    status = library().iris_stack(
        ctypes.byref(keep[0]),
        frames,
        len(values),
        math.prod(shape),
        ctypes.byref(lib.StackPlanes(**pointers)),
        message,
        _MESSAGE,
    )
    check(status, message.value)
    return result


def _frames(name: str, given: Any, shape: tuple[int, ...], count: int, convert: Any) -> list[Any]:
    """Give one native, contiguous array a frame; none at all if there are none."""
    if given is None:
        return []
    if len(given) != count:
        raise InvalidValueError(f"{name}: got {len(given)} frames, expected {count} as in values")
    return [convert(f"{name}[{number}]", one, shape) for number, one in enumerate(given)]


def _options(options: dict[str, Any], count: int) -> tuple[dict[str, Any], tuple[Any, Any]]:
    """Check the options: those of single frames, and the structure with what it points to."""
    known = {
        "clip": 3.0, "iterations": 5, "rule": "sigma", "centre": "mean", "offsets": None,
        "scales": None, "excess": None, "nthreads": 0, "isa": "auto",
    }  # fmt: skip
    unknown = sorted(set(options) - set(known))
    if unknown:
        raise InvalidTypeError(
            f"stack: got option {unknown[0]}, expected one of {', '.join(known)}"
        )
    given = {**known, **options}
    structure = lib.StackOptions()
    structure.clip = as_number("clip", given["clip"])
    structure.iterations = as_count("iterations", given["iterations"], 0)
    structure.rule = _word("rule", given["rule"], lib.CLIPPINGS)
    structure.centre = _word("centre", given["centre"], lib.CENTRES)
    structure.nthreads = as_count("nthreads", given["nthreads"], 0)
    structure.isa = _word("isa", given["isa"], lib.INSTRUCTION_SETS)
    excess = given["excess"]
    if excess is not None:
        excess = np.ascontiguousarray(excess, dtype=np.float64)
        check_shape("excess", excess, (count + 1,))
        structure.excess = excess.ctypes.data
    for name, default in (("offsets", 0.0), ("scales", 1.0)):
        numbers = [default] * count if given[name] is None else list(given[name])
        if len(numbers) != count:
            raise InvalidValueError(f"{name}: got {len(numbers)} numbers, expected {count}")
        given[name] = [as_number(name, number) for number in numbers]
    return given, (structure, excess)


def _word(name: str, value: Any, known: dict[str, int]) -> int:
    """Give the number of a word."""
    if value not in known:
        raise InvalidValueError(f"{name}: got {value!r}, expected one of {', '.join(known)}")
    return known[value]


def _result(
    planes: Collection[str], out: StackResult | None, shape: tuple[int, ...]
) -> StackResult:
    """Make the planes asked for, or check those given."""
    wanted = dict.fromkeys(("value", *planes))
    for name in wanted:
        if name not in (*STACK_PLANES, _USED):
            names = ", ".join((*STACK_PLANES, _USED))
            raise InvalidValueError(f"planes: got {name!r}, expected some of {names}")
    made = {}
    for name in wanted:
        size = shape if name == _USED else shape[1:]
        dtype: Any = np.bool_ if name == _USED else STACK_PLANES[name]
        plane = None if out is None else getattr(out, name)
        if plane is None:
            plane = np.empty(size, dtype)
        check_shape(f"out.{name}", plane, size)
        if plane.dtype != dtype or not (plane.flags.c_contiguous and plane.flags.writeable):
            raise InvalidTypeError(
                f"out.{name}: got {plane.dtype}, expected writable, contiguous {np.dtype(dtype)}"
            )
        made[name] = plane
    return StackResult(**made)


def _frame(
    columns: dict[str, list[Any]], number: int, given: dict[str, Any], result: StackResult
) -> lib.StackFrame:
    """Point to the arrays of one frame."""
    frame = lib.StackFrame(offset=given["offsets"][number], scale=given["scales"][number])
    for name, arrays in columns.items():
        if arrays:
            setattr(frame, name, arrays[number].ctypes.data)
    if result.used is not None:
        frame.used = result.used[number].ctypes.data
    return frame
