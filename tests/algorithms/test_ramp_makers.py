"""Makers of detector constants: simulated truth, slow oracles, properties, edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import iris_readout
from liger_iris_pipeline.algorithms.ramp.averages import clipped_mean, mean_ramp
from liger_iris_pipeline.algorithms.ramp.gain import PhotonTransfer
from liger_iris_pipeline.algorithms.ramp.ipc import fit_ipc_kernel
from liger_iris_pipeline.algorithms.ramp.linearity import LinearityFit
from liger_iris_pipeline.algorithms.ramp.persistence import (
    AfterGlow,
    Traps,
    capture_map,
    fit_persistence,
)
from liger_iris_pipeline.algorithms.ramp.read_noise import ReadNoiseFit
from liger_iris_pipeline.algorithms.ramp.reference_correct import correct_read, reference_levels
from liger_iris_pipeline.algorithms.ramp.saturation import saturation_level
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError

GAIN, NOISE = 2.5, 9.0
TIMES = 3.0 * np.arange(1, 11)


def charges(rng, rate, times, nramp, shape):
    """Charge (nramp, nread, ny, nx) [e-] of Poisson light, with the noise of the reset."""
    steps = np.diff(times, prepend=0.0)[None, :, None, None]
    light = rng.poisson(rate * steps, (nramp, len(times), *shape)).cumsum(axis=1)
    return light + 50.0 * rng.standard_normal((nramp, 1, *shape))


def seen(rng, charge, pedestal=0.0, curve=(0.0, 0.0)):
    """Counts [DN] of charge: bent by the inverse of x + a x^2 + b x^3, with read noise."""
    y = charge / GAIN
    x = y.copy()
    for _ in range(30):
        x = y - curve[0] * x**2 - curve[1] * x**3
    return x + pedestal + NOISE / GAIN * rng.standard_normal(charge.shape)


# --- reference levels -------------------------------------------------------------------------------------------------


def slow_levels(read, border, noutputs):
    """Mean within 4 robust sigmas of the median, column by column."""
    ny, nx = read.shape
    levels = np.zeros(nx)
    for x in range(nx):
        width = nx // noutputs
        mine = [
            float(read[y, c])
            for y in (*range(border), *range(ny - border, ny))
            for c in range(nx)
            if c // width == x // width and c % 2 == x % 2 and 0 < read[y, c] < 65535
        ]
        middle = np.median(mine)
        away = sorted(abs(v - middle) for v in mine)
        width = max(4 * 1.4826 * away[(len(away) - 1) // 2], 2.0)
        near = [v for v in mine if abs(v - middle) <= width]
        levels[x] = sum(near) / len(near)
    return levels


@settings(max_examples=20)
@given(st.integers(0, 2**32 - 1))
def test_levels_are_those_of_the_slow_version(seed):
    rng = np.random.default_rng(seed)
    read = np.clip(rng.normal(1500, 30, (12, 16)), 1, 65534).astype(np.uint16)
    read[rng.integers(0, 12), rng.integers(0, 16)] = rng.choice([0, 3000, 65535])
    levels = reference_levels(read, border=3, noutputs=4)
    np.testing.assert_allclose(levels, slow_levels(read, 3, 4), rtol=1e-6)


def test_levels_are_those_of_the_library():
    rng = np.random.default_rng(1)
    nread, shape = 6, (24, 64)
    reads = rng.normal(2000, 4, (nread, *shape))
    column = np.arange(64)
    reads += 300.0 * rng.standard_normal((nread, 4))[:, column // 16][:, None]
    reads += 40.0 * rng.standard_normal((nread, 1, 1)) * (column % 2)
    reads = np.rint(reads).astype(np.uint16)
    reads[2, 1, 5] = 9000
    options = {"estimator": "ols", "gain": 1.0, "read_noise": 4.0, "jump_sigma": None}
    times = 3.0 * np.arange(1.0, nread + 1)
    whole = iris_readout.fit_ramp(
        reads, times, ref_pixels=4, noutputs=4, side_rows=0, **options
    ).rate
    corrected = [correct_read(read, border=4, noutputs=4) for read in reads]
    slope = np.tensordot((times - times.mean()) / np.sum((times - times.mean()) ** 2), corrected, 1)
    inside = np.s_[4:-4, 4:-4]
    np.testing.assert_allclose(whole[inside], slope[inside], atol=2e-4)


def test_a_parity_without_pixels_takes_its_output_and_then_the_detector():
    read = np.full((8, 8), 100, np.uint16)
    read[:, 4:] = 200
    read[:, 1:4:2] = 0
    levels = reference_levels(read, border=2, noutputs=2)
    np.testing.assert_array_equal(levels, [100] * 4 + [200] * 4)
    read[:, :4] = 65535
    assert set(reference_levels(read, border=2, noutputs=2)) == {200.0}
    assert not reference_levels(np.zeros((8, 8), np.uint16), border=2, noutputs=2).any()
    assert not reference_levels(read, border=0, noutputs=2).any()
    with pytest.raises(InputError, match=r"shape: got \(3, 8\), expected 4 rows"):
        reference_levels(read[:3], border=2, noutputs=2)


def test_border_rows_alone_give_the_levels():
    read = np.random.default_rng(3).integers(900, 1100, (20, 8)).astype(np.uint16)
    rows = np.concatenate([read[:4], read[-4:]])
    expected = reference_levels(read, border=4, noutputs=2)
    np.testing.assert_array_equal(reference_levels(rows, border=4, noutputs=2), expected)


# --- averages ---------------------------------------------------------------------------------------------------------


def test_a_hit_does_not_move_a_mean_ramp():
    rng = np.random.default_rng(4)
    ramps = seen(rng, charges(rng, 100.0, TIMES, 9, (16, 16)))
    clean = mean_ramp(ramps)
    ramps[3, 5:, 8, 8] += 5000.0
    np.testing.assert_allclose(mean_ramp(ramps)[:, 8, 8], clean[:, 8, 8], atol=6 * 20 / GAIN)
    two = ramps[:2, 0]
    np.testing.assert_allclose(clipped_mean(two), (two[0] + two[1]) / 2)


# --- saturation -------------------------------------------------------------------------------------------------------


def test_saturation_lies_five_sigmas_below_the_plateau():
    rng = np.random.default_rng(5)
    full = 30_000.0 * (1 + 0.03 * rng.standard_normal((32, 32)))
    raw = np.minimum(4000.0 * np.arange(1, 11)[:, None, None], full)[None]
    raw = raw + 4.0 * rng.standard_normal((6, 10, 32, 32))
    raw[2, 3:, 4, 4] += 900.0
    found = saturation_level(raw, noutputs=2)
    assert not found.dq.any()
    low = (full - found.level) / 4.0
    assert low.min() > 3.0
    assert np.median(low) == pytest.approx(5.0, rel=0.1)


def test_pixels_that_do_not_fill_take_the_lowest_level_of_their_output():
    raw = np.minimum(4000.0 * np.arange(1, 15)[:, None, None], np.full((4, 8), 30_000.0))
    raw[:, 0, 0] = 400.0 * np.arange(14)
    raw[:, :, 1] = np.minimum(raw[:, :, 1], 29_000.0)
    raw[:, :, 4:] = 7.0
    found = saturation_level(raw[None])
    assert found.dq[0, 0] == Flag.NO_SAT_CHECK
    assert found.level[0, 0] == 29_000.0
    noise = raw + np.random.default_rng(1).normal(0.0, 3.0, raw.shape)
    assert saturation_level(noise[None]).dq[:, 4:].all()  # what sees no light has no plateau
    blind = np.ones((4, 8), bool)
    blind[2, 2] = False
    assert saturation_level(raw[None], sensitive=blind).dq[2, 2] == Flag.NO_SAT_CHECK
    two = saturation_level(raw[None], noutputs=2)
    assert (two.dq[:, 4:] == Flag.NO_SAT_CHECK).all()
    assert (two.level[:, 4:] == 29_000.0).all()
    with pytest.raises(InputError, match="reads: got 4, expected at least 5"):
        saturation_level(raw[None, :4])


# --- linearity --------------------------------------------------------------------------------------------------------

CURVE = (1.3e-6, 1.4e-11)


@pytest.mark.parametrize("darks", [True, False])
def test_linearity_and_pedestal_are_recovered(darks):
    rng = np.random.default_rng(6)
    shape, nramp, well = (24, 32), 12, 36_000.0
    strength = 1 + 0.1 * rng.standard_normal(shape)
    pedestal = 2000.0 + 100.0 * rng.standard_normal(shape)
    curve = (strength * CURVE[0], strength * CURVE[1])
    ramps = seen(rng, charges(rng, 4000.0, TIMES, nramp, shape), pedestal, curve)
    top = (pedestal + well).astype(np.float32)
    fit = LinearityFit(top, 2)
    before = ramps.copy()
    fit.add(ramps, ramps < top, TIMES)
    if darks:
        fit.add_dark(seen(rng, charges(rng, 0.05, TIMES, 8, shape), pedestal), TIMES)
    found = fit.result()
    np.testing.assert_array_equal(ramps, before)
    assert not found.dq.any()
    away = found.pedestal - pedestal
    kicks = 50.0 / GAIN / np.sqrt(8) if darks else np.hypot(50.0, 2 * 110.0) / GAIN / np.sqrt(nramp)
    assert away.std() < 1.15 * kicks
    assert abs(np.median(away)) < 5 * kicks / np.sqrt(away.size)
    for part in (0.2, 0.8):
        y = np.full(shape, part * well)
        x = seen(np.random.default_rng(0), y * GAIN, pedestal, curve) - found.pedestal
        x0 = pedestal - found.pedestal
        c2, c3 = found.coeffs[2], found.coeffs[3]
        ratio = (x + c2 * x**2 + c3 * x**3 - x0 - c2 * x0**2 - c3 * x0**3) / y - 1.0
        assert abs(np.median(ratio)) < 1.5e-3
        assert ratio.std() < 1.3 * np.hypot(np.median(found.error), NOISE / GAIN / y[0, 0])
    np.testing.assert_allclose(found.limit, 1.01 * (top - found.pedestal), rtol=1e-5)


def test_a_pixel_without_steps_takes_the_curve_of_its_output():
    rng = np.random.default_rng(7)
    shape = (16, 16)
    ramps = seen(rng, charges(rng, 3000.0, TIMES, 6, shape), 0.0, CURVE)
    usable = np.ones(ramps.shape, bool)
    usable[:, 3:, 5, 5] = False
    fit = LinearityFit(np.full(shape, 40_000.0, np.float32))
    fit.add(ramps, usable, TIMES)
    found = fit.result()
    assert found.dq[5, 5] == Flag.NO_LIN_CORR
    assert found.coeffs[2, 5, 5] == pytest.approx(np.median(found.coeffs[2]), rel=0.2)
    assert (found.dq != 0).sum() == 1
    with pytest.raises(InputError, match="ramps: got none, expected flat ramps"):
        LinearityFit(np.ones(shape, np.float32)).result()
    with pytest.raises(InputError, match="reads: got 1, expected at least two a ramp"):
        fit.add(ramps[:, :1], usable[:, :1], TIMES[:1])


# --- gain -------------------------------------------------------------------------------------------------------------


def transfer(rng, ramps, noutputs, darks=True):
    found = PhotonTransfer(noutputs)
    for first, second in zip(ramps[::2], ramps[1::2], strict=True):
        found.add_pair(first, second, np.ones(first.shape, bool))
    if darks:
        shape = ramps.shape[2:]
        found.add_dark(seen(rng, charges(rng, 0.02, TIMES, 4, shape)), np.ones(shape, bool))
    return found.result()


def coupled(charge, a):
    around = sum(np.roll(charge, shift, axis) for shift in (-1, 1) for axis in (-2, -1))
    return charge + a * (around - 4 * charge)


@pytest.mark.parametrize(("a", "darks"), [(0.0, True), (0.0, False), (0.015, True)])
def test_gain_of_outputs_with_and_without_coupling(a, darks):
    rng = np.random.default_rng(8)
    charge = charges(rng, 3000.0, TIMES[:5], 8, (64, 128))
    ramps = seen(rng, coupled(charge, a))
    ramps[..., 64:] *= GAIN / 2.0
    found = transfer(rng, ramps, 2, darks)
    pull = (found.gain - [GAIN, 2.0]) / found.error
    assert np.abs(pull).max() < 3.5
    assert (found.error / found.gain).max() < 0.02
    expected = 1.0 / np.sum(np.array([1 - 4 * a, a, a, a, a]) ** 2)
    assert found.factor == pytest.approx(expected, abs=0.03)
    np.testing.assert_array_equal(found.covariance, found.covariance[::-1, ::-1])


def test_gain_does_not_follow_hits_flat_or_drifts():
    rng = np.random.default_rng(9)
    flat = 1 + 0.02 * rng.standard_normal((96, 64))
    ramps = seen(rng, charges(rng, 3000.0 * flat, TIMES[:5], 8, (96, 64)))
    ramps += 30.0 * rng.standard_normal((8, 5, 1, 1)) * (1 + np.arange(64) % 2)
    hit = rng.random(ramps.shape[2:]) < 0.01
    ramps[0, 2:, hit] += 4000.0
    found = transfer(rng, ramps, 1)
    assert abs(found.gain[0] - GAIN) < 3.5 * found.error[0] + 0.003 * GAIN


def test_a_dead_output_has_no_gain():
    rng = np.random.default_rng(10)
    ramps = seen(rng, charges(rng, 3000.0, TIMES[:4], 4, (64, 64)))
    ramps[..., 32:] = 5.0
    found = PhotonTransfer(2)
    usable = np.ones(ramps.shape[1:], bool)
    usable[..., 32:] = False
    found.add_pair(ramps[0], ramps[1], usable)
    result = found.result()
    assert np.isnan(result.gain[1])
    assert np.isfinite(result.gain[0])
    with pytest.raises(InputError, match="flat pairs: got none that can be used"):
        PhotonTransfer(2).result()


# --- read noise -------------------------------------------------------------------------------------------------------


def test_read_noise_its_error_and_hits():
    rng = np.random.default_rng(11)
    shape = (64, 64)
    true = NOISE * (1 + 0.1 * rng.standard_normal(shape))
    steps = np.diff(TIMES, prepend=0.0)[None, :, None, None]
    dark = rng.poisson(0.05 * steps, (10, 10, *shape)).cumsum(axis=1)
    reads = (dark + true * rng.standard_normal(dark.shape)) / GAIN
    hit = rng.random((10, *shape)) < 0.02
    reads += np.where(hit, 300.0, 0.0)[:, None] * (np.arange(10) >= 4)[None, :, None, None]
    fit = ReadNoiseFit()
    fit.add(reads[:6], TIMES)
    fit.add(reads[6:], TIMES)
    found = fit.result(GAIN)
    pull = (found.noise - true) / found.error
    assert not found.dq.any()
    assert np.mean(found.noise / true) == pytest.approx(1.0, abs=4 * 0.08 / 64)
    assert pull.std() == pytest.approx(1.0, abs=0.08)
    assert np.median(found.freedom) == 80


def test_read_noise_of_a_hot_pixel_and_of_levels():
    rng = np.random.default_rng(12)
    rate = np.full((16, 16), 0.02)
    rate[8, 8] = 500.0
    steps = np.diff(TIMES, prepend=0.0)[None, :, None, None]
    charge = rng.poisson(rate * steps, (12, 10, 16, 16)).cumsum(axis=1)
    reads = charge + NOISE * rng.standard_normal(charge.shape)
    plain, levels = ReadNoiseFit(), ReadNoiseFit()
    plain.add(reads, TIMES)
    levels.add(reads, TIMES, level_pixels=8)
    found = plain.result(1.0)
    assert found.dq[8, 8] == Flag.UNRELIABLE_DARK
    assert (found.dq != 0).sum() == 1
    ratio = levels.result(1.0).noise / found.noise
    assert np.median(ratio) == pytest.approx(np.sqrt(8 / 9), rel=1e-6)
    with pytest.raises(InputError, match="darks: got none"):
        ReadNoiseFit().result(1.0)
    with pytest.raises(InputError, match="reads: got 2, expected at least 3"):
        plain.add(reads[:, :2], TIMES[:2])


# --- coupling and traps -----------------------------------------------------------------------------------------------


def test_kernel_of_isolated_hot_pixels():
    rng = np.random.default_rng(13)
    shape = (128, 128)
    charge = np.zeros(shape)
    charge[6::10, 6::10] = rng.uniform(2000.0, 20_000.0, (13, 13))
    charge[6, 7] = 9000.0  # beside another: neither counts
    image = coupled(charge, 0.012) + 300.0 + 3.0 * rng.standard_normal(shape)
    found = fit_ipc_kernel(image, np.full(shape, 3.0), np.ones(shape, bool))
    expected = np.array([[0, 0.012, 0], [0.012, 0.952, 0.012], [0, 0.012, 0]])
    assert found.count > 100
    assert found.kernel.sum() == pytest.approx(1.0)
    assert np.abs((found.kernel - expected) / found.error).max() < 4.5
    with pytest.raises(InputError, match="hot pixels: got none that stands alone"):
        fit_ipc_kernel(np.zeros(shape), np.ones(shape), np.ones(shape, bool))


def afterglows(rng, traps, charge, noise, efficiency=1.0):
    begins = np.geomspace(5.0, 3600.0, 10)
    return [
        AfterGlow(
            efficiency * traps.rate(charge, begin, begin + 27.0)
            + noise * rng.standard_normal(charge.shape),
            np.full(charge.shape, noise),
            begin,
            begin + 27.0,
        )
        for begin in begins
    ]


def test_traps_and_capture():
    rng = np.random.default_rng(14)
    shape = (64, 64)
    tau = np.array([15.0, 60.0, 250.0, 900.0, 2500.0])  # not those of the fit
    traps = Traps(tau, np.full(5, 0.002), np.zeros(5))
    charge = rng.uniform(6e4, 8e4, shape)
    efficiency = 1 + 0.3 * rng.standard_normal(shape).clip(-2, 2)
    exposures = afterglows(rng, traps, charge, 0.1, efficiency)
    good = np.ones(shape, bool)
    found = fit_persistence(exposures, charge, good)
    scale = np.median(efficiency)
    for t in (60.0, 300.0, 1000.0, 3600.0):
        mine, true = (one.rate(1.0, t, t + 30.0) for one in (found, traps))
        assert mine == pytest.approx(scale * true, rel=0.1)
    exposures[0].rate[3, 3] += 1e4
    capture = capture_map(exposures, charge, good, found)
    pull = (capture.efficiency - efficiency / scale) / capture.error
    assert pull.std() == pytest.approx(1.0, abs=0.1)
    assert abs(pull[3, 3]) < 5
    known = capture.dq == 0
    assert known[efficiency > scale].all()
    assert (capture.efficiency[~known] == 1.0).all()
    good[0, 0] = False
    assert capture_map(exposures, charge, good, found).dq[0, 0] == Flag.OTHER_BAD_PIXEL
    with pytest.raises(InputError, match="darks after light: got 4, expected at least 5"):
        fit_persistence(exposures[:4], charge, good)


@given(st.floats(1.0, 5000.0), st.floats(1.0, 1000.0))
def test_release_is_the_integral_of_the_decay(begin, length):
    traps = Traps(np.array([20.0, 400.0]), np.array([0.01, 0.02]), np.zeros(2))
    t = np.linspace(begin, begin + length, 20_001)
    decay = 0.01 / 20.0 * np.exp(-t / 20.0) + 0.02 / 400.0 * np.exp(-t / 400.0)
    expected = np.trapezoid(decay, t) / length * 1e4
    assert traps.rate(1e4, begin, begin + length) == pytest.approx(expected, rel=2e-3, abs=1e-12)
