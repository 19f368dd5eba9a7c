"""Linearity of every pixel, with its pedestal, from ramps of a constant lamp."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.ramp.averages import mean_ramp
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["Linearity", "LinearityFit"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

BEYOND = 1.01
"""LIMIT over the level at which a pixel is full: the noise of a full pixel stays below."""
FEWEST = 4
"""Steps that a fit of a slope and two coefficients is made of at least."""
ROUNDS = 3
"""The pedestal is the intercept of what the fit gives; each round leaves a hundredth of its error."""


@dataclass(frozen=True, eq=False)
class Linearity:
    """What makes counts linear: y = x + c2 x^2 + c3 x^3, x = counts - pedestal.

    Attributes
    ----------
    coeffs : ndarray (4, ny, nx) float32
        0, 1, c2 [1/DN], c3 [1/DN^2].
    limit : ndarray (ny, nx) float32
        Largest x that the polynomial is used for [DN].
    pedestal : ndarray (ny, nx) float32
        Counts above the reference level without charge [DN].
    error : ndarray (ny, nx) float32
        Relative error of y at the limit.
    dq : ndarray (ny, nx) uint32
        NO_LIN_CORR where the pixel has too few steps: it has the mean curve of its output.
    """

    coeffs: Float32
    limit: Float32
    pedestal: Float32
    error: Float32
    dq: npt.NDArray[np.uint32]


@dataclass(frozen=True, eq=False)
class _Level:
    """Mean ramp at one light level: counts and usability (nread, ny, nx), times (nread,)."""

    counts: Float64
    usable: Bool
    times: Float64
    number: int


@dataclass
class LinearityFit:
    """Collects ramps, then fits.

    Parameters
    ----------
    top : ndarray (ny, nx)
        Level above the reference level at which a pixel is full [DN].
    noutputs : int, optional
        Vertical output stripes; divides nx.

    Notes
    -----
    Between two reads of a constant lamp ``y`` grows in proportion to time whatever charge the reset
    left. With c0 = 0 and c1 = 1 the mean steps of a ramp obey

        dx/dt = R - c2 d(x^2)/dt - c3 d(x^3)/dt

    which is linear in R (one for each light level), c2 and c3. Ramps are averaged before: the
    square of a mean is the mean square but for the variance of the charge, 1e-5 of the signal,
    while the noise of single ramps would pull the coefficients towards 0. Steps of light have
    equal variance per time, so that they are weighted by their length.

    c2 and c3 of one pixel are nearly degenerate. How much they scatter from pixel to pixel is seen
    in the fits once their noise is taken off: an output's mean and covariance are the prior of its
    pixels (empirical Bayes; Efron & Morris 1973, JASA 68, 117, doi:10.1080/01621459.1973.10481350).

    The pedestal is the first read of darks, less its dark signal, or without darks the intercept
    of the linearised ramps.
    """

    top: Float32
    noutputs: int = 1
    _levels: list[_Level] = field(default_factory=list, repr=False)
    _darks: list[tuple[Float64, int]] = field(default_factory=list, repr=False)

    def add(self, ramps: npt.ArrayLike, usable: npt.ArrayLike, times: npt.ArrayLike) -> None:
        """Add ramps of one light level.

        Parameters
        ----------
        ramps : array_like (nramp, nread, ny, nx)
            Counts above the reference level [DN].
        usable : array_like (nramp, nread, ny, nx) bool
            False from the first saturated read of a ramp on.
        times : array_like (nread,)
            Start of the reads since the reset [s].

        Raises
        ------
        InputError
            If there are fewer than two reads.
        """
        seconds = np.asarray(times, np.float64)
        counts = np.asarray(ramps, np.float32)
        if counts.shape[1] < 2:
            raise _complaint("reads", counts.shape[1], "at least two a ramp", "take longer ramps")
        good: Bool = np.all(np.asarray(usable, np.bool_), axis=0)
        self._levels.append(_Level(mean_ramp(counts), good, seconds, counts.shape[0]))

    def add_dark(self, ramps: npt.ArrayLike, times: npt.ArrayLike) -> None:
        """Add dark ramps (nramp, nread, ny, nx) [DN]; nothing else is asked of them than of the others."""
        counts, seconds = np.asarray(ramps, np.float32), np.asarray(times, np.float64)
        mean = mean_ramp(counts)
        rate = (mean[-1] - mean[0]) / (seconds[-1] - seconds[0])
        self._darks.append((mean[0] - rate * seconds[0], counts.shape[0]))

    def result(self) -> Linearity:
        """Fit all pixels.

        Returns
        -------
        Linearity
            Coefficients (4, ny, nx), limit and pedestal [DN], relative error and flags (ny, nx).

        Raises
        ------
        InputError
            If no ramp was added.
        """
        if not self._levels:
            raise _complaint("ramps", "none", "flat ramps", "take flats up to full well")
        scale = float(np.median(self.top))
        pedestal = self._first_pedestal()
        for _ in range(ROUNDS):
            fit = self._fit(pedestal, scale)
            if not self._darks:
                pedestal = pedestal + self._intercept(pedestal, fit.curve, scale)
        coeffs = np.zeros((4, *pedestal.shape), np.float32)
        coeffs[1] = 1.0
        coeffs[2], coeffs[3] = fit.curve[0] / scale, fit.curve[1] / scale**2
        limit = BEYOND * np.maximum(self.top - pedestal, 1.0)
        powers = np.stack([limit / scale, (limit / scale) ** 2])
        error = np.sqrt(np.einsum("iyx,ijyx,jyx->yx", powers, fit.covariance, powers))
        dq = np.where(fit.known, 0, np.uint32(Flag.NO_LIN_CORR)).astype(np.uint32)
        return Linearity(
            coeffs,
            limit.astype(np.float32),
            pedestal.astype(np.float32),
            error.astype(np.float32),
            dq,
        )

    # --- pedestal -------------------------------------------------------------------------------------------------

    def _first_pedestal(self) -> Float64:
        """Take the pedestal from darks, else from the first step of the faintest ramps."""
        if self._darks:
            number = sum(n for _, n in self._darks)
            return np.asarray(sum(n * plane for plane, n in self._darks) / number)
        ramp = min(self._levels, key=lambda one: float(np.median(one.counts[1] - one.counts[0])))
        first, second = ramp.times[:2]
        step = ramp.counts[1] - ramp.counts[0]
        return np.asarray(ramp.counts[0] - step * first / (second - first))

    def _intercept(self, pedestal: Float64, curve: Float64, scale: float) -> Float64:
        """Extrapolate the linearised ramps to the reset (ny, nx) [DN], a mean over light levels."""
        total, weight = np.zeros(pedestal.shape), np.zeros(pedestal.shape)
        for level in self._levels:
            u = (level.counts - pedestal) / scale
            y = scale * u * (1.0 + u * (curve[0] + u * curve[1]))
            t = level.times
            rate, known = _slope(y, level.usable, t)
            one = y[0] - rate * t[0]
            share = level.number * known / np.maximum(rate * t[0], 1.0)
            total += share * np.where(known, one, 0.0)
            weight += share
        return np.asarray(total / np.where(weight > 0, weight, 1.0))

    # --- curve ----------------------------------------------------------------------------------------------------

    def _fit(self, pedestal: Float64, scale: float) -> _Fit:
        """Solve for c2 and c3 of x / scale, then pull them towards those of their output."""
        shape = pedestal.shape
        normal, right = np.zeros((2, 2, *shape)), np.zeros((2, *shape))
        squares, steps = np.zeros(shape), np.zeros(shape)
        for level in self._levels:
            n, r, s, count = _equations(level, pedestal, scale)
            normal, right, squares, steps = normal + n, right + r, squares + s, steps + count
        known = steps >= FEWEST
        determinant = normal[0, 0] * normal[1, 1] - normal[0, 1] ** 2
        known &= determinant > 1e-12 * normal[0, 0] * normal[1, 1]
        inverse = _inverse(normal, known)
        free = np.einsum("ijyx,jyx->iyx", inverse, right)
        chi2 = squares - np.einsum("iyx,iyx->yx", free, right)
        curve, covariance = free.copy(), inverse.copy()
        width = shape[1] // self.noutputs
        for start in range(0, shape[1], width):
            mine = np.s_[:, start : start + width]
            one = _Pixels(free[:, *mine], inverse[:, :, *mine], known[mine])
            variance = _variance(chi2[mine], steps[mine], one.known)
            curve[:, *mine], covariance[:, :, *mine] = _shrunk(one, variance)
        return _Fit(curve, covariance, known)


@dataclass(frozen=True, eq=False)
class _Fit:
    """Curve (2, ny, nx), its covariance (2, 2, ny, nx), and where there is one of the pixel itself."""

    curve: Float64
    covariance: Float64
    known: Bool


@dataclass(frozen=True, eq=False)
class _Pixels:
    """Free fits (2, ny, nx) of an output, inverse normal matrices, and which of them count."""

    curve: Float64
    inverse: Float64
    known: Bool


def _complaint(part: str, got: object, expected: object, remedy: str) -> InputError:
    return InputError(complaint("linearity", part, got, expected, remedy))


def _slope(values: Float64, usable: Bool, times: Float64) -> tuple[Float64, Bool]:
    """Slope (ny, nx) from the first to the last usable read, and where there is one."""
    last = usable.sum(axis=0) - 1
    known = last >= 1
    end = np.maximum(last, 1)
    top = np.take_along_axis(values, end[None], axis=0)[0]
    return (top - values[0]) / (times[end] - times[0]), known


def _equations(
    level: _Level, pedestal: Float64, scale: float
) -> tuple[Float64, Float64, Float64, Float64]:
    """Give normal matrix, right side, sum of squares, number of steps, the rate of the level eliminated."""
    dt = np.diff(level.times)[:, None, None]
    good = level.usable[1:] & level.usable[:-1]
    u = (level.counts - pedestal) / scale
    rate = np.diff(u, axis=0) / dt
    terms = (np.diff(u**2, axis=0) / dt, np.diff(u**3, axis=0) / dt)
    brightness = np.maximum((rate * good).sum(axis=0) / np.maximum(good.sum(axis=0), 1), 1e-12)
    weight = good * dt * level.number / brightness
    total = np.maximum(weight.sum(axis=0), 1e-300)

    def centred(values: Float64) -> Float64:
        return np.asarray(values - (weight * values).sum(axis=0) / total)

    d, f = centred(rate), [-centred(term) for term in terms]
    normal = np.array([[(weight * a * b).sum(axis=0) for b in f] for a in f])
    right = np.array([(weight * a * d).sum(axis=0) for a in f])
    count = np.maximum(good.sum(axis=0) - 1, 0)
    return normal, right, (weight * d * d).sum(axis=0), count.astype(np.float64)


def _inverse(matrix: Float64, known: Bool) -> Float64:
    """Invert 2 x 2 matrices (2, 2, ny, nx); 0 where that is not possible."""
    a, b, c = matrix[0, 0], matrix[0, 1], matrix[1, 1]
    determinant = np.where(known, a * c - b * b, 1.0)
    return np.array([[c, -b], [-b, a]]) * np.where(known, 1.0 / determinant, 0.0)


def _variance(chi2: Float64, steps: Float64, known: Bool) -> float:
    """Variance of a step of unit weight: what the fits leave, over all pixels of an output."""
    freedom = (steps[known] - 2.0).sum()
    if freedom <= 0:
        return 0.0
    reduced = np.sort(chi2[known] / np.maximum(steps[known] - 2.0, 1.0))
    core = reduced[: max(1, int(0.95 * reduced.size))]  # a hit that was not clipped is in the rest
    return float(np.maximum(core, 0.0).mean())


def _shrunk(pixels: _Pixels, variance: float) -> tuple[Float64, Float64]:
    """Pull the fits of the pixels of an output towards their common distribution."""
    noise = variance * pixels.inverse
    if not pixels.known.any():
        return np.zeros_like(pixels.curve), noise
    curves = pixels.curve[:, pixels.known]
    mean = np.median(curves, axis=1)
    core = _core(curves - mean[:, None])
    scatter = np.cov(curves[:, core]) if core.sum() > 2 else np.zeros((2, 2))
    blur = noise[:, :, pixels.known][:, :, core].mean(axis=2)
    prior = _positive(scatter - blur)
    total = np.moveaxis(noise, (0, 1), (-2, -1)) + prior
    total[~pixels.known] = np.eye(2)
    gain = prior @ np.linalg.pinv(total, hermitian=True)
    gain[~pixels.known] = 0.0
    away = np.moveaxis(pixels.curve, 0, -1) - mean
    curve = np.moveaxis(mean + np.einsum("...ij,...j->...i", gain, away), -1, 0)
    left = (np.eye(2) - gain) @ prior
    return curve, np.moveaxis(left, (-2, -1), (0, 1))


def _core(deviations: Float64) -> Bool:
    """Tell the fits (2, n) that are no outliers: within 5 robust sigmas in both coefficients."""
    sigma = 1.4826 * np.median(np.abs(deviations), axis=1, keepdims=True)
    return np.asarray((np.abs(deviations) <= 5.0 * sigma).all(axis=0))


def _positive(matrix: Float64) -> Float64:
    """Set negative eigenvalues of a symmetric matrix to 0."""
    values, vectors = np.linalg.eigh(matrix)
    return np.asarray((vectors * np.maximum(values, 0.0)) @ vectors.T)
