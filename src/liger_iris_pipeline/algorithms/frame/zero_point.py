"""Measure the photometric zero point from standard stars."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["ZeroPoint", "zero_point"]

Float64 = npt.NDArray[np.float64]

POGSON = 2.5 / np.log(10.0)
"""Magnitudes of a relative change of 1."""


class ZeroPoint(NamedTuple):
    """Zero points of a detector and filter.

    Attributes
    ----------
    ab, vega : float
        AB and Vega magnitude of 1 e-/s; NaN where the standards have no such magnitude.
    err : float
        One-sigma error [mag].
    used : ndarray (n,) bool
        Measurements that were used.
    """

    ab: float
    vega: float
    err: float
    used: npt.NDArray[np.bool_]


def zero_point(
    flux: npt.ArrayLike,
    flux_err: npt.ArrayLike,
    mag_ab: npt.ArrayLike,
    mag_vega: npt.ArrayLike,
    mag_err: npt.ArrayLike,
    *,
    clip: float = 4.0,
) -> ZeroPoint:
    """Compare fluxes of standard stars with their magnitudes.

    Parameters
    ----------
    flux, flux_err : array_like (n,)
        Total flux and its error [e-/s]; what is not above 0 is not used.
    mag_ab, mag_vega : array_like (n,)
        Known magnitudes; NaN where there is none.
    mag_err : array_like (n,)
        Error of the known magnitudes [mag].
    clip : float, optional
        Measurements further than this many robust sigma from the median are left out; two or
        fewer never are.

    Returns
    -------
    ZeroPoint
        Weighted means of magnitude + 2.5 log10 flux, and the larger of their propagated error and
        of the one that their scatter shows.

    Raises
    ------
    InputError
        If the arrays differ in length, or no measurement can be used.

    References
    ----------
    Bevington & Robinson 2003, Data Reduction and Error Analysis, eq. 4.17 and 4.19; Oke & Gunn
    1983, ApJ 266, 713, doi:10.1086/160817: AB magnitudes.
    """
    given = [np.asarray(v, np.float64) for v in (flux, flux_err, mag_ab, mag_vega, mag_err)]
    if any(v.shape != given[0].shape or v.ndim != 1 for v in given):
        got = ", ".join(str(v.shape) for v in given)
        raise InputError(
            complaint("standards", "columns", got, "one length", "give one row a measurement")
        )
    light, light_err, ab, vega, known_err = given
    magnitude = np.where(np.isfinite(ab), ab, vega)
    with np.errstate(invalid="ignore", divide="ignore"):
        instrumental = 2.5 * np.log10(light)
        sigma = np.hypot(POGSON * light_err / light, known_err)
    used = (light > 0) & np.isfinite(magnitude) & np.isfinite(sigma) & (sigma > 0)
    if not used.any():
        remedy = "look at the frames, and at the list of standards"
        raise InputError(complaint("standards", "flux", "none above 0", "at least one", remedy))
    used = _clip(np.where(used, magnitude + instrumental, 0.0), sigma, used, clip)
    weight = np.where(used, 1.0 / np.where(used, sigma, 1.0) ** 2, 0.0)
    return ZeroPoint(
        _mean(ab + instrumental, weight),
        _mean(vega + instrumental, weight),
        _error(magnitude + instrumental, weight),
        used,
    )


def _clip(
    value: Float64, sigma: Float64, used: npt.NDArray[np.bool_], clip: float
) -> npt.NDArray[np.bool_]:
    """Leave out what lies far from the median, until nothing does."""
    while np.count_nonzero(used) > 2:
        distance = np.abs(value - np.median(value[used]))
        spread = 1.4826 * float(np.median(distance[used]))
        kept = used & (distance <= clip * np.maximum(spread, sigma))
        if np.count_nonzero(kept) in (np.count_nonzero(used), 0):
            break
        used = kept
    return used


def _mean(value: Float64, weight: Float64) -> float:
    """Weighted mean of what is known; NaN where nothing is."""
    part = np.where(np.isfinite(value), weight, 0.0)
    total = float(part.sum())
    return float((part * np.where(part > 0, value, 0.0)).sum()) / total if total > 0 else np.nan


def _error(value: Float64, weight: Float64) -> float:
    """Error of the weighted mean, from the errors or from the scatter, whichever is larger."""
    total, count = float(weight.sum()), int(np.count_nonzero(weight))
    residual = np.where(weight > 0, value - _mean(value, weight), 0.0)
    chi2 = float((weight * residual**2).sum()) / max(count - 1, 1)
    return float(np.sqrt(max(1.0, chi2) / total))
