"""Stacks of frames: the decisions of astropy, the same bits everywhere, and what is refused."""

import warnings

import numpy as np
import pytest
from astropy.stats import sigma_clip
from hypothesis import given, settings
from hypothesis import strategies as st

import iris_readout

SHAPE = (23, 41)  # no multiple of any vector


def frames(seed, n, *, holes=0.05, hits=0.05):
    rng = np.random.default_rng(seed)
    values = rng.normal(50, 2, (n, *SHAPE)).astype(np.float32)
    hit = rng.random(values.shape) < hits
    values[hit] += rng.exponential(80, hit.sum()).astype(np.float32)
    values[rng.random(values.shape) < holes] = np.nan
    dq = np.where(rng.random(values.shape) < holes, 1 | 64, 4).astype(np.uint32)
    return values, dq


def clipped_by_astropy(values, dq, clip, iterations):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # values that are not finite
        return sigma_clip(
            np.ma.array(values, mask=(dq & 1) > 0),
            sigma=clip,
            maxiters=iterations,
            cenfunc="median",
            stdfunc="std",
            axis=0,
        )


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 10, 16, 31, 64])
@pytest.mark.parametrize("clip", [0.7, 1.5, 3.0])
@pytest.mark.parametrize("iterations", [1, 2, 10])
def test_decisions_are_those_of_astropy(n, clip, iterations):
    values, dq = frames(n, n)
    result = iris_readout.stack(
        values, dq=dq, clip=clip, iterations=iterations, planes=("variance", "dq", "nused", "used")
    )
    masked = clipped_by_astropy(values, dq, clip, iterations)
    used = ~np.ma.getmaskarray(masked)
    assert np.array_equal(result.used, used)
    assert np.array_equal(result.nused, used.sum(axis=0))
    some = used.any(axis=0)
    mean = np.where(used, values, 0).sum(axis=0, dtype=np.float64)[some] / used.sum(axis=0)[some]
    # a float holds 24 bits: half a unit in the last place of a value near 50
    np.testing.assert_allclose(result.value[some], mean, rtol=2.0**-24)
    assert np.isnan(result.value[~some]).all()
    of_used = np.bitwise_or.reduce(np.where(used, dq, np.uint32(0)), axis=0)
    of_all = np.bitwise_or.reduce(dq, axis=0) | np.uint32(1)
    assert np.array_equal(result.dq, np.where(some, of_used, of_all))


def test_values_on_the_limit_are_decided_as_astropy_does():
    """Counts repeat, so that many values lie on a limit or all are equal."""
    rng = np.random.default_rng(8)
    values = rng.integers(0, 4, (6, *SHAPE)).astype(np.float32)
    dq = np.zeros(values.shape, np.uint32)
    for clip in (0.5, 1.0, 1.25, 2.0):
        result = iris_readout.stack(values, dq=dq, clip=clip, planes=("used",))
        masked = clipped_by_astropy(values, dq, clip, 5)
        assert np.array_equal(result.used, ~np.ma.getmaskarray(masked)), clip


@pytest.mark.parametrize("rule", ["sigma", "robust"])
@pytest.mark.parametrize("centre", ["mean", "median"])
def test_threads_bands_and_sets_give_the_same_bits(rule, centre):
    values, dq = frames(3, 9)
    variance = np.full(values.shape, 2.0, np.float32)
    options = {"rule": rule, "centre": centre, "clip": 2.5}

    def run(rows, **more):
        return iris_readout.stack(
            values[:, rows], var_read=variance[:, rows], dq=dq[:, rows], **options, **more
        )

    expected = run(slice(None), nthreads=1, isa="baseline")
    parts = [run(slice(start, start + 4)) for start in range(0, SHAPE[0], 4)]
    for name in iris_readout.stacks.STACK_PLANES:
        for other in (run(slice(None), nthreads=3), run(slice(None), isa="auto")):
            np.testing.assert_array_equal(getattr(other, name), getattr(expected, name))
        joined = np.concatenate([getattr(part, name) for part in parts])
        np.testing.assert_array_equal(joined, getattr(expected, name))


def test_variance_from_the_scatter():
    """Pulls of the mean of 16 are Student's t of 15 degrees of freedom: their variance is 15 / 13.

    The variance of the median of 16 is 1.445 times that of the mean, by simulation; its distance
    from the mean, in units of the scatter, depends neither on the mean nor on the scatter (Basu
    1955), so that the pulls have (15 / 13 + 0.445) over the pi / 2 that is assumed.
    """
    rng = np.random.default_rng(11)
    values = rng.normal(3.0, 2.0, (16, 200, 200)).astype(np.float32)
    student = 15 / 13
    for centre, square in (("mean", student), ("median", (student + 0.445) / (np.pi / 2))):
        result = iris_readout.stack(values, clip=np.inf, centre=centre)
        pull = (result.value - 3.0) / np.sqrt(result.variance)
        # 40000 pulls: their width is known to 0.4 %
        assert abs(pull.std() / np.sqrt(square) - 1) < 0.015, centre
        assert abs(pull.mean()) < 4 / 200


def test_byte_order_steps_and_types_do_not_matter():
    values, dq = frames(4, 5)
    expected = iris_readout.stack(values, dq=dq)
    for other in (
        values.astype(">f4"),
        values.astype(np.float64),
        np.repeat(values, 2, axis=2)[:, :, ::2],
        list(values),
    ):
        result = iris_readout.stack(other, dq=(dq & 1) > 0)
        np.testing.assert_array_equal(result.value, expected.value)
    assert np.isnan(iris_readout.stack(values[:1]).variance).all()


@settings(max_examples=30, deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    order=st.permutations(range(6)),
    shift=st.integers(-40, 40),
    power=st.integers(-8, 8),
)
def test_order_shift_and_scale(seed, order, shift, power):
    """Powers of two, and shifts of small integers, are exact in float32: so is the result."""
    rng = np.random.default_rng(seed)
    values = rng.integers(0, 1000, (6, 5, 7)).astype(np.float32)
    before = values.copy()
    a = iris_readout.stack(values, clip=1.5, planes=("nused", "variance", "used"))
    b = iris_readout.stack(values[list(order)], clip=1.5, planes=("nused", "variance", "used"))
    np.testing.assert_array_equal(a.value, b.value)
    np.testing.assert_array_equal(a.used[list(order)], b.used)
    scale = 2.0**power
    c = iris_readout.stack(
        values * np.float32(scale), clip=1.5, scales=[scale] * 6, planes=("nused", "variance")
    )
    np.testing.assert_array_equal(a.value, c.value)
    np.testing.assert_array_equal(a.variance, c.variance)
    d = iris_readout.stack(values + np.float32(shift), clip=1.5, offsets=[shift] * 6, planes=())
    np.testing.assert_array_equal(a.value, d.value)
    assert np.array_equal(values, before)


def test_planes_are_those_asked_for_and_may_be_given():
    values, _ = frames(5, 4)
    out = iris_readout.StackResult(np.empty(SHAPE, np.float32))
    result = iris_readout.stack(values, planes=(), out=out)
    assert result.value is out.value
    assert result.variance is None
    assert result.used is None


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"clip": 0}, "clip: got 0, expected a number above 0"),
        ({"rule": "huber"}, "rule: got 'huber', expected one of sigma, robust"),
        ({"centre": "mode"}, "centre: got 'mode', expected one of mean, median"),
        ({"isa": "neon"}, "isa: got 'neon'"),
        ({"iterations": -1}, "iterations: got -1"),
        ({"scales": [1, 1]}, "scales: got 2 numbers, expected 3"),
        ({"scales": [1, 0, 1]}, "frame 1: scale: got 0, expected a finite number, not 0"),
        ({"offsets": [0, 0, np.nan]}, "frame 2: offset: got nan"),
        ({"excess": [1.0]}, r"excess: got shape \(1,\), expected \(4,\)"),
        ({"dq": np.zeros((2, 2, 2), np.uint32)}, "dq: got 2 frames, expected 3 as in values"),
        ({"var_read": np.zeros((3, 2, 3))}, r"var_read\[0\]: got shape \(2, 3\)"),
        ({"planes": ("mean",)}, "planes: got 'mean', expected some of value, variance"),
    ],
)
def test_what_cannot_be_used_is_refused(options, match):
    with pytest.raises(iris_readout.InvalidValueError, match=match):
        iris_readout.stack(np.ones((3, 2, 2), np.float32), **options)


def test_no_frames_wrong_types_and_unknown_options_are_refused():
    with pytest.raises(iris_readout.InvalidValueError, match="values: got no frames"):
        iris_readout.stack([])
    with pytest.raises(iris_readout.InvalidTypeError, match="stack: got option sigma"):
        iris_readout.stack(np.ones((3, 2, 2)), sigma=3)
    with pytest.raises(iris_readout.InvalidTypeError, match=r"dq\[0\]: got dtype float64"):
        iris_readout.stack(np.ones((3, 2, 2)), dq=np.ones((3, 2, 2)))
    out = iris_readout.StackResult(np.empty((2, 2)))
    with pytest.raises(iris_readout.InvalidTypeError, match=r"out\.value: got float64"):
        iris_readout.stack(np.ones((3, 2, 2)), out=out)
