"""Combine frames of the same scene into one.

References
----------
Croux & Rousseeuw 1992, Computational Statistics 1, 411, doi:10.1007/978-3-662-26811-7_58: factors
that make the median absolute deviation unbiased for few values.
Stetson 1987, PASP 99, 191, doi:10.1086/131977: iterated rejection about a robust centre.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

from liger_iris_pipeline.algorithms.frame.planes import reference_planes
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.kinds import Float32, Frame, UInt32

__all__ = ["Combined", "combine_frames", "combine_stack"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

SMALL_SAMPLE = (0.0, 0.0, 1.196, 1.495, 1.363, 1.206, 1.200, 1.140, 1.129, 1.107)
"""Factor on the median absolute deviation of n values, by n (Croux & Rousseeuw 1992)."""

FEW, FEW_EXCESS = 6, 2.0
"""With fewer than 6 values the scatter of what is left beside a hit says little: it may widen the
expected sigma by no more than 2, so that a hit of 8 sigma never passes."""

EXCESS_PROBABILITY = 1e-3
"""A scatter less probable than this from the given variances raises the error of a pixel."""


class Combined(NamedTuple):
    """Mean of a stack.

    Attributes
    ----------
    mean, err : ndarray (ny, nx) float32
        Weighted mean and its one-sigma error; NaN where no value was used.
    dq : ndarray (ny, nx) uint32
        OR of the bits of the values used; where none was, of all, with DO_NOT_USE.
    nused : ndarray (ny, nx) uint16
        Number of values used.
    """

    mean: Float32
    err: Float32
    dq: UInt32
    nused: npt.NDArray[np.uint16]


def combine_stack(
    rate: npt.ArrayLike,
    var_read: npt.ArrayLike,
    var_photon: npt.ArrayLike,
    dq: npt.ArrayLike,
    *,
    clip: float = 4.0,
    iterations: int = 5,
    tile_rows: int = 64,
) -> Combined:
    """Average a stack of frames, leaving out outliers.

    Pixels are independent, so that a caller short of memory may pass bands of rows one by one.

    Parameters
    ----------
    rate : array_like (n, ny, nx)
        Values of one scene, brought to one level.
    var_read, var_photon : array_like (n, ny, nx)
        Their variances from read noise and from photons, in the square of the unit of `rate`.
    dq : array_like (n, ny, nx) uint32
        Data-quality bits; values with DO_NOT_USE, or not finite, are not used.
    clip : float, optional
        Values further than this many robust sigma from the median are left out.
    iterations : int, optional
        Largest number of passes of clipping.
    tile_rows : int, optional
        Rows worked on at once; bounds the scratch memory.

    Returns
    -------
    Combined
        Mean, error, flags and number of values.

    Raises
    ------
    InputError
        If the stack is empty or its planes differ in shape.

    Notes
    -----
    The robust sigma of a pixel is the larger of the root of the median variance and of the
    median absolute deviation with its factor for few values: with three values the deviation
    alone is often near zero by chance, and the given variances alone miss excess noise. With fewer
    than six values the deviation counts up to twice the root of the median variance only. Two
    values or fewer are never clipped. Weights are 1 / `var_read`, equal where that is zero, and
    never hold the photon noise, which is estimated from the value itself and would bias the mean
    low. The error is propagated with these weights; where the scatter of the values used is
    larger than chance allows (probability below 0.001), it is raised to the scatter's.
    """
    planes = _stack(rate, var_read, var_photon, dq)
    _, ny, nx = planes[0].shape
    out = Combined(
        np.empty((ny, nx), np.float32),
        np.empty((ny, nx), np.float32),
        np.empty((ny, nx), np.uint32),
        np.empty((ny, nx), np.uint16),
    )
    for start in range(0, ny, tile_rows):
        rows = slice(start, start + tile_rows)
        value, read, photon = (np.asarray(p[:, rows], dtype=np.float64) for p in planes[:3])
        flags = np.asarray(planes[3][:, rows], dtype=np.uint32)
        used = (flags & np.uint32(Flag.DO_NOT_USE)) == 0
        used &= np.isfinite(value) & np.isfinite(read) & np.isfinite(photon)
        used = _clip(value, read + photon, used, clip=clip, iterations=iterations)
        out.mean[rows], out.err[rows] = _average(value, read, photon, used)
        out.nused[rows] = used.sum(axis=0)
        of_used = np.bitwise_or.reduce(np.where(used, flags, np.uint32(0)), axis=0)
        of_all = np.bitwise_or.reduce(flags, axis=0) | np.uint32(Flag.DO_NOT_USE)
        out.dq[rows] = np.where(used.any(axis=0), of_used, of_all)
    return out


def _stack(*planes: npt.ArrayLike) -> tuple[npt.NDArray[Any], ...]:
    """Check that the planes of a stack agree."""
    arrays = tuple(np.asarray(p) for p in planes)
    shape = arrays[0].shape
    if len(shape) != 3 or 0 in shape or any(a.shape != shape for a in arrays):
        got = ", ".join(str(a.shape) for a in arrays)
        remedy = "give at least one frame, and frames of one size"
        raise InputError(complaint("stack", "planes", got, "equal shapes (n, ny, nx)", remedy))
    return arrays


def _clip(value: Float64, variance: Float64, used: Bool, *, clip: float, iterations: int) -> Bool:
    """Take out values far from the median, until none is left that is."""
    for _ in range(iterations):
        count = used.sum(axis=0)
        centre = _median(value, used)
        deviation = np.where(used, np.abs(value - centre), np.inf)
        factors = np.asarray(SMALL_SAMPLE)
        small = factors[np.minimum(count, len(factors) - 1)]
        large = count / np.maximum(count - 0.8, 0.1)
        spread = 1.4826 * _median(deviation, used) * np.where(count < len(factors), small, large)
        expected = np.sqrt(np.maximum(_median(variance, used), 0.0))
        few = (count < FEW) & (expected > 0)
        spread = np.where(few, np.minimum(spread, FEW_EXCESS * expected), spread)
        sigma = np.maximum(spread, expected)
        outlier = used & (deviation > clip * sigma) & (count > 2)
        if not outlier.any():
            break
        used = used & ~outlier
    return used


def _median(value: Float64, used: Bool) -> Float64:
    """Median over the first axis of the values used; 0 where there is none."""
    count = used.sum(axis=0)
    ordered = np.sort(np.where(used, value, np.inf), axis=0)
    last = value.shape[0] - 1
    low = np.take_along_axis(ordered, np.clip((count - 1) // 2, 0, last)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.clip(count // 2, 0, last)[None], axis=0)[0]
    return np.where(count > 0, 0.5 * (low + high), 0.0)


def _average(value: Float64, read: Float64, photon: Float64, used: Bool) -> tuple[Float32, Float32]:
    """Weighted mean of the values used and its error."""
    n = used.sum(axis=0)
    plain = np.any(used & ~(read > 0), axis=0)
    weight = np.where(used, np.where(plain, 1.0, 1.0 / np.where(read > 0, read, 1.0)), 0.0)
    total = weight.sum(axis=0)
    safe = np.where(total > 0, total, 1.0)
    clean = np.where(used, value, 0.0)
    mean = (weight * clean).sum(axis=0) / safe
    variance = np.where(used, read + photon, 0.0)
    propagated = (weight**2 * variance).sum(axis=0) / safe**2
    # with weights that ignore photon noise, chi2 per degree of freedom is taken for the mean
    # variance, which makes it the ratio of scattered to expected variance
    expected = variance.sum(axis=0) / np.maximum(n, 1)
    square = np.where(used, (value - mean) ** 2, 0.0).sum(axis=0)
    ratio = square / np.maximum(n - 1, 1) / np.where(expected > 0, expected, np.inf)
    limit = stats.chi2.isf(EXCESS_PROBABILITY, np.maximum(n - 1, 1)) / np.maximum(n - 1, 1)
    propagated = propagated * np.where((n > 1) & (ratio > limit), ratio, 1.0)
    nothing = n == 0
    return (
        np.where(nothing, np.nan, mean).astype(np.float32),
        np.where(nothing, np.nan, np.sqrt(propagated)).astype(np.float32),
    )


def combine_frames(
    frames: Sequence[Frame],
    dark: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike] | None = None,
    *,
    levels: Sequence[float] | None = None,
    clip: float = 4.0,
    tile_rows: int = 64,
) -> Combined:
    """Combine frames band by band, dark-subtracted and brought to one level where asked.

    Parameters
    ----------
    frames : sequence of Frame
        Frames of one detector.
    dark : tuple of array_like, optional
        Rate, error and flags that are subtracted from every frame.
    levels : sequence of float, optional
        What each frame is divided by after that.
    clip, tile_rows : optional
        As for :func:`combine_stack`.

    Returns
    -------
    Combined
        Mean, error, flags and number of values; the error of what was subtracted is in the error.

    Raises
    ------
    InputError
        Without frames, or if they differ in shape.
    """
    if not frames or any(f.rate.shape != frames[0].rate.shape for f in frames):
        got = ", ".join(str(f.rate.shape) for f in frames) or "none"
        remedy = "give at least one frame, and frames of one detector and window"
        raise InputError(complaint("stack", "frames", got, "frames of one shape", remedy))
    shape = frames[0].rate.shape
    offset, offset_err, flags = (
        (np.zeros(shape), np.zeros(shape), np.zeros(shape, np.uint32))
        if dark is None
        else reference_planes("dark", shape, dark)
    )
    levels = [1.0] * len(frames) if levels is None else levels
    bands = []
    for start in range(0, shape[0], tile_rows):
        r = slice(start, start + tile_rows)
        band = combine_stack(
            [(f.rate[r] - offset[r]) / s for f, s in zip(frames, levels, strict=True)],
            [f.var_read[r] / s**2 for f, s in zip(frames, levels, strict=True)],
            [f.var_photon[r] / s**2 for f, s in zip(frames, levels, strict=True)],
            [f.dq[r] | flags[r] for f in frames],
            clip=clip,
            tile_rows=tile_rows,
        )
        # the dark is common to all frames: its error does not average down
        common = offset_err[r] * float(np.mean([1.0 / s for s in levels]))
        bands.append(band._replace(err=np.hypot(band.err, common).astype(np.float32)))
    return Combined(*(np.concatenate(planes) for planes in zip(*bands, strict=True)))
