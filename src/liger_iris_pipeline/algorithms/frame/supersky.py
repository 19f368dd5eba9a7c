"""Make the supersky: how the sky is spread over a detector after flat-fielding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.combine import (
    MEMORY_LIMIT,
    Bands,
    as_bands,
    combine_bands,
)
from liger_iris_pipeline.algorithms.frame.planes import (
    Reference,
    good_pixels,
    reference_pixels,
)
from liger_iris_pipeline.algorithms.frame.sky import constant_sky
from liger_iris_pipeline.algorithms.frame.sources import source_mask
from liger_iris_pipeline.algorithms.frame.surface import smooth_surface, surface_error
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.kinds import Frame, UInt32

__all__ = ["EmptySky", "empty_sky", "make_supersky"]

Bool = npt.NDArray[np.bool_]

FEWEST = 3
"""With fewer frames the light of a star cannot be clipped."""


class EmptySky(NamedTuple):
    """A frame without its sources.

    Attributes
    ----------
    frame : Frame
        The frame, its rate NaN on sources.
    level : float
        Sky level [e-/s], above 0.
    """

    frame: Frame
    level: float


def empty_sky(frame: Frame, mask: Bool | None = None) -> EmptySky:
    """Take the sources out of a frame and find its sky level.

    Parameters
    ----------
    frame : Frame
        Flat-fielded frame.
    mask : ndarray (ny, nx) bool, optional
        Pixels with light of sources; found in the frame by default.

    Returns
    -------
    EmptySky
        What :func:`make_supersky` takes.

    Raises
    ------
    InputError
        If the frame has no sky.
    """
    sources = source_mask(frame) if mask is None else mask
    good = good_pixels(frame).any()
    level = constant_sky(frame, sources=sources).level if good else float("nan")
    if not level > 0:
        remedy = "leave out frames whose sky is taken off already"
        raise InputError(complaint("supersky", "SCI", f"a sky of {level:g}", "light", remedy))
    return EmptySky(replace(frame, rate=np.where(sources, np.float32(np.nan), frame.rate)), level)


def make_supersky(
    skies: Sequence[Frame] | Bands,
    levels: Sequence[float],
    *,
    common: npt.ArrayLike = 0.0,
    block: int = 16,
    width: float = 2.0,
    clip: float = 4.0,
    memory_limit: int = MEMORY_LIMIT,
) -> Reference:
    """Combine frames of the sky, sources taken out, into its pattern.

    Parameters
    ----------
    skies : sequence of Frame, or Bands
        Frames of :func:`empty_sky` of one detector and filter, three at least, dithered by more
        than the size of a source.
    levels : sequence of float
        Their sky levels [e-/s].
    common : array_like (ny, nx), optional
        Error that all frames share, relative to the sky, and that is not in their variances: it
        does not average down.
    block, width : optional
        Scale of the pattern, as for :func:`~.surface.smooth_surface`.
    clip, memory_limit : optional
        As for :func:`combine_bands`.

    Returns
    -------
    Reference
        Smooth pattern with median 1 over the good pixels, its error, flags. Reference pixels are
        1 with error 0; a pixel that was never free of sources is not flagged, as those around
        know the pattern.

    Raises
    ------
    InputError
        With fewer than three frames, or if they differ in shape.

    Notes
    -----
    Pixels differ by what is left of the flat, and single ones are far noisier than the pattern: a
    surface of local planes through medians of blocks is the pattern.
    """
    if len(skies) < FEWEST:
        remedy = "give more dithers or skies"
        raise InputError(complaint("supersky", "frames", len(skies), f"at least {FEWEST}", remedy))
    bands = as_bands(skies)
    mean, err, dq, _ = combine_bands(bands, levels=levels, clip=clip, memory_limit=memory_limit)
    border = reference_pixels(dq)
    good = np.isfinite(mean) & ~border & ((dq & np.uint32(Flag.DO_NOT_USE)) == 0)
    surface = smooth_surface(mean, good, block=block, width=width)
    level = float(np.median(surface[good])) if good.any() else 1.0
    error = surface_error(np.hypot(err, common), good, block=block, width=width) / level
    surface, error[border] = np.where(border, 1.0, surface / level), 0.0
    return Reference(surface.astype(np.float32), error.astype(np.float32), _always(bands))


def _always(bands: Bands) -> UInt32:
    """Give the bits that a pixel has in every frame."""
    always = np.full(bands.shape, 0xFFFFFFFF, dtype=np.uint32)
    for index in range(len(bands)):
        always &= bands.rows(index, slice(None)).dq
    return always
