"""What the planes of a frame and of a reference have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from iris_readout import FramePlanes
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import ReferenceFileError, complaint
from liger_iris_pipeline.kinds import Float32, Frame, UInt32

__all__ = [
    "LARGEST",
    "Reference",
    "checked_planes",
    "good_pixels",
    "on_planes",
    "reference_pixels",
    "reference_planes",
    "row_bands",
]

LARGEST = float(np.finfo(np.float32).max)
"""Beyond this a value does not fit into a plane."""

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Planes = tuple[npt.NDArray[np.generic], npt.NDArray[np.generic], npt.NDArray[np.generic]]


BAND_PIXELS = 1 << 15
"""Pixels of a band: ten of its planes in float64 stay in a second-level cache of 1 to 2 MiB."""


class Reference(NamedTuple):
    """Planes of a reference.

    Attributes
    ----------
    data, err : ndarray (ny, nx) float32
        Value and one-sigma error.
    dq : ndarray (ny, nx) uint32
        Data-quality bits.
    """

    data: Float32
    err: Float32
    dq: UInt32


def good_pixels(frame: Frame) -> Bool:
    """Tell which pixels of a frame can be used.

    Parameters
    ----------
    frame : Frame
        Rate image.

    Returns
    -------
    ndarray (ny, nx) bool
        True where DO_NOT_USE is not set and rate and variances are finite.
    """
    good = np.empty(frame.dq.shape, dtype=bool)
    unusable = np.uint32(Flag.DO_NOT_USE)
    for rows in row_bands(good.shape):
        part = good[rows]
        np.equal(frame.dq[rows] & unusable, 0, out=part)
        for plane in (frame.rate, frame.var_read, frame.var_photon):
            part &= np.isfinite(plane[rows])
    return good


def reference_pixels(dq: UInt32) -> Bool:
    """Tell which pixels are reference pixels.

    Parameters
    ----------
    dq : ndarray (ny, nx) uint32
        Data-quality bits.

    Returns
    -------
    ndarray (ny, nx) bool
        True at pixels that see no light.
    """
    return np.asarray((dq & np.uint32(Flag.REFERENCE_PIXEL)) != 0)


def on_planes(call: Callable[..., FramePlanes], frame: Frame, reference: Planes) -> Frame:
    """Apply a reference to a frame by a function of the C library.

    Parameters
    ----------
    call : callable
        Of :mod:`iris_readout`: planes of a frame, and value, error and flags, to planes.
    frame : Frame
        Rate image.
    reference : tuple of ndarray (ny, nx)
        Value, error and data-quality bits.

    Returns
    -------
    Frame
        New planes.
    """
    value, err, dq = reference
    given = FramePlanes(frame.rate, frame.var_read, frame.var_photon, frame.dq, frame.var_flat)
    out = call(given, value, err, dq.astype(np.uint32, copy=False))
    return Frame(out.rate, out.var_read, out.var_photon, out.dq, out.var_flat)


def row_bands(shape: tuple[int, ...]) -> Iterator[slice]:
    """Divide a plane into bands of rows whose temporary arrays stay in cache.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx).

    Yields
    ------
    slice
        Rows of one band.
    """
    ny, nx = shape
    rows = max(1, BAND_PIXELS // max(nx, 1))
    for start in range(0, ny, rows):
        yield slice(start, min(start + rows, ny))


def reference_planes(
    name: str, shape: tuple[int, ...], planes: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]
) -> tuple[Float64, Float64, UInt32]:
    """Bring value, error and flags of a reference to native types and check their shape.

    Parameters
    ----------
    name : str
        Type of the reference, for the message.
    shape : tuple of int
        Shape of the frame it is applied to.
    planes : tuple of array_like
        Value, error and data-quality bits.

    Returns
    -------
    value, err : ndarray (ny, nx) float64
        As given.
    dq : ndarray (ny, nx) uint32
        As given.

    Raises
    ------
    ReferenceFileError
        If a plane has another shape than the frame.
    """
    value, err, dq = checked_planes(name, shape, planes)
    return (
        np.asarray(value, dtype=np.float64),
        np.asarray(err, dtype=np.float64),
        np.asarray(dq, dtype=np.uint32),
    )


def checked_planes(
    name: str, shape: tuple[int, ...], planes: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]
) -> Planes:
    """Check the shape of value, error and flags of a reference, see :func:`reference_planes`.

    Returns
    -------
    value, err, dq : ndarray (ny, nx)
        As given, of any type.
    """
    for part, plane in zip(("SCI", "ERR", "DQ"), planes, strict=True):
        if np.shape(plane) != shape:
            raise ReferenceFileError(
                complaint(
                    name,
                    part,
                    f"shape {np.shape(plane)}",
                    f"the frame's {shape}",
                    f"choose a {name} of the same detector size, or cut out the frame's subarray",
                )
            )
    value, err, dq = planes
    return np.asarray(value), np.asarray(err), np.asarray(dq)
