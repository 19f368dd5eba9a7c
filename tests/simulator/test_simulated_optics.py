"""Light: total, place, shape, against a direct integration in real space."""

import numpy as np
import pytest
from photutils.aperture import CircularAperture
from scipy.ndimage import gaussian_filter, uniform_filter
from scipy.special import j1

from liger_iris_pipeline.simulator import PointSpread
from liger_iris_pipeline.simulator.optics import aperture_sums, point_spread_image, star_image

SCALE = 0.004
PSF = PointSpread()


def brute_force(oversampling=9, radius=80):
    """Integrate the core and the halo over pixels on a fine grid."""
    n = oversampling * (2 * radius + 1)
    axis = (np.arange(n) - n // 2) / oversampling
    r = np.maximum(np.hypot(axis[:, None], axis[None, :]), 1e-6)
    v = np.pi * r * SCALE / 206264.806 * 30.0 / 1.262e-6
    core = (2 * j1(v) / v - 0.01 * 2 * j1(0.1 * v) / (0.1 * v)) ** 2 * np.exp(-(r**2) / 3200)
    core = gaussian_filter(core / core.sum(), 0.25 * oversampling)
    alpha = 7.5 / np.sqrt(2 ** (1 / 3) - 1)
    halo = 2 / (np.pi * alpha**2) * (1 + (r / alpha) ** 2) ** -3 / oversampling**2
    fine = uniform_filter(0.6 * core + 0.4 * halo, oversampling, mode="constant")
    start = oversampling // 2
    return fine[start::oversampling, start::oversampling] * oversampling**2


def test_image_is_the_integral_over_pixels():
    fast = point_spread_image(PSF, SCALE, 128)[128 - 50 : 128 + 51, 128 - 50 : 128 + 51]
    slow = brute_force()[30:-30, 30:-30]
    assert np.abs(fast - slow).max() < 2e-3 * slow.max()


def test_total_light_and_truncation():
    image = point_spread_image(PSF, SCALE, 128)
    y, x = np.indices(image.shape) - 128
    assert 0.999 < image[np.hypot(y, x) <= 100].sum() < 1.0


def test_width_of_the_core():
    image = point_spread_image(PSF, SCALE, 128)
    profile = image[128, 128:] / image[128, 128]
    half = np.interp(0.5, profile[2::-1], np.arange(3)[::-1])
    assert 2.0 < 2 * half < 2.6


@pytest.mark.parametrize(("x", "y"), [(300.27, 255.81), (511.9, 100.4), (700.0, 640.5)])
def test_star_lies_where_asked(x, y):
    image = star_image(np.array([x]), np.array([y]), np.array([1e5]), (900, 1000), PSF, SCALE)
    yy, xx = np.indices(image.shape, dtype=float)
    near = np.hypot(yy - y, xx - x) < 100
    total = image[near].sum(dtype=float)
    assert total == pytest.approx(1e5, rel=1e-3)
    core = np.hypot(yy - y, xx - x) < 30
    weight = image[core].astype(float)
    assert np.average(xx[core], weights=weight) == pytest.approx(x, abs=0.02)
    assert np.average(yy[core], weights=weight) == pytest.approx(y, abs=0.02)


def test_light_from_outside_and_from_none():
    outside = star_image(np.array([-6.0]), np.array([30.0]), np.array([1e4]), (64, 64), PSF, SCALE)
    assert 100 < outside.sum() < 5000
    assert outside[30, 0] == outside.max()
    nothing = star_image(np.empty(0), np.empty(0), np.empty(0), (64, 64), PSF, SCALE)
    assert not nothing.any()


def test_aperture_sums_match_overlap_weighted_sums():
    radii = np.array([1.5, 3.0, 5.0, 12.0])
    rng = np.random.default_rng(3)
    sums = []
    for _ in range(30):
        x, y = rng.uniform(80, 81, 2)
        image = star_image(np.array([x]), np.array([y]), np.array([1.0]), (160, 160), PSF, SCALE)
        sums.append([float(CircularAperture((x, y), r).do_photometry(image)[0][0]) for r in radii])
    _, aperture = aperture_sums(PSF, SCALE, radii)
    assert np.mean(sums, axis=0) == pytest.approx(aperture, abs=2e-3)


def test_light_adds_up():
    x, y, f = np.array([20.3, 41.0]), np.array([33.1, 8.5]), np.array([50.0, 900.0])
    both = star_image(x, y, f, (64, 64), PSF, SCALE)
    one = [star_image(x[[i]], y[[i]], f[[i]], (64, 64), PSF, SCALE) for i in (0, 1)]
    assert np.allclose(both, one[0] + one[1], atol=1e-4)
