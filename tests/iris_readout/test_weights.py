"""Reads that are left out and intervals that count less: unbiased, with the variance that follows."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iris_readout
from oracles.ramp import (
    fit_likelihood,
    poisson_covariance,
    response,
    response_ramps,
    simulate_reads,
)

GAIN, NOISE = 0.5, 9.0
SHAPE = (6, 9)
TIMES = np.array([0.5, 1.5, 4.0, 5.0, 6.0, 8.5, 9.5, 11.0, 13.0, 14.0])
BASE = {"gain": GAIN, "read_noise": NOISE, "ref_pixels": 0, "nthreads": 1}
FIT = {**BASE, "estimator": "likelihood"}
ESTIMATORS = ["likelihood", "ols"]


def ramps(shape=SHAPE, rate=30.0, seed=1):
    """Ramps; a tenth of the pixels is hit, some saturate."""
    rng = np.random.default_rng(seed)
    reads = simulate_reads(rng, np.full(shape, rate), TIMES, NOISE, GAIN).astype(int)
    for y, x in np.argwhere(rng.random(shape) < 0.1):
        reads[rng.integers(1, len(TIMES)) :, y, x] += rng.integers(200, 3000)
    for y, x in np.argwhere(rng.random(shape) < 0.05):
        reads[rng.integers(2, len(TIMES)) :, y, x] = 65535
    return reads.astype(np.uint16)


def assert_same_planes(got, expected):
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


def assert_same_events(got, expected):
    for name in expected.events.dtype.names:
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


MODES = [
    {"estimator": "likelihood"},
    {"estimator": "ols"},
    {"mode": "cds"},
    {"mode": "mcds", "nfowler": 2},
]


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("drop", [(1,), (10,), (5,), (1, 2, 10), (2, 4, 6, 8), tuple(range(3, 11))])
def test_left_out_reads_are_as_if_they_had_not_been_taken(mode, drop):
    reads = ramps()
    kept = [k for k in range(len(TIMES)) if k + 1 not in drop]
    got = iris_readout.fit_ramp(reads, TIMES, **BASE, **mode, drop=drop)
    expected = iris_readout.fit_ramp(reads[kept], TIMES[kept], **BASE, **mode)
    assert_same_planes(got, expected)
    numbers = np.array(kept) + 1
    np.testing.assert_array_equal(got.events["read"], numbers[expected.events["read"] - 1])
    for name in ("y", "x", "kind", "amplitude", "sigma"):
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


def test_left_out_reads_are_not_looked_at():
    reads = ramps()
    expected = iris_readout.fit_ramp(reads, TIMES, **FIT, drop=[3, 7])
    for junk in (0, 65535, 12345):
        spoilt = reads.copy()
        spoilt[[2, 6]] = junk
        got = iris_readout.fit_ramp(spoilt, TIMES, **FIT, drop=[3, 7])
        assert_same_planes(got, expected)
        np.testing.assert_array_equal(got.events["read"], expected.events["read"])


def test_pushed_reads_that_are_left_out():
    reads = ramps()
    expected = iris_readout.fit_ramp(reads, TIMES, **FIT, drop=[1, 6])
    fitter = iris_readout.RampFitter(SHAPE, **FIT)
    for number, (read, time) in enumerate(zip(reads, TIMES, strict=True), 1):
        fitter.push(read, time, dropped=number in (1, 6))
        assert fitter.nread == number
    assert_same_planes(fitter.finish(), expected)


@settings(max_examples=40, deadline=None, derandomize=True)
@given(st.sets(st.integers(1, 10), max_size=8), st.sampled_from(ESTIMATORS))
def test_any_mask_of_reads(drop, estimator):
    reads = ramps(seed=2)
    kept = [k for k in range(len(TIMES)) if k + 1 not in drop]
    got = iris_readout.fit_ramp(reads, TIMES, **BASE, estimator=estimator, drop=drop)
    expected = iris_readout.fit_ramp(reads[kept], TIMES[kept], **BASE, estimator=estimator)
    assert_same_planes(got, expected)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_equal_weights_change_no_bit(estimator):
    reads = ramps()
    plain = iris_readout.fit_ramp(reads, TIMES, **BASE, estimator=estimator)
    ones = iris_readout.fit_ramp(
        reads, TIMES, **BASE, estimator=estimator, weights=np.ones(len(TIMES))
    )
    assert_same_planes(ones, plain)
    assert_same_events(ones, plain)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_weight_of_the_first_read_means_nothing(estimator):
    reads = ramps()
    weights = np.linspace(0.2, 1.0, len(TIMES))
    results = []
    for first in (0.0, 0.2, 1.0):
        weights[0] = first
        results.append(
            iris_readout.fit_ramp(reads, TIMES, **BASE, estimator=estimator, weights=weights)
        )
    assert_same_planes(results[1], results[0])
    assert_same_planes(results[2], results[0])


WEIGHTS = {
    "one bad interval": [1, 1, 1, 1, 0, 1, 1, 1, 1, 1],
    "first and last": [1, 0, 1, 1, 1, 1, 1, 1, 1, 0],
    "bad half": [1, 1, 1, 1, 1, 0.1, 0.1, 0.1, 0.1, 0.1],
    "any": [1, 0.3, 0.9, 0.7, 0.05, 1, 0, 0.6, 0.8, 0.5],
    "only two count": [1, 0, 0, 1, 0, 0, 0, 0.5, 0, 0],
}


def effective_weights(rate, estimator, weights):
    """Weight of each read in the rate, and the result, of ramps with 1/100 e- a count."""
    reads = response_ramps(TIMES, rate, gain=0.01, step=20)
    result = iris_readout.fit_ramp(
        reads,
        TIMES,
        **{**BASE, "gain": 0.01, "read_noise": 5.0},
        estimator=estimator,
        jump_sigma=None,
        weights=weights,
    )
    return response(result.rate, gain=0.01, step=20), result


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("rate", [0.5, 8.0])
@pytest.mark.parametrize("weights", WEIGHTS.values(), ids=WEIGHTS.keys())
def test_what_the_weights_do(weights, rate, estimator):
    effective, result = effective_weights(rate, estimator, weights)
    scale = np.max(np.abs(effective))
    # unbiased: neither the pedestal nor the curvature of the weights enters
    assert np.sum(effective) == pytest.approx(0.0, abs=5e-4 * scale)
    assert effective @ TIMES == pytest.approx(1.0, rel=1e-3)
    assert result.rate[0, -1] == pytest.approx(rate, rel=1e-5)
    # charge of an interval of weight 0 has no influence
    of_intervals = np.cumsum(effective[::-1])[::-1]
    silent = np.flatnonzero(np.array(weights) == 0)
    silent = silent[silent > 0]
    np.testing.assert_allclose(of_intervals[silent], 0.0, atol=1e-3 * scale)
    # the variance follows
    np.testing.assert_allclose(result.var_read[0, -1], 25.0 * effective @ effective, rtol=3e-3)
    factor = effective @ poisson_covariance(TIMES) @ effective
    np.testing.assert_allclose(result.photon_factor[0, -1], factor, rtol=3e-3)
    # its photon part is that of a rate within the error of the estimate
    sigma = np.sqrt(result.var_read[0, -1] + rate * factor)
    assert abs(result.var_photon[0, -1] / factor - rate) <= sigma + 3 * factor


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_an_interval_counts_the_less_the_lower_its_weight(estimator):
    shares = []
    for weight in (1.0, 0.8, 0.5, 0.2, 0.01, 0.0):
        weights = np.ones(len(TIMES))
        weights[4] = weight
        effective, _ = effective_weights(8.0, estimator, weights)
        shares.append(np.sum(effective[4:]) * (TIMES[4] - TIMES[3]))
    assert np.all(np.diff(shares) < 0)
    assert shares[-1] == pytest.approx(0.0, abs=1e-4)
    assert shares[-2] < 0.1 * shares[0]


def test_likelihood_without_an_interval_is_the_best_fit_of_the_others():
    rng = np.random.default_rng(4)
    reads = simulate_reads(rng, np.full(SHAPE, 100.0), TIMES, NOISE, GAIN)
    weights = np.ones(len(TIMES))
    weights[[3, 8]] = 0.0
    result = iris_readout.fit_ramp(reads, TIMES, **FIT, weights=weights, jump_sigma=None)
    for y, x in np.ndindex(SHAPE):
        expected = fit_likelihood(reads[:, y, x] * GAIN, TIMES, NOISE, {3, 8})
        sigma = np.sqrt(expected["var_read"] + expected["var_photon"])
        assert abs(result.rate[y, x] - expected["rate"]) <= 3e-3 * sigma
        assert result.var_read[y, x] == pytest.approx(expected["var_read"], rel=1e-2)
        assert result.photon_factor[y, x] == pytest.approx(expected["photon_factor"], rel=1e-2)


@pytest.mark.parametrize("estimator", ESTIMATORS)
@pytest.mark.parametrize("rate", [1.0, 30.0, 800.0])
def test_variance_against_simulation(rate, estimator):
    rng = np.random.default_rng([20260303, int(rate)])
    shape = (150, 200)
    reads = simulate_reads(rng, np.full(shape, rate), TIMES, NOISE, GAIN)
    result = iris_readout.fit_ramp(
        reads, TIMES, **BASE, estimator=estimator, jump_sigma=None, weights=WEIGHTS["any"]
    )
    reported = np.mean(result.var_read) + rate * np.mean(result.photon_factor)
    estimate = result.rate.astype(float)
    assert np.var(estimate) == pytest.approx(reported, rel=0.03)
    error = np.sqrt(reported / estimate.size)
    assert abs(np.mean(estimate) - rate) < max(1e-3 * rate, 0.02 * np.sqrt(reported)) + 2 * error


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_light_lost_in_bad_intervals_is_not_missed(estimator):
    """Half of the light of a star misses the pixel in three intervals: weight 0 gives the true rate."""
    rng = np.random.default_rng(20260304)
    weights = np.ones(len(TIMES))
    weights[[2, 5, 6]] = 0.0
    steps = np.diff(TIMES, prepend=0.0)
    light = np.where(weights == 0, 0.5, 1.0) * 200.0 * steps
    charge = np.cumsum([rng.poisson(mean, (100, 100)) for mean in light], axis=0)
    reads = np.rint(1000 + (charge + rng.normal(0, NOISE, charge.shape)) / GAIN).astype(np.uint16)
    blind = iris_readout.fit_ramp(reads, TIMES, **BASE, estimator=estimator, jump_sigma=None)
    result = iris_readout.fit_ramp(
        reads, TIMES, **BASE, estimator=estimator, jump_sigma=None, weights=weights
    )
    assert np.mean(blind.rate) < 190
    pull = (result.rate - 200.0) / np.sqrt(result.var_read + result.var_photon)
    assert np.mean(pull) == pytest.approx(0.0, abs=0.04)
    assert np.std(pull) == pytest.approx(1.0, abs=0.02)


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_pushed_weights(estimator):
    reads = ramps()
    weights = WEIGHTS["any"]
    expected = iris_readout.fit_ramp(reads, TIMES, **BASE, estimator=estimator, weights=weights)
    fitter = iris_readout.RampFitter(SHAPE, **BASE, estimator=estimator)
    for read, time, weight in zip(reads, TIMES, weights, strict=True):
        fitter.push(read, time, weight=weight)
    got = fitter.finish()
    assert_same_planes(got, expected)
    assert_same_events(got, expected)


def test_no_interval_that_counts_gives_no_rate():
    weights = np.zeros(len(TIMES))
    result = iris_readout.fit_ramp(ramps(), TIMES, **FIT, weights=weights)
    assert np.all(np.isnan(result.rate))
    assert np.all(result.nused == 0)
    assert np.all(result.dq & 1)


def test_jumps_beside_intervals_that_do_not_count():
    reads = np.repeat(
        simulate_reads(np.random.default_rng(3), np.full(SHAPE, 20.0), TIMES, NOISE, GAIN)[
            :, :, :1
        ],
        SHAPE[1],
        axis=2,
    )
    reads[6:] += 2000
    weights = np.ones(len(TIMES))
    weights[[2, 3]] = 0.0
    result = iris_readout.fit_ramp(reads, TIMES, **FIT, weights=weights, snowballs=False)
    assert np.all(result.events["read"] == 7)
    assert len(result.events) == reads[0].size
    weights[6] = 0.0  # now the hit lies where nothing counts
    hidden = iris_readout.fit_ramp(reads, TIMES, **FIT, weights=weights, snowballs=False)
    sigma = np.sqrt(result.var_read + result.var_photon)
    assert np.all(np.abs(hidden.rate - result.rate) <= 3e-3 * sigma)
