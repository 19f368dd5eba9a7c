"""Make darks: the dark rate, and the glow in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.bad_pixels import BadPixelLimits, dark_flags
from liger_iris_pipeline.algorithms.frame.combine import MEMORY_LIMIT, Bands, combine_bands
from liger_iris_pipeline.algorithms.frame.planes import Reference, reference_pixels
from liger_iris_pipeline.algorithms.frame.surface import smooth_surface
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.kinds import Float32, Frame, UInt32

__all__ = ["GlowParts", "make_dark", "split_glow"]

SPIKES = np.uint32(Flag.DO_NOT_USE | Flag.HOT | Flag.WARM | Flag.TELEGRAPH)


class GlowParts(NamedTuple):
    """A dark rate in parts, which add up to it.

    Attributes
    ----------
    glow : ndarray (ny, nx) float32
        Smooth light of the amplifiers [e-/s], 0 on the median pixel and on reference pixels.
    pixel : ndarray (ny, nx) float32
        What each pixel has of its own [e-/s].
    """

    glow: Float32
    pixel: Float32


def make_dark(
    frames: Sequence[Frame] | Bands,
    *,
    hot: float = 1.0,
    warm: float = 0.1,
    clip: float = 4.0,
    memory_limit: int = MEMORY_LIMIT,
) -> Reference:
    """Average dark frames into a dark rate.

    Parameters
    ----------
    frames : sequence of Frame, or Bands
        Dark frames of one detector.
    hot, warm : float, optional
        Dark rate above which a pixel is HOT (and not used) or WARM [e-/s], measured above the
        glow and dark current around; :func:`~.bad_pixels.beyond` says how errors count.
    clip, memory_limit : optional
        As for :func:`combine_bands`.

    Returns
    -------
    Reference
        Dark rate and error [e-/s], flags. Reference pixels are 0 with error 0; pixels without any
        value are NaN with UNRELIABLE_DARK and DO_NOT_USE.

    Raises
    ------
    InputError
        Without frames, or if they differ in shape.
    """
    mean, err, dq, _ = combine_bands(frames, clip=clip, memory_limit=memory_limit)
    border = reference_pixels(dq)
    dq |= dark_flags(mean, err, dq, BadPixelLimits(hot=hot, warm=warm))
    dq[~np.isfinite(mean) & ~border] |= np.uint32(Flag.UNRELIABLE_DARK | Flag.DO_NOT_USE)
    mean[border], err[border] = 0.0, 0.0
    return Reference(mean, err, dq)


def split_glow(rate: npt.ArrayLike, dq: UInt32, *, block: int = 8, width: float = 1.0) -> GlowParts:
    """Part a dark rate into the glow of the amplifiers and the rest.

    Parameters
    ----------
    rate : array_like (ny, nx)
        Dark rate [e-/s].
    dq : ndarray (ny, nx) uint32
        Its flags; hot, warm and unusable pixels say nothing about the glow.
    block, width : optional
        Scale of the glow, as for :func:`~.surface.smooth_surface`.

    Returns
    -------
    GlowParts
        Glow and the rest; the glow is 0 everywhere if there is no good pixel.

    Notes
    -----
    An even glow cannot be told from an even dark current and counts as that.
    """
    value = np.asarray(rate, dtype=np.float64)
    border = reference_pixels(dq)
    good = np.isfinite(value) & ((dq & SPIKES) == 0) & ~border
    surface = smooth_surface(value, good, block=block, width=width)
    level = np.median(surface[good]) if good.any() else 0.0
    glow = np.where(border | ~np.isfinite(surface), 0.0, surface - level).astype(np.float32)
    return GlowParts(glow, (value - glow).astype(np.float32))
