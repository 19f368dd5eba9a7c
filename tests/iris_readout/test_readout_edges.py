"""Edges by name: what happens to broken pixels, broken maps and broken arguments."""

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag

SHAPE = (5, 7)
OPTIONS = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 0}
TIMES = [0.0, 1.0, 2.0, 3.0]
PLANES = ("rate", "var_read", "var_photon", "photon_factor", "chi2")


def smooth(nread=4, step=50):
    return np.array([np.full(SHAPE, 1000 + step * k, np.uint16) for k in range(nread)])


def fit(reads, times=None, **options):
    return iris_readout.fit_ramp(reads, times or TIMES[: len(reads)], **{**OPTIONS, **options})


def assert_no_rate(result, y, x, flags):
    for name in PLANES:
        assert np.isnan(getattr(result, name)[y, x]), name
    assert result.nused[y, x] == 0
    assert result.dq[y, x] == flags | Flag.DO_NOT_USE


def test_all_pixels_saturated():
    result = iris_readout.fit_ramp(
        np.full((4, 16, 16), 65535, np.uint16), TIMES, gain=2.0, read_noise=10.0, noutputs=4
    )
    inside = (slice(4, -4),) * 2
    assert np.all(np.isnan(result.rate[inside]))
    assert np.all(result.dq[inside] == Flag.SATURATED | Flag.DO_NOT_USE)
    assert np.all(result.events["read"] == 1)
    assert set(result.events["kind"]) == {"SATURATION"}
    assert len(result.events) == 64


@pytest.mark.parametrize("first", [0, 1])
def test_saturated_in_an_early_read(first):
    reads = smooth()
    reads[first:, 2, 3] = 65535
    assert_no_rate(fit(reads), 2, 3, Flag.SATURATED)


def test_saturated_late_keeps_its_rate():
    reads = smooth()
    reads[3, 2, 3] = 40000
    result = fit(reads, saturation=40000)
    assert result.rate[2, 3] == 100.0
    assert result.dq[2, 3] == Flag.SATURATED
    assert result.nused[2, 3] == 3
    event = result.events[0]
    assert (event["ramp"], event["read"], event["y"], event["x"]) == (1, 4, 2, 3)
    assert event["kind"] == "SATURATION"
    assert np.isnan(event["amplitude"])
    assert np.isnan(event["sigma"])


def test_zero_counts():
    reads = smooth()
    reads[0, 0, 0] = 0
    reads[2, 1, 1] = 0
    result = fit(reads)
    assert_no_rate(result, 0, 0, Flag.AD_FLOOR)
    assert result.dq[1, 1] == Flag.AD_FLOOR
    assert (result.rate[1, 1], result.nused[1, 1]) == (100.0, 2)


def test_neighbours_of_a_saturated_pixel():
    reads = smooth()
    reads[2:, 2, 3] = 65535
    result = fit(reads, saturation_grow=1)
    box = result.dq[1:4, 2:5].copy()
    assert box[1, 1] == Flag.SATURATED
    box[1, 1] = Flag.CHARGELOSS
    assert np.all(box == Flag.CHARGELOSS)
    assert np.all(result.nused[1:4, 2:5] == 2)
    assert np.count_nonzero(result.dq) == 9
    assert len(result.events) == 1


def test_reads_beyond_the_linearity_limit():
    coeffs = np.zeros((2, *SHAPE), np.float32)
    coeffs[1] = 1.0
    limit = np.full(SHAPE, 1e5, np.float32)
    limit[0, 0], limit[0, 1] = 1100.0, 1000.0
    coeffs[1, 0, 2] = np.nan
    result = fit(smooth(), linearity=(coeffs, limit, None))
    assert (result.dq[0, 0], result.nused[0, 0]) == (Flag.NONLINEAR, 3)
    assert_no_rate(result, 0, 1, Flag.NONLINEAR)
    assert (result.dq[0, 2], result.rate[0, 2]) == (Flag.NO_LIN_CORR, 100.0)


def test_single_bad_pixels_of_maps():
    gain = np.full(SHAPE, 2.0, np.float32)
    noise = np.full(SHAPE, 10.0, np.float32)
    saturation = np.full(SHAPE, 5e4, np.float32)
    gain[0, :4] = np.nan, 0.0, -1.0, np.inf
    noise[1, :4] = np.nan, 0.0, -1.0, np.inf
    saturation[2, :3] = np.nan, 0.0, -1.0
    result = fit(smooth(), gain=gain, read_noise=noise, saturation=saturation)
    for x in range(4):
        assert_no_rate(result, 0, x, Flag.NO_GAIN_VALUE)
        assert_no_rate(result, 1, x, Flag.OTHER_BAD_PIXEL)
    assert np.all(result.dq[2, :3] == Flag.NO_SAT_CHECK)
    assert np.all(result.rate[2:] == 100.0)


def test_bad_pixels_are_kept_and_not_fitted():
    flags = np.zeros(SHAPE, np.uint32)
    flags[1, 1] = Flag.HOT | Flag.DO_NOT_USE
    flags[1, 2] = Flag.WARM | Flag.REFERENCE_PIXEL
    result = fit(smooth(), bad_pixels=flags)
    assert_no_rate(result, 1, 1, Flag.HOT)
    assert result.rate[1, 2] == 100.0
    assert result.dq[1, 2] == Flag.WARM | Flag.REFERENCE_PIXEL
    mask = np.zeros(SHAPE, bool)
    mask[3, 3] = True
    assert_no_rate(fit(smooth(), bad_pixels=mask), 3, 3, Flag(0))


def test_reference_border():
    reads = np.full((3, 20, 24), 3000, np.uint16)
    reads[:, 4:-4, 4:-4] += np.array([0, 10, 20], np.uint16)[:, None, None]
    reads[2, 2, 2] = 65535
    result = iris_readout.fit_ramp(reads, TIMES[:3], gain=2.0, read_noise=5.0, noutputs=4)
    border = np.ones((20, 24), bool)
    border[4:-4, 4:-4] = False
    flags = Flag.REFERENCE_PIXEL | Flag.NON_SCIENCE | Flag.DO_NOT_USE
    assert np.all(result.dq[border] == flags)
    for name in ("rate", "var_read", "var_photon", "photon_factor", "nused"):
        assert np.all(getattr(result, name)[border] == 0), name
    assert np.all(np.isnan(result.chi2[border]))
    np.testing.assert_allclose(result.rate[~border], 20.0)
    assert len(result.events) == 0


def test_jumps_that_leave_one_difference_alone():
    reads = smooth(3)
    reads[1:, 0, 0] += 1000
    result = fit(reads)
    assert result.rate[0, 0] == 100.0
    assert result.nused[0, 0] == 2
    assert result.dq[0, 0] == Flag.JUMP_DET
    assert np.isnan(result.chi2[0, 0])
    assert list(result.events["read"]) == [2]


def test_negative_rate_has_no_photon_variance():
    result = fit(smooth(step=-50))
    assert np.all(result.rate == -100.0)
    assert np.all(result.var_photon == 0.0)
    assert np.all(result.photon_factor > 0.0)


def test_two_reads_have_no_chi_square():
    result = fit(smooth(2))
    assert np.all(np.isnan(result.chi2))
    assert np.all(result.rate == 100.0)


@pytest.mark.parametrize("mode", ["utr", "cds", "mcds"])
def test_one_read_is_refused(mode):
    with pytest.raises(iris_readout.InvalidValueError, match="reads: got 1, expected at least 2"):
        fit(smooth(1), mode=mode)


@pytest.mark.parametrize(
    ("times", "message"),
    [
        ([0.0, 1.0, 1.0, 2.0], "time of read 3: got 1 s, expected later than 1 s"),
        ([0.0, 2.0, 1.0, 3.0], "time of read 3: got 1 s, expected later than 2 s"),
        ([-1.0, 1.0, 2.0, 3.0], "time of read 1: got -1 s"),
        ([0.0, np.nan, 2.0, 3.0], "time of read 2: got nan s"),
        ([0.0, 1.0, 2.0, np.inf], "time of read 4: got inf s"),
        ([0.0, 1.0, 2.0], "got 3 times for 4 reads"),
    ],
)
def test_times_that_cannot_be_used(times, message):
    with pytest.raises(ValueError, match=message) as caught:
        fit(smooth(), times)
    assert isinstance(caught.value, iris_readout.Error)


BAD_VALUES = [
    ({"gain": 0.0}, "gain: got 0"),
    ({"gain": np.nan}, "gain: got nan"),
    ({"gain": np.full(SHAPE, np.nan, np.float32)}, "gain: got a map without one finite value"),
    ({"gain": np.ones((3, 3), np.float32)}, r"gain: got shape \(3, 3\), expected \(5, 7\)"),
    ({"read_noise": -1}, "read_noise: got -1"),
    ({"read_noise": np.zeros(SHAPE, np.float32)}, "read_noise: got a map without"),
    ({"saturation": 0}, "saturation: got 0"),
    ({"jump_sigma": 0}, "jump_sigma: got 0"),
    ({"jump_sigma": np.nan}, "jump_sigma: got nan"),
    ({"mode": "fowler"}, "mode: got 'fowler', expected one of utr, cds, mcds"),
    (
        {"estimator": "median"},
        "estimator: got 'median', expected one of likelihood, ols",
    ),
    ({"nfowler": 0}, "nfowler: got 0"),
    ({"nthreads": -1}, "nthreads: got -1"),
    ({"saturation_grow": -1}, "saturation_grow: got -1"),
    ({"ref_pixels": 4}, "ref_pixels: got a border of 4"),
    ({"ref_pixels": 1, "noutputs": 4}, "noutputs: got 4, expected a divisor of the 7 columns"),
    ({"bad_pixels": np.zeros((2, 2), bool)}, "bad_pixels: got shape"),
    ({"linearity": (np.ones(SHAPE), None, None)}, "linearity coeffs: got shape"),
    ({"linearity": (np.ones((2, *SHAPE)), np.ones(3), None)}, "linearity limit: got shape"),
]


@pytest.mark.parametrize(("options", "message"), BAD_VALUES)
def test_values_that_cannot_be_used(options, message):
    with pytest.raises(ValueError, match=message) as caught:
        fit(smooth(), **options)
    assert isinstance(caught.value, iris_readout.Error)


BAD_TYPES = [
    ({"gain": "two"}, "gain: got 'two', expected a number"),
    ({"gain": None}, "gain: got NoneType"),
    ({"gain": np.full(SHAPE, 1j)}, "gain: got dtype complex128"),
    ({"nfowler": 1.5}, "nfowler: got float, expected an integer"),
    ({"bad_pixels": np.zeros(SHAPE)}, "bad_pixels: got dtype float64"),
    ({"bad_pixels": np.zeros(SHAPE, np.uint64)}, "bad_pixels: got dtype uint64"),
    ({"linearity": np.float32(1)}, "linearity: expected a tuple"),
]


@pytest.mark.parametrize(("options", "message"), BAD_TYPES)
def test_types_that_cannot_be_used(options, message):
    with pytest.raises(TypeError, match=message) as caught:
        fit(smooth(), **options)
    assert isinstance(caught.value, iris_readout.Error)


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint8, np.uint32, np.float32, object])
def test_reads_of_another_type_are_refused(dtype):
    with pytest.raises(
        iris_readout.InvalidTypeError, match=r"read 1: got dtype .*, expected uint16"
    ):
        fit(np.ones((2, *SHAPE), dtype))


def test_reads_of_another_shape_are_refused():
    fitter = iris_readout.RampFitter(SHAPE, **OPTIONS)
    with pytest.raises(ValueError, match=r"read 1: got shape \(7, 5\), expected \(5, 7\)"):
        fitter.push(np.ones(SHAPE[::-1], np.uint16), 0.0)
    for shape in [(5,), 5, (0, 7), (5, 7, 9)]:
        with pytest.raises(ValueError, match="shape: got"):
            iris_readout.RampFitter(shape, **OPTIONS)
    with pytest.raises(ValueError, match="reads: got none"):
        iris_readout.fit_ramp([], [], **OPTIONS)


def test_border_without_a_usable_pixel_is_refused():
    with pytest.raises(ValueError, match="bad_pixels: got no usable reference pixel"):
        iris_readout.RampFitter(
            (12, 12), gain=1.0, read_noise=1.0, noutputs=1, bad_pixels=np.ones((12, 12), bool)
        )


def test_noise_beyond_the_digits_of_a_float_leaves_variances_of_zero():
    reads = np.arange(1, 6, dtype=np.uint16)[:, None, None] * np.ones((5, 2, 3), np.uint16)
    result = iris_readout.fit_ramp(
        reads, np.arange(5.0), gain=1e-30, read_noise=1e-30, ref_pixels=0, jump_sigma=4.5
    )
    np.testing.assert_allclose(result.rate, 1e-30, rtol=1e-5)
    assert (result.var_read == 0).all()
    assert (result.var_photon == 0).all()
