"""Persistence: charge that was trapped under bright light comes back for an hour."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.optimize import nnls

from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["TAU", "AfterGlow", "Traps", "fit_persistence", "persistence_rate"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

TAU = tuple(float(value) for value in np.geomspace(10.0, 3000.0, 5))
"""Release times of the five kinds of trap [s] (Tulloch & George 2019, JATIS 5, 036004)."""
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
    """What traps hold.

    Attributes
    ----------
    tau : ndarray (npole,) float64
        Release times [s].
    amplitude, error : ndarray (npole,) float64
        Part of the charge that each kind traps, and its error.
    capture : ndarray (ny, nx) float32
        Efficiency of a pixel relative to the mean, 1 in the median.
    capture_error : ndarray (ny, nx) float32
        Its error.
    dq : ndarray (ny, nx) uint32
        OTHER_BAD_PIXEL where the efficiency is not known; it is 1 there.
    """

    tau: Float64
    amplitude: Float64
    error: Float64
    capture: Float32
    capture_error: Float32
    dq: npt.NDArray[np.uint32]


def persistence_rate(
    stimulus: npt.ArrayLike, tau: npt.ArrayLike, amplitude: npt.ArrayLike, begin: float, end: float
) -> Float64:
    """Give the mean rate that traps release in an exposure.

    Parameters
    ----------
    stimulus : array_like (ny, nx)
        Charge that the pixels held when the light went out [e-].
    tau, amplitude : array_like (npole,)
        Release times [s] and trapped parts.
    begin, end : float
        The exposure, counted from when the light went out [s].

    Returns
    -------
    ndarray (ny, nx) float64
        Rate [e-/s].

    Notes
    -----
    ``sum_j a_j S (exp(-begin / tau_j) - exp(-end / tau_j)) / (end - begin)``: a bank of one-pole
    filters of the exposure history.
    """
    times, parts = np.asarray(tau, np.float64), np.asarray(amplitude, np.float64)
    share = float(np.sum(parts * _release(times, begin, end)))
    return np.asarray(share * np.asarray(stimulus, np.float64))


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
        Amplitudes of the detector, and efficiency of every pixel.

    Raises
    ------
    InputError
        If there are fewer exposures than poles.

    Notes
    -----
    The rate over the stimulus is averaged over the detector for each exposure, so that its decay is
    known much better than that of any pixel; amplitudes are its non-negative least-squares
    solution. Single amplitudes are correlated, what they predict together is not. The efficiency of
    a pixel is its signal in all exposures over the prediction, weighted.
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
    amplitude, _ = nnls(design / sigma[:, None], ratio / sigma)
    covariance = np.linalg.pinv((design / sigma[:, None]).T @ (design / sigma[:, None]))
    error = np.sqrt(np.diag(covariance))
    capture, capture_error = _efficiency(exposures, charge, design @ amplitude)
    known = used & (capture_error * FAINT < np.maximum(capture, 1e-9))
    capture = np.where(known, capture, 1.0)
    dq = np.where(known, 0, np.uint32(Flag.OTHER_BAD_PIXEL)).astype(np.uint32)
    planes = (capture.astype(np.float32), capture_error.astype(np.float32))
    return Traps(poles, amplitude, error, *planes, dq)


def _ratio(exposure: AfterGlow, charge: Float64, used: Bool) -> tuple[float, float]:
    """Median over the detector of the rate over the charge [1/s], and its error."""
    values = np.asarray(exposure.rate, np.float64)[used] / charge[used]
    errors = np.asarray(exposure.error, np.float64)[used] / charge[used]
    middle = np.median(values)
    spread = 1.4826 * np.median(np.abs(values - middle))
    keep = np.abs(values - middle) <= 4.0 * max(spread, float(np.median(errors)))
    weight = 1.0 / errors[keep] ** 2
    return float((weight * values[keep]).sum() / weight.sum()), float(1.0 / np.sqrt(weight.sum()))


def _efficiency(
    exposures: Sequence[AfterGlow], charge: Float64, decay: Float64
) -> tuple[Float64, Float64]:
    """Signal of every pixel over what the detector's amplitudes predict, and its error."""
    top, power = np.zeros(charge.shape), np.zeros(charge.shape)
    for exposure, share in zip(exposures, decay, strict=True):
        weight = 1.0 / np.asarray(exposure.error, np.float64) ** 2
        expected = share * charge
        top += weight * expected * np.asarray(exposure.rate, np.float64)
        power += weight * expected**2
    safe = np.maximum(power, 1e-30)
    return top / safe, 1.0 / np.sqrt(safe)
