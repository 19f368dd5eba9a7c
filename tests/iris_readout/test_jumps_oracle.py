"""Jumps of the likelihood fit against a dense one-omit test of every difference."""

from itertools import pairwise

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import find_likelihood_jumps, fit_likelihood, omission, simulate_reads

GAIN, NOISE = 0.5, 9.0
SHAPE = (5, 8)
FIT = {
    "gain": GAIN,
    "read_noise": NOISE,
    "ref_pixels": 0,
    "estimator": "likelihood",
    "snowballs": False,
    "nthreads": 1,
}


def hit_ramps(seed, nread, hits=2):
    """Ramps of uneven times; two thirds of the pixels are hit, some of them more than once."""
    rng = np.random.default_rng([seed, nread])
    times = np.cumsum(rng.uniform(0.5, 3.0, nread)) - 0.4
    rate = rng.choice([0.0, 2.0, 30.0, 300.0], SHAPE)
    reads = simulate_reads(rng, rate, times, NOISE, GAIN, start=5000.0).astype(int)
    for y, x in np.argwhere(rng.random(SHAPE) < 0.67):
        for _ in range(rng.integers(1, hits + 1)):
            sign = rng.choice([-1, 1, 1, 1])
            reads[rng.integers(1, nread) :, y, x] += sign * int(np.exp(rng.uniform(4.6, 7.6)))
    return np.clip(reads, 1, 65000).astype(np.uint16), times


def events_of(result, y, x):
    return result.events[(result.events["y"] == y) & (result.events["x"] == x)]


def assert_pixel(result, y, x, charge, times, breaks):
    """Rate, variances and events are those of the oracle with the same differences left out."""
    expected = fit_likelihood(charge, times, NOISE, breaks)
    sigma = np.sqrt(expected["var_read"] + expected["var_photon"])
    assert abs(result.rate[y, x] - expected["rate"]) <= 3e-3 * sigma
    got = result.var_read[y, x] + max(result.rate[y, x], 0) * result.photon_factor[y, x]
    assert got == pytest.approx(sigma**2, rel=3e-3)
    np.testing.assert_allclose(result.chi2[y, x], expected["chi2"], rtol=3e-3, atol=1e-3)
    assert result.nused[y, x] == expected["nused"]
    events = events_of(result, y, x)
    assert set(events["kind"]) <= {"JUMP"}
    assert set(events["read"] - 1) == set(breaks)
    for event in events:
        read = event["read"] - 1
        step, significance, _ = omission(charge, times, NOISE, set(breaks) - {read}, read)
        error = abs(step / significance)
        assert event["amplitude"] == pytest.approx(step, abs=0.02 * error)
        assert event["sigma"] == pytest.approx(significance, rel=0.01, abs=0.02)


@pytest.mark.parametrize(
    ("nread", "threshold"), [(4, 3.0), (4, 4.5), (5, 4.5), (6, 3.0), (8, 4.5), (12, 4.5)]
)
def test_every_decision(nread, threshold):
    near = 0
    for seed in range(2):
        reads, times = hit_ramps(seed, nread)
        result = iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=threshold)
        for y, x in np.ndindex(SHAPE):
            charge = reads[:, y, x] * GAIN
            breaks, margin = find_likelihood_jumps(charge, times, NOISE, threshold)
            if margin < 0.05:  # so near to the threshold, or to a tie, that rounding decides
                near += 1
                continue
            assert_pixel(result, y, x, charge, times, breaks)
            assert bool(result.dq[y, x] & Flag.JUMP_DET) == bool(breaks)
    assert near <= 0.1 * 2 * SHAPE[0] * SHAPE[1]


def smooth_ramps(nread=10, rate=20.0, seed=5):
    rng = np.random.default_rng([seed, nread])
    times = np.cumsum(rng.uniform(0.8, 2.5, nread))
    return simulate_reads(rng, np.full(SHAPE, rate), times, NOISE, GAIN, start=9000.0), times


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("read", range(1, 10))
def test_a_strong_hit_in_any_difference(read, sign):
    reads, times = smooth_ramps()
    truth = sign * 1500 * GAIN
    reads[read:] += np.uint16(sign * 1500 % 65536)
    result = iris_readout.fit_ramp(reads, times, **FIT)
    for y, x in np.ndindex(SHAPE):
        assert_pixel(result, y, x, reads[:, y, x] * GAIN, times, {read})
    assert np.all(result.dq == Flag.JUMP_DET)
    events = result.events
    assert len(events) == SHAPE[0] * SHAPE[1]
    assert np.all(events["read"] == read + 1)
    assert np.all(np.sign(events["sigma"]) == sign)
    pull = (events["amplitude"] - truth) / (events["amplitude"] / events["sigma"])
    assert np.all(np.abs(pull) < 4.5)
    assert np.mean(pull) == pytest.approx(0.0, abs=4 / np.sqrt(len(pull)))


@pytest.mark.parametrize("pair", [(1, 9), (1, 2), (8, 9), (4, 5), (3, 7), (1, 5)])
@pytest.mark.parametrize("signs", [(1, 1), (1, -1), (-1, -1)])
def test_two_hits_in_one_ramp(pair, signs):
    reads, times = smooth_ramps()
    reads = reads.astype(int)
    for read, sign in zip(pair, signs, strict=True):
        reads[read:] += sign * (1200 + 300 * read)
    reads = reads.astype(np.uint16)
    result = iris_readout.fit_ramp(reads, times, **FIT)
    for y, x in np.ndindex(SHAPE):
        assert_pixel(result, y, x, reads[:, y, x] * GAIN, times, set(pair))
        assert list(np.sign(events_of(result, y, x)["amplitude"])) == list(signs)


def test_one_high_read_is_two_jumps():
    reads, times = smooth_ramps()
    reads[4] += 1000
    result = iris_readout.fit_ramp(reads, times, **FIT)
    for y, x in np.ndindex(SHAPE):
        assert list(events_of(result, y, x)["read"]) == [5, 6]
        assert_pixel(result, y, x, reads[:, y, x] * GAIN, times, {4, 5})
    assert np.all(result.nused == 9)


def test_three_reads_keep_the_lower_difference():
    reads, times = smooth_ramps(3)
    reads[1:, 0] += 1000
    reads[2:, 1] += 1000
    result = iris_readout.fit_ramp(reads, times, **FIT)
    for x in range(SHAPE[1]):
        assert_pixel(result, 0, x, reads[:, 0, x] * GAIN, times, {1})
        assert_pixel(result, 1, x, reads[:, 1, x] * GAIN, times, {2})
    assert np.all(result.nused[:2] == 2)
    assert np.all(np.isnan(result.chi2[:2]))
    assert np.all(result.dq[2:] == 0)


def test_two_reads_have_no_jump():
    reads, times = smooth_ramps(2)
    reads[1] += 20000
    result = iris_readout.fit_ramp(reads, times, **FIT)
    assert len(result.events) == 0
    assert np.all(result.dq == 0)
    assert np.all(result.nused == 2)


def test_saturation_after_a_jump():
    reads, times = smooth_ramps()
    reads[3:] += 3000
    reads[6:] = 65535
    result = iris_readout.fit_ramp(reads, times, **FIT)
    assert np.all(result.dq == Flag.JUMP_DET | Flag.SATURATED)
    for y, x in np.ndindex(SHAPE):
        events = events_of(result, y, x)
        assert list(zip(events["read"], events["kind"], strict=True)) == [
            (4, "JUMP"),
            (7, "SATURATION"),
        ]
        expected = fit_likelihood(reads[:6, y, x] * GAIN, times[:6], NOISE, {3})
        sigma = np.sqrt(expected["var_read"] + expected["var_photon"])
        assert abs(result.rate[y, x] - expected["rate"]) <= 3e-3 * sigma
    assert np.all(result.nused == 6)


def test_hit_that_saturates_leaves_the_reads_before_it():
    reads, times = smooth_ramps()
    reads[5:] = 65535
    result = iris_readout.fit_ramp(reads, times, **FIT)
    assert np.all(result.dq == Flag.SATURATED)
    assert np.all(result.nused == 5)
    assert set(result.events["kind"]) == {"SATURATION"}
    before = iris_readout.fit_ramp(reads[:5], times[:5], **FIT)
    for name in ("rate", "var_read", "var_photon", "photon_factor", "chi2"):
        np.testing.assert_array_equal(getattr(result, name), getattr(before, name))


def test_jump_test_switched_off():
    reads, times = smooth_ramps()
    reads[4:] += 300
    result = iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=None)
    assert np.all(result.dq == 0)
    assert len(result.events) == 0
    for y, x in np.ndindex(SHAPE):
        expected = fit_likelihood(reads[:, y, x] * GAIN, times, NOISE)
        sigma = np.sqrt(expected["var_read"] + expected["var_photon"])
        assert abs(result.rate[y, x] - expected["rate"]) <= 0.01 * sigma
    assert np.median(result.chi2) > 4


def test_a_lower_threshold_flags_no_less():
    reads, times = hit_ramps(9, 10)
    flagged = [
        iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=s).dq & Flag.JUMP_DET
        for s in (3.0, 4.5, 8.0, 30.0)
    ]
    for low, high in pairwise(flagged):
        assert np.all(low >= high)
    assert np.count_nonzero(flagged[0]) > np.count_nonzero(flagged[-1]) > 0


def test_every_flagged_pixel_has_an_event_in_order():
    reads, times = hit_ramps(10, 12, hits=3)
    result = iris_readout.fit_ramp(reads, times, **FIT)
    jumps = result.events[result.events["kind"] == "JUMP"]
    hit = np.zeros(SHAPE, bool)
    hit[jumps["y"], jumps["x"]] = True
    np.testing.assert_array_equal(hit, (result.dq & Flag.JUMP_DET) != 0)
    keys = result.events[["y", "x", "read"]].tolist()
    assert keys == sorted(set(keys))
    assert np.all(np.abs(jumps["sigma"]) > 4.5 - 0.5)  # after the others are taken out
    np.testing.assert_array_equal(np.sign(jumps["sigma"]), np.sign(jumps["amplitude"]))


def test_events_beyond_the_room_for_them_are_counted():
    reads, times = smooth_ramps()
    reads[4:] += 1500
    everything = iris_readout.fit_ramp(reads, times, **FIT)
    fitter = iris_readout.RampFitter(SHAPE, **FIT, max_events=7)
    for read, time in zip(reads, times, strict=True):
        fitter.push(read, time)
    result = fitter.finish()
    assert len(result.events) == 7
    assert fitter.lost_events == len(everything.events) - 7
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(result, name), getattr(everything, name))
