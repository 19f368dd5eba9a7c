"""Averages of ramps that cosmic rays do not disturb."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["SIGMA_PER_MAD", "clipped_mean", "mean_ramp"]

Float64 = npt.NDArray[np.float64]

SIGMA_PER_MAD = 1.4826
"""Sigma of a Gaussian over its median absolute deviation."""
CLIP = 5.0
"""Values that many sigmas from the median do not count."""
FEWEST = 3
"""Values that a median tells an outlier from the others in."""


def clipped_mean(values: npt.ArrayLike) -> Float64:
    """Average over the first axis without outliers.

    Parameters
    ----------
    values : array_like (n, ...)
        Values of any unit.

    Returns
    -------
    ndarray (...) float64
        Mean of the values within `CLIP` sigmas of the median. The sigma of a pixel is that of its
        values, or the typical one of all pixels if that is larger: few values have a poor one.
        Fewer than `FEWEST` values are averaged as they are.
    """
    data = np.asarray(values)
    if data.shape[0] < FEWEST:
        return np.asarray(data.mean(axis=0, dtype=np.float64))
    middle = np.median(data, axis=0)
    distance = np.abs(data - middle)
    sigma = SIGMA_PER_MAD * np.median(distance, axis=0)
    keep = distance <= CLIP * np.maximum(sigma, np.median(sigma))
    total = np.where(keep, data, 0).sum(axis=0, dtype=np.float64)
    return np.asarray(total / keep.sum(axis=0))


def mean_ramp(ramps: npt.ArrayLike) -> Float64:
    """Average ramps read by read.

    Parameters
    ----------
    ramps : array_like (nramp, nread, ny, nx)
        Counts of ramps of equal light and times.

    Returns
    -------
    ndarray (nread, ny, nx) float64
        The mean first read and, from there, the sums of the mean steps: a cosmic ray spoils one
        step of one ramp, not all reads after it.
    """
    data = np.asarray(ramps, np.float32)
    mean = np.empty(data.shape[1:], np.float64)
    mean[0] = clipped_mean(data[:, 0])
    for read in range(1, data.shape[1]):
        mean[read] = mean[read - 1] + clipped_mean(data[:, read] - data[:, read - 1])
    return mean
