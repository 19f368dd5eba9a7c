"""The star field: where the stars stand and how bright they are."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.spatial import cKDTree

from ..instrument.detectors import DETECTORS, IMAGER_DETECTORS, axis_pixel
from .optics import aperture_sums, halo_width
from .projection import deproject, instrument_to_sky
from .scene import PointSpread, Scene, StarField

__all__ = ["APERTURE", "draw_stars", "is_isolated"]

Floats = npt.NDArray[np.float64]

APERTURE = 5.0
"""Radius of the aperture that the column `snr` of the star table refers to [pixel]."""

_TRIES = 300
_APERTURE_AREA = 50.0


def is_isolated(
    x: Floats, y: Floats, flux: Floats, radius: float = 20.0, ratio: float = 0.1
) -> npt.NDArray[np.bool_]:
    """Say which stars have no neighbour near that is bright against them.

    Parameters
    ----------
    x, y : ndarray (nstar,) float64
        Places on a common plane [pixel].
    flux : ndarray (nstar,) float64
        Flux, any unit.
    radius : float
        Distance looked at [pixel].
    ratio : float
        Neighbours fainter than this part of the star do not count.

    Returns
    -------
    ndarray (nstar,) bool
        True for isolated stars.
    """
    alone = np.ones(len(x), dtype=bool)
    for i, j in cKDTree(np.column_stack([x, y])).query_pairs(radius):
        alone[i] &= flux[j] < ratio * flux[i]
        alone[j] &= flux[i] < ratio * flux[j]
    return alone


def _fluxes(field: StarField, rng: np.random.Generator) -> Floats:
    """Draw falling fluxes (nstar,), one per equal step of the luminosity function."""
    step = (np.arange(field.count) + rng.random(field.count)) / field.count
    low, high = field.faintest**-field.slope, field.brightest**-field.slope
    return np.asarray((high + (low - high) * step) ** (-1.0 / field.slope))


def _clearance(flux: float, brighter: Floats, field: StarField, psf: PointSpread) -> Floats:
    """Least distance [pixel] that a star of a flux keeps from each of the brighter ones."""
    alpha, beta = halo_width(psf), psf.halo_beta
    peak = (1.0 - psf.core_fraction) * (beta - 1.0) / (np.pi * alpha**2)
    excess = peak * _APERTURE_AREA * brighter / flux / field.halo_limit
    halo = alpha * np.sqrt(np.maximum(excess ** (1.0 / beta) - 1.0, 0.0))
    return np.asarray(np.maximum(field.separation, halo))


def _places(
    flux: Floats, half: tuple[float, float], scene: Scene, rng: np.random.Generator
) -> tuple[Floats, Floats]:
    """Places (x, y) of stars of falling flux within +-half [pixel] of the axis."""
    apart = rng.random(len(flux)) < scene.stars.kept_apart
    x, y = np.empty(len(flux)), np.empty(len(flux))
    for i, f in enumerate(flux):
        least = _clearance(f, flux[:i], scene.stars, scene.psf)
        for _ in range(_TRIES if apart[i] else 1):
            x[i], y[i] = rng.uniform(-half[0], half[0]), rng.uniform(-half[1], half[1])
            if np.all(np.hypot(x[:i] - x[i], y[:i] - y[i]) >= least):
                break
    return x, y


def _half_field(scene: Scene, pixel_scale: float) -> tuple[float, float]:
    """Half the size (x, y) [pixel] of the field that any science exposure sees."""
    layout = scene.format
    corners = [axis_pixel(name, layout.nx, layout.ny, layout.border) for name in IMAGER_DETECTORS]
    east, north = np.asarray(scene.dithers).reshape(-1, 2).T
    dx, dy = np.abs(instrument_to_sky(east, north, scene.position_angle)) / pixel_scale
    return (
        max(max(-x, layout.nx - x) for x, _ in corners) + float(dx.max(initial=0.0)),
        max(max(-y, layout.ny - y) for _, y in corners) + float(dy.max(initial=0.0)),
    )


def _signal_to_noise(flux: Floats, scene: Scene, pixel_scale: float) -> Floats:
    """Signal to noise in the aperture in one frame: photons, sky, read noise of a fit."""
    light = aperture_sums(scene.psf, pixel_scale, np.array([APERTURE]))[1][0]
    pattern, area = scene.pattern, np.pi * APERTURE**2
    time = scene.nramp * pattern.ramp_time
    signal = light * flux * time
    read = scene.nramp * 12.0 * scene.physics.read_noise**2 / pattern.nread
    return np.asarray(signal / np.sqrt(signal + area * (scene.sky * time + read)))


def draw_stars(scene: Scene, rng: np.random.Generator) -> dict[str, npt.NDArray[np.generic]]:
    """Draw the stars of a scene.

    Parameters
    ----------
    scene : Scene
        The scene.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    dict
        Columns of the star table, brightest first: ``id`` (from 1), ``ra``, ``dec`` [degree],
        ``flux`` [e-/s at the mean sensitivity], ``mag_ab`` [mag], ``snr`` (expected, aperture of
        radius `APERTURE`, one frame), ``isolated`` (no neighbour above 10 % of it within 20
        pixels).
    """
    scale = DETECTORS[IMAGER_DETECTORS[0]].pixel_scale
    flux = _fluxes(scene.stars, rng)
    half = _half_field(scene, scale)
    x, y = _places(flux, half, scene, rng)
    ra, dec = deproject(
        *instrument_to_sky(x * scale, y * scale, scene.position_angle), scene.ra, scene.dec
    )
    return {
        "id": np.arange(1, len(flux) + 1, dtype=np.int32),
        "ra": ra,
        "dec": dec,
        "flux": flux,
        "mag_ab": scene.zero_point - 2.5 * np.log10(flux),
        "snr": _signal_to_noise(flux, scene, scale),
        "isolated": is_isolated(x, y, flux),
    }
