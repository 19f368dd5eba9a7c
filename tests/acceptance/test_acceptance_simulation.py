"""The simulated reads, and the explicit covariances that say what can be reached."""

import math

import numpy as np
import pytest

from liger_iris_pipeline.acceptance.readout import simulate
from liger_iris_pipeline.acceptance.readout.covariance import (
    amplitude_error,
    best_fit,
    reads_covariance,
    weighted_fit,
)
from liger_iris_pipeline.acceptance.readout.fit import NREADS, RATES, FitCell
from liger_iris_pipeline.acceptance.readout.reference import WHITE, Dark, wiener_limit

TIMES = np.array([1.0, 2.0, 4.0, 5.5, 7.0])


def test_reads_have_the_covariance_of_their_charge_and_noise():
    detector = simulate.Detector(gain=0.7, white_noise=4.0)
    rng = np.random.default_rng(11)
    reads = simulate.ramp(rng, detector, 20.0, TIMES, (500, 400)).astype(float) * detector.gain
    level = detector.gain * (detector.pedestal + 0.5)
    flat = (reads - 20.0 * TIMES[:, None, None] - level).reshape(len(TIMES), -1)
    np.testing.assert_allclose(flat.mean(axis=1), 0.0, atol=0.08)
    own_level = detector.gain**2 / 12  # the fraction of a count that every pixel has of its own
    expected = reads_covariance(TIMES, 20.0, detector.read_noise) + own_level
    np.testing.assert_allclose(np.cov(flat), expected, rtol=0.012, atol=0.5)


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("nread", NREADS)
def test_ramps_of_the_grid_stay_below_80_percent_of_saturation(rate, nread):
    cell = FitCell(rate, nread, 1)
    detector = simulate.Detector()
    charge = rate * cell.times[-1]
    top = detector.pedestal + 1 + (charge + 5 * math.hypot(9.0, math.sqrt(charge))) / detector.gain
    assert top < 0.8 * simulate.SATURATION
    assert np.all(np.diff(cell.times) > 0)


def test_hits_are_in_every_read_from_theirs_on():
    hits = simulate.Hits(np.array([[2, -1]]), np.array([[1000.0, 1000.0]]))
    detector = simulate.Detector(white_noise=1.0)
    reads = simulate.ramp(np.random.default_rng(0), detector, 0.0, TIMES, (1, 2), hits)
    np.testing.assert_allclose(reads[:, 0, 0] - detector.pedestal, [0, 0, 1000, 1000, 1000], atol=6)
    np.testing.assert_allclose(reads[:, 0, 1] - detector.pedestal, 0, atol=6)


def test_counts_end_at_saturation():
    reads = simulate.ramp(np.random.default_rng(0), simulate.Detector(), 1e5, TIMES, (4, 4))
    assert np.all(reads[-1] == simulate.SATURATION)


def test_two_reads_have_one_answer():
    fit = best_fit(np.array([3.0, 5.0]), 50.0, 9.0)
    np.testing.assert_allclose(fit.weights, [-0.5, 0.5])
    assert fit.sigma == pytest.approx(math.sqrt(2 * 81 + 100) / 2)


def test_without_read_noise_the_ends_are_all_that_counts():
    fit = best_fit(TIMES, 50.0, 1e-4)
    np.testing.assert_allclose(fit.weights, [-1 / 6, 0, 0, 0, 1 / 6], atol=1e-6)


def test_without_charge_the_best_fit_is_ordinary_least_squares():
    fit = best_fit(TIMES, 0.0, 9.0)
    centred = TIMES - TIMES.mean()
    np.testing.assert_allclose(fit.weights, centred / (centred @ centred), atol=1e-12)


def test_no_unbiased_weights_do_better_than_the_best_fit():
    rng = np.random.default_rng(3)
    best = best_fit(TIMES, 30.0, 9.0)
    assert weighted_fit(best.weights, TIMES, 30.0, 9.0).sigma == pytest.approx(best.sigma)
    for _ in range(50):
        change = rng.normal(size=len(TIMES))
        basis = np.column_stack([np.ones(len(TIMES)), TIMES])
        change -= basis @ np.linalg.lstsq(basis, change, rcond=None)[0]
        other = weighted_fit(best.weights + 0.1 * change, TIMES, 30.0, 9.0)
        assert other.sigma > best.sigma


@pytest.mark.parametrize("difference", [0, 2, 3])
def test_the_error_of_an_amplitude_is_that_of_the_gap_between_two_ramps_of_one_rate(difference):
    """Without shot noise the design is two offsets and one slope of the reads themselves."""
    after = (np.arange(len(TIMES)) > difference).astype(float)
    design = np.column_stack([np.ones(len(TIMES)), TIMES, after])
    expected = 9.0 * math.sqrt(np.linalg.inv(design.T @ design)[2, 2])
    assert amplitude_error(TIMES, 0.0, 9.0, difference) == pytest.approx(expected)
    omitted = best_fit(TIMES, 0.0, 9.0, difference)
    assert omitted.sigma == pytest.approx(9.0 * math.sqrt(np.linalg.inv(design.T @ design)[1, 1]))
    assert omitted.weights @ after == pytest.approx(0.0, abs=1e-12)


def test_row_noise_has_the_size_and_the_spectrum_asked_for():
    dark = Dark(ny=1024, pink=2.0, drift=0.0)
    rng = np.random.default_rng(8)
    rows = np.concatenate([dark.rows(rng, 16) for _ in range(4)])
    assert np.sqrt(np.mean(rows.var(axis=1))) == pytest.approx(2.0, rel=0.1)
    power = np.mean(np.abs(np.fft.rfft(rows - rows.mean(axis=1, keepdims=True))) ** 2, axis=0)
    assert power[20:40].mean() / power[200:400].mean() == pytest.approx(10, rel=0.25)


def test_levels_are_those_of_outputs_and_their_odd_columns():
    dark = Dark(ny=16, nx=64, noutputs=4)
    levels = dark.levels(np.random.default_rng(8), 3).reshape(3, 4, 8, 2)
    np.testing.assert_array_equal(levels, np.broadcast_to(levels[:, :, :1], levels.shape))
    assert np.unique(levels).size == 3 * 4 * 2


def test_the_wiener_limit_is_that_of_the_best_smoothing_of_one_spectrum():
    """Where signal and noise are equal at all frequencies half of the signal is left."""
    dark = Dark()
    floor = wiener_limit(dark)
    assert 0 < floor < math.hypot(dark.pink, 0.02 * dark.ny**0.5) / WHITE
    assert wiener_limit(Dark(pink=20.0)) < WHITE / math.sqrt(8) / WHITE
    assert wiener_limit(Dark(pink=1e-3, drift=0.0)) == pytest.approx(1e-3 / WHITE, rel=0.1)
