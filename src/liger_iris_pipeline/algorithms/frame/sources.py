"""Find the light of sources, to keep it out of the sky."""

from __future__ import annotations

from typing import TypeVar

import numpy as np
import numpy.typing as npt
import scipy

from liger_iris_pipeline.algorithms.frame.filters import (
    BINOMIAL,
    binned,
    binomial,
    dilated,
    smoothed,
    spread_out,
)
from liger_iris_pipeline.algorithms.frame.planes import good_pixels, row_bands
from liger_iris_pipeline.algorithms.frame.surface import block_factors, surface_rows
from liger_iris_pipeline.kinds import Float32, Frame

__all__ = ["core", "low_mode", "sample", "source_mask"]

Bool = npt.NDArray[np.bool_]
_Number = TypeVar("_Number", bound=np.generic)

SCALES = ((1.0, 1), (3.0, 2), (8.0, 4))
"""Widths (sigma) of the smoothing [pixel]: a diffraction-limited core, its wings, an AO halo; and the side of the
cells in which it is done [pixel], in which a Gaussian of that width is still well sampled."""

SEAM_CELL = 2
"""Side of the smallest cells in which seams are drawn [pixel]."""

REACH = 11
"""Farthest that a detection is looked for [cell]; beyond, in cells twice as large."""

CODES = 128
"""Squares of widths that are told apart [cell^2], more than REACH^2: with those of distances they fit into 16 bits."""

SLAB = 256
"""Lines of cells treated at a time, which stay in cache."""

SAMPLE = 1 << 20
"""So many values give their median to an eight hundredth of their scatter, and its sigma as well."""


def source_mask(
    frame: Frame,
    *,
    threshold: float = 4.0,
    grow: float = 3.0,
    growth: float = 1.0,
    background: int = 128,
    good: Bool | None = None,
) -> Bool:
    """Mask pixels with light of sources.

    Parameters
    ----------
    frame : Frame
        Rate image, with or without its sky.
    threshold : float, optional
        Detection threshold in units of the noise of the smoothed image.
    grow : float, optional
        Width of the seam around every detection [pixel].
    growth : float, optional
        Further width of the seam in units of the detection's equivalent radius.
    background : int, optional
        Scale of the background that is taken off before detection [pixel].
    good : ndarray (ny, nx) bool, optional
        What :func:`good_pixels` says of the frame, if it is known.

    Returns
    -------
    ndarray (ny, nx) bool
        True on sources. Flagged pixels are no detections, but lie under the seam of others.

    Notes
    -----
    The image is smoothed to the width of a core, of wings and of an AO halo, each normalised by
    the good pixels under the kernel, and cut at `threshold` times the noise of that scale, which
    is taken from the lower half of its own distribution: correlated noise, bad pixels and sources
    do not enter it. The footprint of a bright star is wide at the largest scale, and the seam
    widens with it: a halo falling as r^-5 (Moffat beta 2.5) is ten times fainter at 1.6 times the
    radius.
    """
    good = good_pixels(frame) if good is None else good
    found = np.zeros(good.shape, dtype=bool)
    if not good.any():
        return found
    residual = _residual(frame, good, background)
    for width, size in SCALES:
        # a wide kernel would carry light of a core outwards: what is found no longer counts
        seen = np.greater(good, dilated(found, 2)) if found.any() else good
        found |= _detect(residual, seen, width, size, threshold=threshold)
    return _seam(found, grow=grow, growth=growth)


def _residual(frame: Frame, good: Bool, block: int) -> Float32:
    """Rate without its background; 0 where it is not good."""
    variance = sample(frame.var_read, good) + sample(frame.var_photon, good)
    # pixels above 5 sigma are left out of the background, or halos would hide in it
    limit = 5.0 * float(np.sqrt(np.median(variance)))
    left, right = block_factors(frame.rate, good, block=block, above=limit)
    residual = np.empty(good.shape, np.float32)
    for rows in row_bands(good.shape):
        residual[rows] = np.where(
            good[rows], frame.rate[rows] - surface_rows(left, right, rows), np.float32(0)
        )
    return residual


def sample(plane: npt.NDArray[_Number], use: Bool) -> npt.NDArray[_Number]:
    """Take enough of a plane's values to know how they are distributed.

    Parameters
    ----------
    plane : ndarray (ny, nx)
        Values.
    use : ndarray (ny, nx) bool
        Pixels that count; at least one.

    Returns
    -------
    ndarray (n,)
        All values that count if they are a million or fewer, else those of every third, fifth ... row and column:
        an odd step takes the columns of all amplifiers alike.
    """
    step, count = 1, np.count_nonzero(use)
    while count > SAMPLE * step**2:
        step += 2
    some = plane[::step, ::step][use[::step, ::step]]
    return np.asarray(some if some.size else plane[use])


def _detect(residual: Float32, good: Bool, width: float, size: int, *, threshold: float) -> Bool:
    """Pixels in cells that are above the threshold after smoothing to one scale."""
    if size == 1:
        solid, cover, total = good, binomial(good, np.uint16), binomial(residual)
        full = BINOMIAL
    else:
        sigma = np.sqrt(width**2 - (size**2 - 1) / 12) / size  # the cell is a part of the width
        part = binned(good, size)
        solid, cover, total = (
            part > 0,
            smoothed(part, sigma),
            smoothed(binned(residual, size), sigma),
        )
        full = size**2
    trusted = solid & (cover > np.float32(0.3 * full))
    if not trusted.any():
        return np.zeros(good.shape, dtype=bool)
    centre, noise = core(sample(total, trusted) / sample(cover, trusted))
    above = np.empty(trusted.shape, dtype=bool)
    for rows in row_bands(trusted.shape):
        # smoothing over fewer good pixels leaves more noise
        limit = cover[rows].astype(np.float32)
        seam = np.sqrt(limit)
        seam *= np.float32(threshold * noise * np.sqrt(full))
        limit *= np.float32(centre)
        limit += seam
        np.greater(total[rows], limit, out=above[rows])
    above &= trusted
    return above if size == 1 else good & spread_out(above, size, good.shape)


def core(values: npt.NDArray[np.floating]) -> tuple[float, float]:
    """Give centre and sigma of values whose high side is contaminated.

    Parameters
    ----------
    values : ndarray (n,)
        At least one value.

    Returns
    -------
    centre : float
        See :func:`low_mode`.
    sigma : float
        That of the values below the centre; 0 if there are none.
    """
    ordered = np.sort(values)
    centre = _low_mode(ordered)
    return centre, _sigma_below(ordered, centre)


def low_mode(values: npt.NDArray[np.floating]) -> float:
    """Give the median after cutting off, again and again, what lies far above it.

    Parameters
    ----------
    values : ndarray (n,)
        At least one value.

    Returns
    -------
    float
        Median of the values less than three sigma above it, sigma being that of the lower half.
    """
    return _low_mode(np.sort(values))


def _low_mode(ordered: npt.NDArray[np.floating]) -> float:
    """Find the low mode of values in ascending order, of which any cut is a part from the first on."""
    count = ordered.size
    for _ in range(10):
        centre = _median(ordered[:count])
        sigma = _sigma_below(ordered, centre)
        if sigma == 0:
            break
        limit = ordered.dtype.type(centre + 3.0 * sigma)
        inside = int(np.searchsorted(ordered[:count], limit, side="right"))
        if inside == count:
            break
        count = inside
    return _median(ordered[:count])


def _sigma_below(ordered: npt.NDArray[np.floating], centre: float) -> float:
    """Sigma of values in ascending order from those below the centre; 0 if there are none."""
    below = int(np.searchsorted(ordered, ordered.dtype.type(centre)))
    return 1.4826 * (centre - _median(ordered[:below])) if below else 0.0


def _median(ordered: npt.NDArray[np.floating]) -> float:
    """Median of values in ascending order."""
    middle = ordered.size // 2
    return 0.5 * (float(ordered[middle]) + float(ordered[-1 - middle]))


def _seam(found: Bool, *, grow: float, growth: float) -> Bool:
    """Widen every detection by a seam that grows with its size; the nearest detection counts."""
    labels, count = scipy.ndimage.label(found, structure=np.ones((3, 3)))
    if count == 0:
        return found
    place = np.flatnonzero(found)
    label = labels.ravel()[place]
    width = grow + growth * np.sqrt(np.bincount(label) / np.pi)
    widest, size = width[1:].max(), SEAM_CELL
    inside, decided = np.zeros((2, *(-(-n // size) for n in found.shape)), dtype=bool)
    while True:
        # detections made of such cells end half a cell nearer than the middle of their last
        radius = (width + 0.5 * (size - SEAM_CELL)) / size
        code = np.minimum(radius**2, CODES - 1).astype(np.uint8) + np.uint8(1)
        plane = np.zeros(found.shape, np.uint8)
        plane.ravel()[place] = code[label]
        near, within = _around(_largest(plane, size))
        times = size // SEAM_CELL
        inside |= np.greater(spread_out(within, times, inside.shape), decided)
        if widest <= REACH * size:
            return spread_out(inside, SEAM_CELL, found.shape)
        # what is far from all detections is decided in larger cells
        decided |= spread_out(near, times, inside.shape)
        size *= 2


def _around(squares: npt.NDArray[np.uint8]) -> tuple[Bool, Bool]:
    """Tell which cells have a detection in reach, and which are within the width of the nearest.

    Given is the square of the width of each cell's detection [cell^2] plus 1, 0 where there is none.
    """
    # the square of the distance comes first in a number and the width second: the least is the nearest, and the widest
    none = np.int16((REACH**2 + 2) * CODES - 1)
    best = np.where(squares > 0, np.int16(CODES) - squares, none)
    for axis in (1, 0):
        np.minimum(best, none, out=best)
        lines = np.moveaxis(best, axis, 0)
        for start in range(0, lines.shape[1], SLAB):
            _carry(lines[:, start : start + SLAB])
    near = best < (REACH**2 + 1) * CODES
    return near, near & ((best // CODES) + (best % CODES) < CODES)


def _carry(lines: npt.NDArray[np.int16]) -> None:
    """Give every element the least of those in reach along the first axis, each with its distance added."""
    old, away = lines.copy(order="K"), np.empty_like(lines)
    for k in range(1, min(REACH + 1, len(lines))):
        np.add(old, np.int16(k**2 * CODES), out=away)
        np.minimum(lines[k:], away[:-k], out=lines[k:])
        np.minimum(lines[:-k], away[k:], out=lines[:-k])


def _largest(plane: npt.NDArray[np.uint8], size: int) -> npt.NDArray[np.uint8]:
    """Largest value in each cell."""
    ny, nx = plane.shape
    lines = np.zeros((-(-ny // size), nx), np.uint8)
    out = np.zeros((len(lines), -(-nx // size)), np.uint8)
    for j in range(size):
        row = plane[j::size]
        np.maximum(lines[: len(row)], row, out=lines[: len(row)])
    for i in range(size):
        column = lines[:, i::size]
        np.maximum(out[:, : column.shape[1]], column, out=out[:, : column.shape[1]])
    return out
