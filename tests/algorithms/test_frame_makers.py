"""Makers of bad pixels, darks, flats, zero points and superskies against what was put in."""

import math
import statistics

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chi2, norm

from liger_iris_pipeline.algorithms.frame import (
    BadPixelLimits,
    empty_sky,
    find_bad_pixels,
    find_telegraph,
    lamp_off,
    make_dark,
    make_flat,
    make_supersky,
    split_flat,
    split_glow,
    zero_point,
)
from liger_iris_pipeline.algorithms.frame.bad_pixels import beyond, dark_flags, flat_flags
from liger_iris_pipeline.algorithms.frame.surface import smooth_surface, surface_error
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, ReferenceFileError
from liger_iris_pipeline.kinds import Frame

BORDER = np.uint32(Flag.REFERENCE_PIXEL | Flag.NON_SCIENCE | Flag.DO_NOT_USE)


def frame(rate, sigma=1.0, dq=None, photon=0.0):
    rate = np.asarray(rate, np.float32)
    var = np.full(rate.shape, sigma**2, np.float32)
    flags = np.zeros(rate.shape, np.uint32) if dq is None else np.asarray(dq, np.uint32)
    return Frame(rate, var, np.broadcast_to(np.float32(photon), rate.shape).copy(), flags)


def bordered(shape, width=4):
    dq = np.full(shape, BORDER, np.uint32)
    dq[width:-width, width:-width] = 0
    return dq


# --- limits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("limit", [1e-3, 0.5, 1.2, 1.3, 3.0, 100.0])
def test_limits_keep_good_pixels_and_find_those_five_sigma_beyond(limit):
    excess = np.arange(0.0, limit + 10.0, 1e-3)  # in units of the error
    first = excess[beyond(excess, np.ones_like(excess), limit)][0]
    assert norm.sf(first) <= 1e-4  # a good pixel gets there by noise
    if limit >= 1.3:  # else the errors do not allow the limit
        assert norm.cdf(limit + 5.0 - first) >= 0.99


def test_a_value_that_is_no_number_is_beyond_no_limit():
    assert not beyond([np.nan, 5.0, 5.0], [0.1, np.nan, np.inf], 1.0).any()


@given(st.floats(1e-3, 1e3), st.integers(0, 2**31))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_flags_of_a_flat_do_not_depend_on_its_scale(scale, seed):
    rng = np.random.default_rng(seed)
    flat = rng.uniform(0, 1.2, (24, 24))
    err = np.full(flat.shape, 0.01)
    dq = bordered(flat.shape, 2)
    np.testing.assert_array_equal(
        flat_flags(flat, err, dq), flat_flags(scale * flat, scale * err, dq)
    )


def test_a_hot_pixel_is_hot_above_the_glow_around_it():
    shape = (64, 64)
    y, x = np.indices(shape)
    glow = 4.0 * np.exp(-(y + x) / 30.0)
    rate = glow.copy()
    rate[2, 2] += 2.0
    rate[40, 40] += 2.0
    flags = dark_flags(rate, np.full(shape, 0.05), np.zeros(shape, np.uint32))
    assert set(zip(*np.nonzero(flags & Flag.HOT), strict=True)) == {(2, 2), (40, 40)}


def test_cold_pixels_are_of_low_response_as_well_and_dead_ones_are_not_used():
    flat = np.ones((32, 32))
    flat[5, 5], flat[6, 6], flat[7, 7] = 0.01, 0.3, 0.7
    flags = flat_flags(flat, np.full(flat.shape, 1e-3), np.zeros(flat.shape, np.uint32))
    assert flags[5, 5] == Flag.DEAD | Flag.DO_NOT_USE
    assert flags[6, 6] == Flag.COLD | Flag.LOW_QE
    assert flags[7, 7] == Flag.LOW_QE
    assert np.count_nonzero(flags) == 3


# --- telegraph pixels ----------------------------------------------------------------------------


def telegraph_pixel(rates, variances):
    """Slow version of the test between frames of one pixel without flags."""
    centre = statistics.median(rates)
    typical = statistics.median(variances)
    squares = sorted((r - centre) ** 2 / typical for r in rates)
    return sum(squares[:-1]) > chi2.isf(1e-6, len(rates) - 2)


def darks(rng, shape=(150, 200), count=8, sigma=0.3):
    return [rng.normal(0.02, sigma, shape) for _ in range(count)]


def test_telegraph_pixels_are_found_and_quiet_and_hit_ones_are_not():
    rng = np.random.default_rng(11)
    rates = darks(rng)
    for rate in rates:
        rate[10, :100] += np.where(rng.random(100) < 0.5, 4.0, 0.0)  # 13 sigma, up or down
    rates[3][20] += 30.0  # hits, one frame each
    found = find_telegraph([frame(r, 0.3) for r in rates])
    two = np.sum([r[10, :100] > 2.0 for r in rates], axis=0)
    several = (two >= 2) & (two <= 6)
    assert several.sum() > 80
    assert found[10, :100][several].all()
    assert not found[20].any()
    found[10] = False
    assert found.sum() == 0  # 3e4 quiet pixels at 2e-6


def test_telegraph_test_agrees_with_the_slow_version():
    rng = np.random.default_rng(12)
    rates = np.array(darks(rng, (6, 7), 9)) * rng.choice([1.0, 2.0, 3.0], (6, 7))
    found = find_telegraph([frame(r, 0.3) for r in rates])
    for (y, x), value in np.ndenumerate(found):
        assert value == telegraph_pixel(
            [float(np.float32(r[y, x])) for r in rates], [0.3**2] * len(rates)
        )
    assert 0 < found.sum() < found.size


def test_a_pixel_that_jumps_in_most_frames_is_a_telegraph_pixel():
    rng = np.random.default_rng(13)
    frames = []
    for k in range(8):
        dq = np.where(rng.random((100, 100)) < 0.004, np.uint32(Flag.JUMP_DET), np.uint32(0))
        dq[50, 50] = Flag.JUMP_DET if k % 4 else 0
        frames.append(frame(np.zeros((100, 100)), 1.0, dq))
    assert list(zip(*np.nonzero(find_telegraph(frames)), strict=True)) == [(50, 50)]


def test_telegraph_pixels_do_not_depend_on_order_and_leave_the_frames_alone():
    rng = np.random.default_rng(14)
    frames = [frame(r, 0.2) for r in darks(rng, (30, 30), 6)]
    before = [f.rate.copy() for f in frames]
    narrow = find_telegraph(frames[::-1], memory_limit=1)  # row by row
    np.testing.assert_array_equal(find_telegraph(frames), narrow)
    for f, rate in zip(frames, before, strict=True):
        np.testing.assert_array_equal(f.rate, rate)


def test_three_frames_and_flagged_frames_say_nothing_about_telegraph_pixels():
    wild = [frame(np.full((4, 4), v)) for v in (0.0, 100.0, 0.0)]
    assert not find_telegraph(wild).any()
    off = np.full((4, 4), Flag.DO_NOT_USE)
    assert not find_telegraph([frame(f.rate, 1.0, off) for f in [*wild, *wild]]).any()


def test_darks_of_two_shapes_are_refused():
    with pytest.raises(
        InputError, match=r"stack: frames: got \(4, 4\), \(5, 4\), expected frames of one shape"
    ):
        find_telegraph([frame(np.zeros((4, 4))), frame(np.zeros((5, 4)))])
    with pytest.raises(InputError, match="stack: frames: got none, expected"):
        find_telegraph([])


# --- the map -------------------------------------------------------------------------------------


def planes(value, err, dq=None):
    value = np.asarray(value, float)
    flags = np.zeros(value.shape, np.uint32) if dq is None else dq
    return value, np.full(value.shape, err), flags


def test_a_map_has_what_dark_and_flat_say_and_no_more():
    shape = (40, 40)
    dark, flat, dq = np.full(shape, 0.02), np.ones(shape), bordered(shape, 2)
    dark[10, 10], dark[11, 11], dark[12, 12] = 50.0, 0.5, np.nan
    flat[20, 20], flat[21, 21], flat[22, 22] = 0.0, 0.2, np.nan
    flat[dq > 0], dark[dq > 0] = 1.0, 0.0
    telegraph = np.zeros(shape, bool)
    telegraph[30, 30] = telegraph[0, 0] = True
    dark_dq = dq.copy()
    dark_dq[25, 25] |= np.uint32(Flag.JUMP_DET)  # of the exposures, not of the detector
    out = find_bad_pixels(planes(dark, 0.02, dark_dq), planes(flat, 0.002, dq), telegraph=telegraph)
    expected = dq.copy()
    expected[10, 10] = Flag.HOT | Flag.DO_NOT_USE
    expected[11, 11] = Flag.WARM
    expected[12, 12] = Flag.UNRELIABLE_DARK | Flag.DO_NOT_USE
    expected[20, 20] = Flag.DEAD | Flag.DO_NOT_USE
    expected[21, 21] = Flag.COLD | Flag.LOW_QE
    expected[22, 22] = Flag.UNRELIABLE_FLAT | Flag.DO_NOT_USE
    expected[30, 30] = Flag.TELEGRAPH
    np.testing.assert_array_equal(out, expected)


def test_what_was_known_of_a_pixel_holds_where_it_was_not_measured():
    dark, flat = np.full((20, 20), 0.02), np.ones((20, 20))
    dq = np.zeros((20, 20), np.uint32)
    dark[5, 5] = flat[5, 5] = np.nan
    dq[5, 5] = Flag.DEAD | Flag.DO_NOT_USE
    out = find_bad_pixels(planes(dark, 0.02, dq), planes(flat, 0.002, dq))
    unreliable = Flag.UNRELIABLE_DARK | Flag.UNRELIABLE_FLAT
    assert out[5, 5] == Flag.DEAD | Flag.DO_NOT_USE | unreliable
    assert np.count_nonzero(out) == 1


def test_limits_can_be_set():
    dark, flat = np.full((20, 20), 0.02), np.ones((20, 20))
    dark[3, 3], flat[4, 4] = 0.6, 0.7
    limits = BadPixelLimits(hot=0.3, cold=0.9)
    out = find_bad_pixels(planes(dark, 1e-3), planes(flat, 1e-3), limits=limits)
    assert out[3, 3] == Flag.HOT | Flag.DO_NOT_USE
    assert out[4, 4] == Flag.COLD | Flag.LOW_QE


def test_a_flat_of_another_shape_is_refused():
    with pytest.raises(
        ReferenceFileError, match=r"flat: SCI: got shape \(3, 3\), expected the frame's \(4, 4\)"
    ):
        find_bad_pixels(planes(np.zeros((4, 4)), 1.0), planes(np.zeros((3, 3)), 1.0))


# --- darks ---------------------------------------------------------------------------------------


def test_the_glow_of_a_dark_is_what_was_put_in():
    rng = np.random.default_rng(21)
    shape, sigma, count = (256, 256), 0.2, 6
    y, x = np.indices(shape)
    dq = bordered(shape)
    glow = 1.5 * np.exp(-(y + x) / 48.0)
    truth = np.where(dq > 0, 0.0, 0.03 + glow)
    truth[100, 100] = 20.0
    frames = [
        frame(truth + rng.normal(0, sigma, shape) * (dq == 0), sigma, dq) for _ in range(count)
    ]
    dark = make_dark(frames)
    parts = split_glow(dark.data, dark.dq)
    inner = dq == 0
    # median of 64 pixels, then at least one block's worth of averaging: 5 sigma of its noise, and
    # as much for what two local fits leave of the bend, (8 / 48)^4 of the glow
    noise = math.sqrt(math.pi / 2) * sigma / math.sqrt(count) / 8
    expected = glow - np.median(glow[inner])
    error = np.abs(parts.glow - expected)[inner]
    assert np.max(error) < 10 * noise
    assert np.median(error) < noise
    corner = np.s_[4:28, 4:28]
    assert parts.glow[corner].sum() / expected[corner].sum() == pytest.approx(1.0, abs=0.03)
    np.testing.assert_allclose(parts.glow + parts.pixel, dark.data, atol=2e-6)
    assert np.all(parts.glow[~inner] == 0)
    assert parts.pixel[100, 100] == pytest.approx(20.0 - expected[100, 100], abs=5 * sigma / 2)


def test_a_dark_without_a_good_pixel_has_no_glow():
    parts = split_glow(np.full((9, 9), np.nan), np.full((9, 9), Flag.DO_NOT_USE, np.uint32))
    assert np.all(parts.glow == 0)


# --- flats ---------------------------------------------------------------------------------------


def test_lamp_off_takes_off_what_is_not_the_lamps_and_keeps_hot_pixels():
    rng = np.random.default_rng(31)
    shape, level, time = (96, 96), 800.0, 15.0
    dq = bordered(shape)
    truth = 1.0 + rng.normal(0, 0.02, shape)
    truth /= np.median(truth[dq == 0])
    unlit = np.full(shape, 5.0)
    unlit[40, 40:45] = 150.0  # hot
    unlit[:48] += 30.0  # thermal light on one half

    def exposed(rate):
        electrons = rng.poisson(rate * time) / time
        return frame(
            np.where(dq > 0, 0, electrons + rng.normal(0, 0.5, shape)), 0.5, dq, rate / time
        )

    on = [exposed(level * truth + unlit) for _ in range(8)]
    off = lamp_off([exposed(unlit) for _ in range(4)])
    flat = make_flat(on, off)
    inner = dq == 0
    assert not np.any(flat.dq[inner])
    pull = ((flat.data - truth)[inner]) / flat.err[inner]
    assert abs(pull.mean()) < 4 / 88 + 0.05
    assert abs(pull.std() - 1) < 4 / math.sqrt(2) / 88
    assert (
        abs((flat.data / truth)[4:48, 4:-4].mean() - (flat.data / truth)[48:-4, 4:-4].mean()) < 1e-3
    )


def test_the_parts_of_a_flat_are_what_was_put_in_and_multiply_to_it():
    rng = np.random.default_rng(32)
    shape = (256, 192)
    y, x = np.indices(shape)
    dq = bordered(shape)
    illumination = 1.0 + 0.1 * np.sin(x / 60.0) * np.cos(y / 80.0) + 0.0005 * x
    pixel = 1.0 + rng.normal(0, 0.015, shape)
    flat = np.where(dq > 0, 1.0, illumination * pixel)
    flat[100, 100] = 0.01
    dq[100, 100] |= np.uint32(Flag.DEAD | Flag.DO_NOT_USE)
    parts = split_flat(flat, dq)
    inner = dq == 0
    np.testing.assert_allclose(parts.pixel * parts.illumination, flat, rtol=3e-7)
    noise = math.sqrt(math.pi / 2) * 0.015 / 16
    assert np.abs(parts.illumination / illumination - 1)[inner].max() < 5 * noise
    assert np.abs(parts.pixel / pixel - 1)[inner].max() < 5 * noise
    assert np.all(parts.illumination[dq == BORDER] == 1)


def test_a_flat_without_a_good_pixel_is_all_pixel():
    parts = split_flat(np.ones((5, 5)), np.full((5, 5), Flag.DEAD | Flag.DO_NOT_USE, np.uint32))
    assert np.all(parts.illumination == 1)
    assert np.all(parts.pixel == 1)


# --- surfaces ------------------------------------------------------------------------------------


@given(
    st.floats(-5, 5),
    st.floats(-0.1, 0.1),
    st.floats(-0.1, 0.1),
    st.integers(1, 16),
    st.integers(17, 70),
)
@settings(max_examples=25, derandomize=True, deadline=None)
def test_a_plane_comes_back_wherever_there_are_pixels(level, slope_y, slope_x, hole, size):
    y, x = np.indices((size, 64))
    plane = level + slope_y * y + slope_x * x
    good = np.ones(plane.shape, bool)
    good[:, 20 : 20 + hole] = False
    good[:3] = False
    out = smooth_surface(plane, good)
    reach = max(abs(slope_y), abs(slope_x)) * 64
    # the ridge of 0.01 pixel^2 against a variance of places of at least 4 pixel^2, applied twice
    near = good | (np.abs(x - 20) < 8)
    assert np.abs(out - plane)[near].max() <= 0.02 * reach + 1e-9


def test_the_error_of_a_surface_is_its_scatter():
    rng = np.random.default_rng(61)
    shape, sigma, count = (81, 108), 0.7, 150
    good = rng.random(shape) > 0.1
    good[:4], good[:, :4] = False, False
    made = [smooth_surface(rng.normal(0, sigma, shape), good, block=9) for _ in range(count)]
    ratio = np.std(made, axis=0) / surface_error(np.full(shape, sigma), good, block=9)
    nodes = ratio[4::9, 4::9]  # between them the error is given as if it did not average
    assert abs(np.median(nodes) - 1) < 0.05  # 1 / sqrt(2 * 150) = 0.058 each, of 108
    assert nodes.min() > 0.7
    assert nodes.max() < 1.4


def test_no_good_pixel_makes_no_surface():
    assert np.isnan(surface_error(np.ones((6, 6)), np.zeros((6, 6), bool))).all()
    assert np.isnan(smooth_surface(np.ones((6, 6)), np.zeros((6, 6), bool))).all()


# --- zero points ---------------------------------------------------------------------------------


def test_the_zero_point_is_right_within_its_error():
    rng = np.random.default_rng(41)
    pulls = []
    for _ in range(400):
        mag = rng.uniform(17, 19, 12)
        true = 10 ** (0.4 * (31.2 - mag))
        err = 0.01 * true
        known = 0.005
        found = zero_point(
            true + rng.normal(0, err),
            err,
            mag + rng.normal(0, known, 12),
            np.full(12, np.nan),
            np.full(12, known),
        )
        pulls.append((found.ab - 31.2) / found.err)
        assert math.isnan(found.vega)
    assert abs(np.mean(pulls)) < 4 / 20
    # the error is raised where the scatter is large by chance, never lowered
    assert 0.8 < np.std(pulls) < 1 + 4 / math.sqrt(800)


def test_a_variable_star_is_left_out_and_a_scatter_raises_the_error():
    mag = np.full(9, 18.0)
    flux = np.full(9, 10 ** (0.4 * 13.0))
    flux[4] *= 2.0
    found = zero_point(flux, 0.01 * flux, mag, mag - 0.9, np.zeros(9))
    assert list(np.nonzero(~found.used)[0]) == [4]
    assert found.ab == pytest.approx(31.0, abs=1e-9)
    assert found.vega == pytest.approx(30.1, abs=1e-9)
    assert found.err == pytest.approx(0.01 * 2.5 / math.log(10) / math.sqrt(8), rel=1e-6)
    two = zero_point([1000.0, 1100.0], [1.0, 1.0], [20.0, 20.0], [20.0, 20.0], [0.0, 0.0])
    half = 1.25 * math.log10(1.1)
    assert two.err == pytest.approx(half, rel=0.1)  # two values apart by 2 half: their mean's error


@given(st.permutations(range(7)), st.floats(0.1, 10.0))
@settings(max_examples=20, derandomize=True, deadline=None)
def test_zero_points_do_not_depend_on_order_and_follow_the_flux(order, factor):
    rng = np.random.default_rng(42)
    mag = rng.uniform(17, 19, 7)
    flux = 10 ** (0.4 * (31.0 - mag)) * (1 + rng.normal(0, 0.01, 7))
    args = (flux, 0.01 * flux, mag, mag, np.full(7, 0.01))
    one = zero_point(*args)
    two = zero_point(
        *(np.asarray(a)[list(order)] * (factor if k < 2 else 1) for k, a in enumerate(args))
    )
    assert two.ab == pytest.approx(one.ab + 2.5 * math.log10(factor), abs=1e-9)
    assert two.err == pytest.approx(one.err, rel=1e-9)


def test_no_light_and_ragged_columns_are_refused():
    with pytest.raises(
        InputError, match="standards: flux: got none above 0, expected at least one"
    ):
        zero_point([0.0, -1.0], [1.0, 1.0], [18.0, 18.0], [17.0, 17.0], [0.0, 0.0])
    with pytest.raises(InputError, match=r"standards: columns: got \(1,\), .* expected one length"):
        zero_point([1.0], [1.0, 1.0], [18.0], [17.0], [0.0])


# --- supersky ------------------------------------------------------------------------------------


def test_the_supersky_is_the_pattern_that_was_put_in():
    rng = np.random.default_rng(51)
    shape = (192, 192)
    y, x = np.indices(shape)
    dq = bordered(shape)
    dq[60, 60] = Flag.DEAD | Flag.DO_NOT_USE
    pattern = 1.0 + 0.02 * np.cos(x / 70.0) + 0.0002 * y
    pattern /= np.median(pattern[dq == 0])
    skies, levels = [], []
    for k in range(6):
        level = 15.0 + k  # the sky changes
        star = np.hypot(y - 50 - 15 * k, x - 90) < 8
        rate = np.where(dq == BORDER, 0, level * pattern + rng.normal(0, 0.8, shape) + 300 * star)
        sky, found = empty_sky(frame(rate, 0.8, dq), star)
        assert np.isnan(sky.rate[star]).all()
        assert found == pytest.approx(level, rel=0.01)
        skies.append(sky)
        levels.append(found)
    sky = make_supersky(skies, levels)
    inner = dq != BORDER
    error = (sky.data / pattern - 1)[inner]
    assert np.abs(error).max() < 0.005
    pull = (
        error / sky.err[inner]
    )  # smooth: about 192^2 / (16^2 * 4 pi * 2^2 / 1.8) of them are independent
    assert 0.5 < np.std(pull) < 1.5
    assert np.median(sky.data[dq == 0]) == pytest.approx(1.0, abs=2e-6)
    np.testing.assert_array_equal(sky.dq, dq)
    assert np.all(sky.data[~inner] == 1)
    assert np.all(sky.err[~inner] == 0)
    again = make_supersky(skies, levels, memory_limit=1)
    for whole, by_rows in zip(sky, again, strict=True):
        np.testing.assert_array_equal(whole, by_rows)


def test_an_error_that_all_skies_share_does_not_average_down():
    """The noise of a dark, which is the same in all frames."""
    rng = np.random.default_rng(52)
    shape, level, own, shared = (256, 256), 15.0, 0.3, 0.6
    dark = rng.normal(0, shared, shape)
    skies = [frame(level + dark + rng.normal(0, own, shape), own) for _ in range(8)]
    common = np.full(shape, shared / level)
    with_it = make_supersky(skies, [level] * 8, common=common)
    without = make_supersky(skies, [level] * 8)
    scatter = np.sqrt(np.mean((with_it.data - 1.0) ** 2))
    assert 0.5 < scatter / np.median(with_it.err) < 1.5
    assert scatter / np.median(without.err) > 3.0


def test_two_frames_and_frames_without_sky_make_no_supersky():
    flat = frame(np.full((32, 32), 5.0))
    with pytest.raises(InputError, match="supersky: frames: got 2, expected at least 3"):
        make_supersky([flat, flat], [5.0, 5.0])
    nothing = np.zeros((32, 32), bool)
    with pytest.raises(InputError, match=r"supersky: SCI: got a sky of .* expected light"):
        empty_sky(frame(np.full((32, 32), -1.0)), nothing)
