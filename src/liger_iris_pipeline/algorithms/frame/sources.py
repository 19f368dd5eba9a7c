"""Find the light of sources, to keep it out of the sky."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from liger_iris_pipeline.algorithms.frame.filters import binned, dilated, smoothed, spread_out
from liger_iris_pipeline.algorithms.frame.planes import good_pixels, row_bands
from liger_iris_pipeline.algorithms.frame.surface import block_factors, surface_rows
from liger_iris_pipeline.kinds import Float32, Frame

__all__ = ["low_mode", "sample", "source_mask"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SCALES = ((1.0, 1), (3.0, 2), (8.0, 4))
"""Widths (sigma) of the smoothing [pixel]: a diffraction-limited core, its wings, an AO halo; and the side of the
cells in which it is done [pixel], in which a Gaussian of that width is still well sampled."""

SEAM_CELL = 2
"""Side of the cells in which the distance from a detection is measured [pixel]."""

SAMPLE = 1 << 20
"""So many values give their median to an eight hundredth of their scatter, and its sigma as well."""


def source_mask(
    frame: Frame,
    *,
    threshold: float = 4.0,
    grow: float = 3.0,
    growth: float = 1.0,
    background: int = 128,
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
    good = good_pixels(frame)
    found = np.zeros(good.shape, dtype=bool)
    if not good.any():
        return found
    residual = _residual(frame, good, background)
    for width, size in SCALES:
        # a wide kernel would carry light of a core outwards: what is found no longer counts
        seen = good & ~dilated(found, 2)
        found |= _detect(residual, seen, width, size, threshold=threshold)
    return _seam(found, grow=grow, growth=growth)


def _residual(frame: Frame, good: Bool, block: int) -> Float32:
    """Rate without its background; 0 where it is not good."""
    noise = np.sqrt(np.median(sample(frame.var_read + frame.var_photon, good)))
    limit = np.float32(5 * noise)
    left, right = block_factors(frame.rate, good, block=block)
    # pixels above 5 sigma are left out of the first background, or halos would hide in it
    faint = np.empty_like(good)
    for rows in row_bands(good.shape):
        faint[rows] = good[rows] & (frame.rate[rows] < surface_rows(left, right, rows) + limit)
    left, right = block_factors(frame.rate, faint, block=block)
    residual = np.empty(good.shape, np.float32)
    for rows in row_bands(good.shape):
        residual[rows] = np.where(
            good[rows], frame.rate[rows] - surface_rows(left, right, rows), np.float32(0)
        )
    return residual


def sample(plane: npt.NDArray[np.floating], use: Bool) -> Float64:
    """Take enough of a plane's values to know how they are distributed.

    Parameters
    ----------
    plane : ndarray (ny, nx)
        Values.
    use : ndarray (ny, nx) bool
        Pixels that count; at least one.

    Returns
    -------
    ndarray (n,) float64
        All values that count if they are a million or fewer, else those of every third, fifth ... row and column:
        an odd step takes the columns of all amplifiers alike.
    """
    step, count = 1, np.count_nonzero(use)
    while count > SAMPLE * step**2:
        step += 2
    some = plane[::step, ::step][use[::step, ::step]]
    return np.asarray(some if some.size else plane[use], dtype=np.float64)


def _detect(residual: Float32, good: Bool, width: float, size: int, *, threshold: float) -> Bool:
    """Pixels in cells that are above the threshold after smoothing to one scale."""
    sigma = np.sqrt(width**2 - (size**2 - 1) / 12) / size  # the cell is a part of the width
    area = np.float32(size**2)
    part = binned(good, size) / area
    cover = smoothed(part, sigma)
    trusted = (part > 0) & (cover > 0.3)
    if not trusted.any():
        return np.zeros(good.shape, dtype=bool)
    smooth = smoothed(binned(residual, size) / area, sigma)
    smooth /= np.where(cover > 0.05, cover, np.float32(1))
    values = sample(smooth, trusted)
    centre = low_mode(values)
    below = centre - values[values < centre]
    noise = 1.4826 * float(np.median(below)) if below.size else 0.0
    # smoothing over fewer good pixels leaves more noise
    limit = np.float32(threshold * noise) / np.sqrt(cover.clip(0.05)) if noise > 0 else 0.0
    return good & spread_out(trusted & (smooth - np.float32(centre) > limit), size, good.shape)


def low_mode(values: Float64) -> float:
    """Give the median after cutting off, again and again, what lies far above it.

    Parameters
    ----------
    values : ndarray (n,) float64
        At least one value.

    Returns
    -------
    float
        Median of the values less than three sigma above it, sigma being that of the lower half.
    """
    kept = values
    for _ in range(10):
        centre = float(np.median(kept))
        below = centre - kept[kept < centre]
        if not below.size:
            break
        limit = centre + 3.0 * 1.4826 * float(np.median(below))
        inside = kept[kept <= limit]
        if inside.size == kept.size:
            break
        kept = inside
    return float(np.median(kept))


def _seam(found: Bool, *, grow: float, growth: float) -> Bool:
    """Widen every detection by a seam that grows with its size."""
    labels, count = scipy.ndimage.label(found, structure=np.ones((3, 3)))
    if count == 0:
        return found
    area = np.bincount(labels.ravel(), minlength=count + 1)
    width = (grow + growth * np.sqrt(area / np.pi)).astype(np.float32)
    width[0] = 0
    widths = _largest(width, labels, SEAM_CELL)
    nearest_y, nearest_x = scipy.ndimage.distance_transform_edt(
        widths == 0, return_distances=False, return_indices=True
    )
    inside = np.empty(widths.shape, dtype=bool)
    columns = np.arange(widths.shape[1], dtype=np.int32)
    for rows in row_bands(widths.shape):
        y, x = nearest_y[rows], nearest_x[rows]
        away = (y - np.arange(rows.start, rows.stop, dtype=np.int32)[:, None]) ** 2
        away += (x - columns) ** 2
        inside[rows] = away * np.float32(SEAM_CELL**2) <= widths[y, x] ** 2
    return spread_out(inside, SEAM_CELL, found.shape)


def _largest(width: Float32, labels: npt.NDArray[np.int32], size: int) -> Float32:
    """Largest width of the detections in each cell; 0 where there is none."""
    my, mx = (-(-n // size) for n in labels.shape)
    out = np.zeros((my, mx), np.float32)
    for j in range(size):
        for i in range(size):
            part = width[labels[j::size, i::size]]
            corner = out[: part.shape[0], : part.shape[1]]
            np.maximum(corner, part, out=corner)
    return out
