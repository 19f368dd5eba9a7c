"""Filters of IRIS: band limits in micrometres (vacuum)."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["DARK", "FILTERS", "OPAQUE_OR_OPEN", "Filter", "is_known"]

DARK = "dark"
"""FILTER of an exposure behind the dark plate."""

OPAQUE_OR_OPEN = frozenset({DARK, "through"})
"""FILTER values that are no filter."""


@dataclass(frozen=True)
class Filter:
    """One filter.

    Attributes
    ----------
    name : str
        Value of FILTER.
    shortest, centre, longest : float
        Band limits and centre [um].
    """

    name: str
    shortest: float
    centre: float
    longest: float


FILTERS = {
    f.name: f
    for f in (
        Filter("Zbb", 0.8107, 0.9037, 0.9967),
        Filter("Ybb", 0.933, 1.042, 1.151),
        Filter("Jbb", 1.135, 1.262, 1.389),
        Filter("Hbb", 1.474, 1.637, 1.8),
        Filter("Kbb", 1.975, 2.1935, 2.412),
        Filter("Z", 0.83, 0.8775, 0.925),
        Filter("Y", 0.97, 1.02, 1.07),
        Filter("J", 1.166, 1.248, 1.33),
        Filter("H", 1.485, 1.633, 1.781),
        Filter("Ks", 1.99, 2.145, 2.3),
        Filter("K", 2.0, 2.2, 2.4),
        Filter("ZN1", 0.826, 0.8475, 0.869),
        Filter("ZN2", 0.8602, 0.8826, 0.905),
        Filter("ZN3", 0.8958, 0.9191, 0.9424),
        Filter("ZN4", 0.9329, 0.9571, 0.9814),
        Filter("YN1", 0.9714, 0.9967, 1.0219),
        Filter("YN2", 1.0116, 1.0378, 1.0641),
        Filter("YN3", 1.0533, 1.0807, 1.108),
        Filter("YN4", 1.1082, 1.1393, 1.1703),
        Filter("JN1", 1.156, 1.1857, 1.2153),
        Filter("JN2", 1.2031, 1.234, 1.2648),
        Filter("JN3", 1.2521, 1.2842, 1.3163),
        Filter("JN4", 1.3031, 1.3365, 1.3699),
        Filter("HN1", 1.474, 1.5117, 1.5495),
        Filter("HN2", 1.534, 1.5733, 1.6126),
        Filter("HN3", 1.5965, 1.6374, 1.6783),
        Filter("HN4", 1.6615, 1.7041, 1.7467),
        Filter("HN5", 1.7292, 1.7735, 1.8178),
        Filter("KN1", 1.96, 2.0102, 2.0604),
        Filter("KN2", 2.0398, 2.092, 2.1443),
        Filter("KN3", 2.1229, 2.1773, 2.2317),
        Filter("KN4", 2.2094, 2.266, 2.3226),
        Filter("KN5", 2.2993, 2.3582, 2.4172),
        Filter("CaIIw", 0.8473, 0.858, 0.8688),
        Filter("PaBetaw", 1.275, 1.2915, 1.308),
        Filter("FeIIw", 1.637, 1.658, 1.679),
        Filter("Br_Gammaw", 2.155, 2.1825, 2.21),
        Filter("COw", 2.2877, 2.3169, 2.346),
        Filter("HeI", 1.0776, 1.0913, 1.1049),
        Filter("Jcont", 1.2072, 1.2132, 1.2193),
        Filter("PaBeta", 1.275, 1.2815, 1.288),
        Filter("Hcont", 1.5725, 1.5804, 1.5883),
        Filter("FeII", 1.637, 1.6455, 1.654),
        Filter("H2one", 2.11, 2.121, 2.132),
        Filter("Kcont", 2.133, 2.1435, 2.154),
        Filter("Br_Gamma", 2.155, 2.166, 2.177),
        Filter("H2two", 2.251, 2.262, 2.273),
        Filter("CO", 2.276, 2.289, 2.302),
        Filter("KN45", 2.275, 2.33, 2.385),
        Filter("YJ", 0.925, 1.1325, 1.34),
        Filter("HK", 1.572, 1.992, 2.412),
    )
}


def is_known(name: str) -> bool:
    """Say whether a FILTER value is one of the instrument's, ``dark`` and ``through`` included.

    Parameters
    ----------
    name : str
        Value of FILTER.

    Returns
    -------
    bool
        True if it is known.
    """
    return name in FILTERS or name in OPAQUE_OR_OPEN
