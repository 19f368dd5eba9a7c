"""Saturation level of every pixel, from flat ramps that go on after the pixels are full."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["SaturationLevel", "saturation_level"]

Float32 = npt.NDArray[np.float32]
UInt32 = npt.NDArray[np.uint32]

RISE = 0.2
"""A step below this part of the largest one is no full step: the pixel filled up in it or before."""
FEWEST = 4
"""Values on the plateau below which its scatter says nothing."""


@dataclass(frozen=True, eq=False)
class SaturationLevel:
    """Where pixels are full.

    Attributes
    ----------
    level : ndarray (ny, nx) float32
        Raw counts from which on a read is saturated [DN].
    dq : ndarray (ny, nx) uint32
        NO_SAT_CHECK where the ramps did not fill the pixel: it has the lowest level of its output.
    """

    level: Float32
    dq: UInt32


def saturation_level(
    ramps: npt.ArrayLike,
    *,
    noutputs: int = 1,
    margin: float = 5.0,
    sensitive: npt.ArrayLike | None = None,
) -> SaturationLevel:
    """Find the level at which the counts of each pixel stop rising.

    Parameters
    ----------
    ramps : array_like (nramp, nread, ny, nx)
        Raw counts under constant light, reads at equal intervals [DN]. Five reads at least.
    noutputs : int, optional
        Vertical output stripes; divides nx.
    margin : float, optional
        How far below the plateau the level is set [sigma of a read on the plateau].
    sensitive : array_like (ny, nx) bool, optional
        Pixels that see light; default: all.

    Returns
    -------
    SaturationLevel
        The level and its flags.

    Raises
    ------
    InputError
        If there are fewer than five reads.

    Notes
    -----
    Under constant light a step below `RISE` of the largest contains the moment at which the pixel
    was full, or follows it; so all reads after it lie on the plateau. Steps are medians over the
    ramps, which a cosmic ray does not move. The scatter on the plateau has read noise and the drift
    of the output in it; that of a pixel is not believed to be less than the median of its output.
    """
    counts = np.asarray(ramps, dtype=np.float32)
    nramp, nread, ny, nx = counts.shape
    if nread < FEWEST + 1:
        raise InputError(
            complaint("saturation", "reads", nread, f"at least {FEWEST + 1}", "take longer ramps")
        )
    steps = np.median(np.diff(counts, axis=1), axis=0)
    full_step = steps > RISE * np.maximum(steps.max(axis=0), 1.0)
    last = nread - 2 - np.argmax(full_step[::-1], axis=0)  # index of the last full step
    plateau = np.arange(nread)[:, None, None] >= last + 2
    number = nramp * plateau.sum(axis=0)
    weight = plateau / np.maximum(number, 1)
    mean = np.einsum("rkyx,kyx->yx", counts, weight, dtype=np.float64)
    square = np.einsum("rkyx,kyx->yx", (counts - mean.astype(np.float32)) ** 2, weight)
    variance = square * number / np.maximum(number - 1, 1)
    known = (number >= FEWEST) & (steps.max(axis=0) > 0.0)
    if sensitive is not None:
        known &= np.asarray(sensitive, np.bool_)
    rise = steps.sum(axis=0)
    known &= rise > RISE * (np.median(rise[known]) if known.any() else 0.0)
    level = np.full((ny, nx), np.nan)
    for columns in _outputs(nx, noutputs):
        mine = known[:, columns]
        if mine.any():
            typical = float(np.median(variance[:, columns][mine]))
            sigma = np.sqrt(np.maximum(variance[:, columns], typical))
            level[:, columns] = np.where(mine, mean[:, columns] - margin * sigma, np.nan)
    return _filled(level, known, noutputs)


def _outputs(nx: int, noutputs: int) -> list[slice]:
    """List the columns of each output."""
    width = nx // noutputs
    return [slice(start, start + width) for start in range(0, nx, width)]


def _filled(
    level: npt.NDArray[np.float64], known: npt.NDArray[np.bool_], noutputs: int
) -> SaturationLevel:
    """Give pixels that were not filled the lowest level of their output."""
    lowest = float(np.nanmin(level)) if known.any() else float(np.iinfo(np.uint16).max)
    for columns in _outputs(level.shape[1], noutputs):
        part = level[:, columns]
        mine = known[:, columns]
        part[~mine] = float(part[mine].min()) if mine.any() else lowest
    dq = np.where(known, 0, np.uint32(Flag.NO_SAT_CHECK)).astype(np.uint32)
    return SaturationLevel(level.astype(np.float32), dq)
