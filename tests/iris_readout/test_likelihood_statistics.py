"""The likelihood fit of simulated truth: bias, scatter, pulls, chi-square, the bound of Cramer and Rao."""

import numpy as np
import pytest

import iris_readout
from oracles.ramp import differences, read_covariance, simulate_reads

SEED = 20260301
SHAPE = (200, 250)
GAIN, NOISE = 0.5, 9.0
FIT = {"gain": GAIN, "read_noise": NOISE, "ref_pixels": 0, "estimator": "likelihood"}

# Rates that keep within 60000 DN; an error of 1 % is three times that of 50000 pixels.
CELLS = [
    (0.01, 10, 20.0),
    (1.0, 5, 8.0),
    (20.0, 2, 4.0),
    (20.0, 3, 4.0),
    (20.0, 6, 1.5),
    (20.0, 16, 1.5),
    (1000.0, 8, 1.5),
    (10000.0, 5, 0.4),
]


def bound(times, rate):
    """Least variance of an unbiased rate from the differences, with the covariance of the true rate."""
    to_differences = differences(len(times), ())
    covariance = to_differences @ read_covariance(times, NOISE, rate) @ to_differences.T
    steps = to_differences @ times
    return 1.0 / (steps @ np.linalg.solve(covariance, steps))


@pytest.mark.parametrize(("rate", "nread", "spacing"), CELLS)
def test_truth(rate, nread, spacing):
    rng = np.random.default_rng([SEED, nread])
    times = np.arange(1, nread + 1) * spacing
    reads = simulate_reads(rng, np.full(SHAPE, rate), times, NOISE, GAIN)
    result = iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=None)
    least = bound(times, rate)
    estimate = result.rate.astype(float)
    error = np.sqrt(least / estimate.size)
    assert abs(np.mean(estimate) - rate) <= max(1e-3 * rate, 0.02 * np.sqrt(least)) + 2 * error
    assert np.std(estimate - rate) / np.sqrt(least) == pytest.approx(1.0, abs=0.01)
    reported = (result.var_read + result.var_photon).astype(float)
    if rate * times[-1] >= 100:
        pull = (estimate - rate) / np.sqrt(reported)
        assert np.std(pull) == pytest.approx(1.0, abs=0.01 if nread > 3 else 0.03)
    assert np.mean(reported) == pytest.approx(least, rel=0.15)
    if nread == 2:
        assert np.all(np.isnan(result.chi2))
    else:
        assert np.mean(result.chi2) == pytest.approx(1.0, abs=0.02)


def test_less_noise_than_least_squares_where_photons_dominate():
    rng = np.random.default_rng(SEED)
    times = np.arange(1, 17) * 1.5
    reads = simulate_reads(rng, np.full(SHAPE, 500.0), times, NOISE, GAIN)
    best, plain = (
        iris_readout.fit_ramp(reads, times, **{**FIT, "estimator": e}, jump_sigma=None)
        for e in ("likelihood", "ols")
    )
    assert np.std(best.rate) < 0.96 * np.std(plain.rate)
    assert np.mean(best.rate) == pytest.approx(500.0, rel=1e-3)


def test_jump_test_leaves_quiet_ramps_alone():
    rng = np.random.default_rng(SEED)
    times = np.arange(1, 13) * 1.5
    reads = simulate_reads(rng, np.full((400, 400), 15.0), times, NOISE, GAIN)
    # 3.5 sigma: 4.65e-4 of 11 differences, 800 of 160000 pixels; at 4.5 there would be ten.
    result = iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=3.5, snowballs=False)
    assert len(result.events) / (result.rate.size * 11) == pytest.approx(4.65e-4, rel=0.2)
    pull = (result.rate - 15.0) / np.sqrt(result.var_read + 15.0 * result.photon_factor)
    assert np.mean(pull) == pytest.approx(0.0, abs=0.02)
    assert np.std(pull) == pytest.approx(1.0, abs=0.02)
