"""Long ramps folded into resultants: unbiased, true errors, hits and saturation found to the read."""

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import poisson_covariance, response, response_ramps, simulate_reads

SEED = 20260307
GAIN, NOISE = 2.0, 12.0
SHAPE = (60, 100)
BASE = {"gain": GAIN, "read_noise": NOISE, "ref_pixels": 0, "estimator": "likelihood"}
FIT = {**BASE, "snowballs": False}
KEPT = 8  # reads that fit into the memory allowed


def limit(shape, reads=KEPT):
    return reads * shape[0] * shape[1] * 2


def simulate(rate, nread, shape=SHAPE, seed=0, spacing=0.75):
    rng = np.random.default_rng([SEED, seed, nread])
    times = np.arange(1, nread + 1) * spacing
    return simulate_reads(rng, np.broadcast_to(rate, shape), times, NOISE, GAIN), times


def push_all(fitter, reads, times):
    for read, time in zip(reads, times, strict=True):
        fitter.push(read, time)
    return fitter


def folded(reads, times, **options):
    options = {"memory_limit": limit(reads[0].shape), **FIT, **options}
    return iris_readout.fit_ramp(reads, times, **options)


def assert_same(got, expected):
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    for name in expected.events.dtype.names:
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


@pytest.mark.parametrize("nread", [40, 97, 200])
def test_reads_are_folded_only_where_they_do_not_fit(nread):
    shape = (5, 9)
    reads, times = simulate(30.0, nread, shape)
    enough = -(-nread // 8) * 8  # memory is taken in whole batches of eight reads
    expected = iris_readout.fit_ramp(reads, times, **FIT)
    for kept in (KEPT, enough):
        fitter = iris_readout.RampFitter(shape, **FIT, memory_limit=limit(shape, kept))
        result = push_all(fitter, reads, times).finish()
        assert fitter.nread == nread
        if kept == enough:
            assert fitter.folding == 1
            assert_same(result, expected)
        else:
            assert nread / 24 <= fitter.folding <= nread / 12
            assert np.all(result.nused[(result.dq & Flag.JUMP_DET) == 0] == nread)


@pytest.mark.parametrize("nread", [40, 120])
@pytest.mark.parametrize("rate", [0.1, 5.0, 60.0, 600.0])
def test_truth(rate, nread):
    reads, times = simulate(rate, nread)
    whole = iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=None)
    result = folded(reads, times, jump_sigma=None)
    true_variance = np.mean(result.var_read) + rate * np.mean(result.photon_factor)
    best_variance = np.mean(whole.var_read) + rate * np.mean(whole.photon_factor)
    assert 0.99 < true_variance / best_variance < 1.05
    estimate = result.rate.astype(float)
    error = np.sqrt(true_variance / estimate.size)
    allowed = max(1e-3 * rate, 0.02 * np.sqrt(true_variance)) + 3 * error
    assert abs(np.mean(estimate) - rate) < allowed
    assert np.std(estimate) == pytest.approx(np.sqrt(true_variance), rel=0.03)
    if rate * times[-1] >= 100:
        pull = (estimate - rate) / np.sqrt(result.var_read + result.var_photon)
        assert np.std(pull) == pytest.approx(1.0, abs=0.03)
    assert np.mean(result.chi2) == pytest.approx(1.0, abs=0.03)
    assert np.all(result.nused == nread)


@pytest.mark.parametrize("rate", [0.5, 10.0])
@pytest.mark.parametrize("nread", [40, 61])
def test_variances_are_those_of_the_weights_the_fit_has(rate, nread):
    times = np.arange(1.0, nread + 1)
    times[nread // 3 :] += 10.0
    reads = response_ramps(times, rate, gain=0.05, step=4)
    options = {**FIT, "gain": 0.05, "read_noise": 5.0, "memory_limit": limit(reads[0].shape)}
    result = iris_readout.fit_ramp(reads, times, **options, jump_sigma=None)
    weights = response(result.rate, gain=0.05, step=4)
    assert np.sum(weights) == pytest.approx(0.0, abs=2e-3 * np.sum(np.abs(weights)))
    assert weights @ times == pytest.approx(1.0, rel=3e-3)
    np.testing.assert_allclose(result.var_read[0, -1], 25.0 * weights @ weights, rtol=1e-2)
    factor = weights @ poisson_covariance(times) @ weights
    np.testing.assert_allclose(result.photon_factor[0, -1], factor, rtol=1e-2)


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("nread", [40, 120])
def test_strong_hits_are_found_at_their_read(nread, sign):
    """Pixel (y, k) is hit in difference k: between two resultants, or inside one."""
    shape = (20, nread)
    reads, times = simulate(20.0, nread, shape)
    step = sign * int(60 * NOISE / GAIN)
    reads = reads.astype(int) + 1000
    for k in range(1, nread):
        reads[k:, :, k] += step
    result = folded(reads.astype(np.uint16), times)
    hits = result.events
    expected = np.zeros(shape, bool)
    expected[:, 1:] = True
    np.testing.assert_array_equal((result.dq & Flag.JUMP_DET) != 0, expected)
    strong = np.abs(hits["sigma"]) > 20
    found = np.zeros(shape, int)
    np.add.at(found, (hits["y"][strong], hits["x"][strong]), 1)
    np.testing.assert_array_equal(found, expected)
    np.testing.assert_array_equal(hits["read"][strong], hits["x"][strong] + 1)
    pull = (hits["amplitude"] - step * GAIN) / np.abs(hits["amplitude"] / hits["sigma"])
    assert np.max(np.abs(pull[strong])) < 5.5
    assert np.std(pull[strong]) == pytest.approx(1.0, abs=0.15)
    assert np.mean(~strong) < 0.01
    pull = (result.rate - 20.0) / np.sqrt(result.var_read + 20.0 * result.photon_factor)
    assert abs(np.mean(pull)) < 4 / np.sqrt(pull.size)
    assert np.std(pull) == pytest.approx(1.0, abs=0.08)


def test_two_strong_hits_in_one_ramp():
    nread, shape = 120, (20, 30)
    reads, times = simulate(20.0, nread, shape)
    pairs = np.random.default_rng(SEED).integers(1, nread, (*shape, 2))
    pairs.sort(axis=-1)
    pairs[..., 1] += pairs[..., 1] == pairs[..., 0]
    pairs[..., 0] -= pairs[..., 1] == nread
    pairs[..., 1] -= pairs[..., 1] == nread
    number = np.arange(nread)[:, None, None]
    reads = reads.astype(int)
    for hit in range(2):
        reads += np.where(number >= pairs[..., hit], (500, 800)[hit], 0)
    result = folded(reads.astype(np.uint16), times)
    strong = result.events[np.abs(result.events["sigma"]) > 12]
    found = {(int(e["y"]), int(e["x"]), int(e["read"]) - 1) for e in strong}
    truth = {(y, x, int(k)) for y, x in np.ndindex(shape) for k in set(pairs[y, x].tolist())}
    assert found == truth
    pull = (result.rate - 20.0) / np.sqrt(result.var_read + 20.0 * result.photon_factor)
    assert abs(np.mean(pull)) < 0.2
    assert np.std(pull) == pytest.approx(1.0, abs=0.1)


def test_hits_of_ten_sigma_are_found_and_leave_no_trace():
    nread, rate = 100, 10.0
    reads, times = simulate(rate, nread)
    where = np.random.default_rng(SEED).integers(1, nread, SHAPE)
    step = round(10 * np.sqrt(2 * NOISE**2 + rate * 0.75) / GAIN)
    reads += (np.arange(nread)[:, None, None] >= where).astype(np.uint16) * np.uint16(step)
    result = folded(reads, times)
    near = np.abs(
        result.events["read"].astype(int) - 1 - where[result.events["y"], result.events["x"]]
    )
    found = np.zeros(SHAPE, bool)
    found[result.events["y"][near <= 1], result.events["x"][near <= 1]] = True
    assert np.mean(found) > 0.99
    pull = (result.rate - rate) / np.sqrt(result.var_read + rate * result.photon_factor)
    assert np.mean(pull) == pytest.approx(0.0, abs=0.05)
    assert np.std(pull) == pytest.approx(1.0, abs=0.04)


def test_quiet_ramps_are_left_alone():
    reads, times = simulate(20.0, 160, (100, 120))
    result = folded(reads, times)
    expected = 6.8e-6 * 159 * 12000  # two-sided 4.5 sigma
    assert len(result.events) <= 2 * expected + 3 * np.sqrt(2 * expected)


@pytest.mark.parametrize("nread", [40, 120])
def test_saturated_reads_are_cut_off(nread):
    """Pixel (y, k) is saturated from read k on."""
    rate, shape = 20.0, (20, nread)
    reads, times = simulate(rate, nread, shape)
    for k in range(nread):
        reads[k:, :, k] = 60000
    fitter = iris_readout.RampFitter(
        shape, **FIT, saturation=60000, memory_limit=limit(shape), jump_sigma=None
    )
    result = push_all(fitter, reads, times).finish()
    assert np.all((result.dq & Flag.SATURATED) != 0)
    usable = np.broadcast_to(np.arange(nread), shape)
    np.testing.assert_array_equal(result.nused == 0, usable < 2)
    np.testing.assert_array_equal(np.isnan(result.rate), usable < 2)
    np.testing.assert_array_equal((result.dq & Flag.DO_NOT_USE) != 0, usable < 2)
    assert np.all(result.nused <= usable)
    assert np.all(usable - result.nused < 2 * fitter.folding + 2)
    events = result.events
    np.testing.assert_array_equal(events["read"], events["x"] + 1)
    assert len(events) == shape[0] * shape[1]
    good = usable > 1
    error = np.sqrt(result.var_read + rate * result.photon_factor)
    pull = ((result.rate - rate) / error)[good]
    assert abs(np.mean(pull)) < 4 / np.sqrt(pull.size)
    assert np.std(pull) == pytest.approx(1.0, abs=0.08)


def busy_ramps(nread=90, shape=(23, 41)):
    rng = np.random.default_rng(SEED)
    reads, times = simulate(10 ** rng.uniform(-1, 2.5, shape), nread, shape, spacing=0.6)
    reads = reads.astype(int)
    for y, x in np.argwhere(rng.random(shape) < 0.3):
        reads[rng.integers(1, nread) :, y, x] += rng.integers(20, 5000)
    for y, x in np.argwhere(rng.random(shape) < 0.05):
        reads[rng.integers(0, nread) :, y, x] = 65535
    return np.clip(reads, 0, 65535).astype(np.uint16), times


@pytest.mark.parametrize("grow", [0, 1])
def test_threads_and_the_way_reads_come_change_no_bit(grow):
    reads, times = busy_ramps()
    options = {**BASE, "memory_limit": limit(reads[0].shape), "saturation_grow": grow}
    expected = iris_readout.fit_ramp(reads, times, **options, nthreads=1)
    assert len(expected.events) > 100
    assert_same(iris_readout.fit_ramp(reads, times, **options, nthreads=2), expected)
    assert_same(iris_readout.fit_ramp(reads.astype(">u2"), times, **options), expected)
    fitter = iris_readout.RampFitter(reads[0].shape, **options, nthreads=2)
    buffer = np.empty(reads[0].shape, np.uint16)
    for read, time in zip(reads, times, strict=True):
        buffer[:] = read
        fitter.push(buffer, time)
    assert_same(fitter.finish(), expected)
    assert_same(fitter.finish(), expected)
    short = iris_readout.fit_ramp(reads[:5], times[:5], **options)
    assert_same(push_all(fitter, reads[:5], times[:5]).finish(), short)
    assert fitter.folding == 1
    assert_same(push_all(fitter, reads, times).finish(), expected)
    assert fitter.folding > 1


def test_pixels_do_not_see_each_other():
    reads, times = busy_ramps()
    options = {"memory_limit": limit(reads[0].shape)}
    expected = folded(reads, times, **options)
    order = np.random.default_rng(1).permutation(reads.shape[2])
    got = folded(np.ascontiguousarray(reads[:, :, order]), times, **options)
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name)[:, order])


def test_left_out_reads_are_as_if_they_had_not_been_taken():
    reads, times = busy_ramps()
    drop = [1, 2, 17, 40, 41, 42, 43, 77, 90]
    kept = [k for k in range(len(times)) if k + 1 not in drop]
    got = folded(reads, times, drop=drop)
    expected = folded(reads[kept], times[kept])
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    numbers = np.array(kept) + 1
    np.testing.assert_array_equal(got.events["read"], numbers[expected.events["read"] - 1])


def test_a_pedestal_does_not_matter():
    reads, times = busy_ramps()
    reads = np.where(reads == 65535, 65535, np.minimum(reads, 40000)).astype(np.uint16)
    higher = np.where(reads == 65535, 65535, reads + 15000).astype(np.uint16)
    assert_same(folded(higher, times), folded(reads, times))


def test_weights_need_all_reads_in_memory():
    reads, times = simulate(20.0, 20, (5, 9))
    weights = np.linspace(0.1, 1.0, 20)
    with pytest.raises(MemoryError, match=r"read \d+: got more reads than .*weights.*memory_limit"):
        folded(reads, times, weights=weights)
    with pytest.raises(MemoryError, match="memory_limit"):
        folded(reads, times, mode="mcds", nfowler=2)
    result = folded(reads, times, weights=weights, memory_limit=limit((5, 9), 24))
    assert np.all(np.isfinite(result.rate))


def test_least_squares_is_not_folded_for_want_of_memory():
    reads, times = simulate(30.0, 60, (5, 9))
    options = {**FIT, "estimator": "ols", "jump_sigma": None}
    expected = iris_readout.fit_ramp(reads, times, **options)
    assert_same(iris_readout.fit_ramp(reads, times, **options, memory_limit=1), expected)
