"""Kernels of the frequency-weighted reference-pixel correction, from darks."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["fit_reference_weights"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Complex = npt.NDArray[np.complex128]
Bool = npt.NDArray[np.bool_]

SIGMA_PER_MAD = 1.4826
"""Sigma of a Gaussian over its median absolute deviation."""
CLIP = 5.0
"""A pixel that many robust sigmas from the median of its row does not count (hits)."""
DIGITISED = 0.5
"""Digitisation can hide a noise below 1 DN: sigma is at least this [DN]."""


@dataclass(frozen=True)
class _Layout:
    """Where outputs and reference pixels lie on a frame (ny, nx)."""

    ny: int
    nx: int
    noutputs: int
    border: int
    good: Bool

    @property
    def width(self) -> int:
        """Columns of an output."""
        return self.nx // self.noutputs

    @property
    def rows(self) -> slice:
        """Rows that have science pixels."""
        return slice(self.border, self.ny - self.border)


def fit_reference_weights(
    darks: Iterable[npt.ArrayLike],
    noutputs: int,
    ref_pixels: int,
    nlag: int,
    *,
    bad_pixels: npt.ArrayLike | None = None,
) -> tuple[Float32, Float32]:
    """Fit the kernels that predict the row noise of each output from the reference columns.

    Parameters
    ----------
    darks : iterable of array_like (ny, nx)
        Dark reads, or better differences of neighbouring dark reads, in which the fixed offsets
        of the pixels cancel [DN]. They are looked at one by one.
    noutputs : int
        Vertical output stripes; divides nx.
    ref_pixels : int
        Width of the reference border [pixels].
    nlag : int
        Length of the kernels [rows]: odd, at most the number of rows inside the border.
    bad_pixels : array_like (ny, nx) bool, optional
        True where a pixel, science or reference, is not to be used.

    Returns
    -------
    left, right : ndarray (noutputs, nlag) float32
        Row y of output o is corrected by ``sum_j left[o, j] L[y + j - h] + right[o, j] R[y + j -
        h]``, ``h = (nlag - 1) / 2``, with L and R the means of the left and right reference
        columns of a row after the level of their output was taken off.

    Raises
    ------
    InputError
        If there is no dark, the shapes do not fit together or a value is not finite.

    Notes
    -----
    With n the mean of the science pixels of an output in each row, alpha and beta minimise the
    power of n - alpha L - beta R at each frequency. Spectra are averages over all darks of cosine
    tapered rows; the transforms of alpha and beta are cut to nlag rows with a raised cosine, which
    averages over frequencies too.

    L and R are noisy: least squares gives them the gain of a Wiener filter, below 1 where their
    own noise prevails and 0 where they know nothing of n. What is left of that 0 by chance is
    damped: a spectrum of nlag numbers out of N samples is known to about sqrt(nlag / N), so that
    the share nlag / N of the power of L and R is added to both before the fit.

    References
    ----------
    Rauscher et al. 2022, JATIS 8, 028002, doi:10.1117/1.JATIS.8.2.028002
    """
    series = _series(darks, noutputs, ref_pixels, nlag, bad_pixels)
    nframe, _, nrow = series.shape
    if nframe > 1:
        series = series - series.mean(axis=0)
    series = series - series.mean(axis=2, keepdims=True)
    taper = np.sin(np.pi * (np.arange(nrow) + 0.5) / nrow)
    spectra = np.fft.rfft(series * taper, axis=2)
    alpha, beta = _weights(spectra[:, :-2], spectra[:, -2], spectra[:, -1], nlag / (nframe * nrow))
    return _kernels(alpha, nrow, nlag), _kernels(beta, nrow, nlag)


def _weights(
    outputs: Complex, left: Complex, right: Complex, damping: float
) -> tuple[Complex, Complex]:
    """Solve alpha and beta (noutputs, nfrequency) of n = alpha L + beta R by least squares."""

    def cross(a: Complex, b: Complex) -> Complex:
        spectrum: Complex = np.mean(a * b.conj(), axis=0)
        return spectrum

    ll, rr = cross(left, left).real, cross(right, right).real
    rl = cross(right, left)
    load = 0.5 * damping * (ll + rr)
    ll, rr = ll + load, rr + load
    nl, nr = cross(outputs, left[:, None]), cross(outputs, right[:, None])
    determinant = ll * rr - np.abs(rl) ** 2
    known = determinant > 0.0
    inverse = np.where(known, 1.0 / np.where(known, determinant, 1.0), 0.0)
    return (nl * rr - nr * rl) * inverse, (nr * ll - nl * rl.conj()) * inverse


def _kernels(weights: Complex, nrow: int, nlag: int) -> Float32:
    """Turn weights (noutputs, nfrequency) into kernels (noutputs, nlag)."""
    weights = weights.copy()
    weights[:, 0] = weights[:, 1].real  # the mean of the rows was taken off: nothing is known
    half = (nlag - 1) // 2
    lag = half - np.arange(nlag)  # n(y) = sum_k a(k) L(y - k): tap j has k = h - j
    taper = np.cos(0.5 * np.pi * lag / (half + 1)) ** 2
    response = np.fft.irfft(weights, nrow, axis=1)
    return np.asarray(response[:, lag % nrow] * taper, dtype=np.float32)


def _series(
    darks: Iterable[npt.ArrayLike],
    noutputs: int,
    ref_pixels: int,
    nlag: int,
    bad_pixels: npt.ArrayLike | None,
) -> Float64:
    """Reduce darks to row means (nframe, noutputs + 2, nrow), L and R the last two."""
    series: list[Float64] = []
    layout: _Layout | None = None
    for dark in darks:
        frame = np.asarray(dark, dtype=np.float64)
        if layout is None:
            layout = _layout(frame.shape, noutputs, ref_pixels, nlag, bad_pixels)
        if frame.shape != layout.good.shape:
            raise _complaint("shape", frame.shape, layout.good.shape, "give darks of one size")
        if not np.isfinite(frame[layout.good]).all():
            raise _complaint("values", "NaN or infinity", "finite counts", "mark them as bad")
        series.append(_row_means(frame, layout))
    if not series:
        raise _complaint("darks", "none", "at least one", "give dark reads or their differences")
    return np.array(series)


def _complaint(part: str, got: object, expected: object, remedy: str) -> InputError:
    return InputError(complaint("reference weights", part, got, expected, remedy))


def _layout(
    shape: tuple[int, ...],
    noutputs: int,
    ref_pixels: int,
    nlag: int,
    bad_pixels: npt.ArrayLike | None,
) -> _Layout:
    """Check that everything fits together."""
    if len(shape) != 2:
        raise _complaint("shape", shape, "(ny, nx)", "give two-dimensional darks")
    ny, nx = shape
    if not 1 <= ref_pixels <= (min(ny, nx) - 1) // 2:
        raise _complaint("ref_pixels", ref_pixels, "a border inside the dark", "check the darks")
    if noutputs < 1 or nx % noutputs:
        raise _complaint("noutputs", noutputs, f"a divisor of {nx} columns", "check the darks")
    nrow = ny - 2 * ref_pixels
    if nlag < 1 or nlag % 2 == 0 or nlag > nrow:
        raise _complaint("nlag", nlag, f"an odd number up to {nrow}", "choose another length")
    good = np.ones(shape, dtype=np.bool_)
    if bad_pixels is not None:
        good = ~np.asarray(bad_pixels, dtype=np.bool_)
    if good.shape != shape:
        raise _complaint("bad_pixels", good.shape, shape, "give a mask of the size of the darks")
    return _Layout(ny, nx, noutputs, ref_pixels, good)


def _row_means(frame: Float64, layout: _Layout) -> Float64:
    """Average the rows of each output, and of the left and right reference columns."""
    border, rows = layout.border, layout.rows
    counts = (frame - _levels(frame, layout))[rows]
    good = layout.good[rows].copy()
    sides = np.r_[0:border, layout.nx - border : layout.nx]
    side_counts, side_good = counts[:, sides], good[:, sides]
    side_good = _near_median(side_counts, side_good)
    good[:, sides] = False
    means = [
        _mean(counts[:, x : x + layout.width], good[:, x : x + layout.width], clip=True)
        for x in range(0, layout.nx, layout.width)
    ]
    means += [
        _mean(side_counts[:, columns], side_good[:, columns], clip=False)
        for columns in (slice(0, border), slice(border, None))
    ]
    return np.array(means)


def _levels(frame: Float64, layout: _Layout) -> Float64:
    """Level of each column (nx,): median of its output and parity on the reference rows."""
    border = np.r_[0 : layout.border, layout.ny - layout.border : layout.ny]
    counts = np.where(layout.good[border], frame[border], np.nan)
    column = np.arange(layout.nx)
    level = np.zeros(layout.nx)
    for output in range(layout.noutputs):
        for parity in (0, 1):
            mine = (column // layout.width == output) & (column % 2 == parity)
            values = counts[:, mine]
            values = values[np.isfinite(values)]
            level[mine] = np.median(values) if values.size else 0.0
    return level


def _near_median(values: Float64, good: Bool) -> Bool:
    """Tell which good pixels (nrow, nx) lie near the median of their row."""
    known = np.where(good, values, np.nan)
    filled = good.any(axis=1)
    distance = np.full(values.shape, np.inf)
    distance[filled] = np.abs(values[filled] - np.nanmedian(known[filled], axis=1, keepdims=True))
    if not filled.any():
        return good
    sigma = SIGMA_PER_MAD * float(np.median(distance[good]))
    near: Bool = good & (distance <= CLIP * max(sigma, DIGITISED))
    return near


def _mean(values: Float64, good: Bool, *, clip: bool) -> Float64:
    """Average the good pixels of each row; rows without any are bridged by their neighbours."""
    if clip:
        good = _near_median(values, good)
    count = good.sum(axis=1)
    known = count > 0
    mean = np.where(good, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    if not known.any():
        return np.zeros(len(mean))
    row = np.arange(len(mean))
    return np.asarray(np.interp(row, row[known], mean[known]), dtype=np.float64)
