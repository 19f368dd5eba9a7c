"""Division by the flat field."""

from __future__ import annotations

import numpy.typing as npt

import iris_readout
from liger_iris_pipeline.algorithms.frame.planes import checked_planes, on_planes
from liger_iris_pipeline.kinds import Frame

__all__ = ["divide_flat"]


def divide_flat(
    frame: Frame, flat: npt.ArrayLike, flat_err: npt.ArrayLike, flat_dq: npt.ArrayLike
) -> Frame:
    """Divide a frame by a flat field.

    Parameters
    ----------
    frame : Frame
        Dark-subtracted rate image [e-/s].
    flat : array_like (ny, nx)
        Relative response; 1 is the median of the good pixels.
    flat_err : array_like (ny, nx)
        One-sigma error of the response.
    flat_dq : array_like (ny, nx) uint32
        Data-quality bits of the flat; all of them are OR-ed into the frame's.

    Returns
    -------
    Frame
        Rate and variances on the scale of the median pixel. The error of the flat is in
        ``var_flat`` only. A pixel whose flat or its error cannot be used (flat not finite, zero,
        negative or too small to divide by; error not finite) is NaN in rate and variances and
        carries NO_FLAT_FIELD and DO_NOT_USE. Reference pixels keep their value.

    Raises
    ------
    ReferenceFileError
        If a plane of the flat has another shape than the frame.

    Notes
    -----
    With response f +- s: rate' = rate / f, var' = var / f^2, var_flat' = (rate' s / f)^2.
    """
    planes = checked_planes("flat", frame.rate.shape, (flat, flat_err, flat_dq))
    return on_planes(iris_readout.divide_flat, frame, planes)
