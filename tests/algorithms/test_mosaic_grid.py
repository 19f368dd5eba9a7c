"""Output grids and pixel maps."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.algorithms.frame import Pointing, TanWcs, imager_wcs
from liger_iris_pipeline.algorithms.mosaic import output_grid, pixel_map
from liger_iris_pipeline.errors import InputError

SHAPE = (60, 50)


def four(pa=0.0, east=0.0, north=0.0, ra=30.0, dec=70.0):
    pointing = Pointing(ra, dec, pa, east, north)
    return [imager_wcs(pointing, f"IMG{i}", SHAPE) for i in (1, 2, 3, 4)]


@settings(max_examples=30, deadline=None)
@given(
    pa=st.floats(0, 360),
    ra=st.sampled_from([0.0, 359.99999, 123.0]),
    dec=st.floats(-89, 89),
    east=st.floats(-1, 1),
)
def test_grid_covers_all_frames_north_up_at_native_scale(pa, ra, dec, east):
    frames = four(pa, ra=ra, dec=dec) + four(pa, east, -east, ra=ra, dec=dec)
    grid, shape = output_grid(frames, [SHAPE] * len(frames))
    assert grid.pixel_scale == pytest.approx(0.004 / 3600)
    assert grid.cd[0][0] < 0 < grid.cd[1][1]
    assert grid.cd[0][1] == grid.cd[1][0] == 0
    lowest, highest = np.array([np.inf, np.inf]), np.array([-np.inf, -np.inf])
    for w in frames:
        x, y = np.array([-0.5, 49.5, -0.5, 49.5]), np.array([-0.5, -0.5, 59.5, 59.5])
        corner = np.array(grid.sky_to_pixel(*w.pixel_to_sky(x, y)))
        lowest = np.minimum(lowest, corner.min(axis=1))
        highest = np.maximum(highest, corner.max(axis=1))
    assert np.all(lowest > -0.5 - 2e-3)
    assert np.all(highest < np.array(shape[::-1]) - 0.5 + 2e-3)
    # and it is no larger than that
    assert np.all(lowest < 0.5)
    assert np.all(highest > np.array(shape[::-1]) - 1.5)


@settings(max_examples=30, deadline=None)
@given(pa=st.floats(0, 360), dec=st.floats(-89, 89), east=st.floats(-30, 30))
def test_map_goes_over_the_sky(pa, dec, east):
    frame = four(pa, dec=dec)[1]
    other = four(17.0, east, 3.0, dec=dec)[0]
    grid, _ = output_grid([other], [SHAPE])
    found = pixel_map(frame, SHAPE, grid)
    y, x = np.indices(SHAPE)
    expected = grid.sky_to_pixel(*frame.pixel_to_sky(x, y))
    # the way over right ascension loses digits where the arcsine is flat
    np.testing.assert_allclose(found[..., 0], expected[0], atol=1e-6)
    np.testing.assert_allclose(found[..., 1], expected[1], atol=1e-6)


def test_whole_pixel_dithers_at_position_angle_0_are_not_resampled():
    frames = [four(0.0, 0.004 * i, -0.008 * i, dec=0.0)[0] for i in range(3)]
    grid, _ = output_grid(frames, [SHAPE] * len(frames))
    for w in frames:
        place = pixel_map(w, SHAPE, grid)
        assert abs(place - place.round()).max() < 1e-6


def test_another_scale():
    frames = four()
    native, shape = output_grid(frames, [SHAPE] * len(frames))
    half, larger = output_grid(frames, [SHAPE] * len(frames), scale=native.pixel_scale / 2)
    assert abs(larger[0] - 2 * shape[0]) <= 3
    assert half.pixel_scale == pytest.approx(native.pixel_scale / 2)


def test_no_frames_and_another_sky_are_refused():
    with pytest.raises(InputError, match="mosaic: frames: got none, expected at least one"):
        output_grid([], [])
    here = four()[0]
    there = TanWcs(here.crpix, (here.crval[0] + 180.0, -here.crval[1]), here.cd)
    with pytest.raises(InputError, match=r"mosaic: pointing: got frames at .* one field"):
        output_grid([here, there], [SHAPE] * 2)
