"""Division by the flat field."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.planes import LARGEST, reference_pixels, reference_planes
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.kinds import Frame

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
    response, err, flags = reference_planes("flat", frame.rate.shape, (flat, flat_err, flat_dq))
    border = reference_pixels(frame.dq)
    usable = np.isfinite(response) & (response > 0) & np.isfinite(err)
    factor = np.where(border, 1.0, np.where(usable, response, np.nan))
    relative = np.where(border | ~usable, 0.0, err) / factor

    with np.errstate(over="ignore", invalid="ignore"):
        rate = frame.rate / factor
        var_read = frame.var_read / factor**2
        var_photon = frame.var_photon / factor**2
        old_flat = 0.0 if frame.var_flat is None else frame.var_flat / factor**2
        var_flat = (rate * relative) ** 2 + old_flat
    finite_before = np.isfinite(frame.rate)
    overflow = finite_before & ~(
        (np.abs(rate) < LARGEST) & (var_read < LARGEST) & (var_photon < LARGEST)
    )
    lost = ~border & (~usable | overflow)
    dq = frame.dq | flags
    dq[lost] |= np.uint32(Flag.NO_FLAT_FIELD | Flag.DO_NOT_USE)

    def plane(values: Float64) -> npt.NDArray[np.float32]:
        return np.where(lost | ~(np.abs(values) < LARGEST), np.nan, values).astype(np.float32)

    return Frame(
        rate=plane(rate),
        var_read=plane(var_read),
        var_photon=plane(var_photon),
        dq=dq,
        var_flat=plane(var_flat),
    )
