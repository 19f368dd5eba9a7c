"""Sky to pixel against astropy.wcs, and the sense of the axes."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given
from hypothesis import strategies as st

from liger_iris_pipeline.simulator import Format
from liger_iris_pipeline.simulator.projection import (
    deproject,
    instrument_to_sky,
    project,
    sky_to_detector,
)


def wcs_of(header, detector):
    """TAN WCS made from the pointing keywords and the layout of the contract."""
    base = WCS(naxis=2)
    base.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    base.wcs.crval = [header["RA"], header["DEC"]]
    base.wcs.cdelt = [1 / 3600, 1 / 3600]
    axis = base.wcs_pix2world([[header["DTOTOFF1"], header["DTOTOFF2"]]], 1)[0]  # CRPIX is 0
    sign = {"IMG1": (1, 1), "IMG2": (-1, 1), "IMG3": (-1, -1), "IMG4": (1, -1)}[detector]
    size = (header["NAXIS1"], header["NAXIS2"])
    corner = [3.5 - 10.0 if s > 0 else n - 4.5 + 10.0 for s, n in zip(sign, size, strict=True)]
    a, scale = np.radians(header["PA"]), 0.004 / 3600
    wcs = WCS(naxis=2)
    wcs.wcs.ctype = ["RA---TAN", "DEC--TAN"]
    wcs.wcs.crval, wcs.wcs.crpix = axis, np.add(corner, 1.0)
    wcs.wcs.cd = scale * np.array([[-np.cos(a), np.sin(a)], [np.sin(a), np.cos(a)]])
    return wcs


@pytest.mark.parametrize("detector", ["IMG1", "IMG3"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_positions_match_astropy(small, small_truth, detector, number):
    name = f"2026B-P001-001_IRIS_{detector}_SCI_LVL0_{number:04d}-01-0001.fits"
    header = fits.getheader(small.folder / name)
    rows = small_truth.select(small_truth.positions, "2026B-P001-001", number, detector)
    stars = small_truth.stars[rows["id"] - 1]
    assert len(rows) > 3
    for wcs in (wcs_of(header, detector), WCS(header)):
        x, y = wcs.wcs_world2pix(stars["ra"], stars["dec"], 0)
        assert np.abs(x - rows["x"]).max() < 1e-5
        assert np.abs(y - rows["y"]).max() < 1e-5


def test_axes_at_position_angle_zero():
    layout = Format()
    x, y = sky_to_detector([10.0, 10.0], [20.0, 20.0001], (10.0, 20.0), 0.0, "IMG1", layout)
    assert y[1] - y[0] == pytest.approx(0.36 / 0.004, abs=1e-3)  # north is +y
    x, y = sky_to_detector([10.0, 10.0001], [0.0, 0.0], (10.0, 0.0), 0.0, "IMG1", layout)
    assert x[1] - x[0] == pytest.approx(-0.36 / 0.004, abs=1e-3)  # east is -x


def test_position_angle_turns_y_to_the_east():
    x, y = sky_to_detector([10.0001], [0.0], (10.0, 0.0), 90.0, "IMG1", Format())
    x0, y0 = sky_to_detector([10.0], [0.0], (10.0, 0.0), 90.0, "IMG1", Format())
    assert y - y0 == pytest.approx(0.36 / 0.004, abs=1e-3)
    assert x - x0 == pytest.approx(0.0, abs=1e-3)


@given(
    st.floats(-60, 60),
    st.floats(-60, 60),
    st.floats(0, 360, exclude_max=True),
    st.floats(-89, 89),
)
def test_round_trip(east, north, ra0, dec0):
    back = project(*deproject(east, north, ra0, dec0), ra0, dec0)
    assert back[0] == pytest.approx(east, abs=1e-6)
    assert back[1] == pytest.approx(north, abs=1e-6)


@given(st.floats(-60, 60), st.floats(-60, 60), st.floats(-180, 360))
def test_rotation_is_its_own_inverse(dx, dy, angle):
    assert instrument_to_sky(*instrument_to_sky(dx, dy, angle), angle) == pytest.approx((dx, dy))
