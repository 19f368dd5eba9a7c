"""Gain of each readout channel by photon transfer, with the covariance of neighbours taken into account."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["ChannelGain", "PhotonTransfer"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

CLIP = 2.5
"""Differences beyond that many sigmas are hits; what a Gaussian loses there is put back."""
KEPT = 0.911257
"""Variance of a unit Gaussian cut at 2.5 sigma: 1 - 2 c phi(c) / (2 Phi(c) - 1). A small covariance of two cut
values is that of the whole ones times the square of it."""
EFFICIENCY = 1.2
"""Scatter of the clipped variance over that of the plain one, for Gaussian values."""
REACH = 2
"""Neighbours whose covariance is measured [pixel]."""
SIGNIFICANT = 2.0
"""Covariances below that many sigmas count as 0."""
FEWEST = 100
"""Pixels that a variance is made of at least."""


@dataclass(frozen=True, eq=False)
class ChannelGain:
    """Gains of a detector.

    Attributes
    ----------
    gain, error : ndarray (noutputs,) float64
        Conversion gain and its error [e-/DN]; NaN for an output that could not be measured.
    covariance : ndarray (5, 5) float64
        Covariance of the photon noise of a pixel with that of its neighbours, over its variance;
        1 at the centre.
    factor : float
        Photon noise without coupling over the variance of one pixel.
    curve : ndarray (n, 3) float64
        Output, mean signal of a step [DN], photon variance of the difference of two steps [DN^2].
    """

    gain: Float64
    error: Float64
    covariance: Float64
    factor: float
    curve: Float64


@dataclass
class _Sums:
    """Sums over pixels and steps of one output."""

    signal: float = 0.0
    variance: float = 0.0
    pixels: float = 0.0
    neighbouring: float = 0.0
    pairs: float = 0.0


@dataclass
class PhotonTransfer:
    """Collects pairs of equal flat ramps, then gives the gain of every output.

    Parameters
    ----------
    noutputs : int
        Vertical output stripes; divides nx.

    Notes
    -----
    Two flat ramps of equal light, linear and above the reference level, have steps with the same
    mean, so that the difference D of their steps has no pixel flat in it. Its variance over an
    output is

        V = (mu_A + mu_B) / g + 4 sigma^2,      cov(D_k, D_k+1) = -2 sigma^2

    for steps of mu_A and mu_B [DN] and a read noise sigma [DN], which comes from darks, or from the
    covariance of neighbouring steps. Steps are independent charge: reset noise, drifts and earlier
    hits are not in them.

    Interpixel capacitance shares the noise of a pixel with its neighbours: V is too small by the
    factor sum(k^2) of its kernel, and the sum of the autocovariance over all lags makes up for it
    (Moore, Ninkov & Forrest 2006, Opt. Eng. 45, 076402, doi:10.1117/1.2219103). Lags up to one pixel are
    summed as measured over all outputs; beyond, coupling by a once gives a^2, which follows from the
    first lags. A covariance that its noise explains is shrunk towards 0 by 1 - (2 noise / value)^2,
    so that a detector without coupling does not pay for its absence. Charge that repels charge (the
    brighter-fatter effect) grows with signal: steps above half of full well are better left out.
    """

    noutputs: int
    _sums: dict[int, _Sums] = field(default_factory=lambda: defaultdict(_Sums), repr=False)
    _dark: dict[int, list[float]] = field(
        default_factory=lambda: defaultdict(lambda: [0.0, 0.0]), repr=False
    )
    _lags: Float64 = field(
        default_factory=lambda: np.zeros((2, 2 * REACH + 1, 2 * REACH + 1)), repr=False
    )
    _steps: list[tuple[int, float, float]] = field(default_factory=list, repr=False)

    def add_pair(self, first: npt.ArrayLike, second: npt.ArrayLike, usable: npt.ArrayLike) -> None:
        """Add two ramps of equal light, or bands of rows of them.

        Parameters
        ----------
        first, second : array_like (nread, ny, nx)
            Linear counts above the reference level [DN].
        usable : array_like (nread, ny, nx) bool
            Where both may be used: good pixels below the limit of the signal.
        """
        a, b = (np.diff(np.asarray(ramp, np.float64), axis=0) for ramp in (first, second))
        good = np.asarray(usable, np.bool_)
        good = good[1:] & good[:-1]
        width = a.shape[2] // self.noutputs
        for output in range(self.noutputs):
            columns = slice(output * width, (output + 1) * width)
            before: tuple[Float64, Bool] | None = None
            for step in range(a.shape[0]):
                difference, keep = _centred(
                    a[step, :, columns] - b[step, :, columns], good[step, :, columns], columns.start
                )
                if keep.sum() < FEWEST:
                    before = None
                    continue
                total = (a[step, :, columns] + b[step, :, columns])[keep]
                self._add(output, difference, keep, float(total.sum()))
                if before is not None:
                    both = keep & before[1]
                    self._sums[output].neighbouring += float(
                        (difference * before[0])[both].sum() / KEPT**2
                    )
                    self._sums[output].pairs += float(both.sum())
                before = difference, keep

    def add_dark(self, ramps: npt.ArrayLike, good: npt.ArrayLike) -> None:
        """Add dark ramps, which measure the read noise.

        Parameters
        ----------
        ramps : array_like (nramp, nread, ny, nx)
            Counts above the reference level [DN].
        good : array_like (ny, nx) bool
            Pixels that count.
        """
        steps = np.diff(np.asarray(ramps, np.float32), axis=1)
        mask = np.asarray(good, np.bool_)
        width = mask.shape[1] // self.noutputs
        for output in range(self.noutputs):
            columns = slice(output * width, (output + 1) * width)
            for step in steps[..., columns].reshape(-1, mask.shape[0], width):
                difference, keep = _centred(
                    step.astype(np.float64), mask[:, columns], columns.start
                )
                self._dark[output][0] += float((difference[keep] ** 2).sum() / KEPT)
                self._dark[output][1] += float(keep.sum())

    def _add(self, output: int, difference: Float64, keep: Bool, signal: float) -> None:
        """Add a step to the sums: signal, variance, products with neighbours."""
        sums = self._sums[output]
        variance = float((difference[keep] ** 2).sum() / KEPT)
        sums.signal += signal
        sums.variance += variance
        sums.pixels += float(keep.sum())
        self._steps.append((output, signal / keep.sum(), variance / keep.sum()))
        values = np.where(keep, difference, 0.0)
        for dy in range(REACH + 1):
            for dx in range(-REACH, REACH + 1):
                here, there = _shifted(values, dy, dx)
                known, other = _shifted(keep, dy, dx)
                self._lags[0, REACH + dy, REACH + dx] += float((here * there).sum() / KEPT**2)
                self._lags[1, REACH + dy, REACH + dx] += float((known & other).sum())

    def result(self) -> ChannelGain:
        """Give the gain of every output.

        Returns
        -------
        ChannelGain
            Gains and errors (noutputs,) [e-/DN] and covariances.

        Raises
        ------
        InputError
            If no output has steps that can be used.
        """
        if not self._sums:
            raise InputError(
                complaint(
                    "gain", "flat pairs", "none that can be used", "two flats of equal light",
                    "take flats in pairs, below half of full well",
                )
            )  # fmt: skip
        photon = {o: s.variance - self._read_variance(o) * s.pixels for o, s in self._sums.items()}
        covariance = self._covariance(
            sum(photon.values()) / sum(s.pixels for s in self._sums.values())
        )
        factor, factor_error = self._factor(covariance)
        gain, error = np.full(self.noutputs, np.nan), np.full(self.noutputs, np.nan)
        for output, sums in self._sums.items():
            if photon[output] <= 0:
                continue
            gain[output] = sums.signal / (photon[output] * factor)
            own = EFFICIENCY * np.sqrt(2.0 / sums.pixels) * sums.variance / photon[output]
            read = self._read_error(output) * sums.pixels / photon[output]
            error[output] = gain[output] * np.sqrt(own**2 + read**2 + factor_error**2)
        curve = np.array(
            [(o, signal, value - self._read_variance(o)) for o, signal, value in self._steps]
        )
        return ChannelGain(gain, error, covariance, factor, curve)

    def _read_variance(self, output: int) -> float:
        """Part of the variance of the difference of two steps that is read noise [DN^2]."""
        square, pixels = self._dark[output]
        if pixels:
            return 2.0 * square / pixels
        sums = self._sums[output]
        return -2.0 * sums.neighbouring / sums.pairs if sums.pairs else 0.0

    def _read_error(self, output: int) -> float:
        """Error of that part [DN^2]; products of neighbouring steps have the noise of the light."""
        square, pixels = self._dark[output]
        if pixels:
            return float(2.0 * square / pixels * np.sqrt(3.0 / pixels))
        sums = self._sums[output]
        return 2.0 * sums.variance / sums.pixels / np.sqrt(sums.pairs) if sums.pairs else 0.0

    def _covariance(self, photon: float) -> Float64:
        """Covariances over the mean photon variance of a pixel, symmetric about the centre."""
        half = self._lags[0] / np.maximum(self._lags[1], 1.0) / photon
        half[:REACH] = half[::-1, ::-1][:REACH]
        half[REACH, :REACH] = half[REACH, ::-1][:REACH]
        half[REACH, REACH] = 1.0
        return np.asarray(half)

    def _factor(self, covariance: Float64) -> tuple[float, float]:
        """Sum of the covariances over all lags, and its error."""
        noise = 1.0 / float(self._lags[1, REACH, REACH])
        least = SIGNIFICANT**2 * noise
        share = 1.0 - least / np.maximum(covariance**2, least)
        known = covariance * share
        known[REACH, REACH] = 1.0
        near = float(known[1:-1, 1:-1].sum())
        y, x = known[REACH + 1, REACH], known[REACH, REACH + 1]
        error = 2.0 * np.sqrt(noise * float((share[1:-1, 1:-1] ** 2).sum() - 1.0) / 2.0 + noise)
        return near + float(y * y + x * x) / 2.0, float(error)


def _shifted(
    values: npt.NDArray[Any], dy: int, dx: int
) -> tuple[npt.NDArray[Any], npt.NDArray[Any]]:
    """Give an image and the same moved by (dy, dx), dy >= 0, where both are."""
    ny, nx = values.shape
    here = values[: ny - dy, max(0, -dx) : nx - max(0, dx)]
    there = values[dy:, max(0, dx) : nx - max(0, -dx)]
    return here, there


def _centred(values: Float64, good: Bool, start: int) -> tuple[Float64, Bool]:
    """Take the mean of each column parity off an output, and drop hits."""
    out, keep = values.copy(), good.copy()
    parity = (start + np.arange(values.shape[1])) % 2
    for odd in (0, 1):
        columns = parity == odd
        mine = good[:, columns]
        part = values[:, columns]
        if not mine.any():
            continue
        middle = float(np.median(part[mine]))
        sigma = 1.4826 * float(np.median(np.abs(part[mine] - middle)))
        for _ in range(5):
            near = mine & (np.abs(part - middle) <= CLIP * max(sigma, 0.5))
            middle = float(part[near].mean())
            sigma = float(np.sqrt(part[near].var() / KEPT))
        out[:, columns] = part - middle
        keep[:, columns] = near
    return out, keep
