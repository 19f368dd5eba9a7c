"""Weights with which frames are combined."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.planes import good_pixels
from liger_iris_pipeline.algorithms.frame.sources import source_mask
from liger_iris_pipeline.algorithms.frame.surface import block_surface
from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.kinds import Float32, Frame

__all__ = ["frame_weight"]


def frame_weight(
    frame: Frame, *, sources: npt.NDArray[np.bool_] | None = None, block: int = 64
) -> Float32:
    """Weigh the pixels of a frame by the variance of blank sky around them.

    Parameters
    ----------
    frame : Frame
        Reduced frame; its sky is subtracted but still counts in ``var_photon``.
    sources : ndarray (ny, nx) bool, optional
        Pixels with light of sources; by default those of
        :func:`~liger_iris_pipeline.algorithms.frame.sources.source_mask`.
    block : int, optional
        Scale over which the weight may vary [pixel].

    Returns
    -------
    ndarray (ny, nx) float32
        1 / (read variance + variance of the sky) [(s/e-)^2], smooth over the detector; 0 where
        DO_NOT_USE is set or a plane is not finite.

    Raises
    ------
    InputError
        If good pixels have no variance.

    Notes
    -----
    A weight that held a source's own photon noise would follow the source's profile and its
    noise: bright pixels and upward fluctuations would count less, and stars come out too faint.
    Medians over pixels without sources know nothing of them.
    """
    good = good_pixels(frame)
    if not good.any():
        return np.zeros(frame.rate.shape, dtype=np.float32)
    blank = good & ~(source_mask(frame) if sources is None else sources)
    if not blank.any():
        blank = good
    variance = block_surface(frame.var_read + frame.var_photon, blank, block=block)
    if not np.all(variance > 0):
        raise InputError(
            complaint(
                "frame",
                "VAR_RNOISE + VAR_POISSON",
                f"a median of {float(variance.min()):g}",
                "a positive variance",
                "reduce the frame with its read noise",
            )
        )
    return np.where(good, 1.0 / variance, 0.0).astype(np.float32)
