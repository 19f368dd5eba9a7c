"""What must hold for any ramp."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import iris_readout
from liger_iris_pipeline.dq import Flag

SHAPE = (3, 5)
FIT = settings(max_examples=40, deadline=None, derandomize=True)
MODES = st.sampled_from(["utr", "cds", "mcds"])


@st.composite
def ramps(draw, low=2000, high=30000):
    nread = draw(st.integers(2, 6))
    reads = draw(arrays(np.uint16, (nread, *SHAPE), elements=st.integers(low, high)))
    steps = draw(st.lists(st.integers(1, 40), min_size=nread, max_size=nread))
    return reads, np.cumsum(steps) / 8.0


def fit(reads, times, **options):
    base = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 0, "nthreads": 1}
    return iris_readout.fit_ramp(reads, times, **{**base, **options})


def assert_equal(got, expected, names=tuple(iris_readout.PLANES)):
    for name in names:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


@FIT
@given(ramps(), MODES, st.integers(-1999, 20000))
def test_a_pedestal_does_not_matter(ramp, mode, pedestal):
    reads, times = ramp
    shifted = (reads.astype(int) + pedestal).astype(np.uint16)
    assert_equal(fit(shifted, times, mode=mode), fit(reads, times, mode=mode))


@FIT
@given(ramps(), MODES)
def test_the_origin_of_time_does_not_matter(ramp, mode):
    reads, times = ramp
    later, now = fit(reads, times + 64.0, mode=mode), fit(reads, times, mode=mode)
    np.testing.assert_array_equal(later.dq, now.dq)
    scale = np.abs(now.rate) + np.sqrt(now.var_read)
    assert np.all(np.abs(later.rate - now.rate) <= 1e-5 * scale)


@FIT
@given(ramps(), MODES)
def test_twice_the_time_is_half_the_rate(ramp, mode):
    reads, times = ramp
    slow = fit(reads, 2 * times, mode=mode, jump_sigma=None)
    fast = fit(reads, times, mode=mode, jump_sigma=None)
    np.testing.assert_array_equal(2 * slow.rate, fast.rate)
    np.testing.assert_array_equal(4 * slow.var_read, fast.var_read)
    np.testing.assert_array_equal(4 * slow.var_photon, fast.var_photon)


@FIT
@given(ramps(), MODES)
def test_twice_the_gain_is_twice_the_rate(ramp, mode):
    reads, times = ramp
    options = {"mode": mode, "estimator": "ols", "jump_sigma": None}
    more = fit(reads, times, **options, gain=4.0, read_noise=20.0)
    less = fit(reads, times, **options)
    np.testing.assert_array_equal(more.rate, 2 * less.rate)
    np.testing.assert_array_equal(more.var_read, 4 * less.var_read)
    np.testing.assert_array_equal(more.var_photon, 2 * less.var_photon)


@FIT
@given(ramps(low=0, high=65535), arrays(np.uint32, SHAPE, elements=st.integers(0, 2**32 - 1)))
def test_flags_that_went_in_come_out(ramp, flags):
    reads, times = ramp
    result = fit(reads, times, bad_pixels=flags, jump_sigma=3.0, saturation_grow=1)
    plain = fit(reads, times, jump_sigma=3.0, saturation_grow=1)
    assert np.all(result.dq & flags == flags)
    usable = (flags & Flag.DO_NOT_USE) == 0
    np.testing.assert_array_equal(result.dq[usable], (plain.dq | flags)[usable])
    np.testing.assert_array_equal(result.rate[usable], plain.rate[usable])


@FIT
@given(ramps(low=0, high=65535), MODES, st.integers(0, 2))
def test_a_pixel_has_a_rate_or_do_not_use(ramp, mode, grow):
    reads, times = ramp
    result = fit(reads, times, mode=mode, saturation=60000, saturation_grow=grow, jump_sigma=3.0)
    unusable = (result.dq & Flag.DO_NOT_USE) != 0
    for name in ("rate", "var_read", "var_photon", "photon_factor"):
        np.testing.assert_array_equal(np.isnan(getattr(result, name)), unusable, err_msg=name)
    np.testing.assert_array_equal(result.nused == 0, unusable)
    assert np.all(result.nused[~unusable] >= 2)
    saturated = np.any(reads >= 60000, axis=0)
    np.testing.assert_array_equal((result.dq & Flag.SATURATED) != 0, saturated)
    np.testing.assert_array_equal((result.dq & Flag.AD_FLOOR) != 0, np.any(reads == 0, axis=0))
    kinds = result.events["kind"]
    assert np.count_nonzero(kinds == "SATURATION") == np.count_nonzero(saturated)
    jumps = result.events[kinds == "JUMP"]
    hit = np.zeros(SHAPE, bool)
    hit[jumps["y"], jumps["x"]] = True
    np.testing.assert_array_equal((result.dq & Flag.JUMP_DET) != 0, hit)


@FIT
@given(ramps(), st.permutations(range(SHAPE[1])))
def test_pixels_do_not_see_each_other(ramp, order):
    reads, times = ramp
    shuffled = fit(reads[:, :, list(order)], times)
    plain = fit(reads, times)
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(shuffled, name), getattr(plain, name)[:, list(order)])


@FIT
@given(st.permutations(range(3)))
def test_the_order_of_combined_ramps_does_not_matter(order):
    rng = np.random.default_rng(8)
    reads = rng.integers(2000, 2200, (3, 5, *SHAPE)).astype(np.uint16)
    reads[1, 1:, 0, 0] = 65535
    results = [fit(r, np.arange(1.0, 6.0)) for r in reads]
    one = iris_readout.combine_ramps(results)
    other = iris_readout.combine_ramps([results[i] for i in order])
    for name in ("rate", "var_read", "var_photon", "photon_factor", "chi2"):
        np.testing.assert_allclose(getattr(other, name), getattr(one, name), 1e-5, 1e-5)
    assert_equal(other, one, ("dq", "nused"))
