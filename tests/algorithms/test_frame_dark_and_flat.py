"""Dark subtraction and flat division against simulated truth, and their edges."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from liger_iris_pipeline.algorithms.frame import divide_flat, flag_bad_pixels, subtract_dark
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import ReferenceFileError
from liger_iris_pipeline.kinds import Frame

BORDER = Flag.REFERENCE_PIXEL | Flag.NON_SCIENCE | Flag.DO_NOT_USE
SHAPE = (7, 6)


def plane(value):
    return np.full(SHAPE, value, dtype=np.float32)


def flags(value=0):
    return np.full(SHAPE, value, dtype=np.uint32)


def frame(rate=5.0, dq=0):
    return Frame(plane(rate), plane(0.04), plane(0.09), flags(dq))


def copies(f):
    return [p.copy() for p in (f.rate, f.var_read, f.var_photon, f.dq)]


def unchanged(f, before):
    planes = (f.rate, f.var_read, f.var_photon, f.dq)
    return all(np.array_equal(a, b, equal_nan=True) for a, b in zip(planes, before, strict=True))


def test_dark_and_its_error_on_simulated_truth():
    rng = np.random.default_rng(1)
    shape = (120, 120)
    dark = rng.uniform(0, 3, shape)
    sigma, dark_sigma = 0.4, 0.3
    measured_dark = dark + rng.normal(0, dark_sigma, shape)
    rate = 7.0 + dark + rng.normal(0, sigma, shape)
    var = np.full(shape, sigma**2, np.float32)
    f = Frame(rate.astype(np.float32), var, 0 * var, np.zeros(shape, np.uint32))
    out = subtract_dark(f, measured_dark, np.full(shape, dark_sigma), np.zeros(shape, np.uint32))
    pull = (out.rate - 7.0) / out.error
    assert abs(pull.mean()) < 3 / 120
    assert abs(pull.std() - 1) < 0.02
    assert np.all(out.var_photon == 0)


@pytest.mark.parametrize("where", ["value", "error"])
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_dark_that_is_not_finite_is_flagged(where, bad):
    f = frame(dq=Flag.JUMP_DET)
    value, err = plane(1.0), plane(0.1)
    (value if where == "value" else err)[2, 3] = bad
    out = subtract_dark(f, value, err, flags())
    expected = Flag.UNRELIABLE_DARK | Flag.DO_NOT_USE | Flag.JUMP_DET
    assert out.dq[2, 3] == expected
    assert np.isnan(out.rate[2, 3])
    assert np.isnan(out.var_read[2, 3])
    assert out.dq[0, 0] == Flag.JUMP_DET
    assert np.isfinite(np.delete(out.rate.ravel(), 2 * 6 + 3)).all()


def test_reference_pixels_stay_zero():
    zero = Frame(plane(0), plane(0), plane(0), flags(BORDER))
    for out in (
        subtract_dark(zero, plane(np.nan), plane(1.0), flags()),
        divide_flat(zero, plane(0.0), plane(np.nan), flags()),
    ):
        assert np.all(out.rate == 0)
        assert np.all(out.variance == 0)
        assert np.all(out.dq == BORDER)


def test_flat_and_its_error_on_simulated_truth():
    rng = np.random.default_rng(2)
    shape = (150, 150)
    response = rng.uniform(0.5, 1.5, shape)
    sigma, flat_sigma = 0.5, 0.02
    measured = response + rng.normal(0, flat_sigma, shape)
    rate = 40.0 * response + rng.normal(0, sigma, shape)
    var = np.full(shape, sigma**2, np.float32)
    f = Frame(rate.astype(np.float32), var, 0 * var, np.zeros(shape, np.uint32))
    out = divide_flat(f, measured, np.full(shape, flat_sigma), np.zeros(shape, np.uint32))
    pull = (out.rate - 40.0) / out.error
    assert abs(pull.std() - 1) < 0.03
    # each plane alone: with the true response only the frame's noise is left
    exact = divide_flat(f, response, np.zeros(shape), np.zeros(shape, np.uint32))
    assert np.all(exact.var_flat == 0)
    assert abs(((exact.rate - 40.0) / np.sqrt(exact.var_read)).std() - 1) < 0.02


@pytest.mark.parametrize("bad", [0.0, -1.0, np.nan, np.inf, -np.inf, 1e-45])
def test_a_flat_that_cannot_divide_is_flagged(bad):
    f = frame(dq=Flag.WARM)
    response = np.full(SHAPE, 1.0)
    response[1, 1] = bad
    out = divide_flat(f, response, plane(0.01), flags(Flag.LOW_QE))
    assert out.dq[1, 1] == Flag.NO_FLAT_FIELD | Flag.DO_NOT_USE | Flag.WARM | Flag.LOW_QE
    for p in (out.rate, out.var_read, out.var_photon, out.var_flat):
        assert np.isnan(p[1, 1])
    assert out.dq[0, 0] == Flag.WARM | Flag.LOW_QE


def test_a_second_flat_keeps_the_error_of_the_first():
    once = divide_flat(frame(), plane(2.0), plane(0.2), flags())
    twice = divide_flat(once, plane(0.5), plane(0.0), flags())
    np.testing.assert_allclose(twice.rate, 5.0, rtol=1e-6)
    np.testing.assert_allclose(twice.var_flat, (5.0 * 0.1) ** 2, rtol=1e-5)


def test_big_endian_and_strided_references_are_taken():
    f = frame()
    value = np.full((7, 12), 1.0, dtype=">f4")[:, ::2]
    out = subtract_dark(f, value, plane(0.1).astype(">f8"), flags(4).astype(">u4"))
    assert np.all(out.rate == 4.0)
    assert np.all(out.dq == 4)


@pytest.mark.parametrize("apply", [subtract_dark, divide_flat])
def test_another_shape_is_refused_by_name(apply):
    with pytest.raises(ReferenceFileError, match=r"ERR: got shape \(7, 5\), expected .*\(7, 6\)"):
        apply(frame(), plane(1.0), np.ones((7, 5)), flags())


def test_known_bad_pixels_are_flagged():
    f, bad = frame(dq=Flag.JUMP_DET), flags()
    bad[3, 3] = Flag.DEAD | Flag.DO_NOT_USE
    out = flag_bad_pixels(f, bad)
    assert out.dq[3, 3] == Flag.DEAD | Flag.DO_NOT_USE | Flag.JUMP_DET
    assert np.count_nonzero(out.dq != f.dq) == 1
    assert np.all(f.dq == Flag.JUMP_DET)
    with pytest.raises(ReferenceFileError, match=r"dq: DQ: got shape \(7, 5\)"):
        flag_bad_pixels(f, bad[:, :5])


floats = st.floats(-(2.0**100), 2.0**100, width=32) | st.just(np.nan) | st.just(np.inf)


@settings(max_examples=40, deadline=None)
@given(
    value=hnp.arrays(np.float32, SHAPE, elements=floats),
    err=hnp.arrays(np.float32, SHAPE, elements=floats),
    bits=hnp.arrays(np.uint32, SHAPE, elements=st.integers(0, 2**32 - 1)),
    more=hnp.arrays(np.uint32, SHAPE, elements=st.integers(0, 2**32 - 1)),
    apply=st.sampled_from([subtract_dark, divide_flat]),
)
def test_no_flag_is_lost_and_no_input_changes(value, err, bits, more, apply):
    f = Frame(plane(3.0), plane(1.0), plane(2.0), bits)
    before, kept = copies(f), (value.copy(), err.copy(), more.copy())
    out = apply(f, value, err, more)
    assert np.all(out.dq & bits == bits)
    assert np.all(out.dq & more == more)
    assert unchanged(f, before)
    for a, b in zip((value, err, more), kept, strict=True):
        assert np.array_equal(a, b, equal_nan=True)
    usable = (out.dq & Flag.DO_NOT_USE) == 0
    assert np.isfinite(out.rate[usable]).all()


def test_a_dark_error_whose_square_overflows_makes_the_pixel_unreliable():
    """2**64 squared does not fit into float32: it must be flagged, not become infinite."""
    zero = np.zeros((2, 2), np.float32)
    frame = Frame(zero, zero, zero, np.zeros((2, 2), np.uint32))
    result = subtract_dark(frame, zero, np.full((2, 2), 2.0**64, np.float32), frame.dq)
    assert np.all(result.dq == (Flag.UNRELIABLE_DARK | Flag.DO_NOT_USE))
    assert np.all(np.isnan(result.var_read))
