"""Subtraction of the dark rate."""

from __future__ import annotations

import numpy.typing as npt

import iris_readout
from liger_iris_pipeline.algorithms.frame.planes import checked_planes, on_planes
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
    planes = checked_planes("dark", frame.rate.shape, (dark, dark_err, dark_dq))
    return on_planes(iris_readout.subtract_dark, frame, planes)
