"""Reads pushed one by one: the same bits however they come; partial, repeated and refused ramps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iris_readout
from oracles.ramp import simulate_reads

SHAPE = (37, 64)
TIMES = np.cumsum(np.array([0.7, 1.5, 1.5, 2.0, 1.5, 1.5, 0.5, 1.5, 3.0, 1.5, 1.5]))
OPTIONS = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 4, "noutputs": 8, "saturation": 40000}
CASES = [
    {"estimator": "likelihood"},
    {"estimator": "likelihood", "jump_sigma": None},
    {"estimator": "likelihood", "saturation_grow": 1},
    {"estimator": "ols"},
    {"estimator": "ols", "jump_sigma": None},
    {"mode": "cds"},
    {"mode": "mcds", "nfowler": 3},
]
ANY_CASE = pytest.mark.parametrize("case", CASES, ids=str)


@pytest.fixture(name="reads", scope="module")
def fixture_reads():
    rng = np.random.default_rng(20260305)
    reads = simulate_reads(
        rng, rng.uniform(0, 400, SHAPE), TIMES, 10.0, gain=2.0, start=3000.0
    ).astype(int)
    for y, x in np.argwhere(rng.random(SHAPE) < 0.05):
        reads[rng.integers(1, len(TIMES)) :, y, x] += rng.integers(50, 3000)
    for y, x in np.argwhere(rng.random(SHAPE) < 0.01):
        reads[rng.integers(0, len(TIMES)) :, y, x] = 50000
    reads[4:, 10, 10] = 0
    return reads.astype(np.uint16)


def assert_same(got, expected):
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    for name in expected.events.dtype.names:
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


def push_all(fitter, reads, times=TIMES):
    for read, time in zip(reads, times, strict=False):
        fitter.push(read, time)
    return fitter


@ANY_CASE
def test_one_by_one_or_all_at_once(reads, case):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **case, nthreads=1)
    assert np.count_nonzero(np.isfinite(expected.rate)) > 1000
    fitter = iris_readout.RampFitter(SHAPE, **OPTIONS, **case, nthreads=2)
    buffer = np.empty(SHAPE, np.uint16)
    for read, time in zip(reads, TIMES, strict=True):
        buffer[:] = read
        fitter.push(buffer, time)
    buffer[:] = 1
    assert_same(fitter.finish(), expected)
    assert fitter.folding == 1


@ANY_CASE
def test_threads_and_byte_order(reads, case):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **case, nthreads=1)
    for nthreads in (2, 3, 0):
        got = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **case, nthreads=nthreads)
        assert_same(got, expected)
    big = iris_readout.fit_ramp(reads.astype(">u2"), TIMES, **OPTIONS, **case, nthreads=2)
    assert_same(big, expected)
    pushed = iris_readout.RampFitter(SHAPE, **OPTIONS, **case)
    for number, (read, time) in enumerate(zip(reads, TIMES, strict=True)):
        pushed.push(read.astype(">u2") if number % 2 else read, time)
    assert_same(pushed.finish(), expected)


@ANY_CASE
def test_finished_twice_and_used_again(reads, case):
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **case)
    short = iris_readout.fit_ramp(reads[:4], TIMES[:4], **OPTIONS, **case)
    fitter = push_all(iris_readout.RampFitter(SHAPE, **OPTIONS, **case), reads)
    assert_same(fitter.finish(), expected)
    assert_same(fitter.finish(), expected)
    push_all(fitter, reads[:4])
    assert_same(fitter.finish(), short)
    push_all(fitter, reads)
    assert_same(fitter.finish(), expected)


@pytest.mark.parametrize("nread", [2, 3, 7])
@ANY_CASE
def test_an_aborted_ramp_gives_what_came(reads, case, nread):
    fitter = push_all(iris_readout.RampFitter(SHAPE, **OPTIONS, **case), reads[:nread])
    assert fitter.nread == nread
    expected = iris_readout.fit_ramp(reads[:nread], TIMES[:nread], **OPTIONS, **case)
    assert_same(fitter.finish(), expected)


@pytest.mark.parametrize("nread", [0, 1])
def test_an_aborted_ramp_of_too_few_reads_goes_on(reads, nread):
    fitter = iris_readout.RampFitter(SHAPE, **OPTIONS, estimator="likelihood")
    push_all(fitter, reads[:nread])
    with pytest.raises(iris_readout.Error, match="at least 2"):
        fitter.finish()
    push_all(fitter, reads[nread:], TIMES[nread:])
    assert_same(
        fitter.finish(), iris_readout.fit_ramp(reads, TIMES, **OPTIONS, estimator="likelihood")
    )


@settings(max_examples=25, deadline=None, derandomize=True)
@given(st.permutations(range(6)), st.sampled_from(["likelihood", "ols"]))
def test_only_rising_times_are_taken(order, estimator):
    rng = np.random.default_rng(7)
    reads = simulate_reads(rng, np.full((3, 5), 30.0), TIMES[:6], 10.0, 2.0)
    options = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 0, "estimator": estimator}
    fitter = iris_readout.RampFitter((3, 5), **options)
    taken = []
    for k in order:
        if taken and k < taken[-1]:
            with pytest.raises(
                iris_readout.InvalidValueError, match=r"time of read \d+: got .* later than"
            ):
                fitter.push(reads[k], TIMES[k])
        else:
            fitter.push(reads[k], TIMES[k])
            taken.append(k)
    assert fitter.nread == len(taken)
    if len(taken) > 1:
        assert_same(fitter.finish(), iris_readout.fit_ramp(reads[taken], TIMES[taken], **options))
    else:
        with pytest.raises(iris_readout.Error, match="at least 2"):
            fitter.finish()


def test_reads_that_share_memory(reads):
    """A view of one cube, or the rows of a larger array, are as good as arrays of their own."""
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, estimator="likelihood")
    wide = np.zeros((len(reads), SHAPE[0] + 3, SHAPE[1] + 5), ">u2")
    wide[:, 1:-2, 2:-3] = reads
    got = iris_readout.fit_ramp(
        wide[:, 1:-2, 2:-3], TIMES, **OPTIONS, estimator="likelihood", nthreads=2
    )
    assert_same(got, expected)
    backwards = reads[::-1].copy()[::-1]
    assert_same(
        iris_readout.fit_ramp(backwards, TIMES, **OPTIONS, estimator="likelihood"), expected
    )


@pytest.mark.parametrize("mode", [{"estimator": "ols", "jump_sigma": None}, {"mode": "cds"}])
def test_sums_or_reads(reads, mode):
    """What needs only sums keeps only sums; with all reads at hand it comes to the same."""
    sums = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **mode)
    kept = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **mode, keep_reads=True)
    for name in ("dq", "nused"):
        np.testing.assert_array_equal(getattr(kept, name), getattr(sums, name))
    inside = (slice(4, -4),) * 2
    sigma = np.sqrt(sums.var_read)[inside]
    good = np.isfinite(sigma)
    difference = (kept.rate - sums.rate)[inside]
    assert np.count_nonzero(good) > 1000
    assert np.all(np.abs(difference[good]) <= 1e-4 * sigma[good])
    for name in ("var_read", "photon_factor"):
        np.testing.assert_allclose(getattr(kept, name), getattr(sums, name), rtol=1e-5)
    assert np.all(np.isnan(sums.chi2))
    if "mode" not in mode:
        assert np.count_nonzero(np.isfinite(kept.chi2)) > 1000


def test_weights_need_the_reads():
    fitter = iris_readout.RampFitter(
        (3, 5), gain=2.0, read_noise=10.0, ref_pixels=0, estimator="ols", jump_sigma=None
    )
    fitter.push(np.full((3, 5), 1000, np.uint16), 0.0)
    with pytest.raises(iris_readout.Error, match=r"weight.*keep_reads"):
        fitter.push(np.full((3, 5), 1100, np.uint16), 1.0, weight=0.5)
