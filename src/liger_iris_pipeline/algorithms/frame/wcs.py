"""Starting world coordinates of an imager frame: a plain tangent-plane projection.

References
----------
Calabretta & Greisen 2002, A&A 395, 1077, doi:10.1051/0004-6361:20021327, section 5.1.3 (TAN).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.instrument.detectors import (
    DETECTORS,
    IMAGER_DETECTORS,
    REFERENCE_BORDER,
    axis_pixel,
)

__all__ = ["Pointing", "TanWcs", "imager_wcs", "starting_wcs", "wcs_from_header"]

Float64 = npt.NDArray[np.float64]
Matrix = tuple[tuple[float, float], tuple[float, float]]
ARCSEC = 1.0 / 3600.0


@dataclass(frozen=True)
class TanWcs:
    """Gnomonic projection of the sky onto a detector or an output grid, ICRS.

    Attributes
    ----------
    crpix : tuple of float
        1-based pixel (x, y) of the tangent point, as in FITS.
    crval : tuple of float
        Right ascension and declination of the tangent point [deg].
    cd : tuple of tuple of float
        ``((CD1_1, CD1_2), (CD2_1, CD2_2))`` [deg / pixel].
    """

    crpix: tuple[float, float]
    crval: tuple[float, float]
    cd: Matrix

    def __post_init__(self) -> None:
        numbers = (*self.crpix, *self.crval, *self.cd[0], *self.cd[1])
        if not np.all(np.isfinite(numbers)) or self.pixel_scale == 0.0:
            raise InputError(
                complaint(
                    "wcs",
                    "CRPIX, CRVAL, CD",
                    f"{self.crpix}, {self.crval}, {self.cd}",
                    "finite numbers and a matrix that can be inverted",
                    "correct the header",
                )
            )

    @property
    def pixel_scale(self) -> float:
        """Side of a pixel on the sky [deg]."""
        (a, b), (c, d) = self.cd
        return float(abs(a * d - b * c) ** 0.5)

    def axes(self) -> Float64:
        """Give the unit vectors of the tangent point's frame.

        Returns
        -------
        ndarray (3, 3) float64
            Rows: east, north, towards the tangent point (equatorial Cartesian).
        """
        ra, dec = np.radians(self.crval)
        east = (-np.sin(ra), np.cos(ra), 0.0)
        north = (-np.sin(dec) * np.cos(ra), -np.sin(dec) * np.sin(ra), np.cos(dec))
        up = (np.cos(dec) * np.cos(ra), np.cos(dec) * np.sin(ra), np.sin(dec))
        return np.array([east, north, up])

    def pixel_matrix(self) -> Float64:
        """Give the linear map from (x, y, 1) to a direction in the tangent point's frame.

        Returns
        -------
        ndarray (3, 3) float64
            For 0-based pixels: the direction (east, north, up), not normalised, with up = 1.
        """
        (a, b), (c, d) = np.radians(self.cd)
        x0, y0 = self.crpix[0] - 1.0, self.crpix[1] - 1.0
        return np.array([[a, b, -a * x0 - b * y0], [c, d, -c * x0 - d * y0], [0.0, 0.0, 1.0]])

    def pixel_to_sky(self, x: npt.ArrayLike, y: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Project pixels onto the sky.

        Parameters
        ----------
        x, y : array_like
            0-based pixel coordinates.

        Returns
        -------
        ra, dec : ndarray float64
            Position [deg], right ascension in 0 to 360.
        """
        px, py = np.broadcast_arrays(np.asarray(x, np.float64), np.asarray(y, np.float64))
        matrix = self.axes().T @ self.pixel_matrix()
        v = np.tensordot(matrix, np.stack([px, py, np.ones_like(px)]), axes=1)
        ra = np.degrees(np.arctan2(v[1], v[0])) % 360.0
        return ra, np.degrees(np.arctan2(v[2], np.hypot(v[0], v[1])))

    def sky_to_pixel(self, ra: npt.ArrayLike, dec: npt.ArrayLike) -> tuple[Float64, Float64]:
        """Project sky positions onto pixels.

        Parameters
        ----------
        ra, dec : array_like
            Position [deg].

        Returns
        -------
        x, y : ndarray float64
            0-based pixel coordinates; NaN for positions 90 degrees or more from the tangent point.
        """
        lon, lat = np.broadcast_arrays(np.radians(ra), np.radians(dec))
        v = np.stack([np.cos(lat) * np.cos(lon), np.cos(lat) * np.sin(lon), np.sin(lat)])
        matrix = np.linalg.inv(self.pixel_matrix()) @ self.axes()
        p = np.tensordot(matrix, v, axes=1)
        depth = np.where(p[2] > 0, p[2], np.nan)
        return p[0] / depth, p[1] / depth

    def header_cards(self) -> list[tuple[str, Any, str]]:
        """Write the projection as FITS cards.

        Returns
        -------
        list of (keyword, value, comment)
            CTYPE, CUNIT, CRPIX, CRVAL, CD, RADESYS, WCSAXES.
        """
        (a, b), (c, d) = self.cd
        return [
            ("WCSAXES", 2, "number of world coordinate axes"),
            ("CTYPE1", "RA---TAN", "right ascension, gnomonic projection"),
            ("CTYPE2", "DEC--TAN", "declination, gnomonic projection"),
            ("CUNIT1", "deg", "unit of the first axis"),
            ("CUNIT2", "deg", "unit of the second axis"),
            ("CRPIX1", self.crpix[0], "1-based pixel of the tangent point, x"),
            ("CRPIX2", self.crpix[1], "1-based pixel of the tangent point, y"),
            ("CRVAL1", self.crval[0], "[deg] right ascension of the tangent point"),
            ("CRVAL2", self.crval[1], "[deg] declination of the tangent point"),
            ("CD1_1", a, "[deg/pixel] linear transformation matrix"),
            ("CD1_2", b, "[deg/pixel] linear transformation matrix"),
            ("CD2_1", c, "[deg/pixel] linear transformation matrix"),
            ("CD2_2", d, "[deg/pixel] linear transformation matrix"),
            ("RADESYS", "ICRS", "celestial reference system"),
        ]

    def gwcs(self, shape: tuple[int, int]) -> Any:
        """Build the same projection as a gwcs object.

        Parameters
        ----------
        shape : tuple of int
            Shape (ny, nx) of the array, for the bounding box.

        Returns
        -------
        gwcs.WCS
            From 0-based detector pixels (x, y) to ICRS (ra, dec) [deg]; the inverse is explicit.
        """
        import gwcs  # here, because it imports asdf and a plain projection needs none of it
        from astropy import coordinates
        from astropy import units as u
        from astropy.modeling import models
        from gwcs import coordinate_frames as cf

        x0, y0 = self.crpix[0] - 1.0, self.crpix[1] - 1.0
        matrix = np.array(self.cd)
        forward = (
            models.Shift(-x0) & models.Shift(-y0)
            | models.AffineTransformation2D(matrix=matrix)
            | models.Pix2Sky_TAN()
            | models.RotateNative2Celestial(self.crval[0], self.crval[1], 180.0)
        )
        forward.inverse = (
            models.RotateCelestial2Native(self.crval[0], self.crval[1], 180.0)
            | models.Sky2Pix_TAN()
            | models.AffineTransformation2D(matrix=np.linalg.inv(matrix))
            | models.Shift(x0) & models.Shift(y0)
        )
        detector = cf.Frame2D(name="detector", axes_names=("x", "y"), unit=(u.pix, u.pix))
        sky = cf.CelestialFrame(
            name="world", reference_frame=coordinates.ICRS(), unit=(u.deg, u.deg)
        )
        wcs = gwcs.WCS([(detector, forward), (sky, None)])
        ny, nx = shape
        wcs.bounding_box = ((-0.5, nx - 0.5), (-0.5, ny - 0.5))
        return wcs


@dataclass(frozen=True)
class Pointing:
    """Where the telescope points.

    Attributes
    ----------
    ra, dec : float
        Base pointing of the observation, ICRS [deg].
    pa : float
        Position angle of +y, east of north [deg].
    offset_east, offset_north : float
        Offset from the base on the tangent plane at the base [arcsec].
    """

    ra: float
    dec: float
    pa: float = 0.0
    offset_east: float = 0.0
    offset_north: float = 0.0

    def axis(self) -> tuple[float, float]:
        """Give the sky position of the instrument's axis.

        Returns
        -------
        ra, dec : float
            Base plus offset [deg].
        """
        plane = TanWcs((1.0, 1.0), (self.ra, self.dec), ((ARCSEC, 0.0), (0.0, ARCSEC)))
        ra, dec = plane.pixel_to_sky(self.offset_east, self.offset_north)
        return float(ra), float(dec)


def imager_wcs(
    pointing: Pointing,
    detector: str,
    detector_shape: tuple[int, int],
    *,
    border: int = 4,
    start: tuple[int, int] = (1, 1),
) -> TanWcs:
    """Derive the projection of an imager frame from pointing and detector layout.

    Parameters
    ----------
    pointing : Pointing
        Base position, position angle and dither offset.
    detector : str
        ``IMG1`` to ``IMG4``.
    detector_shape : tuple of int
        Shape (ny, nx) of the full detector, border included.
    border : int, optional
        Width of the reference-pixel border of the full detector [pixel].
    start : tuple of int, optional
        1-based first pixel (x, y) of the frame on the full detector.

    Returns
    -------
    TanWcs
        Tangent point at the axis. At position angle 0, +y is north and +x is west.

    Raises
    ------
    ValueError
        For a detector that is not one of the imager's.
    """
    ny, nx = detector_shape
    x, y = axis_pixel(detector, nx, ny, border)
    scale = DETECTORS[detector].pixel_scale * ARCSEC
    sine, cosine = np.sin(np.radians(pointing.pa)), np.cos(np.radians(pointing.pa))
    return TanWcs(
        crpix=(x + 1.0 - (start[0] - 1), y + 1.0 - (start[1] - 1)),
        crval=pointing.axis(),
        cd=(
            (float(-scale * cosine), float(scale * sine)),
            (float(scale * sine), float(scale * cosine)),
        ),
    )


def wcs_from_header(header: Mapping[str, Any], *, start: tuple[int, int] = (1, 1)) -> TanWcs | None:
    """Read the nominal projection that a header carries.

    Parameters
    ----------
    header : mapping
        Keywords CTYPE1/2, CRVAL1/2, CRPIX1/2 and CDi_j, or CDELT1/2 with PCi_j or CROTA2.
    start : tuple of int, optional
        1-based first pixel (x, y) of the frame on the array that CRPIX refers to.

    Returns
    -------
    TanWcs or None
        None where the header holds no celestial CTYPE.

    Raises
    ------
    InputError
        If the projection is not a plain RA---TAN, DEC--TAN in degrees and ICRS, or is incomplete.
    """
    if not str(header.get("CTYPE1", "")).strip() and not str(header.get("CTYPE2", "")).strip():
        return None
    expected = {
        "CTYPE1": ("RA---TAN",),
        "CTYPE2": ("DEC--TAN",),
        "CUNIT1": ("deg", "degree"),
        "CUNIT2": ("deg", "degree"),
        "RADESYS": ("ICRS",),
    }
    for key, allowed in expected.items():
        value = str(header.get(key, allowed[0])).strip()
        if value not in allowed:
            remedy = "correct the header, or remove CTYPE1 and CTYPE2 to start from the pointing"
            raise InputError(complaint("wcs", key, value, allowed[0], remedy))
    x, y = _number(header, "CRPIX1"), _number(header, "CRPIX2")
    return TanWcs(
        crpix=(x - (start[0] - 1), y - (start[1] - 1)),
        crval=(_number(header, "CRVAL1"), _number(header, "CRVAL2")),
        cd=_matrix(header),
    )


def starting_wcs(header: Mapping[str, Any], shape: tuple[int, int]) -> TanWcs:
    """Give the projection that a frame starts with.

    Parameters
    ----------
    header : mapping
        Keywords of the frame. A projection in it precedes; otherwise DETECTOR, RA, DEC and PA, and
        where present DTOTOFF1/2, DETSIZE1/2, SUBSTRT1/2 and REFPIX.
    shape : tuple of int
        Shape (ny, nx) of the frame.

    Returns
    -------
    TanWcs
        The header's own projection, else that of pointing and detector layout.

    Raises
    ------
    InputError
        If a keyword is missing or cannot be used, or the detector is not one of the imager's.
    """
    start = int(_number(header, "SUBSTRT1", 1)), int(_number(header, "SUBSTRT2", 1))
    own = wcs_from_header(header, start=start)
    if own is not None:
        return own
    full = int(_number(header, "DETSIZE2", shape[0])), int(_number(header, "DETSIZE1", shape[1]))
    # REFPIX tells of the frame, and a window has no border; its detector has
    border = int(_number(header, "REFPIX", REFERENCE_BORDER)) if full == shape else REFERENCE_BORDER
    pointing = Pointing(
        ra=_number(header, "RA"),
        dec=_number(header, "DEC"),
        pa=_number(header, "PA"),
        offset_east=_number(header, "DTOTOFF1", 0.0),
        offset_north=_number(header, "DTOTOFF2", 0.0),
    )
    detector = str(header.get("DETECTOR", ""))
    if detector not in IMAGER_DETECTORS:
        known = ", ".join(IMAGER_DETECTORS)
        raise InputError(complaint("wcs", "DETECTOR", detector, known, "give frames of the imager"))
    return imager_wcs(pointing, detector, full, border=border, start=start)


def _number(header: Mapping[str, Any], key: str, default: float | None = None) -> float:
    """Read a number, or complain by name."""
    value = header.get(key, default)
    if isinstance(value, bool) or not isinstance(value, int | float | np.number):
        remedy = "complete the header"
        got = "nothing" if value is None else repr(value)
        raise InputError(complaint("wcs", key, got, "a number", remedy))
    return float(value)


def _matrix(header: Mapping[str, Any]) -> Matrix:
    """Read the linear matrix in any of the three FITS notations (Greisen & Calabretta 2002)."""
    if any(f"CD{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        row = [[_number(header, f"CD{i}_{j}", 0.0) for j in (1, 2)] for i in (1, 2)]
        return (row[0][0], row[0][1]), (row[1][0], row[1][1])
    dx, dy = _number(header, "CDELT1"), _number(header, "CDELT2")
    if any(f"PC{i}_{j}" in header for i in (1, 2) for j in (1, 2)):
        unit = ((1.0, 0.0), (0.0, 1.0))
        pc = [[_number(header, f"PC{i + 1}_{j + 1}", unit[i][j]) for j in (0, 1)] for i in (0, 1)]
    else:
        angle = np.radians(_number(header, "CROTA2", 0.0))
        sine, cosine = float(np.sin(angle)), float(np.cos(angle))
        pc = [[cosine, -sine * dy / dx], [sine * dx / dy, cosine]]
    return (dx * pc[0][0], dx * pc[0][1]), (dy * pc[1][0], dy * pc[1][1])
