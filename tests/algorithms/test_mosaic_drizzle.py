"""Mosaics against an explicit matrix, and their fluxes, errors and flags against truth."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.algorithms.frame import Pointing, TanWcs, imager_wcs
from liger_iris_pipeline.algorithms.mosaic import (
    Drizzler,
    aperture_error,
    frame_weight,
    output_grid,
    pixel_map,
)
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError
from liger_iris_pipeline.kinds import Frame
from oracles.mosaic import matrix, mean_correlation

GRID = TanWcs((1.0, 1.0), (10.0, 40.0), ((-0.004 / 3600, 0.0), (0.0, 0.004 / 3600)))


def affine(angle, dx, dy):
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    return lambda x, y: (c * x - s * y + dx, s * x + c * y + dy)


def grid_map(project, shape):
    y, x = np.indices(shape, dtype=float)
    return np.stack(project(x, y), axis=-1)


def noise_frame(rng, shape, **planes):
    f32 = np.float32
    base = {
        "rate": rng.normal(3, 1, shape).astype(f32),
        "var_read": rng.uniform(0.2, 0.5, shape).astype(f32),
        "var_photon": rng.uniform(0.2, 0.5, shape).astype(f32),
        "dq": np.zeros(shape, np.uint32),
        "var_flat": rng.uniform(0.1, 0.2, shape).astype(f32),
    }
    return Frame(**(base | planes))


MAPS = [affine(0, 3.3, 4.6), affine(30, 7.2, 2.1), affine(-110, 6.0, 12.5), affine(1, 3.0, 4.0)]
FLATS = ["a", "a", "b", "c"]
SCALES = [1.0, 0.8, 1.3, 1.0]
SHAPE, OUT = (9, 8), (17, 18)


def inputs(seed=1):
    rng = np.random.default_rng(seed)
    frames, weights = [], []
    for _ in MAPS:
        dq = rng.choice([0, 0, 0, 4, 2, 1, 1 | 1024], SHAPE).astype(np.uint32)
        frame = noise_frame(rng, SHAPE, dq=dq)
        frame.rate[rng.random(SHAPE) < 0.05] = np.nan
        frame.var_photon[rng.random(SHAPE) < 0.05] = np.nan
        frames.append(frame)
        weights.append(rng.uniform(0.5, 2, SHAPE).astype(np.float32))
    frames[-1] = replace(frames[-1], var_flat=None)
    return frames, weights


def combine(frames, weights, maps=MAPS, out=OUT, scales=SCALES, flats=FLATS):
    drizzler = Drizzler(GRID, out)
    for f, w, m, s, name in zip(frames, weights, maps, scales, flats, strict=True):
        drizzler.add(f, grid_map(m, f.rate.shape), w, scale=s, flat_id=name)
    return drizzler.finish()


def test_every_plane_equals_the_explicit_matrix():
    frames, weights = inputs()
    found = combine(frames, weights)
    size = OUT[0] * OUT[1]
    total, flux, read, photon = (np.zeros(size) for _ in range(4))
    flat = {name: np.zeros(size) for name in FLATS}
    bits, context = np.zeros(size, np.uint32), np.zeros(size, np.int64)
    for i, (f, w) in enumerate(zip(frames, weights, strict=True)):
        area = matrix(MAPS[i], SHAPE, OUT)
        area[area < 1e-6] = 0
        usable = (f.dq & 1) == 0
        usable &= np.isfinite(f.rate) & np.isfinite(f.var_photon)
        share = area * np.where(usable, w, 0).ravel() / SCALES[i] ** 2
        clean = [np.where(usable, p, 0).ravel() for p in (f.rate, f.var_read, f.var_photon)]
        total += share.sum(axis=1)
        flux += share @ clean[0] * SCALES[i]
        read += share**2 @ clean[1] * SCALES[i] ** 2
        photon += share**2 @ clean[2] * SCALES[i] ** 2
        if f.var_flat is not None:
            flat[FLATS[i]] += share @ np.sqrt(f.var_flat).ravel() * SCALES[i]
        for o in range(size):
            bits[o] |= np.bitwise_or.reduce(f.dq.ravel()[share[o] > 0] & ~np.uint32(1))
            context[o] |= (1 << i) * bool(np.any(share[o] > 0))
    used = total > 0

    def same(plane, expected):
        expected = np.where(used, expected, np.nan)
        np.testing.assert_allclose(plane.ravel(), expected, rtol=2e-4, atol=1e-6)

    safe = np.where(used, total, 1)
    same(found.flux, flux / safe)
    same(found.var_read, read / safe**2)
    same(found.var_photon, photon / safe**2)
    same(found.var_flat, sum(v**2 for v in flat.values()) / safe**2)
    np.testing.assert_allclose(found.weight.ravel(), total, rtol=2e-4, atol=1e-6)
    assert np.array_equal(found.dq.ravel(), np.where(used, bits, 1))
    assert np.array_equal(found.coverage.reshape(-1), context)


def test_kernel_equals_the_mean_of_the_explicit_covariance():
    rng = np.random.default_rng(2)
    shape, out = (24, 24), (44, 44)
    maps = [affine(0, 10.3, 10.6), affine(25, 14.2, 4.1), affine(0, 9.6, 10.0)]
    frames = [noise_frame(rng, shape, var_flat=None) for _ in maps]
    weights = [np.full(shape, w, np.float32) for w in (1.0, 2.0, 0.5)]
    drizzler = Drizzler(GRID, out)
    covariance, total = 0.0, 0.0
    for f, w, m in zip(frames, weights, maps, strict=True):
        drizzler.add(f, grid_map(m, shape), w)
        inner = np.zeros(shape, bool)
        inner[1:-1, 1:-1] = True
        share = matrix(m, shape, out) * w.ravel()
        covariance = covariance + (share * (f.var_read + f.var_photon).ravel()) @ share.T
        total = total + share.sum(axis=1)
    safe = np.where(total > 0, total, 1)
    covariance = covariance / safe / safe[:, None]
    found = drizzler.finish().noise_kernel
    expected = mean_correlation(covariance, out, found.shape[0] // 2)
    # the oracle also has the frames' edges, which the samples leave out
    assert abs(found - expected).max() < 0.02
    assert found[found.shape[0] // 2, found.shape[1] // 2] == 1
    assert np.array_equal(found, found[::-1, ::-1])


def test_kernel_equals_the_correlation_of_drizzled_white_noise():
    rng = np.random.default_rng(3)
    shape, out = (220, 220), (300, 330)
    maps = [affine(12, 70.3, 10.6), affine(0, 33.37, 40.1), affine(12, 71.8, 11.0)]
    maps = [grid_map(m, shape) for m in maps]
    one = np.ones(shape, np.float32)
    half = one / 2
    total = 0.0
    for _ in range(12):
        drizzler = Drizzler(GRID, out)
        for m in maps:
            rate = rng.normal(0, 1, shape).astype(np.float32)
            drizzler.add(Frame(rate, half, half, np.zeros(shape, np.uint32)), m, one)
        mosaic = drizzler.finish()
        z = np.nan_to_num(mosaic.flux / mosaic.error)
        power = np.abs(np.fft.fft2(z, (600, 660))) ** 2
        total = total + np.fft.fftshift(np.fft.ifft2(power).real)
    k = mosaic.noise_kernel.shape[0] // 2
    expected = total[300 - k : 301 + k, 330 - k : 331 + k] / total[300, 330]
    assert abs(mosaic.noise_kernel - expected).max() < 0.005


@settings(max_examples=15, deadline=None)
@given(
    angle=st.floats(0, 360),
    dx=st.floats(-1, 1),
    dy=st.floats(-1, 1),
    scale=st.floats(0.5, 2),
    weight=st.floats(1e-3, 1e3),
)
def test_flux_is_conserved(angle, dx, dy, scale, weight):
    rng = np.random.default_rng(4)
    rate = np.zeros((20, 20), np.float32)
    rate[7:13, 7:13] = rng.uniform(0, 100, (6, 6))
    one = np.ones_like(rate)
    frame = Frame(rate, one, one, np.zeros(rate.shape, np.uint32))
    c, s = np.cos(np.radians(angle)), np.sin(np.radians(angle))
    m = affine(angle, 20 - 10 * c + 10 * s + dx, 20 - 10 * s - 10 * c + dy)
    drizzler = Drizzler(GRID, (40, 40))
    drizzler.add(frame, grid_map(m, (20, 20)), weight * one, scale=scale)
    found = np.nansum(drizzler.finish().flux, dtype=float)
    assert found == pytest.approx(scale * rate.sum(dtype=float), rel=1e-3)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 2**31), order=st.permutations(range(4)))
def test_order_does_not_matter_no_flag_of_a_used_pixel_is_lost_inputs_stay(seed, order):
    frames, weights = inputs(seed)
    before = [[p.copy() for p in (f.rate, f.var_read, f.var_photon, f.dq)] for f in frames]
    a = combine(frames, weights)
    b = combine(
        *([v[i] for i in order] for v in (frames, weights, MAPS)),
        OUT,
        *([v[i] for i in order] for v in (SCALES, FLATS)),
    )
    np.testing.assert_allclose(a.flux, b.flux, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(a.variance, b.variance, rtol=1e-4)
    assert np.array_equal(a.dq, b.dq)
    for f, planes in zip(frames, before, strict=True):
        for p, q in zip((f.rate, f.var_read, f.var_photon, f.dq), planes, strict=True):
            assert np.array_equal(p, q, equal_nan=True)
    nothing = a.weight == 0
    assert np.array_equal(a.dq == Flag.DO_NOT_USE, nothing)
    assert np.array_equal(np.isnan(a.flux), nothing)
    assert np.array_equal((a.coverage != 0).any(axis=0), ~nothing)


def test_more_than_32_frames_have_a_second_plane_of_context():
    rng = np.random.default_rng(5)
    frames = [noise_frame(rng, SHAPE) for _ in range(40)]
    one = np.ones(SHAPE, np.float32)
    maps = [affine(0, 2, 2)] * 40
    found = combine(frames, [one] * 40, maps, OUT, [1.0] * 40, ["a"] * 40)
    assert found.coverage.shape == (2, *OUT)
    inside = found.weight > 0
    assert np.all(found.coverage[0][inside] == -1)
    assert np.all(found.coverage[1][inside] == 255)


def test_a_common_flat_does_not_average_down_but_different_ones_do():
    rng = np.random.default_rng(6)
    one = np.ones(SHAPE, np.float32)
    frames = [noise_frame(rng, SHAPE, var_flat=one) for _ in range(4)]
    maps = [affine(0, 2, 2)] * 4
    common = combine(frames, [one] * 4, maps, OUT, [1.0] * 4, ["a"] * 4)
    apart = combine(frames, [one] * 4, maps, OUT, [1.0] * 4, list("abcd"))
    inside = common.weight > 0
    np.testing.assert_allclose(common.var_flat[inside], 1.0, rtol=1e-5)
    np.testing.assert_allclose(apart.var_flat[inside], 0.25, rtol=1e-5)


def test_nothing_usable_makes_an_empty_mosaic():
    rng = np.random.default_rng(7)
    frame = noise_frame(rng, SHAPE, dq=np.full(SHAPE, 1 | 1024, np.uint32))
    found = combine([frame], [np.ones(SHAPE)], MAPS[:1], OUT, [1.0], ["a"])
    assert np.isnan(found.flux).all()
    assert np.isnan(found.variance).all()
    assert np.all(found.dq == Flag.DO_NOT_USE)
    assert np.all(found.weight == 0)


def test_what_does_not_fit_is_refused():
    rng = np.random.default_rng(8)
    frame, place = noise_frame(rng, SHAPE), grid_map(MAPS[0], SHAPE)
    with pytest.raises(InputError, match=r"mosaic: pixmap, weight: got shapes .*\(3, 3\)"):
        Drizzler(GRID, OUT).add(frame, place, np.ones((3, 3)))
    with pytest.raises(InputError, match=r"mosaic: scale: got 0\.0, expected a positive number"):
        Drizzler(GRID, OUT).add(frame, place, np.ones(SHAPE), scale=0.0)
    with pytest.raises(InputError, match="mosaic: frames: got none"):
        Drizzler(GRID, OUT).finish()


# ---- fluxes and errors on simulated truth ----

TIME = 60.0


def exposures(rng, n=6, size=96, sky=2.0, read_noise=3.0, flux=4e3):
    """Dithered and rotated frames of one bright star; sky-subtracted, photon noise kept."""
    frames, maps, shape = [], [], (size, size)
    pointings = [Pointing(10.0, 40.0, 20.0, *rng.uniform(-0.02, 0.02, 2)) for _ in range(n)]
    projections = [imager_wcs(p, "IMG1", shape) for p in pointings]
    ra, dec = projections[0].pixel_to_sky(size / 2, size / 2)
    grid, out = output_grid(projections, [shape] * len(projections))
    y, x = np.indices(shape)
    for w in projections:
        x0, y0 = w.sky_to_pixel(ra, dec)
        s2 = (4 / 2.3548) ** 2
        star = flux * np.exp(-((x - x0) ** 2 + (y - y0) ** 2) / 2 / s2) / (2 * np.pi * s2)
        electrons = rng.poisson((star + sky) * TIME) + rng.normal(0, read_noise, shape)
        rate = electrons / TIME
        photon = np.maximum(rate, 0) / TIME
        read = np.full(shape, (read_noise / TIME) ** 2, np.float32)
        dq = np.zeros(shape, np.uint32)
        frames.append(Frame((rate - sky).astype(np.float32), read, photon.astype(np.float32), dq))
        maps.append(pixel_map(w, shape, grid))
    return frames, maps, out, grid.sky_to_pixel(ra, dec)


def disc(shape, y, x, radius):
    j, i = np.indices(shape)
    return np.hypot(j - y, i - x) <= radius


def test_star_flux_is_unbiased_where_its_photon_noise_dominates():
    """Weights that follow a source's own photon noise bias its flux by several per cent."""
    found, naive = [], []
    for seed in range(4):
        frames, maps, out, (x, y) = exposures(np.random.default_rng(seed))
        right, wrong = Drizzler(GRID, out), Drizzler(GRID, out)
        for f, m in zip(frames, maps, strict=True):
            right.add(f, m, frame_weight(f))
            wrong.add(f, m, 1 / (f.var_read + f.var_photon))
        inside = disc(out, y, x, 12)
        found.append(right.finish().flux[inside].sum(dtype=float))
        naive.append(wrong.finish().flux[inside].sum(dtype=float))
    sigma = np.sqrt((4e3 + 2 * np.pi * 144) / TIME / 24)
    assert abs(np.mean(found) - 4e3) < 4 * sigma
    assert 4 * sigma < 0.004 * 4e3
    assert abs(np.mean(naive) / 4e3 - 1) > 0.01


def test_weight_knows_the_sky_but_not_the_star():
    rng = np.random.default_rng(9)
    frames, *_ = exposures(rng, n=1)
    weight = frame_weight(frames[0])
    truth = 1 / ((3.0 / TIME) ** 2 + 2.0 / TIME)
    assert abs(weight / truth - 1).max() < 0.03
    dq = frames[0].dq.copy()
    dq[40:50, 40:60] = Flag.SATURATED | Flag.DO_NOT_USE
    flagged = frame_weight(replace(frames[0], dq=dq))
    assert np.all(flagged[40:50, 40:60] == 0)
    assert abs(flagged[dq == 0] / truth - 1).max() < 0.03


def test_weight_follows_vignetting():
    rng = np.random.default_rng(10)
    shape = (256, 256)
    gain = 1.0 - 0.3 * np.indices(shape)[1] / 255
    var = (0.5 / gain**2).astype(np.float32)
    frame = Frame(rng.normal(0, 1, shape).astype(np.float32), var, var, np.zeros(shape, np.uint32))
    assert abs(frame_weight(frame) * (2 * var) - 1).max() < 0.12


def test_weight_of_a_flagged_or_noiseless_frame():
    one = np.ones((20, 20), np.float32)
    flagged = Frame(one, one, one, np.full((20, 20), 1, np.uint32))
    assert np.all(frame_weight(flagged) == 0)
    silent = Frame(one, 0 * one, 0 * one, np.zeros((20, 20), np.uint32))
    with pytest.raises(InputError, match=r"frame: VAR_RNOISE \+ VAR_POISSON: got a median of 0"):
        frame_weight(silent)


def test_pull_of_apertures_on_blank_sky():
    pulls = []
    for seed in range(6):
        rng = np.random.default_rng(seed)
        frames, maps, out, _ = exposures(rng, n=4, flux=0.0)
        drizzler = Drizzler(GRID, out)
        for f, m in zip(frames, maps, strict=True):
            drizzler.add(f, m, frame_weight(f))
        mosaic = drizzler.finish()
        places = np.mgrid[40 : out[0] - 40 : 9, 40 : out[1] - 40 : 9]
        y, x = places.reshape(2, -1).astype(float)
        error = aperture_error(mosaic.variance, mosaic.noise_kernel, y, x, 4.0)
        sums = [np.sum(mosaic.flux[disc(out, j, i, 4.0)]) for j, i in zip(y, x, strict=True)]
        pulls.append(np.array(sums) / error)
    pulls = np.concatenate(pulls)
    assert pulls.size > 200
    assert abs(pulls.std() - 1) < 0.1
    assert abs(pulls.mean()) < 0.25
