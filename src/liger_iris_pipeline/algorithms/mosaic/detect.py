"""Detection of point sources by a matched filter.

References
----------
Stetson 1987, PASP 99, 191, doi:10.1086/131977, section II (lowered Gaussian filter).
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt
import scipy

__all__ = ["detect", "detection_filter", "significance"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def detection_filter(fwhm: float) -> Float64:
    """Make a Gaussian lowered to a sum of zero inside a circle.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum of the core [pixel].

    Returns
    -------
    ndarray (k, k) float64
        Filter that ignores a constant and a slope, such as a halo's.
    """
    radius = max(2.0, 1.2 * fwhm)
    half = math.ceil(radius)
    y, x = np.indices((2 * half + 1, 2 * half + 1)) - half
    inside = np.hypot(x, y) <= radius
    core = np.exp(-4.0 * np.log(2.0) * (x**2 + y**2) / fwhm**2)
    return np.asarray(np.where(inside, core - core[inside].mean(), 0.0))


def significance(
    image: Float64, variance: Float64, good: Bool, kernel: Float64, *, fwhm: float
) -> Float64:
    """Filter an image and divide by the noise of the result.

    Parameters
    ----------
    image, variance : ndarray (ny, nx) float64
        Values and variances.
    good : ndarray (ny, nx) bool
        Pixels that count.
    kernel : ndarray (k, k) float64
        Correlation of neighbouring pixels.
    fwhm : float
        Width of the core [pixel].

    Returns
    -------
    ndarray (ny, nx) float64
        Signal-to-noise ratio of a point source at each pixel; 0 where the filter sees too few
        good pixels.

    Notes
    -----
    The variance of sum(f d) is sum(f^2 var) for white noise; correlated neighbours raise it by
    the factor sum_d kernel(d) (f*f)(d) / (f*f)(0), with f*f the autocorrelation of the filter.
    The filter is divided by its share of good pixels, so that its sum stays zero next to bad ones.
    """
    shape = detection_filter(fwhm)
    inside = (shape != 0).astype(np.float64)
    flat = np.where(good, image, 0.0)

    def smooth(plane: Float64, weight: Float64) -> Float64:
        return np.asarray(scipy.signal.oaconvolve(plane, weight, mode="same"))

    cover = smooth(good.astype(np.float64), inside)
    mean = smooth(flat, inside) / np.maximum(cover, 1.0)
    kept = smooth(good.astype(np.float64), shape)
    value = smooth(flat, shape) - mean * kept
    noise = smooth(np.where(good, variance, 0.0), shape**2)
    auto = scipy.signal.fftconvolve(shape, shape[::-1, ::-1])
    centre = auto.shape[0] // 2
    half = min(kernel.shape[0] // 2, centre)
    middle = kernel.shape[0] // 2
    window = slice(centre - half, centre + half + 1)
    rho = kernel[middle - half : middle + half + 1, middle - half : middle + half + 1]
    excess = float(np.sum(rho * auto[window, window])) / auto[centre, centre]
    enough = cover > 0.6 * inside.sum()
    sigma = np.sqrt(np.maximum(noise * max(excess, 0.0), 0.0))
    usable = enough & (sigma > 1e-6 * sigma.max(initial=0.0))
    return np.where(usable, value / np.where(usable, sigma, 1.0), 0.0)


def detect(snr: Float64, *, fwhm: float, threshold: float) -> npt.NDArray[np.int64]:
    """List the local maxima of a map of significance.

    Parameters
    ----------
    snr : ndarray (ny, nx) float64
        Significance.
    fwhm : float
        Width of the core [pixel]; of maxima closer than half of it only the highest counts.
    threshold : float
        Lowest significance.

    Returns
    -------
    ndarray (n, 2) int64
        Pixels (y, x), most significant first.
    """
    reach = max(1, round(0.5 * fwhm))
    y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    footprint = np.hypot(x, y) <= max(reach, 1.5)
    peak = (snr > threshold) & (snr == scipy.ndimage.maximum_filter(snr, footprint=footprint))
    found = np.argwhere(peak)
    return np.asarray(found[np.argsort(-snr[tuple(found.T)], kind="stable")])
