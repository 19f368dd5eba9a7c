"""What the best fit can reach, from explicit covariance matrices: slow, obvious, and no one else's formula."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Fit", "amplitude_error", "best_fit", "reads_covariance", "weighted_fit"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Fit:
    """A rate as a weighted sum of reads.

    Attributes
    ----------
    weights : ndarray (nread,)
        Weights of the reads [1/s], their sum is 0.
    sigma : float
        True standard deviation of the rate [e-/s].
    """

    weights: Float64
    sigma: float


def reads_covariance(times: Float64, rate: float, read_noise: float) -> Float64:
    """Give the covariance of the reads of a ramp.

    Two reads share the charge that came before the earlier one; each has a noise of its own.

    Parameters
    ----------
    times : ndarray (nread,)
        Times after the reset [s].
    rate : float
        True rate [e-/s].
    read_noise : float
        Noise of a read [e- rms].

    Returns
    -------
    ndarray (nread, nread)
        Covariance [e-^2].
    """
    shared = rate * np.minimum.outer(times, times)
    return np.asarray(shared + read_noise**2 * np.eye(len(times)))


def _differences(times: Float64, rate: float, read_noise: float) -> tuple[Float64, Float64]:
    """Give the matrix that takes differences of neighbouring reads, and the inverse of their covariance."""
    take = np.diff(np.eye(len(times)), axis=0)
    covariance = take @ reads_covariance(times, rate, read_noise) @ take.T
    return take, np.asarray(np.linalg.inv(covariance), np.float64)


def best_fit(times: Float64, rate: float, read_noise: float, omit: int | None = None) -> Fit:
    """Give the unbiased fit of least variance, whose variance is the Cramer-Rao bound.

    Parameters
    ----------
    times : ndarray (nread,)
        Times after the reset [s].
    rate : float
        True rate [e-/s].
    read_noise : float
        Noise of a read [e- rms].
    omit : int, optional
        Difference, counted from 0, that has a free amplitude of its own.

    Returns
    -------
    Fit
        Weights and sigma: for the interval dt of the differences, sigma^2 is 1 / (dt' C^-1 dt).
    """
    take, inverse = _differences(times, rate, read_noise)
    columns = [np.diff(times)]
    if omit is not None:
        columns.append(np.eye(len(times) - 1)[omit])
    design = np.column_stack(columns)
    covariance = np.linalg.inv(design.T @ inverse @ design)
    weights = (covariance @ design.T @ inverse)[0] @ take
    return Fit(weights, float(np.sqrt(covariance[0, 0])))


def amplitude_error(times: Float64, rate: float, read_noise: float, difference: int) -> float:
    """Give the error of the free amplitude of one difference, the rate being free as well [e-]."""
    _, inverse = _differences(times, rate, read_noise)
    design = np.column_stack([np.diff(times), np.eye(len(times) - 1)[difference]])
    return float(np.sqrt(np.linalg.inv(design.T @ inverse @ design)[1, 1]))


def weighted_fit(weights: Float64, times: Float64, rate: float, read_noise: float) -> Fit:
    """Give the fit that has the weights given, with its true sigma."""
    variance = weights @ reads_covariance(times, rate, read_noise) @ weights
    return Fit(weights, float(np.sqrt(variance)))
