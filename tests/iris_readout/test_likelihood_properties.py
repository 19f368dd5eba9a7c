"""What must hold for the likelihood fit of any ramp."""

import numpy as np
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import iris_readout
from liger_iris_pipeline.dq import Flag

SHAPE = (2, 9)
FIT = settings(max_examples=40, deadline=None, derandomize=True)


@st.composite
def ramps(draw, low=2000, high=30000, most=8):
    nread = draw(st.integers(2, most))
    reads = draw(arrays(np.uint16, (nread, *SHAPE), elements=st.integers(low, high)))
    steps = draw(st.lists(st.integers(1, 40), min_size=nread, max_size=nread))
    return reads, np.cumsum(steps) / 8.0


@st.composite
def ascending_ramps(draw, hits=True):
    """Ramps that rise about evenly, so that most differences are kept, with a hit here and there."""
    reads, times = draw(ramps(0, 60 if hits else 30))
    slope = draw(arrays(np.int64, SHAPE, elements=st.integers(0, 400)))
    hit = draw(arrays(np.int64, SHAPE, elements=st.sampled_from([0, 0, 0, 0, 3000 * hits])))
    where = draw(arrays(np.int64, SHAPE, elements=st.integers(1, 7)))
    number = np.arange(len(times))[:, None, None]
    light = slope * (times[:, None, None] - times[0]) + np.where(number >= where, hit, 0)
    return (2000 + reads + np.rint(light)).astype(np.uint16), times


ANY = st.one_of(ramps(), ascending_ramps())


def fit(reads, times, **options):
    base = {"gain": 2.0, "read_noise": 20.0, "ref_pixels": 0, "nthreads": 1, "snowballs": False}
    return iris_readout.fit_ramp(reads, times, **{**base, "estimator": "likelihood", **options})


def assert_equal(got, expected, names=tuple(iris_readout.PLANES)):
    for name in names:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


@FIT
@given(ANY, st.integers(-1999, 30000))
def test_a_pedestal_does_not_matter(ramp, pedestal):
    reads, times = ramp
    shifted = (reads.astype(int) + pedestal).astype(np.uint16)
    assume(shifted.max() < 65535)
    got, expected = fit(shifted, times), fit(reads, times)
    assert_equal(got, expected)
    for name in expected.events.dtype.names:
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


@FIT
@given(ANY, st.sampled_from([-2, -1, 1, 3]))
def test_powers_of_two_of_the_time_scale_rates(ramp, power):
    reads, times = ramp
    scale = 2.0**power
    slow, fast = fit(reads, scale * times), fit(reads, times)
    assert_equal(slow, fast, ("dq", "nused"))
    for name, by in (("rate", 1), ("var_read", 2), ("var_photon", 2), ("photon_factor", 1)):
        np.testing.assert_allclose(
            getattr(slow, name) * scale**by, getattr(fast, name), rtol=2e-6, atol=1e-6
        )
    np.testing.assert_allclose(slow.chi2, fast.chi2, rtol=1e-5)
    for name in ("read", "y", "x", "kind"):
        np.testing.assert_array_equal(slow.events[name], fast.events[name])
    np.testing.assert_allclose(slow.events["sigma"], fast.events["sigma"], rtol=1e-5)


@FIT
@given(ANY, st.permutations(range(SHAPE[0] * SHAPE[1])))
def test_pixels_do_not_see_each_other(ramp, order):
    reads, times = ramp
    flat = reads.reshape(len(reads), -1)[:, list(order)].reshape(reads.shape)
    got, expected = fit(flat, times), fit(reads, times)
    for name in iris_readout.PLANES:
        shuffled = getattr(expected, name).ravel()[list(order)].reshape(SHAPE)
        np.testing.assert_array_equal(getattr(got, name), shuffled, err_msg=name)


@FIT
@given(
    arrays(np.int64, SHAPE, elements=st.integers(0, 500)),
    st.lists(st.integers(1, 8), min_size=2, max_size=12),
    st.data(),
)
def test_straight_ramps_have_their_slope_whatever_is_left_out(step, spacing, data):
    times = np.cumsum(spacing).astype(float)
    nread = len(times)
    reads = (3000 + step * times[:, None, None]).astype(np.uint16)
    drop = data.draw(st.sets(st.integers(1, nread), max_size=nread - 2))
    weights = data.draw(st.lists(st.sampled_from([0.1, 0.5, 1.0]), min_size=nread, max_size=nread))
    result = fit(reads, times, drop=drop, weights=weights)
    np.testing.assert_allclose(result.rate, 2.0 * step, rtol=1e-6, atol=1e-6)
    assert np.all(result.dq == 0)
    assert np.all(result.nused == nread - len(drop))
    if nread - len(drop) > 2:
        np.testing.assert_allclose(result.chi2, 0.0, atol=1e-6)


@FIT
@given(ANY, st.integers(1, 40))
def test_a_brighter_sky_adds_its_rate_to_least_squares(ramp, sky):
    reads, times = ramp
    light = np.rint(8 * sky * (times - times[0]))[:, None, None]  # whole counts: times are eighths
    assume(light.max() + reads.max() < 65000)
    brighter = (reads + light).astype(np.uint16)
    plain, more = (fit(r, times, estimator="ols", jump_sigma=None) for r in (reads, brighter))
    np.testing.assert_allclose(
        more.rate - plain.rate, 16.0 * sky, rtol=1e-5, atol=1e-5 * np.abs(plain.rate).max()
    )
    np.testing.assert_array_equal(more.var_read, plain.var_read)
    assert np.all(more.var_photon >= plain.var_photon)


@FIT
@given(ascending_ramps(hits=False))
def test_the_best_fit_is_never_worse_than_least_squares(ramp):
    """The likelihood has the least variance at its own rate."""
    reads, times = ramp
    best = fit(reads, times, jump_sigma=None)
    plain = fit(reads, times, estimator="ols", jump_sigma=None)
    rate = np.maximum(best.rate, 0)
    at_best = best.var_read + rate * best.photon_factor
    at_plain = plain.var_read + rate * plain.photon_factor
    assert np.all(at_best <= at_plain * (1 + 2e-3))


@FIT
@given(ramps(low=0, high=65535), st.integers(0, 2), st.sampled_from([None, 3.0, 4.5]))
def test_a_pixel_has_a_rate_or_do_not_use(ramp, grow, threshold):
    reads, times = ramp
    result = fit(reads, times, saturation=60000, saturation_grow=grow, jump_sigma=threshold)
    unusable = (result.dq & Flag.DO_NOT_USE) != 0
    for name in ("rate", "var_read", "var_photon", "photon_factor"):
        np.testing.assert_array_equal(np.isnan(getattr(result, name)), unusable, err_msg=name)
    np.testing.assert_array_equal(result.nused == 0, unusable)
    assert np.all(result.nused[~unusable] >= 2)
    assert np.all(result.var_read[~unusable] > 0)
    assert np.all(result.var_photon[~unusable] >= 0)
    saturated = np.any(reads >= 60000, axis=0)
    np.testing.assert_array_equal((result.dq & Flag.SATURATED) != 0, saturated)
    jumps = result.events[result.events["kind"] == "JUMP"]
    hit = np.zeros(SHAPE, bool)
    hit[jumps["y"], jumps["x"]] = True
    np.testing.assert_array_equal((result.dq & Flag.JUMP_DET) != 0, hit)
    first = np.where(saturated, np.argmax(reads >= 60000, axis=0), len(reads))
    assert np.all(jumps["read"] - 1 < first[jumps["y"], jumps["x"]])


@FIT
@given(ANY)
def test_what_goes_in_is_not_changed(ramp):
    reads, times = ramp
    before = reads.copy(), times.copy()
    fit(reads, times, weights=np.ones(len(times)))
    np.testing.assert_array_equal(reads, before[0])
    np.testing.assert_array_equal(times, before[1])
