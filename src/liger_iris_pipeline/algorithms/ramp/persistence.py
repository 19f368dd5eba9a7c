"""Persistence: charge that was trapped under bright light comes back for an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["TAU", "AfterGlow", "Capture", "Traps", "capture_map", "fit_persistence"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

TAU = tuple(float(value) for value in np.geomspace(10.0, 3000.0, 5))
"""Release times of the five kinds of trap [s] (Tulloch & George 2019, JATIS 5, 036004)."""
CLIP = 5.0
"""An exposure that many sigmas from the others was hit."""
MODEL = 0.01
"""Five poles follow a decay to that part; bright exposures would otherwise bend the faint ones."""
FAINT = 5.0
"""A pixel whose efficiency is known to less than that many sigmas has the mean."""


@dataclass(frozen=True, eq=False)
class AfterGlow:
    """A dark exposure some time after the light went out.

    Attributes
    ----------
    rate, error : ndarray (ny, nx)
        Signal above the dark current and its one-sigma error [e-/s].
    begin, end : float
        The exposure, counted from when the light went out [s].
    """

    rate: npt.ArrayLike
    error: npt.ArrayLike
    begin: float
    end: float


@dataclass(frozen=True, eq=False)
class Traps:
    """What the traps of a detector hold.

    Attributes
    ----------
    tau : ndarray (npole,) float64
        Release times [s].
    amplitude, error : ndarray (npole,) float64
        Part of the charge that each kind traps, and its error.
    """

    tau: Float64
    amplitude: Float64
    error: Float64

    def rate(self, stimulus: npt.ArrayLike, begin: float, end: float) -> Float64:
        """Give the mean rate that traps release in an exposure.

        Parameters
        ----------
        stimulus : array_like (ny, nx)
            Charge that the pixels held when the light went out [e-].
        begin, end : float
            The exposure, counted from when the light went out [s].

        Returns
        -------
        ndarray (ny, nx) float64
            Rate [e-/s].

        Notes
        -----
        ``sum_j a_j S (exp(-begin / tau_j) - exp(-end / tau_j)) / (end - begin)``: a bank of
        one-pole filters of the exposure history.
        """
        share = float(np.sum(self.amplitude * _release(self.tau, begin, end)))
        return np.asarray(share * np.asarray(stimulus, np.float64))


@dataclass(frozen=True, eq=False)
class Capture:
    """How well each pixel traps charge.

    Attributes
    ----------
    efficiency, error : ndarray (ny, nx) float32
        Relative to the detector, and its error.
    dq : ndarray (ny, nx) uint32
        OTHER_BAD_PIXEL where it is not known; it is 1 there.
    """

    efficiency: Float32
    error: Float32
    dq: npt.NDArray[np.uint32]


def _release(tau: Float64, begin: float, end: float) -> Float64:
    """Rate per trapped charge of each pole [1/s]."""
    return np.asarray((np.exp(-begin / tau) - np.exp(-end / tau)) / (end - begin))


def fit_persistence(
    exposures: Sequence[AfterGlow],
    stimulus: npt.ArrayLike,
    good: npt.ArrayLike,
    *,
    tau: Sequence[float] = TAU,
) -> Traps:
    """Fit the traps of a detector to darks after light.

    Parameters
    ----------
    exposures : sequence of AfterGlow
        Darks; as many as there are poles at least, spread over the times that matter.
    stimulus : array_like (ny, nx)
        Charge that the pixels held when the light went out [e-].
    good : array_like (ny, nx) bool
        Pixels that count.
    tau : sequence of float, optional
        Release times [s].

    Returns
    -------
    Traps
        Amplitudes of the detector.

    Raises
    ------
    InputError
        If there are fewer exposures than poles.

    Notes
    -----
    The rate over the stimulus is averaged over the detector for each exposure, so that its decay is
    known much better than that of any pixel; amplitudes are its non-negative least-squares
    solution. Single amplitudes are correlated, what they predict together is not.
    """
    if len(exposures) < len(tau):
        raise InputError(
            complaint(
                "persistence", "darks after light", len(exposures), f"at least {len(tau)}",
                "take more, over an hour",
            )
        )  # fmt: skip
    poles, charge = np.asarray(tau, np.float64), np.asarray(stimulus, np.float64)
    used = np.asarray(good, np.bool_) & (charge > 0)
    design = np.array([_release(poles, e.begin, e.end) for e in exposures])
    ratio, sigma = np.array([_ratio(e, charge, used) for e in exposures]).T
    sigma = np.hypot(sigma, MODEL * ratio)
    amplitude, _ = scipy.optimize.nnls(design / sigma[:, None], ratio / sigma)
    covariance = np.linalg.pinv((design / sigma[:, None]).T @ (design / sigma[:, None]))
    return Traps(poles, amplitude, np.sqrt(np.diag(covariance)))


def capture_map(
    exposures: Sequence[AfterGlow], stimulus: npt.ArrayLike, good: npt.ArrayLike, traps: Traps
) -> Capture:
    """Measure how well each pixel traps charge against the detector.

    Parameters
    ----------
    exposures, stimulus, good
        As for :func:`fit_persistence`, or a band of rows of them.
    traps : Traps
        Of the detector.

    Returns
    -------
    Capture
        Signal of a pixel in all exposures over the prediction, weighted; an exposure that is
        `CLIP` sigmas off, as after a hit, does not count.
    """
    charge = np.asarray(stimulus, np.float64)
    keep = [np.ones(charge.shape, np.bool_) for _ in exposures]
    for _ in range(2):
        top, power = np.zeros(charge.shape), np.zeros(charge.shape)
        for exposure, used in zip(exposures, keep, strict=True):
            expected = traps.rate(charge, exposure.begin, exposure.end)
            weight = used / np.asarray(exposure.error, np.float64) ** 2
            top += weight * expected * np.asarray(exposure.rate, np.float64)
            power += weight * expected**2
        efficiency, error = top / np.maximum(power, 1e-30), 1.0 / np.sqrt(np.maximum(power, 1e-30))
        keep = [_near(e, efficiency * traps.rate(charge, e.begin, e.end)) for e in exposures]
    known = np.asarray(good, np.bool_) & (charge > 0) & (error * FAINT < efficiency)
    dq = np.where(known, 0, np.uint32(Flag.OTHER_BAD_PIXEL)).astype(np.uint32)
    planes = (np.where(known, efficiency, 1.0).astype(np.float32), error.astype(np.float32))
    return Capture(*planes, dq)


def _near(exposure: AfterGlow, expected: Float64) -> Bool:
    """Tell the pixels of an exposure that are what is expected."""
    away = np.abs(np.asarray(exposure.rate, np.float64) - expected)
    return np.asarray(away <= CLIP * np.asarray(exposure.error, np.float64))


def _ratio(exposure: AfterGlow, charge: Float64, used: Bool) -> tuple[float, float]:
    """Median over the detector of the rate over the charge [1/s], and its error."""
    values = np.asarray(exposure.rate, np.float64)[used] / charge[used]
    errors = np.asarray(exposure.error, np.float64)[used] / charge[used]
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    keep = np.abs(values - middle) <= 4.0 * max(spread, float(np.median(errors)))
    weight = 1.0 / errors[keep] ** 2
    return float((weight * values[keep]).sum() / weight.sum()), float(1.0 / np.sqrt(weight.sum()))
