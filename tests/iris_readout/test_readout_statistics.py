"""Simulated truth: bias, pulls, variances, jumps, and the noise of the reference correction."""

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import simulate_reads

SEED = 20260101
SHAPE = (300, 300)
TIMES = np.array([0.5, 2.0, 3.5, 5.0, 6.5, 8.0, 9.5, 11.0])
GAIN, NOISE = 0.5, 8.0
MODES = [{"mode": "cds"}, {"mode": "mcds", "nfowler": 3}, {"mode": "utr"}]


@pytest.mark.parametrize("options", MODES, ids=lambda o: o["mode"])
@pytest.mark.parametrize("rate", [0.0, 20.0, 1500.0])
def test_pull_and_variance(options, rate):
    rng = np.random.default_rng(SEED)
    reads = simulate_reads(rng, np.full(SHAPE, rate), TIMES, NOISE, GAIN)
    result = iris_readout.fit_ramp(
        reads, TIMES, gain=GAIN, read_noise=NOISE, ref_pixels=0, jump_sigma=None, **options
    )
    scatter = np.var(result.rate, dtype=float)
    true_variance = np.mean(result.var_read) + rate * np.mean(result.photon_factor)
    assert scatter == pytest.approx(true_variance, rel=0.02)
    pull = (result.rate - rate) / np.sqrt(true_variance)
    assert np.mean(pull) == pytest.approx(0.0, abs=4 / np.sqrt(pull.size))
    if rate * TIMES[-1] >= 100:  # enough electrons for the error to be that of the estimate
        pull = (result.rate - rate) / np.sqrt(result.var_read + result.var_photon)
        assert np.std(pull) == pytest.approx(1.0, abs=0.02)
        assert np.mean(result.var_photon) == pytest.approx(
            rate * np.mean(result.photon_factor), rel=0.01
        )
    if options["mode"] == "utr":
        assert np.mean(result.chi2) == pytest.approx(1.0, abs=0.02)
    else:
        assert np.all(np.isnan(result.chi2))


@pytest.mark.parametrize("rate", [0.0, 30.0])
def test_false_jumps_are_as_rare_as_the_threshold_says(rate):
    rng = np.random.default_rng(SEED)
    reads = simulate_reads(rng, np.full((512, 512), rate), TIMES, NOISE, GAIN)
    result = iris_readout.fit_ramp(
        reads, TIMES, gain=GAIN, read_noise=NOISE, ref_pixels=0, jump_sigma=3.5
    )
    expected = 4.65e-4  # two-sided, 3.5 sigma
    assert len(result.events) / (result.rate.size * 7) == pytest.approx(expected, rel=0.2)


@pytest.mark.parametrize(("significance", "complete"), [(5.0, 0.69), (6.0, 0.93), (7.0, 0.994)])
def test_jumps_are_found_as_often_as_theory_says(significance, complete):
    rng = np.random.default_rng(SEED)
    rate, hit = 10.0, 4
    reads = simulate_reads(rng, np.full((100, 300), rate), TIMES, NOISE, GAIN).astype(int)
    share = 1.5 / (1.5 * 6)  # of a difference in the time of the others
    read_variance = NOISE**2 * (2 * (1 + share) ** 2 + 2 * share**2)
    sigma = np.sqrt(read_variance + rate * 1.5 * (1 + share))
    reads[hit:] += round(significance * sigma / GAIN)
    result = iris_readout.fit_ramp(
        reads.astype(np.uint16), TIMES, gain=GAIN, read_noise=NOISE, ref_pixels=0, estimator="ols"
    )
    found = result.events[result.events["read"] == hit + 1]
    assert len(found) / result.rate.size == pytest.approx(complete, abs=0.02)


def test_bright_hits_leave_no_trace_in_the_rate():
    rng = np.random.default_rng(SEED)
    rate = 20.0
    reads = simulate_reads(rng, np.full((150, 300), rate), TIMES, NOISE, GAIN).astype(int)
    where = rng.integers(1, len(TIMES), reads.shape[1:])
    truth = rng.uniform(300.0, 5000.0, reads.shape[1:])
    reads += np.where(np.arange(len(TIMES))[:, None, None] >= where, truth / GAIN, 0).astype(int)
    result = iris_readout.fit_ramp(
        reads.astype(np.uint16), TIMES, gain=GAIN, read_noise=NOISE, ref_pixels=0
    )
    flagged = (result.dq & Flag.JUMP_DET) != 0
    assert np.mean(flagged) == 1.0
    pull = (result.rate - rate) / np.sqrt(result.var_read + result.var_photon)
    assert np.mean(pull) == pytest.approx(0.0, abs=0.05)
    assert np.std(pull) == pytest.approx(1.0, abs=0.02)
    hits = result.events[np.abs(result.events["sigma"]) > 10]
    assert np.all(where[hits["y"], hits["x"]] + 1 == hits["read"])
    amplitude_pull = (hits["amplitude"] - truth[hits["y"], hits["x"]]) / (
        hits["amplitude"] / hits["sigma"]
    )
    assert np.std(amplitude_pull) == pytest.approx(1.0, abs=0.03)


@pytest.mark.parametrize("side_rows", [0, 11])
def test_variance_holds_the_noise_of_the_reference_correction(side_rows):
    rng = np.random.default_rng(SEED)
    shape, border, squares, reported = (40, 512), 2, [], []
    times = TIMES[:4]
    for _ in range(12):
        noise = rng.normal(0.0, NOISE / GAIN, (len(times), *shape))
        reads = np.rint(3000 + noise).astype(np.uint16)
        result = iris_readout.fit_ramp(
            reads,
            times,
            gain=GAIN,
            read_noise=NOISE,
            ref_pixels=border,
            noutputs=64,
            side_rows=side_rows,
            jump_sigma=None,
        )
        inside = (slice(border, -border),) * 2
        squares.append(np.mean(result.rate[inside] ** 2))
        reported.append(np.mean(result.var_read[inside]))
    without = iris_readout.fit_ramp(
        reads, times, gain=GAIN, read_noise=NOISE, ref_pixels=0, jump_sigma=None
    )
    correction = np.mean(reported) / np.mean(without.var_read) - 1
    if side_rows == 0:
        assert correction == pytest.approx(1 / 16, rel=0.15)  # 4 rows of 4 columns
    assert np.mean(squares) == pytest.approx(np.mean(reported), rel=0.02)


def test_drift_of_outputs_and_columns_is_removed():
    rng = np.random.default_rng(SEED)
    shape, nread = (32, 64), 5
    light = np.zeros(shape, int)
    light[4:-4, 4:-4] = 30
    drift = rng.integers(-200, 200, (nread, 8, 2))
    column = np.arange(64)
    pattern = drift[:, column // 8, column % 2][:, None, :]
    reads = 5000 + light * np.arange(nread)[:, None, None] + pattern
    reads[2, 0, 5] = 60000  # one reference pixel is hit
    result = iris_readout.fit_ramp(
        reads.astype(np.uint16), np.arange(nread) * 2.0, gain=2.0, read_noise=5.0, noutputs=8
    )
    np.testing.assert_allclose(result.rate[4:-4, 4:-4], 30.0, rtol=1e-5)
    assert len(result.events) == 0


def test_ramps_combined_with_equal_patterns_have_half_the_variance_and_no_bias():
    rng = np.random.default_rng(SEED)
    results = []
    for _ in range(2):
        reads = simulate_reads(rng, np.full(SHAPE, 3.0), TIMES, NOISE, GAIN)
        results.append(
            iris_readout.fit_ramp(reads, TIMES, gain=GAIN, read_noise=NOISE, ref_pixels=0)
        )
    both = iris_readout.combine_ramps(results)
    true_variance = np.mean(both.var_read) + 3.0 * np.mean(both.photon_factor)
    assert np.var(both.rate, dtype=float) == pytest.approx(true_variance, rel=0.02)
    bias = (np.mean(both.rate, dtype=float) - 3.0) / np.sqrt(true_variance / both.rate.size)
    assert abs(bias) < 4
    assert np.mean(both.var_read) == pytest.approx(np.mean(results[0].var_read) / 2, rel=1e-3)
