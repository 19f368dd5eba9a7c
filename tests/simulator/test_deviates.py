"""Quick deviates against the distributions themselves."""

import numpy as np
import pytest
from scipy import stats

from liger_iris_pipeline.simulator import Format, Scene, named_scene
from liger_iris_pipeline.simulator.detector import RampKey, draw_detector, expose
from liger_iris_pipeline.simulator.deviates import NORMAL_FROM, draw_normal, draw_poisson
from liger_iris_pipeline.simulator.scene import ReadPattern

MANY = 2_000_000


def draw(mean, count=MANY, seed=7):
    means = np.full((4, count // 4), mean, np.float32)
    return draw_poisson(means, np.random.default_rng(seed), quick=True)


@pytest.mark.parametrize("mean", [0.06, 0.9, 3.0, 9.9])
def test_deviates_of_small_means_have_the_poisson_distribution(mean):
    assert chance(draw(mean), mean) > 1e-3


@pytest.mark.parametrize("mean", [NORMAL_FROM, 15.0, 45.0, 300.0, 12_000.0])
def test_deviates_of_large_means_have_the_poisson_distribution(mean):
    """A million and more would show a probability that is off by a thousandth of itself."""
    assert chance(draw(mean), mean) > 1e-3


def chance(found, mean):
    """Chance of a chi-square as large as that of a histogram, at least 25 expected in each of its classes."""
    truth = stats.poisson(float(np.float32(mean)))
    edges = np.unique(truth.ppf(np.linspace(0, 1, 202)[1:-1]))
    expected = np.diff([0.0, *truth.cdf(edges), 1.0]) * found.size
    classes = np.searchsorted(edges, found.ravel(), side="left")
    counts = np.bincount(classes, minlength=expected.size)
    seldom = expected < 25
    counts = np.append(counts[~seldom], counts[seldom].sum())
    expected = np.append(expected[~seldom], expected[seldom].sum())
    used = expected > 0
    square = np.sum((counts[used] - expected[used]) ** 2 / expected[used])
    return stats.chi2(used.sum() - 1).sf(square)


def test_deviates_are_whole_numbers_and_follow_their_own_means():
    means = np.tile(np.array([0.0, 0.5, 20.0, 2000.0], np.float32), (200_000, 1))
    found = draw_poisson(means, np.random.default_rng(3), quick=True)
    assert np.array_equal(found, np.rint(found))
    assert found.min() >= 0
    assert not found[:, 0].any()
    error = np.sqrt(means[0, 1:] / len(means))
    assert np.all(np.abs(found[:, 1:].mean(axis=0, dtype=np.float64) - means[0, 1:]) < 4 * error)


def test_normal_deviates_are_normal_and_independent():
    found = draw_normal((1001, 1999), np.random.default_rng(11), quick=True)
    assert found.shape == (1001, 1999)
    assert stats.kstest(found.ravel()[::7], "norm").pvalue > 1e-3
    beyond = int(np.count_nonzero(np.abs(found) > 4))
    expected = 2 * stats.norm.sf(4) * found.size
    assert abs(beyond - expected) < 4 * np.sqrt(expected)
    first, last = found.ravel()[: found.size // 2], found.ravel()[-(found.size // 2) :]
    for one, other in ((first, last), (found[:-1].ravel(), found[1:].ravel())):
        assert abs(np.corrcoef(one, other)[0, 1]) < 4 / np.sqrt(one.size)
        assert abs(np.corrcoef(one**2, other**2)[0, 1]) < 5 / np.sqrt(one.size)


def test_a_quick_ramp_has_the_noise_of_an_exact_one():
    """Photons, curve and read noise together: the same physics, drawn by other means."""
    spreads = []
    for quick in (False, True):
        scene = Scene(format=Format(256, 256, 4, 8), quick=quick)
        truth = draw_detector(scene, "IMG1", 3)
        light = np.full(scene.format.shape, 30.0, np.float32)
        _, reads = expose(truth, scene, light, ReadPattern(nframe=2), RampKey(3, 1, 1, 0, 1))
        first, second = (read.counts.astype(float)[scene.format.science] for read in reads)
        step = (second - first)[:, :24]  # of one output, so that no drift comes in
        step = step[np.abs(step - np.median(step)) < 60]  # hits apart
        spreads.append((step.mean(), step.std()))
    count = 248 * 24
    assert spreads[0][0] == pytest.approx(spreads[1][0], abs=5 + 4 * spreads[0][1] / count**0.5)
    assert spreads[0][1] == pytest.approx(spreads[1][1], rel=4 / np.sqrt(count))


def test_only_the_full_size_is_quick():
    assert named_scene("imager", "full").quick
    assert not named_scene("imager", "tiny").quick
