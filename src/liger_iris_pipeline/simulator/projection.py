"""Sky to detector: gnomonic projection, then the layout of the focal plane.

Written from the spherical triangle, not from a WCS library, so that the truth is independent of the
pipeline's.

References
----------
Calabretta & Greisen 2002, A&A 395, 1077, doi:10.1051/0004-6361:20021327, section 5.1.3 (TAN).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from ..instrument.detectors import DETECTORS, axis_pixel
from .scene import Format

__all__ = ["deproject", "instrument_to_sky", "nominal_cards", "project", "sky_to_detector"]

Floats = npt.NDArray[np.float64]

_ARCSEC = np.pi / 180.0 / 3600.0


def project(
    ra: npt.ArrayLike, dec: npt.ArrayLike, ra0: float, dec0: float
) -> tuple[Floats, Floats]:
    """Project the sky onto the plane that touches it at (ra0, dec0).

    Parameters
    ----------
    ra, dec : array_like
        Places on the sky, less than 90 degrees from the tangent point [degree].
    ra0, dec0 : float
        Tangent point [degree].

    Returns
    -------
    east, north : ndarray float64
        Plane coordinates [arcsec].
    """
    dra = np.radians(np.asarray(ra, dtype=np.float64) - ra0)
    d, d0 = np.radians(np.asarray(dec, dtype=np.float64)), np.radians(dec0)
    # sin(d - d0) form: differences of nearly equal products would cost 1e-5 arcsec
    north = np.sin(d - d0) + 2.0 * np.sin(d0) * np.cos(d) * np.sin(dra / 2) ** 2
    cosine = np.cos(d - d0) - 2.0 * np.cos(d0) * np.cos(d) * np.sin(dra / 2) ** 2
    return np.cos(d) * np.sin(dra) / cosine / _ARCSEC, north / cosine / _ARCSEC


def deproject(
    east: npt.ArrayLike, north: npt.ArrayLike, ra0: float, dec0: float
) -> tuple[Floats, Floats]:
    """Invert :func:`project`.

    Parameters
    ----------
    east, north : array_like
        Plane coordinates [arcsec].
    ra0, dec0 : float
        Tangent point [degree].

    Returns
    -------
    ra, dec : ndarray float64
        Places on the sky, RA in [0, 360) [degree].
    """
    xi = np.asarray(east, dtype=np.float64) * _ARCSEC
    eta = np.asarray(north, dtype=np.float64) * _ARCSEC
    d0 = np.radians(dec0)
    depth = np.cos(d0) - eta * np.sin(d0)
    ra = ra0 + np.degrees(np.arctan2(xi, depth))
    dec = np.degrees(np.arctan2(np.sin(d0) + eta * np.cos(d0), np.hypot(xi, depth)))
    return np.mod(ra, 360.0), dec


def instrument_to_sky(
    dx: npt.ArrayLike, dy: npt.ArrayLike, position_angle: float
) -> tuple[Floats, Floats]:
    """Rotate focal-plane offsets into (east, north); at PA 0 +x is west and +y north.

    The rotation is its own inverse: it also takes (east, north) to (dx, dy).

    Parameters
    ----------
    dx, dy : array_like
        Offsets along the axes of the detectors [arcsec].
    position_angle : float
        Position angle of +y, east of north [degree].

    Returns
    -------
    east, north : ndarray float64
        Offsets on the tangent plane [arcsec].
    """
    c, s = np.cos(np.radians(position_angle)), np.sin(np.radians(position_angle))
    dx, dy = np.asarray(dx, dtype=np.float64), np.asarray(dy, dtype=np.float64)
    return -c * dx + s * dy, s * dx + c * dy


def sky_to_detector(
    ra: npt.ArrayLike,
    dec: npt.ArrayLike,
    axis: tuple[float, float],
    position_angle: float,
    detector: str,
    layout: Format,
) -> tuple[Floats, Floats]:
    """Give the pixels on which places on the sky fall.

    Parameters
    ----------
    ra, dec : array_like
        Places on the sky [degree].
    axis : (float, float)
        RA and Dec of the imager's axis [degree].
    position_angle : float
        Position angle of +y, east of north [degree].
    detector : str
        ``IMG1`` to ``IMG4``.
    layout : Format
        Size of the detector.

    Returns
    -------
    x, y : ndarray float64
        0-based pixel coordinates on the full array, border included.
    """
    dx, dy = instrument_to_sky(*project(ra, dec, *axis), position_angle)
    x0, y0 = axis_pixel(detector, layout.nx, layout.ny, layout.border)
    scale = DETECTORS[detector].pixel_scale
    return x0 + dx / scale, y0 + dy / scale


def nominal_cards(
    axis: tuple[float, float], position_angle: float, detector: str, layout: Format
) -> dict[str, tuple[float | str, str]]:
    """Write the nominal TAN WCS of a detector.

    Parameters
    ----------
    axis, position_angle, detector, layout
        As for :func:`sky_to_detector`.

    Returns
    -------
    dict
        Keyword to (value, comment).
    """
    x0, y0 = axis_pixel(detector, layout.nx, layout.ny, layout.border)
    scale = DETECTORS[detector].pixel_scale / 3600.0
    c, s = np.cos(np.radians(position_angle)), np.sin(np.radians(position_angle))
    return {
        "CTYPE1": ("RA---TAN", "gnomonic projection"),
        "CTYPE2": ("DEC--TAN", "gnomonic projection"),
        "CUNIT1": ("deg", "unit of CRVAL1 and CD1_j"),
        "CUNIT2": ("deg", "unit of CRVAL2 and CD2_j"),
        "CRVAL1": (axis[0], "[deg] RA of the axis"),
        "CRVAL2": (axis[1], "[deg] Dec of the axis"),
        "CRPIX1": (x0 + 1.0, "[pixel] axis, 1-based, border included"),
        "CRPIX2": (y0 + 1.0, "[pixel] axis, 1-based, border included"),
        "CD1_1": (-c * scale, "[deg/pixel]"),
        "CD1_2": (s * scale, "[deg/pixel]"),
        "CD2_1": (s * scale, "[deg/pixel]"),
        "CD2_2": (c * scale, "[deg/pixel]"),
    }
