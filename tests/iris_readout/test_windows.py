"""Windows of a detector with maps of the whole detector, and windows around guide stars."""

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import simulate_reads

DETECTOR = (40, 48)
WINDOW = (11, 17)
TIMES = np.cumsum([0.5, 1.5, 1.0, 1.5, 2.5, 1.5])
BASE = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 0}


def maps(seed=1):
    """References of the whole detector."""
    rng = np.random.default_rng(seed)
    coeffs = np.zeros((4, *DETECTOR), np.float32)
    coeffs[1] = rng.uniform(0.99, 1.01, DETECTOR)
    coeffs[2] = rng.uniform(0, 1e-6, DETECTOR)
    flags = np.zeros(DETECTOR, np.uint32)
    flags[rng.random(DETECTOR) < 0.1] = Flag.WARM
    flags[rng.random(DETECTOR) < 0.05] = Flag.DEAD | Flag.DO_NOT_USE
    gain = rng.uniform(1.5, 2.5, DETECTOR).astype(np.float32)
    gain[rng.random(DETECTOR) < 0.03] = np.nan
    return {
        "gain": gain,
        "read_noise": rng.uniform(5, 15, DETECTOR).astype(np.float32),
        "saturation": rng.uniform(3000, 6000, DETECTOR).astype(np.float32),
        "bad_pixels": flags,
        "linearity": (
            coeffs,
            rng.uniform(3000, 5000, DETECTOR).astype(np.float32),
            rng.uniform(500, 900, DETECTOR).astype(np.float32),
        ),
    }


def cut(value, y, x):
    box = (..., slice(y, y + WINDOW[0]), slice(x, x + WINDOW[1]))
    if isinstance(value, tuple):
        return tuple(np.ascontiguousarray(part[box]) for part in value)
    return np.ascontiguousarray(value[box])


def window_reads(seed=2):
    rng = np.random.default_rng(seed)
    reads = simulate_reads(rng, rng.uniform(0, 900, WINDOW), TIMES, 10.0, 2.0).astype(int)
    reads[3:, 4, 5] += 800
    return reads.astype(np.uint16)


def assert_same(got, expected):
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    for name in expected.events.dtype.names:
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


CORNERS = [(0, 0), (7, 3), (DETECTOR[0] - WINDOW[0], DETECTOR[1] - WINDOW[1]), (0, 31)]
MODES = [{"estimator": "likelihood"}, {"estimator": "ols"}, {"mode": "cds"}]


@pytest.mark.parametrize("origin", CORNERS, ids=str)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_a_window_finds_its_place_in_the_maps(mode, origin):
    reads, full = window_reads(), maps()
    local = {name: cut(value, *origin) for name, value in full.items()}
    expected = iris_readout.fit_ramp(reads, TIMES, ref_pixels=0, **local, **mode)
    got = iris_readout.fit_ramp(reads, TIMES, ref_pixels=0, **full, **mode, map_origin=origin)
    assert_same(got, expected)
    flags = expected.dq
    assert np.any(flags & Flag.SATURATED)
    assert np.any(flags & Flag.NONLINEAR)
    assert np.any(flags & Flag.NO_GAIN_VALUE)
    assert np.any(flags & Flag.DEAD)


def test_scalars_beside_maps():
    reads, full = window_reads(), maps()
    got = iris_readout.fit_ramp(
        reads, TIMES, **{**BASE, "saturation": full["saturation"]}, map_origin=(7, 3)
    )
    expected = iris_readout.fit_ramp(
        reads, TIMES, **{**BASE, "saturation": cut(full["saturation"], 7, 3)}
    )
    assert_same(got, expected)


@pytest.mark.parametrize("origin", [(30, 0), (0, 32), (40, 48), (29, 32)], ids=str)
def test_a_window_that_is_not_on_the_maps_is_refused(origin):
    message = (
        rf"got \(11, 17\) pixels from \({origin[0]}, {origin[1]}\) .* inside maps of \(40, 48\)"
    )
    with pytest.raises(iris_readout.InvalidValueError, match=message):
        iris_readout.RampFitter(WINDOW, ref_pixels=0, **maps(), map_origin=origin)


@pytest.mark.parametrize("origin", [(-1, 0), (0, -1)], ids=str)
def test_a_negative_origin_is_refused(origin):
    with pytest.raises(iris_readout.InvalidValueError, match=r"map_origin: got .*-1"):
        iris_readout.RampFitter(WINDOW, ref_pixels=0, **maps(), map_origin=origin)


def test_maps_of_two_sizes_are_refused():
    full = maps()
    full["read_noise"] = full["read_noise"][:-1]
    with pytest.raises(
        iris_readout.InvalidValueError,
        match=r"read_noise: got shape \(39, 48\), expected \(40, 48\)",
    ):
        iris_readout.RampFitter(WINDOW, ref_pixels=0, **full, map_origin=(7, 3))


@pytest.mark.parametrize(
    ("windows", "margin"),
    [
        ([(3, 4, 2, 5)], 0),
        ([(3, 4, 2, 5)], 2),
        ([(0, 0, 1, 1), (9, 14, 2, 3)], 3),
        ([(0, 0, 11, 17)], 0),
        ([(2, 2, 3, 3), (3, 3, 3, 3)], 1),
    ],
    ids=str,
)
@pytest.mark.parametrize("mode", MODES, ids=str)
def test_guide_windows(mode, windows, margin):
    reads = window_reads()
    plain = iris_readout.fit_ramp(reads, TIMES, **BASE, **mode)
    result = iris_readout.fit_ramp(
        reads, TIMES, **BASE, **mode, guide_windows=windows, guide_margin=margin
    )
    inside = np.zeros(WINDOW, bool)
    for y, x in np.ndindex(WINDOW):
        for y0, x0, ny, nx in windows:
            if y0 - margin <= y < y0 + ny + margin and x0 - margin <= x < x0 + nx + margin:
                inside[y, x] = True
    both = Flag.SUBARRAY | Flag.DO_NOT_USE
    np.testing.assert_array_equal(result.dq & both == both, inside)
    np.testing.assert_array_equal((result.dq & Flag.SUBARRAY) != 0, inside)
    assert np.all(np.isnan(result.rate[inside]))
    assert np.all(result.nused[inside] == 0)
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(
            getattr(result, name)[~inside], getattr(plain, name)[~inside], err_msg=name
        )


@pytest.mark.parametrize("window", [(-1, 0, 2, 2), (0, 0, 3), (0.5, 0, 2, 2), 7], ids=str)
def test_guide_windows_that_are_none_are_refused(window):
    with pytest.raises(iris_readout.Error, match="guide_windows"):
        iris_readout.RampFitter(WINDOW, **BASE, guide_windows=[window])
