"""Stacks, darks and flats against simulated truth and a plain loop."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.algorithms.frame import (
    combine_bands,
    combine_stack,
    make_dark,
    make_flat,
)
from liger_iris_pipeline.algorithms.frame.combine import _middle
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError
from liger_iris_pipeline.kinds import Frame
from oracles.frame import combine_pixel

BORDER = Flag.REFERENCE_PIXEL | Flag.NON_SCIENCE | Flag.DO_NOT_USE


def stack(rng, n=5, shape=(6, 7)):
    value = rng.normal(5, 1, (n, *shape)).astype(np.float32)
    value[rng.random(value.shape) < 0.1] += 60
    value[rng.random(value.shape) < 0.05] = np.nan
    read = rng.uniform(0.3, 0.6, value.shape).astype(np.float32)
    photon = rng.uniform(0.3, 0.6, value.shape).astype(np.float32)
    dq = rng.choice([0, 0, 0, 1, 4, 5], value.shape).astype(np.uint32)
    return value, read, photon, dq


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 12])
@pytest.mark.parametrize("tile_rows", [2, 64])
def test_combination_equals_a_plain_loop(n, tile_rows):
    value, read, photon, dq = stack(np.random.default_rng(n), n)
    out = combine_stack(value, read, photon, dq, tile_rows=tile_rows)
    for y, x in np.ndindex(value.shape[1:]):
        columns = [p[:, y, x].tolist() for p in (value, read, photon, dq)]
        mean, variance, bits, used = combine_pixel(*columns)
        assert out.nused[y, x] == used
        assert out.dq[y, x] == bits
        np.testing.assert_allclose(out.mean[y, x], mean, rtol=2e-6)
        # the error may only be raised, where the scatter says so
        if used:
            assert out.err[y, x] >= np.sqrt(variance) * (1 - 1e-5)
        else:
            assert np.isnan(out.err[y, x])


@pytest.mark.parametrize("n", [3, 5, 10])
def test_pull_of_the_mean_with_hits(n):
    rng = np.random.default_rng(n)
    shape = (n, 120, 120)
    value = rng.normal(2.0, 0.5, shape)
    hit = np.zeros(shape, bool)
    hit[0] = rng.random(shape[1:]) < 0.02
    value[hit] += rng.uniform(10, 1000, hit.sum())
    var = np.full(shape, 0.125)
    out = combine_stack(value, var, var, np.zeros(shape, np.uint32))
    pull = (out.mean - 2.0) / out.err
    assert abs(pull.mean()) < 3 / 120
    assert abs(pull.std() - 1) < 0.02
    assert np.all(out.nused[hit[0]] < n)
    assert np.mean(out.nused[~hit[0]] < n) < 0.02


def test_excess_scatter_raises_the_error():
    rng = np.random.default_rng(0)
    value = rng.normal(0, 5.0, (20, 40, 40))
    var = np.full(value.shape, 0.5)
    out = combine_stack(value, var, var, np.zeros(value.shape, np.uint32))
    pull = out.mean / out.err
    assert abs(pull.std() - 1) < 0.15


def test_weights_do_not_hold_the_photon_noise():
    """Weights from each value's own photon variance make the mean of faint light too low."""
    rng = np.random.default_rng(3)
    electrons = rng.poisson(20.0, (6, 100, 100))
    var_read = np.full(electrons.shape, 4.0)
    value = electrons + rng.normal(0, 2, electrons.shape)
    out = combine_stack(value, var_read, np.maximum(value, 0), np.zeros(value.shape, np.uint32))
    sigma = np.sqrt(24 / 6 / 1e4)
    assert abs(out.mean.mean() - 20.0) < 4 * sigma


def test_without_read_noise_the_mean_is_plain():
    value = np.arange(4.0).reshape(4, 1, 1)
    zero = np.zeros_like(value)
    out = combine_stack(value, zero, np.full_like(value, 9.0), np.zeros((4, 1, 1), np.uint32))
    assert out.mean[0, 0] == 1.5
    assert out.err[0, 0] == 1.5


def test_nothing_to_use_keeps_every_reason():
    dq = np.array([1 | 1024, 1 | 4], np.uint32).reshape(2, 1, 1)
    one = np.ones((2, 1, 1))
    out = combine_stack(one, one, one, dq)
    assert out.dq[0, 0] == 1 | 1024 | 4
    assert np.isnan(out.mean[0, 0])


@pytest.mark.parametrize("shape", [(0, 3, 3), (3, 3)])
def test_a_stack_that_is_none_is_refused(shape):
    with pytest.raises(InputError, match=r"stack: planes: got .* expected equal shapes"):
        combine_stack(*[np.ones(shape)] * 3, np.zeros(shape, np.uint32))


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 2**31), order=st.permutations(range(5)), factor=st.floats(0.01, 100))
def test_order_and_scale_do_not_matter(seed, order, factor):
    value, read, photon, dq = stack(np.random.default_rng(seed))
    before = [p.copy() for p in (value, read, photon, dq)]
    a = combine_stack(value, read, photon, dq)
    pick = list(order)
    b = combine_stack(
        np.float64(factor) * value[pick],
        np.float64(factor) ** 2 * read[pick],
        np.float64(factor) ** 2 * photon[pick],
        dq[pick],
    )
    np.testing.assert_allclose(b.mean, factor * a.mean, rtol=1e-5, atol=1e-6 * factor)
    np.testing.assert_allclose(b.err, factor * a.err, rtol=1e-5)
    assert np.array_equal(a.dq, b.dq)
    for p, q in zip((value, read, photon, dq), before, strict=True):
        assert np.array_equal(p, q, equal_nan=True)


def bordered(shape, width=4):
    dq = np.full(shape, int(BORDER), np.uint32)
    dq[width:-width, width:-width] = 0
    return dq


def test_dark_finds_hot_and_warm_pixels_and_the_rate():
    rng = np.random.default_rng(4)
    shape = (80, 80)
    dq = bordered(shape)
    truth = np.full(shape, 0.02)
    truth[20, 20:25] = 5.0
    truth[40, 20:25] = 0.5
    sigma = 0.05
    frames = []
    for _ in range(6):
        rate = np.where(dq > 0, 0, truth + rng.normal(0, sigma, shape)).astype(np.float32)
        var = np.where(dq > 0, 0, sigma**2).astype(np.float32)
        frames.append(Frame(rate, var, 0 * var, dq))
    out = make_dark(frames)
    inner = dq == 0
    assert np.array_equal((out.dq & Flag.HOT) > 0, truth > 1)
    assert np.array_equal(((out.dq & Flag.DO_NOT_USE) > 0) & inner, truth > 1)
    assert np.array_equal((out.dq & Flag.WARM) > 0, (truth > 0.1) & (truth < 1))
    pull = ((out.data - truth) / np.where(inner, out.err, 1))[inner]
    assert abs(pull.mean()) < 3 / 72
    assert abs(pull.std() - 1) < 0.04
    assert np.all(out.data[~inner] == 0)
    assert np.all(out.err[~inner] == 0)
    assert np.all(out.dq[~inner] == BORDER)


def test_flat_is_normalised_and_finds_dead_and_low_pixels():
    rng = np.random.default_rng(5)
    shape = (90, 90)
    dq = bordered(shape)
    y, x = np.indices(shape)
    truth = 1.0 + 0.2 * np.cos(x / 40.0) * np.cos(y / 50.0) + rng.normal(0, 0.03, shape)
    truth[30, 30:35] = 0.005
    truth[50, 30:35] = 0.3
    good = (dq == 0) & (truth > 0.05)
    truth /= np.median(truth[good])
    dark = np.full(shape, 3.0)
    frames = []
    for level in (900.0, 1000.0, 1300.0, 700.0):  # the lamp drifts
        electrons = rng.poisson(level * truth * 50) / 50
        rate = np.where(dq > 0, 0, electrons + dark + rng.normal(0, 0.1, shape))
        var_read = np.where(dq > 0, 0, 0.01).astype(np.float32)
        var_photon = np.where(dq > 0, 0, electrons / 50).astype(np.float32)
        frames.append(Frame(rate.astype(np.float32), var_read, var_photon, dq))
    out = make_flat(frames, (dark, np.zeros(shape), np.zeros(shape, np.uint32)))
    assert abs(np.median(out.data[good]) - 1) < 1e-6
    assert np.array_equal((out.dq & Flag.DEAD) > 0, (dq == 0) & (truth < 0.05))
    low = (dq == 0) & (truth > 0.05) & (truth < 0.4)
    assert np.array_equal((out.dq & Flag.LOW_QE) > 0, low)
    assert np.std((out.data - truth)[good]) < 0.006
    pull = ((out.data - truth) / np.where(dq > 0, 1, out.err))[good]
    assert abs(pull.mean()) < 0.1
    assert abs(pull.std() - 1) < 0.04
    assert np.all(out.data[dq > 0] == 1)
    assert np.all(out.err[dq > 0] == 0)


def test_all_flagged_frames_make_flagged_references():
    shape = (10, 10)
    one = np.ones(shape, np.float32)
    f = Frame(one, one, one, np.full(shape, Flag.DO_NOT_USE | Flag.DEAD, np.uint32))
    out = make_dark([f, f])
    assert np.isnan(out.data).all()
    assert np.all(out.dq == Flag.DO_NOT_USE | Flag.DEAD | Flag.UNRELIABLE_DARK)
    with pytest.raises(InputError, match=r"flat: SCI: got a median of nan, expected light"):
        make_flat([f])


def test_no_frames_are_refused():
    with pytest.raises(InputError, match="stack: frames: got none"):
        make_dark([])


class Counted:
    """Frames that are read by bands, which are counted."""

    def __init__(self, frames):
        self.frames, self.shape, self.largest, self.calls = frames, frames[0].rate.shape, 0, 0

    def __len__(self):
        return len(self.frames)

    def rows(self, index, rows):
        f = self.frames[index]
        self.calls += 1
        self.largest = max(self.largest, f.rate[rows].shape[0])
        return Frame(f.rate[rows], f.var_read[rows], f.var_photon[rows], f.dq[rows])


def frames_of(seed, n=5, shape=(31, 12)):
    value, read, photon, dq = stack(np.random.default_rng(seed), n, shape)
    return [Frame(*planes) for planes in zip(value + 40, read, photon, dq, strict=True)]


@pytest.mark.parametrize("limit", [1, 6 * 12 * 16 * 4, 1 << 30])
def test_bands_give_the_same_bits_whatever_the_memory(limit):
    frames = frames_of(7)
    planes = [[getattr(f, n) for f in frames] for n in ("rate", "var_read", "var_photon", "dq")]
    expected = combine_stack(*planes)
    bands = Counted(frames)
    for got in (combine_bands(bands, memory_limit=limit), combine_bands(frames)):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)
    # (5 frames and the one being read) of 12 pixels, 16 bytes each
    assert bands.largest == min(31, max(1, limit // (6 * 12 * 16)))
    assert bands.calls == 5 * -(-31 // bands.largest)


def test_references_from_bands_are_those_from_memory():
    frames = frames_of(8)
    dark = (np.full((31, 12), 0.25), np.full((31, 12), 0.1), np.zeros((31, 12), np.uint32))
    for make, more in ((make_dark, ()), (make_flat, (None,)), (make_flat, (dark,))):
        expected = make(frames, *more)
        got = make(Counted(frames), *more, memory_limit=5000)
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_array_equal(a, b)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(
    values=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=40),
    cut=st.integers(0, 40),
)
def test_the_median_of_bands_is_exact(values, cut):
    array = np.array(values, np.float32)
    got = _middle(lambda: iter([array[:cut], array[cut:]]))
    if not values:
        assert np.isnan(got)
    else:
        ordered = np.sort(array).astype(np.float64)
        low, high = ordered[(len(values) - 1) // 2], ordered[len(values) // 2]
        assert got == 0.5 * low + 0.5 * high


def test_planes_that_disagree_are_refused():
    one = np.ones((3, 4, 4))
    flags = np.zeros((3, 4, 4), np.uint32)
    for planes in ((one[:2], one, one, flags), (one, one, one, flags[:, :2])):
        with pytest.raises(InputError, match=r"stack: planes: got .* expected equal shapes"):
            combine_stack(*planes)
    with pytest.raises(InputError, match=r"stack: frames: got \(31, 12\), \(4, 4\), expected"):
        combine_bands([*frames_of(1, 1), *frames_of(2, 1, (4, 4))])
