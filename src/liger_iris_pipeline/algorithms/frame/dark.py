"""Subtraction of the dark rate."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.planes import LARGEST, reference_pixels, reference_planes
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.kinds import Frame

__all__ = ["subtract_dark"]


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
    rate, err, flags = reference_planes("dark", frame.rate.shape, (dark, dark_err, dark_dq))
    border = reference_pixels(frame.dq)
    known = np.isfinite(rate) & np.isfinite(err) & (err**2 < LARGEST)
    keep = border | ~known
    offset = np.where(keep, 0.0, rate)
    variance = np.where(keep, 0.0, err**2)
    lost = ~known & ~border
    dq = frame.dq | flags
    dq[lost] |= np.uint32(Flag.UNRELIABLE_DARK | Flag.DO_NOT_USE)

    def plane(values: npt.NDArray[np.floating]) -> npt.NDArray[np.float32]:
        return np.where(lost, np.nan, values).astype(np.float32)

    return Frame(
        rate=plane(frame.rate - offset),
        var_read=plane(frame.var_read + variance),
        var_photon=plane(frame.var_photon),
        dq=dq,
        var_flat=None if frame.var_flat is None else plane(frame.var_flat),
    )
