"""Options that cannot be used are refused by name, with what was got and what is known."""

import numpy as np
import pytest

import iris_readout

SHAPE = (5, 8)
TIMES = [0.0, 1.0, 2.0, 3.0]
BASE = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 0}
READS = np.array([np.full(SHAPE, 1000 + 50 * k, np.uint16) for k in range(4)])


def fit(**options):
    return iris_readout.fit_ramp(READS, TIMES, **{**BASE, **options})


VALUES = [
    ({"estimator": "median"}, r"estimator: got 'median'.*likelihood.*ols"),
    ({"estimator": "LIKELIHOOD"}, r"estimator: got 'LIKELIHOOD'.*likelihood"),
    ({"mode": "likelihood"}, r"mode: got 'likelihood', expected one of utr, cds, mcds"),
    ({"isa": "sse9"}, r"isa: got 'sse9'.*auto.*baseline.*avx2.*avx512"),
    ({"side_rows": 4}, r"side_rows: got 4, expected .*odd"),
    ({"side_rows": -1}, r"side_rows: got -1"),
    ({"memory_limit": -1}, r"memory_limit: got -1"),
    ({"max_events": -1}, r"max_events: got -1"),
    ({"guide_margin": -1}, r"guide_margin: got -1"),
    ({"map_origin": (-1, 0)}, r"map_origin: got .*-1"),
    ({"jump_sigma": -4.5}, r"jump_sigma: got -4.5"),
    ({"jump_sigma": 0.0}, r"jump_sigma: got 0"),
    ({"weights": [1, 1, 1]}, r"weights: got 3 .* 4 reads"),
    ({"weights": [1, 1, 1, 1, 1]}, r"weights: got 5 .* 4 reads"),
    ({"weights": [1, 1, 1.5, 1]}, r"weight of read 3: got 1.5, expected .*0 .* 1"),
    ({"weights": [1, -0.1, 1, 1]}, r"weight of read 2: got -0.1, expected .*0 .* 1"),
    ({"weights": [1, 1, 1, np.nan]}, r"weight of read 4: got nan, expected .*0 .* 1"),
    ({"drop": [5]}, r"drop: got 5, expected 1 to 4"),
    ({"drop": [0]}, r"drop: got 0, expected 1 to 4"),
    ({"drop": [-1]}, r"drop: got -1, expected 1 to 4"),
    ({"drop": [1, 2, 4]}, r"reads: got 1\b.*, expected at least 2"),
    ({"drop": [1, 2, 3, 4]}, r"reads: got (0|none)\b.*, expected at least 2"),
]


@pytest.mark.parametrize(("options", "message"), VALUES, ids=lambda v: str(v)[:40])
def test_values_that_cannot_be_used(options, message):
    with pytest.raises(iris_readout.InvalidValueError, match=message):
        fit(**options)


TYPES = [
    ({"side_rows": 2.5}, r"side_rows: got float, expected an integer"),
    ({"memory_limit": 1e9}, r"memory_limit: got float, expected an integer"),
    ({"max_events": "many"}, r"max_events: got str, expected an integer"),
    ({"guide_margin": None}, r"guide_margin: got NoneType, expected an integer"),
    ({"drop": [1.5]}, r"drop: got float, expected an integer"),
    ({"weights": ["a", 1, 1, 1]}, r"weight of read 1: got 'a', expected a number"),
]


@pytest.mark.parametrize(("options", "message"), TYPES, ids=lambda v: str(v)[:40])
def test_types_that_cannot_be_used(options, message):
    with pytest.raises(iris_readout.InvalidTypeError, match=message):
        fit(**options)


@pytest.mark.parametrize("name", ["estimater", "omit", "weight", "dropped"])
def test_options_that_are_none_are_refused(name):
    with pytest.raises(TypeError, match=name):
        fit(**{name: 1})


def test_all_but_the_mode_are_named():
    with pytest.raises(TypeError, match="positional"):
        iris_readout.RampFitter(SHAPE, "utr", "likelihood", 2.0, 10.0)
    fitter = iris_readout.RampFitter(SHAPE, "utr", "likelihood", **BASE)
    with pytest.raises(TypeError, match="positional"):
        fitter.push(READS[0], 0.0, 1.0)


@pytest.mark.parametrize("weight", [1.5, -1.0, np.nan, np.inf])
def test_a_wrong_weight_leaves_the_ramp_as_it_was(weight):
    fitter = iris_readout.RampFitter(SHAPE, **BASE)
    fitter.push(READS[0], 0.0)
    with pytest.raises(iris_readout.InvalidValueError, match="weight of read 2: got"):
        fitter.push(READS[1], 1.0, weight=weight)
    assert fitter.nread == 1
    fitter.push(READS[1], 1.0)
    np.testing.assert_array_equal(fitter.finish().rate, 100.0)


def test_reads_left_out_to_fewer_than_two_may_be_followed_by_more():
    fitter = iris_readout.RampFitter(SHAPE, **BASE)
    fitter.push(READS[0], 0.0, dropped=True)
    fitter.push(READS[1], 1.0)
    with pytest.raises(iris_readout.InvalidValueError, match=r"reads: got 1\b.*at least 2"):
        fitter.finish()
    fitter.push(READS[2], 2.0)
    assert np.all(fitter.finish().nused == 2)


def test_left_out_reads_must_have_rising_times_too():
    fitter = iris_readout.RampFitter(SHAPE, **BASE)
    fitter.push(READS[0], 1.0)
    with pytest.raises(iris_readout.InvalidValueError, match="time of read 2"):
        fitter.push(READS[1], 1.0, dropped=True)


def side_weights(noutputs, nlag):
    return np.zeros((noutputs, nlag), np.float32), np.zeros((noutputs, nlag), np.float32)


BORDER = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 4, "noutputs": 4}
REF_WEIGHTS = [
    (side_weights(4, 4), r"ref_weights.*4.*odd"),
    (side_weights(3, 5), r"ref_weights.*got shape \(3, 5\), expected \(4, 5\)"),
    ((side_weights(4, 5)[0], side_weights(4, 7)[0]), r"ref_weights.*got shape"),
]


@pytest.mark.parametrize(("weights", "message"), REF_WEIGHTS, ids=["even", "outputs", "lags"])
def test_reference_weights_that_do_not_fit(weights, message):
    with pytest.raises(iris_readout.InvalidValueError, match=message):
        iris_readout.RampFitter((24, 32), **BORDER, ref_weights=weights)


def test_reference_weights_that_are_no_pair():
    with pytest.raises(iris_readout.InvalidTypeError, match=r"ref_weights: .*\(left, right\)"):
        iris_readout.RampFitter((24, 32), **BORDER, ref_weights=3.0)


COMBINE = [
    ({"combination": "median"}, r"combination: got 'median', expected one of mean, sum"),
    ({"reject_sigma": np.nan}, r"reject_sigma: got nan"),
    ({"reject_sigma": -1.0}, r"reject_sigma: got -1"),
]


@pytest.mark.parametrize(("options", "message"), COMBINE, ids=lambda v: str(v)[:40])
def test_combinations_that_are_not_known(options, message):
    result = fit()
    with pytest.raises(iris_readout.InvalidValueError, match=message):
        iris_readout.combine_ramps([result, result], **options)
