"""Make the supersky: how the sky is spread over a detector after flat-fielding."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.combine import MEMORY_LIMIT, combine_bands
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
from liger_iris_pipeline.kinds import Frame

__all__ = ["make_supersky"]

Bool = npt.NDArray[np.bool_]

FEWEST = 3
"""With fewer frames the light of a star cannot be clipped."""


def make_supersky(
    frames: Sequence[Frame],
    masks: Sequence[Bool] | None = None,
    *,
    block: int = 16,
    width: float = 2.0,
    clip: float = 4.0,
    memory_limit: int = MEMORY_LIMIT,
) -> Reference:
    """Combine flat-fielded frames without their sources into the pattern of the sky.

    Parameters
    ----------
    frames : sequence of Frame
        Flat-fielded frames of one detector and filter, three at least, dithered by more than the
        size of a source.
    masks : sequence of ndarray (ny, nx) bool, optional
        Pixels with light of sources; found in the frames by default.
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
        With fewer than three frames, if they differ in shape, or if one has no sky.

    Notes
    -----
    Pixels differ by what is left of the flat, and single ones are far noisier than the pattern: a
    surface of local planes through medians of blocks is the pattern.
    """
    if len(frames) < FEWEST:
        remedy = "give more dithers or skies"
        raise InputError(complaint("supersky", "frames", len(frames), f"at least {FEWEST}", remedy))
    found = [source_mask(f) for f in frames] if masks is None else list(masks)
    levels = [_level(f, mask) for f, mask in zip(frames, found, strict=True)]
    blank = [
        replace(f, dq=f.dq | np.where(mask, np.uint32(Flag.DO_NOT_USE), np.uint32(0)))
        for f, mask in zip(frames, found, strict=True)
    ]
    mean, err, dq, _ = combine_bands(blank, levels=levels, clip=clip, memory_limit=memory_limit)
    border = reference_pixels(dq)
    good = np.isfinite(mean) & ~border & ((dq & np.uint32(Flag.DO_NOT_USE)) == 0)
    surface = smooth_surface(mean, good, block=block, width=width)
    level = float(np.median(surface[good])) if good.any() else 1.0
    error = surface_error(err, good, block=block, width=width) / level
    never = np.bitwise_and.reduce([f.dq for f in frames])
    surface, error[border] = np.where(border, 1.0, surface / level), 0.0
    return Reference(
        surface.astype(np.float32), error.astype(np.float32), np.asarray(never, np.uint32)
    )


def _level(frame: Frame, mask: Bool) -> float:
    """Sky level of a frame."""
    level = constant_sky(frame, sources=mask).level if good_pixels(frame).any() else float("nan")
    if not level > 0:
        remedy = "leave out frames whose sky is taken off already"
        raise InputError(complaint("supersky", "SCI", f"a sky of {level:g}", "light", remedy))
    return level
