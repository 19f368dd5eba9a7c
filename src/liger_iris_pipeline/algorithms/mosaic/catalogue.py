"""Photometry of point sources and the catalogue of a mosaic.

References
----------
Stetson 1987, PASP 99, 191, doi:10.1086/131977; Diolaiti et al. 2000, A&AS 147, 335,
doi:10.1051/aas:2000224: detection, subtraction and detection in what is left.
Bertin & Arnouts 1996, A&AS 117, 393, doi:10.1051/aas:1996164: windowed centroids.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.wcs import TanWcs
from liger_iris_pipeline.algorithms.mosaic.detect import detect, significance
from liger_iris_pipeline.algorithms.mosaic.errors import weighted_error
from liger_iris_pipeline.algorithms.mosaic.profile import (
    PointSpread,
    gaussian_profile,
    measure_profile,
)
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.kinds import Mosaic

if TYPE_CHECKING:
    from astropy.table import Table

__all__ = ["Photometry", "make_catalogue", "photometry"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

APERTURE = 1.5
"""Radius of the aperture in FWHM: a Gaussian core is inside to 0.2 %."""

ANNULUS = (4.0, 6.0)
"""Radii of the background annulus in FWHM."""

MODEL_ERROR = 0.1
"""Relative error assumed of a subtracted star when its surroundings are searched again."""

CLOSE, FAINT = 4.0, 0.1
"""A maximum with a brighter one within CLOSE FWHM and more than 1 / FAINT times its height may be
a ring or a speckle: it counts only if it stands out after the bright star is subtracted."""

LEAST_SNR = 3.0
"""Sources whose aperture flux is less than this many sigma are not listed."""

BAD = np.uint32(Flag.DO_NOT_USE)


@dataclass(frozen=True, eq=False)
class Photometry:
    """Point sources measured in an image.

    Attributes
    ----------
    y, x : ndarray (n,) float64
        0-based centroid [pixel].
    flux, flux_err : ndarray (n,) float64
        Total flux and its error, in the unit of the image times pixel.
    fwhm : ndarray (n,) float64
        Full width at half maximum of the core [pixel].
    flags : ndarray (n,) uint32
        OR of the data-quality bits inside the aperture; FLUX_ESTIMATED where pixels of it were
        replaced by the profile.
    profile : PointSpread
        Profile of the field.
    """

    y: Float64
    x: Float64
    flux: Float64
    flux_err: Float64
    fwhm: Float64
    flags: npt.NDArray[np.uint32]
    profile: PointSpread


@dataclass(frozen=True, eq=False)
class _Field:
    """An image with what is known of its pixels."""

    image: Float64
    variance: Float64
    dq: npt.NDArray[np.uint32]
    kernel: Float64
    good: Bool
    faintest: float  # surface brightness below which a star's model is cut off


@dataclass(frozen=True, eq=False)
class _Stars:
    """Positions and fluxes in the aperture."""

    y: Float64
    x: Float64
    core: Float64


def photometry(
    image: npt.ArrayLike,
    variance: npt.ArrayLike,
    dq: npt.ArrayLike,
    kernel: npt.ArrayLike,
    positions: npt.ArrayLike,
    *,
    fwhm: float | None = None,
    recentre: bool = True,
    profile: PointSpread | None = None,
) -> Photometry:
    """Measure point sources at given positions.

    Parameters
    ----------
    image, variance : array_like (ny, nx)
        Surface brightness per pixel and its variance.
    dq : array_like (ny, nx) uint32
        Data-quality bits; DO_NOT_USE pixels do not count. A saturated pixel with a rate has it from
        the reads before saturation, and counts.
    kernel : array_like (k, k)
        Correlation of neighbouring pixels; ``[[1]]`` for a single frame.
    positions : array_like (n, 2)
        0-based positions (y, x); neighbours that are not listed are not taken off.
    fwhm : float, optional
        Width of the core [pixel]; measured by default.
    recentre : bool, optional
        Move the positions to the centroids.
    profile : PointSpread, optional
        Profile of a star; measured from the image by default.

    Returns
    -------
    Photometry
        One entry for each position; NaN flux where the aperture has no good pixel.

    Raises
    ------
    InputError
        If the planes differ in shape.

    Notes
    -----
    Flux is the sum over the aperture, less the mean of an annulus times the aperture's area, times
    a correction to infinity from the field's own profile; neighbours are taken off before. The
    error is that of the same linear combination of pixels, with their correlation.
    """
    field = _field(image, variance, dq, kernel)
    place = np.asarray(positions, dtype=np.float64).reshape(-1, 2)
    width = fwhm if fwhm is not None else _measure_width(field, place)
    start = gaussian_profile(width, APERTURE * width) if profile is None else profile
    stars = _Stars(place[:, 0], place[:, 1], np.zeros(len(place)))
    stars, psf = _solve(field, stars, start, fixed=profile is not None, recentre=recentre)
    return _measure(field, stars, psf)


def make_catalogue(
    mosaic: Mosaic,
    wcs: TanWcs,
    *,
    zero_point: float = float("nan"),
    pixel_area_ratio: float = 1.0,
    threshold: float = 5.0,
    fwhm: float | None = None,
) -> Table:
    """Find and measure the point sources of a mosaic.

    Parameters
    ----------
    mosaic : Mosaic
        Combined image.
    wcs : TanWcs
        Its projection.
    zero_point : float, optional
        AB magnitude of 1 e-/s (MAGZERO).
    pixel_area_ratio : float, optional
        Output over native pixel area (PIXAR_R).
    threshold : float, optional
        Lowest significance in the matched filter.
    fwhm : float, optional
        Width of a star's core [pixel]; measured by default.

    Returns
    -------
    Table
        Columns ``id x y ra dec flux flux_err mag_ab mag_err snr fwhm flags``, brightest first;
        x, y 0-based; empty for an empty field.
    """
    error2 = mosaic.variance
    field = _field(mosaic.flux, error2, mosaic.dq, mosaic.noise_kernel)
    width, place = _first_pass(field, threshold, fwhm)
    stars = _Stars(place[:, 0], place[:, 1], np.zeros(len(place)))
    stars, psf = _solve(field, stars, gaussian_profile(width, APERTURE * width))
    stars = _distinct(stars, psf)
    more = _second_pass(field, stars, psf, threshold)
    if len(more):
        place = np.concatenate([np.stack([stars.y, stars.x], axis=-1), more])
        stars = _Stars(place[:, 0], place[:, 1], np.zeros(len(place)))
        stars, psf = _solve(field, stars, psf)
        stars = _distinct(stars, psf)
    return _table(_measure(field, stars, psf), wcs, zero_point, pixel_area_ratio)


def _field(
    image: npt.ArrayLike, variance: npt.ArrayLike, dq: npt.ArrayLike, kernel: npt.ArrayLike
) -> _Field:
    """Bring planes to native types; give pixels that are not to be used no variance."""
    value = np.asarray(image, dtype=np.float64)
    var = np.asarray(variance, dtype=np.float64)
    flags = np.asarray(dq, dtype=np.uint32)
    if value.ndim != 2 or var.shape != value.shape or flags.shape != value.shape:
        got = f"shapes {value.shape}, {var.shape}, {flags.shape}"
        remedy = "give planes of one image"
        raise InputError(complaint("photometry", "planes", got, "one shape (ny, nx)", remedy))
    good = ((flags & BAD) == 0) & np.isfinite(value) & np.isfinite(var) & (var > 0)
    faintest = 0.02 * float(np.sqrt(np.median(var[good]))) if good.any() else 0.0
    return _Field(
        np.where(good, value, 0.0),
        np.where(good, var, np.nan),
        flags,
        np.asarray(kernel, dtype=np.float64),
        good,
        faintest,
    )


def _first_pass(field: _Field, threshold: float, fwhm: float | None) -> tuple[float, Float64]:
    """Width of the core, and maxima that stand for themselves."""
    width = 3.0 if fwhm is None else fwhm
    variance = np.where(field.good, field.variance, 0.0)
    for _ in range(2 if fwhm is None else 0):
        snr = significance(field.image, variance, field.good, field.kernel, fwhm=width)
        width = _measure_width(field, detect(snr, fwhm=width, threshold=3 * threshold), width)
    snr = significance(field.image, variance, field.good, field.kernel, fwhm=width)
    found = detect(snr, fwhm=width, threshold=threshold)
    height = snr[tuple(found.T)] * np.sqrt(np.maximum(variance[tuple(found.T)], 0.0))
    keep = np.ones(len(found), dtype=bool)
    order = np.argsort(-height)
    for rank, k in enumerate(order):
        brighter = found[order[:rank]]
        if not rank:
            continue
        near = np.hypot(*(brighter - found[k]).T) < CLOSE * width
        keep[k] = not np.any(near & (height[order[:rank]] * FAINT > height[k]))
    return width, found[keep].astype(np.float64)


def _second_pass(field: _Field, stars: _Stars, psf: PointSpread, threshold: float) -> Float64:
    """Maxima of what the known stars leave, beyond the errors of their subtraction."""
    model = _model(field.image.shape, stars, psf, field.faintest)
    variance = np.where(field.good, field.variance, 0.0) + (MODEL_ERROR * model) ** 2
    snr = significance(field.image - model, variance, field.good, field.kernel, fwhm=psf.fwhm)
    found = detect(snr, fwhm=psf.fwhm, threshold=threshold).astype(np.float64)
    if len(found) and len(stars.y):
        gap = np.hypot(found[:, 0, None] - stars.y, found[:, 1, None] - stars.x).min(axis=1)
        found = found[gap > 0.75 * psf.fwhm]
    return found


def _measure_width(field: _Field, found: npt.NDArray[Any], default: float = 3.0) -> float:
    """Median width of the brightest sources without bad pixels [pixel]."""
    widths = []
    for y, x in found[:200].astype(np.float64):
        ys, xs, values, good = _cut(field, y, x, 3.0 * default)
        if good.size and good.all():
            window = _window(ys, xs, values - np.median(values), (y, x), default)
            if 1.0 < window[2] < 4.0 * default:
                widths.append(window[2])
        if len(widths) == 30:
            break
    return float(np.median(widths)) if widths else default


def _cut(field: _Field, y: float, x: float, reach: float) -> tuple[Float64, Float64, Float64, Bool]:
    """Rows, columns, values and use of the pixels around a position."""
    box = _box((y, x), reach, field.image.shape)
    ys, xs = np.mgrid[box].astype(np.float64)
    return ys, xs, field.image[box], field.good[box]


def _box(centre: tuple[float, float], reach: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Rows and columns within reach of a position; empty beyond the image."""
    spans = []
    for middle, size in zip(centre, shape, strict=True):
        low = int(np.clip(np.floor(middle - reach), 0, size))
        spans.append(slice(low, int(np.clip(np.ceil(middle + reach) + 1, low, size))))
    return spans[0], spans[1]


def _window(
    ys: Float64, xs: Float64, values: Float64, start: tuple[float, float], fwhm: float
) -> tuple[float, float, float]:
    """Centroid and width under a Gaussian window that follows the source."""
    y, x = start
    sigma2 = (fwhm / 2.3548) ** 2
    for _ in range(30):
        weight = np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / (2.0 * sigma2)) * values
        total = float(weight.sum())
        if total <= 0:
            return start[0], start[1], float("nan")
        # the window halves the offset of a source of its own width
        dy = 2.0 * float((weight * (ys - y)).sum()) / total
        dx = 2.0 * float((weight * (xs - x)).sum()) / total
        y, x = y + dy, x + dx
        if np.hypot(y - start[0], x - start[1]) > fwhm:
            return start[0], start[1], float("nan")
        if np.hypot(dy, dx) < 1e-4:
            break
    weight = np.exp(-((ys - y) ** 2 + (xs - x) ** 2) / (2.0 * sigma2)) * values
    moment = float((weight * ((ys - y) ** 2 + (xs - x) ** 2)).sum()) / (2.0 * float(weight.sum()))
    # moments of source times window: 1 / moment = 1 / sigma_source^2 + 1 / sigma_window^2
    inverse = 1.0 / moment - 1.0 / sigma2 if moment > 0 else 0.0
    return y, x, 2.3548 / np.sqrt(inverse) if inverse > 0 else float("nan")


def _extent(core: float, psf: PointSpread, faintest: float) -> float:
    """Radius out to which a star counts [pixel]."""
    return psf.extent(faintest / core) if core > 0 else 2.0 * psf.aperture


def _model(shape: tuple[int, ...], stars: _Stars, psf: PointSpread, faintest: float) -> Float64:
    """Image of all stars."""
    out = np.zeros(shape)
    for y, x, core in zip(stars.y, stars.x, stars.core, strict=True):
        _add_star(out, (float(y), float(x)), max(0.0, float(core)), psf, faintest)
    return out


def _add_star(
    out: Float64, centre: tuple[float, float], core: float, psf: PointSpread, faintest: float
) -> None:
    """Add one star to an image in place."""
    if core == 0.0:
        return
    extent = _extent(abs(core), psf, faintest)
    box = _box(centre, extent, out.shape)
    ys, xs = np.ogrid[box]
    r = np.hypot(ys - centre[0], xs - centre[1])
    out[box] += np.where(r <= extent, core * psf(r), 0.0)


def _solve(
    field: _Field,
    stars: _Stars,
    psf: PointSpread,
    *,
    fixed: bool = False,
    recentre: bool = True,
) -> tuple[_Stars, PointSpread]:
    """Positions, aperture fluxes and profile that agree with each other."""
    if not len(stars.y):
        return stars, psf
    for step in range(4):
        stars = _sweep(field, stars, psf, recentre=recentre)
        if not fixed and step < 3:
            psf = _profile(field, stars, psf)
    return stars, psf


def _sweep(field: _Field, stars: _Stars, psf: PointSpread, *, recentre: bool) -> _Stars:
    """Measure one star after the other, brightest first, each with the newest of the others.

    Measuring all at once would let the stars of a close pair trade their light for ever.
    """
    now = _Stars(stars.y.copy(), stars.x.copy(), stars.core.copy())
    model = _model(field.image.shape, now, psf, field.faintest)
    clean = np.where(field.good, field.image - model, 0.0)
    for k in np.lexsort((-_peaks(field, now), -now.core)):
        old = (float(now.y[k]), float(now.x[k])), float(now.core[k])
        if recentre:
            now.y[k], now.x[k] = _centroid(field, now, k, psf, clean)
        # the star was put back at its old place: measure there, with the circle at the new one
        _add_star(clean, *old, psf, field.faintest)
        now.core[k] = 0.0
        core = _aperture(field, now, k, psf, clean)[0]
        now.core[k] = core if core > 0 else 0.0
        _add_star(clean, (float(now.y[k]), float(now.x[k])), -now.core[k], psf, field.faintest)
    return now


def _peaks(field: _Field, stars: _Stars) -> Float64:
    """Values of the pixels under the stars."""
    ny, nx = field.image.shape
    y = np.clip(np.nan_to_num(stars.y).round().astype(int), 0, ny - 1)
    x = np.clip(np.nan_to_num(stars.x).round().astype(int), 0, nx - 1)
    return np.asarray(field.image[y, x])


def _profile(field: _Field, stars: _Stars, psf: PointSpread) -> PointSpread:
    """Profile of the field for given stars."""
    trusted = np.array(
        [
            bool(good.size) and bool(good.all())
            for good in (
                _cut(field, y, x, psf.aperture)[3] for y, x in zip(stars.y, stars.x, strict=True)
            )
        ]
    )
    return measure_profile(
        field.image, field.variance, (stars.y, stars.x, stars.core), trusted, psf
    )


def _centroid(
    field: _Field, stars: _Stars, k: int, psf: PointSpread, clean: Float64
) -> tuple[float, float]:
    """Centroid of a star after all others are taken off."""
    y, x = float(stars.y[k]), float(stars.x[k])
    cut = _alone(field, stars, k, psf, clean)
    r = np.hypot(cut.y - y, cut.x - x)
    near = r <= 2.0 * psf.fwhm
    if not near.any():
        return y, x
    values = np.where(near, cut.value - _background(cut, r, psf)[0], 0.0)
    filled = np.where(cut.good | ~near, values, stars.core[k] * psf(r))
    return _window(cut.y, cut.x, filled, (y, x), psf.fwhm)[:2]


@dataclass(frozen=True, eq=False)
class _Cutout:
    """Surroundings of one star, all others taken off."""

    y: Float64
    x: Float64
    value: Float64
    variance: Float64
    good: Bool
    dq: npt.NDArray[np.uint32]


def _alone(field: _Field, stars: _Stars, k: int, psf: PointSpread, clean: Float64) -> _Cutout:
    """Cut out one star from an image from which all are taken off, and put it back."""
    y, x, core = float(stars.y[k]), float(stars.x[k]), float(stars.core[k])
    box = _box((y, x), ANNULUS[1] * psf.fwhm, field.image.shape)
    ys, xs = np.mgrid[box].astype(np.float64)
    r = np.hypot(ys - y, xs - x)
    kept = (core > 0) & field.good[box] & (r <= _extent(core, psf, field.faintest))
    value = clean[box] + np.where(kept, core * psf(r), 0.0)
    return _Cutout(ys, xs, value, field.variance[box], field.good[box], field.dq[box])


def _background(cut: _Cutout, r: Float64, psf: PointSpread) -> tuple[float, Bool]:
    """Mean of an annulus and the pixels it was taken from."""
    ring = cut.good & (r >= ANNULUS[0] * psf.fwhm) & (r <= ANNULUS[1] * psf.fwhm)
    if np.count_nonzero(ring) < 20:
        return 0.0, np.zeros_like(ring)
    values = cut.value[ring]
    sigma = np.sqrt(np.median(cut.variance[ring]))
    ring[ring] = np.abs(values - np.median(values)) < 4.0 * sigma
    if not ring.any():
        return 0.0, ring
    return float(cut.value[ring].mean()), ring


def _aperture(
    field: _Field, stars: _Stars, k: int, psf: PointSpread, clean: Float64
) -> tuple[float, float, int]:
    """Flux in the aperture, its error and the flags of one star."""
    from photutils.aperture import CircularAperture  # here: half a second that frames need not pay

    cut = _alone(field, stars, k, psf, clean)
    y, x = float(stars.y[k]), float(stars.x[k])
    if not cut.y.size:
        return np.nan, np.nan, int(Flag.DO_NOT_USE)
    r = np.hypot(cut.y - y, cut.x - x)
    corner = (float(cut.x[0, 0]), float(cut.y[0, 0]))
    circle = CircularAperture((x - corner[0], y - corner[1]), psf.aperture)
    overlap = circle.to_mask(method="exact").to_image(cut.value.shape)
    if overlap is None:
        return np.nan, np.nan, int(Flag.DO_NOT_USE)
    level, ring = _background(cut, r, psf)
    shape = psf(r)
    use = cut.good & (overlap > 0)
    power = float(np.sum((overlap * shape**2)[use]))
    if power <= 0:
        return np.nan, np.nan, int(Flag.DO_NOT_USE)
    flags = int(np.bitwise_or.reduce(cut.dq[overlap > 0])) & ~int(Flag.DO_NOT_USE)
    value = cut.value - level
    variance = cut.variance
    if not cut.good[overlap > 0].all():
        flags |= int(Flag.FLUX_ESTIMATED)
        scale = float(np.sum((overlap * shape * value)[use])) / power
        value = np.where(cut.good, value, scale * shape)
        variance = np.where(cut.good, variance, np.median(variance[use]))
    area = float(overlap.sum())
    # the annulus holds light of the star itself
    own = area * float(shape[ring].mean()) if ring.any() else 0.0
    factor = overlap - area / max(1, int(np.count_nonzero(ring))) * ring
    flux = float(np.sum(overlap * value)) / (1.0 - own)
    return flux, weighted_error(variance, field.kernel, factor) / (1.0 - own), flags


def _measure(field: _Field, stars: _Stars, psf: PointSpread) -> Photometry:
    """Total fluxes, errors, widths and flags."""
    count = len(stars.y)
    flux, error, width = np.full((3, count), np.nan)
    flags = np.zeros(count, dtype=np.uint32)
    model = _model(field.image.shape, stars, psf, field.faintest)
    clean = np.where(field.good, field.image - model, 0.0)
    total = psf.total()
    for k in range(count):
        core, core_err, flags[k] = _aperture(field, stars, k, psf, clean)
        flux[k], error[k] = core * total, core_err * total
        cut = _alone(field, stars, k, psf, clean)
        r = np.hypot(cut.y - stars.y[k], cut.x - stars.x[k])
        values = np.where(r <= 2.0 * psf.fwhm, cut.value - _background(cut, r, psf)[0], 0.0)
        centre = (float(stars.y[k]), float(stars.x[k]))
        width[k] = _window(cut.y, cut.x, values, centre, psf.fwhm)[2] if cut.y.size else np.nan
    return Photometry(stars.y, stars.x, flux, error, width, flags, psf)


def _distinct(stars: _Stars, psf: PointSpread) -> _Stars:
    """Leave out stars that ended on a brighter one, and those without flux."""
    keep: list[int] = []
    for k in np.argsort(-stars.core, kind="stable"):
        gap = np.hypot(stars.y[keep] - stars.y[k], stars.x[keep] - stars.x[k])
        if stars.core[k] > 0 and not np.any(gap < 0.5 * psf.fwhm):
            keep.append(int(k))
    return _Stars(stars.y[keep], stars.x[keep], stars.core[keep])


def _table(found: Photometry, wcs: TanWcs, zero_point: float, area: float) -> Table:
    """Catalogue of what was measured, brightest first."""
    from astropy import units as u
    from astropy.table import Table

    kept = np.isfinite(found.flux) & (found.flux > LEAST_SNR * found.flux_err)
    order = np.flatnonzero(kept)[np.argsort(-found.flux[kept], kind="stable")]
    y, x = found.y[order], found.x[order]
    flux, error = found.flux[order] * area, found.flux_err[order] * area
    ra, dec = wcs.pixel_to_sky(x, y)
    table = Table()
    table["id"] = np.arange(1, len(order) + 1, dtype=np.int32)
    table["x"], table["y"] = x * u.pix, y * u.pix
    table["ra"], table["dec"] = ra * u.deg, dec * u.deg
    table["flux"] = flux * u.electron / u.s
    table["flux_err"] = error * u.electron / u.s
    table["mag_ab"] = (zero_point - 2.5 * np.log10(flux)) * u.mag
    table["mag_err"] = np.where(np.isfinite(zero_point), 1.0857 * error / flux, np.nan) * u.mag
    table["snr"] = flux / error
    table["fwhm"] = found.fwhm[order] * u.pix
    table["flags"] = found.flags[order]
    table.meta["aperture_radius"] = found.profile.aperture
    table.meta["aperture_correction"] = found.profile.total()
    table.meta["psf_fwhm"] = found.profile.fwhm
    return table
