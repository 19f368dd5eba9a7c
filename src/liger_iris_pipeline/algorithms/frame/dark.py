"""Subtraction of the dark rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.planes import (
    LARGEST,
    checked_planes,
    empty_frame,
    reference_band,
    reference_pixels,
    row_bands,
)
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.kinds import Frame, UInt32

__all__ = ["subtract_dark"]

Float64 = npt.NDArray[np.float64]


def subtract_dark(
    frame: Frame, dark: npt.ArrayLike, dark_err: npt.ArrayLike, dark_dq: npt.ArrayLike
) -> Frame:
    """Subtract a dark rate from a frame.

    Parameters
    ----------
    frame : Frame
        Rate image [e-/s].
    dark : array_like (ny, nx)
        Dark rate [e-/s].
    dark_err : array_like (ny, nx)
        One-sigma error of the dark rate [e-/s].
    dark_dq : array_like (ny, nx) uint32
        Data-quality bits of the dark; all of them are OR-ed into the frame's.

    Returns
    -------
    Frame
        Rate less dark; the square of `dark_err` is added to ``var_read``. Where the dark or its
        error is not finite the pixel is NaN with UNRELIABLE_DARK and DO_NOT_USE. Reference
        pixels keep their value.

    Raises
    ------
    ReferenceFileError
        If a plane of the dark has another shape than the frame.
    """
    planes = checked_planes("dark", frame.rate.shape, (dark, dark_err, dark_dq))
    out = empty_frame(frame.rate.shape, with_flat=frame.var_flat is not None)
    for rows in row_bands(frame.rate.shape):
        _subtract(frame, *reference_band(planes, rows), rows, out)
    return out


def _subtract(
    frame: Frame, rate: Float64, err: Float64, flags: UInt32, rows: slice, out: Frame
) -> None:
    """Fill rows of the result, see :func:`subtract_dark`."""
    border = reference_pixels(frame.dq[rows])
    known = np.isfinite(rate) & np.isfinite(err) & (err**2 < LARGEST)
    keep = border | ~known
    lost = ~known & ~border
    out.rate[rows] = frame.rate[rows] - np.where(keep, 0.0, rate)
    out.var_read[rows] = frame.var_read[rows] + np.where(keep, 0.0, err**2)
    out.var_photon[rows] = frame.var_photon[rows]
    np.bitwise_or(frame.dq[rows], flags, out=out.dq[rows])
    planes = [out.rate, out.var_read, out.var_photon]
    if frame.var_flat is not None and out.var_flat is not None:
        out.var_flat[rows] = frame.var_flat[rows]
        planes.append(out.var_flat)
    if lost.any():
        out.dq[rows][lost] |= np.uint32(Flag.UNRELIABLE_DARK | Flag.DO_NOT_USE)
        for plane in planes:
            plane[rows][lost] = np.nan
