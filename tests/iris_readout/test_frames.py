"""Python face of dark and flat: types, what is refused, instruction sets; the numbers are tested in C and in frames."""

import numpy as np
import pytest

import iris_readout
from iris_readout import FramePlanes, divide_flat, subtract_dark

SHAPE = (23, 91)  # more than one piece, and a part of one


def planes(seed=1, with_flat=True):
    random = np.random.default_rng(seed)
    rate, read, photon, flat = random.normal(5, 1, (4, *SHAPE)).astype(np.float32)
    return FramePlanes(
        rate, read, photon, np.full(SHAPE, 4, np.uint32), flat if with_flat else None
    )


def reference(seed=2):
    value, error = np.random.default_rng(seed).normal(2, 0.1, (2, *SHAPE)).astype(np.float32)
    return value, error, np.full(SHAPE, 2, np.uint32)


def arrays(frame):
    return [frame.rate, frame.var_read, frame.var_photon, frame.dq, frame.var_flat]


@pytest.mark.parametrize("call", [subtract_dark, divide_flat])
def test_no_bit_depends_on_byte_order_layout_or_instruction_set(call):
    given, (value, error, dq) = planes(), reference()
    before = [array.copy() for array in arrays(given)]
    expected = arrays(call(given, value, error, dq, isa="baseline"))
    swapped = FramePlanes(
        *(np.asfortranarray(a.astype(a.dtype.newbyteorder(">"))) for a in arrays(given)[:4]),
        given.var_flat,
    )
    for found in (
        call(given, value, error, dq),
        call(swapped, value.astype(">f4"), error.astype(np.float64), dq.astype(">u4")),
    ):
        for one, other in zip(arrays(found), expected, strict=True):
            np.testing.assert_array_equal(one, other)
    for array, old in zip(arrays(given), before, strict=True):
        np.testing.assert_array_equal(array, old)
    assert (expected[3] == 6).all()


def test_one_pixel_by_hand():
    one = np.ones((1, 1), np.float32)
    none = np.zeros((1, 1), np.uint32)
    dark = subtract_dark(FramePlanes(9 * one, one, one, none), 3 * one, 2 * one, none)
    assert (dark.rate[0, 0], dark.var_read[0, 0], dark.var_photon[0, 0]) == (6, 5, 1)
    assert dark.var_flat is None
    flat = divide_flat(dark, 2 * one, one, none)
    assert flat.var_flat is not None
    values = [plane[0, 0] for plane in (flat.rate, flat.var_read, flat.var_photon, flat.var_flat)]
    assert values == [3, 1.25, 0.25, 2.25]


def test_what_is_refused():
    value, error, dq = reference()
    with pytest.raises(iris_readout.InvalidValueError, match=r"error: got shape .22, 91"):
        subtract_dark(planes(), value, error[1:], dq)
    with pytest.raises(iris_readout.InvalidTypeError, match="dq: got dtype float32"):
        divide_flat(planes(), value, error, value)
    with pytest.raises(iris_readout.InvalidValueError, match="isa: got 'sse9'"):
        divide_flat(planes(), value, error, dq, isa="sse9")
