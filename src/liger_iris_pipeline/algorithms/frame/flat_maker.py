"""Make flats: lamp on minus off, and pixel and illumination parts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.bad_pixels import BadPixelLimits, flat_flags
from liger_iris_pipeline.algorithms.frame.combine import MEMORY_LIMIT, Bands, combine_bands
from liger_iris_pipeline.algorithms.frame.planes import (
    Reference,
    reference_pixels,
)
from liger_iris_pipeline.algorithms.frame.surface import smooth_surface
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.kinds import Float32, Frame, UInt32

__all__ = ["FlatParts", "lamp_off", "make_flat", "split_flat"]

Planes = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]
ODD = np.uint32(Flag.DO_NOT_USE | Flag.DEAD | Flag.COLD | Flag.LOW_QE)


class FlatParts(NamedTuple):
    """A flat in parts, whose product it is.

    Attributes
    ----------
    pixel : ndarray (ny, nx) float32
        Response of each pixel relative to those around.
    illumination : ndarray (ny, nx) float32
        Smooth part: light and response; 1 on reference pixels.
    """

    pixel: Float32
    illumination: Float32


def lamp_off(
    frames: Sequence[Frame] | Bands, *, clip: float = 4.0, memory_limit: int = MEMORY_LIMIT
) -> Reference:
    """Average flat frames taken with the lamp off.

    Parameters
    ----------
    frames : sequence of Frame, or Bands
        Frames of one detector and filter, with the lamp off.
    clip, memory_limit : optional
        As for :func:`combine_bands`.

    Returns
    -------
    Reference
        Rate (ny, nx) without the lamp [e-/s]: dark current, glow, thermal light; to be given to
        :func:`make_flat` in place of a dark. A hot pixel is as good as any other here.

    Raises
    ------
    InputError
        Without frames, or if they differ in shape.
    """
    mean, err, dq, _ = combine_bands(frames, clip=clip, memory_limit=memory_limit)
    return Reference(mean, err, dq)


def make_flat(
    frames: Sequence[Frame] | Bands,
    dark: Planes | None = None,
    *,
    limits: BadPixelLimits | None = None,
    clip: float = 4.0,
    memory_limit: int = MEMORY_LIMIT,
) -> Reference:
    """Average flat frames into a flat with a median of 1.

    Parameters
    ----------
    frames : sequence of Frame, or Bands
        Frames of one detector and filter, evenly lit; their levels may differ.
    dark : tuple of array_like, optional
        Rate without the lamp, its error and its flags, to be subtracted first: a dark, or what
        :func:`lamp_off` made; None if that was done.
    limits : BadPixelLimits, optional
        Response relative to the pixels around below which a pixel is DEAD (and not used), COLD or
        LOW_QE; :func:`~.bad_pixels.beyond` says how errors count.
    clip, memory_limit : optional
        As for :func:`combine_bands`.

    Returns
    -------
    Reference
        Response, its error and flags; 1 is the median over the good pixels. Reference pixels are
        1 with error 0; pixels without any value are NaN with UNRELIABLE_FLAT and DO_NOT_USE.

    Raises
    ------
    InputError
        Without frames, if they differ in shape, or if one is not lit.
    """
    mean, err, dq, _ = combine_bands(
        frames, dark=dark, divide=True, clip=clip, memory_limit=memory_limit
    )
    border = reference_pixels(dq)
    known = np.isfinite(mean) & ~border
    dq |= flat_flags(mean, err, dq, limits)
    dq[~known & ~border] |= np.uint32(Flag.UNRELIABLE_FLAT | Flag.DO_NOT_USE)
    good = known & ((dq & np.uint32(Flag.DO_NOT_USE)) == 0)
    level = float(np.median(mean[good])) if good.any() else 1.0
    mean, err = mean / np.float32(level), err / np.float32(level)
    mean[border], err[border] = 1.0, 0.0
    return Reference(mean, err, dq)


def split_flat(
    flat: npt.ArrayLike, dq: UInt32, *, block: int = 16, width: float = 1.5
) -> FlatParts:
    """Part a flat into the response of the pixels and the illumination.

    Parameters
    ----------
    flat : array_like (ny, nx)
        Response with median 1.
    dq : ndarray (ny, nx) uint32
        Its flags; dead, cold and unusable pixels say nothing about the illumination.
    block, width : optional
        Scale of the illumination, as for :func:`~.surface.smooth_surface`.

    Returns
    -------
    FlatParts
        Pixel and illumination part; all is illumination 1 if there is no good pixel.
    """
    value = np.asarray(flat, dtype=np.float64)
    border = reference_pixels(dq)
    good = np.isfinite(value) & ((dq & ODD) == 0) & ~border
    surface = smooth_surface(value, good, block=block, width=width)
    usable = ~border & np.isfinite(surface) & (surface > 0)
    illumination = np.where(usable, surface, 1.0)
    return FlatParts((value / illumination).astype(np.float32), illumination.astype(np.float32))
