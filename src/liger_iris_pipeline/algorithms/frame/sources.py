"""Find the light of sources, to keep it out of the sky."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import scipy

from liger_iris_pipeline.algorithms.frame.planes import good_pixels
from liger_iris_pipeline.algorithms.frame.surface import block_surface
from liger_iris_pipeline.kinds import Frame

__all__ = ["low_mode", "source_mask"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SCALES = (1.0, 3.0, 8.0)
"""Widths (sigma) of the smoothing [pixel]: a diffraction-limited core, its wings, an AO halo."""


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
    rate = np.where(good, frame.rate, 0.0).astype(np.float64)
    noise = np.sqrt(np.median((frame.var_read + frame.var_photon)[good]))
    # pixels above 5 sigma are left out of the first background, or halos would hide in it
    base = block_surface(rate, good, block=background)
    base = block_surface(rate, good & (rate < base + 5 * noise), block=background)
    residual = np.where(good, rate - base, 0.0)
    for width in SCALES:
        # a wide kernel would carry light of a core outwards: what is found no longer counts
        seen = good & ~scipy.ndimage.binary_dilation(found, iterations=2)
        found |= _detect(residual, seen, width, threshold=threshold)
    return _seam(found, grow=grow, growth=growth)


def _detect(residual: Float64, good: Bool, width: float, *, threshold: float) -> Bool:
    """Pixels above the threshold after smoothing to one scale."""
    cover = scipy.ndimage.gaussian_filter(good.astype(np.float64), width)
    trusted = good & (cover > 0.3)
    if not trusted.any():
        return np.zeros(good.shape, dtype=bool)
    smooth = scipy.ndimage.gaussian_filter(residual, width) / np.where(cover > 0.05, cover, 1.0)
    values = smooth[trusted]
    centre = low_mode(values)
    below = centre - values[values < centre]
    sigma = 1.4826 * float(np.median(below)) if below.size else 0.0
    if sigma <= 0:
        return np.asarray(trusted & (smooth > centre))
    # smoothing over fewer good pixels leaves more noise
    return np.asarray(trusted & (smooth - centre > threshold * sigma / np.sqrt(cover.clip(0.05))))


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
    width = grow + growth * np.sqrt(area / np.pi)
    distance, nearest = scipy.ndimage.distance_transform_edt(~found, return_indices=True)
    return np.asarray(distance <= width[labels[tuple(nearest)]])
