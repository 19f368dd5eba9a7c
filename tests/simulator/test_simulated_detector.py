"""The detector: exact photon counts, its curve, its maps."""

from dataclasses import replace

import numpy as np
import pytest

from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.simulator import DetectorPhysics, Format, ReadPattern, Scene
from liger_iris_pipeline.simulator.cosmics import draw_hits
from liger_iris_pipeline.simulator.detector import (
    RampKey,
    curve_scale,
    draw_detector,
    draw_throughput,
    expose,
    linear_to_measured,
    saturation_level,
)

BARE = DetectorPhysics(
    nominal_gain=(1.0, 1.0, 1.0, 1.0),
    gain_offset=0.0,
    gain_scatter=0.0,
    read_noise=0.0,
    ktc_noise=0.0,
    nonlinearity=0.0,
    drift=0.0,
    column_drift=0.0,
    pedestal_scatter=0.0,
    output_scatter=0.0,
    odd_even=0.0,
    cosmic_ray_rate=0.0,
)
SCENE = Scene(format=Format(160, 128, 4, 4), physics=BARE)
KEY = RampKey(3, 1, 1, 0, 1)


def counts(scene, rate, pattern, key=KEY):
    truth = draw_detector(scene, "IMG1", key.seed)
    return np.array([r.counts for r in expose(truth, scene, rate, pattern, key)[1]], dtype=float)


@pytest.mark.parametrize("rate", [0.02, 5.0, 400.0])
def test_photons_between_reads_are_poisson(rate):
    light = np.full(SCENE.format.shape, rate, dtype=np.float32)
    steps = np.diff(counts(SCENE, light, ReadPattern(nframe=5)), axis=0)
    n, mean = steps.size, 3.0 * rate
    assert steps.mean() == pytest.approx(mean, abs=4 * np.sqrt(mean / n))
    spread = np.sqrt((mean + 2 * mean**2) / n)  # error of a Poisson variance
    assert steps.var() == pytest.approx(mean, abs=4 * spread)
    pairs = np.corrcoef(steps[0].ravel(), steps[1].ravel())[0, 1]
    assert abs(pairs) < 4 / np.sqrt(steps[0].size)


def test_reads_do_not_depend_on_what_was_read_before():
    light = np.full(SCENE.format.shape, 30.0, dtype=np.float32)
    short = counts(SCENE, light, ReadPattern(nframe=3))
    long = counts(SCENE, light, ReadPattern(nframe=6))
    assert np.array_equal(short, long[:3])


def test_pixels_fill_up():
    light = np.full(SCENE.format.shape, 20_000.0, dtype=np.float32)
    scene = replace(SCENE, physics=replace(BARE, full_well=50_000.0, bias=0.0, pedestal=0.0))
    truth = draw_detector(scene, "IMG1", 3)
    _, reads = expose(truth, scene, light, ReadPattern(frame_time=1.0, nframe=5), KEY)
    reads = list(reads)
    assert not reads[0].full.any()
    assert reads[-1].full.all()
    assert np.abs(reads[-1].counts - truth.full_well)[scene.format.science].max() <= 0.5


def test_converter_clips():
    light = np.full(SCENE.format.shape, 90_000.0, dtype=np.float32)
    assert counts(SCENE, light, ReadPattern(frame_time=1.0, nframe=1)).max() == 65535.0
    scene = replace(SCENE, physics=replace(BARE, bias=-5000.0))
    assert counts(scene, 0 * light, ReadPattern(nframe=1)).min() == 0.0


def test_curve_misses_five_percent_at_ninety_percent_of_well():
    physics = DetectorPhysics()
    for gain in physics.nominal_gain:
        linear = np.full((1, 1), 0.9 * physics.full_well / gain, dtype=np.float32)
        x = linear_to_measured(linear, np.ones_like(linear), curve_scale(physics, gain))
        assert x / linear == pytest.approx(0.95, abs=1e-5)


def test_bending_solves_the_polynomial():
    """Against bisection in double precision, over the whole range and below zero."""
    physics = DetectorPhysics()
    scale = curve_scale(physics, 2.0)
    linear = np.linspace(-200, 55_000, 400, dtype=np.float32)[None, :]
    curvature = np.linspace(0.7, 1.3, 400, dtype=np.float32)[None, :]
    low, high = np.full(linear.shape, -1e3), np.full(linear.shape, 1e5)
    for _ in range(60):
        x = (low + high) / 2
        over = x + curvature * (scale[0] * x**2 + scale[1] * x**3) > linear
        low, high = np.where(over, low, x), np.where(over, x, high)
    assert np.abs(linear_to_measured(linear, curvature, scale) - x).max() < 0.02


def test_maps():
    scene = Scene()
    truth = draw_detector(scene, "IMG4", 9)
    area = scene.format.science
    good = truth.bad == 0
    assert np.median(truth.flat[good]) == pytest.approx(1.0, abs=1e-6)
    assert 0.015 < truth.flat[good].std() < 0.04
    assert not truth.flat[scene.format.reference].any()
    assert np.all(truth.bad[scene.format.reference] & Flag.REFERENCE_PIXEL)
    for flag in (Flag.DEAD, Flag.HOT, Flag.WARM):
        assert 0.0006 < np.mean((truth.bad[area] & flag) > 0) < 0.0014
    assert truth.gain[area].mean() == pytest.approx(2.0, rel=0.01)
    assert truth.read_noise[area].std() == pytest.approx(0.9, rel=0.05)
    assert truth.full_well.std() / truth.full_well.mean() == pytest.approx(0.03, rel=0.05)
    assert saturation_level(truth, scene)[area].max() < 65000
    assert truth.dark[good].max() == pytest.approx(0.02)


def test_throughput_averages_to_one():
    value = np.array(list(draw_throughput(Scene(), 4).values()))
    assert value.mean() == pytest.approx(1.0)
    assert np.abs(value - 1).max() == pytest.approx(0.02)


def test_tracks():
    physics = DetectorPhysics(cosmic_ray_rate=1e-3)
    layout, times = Format(), np.arange(1.0, 11.0)
    hits = draw_hits(physics, layout, times, np.random.default_rng(2))
    assert hits["read"].min() == 1
    assert hits["read"].max() == 10
    per_read = np.bincount(hits["read"])[1:]
    assert np.ptp(per_read) < 8 * np.sqrt(3 * per_read.mean())
    assert hits["y"].min() >= 4
    assert hits["x"].max() < 508
    ntrack = 1e-3 * 504**2 * 10
    assert hits["charge"].sum() / ntrack == pytest.approx(1150, rel=0.1)  # clipped log-normal
    assert 1.5 < len(hits) / ntrack < 4.5


@pytest.mark.parametrize(
    ("pattern", "times"),
    [
        (ReadPattern(nframe=4, frame_time=1.5), [1.5, 3.0, 4.5, 6.0]),
        (ReadPattern("CDS", 2.0, 6), [2.0, 12.0]),
        (ReadPattern("MDS", 1.0, 10, 3), [1.0, 2.0, 3.0, 8.0, 9.0, 10.0]),
    ],
)
def test_read_patterns(pattern, times):
    assert pattern.times.tolist() == times
    light = np.full(SCENE.format.shape, 100.0, dtype=np.float32)
    cube = counts(SCENE, light, pattern)
    medians = np.median(cube[:, 4:-4, 4:-4], axis=(1, 2))
    assert np.diff(medians) == pytest.approx(100.0 * np.diff(times), abs=3)
