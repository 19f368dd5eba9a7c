"""Jumps of simulated hits: found as often as theory says, amplitudes with true errors, no trace in the rate."""

import math

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import poisson_covariance, simulate_reads, weights_at

SEED = 20260302
GAIN, NOISE, RATE = 0.5, 9.0, 10.0
TIMES = np.arange(1, 13) * 1.5
FIT = {
    "gain": GAIN,
    "read_noise": NOISE,
    "ref_pixels": 0,
    "estimator": "likelihood",
    "snowballs": False,
}


def step_error(times, rate, read):
    """True error of the step before `read` beside a common rate."""
    weights = weights_at(times, NOISE, {read}, rate)
    step = weights[2] - weights[1]
    return math.sqrt(NOISE**2 * step @ step + rate * step @ poisson_covariance(times) @ step)


def hit_reads(seed, shape, read, charge):
    """Reads that all have `charge` [e-] more from `read` on."""
    rng = np.random.default_rng([SEED, seed])
    reads = simulate_reads(rng, np.full(shape, RATE), TIMES, NOISE, GAIN).astype(float)
    reads[read:] += np.floor(charge / GAIN + rng.random(shape))
    return np.rint(reads).astype(np.uint16)


@pytest.mark.parametrize("read", [1, 6, 11])
@pytest.mark.parametrize("significance", [5.0, 6.0, 7.0, -6.0])
def test_completeness(significance, read):
    charge = significance * step_error(TIMES, RATE, read)
    assert 30 < abs(charge) < 150
    reads = hit_reads(read, (100, 100), read, charge)
    result = iris_readout.fit_ramp(reads, TIMES, **FIT)
    near = np.abs(result.events["read"].astype(int) - (read + 1)) <= 1
    found = np.zeros((100, 100), bool)
    found[result.events["y"][near], result.events["x"][near]] = True
    expected = 0.5 * math.erfc((4.5 - abs(significance)) / math.sqrt(2))
    assert np.mean(found) == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("sign", [1, -1])
def test_hits_of_eight_sigma_leave_no_trace_in_the_rate(sign):
    read = 5
    charge = sign * 8 * step_error(TIMES, RATE, read)
    reads = hit_reads(20 + sign, (150, 200), read, charge)
    result = iris_readout.fit_ramp(reads, TIMES, **FIT)
    assert np.mean((result.dq & Flag.JUMP_DET) != 0) > 0.998
    pull = (result.rate - RATE) / np.sqrt(result.var_read + RATE * result.photon_factor)
    assert np.mean(pull) == pytest.approx(0.0, abs=0.05)
    assert np.std(pull) == pytest.approx(1.0, abs=0.03)


def test_amplitudes_have_the_errors_they_claim():
    read, charge = 7, 400.0
    reads = hit_reads(30, (100, 150), read, charge)
    events = iris_readout.fit_ramp(reads, TIMES, **FIT).events
    hits = events[events["read"] == read + 1]
    assert len(hits) == 15000
    error = hits["amplitude"] / hits["sigma"]
    pull = (hits["amplitude"] - charge) / error
    assert np.mean(pull) == pytest.approx(0.0, abs=4 / math.sqrt(len(hits)))
    assert np.std(pull) == pytest.approx(1.0, abs=0.025)
    assert np.mean(error) == pytest.approx(step_error(TIMES, RATE, read), rel=0.02)


def test_chi_square_of_ramps_without_their_jump():
    reads = hit_reads(40, (150, 200), 4, 900.0)
    result = iris_readout.fit_ramp(reads, TIMES, **FIT)
    assert np.mean(result.chi2) == pytest.approx(1.0, abs=0.02)
