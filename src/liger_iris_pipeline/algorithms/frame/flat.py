"""Division by the flat field."""

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

__all__ = ["divide_flat"]

Float64 = npt.NDArray[np.float64]


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
    out = empty_frame(frame.rate.shape, with_flat=True)
    for rows in row_bands(frame.rate.shape):
        _divide(frame, *reference_band(planes, rows), rows, out)
    return out


def _divide(
    frame: Frame, response: Float64, err: Float64, flags: UInt32, rows: slice, out: Frame
) -> None:
    """Fill rows of the result, see :func:`divide_flat`."""
    given, border = frame.rate[rows], reference_pixels(frame.dq[rows])
    usable = np.isfinite(response) & (response > 0) & np.isfinite(err)
    factor = np.where(border, 1.0, np.where(usable, response, np.nan))
    relative = np.where(border | ~usable, 0.0, err) / factor
    square = factor**2
    with np.errstate(over="ignore", invalid="ignore"):
        rate = given / factor
        var_read = frame.var_read[rows] / square
        var_photon = frame.var_photon[rows] / square
        var_flat = (rate * relative) ** 2
        if frame.var_flat is not None:
            var_flat += frame.var_flat[rows] / square
    fits = (np.abs(rate) < LARGEST) & (var_read < LARGEST) & (var_photon < LARGEST)
    lost = ~border & (~usable | (np.isfinite(given) & ~fits))
    np.bitwise_or(frame.dq[rows], flags, out=out.dq[rows])
    if lost.any():
        out.dq[rows][lost] |= np.uint32(Flag.NO_FLAT_FIELD | Flag.DO_NOT_USE)
    for plane, values in (
        (out.rate, rate),
        (out.var_read, var_read),
        (out.var_photon, var_photon),
        (out.var_flat, var_flat),
    ):
        assert plane is not None
        values[lost | ~(np.abs(values) < LARGEST)] = np.nan
        plane[rows] = values
