"""The field's own point-spread function, as a profile of radius.

References
----------
Stetson 1990, PASP 102, 932, doi:10.1086/132719: growth curves with an outer power law.
Moffat 1969, A&A 3, 455: the form of the outer profile.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import scipy

__all__ = ["PointSpread", "gaussian_profile", "measure_profile"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

FARTHEST = 300.0
"""Radius beyond which a star's light is not followed [pixel]."""

SAMPLES = 50_000
"""Pixels that a profile is measured on: enough for a halo, and quick."""

CORE_STARS = 50
"""Stars that the core is measured on."""

HALO = (3.0, 2.75)
"""Expected scale of an AO halo [FWHM of the core] and its exponent beta."""


@dataclass(frozen=True, eq=False)
class PointSpread:
    """Profile of a star, per unit flux in the aperture.

    Attributes
    ----------
    aperture : float
        Radius of the aperture [pixel].
    fwhm : float
        Full width at half maximum of the core [pixel].
    radius, value : ndarray (n,) float64
        Radius [pixel], rising from 0, and surface brightness there [1/pixel].
    halo : tuple of float
        Amplitude [1/pixel], scale [pixel] and exponent of A (1 + (r / scale)^2)^-beta, which
        holds beyond the last radius.
    """

    aperture: float
    fwhm: float
    radius: Float64
    value: Float64
    halo: tuple[float, float, float]

    @cached_property
    def _inner(self) -> Any:
        """Smooth curve through the inner profile, made once: it is asked for at every star."""
        return scipy.interpolate.PchipInterpolator(self.radius, self.value)

    @cached_property
    def _growth(self) -> tuple[Float64, Float64]:
        """Radii, and the largest brightness from there outwards."""
        r = np.geomspace(self.aperture, FARTHEST, 60)
        return r, np.maximum.accumulate(self(r)[::-1])[::-1]

    def extent(self, brightness: float) -> float:
        """Give the radius out to which a star is brighter than a value.

        Parameters
        ----------
        brightness : float
            Per unit flux in the aperture [1/pixel].

        Returns
        -------
        float
            Radius [pixel], at least twice the aperture's.
        """
        r, outwards = self._growth
        beyond = np.flatnonzero(outwards > brightness)
        return float(r[beyond[-1]]) if beyond.size else 2.0 * self.aperture

    def __call__(self, r: npt.ArrayLike) -> Float64:
        """Give the surface brightness at a radius.

        Parameters
        ----------
        r : array_like
            Distance from the star [pixel].

        Returns
        -------
        ndarray float64
            Brightness per unit flux in the aperture [1/pixel].
        """
        distance = np.asarray(r, dtype=np.float64)
        a, scale, beta = self.halo
        outer = a * (1.0 + (distance / scale) ** 2) ** -beta
        inner = self._inner(np.minimum(distance, self.radius[-1]))
        return np.asarray(np.where(distance <= self.radius[-1], inner, outer))

    def total(self) -> float:
        """Give the flux to infinity per unit flux in the aperture.

        Returns
        -------
        float
            The aperture correction, for an aperture whose background is known.
        """
        edge = float(self.radius[-1])
        r = np.linspace(self.aperture, max(edge, self.aperture), 2000)
        middle = float(np.trapezoid(2.0 * np.pi * r * self(np.minimum(r, edge)), r))
        a, scale, beta = self.halo
        reach = 1.0 + (max(edge, self.aperture) / scale) ** 2
        return float(1.0 + middle + np.pi * a * scale**2 / (beta - 1.0) * reach ** (1.0 - beta))


def gaussian_profile(fwhm: float, aperture: float) -> PointSpread:
    """Make the profile of a Gaussian star.

    Parameters
    ----------
    fwhm : float
        Full width at half maximum [pixel].
    aperture : float
        Radius of the aperture [pixel].

    Returns
    -------
    PointSpread
        Profile without a halo.
    """
    r = np.linspace(0.0, max(3.0 * fwhm, 1.5 * aperture), 60)
    steep = 4.0 * np.log(2.0) / fwhm**2
    inside = 1.0 - np.exp(-steep * aperture**2)
    value = steep / np.pi * np.exp(-steep * r**2) / inside
    return PointSpread(aperture, fwhm, r, value, (0.0, HALO[0] * fwhm, HALO[1]))


def measure_profile(
    image: Float64,
    variance: Float64,
    stars: tuple[Float64, Float64, Float64],
    trusted: Bool,
    start: PointSpread,
) -> PointSpread:
    """Measure the profile of the stars of a field.

    Parameters
    ----------
    image, variance : ndarray (ny, nx) float64
        Values and variances; pixels whose variance is not finite do not count.
    stars : tuple of ndarray (n,)
        y, x [pixel] and flux in the aperture of every star, faint ones included.
    trusted : ndarray (n,) bool
        Stars that may define the core: not saturated, no bad pixel in the aperture.
    start : PointSpread
        Profile so far; kept where the stars do not constrain a better one.

    Returns
    -------
    PointSpread
        Core from the brightest trusted stars, wings from all stars at once.

    Notes
    -----
    The wings are the solution of image(p) = c + sum_k F_k P(|p - p_k|) for the background c and
    the profile P, a reference halo times a piecewise linear function of log r, on pixels outside
    all cores. Overlapping halos and a wrong sky level are thereby told apart. A Moffat halo is
    fitted to the solution with its covariance, with weak priors around an AO halo that matter
    only when stars are few or faint. It counts only if it improves chi-square by 16.
    """
    core_r, core_v = _core(image, variance, stars, trusted, start)
    nodes = np.geomspace(start.aperture, _reach(image.shape, start.aperture), 16)
    solution = _wings(image, variance, stars, nodes, start)
    if solution is None:
        halo, join = start.halo, start.radius[-1]
        wing_r, wing_v = np.array([]), np.array([])
    else:
        join = 2.0 * start.aperture
        halo = _fit_halo(nodes, *solution, join=join, fwhm=start.fwhm)
        shape = _Reference(start)
        wing_r = np.geomspace(nodes[0], join, 24, endpoint=False)
        ratio = np.interp(np.log(wing_r), np.log(nodes), solution[0] / shape(nodes))
        wing_v = ratio * shape(wing_r)
    a, scale, beta = halo
    inner = core_r < start.aperture
    r = np.concatenate([core_r[inner], wing_r, [join]])
    v = np.concatenate([core_v[inner], wing_v, [a * (1.0 + (join / scale) ** 2) ** -beta]])
    return PointSpread(start.aperture, start.fwhm, r, v, halo)


def _reach(shape: tuple[int, ...], aperture: float) -> float:
    """Largest radius of the profile [pixel]."""
    return float(np.clip(0.3 * min(shape), 4.0 * aperture, 120.0))


def _core(
    image: Float64,
    variance: Float64,
    stars: tuple[Float64, Float64, Float64],
    trusted: Bool,
    start: PointSpread,
) -> tuple[Float64, Float64]:
    """Profile inside the aperture, from the brightest trusted stars without close neighbours."""
    y, x, flux = stars
    edge = start.aperture
    step = max(0.25, start.fwhm / 8.0)
    bins = np.arange(0.0, edge + 2 * step, step)
    order = [k for k in np.argsort(-flux) if trusted[k] and flux[k] > 0]
    sums, counts, means = np.zeros(len(bins)), np.zeros(len(bins)), np.zeros(len(bins))
    for k in _isolated(y, x, flux, order, 4.0 * start.aperture)[:CORE_STARS]:
        ys, xs = _box(y[k], x[k], edge + 1.0, image.shape)
        r = np.hypot(ys[:, None] - y[k], xs[None, :] - x[k])
        value = image[np.ix_(ys, xs)]
        use = np.isfinite(variance[np.ix_(ys, xs)]) & (r < bins[-1])
        index = np.digitize(r[use], bins) - 1
        sums += np.bincount(index, flux[k] * value[use], len(bins))
        means += np.bincount(index, flux[k] ** 2 * r[use], len(bins))
        counts += np.bincount(index, np.full(index.size, flux[k] ** 2), len(bins))
    full = counts > 0
    if np.count_nonzero(full) < 5:
        return start.radius, start.value
    r, v = means[full] / counts[full], sums[full] / counts[full]
    return np.concatenate([[0.0], r]), np.concatenate([[v[0]], v])


def _isolated(y: Float64, x: Float64, flux: Float64, order: list[int], reach: float) -> list[int]:
    """Stars with no neighbour of a hundredth of their flux within reach; all if there is none."""
    tree = scipy.spatial.cKDTree(np.stack([y, x], axis=-1))
    alone = [
        k
        for k in order
        if all(
            j == k or flux[j] < 0.01 * flux[k] for j in tree.query_ball_point((y[k], x[k]), reach)
        )
    ]
    return alone or order


def _box(
    y: float, x: float, reach: float, shape: tuple[int, ...]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Rows and columns within reach of a position."""
    low = (max(0, int(np.ceil(y - reach))), max(0, int(np.ceil(x - reach))))
    high = (min(shape[0], int(y + reach) + 1), min(shape[1], int(x + reach) + 1))
    return np.arange(low[0], max(high[0], low[0])), np.arange(low[1], max(high[1], low[1]))


def _wings(
    image: Float64,
    variance: Float64,
    stars: tuple[Float64, Float64, Float64],
    nodes: Float64,
    start: PointSpread,
) -> tuple[Float64, Float64] | None:
    """Profile at the nodes and its covariance; None if the field does not determine it."""
    if not stars[2].size:
        return None
    tree = scipy.spatial.cKDTree(np.stack(stars[:2], axis=-1))
    points = _sample(variance, stars, tree, start.aperture, float(nodes[-1]))
    if len(points) < 50 * len(nodes):
        return None
    reference = _Reference(start)
    design = _design(points, tree, stars[2], nodes, reference)
    data, var = image[tuple(points.T)], variance[tuple(points.T)]
    used = np.ones(len(points), dtype=bool)
    for _ in range(3):
        weighted = design[used] / var[used, None]
        # not matmul: for these tall, thin matrices the threads of a BLAS cost more than they give
        normal = np.einsum("ni,nj->ij", weighted, design[used])
        if np.any(np.diag(normal) <= 0):
            return None
        unit = 1.0 / np.sqrt(np.diag(normal))
        outer = unit * unit[:, None]
        inverse = np.linalg.pinv(normal * outer, rcond=1e-10, hermitian=True) * outer
        coefficient = inverse @ np.einsum("ni,n->i", weighted, data[used])
        model = np.einsum("ni,i->n", design, coefficient)
        # sources that were not found, and cores that do not fit the profile, must not bend it
        limit = 4.0 * np.sqrt(var + (0.1 * model) ** 2)
        used = np.abs(data - model) < limit
    shape = reference(nodes)
    return coefficient[:-1] * shape, inverse[:-1, :-1] * shape * shape[:, None]


class _Reference:
    """Shape that the wings are measured against: the halo so far, or that of AO in general."""

    def __init__(self, start: PointSpread) -> None:
        _, self._scale, self._beta = start.halo

    def __call__(self, r: Float64) -> Float64:
        return np.asarray((1.0 + (r / self._scale) ** 2) ** -self._beta)


def _sample(
    variance: Float64,
    stars: tuple[Float64, Float64, Float64],
    tree: scipy.spatial.cKDTree,
    aperture: float,
    reach: float,
) -> npt.NDArray[np.int64]:
    """Pixels around the brightest stars, outside of all apertures."""
    near = np.zeros(variance.shape, dtype=bool)
    for k in np.argsort(-stars[2], kind="stable"):
        ys, xs = _box(stars[0][k], stars[1][k], reach, variance.shape)
        near[np.ix_(ys, xs)] = True
        if np.count_nonzero(near) > 4 * SAMPLES:
            break
    points = np.argwhere(near & np.isfinite(variance) & (variance > 0))
    if len(points) > SAMPLES:
        points = points[np.random.default_rng(0).choice(len(points), SAMPLES, replace=False)]
    return np.asarray(points[tree.query(points)[0] > aperture])


def _design(
    points: npt.NDArray[np.int64],
    tree: scipy.spatial.cKDTree,
    flux: Float64,
    nodes: Float64,
    reference: _Reference,
) -> Float64:
    """Matrix (npoint, nnode + 1): what each node of the profile, and a constant, add to a pixel."""
    width = len(nodes) + 1
    design = np.zeros((len(points), width))
    design[:, -1] = 1.0
    for k, (y, x) in enumerate(tree.data):
        r = np.hypot(points[:, 0] - y, points[:, 1] - x)
        index = np.flatnonzero(r <= nodes[-1])
        r = np.maximum(r[index], nodes[0])
        place = np.interp(np.log(r), np.log(nodes), np.arange(len(nodes)))
        low = np.minimum(place.astype(int), len(nodes) - 2)
        share = place - low
        size = reference(r) * flux[k]
        design[index, low] += (1.0 - share) * size
        design[index, low + 1] += share * size
    return design


def _fit_halo(
    nodes: Float64, value: Float64, covariance: Float64, *, join: float, fwhm: float
) -> tuple[float, float, float]:
    """Moffat halo through the profile beyond the join."""
    far = nodes >= join
    v, c = value[far], covariance[np.ix_(far, far)]
    eigen, vectors = np.linalg.eigh(c)
    whiten = vectors / np.sqrt(np.maximum(eigen, 1e-12 * eigen.max()))
    expected = HALO[0] * fwhm

    def halo(log_scale: float, beta: float) -> Float64:
        return np.asarray((1.0 + (nodes[far] / np.exp(log_scale)) ** 2) ** -beta)

    def amplitude(p: npt.NDArray[np.float64]) -> float:
        shape, data = halo(p[0], p[1]) @ whiten, v @ whiten
        return max(0.0, float(shape @ data) / float(shape @ shape))

    def residual(p: npt.NDArray[np.float64]) -> Float64:
        miss = (v - amplitude(p) * halo(p[0], p[1])) @ whiten
        prior = [(p[0] - np.log(expected)) / 0.7, (p[1] - HALO[1]) / 0.7]
        return np.concatenate([miss, prior])

    fit = scipy.optimize.least_squares(
        residual,
        [np.log(expected), HALO[1]],
        bounds=([np.log(0.3 * fwhm), 1.6], [np.log(20.0 * fwhm), 6.0]),
    )
    a = amplitude(fit.x)
    gain = float(np.sum((v @ whiten) ** 2)) - 2.0 * fit.cost
    if gain < 16.0:
        a = 0.0
    return a, float(np.exp(fit.x[0])), float(fit.x[1])
