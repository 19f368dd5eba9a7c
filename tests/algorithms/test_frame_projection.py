"""Projections against spherical trigonometry, astropy, and the layout of the focal plane."""

import numpy as np
import pytest
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.algorithms.frame import (
    Pointing,
    TanWcs,
    imager_wcs,
    starting_wcs,
    wcs_from_header,
)
from liger_iris_pipeline.errors import InputError
from oracles.frame import gnomonic

ARCSEC = 1 / 3600


def astropy_wcs(wcs):
    header = fits.Header()
    for card in wcs.header_cards():
        header.append(card)
    return WCS(header)


@settings(max_examples=50, deadline=None)
@given(
    ra=st.floats(0, 359.999),
    dec=st.floats(-89.9, 89.9),
    pa=st.floats(-180, 180),
    x=st.floats(-5000, 5000),
    y=st.floats(-5000, 5000),
)
def test_round_trip_and_spherical_trigonometry(ra, dec, pa, x, y):
    wcs = imager_wcs(Pointing(ra, dec, pa), "IMG1", (4096, 4096))
    lon, lat = wcs.pixel_to_sky(x, y)
    back = wcs.sky_to_pixel(lon, lat)
    np.testing.assert_allclose(back, (x, y), atol=1e-4)
    xi, eta = gnomonic(float(lon), float(lat), *wcs.crval)
    dx, dy = x + 1 - wcs.crpix[0], y + 1 - wcs.crpix[1]
    (a, b), (c, d) = wcs.cd
    np.testing.assert_allclose((xi, eta), (a * dx + b * dy, c * dx + d * dy), atol=1e-11)


def test_header_means_the_same_to_astropy():
    wcs = imager_wcs(Pointing(359.9999, -60.0, 33.0, 1.0, -2.0), "IMG3", (512, 512))
    x, y = np.meshgrid(np.linspace(-10, 520, 7), np.linspace(-10, 520, 6))
    np.testing.assert_allclose(
        wcs.pixel_to_sky(x, y), astropy_wcs(wcs).all_pix2world(x, y, 0), atol=1e-12 * 360
    )


def test_layout_of_the_four_detectors():
    """At position angle 0, +y is north, +x is west; inner corners 0.6 arcsec from the axis."""
    quadrant = {"IMG1": (1, 1), "IMG2": (-1, 1), "IMG3": (-1, -1), "IMG4": (1, -1)}
    for name, (sx, sy) in quadrant.items():
        wcs = imager_wcs(Pointing(30.0, 0.0), name, (4096, 4096))
        corner_x = 4 - 0.5 if sx > 0 else 4092 - 0.5
        corner_y = 4 - 0.5 if sy > 0 else 4092 - 0.5
        ra, dec = wcs.pixel_to_sky(corner_x, corner_y)
        assert (ra - 30.0) * 3600 == pytest.approx(-0.6 * sx, abs=1e-6)
        assert dec * 3600 == pytest.approx(0.6 * sy, abs=1e-6)
        ra2, dec2 = wcs.pixel_to_sky(corner_x + 1, corner_y + 1)
        assert ra2 < ra
        assert dec2 > dec


def test_position_angle_turns_y_from_north_to_east():
    wcs = imager_wcs(Pointing(30.0, 0.0, 90.0), "IMG1", (512, 512))
    x0, y0 = wcs.crpix[0] - 1, wcs.crpix[1] - 1
    ra, dec = wcs.pixel_to_sky(x0, y0 + 100)
    assert (ra - 30) * 3600 == pytest.approx(0.4, abs=1e-9)
    assert abs(dec) < 1e-12
    # seen on the sky, west lies to the right of north: +x has turned to north
    ra, dec = wcs.pixel_to_sky(x0 + 100, y0)
    assert dec * 3600 == pytest.approx(0.4, abs=1e-9)


def test_offsets_lie_on_the_tangent_plane_at_the_base():
    wcs = imager_wcs(Pointing(150.0, 80.0, 10.0, 30.0, -20.0), "IMG2", (512, 512))
    xi, eta = gnomonic(*wcs.crval, 150.0, 80.0)
    np.testing.assert_allclose((xi * 3600, eta * 3600), (30.0, -20.0), atol=1e-8)


def test_a_subarray_sees_the_same_sky():
    pointing = Pointing(10.0, 20.0, 45.0)
    full = imager_wcs(pointing, "IMG4", (512, 512))
    part = imager_wcs(pointing, "IMG4", (512, 512), start=(101, 33))
    np.testing.assert_allclose(
        part.pixel_to_sky(5.0, 6.0), full.pixel_to_sky(105.0, 38.0), rtol=1e-14
    )


def test_the_ifs_is_no_imager_detector():
    with pytest.raises(ValueError, match="expected one of IMG1"):
        imager_wcs(Pointing(0, 0), "IFS", (512, 512))


def test_header_precedes_in_all_three_notations():
    wcs = imager_wcs(Pointing(10.0, -20.0, 30.0), "IMG1", (512, 512))
    header = {k: v for k, v, _ in wcs.header_cards()}
    assert wcs_from_header(header) == wcs
    moved = wcs_from_header(header, start=(11, 21))
    assert moved is not None
    np.testing.assert_allclose(moved.crpix, np.subtract(wcs.crpix, (10, 20)))
    scale = 0.004 * ARCSEC
    plain = {k: v for k, v in header.items() if not k.startswith("CD")}
    plain |= {"CDELT1": -scale, "CDELT2": scale}
    sine, cosine = np.sin(np.radians(30)), np.cos(np.radians(30))
    pc = {"PC1_1": cosine, "PC1_2": -sine, "PC2_1": sine, "PC2_2": cosine}
    for extra in (pc, {"CROTA2": 30.0}):
        found = wcs_from_header(plain | extra)
        expected = WCS(fits.Header(list((plain | extra).items()))).all_pix2world(7.0, 9.0, 0)
        assert found is not None
        np.testing.assert_allclose(found.pixel_to_sky(7.0, 9.0), expected, atol=1e-11)


def test_a_header_without_projection_gives_none():
    assert wcs_from_header({"RA": 1.0, "CTYPE1": " "}) is None


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"CTYPE1": "RA---SIN"}, "wcs: CTYPE1: got RA---SIN, expected RA---TAN"),
        ({"CTYPE2": "DEC--TAN-SIP"}, "wcs: CTYPE2"),
        ({"CUNIT1": "arcsec"}, "wcs: CUNIT1: got arcsec, expected deg"),
        ({"RADESYS": "FK4"}, "wcs: RADESYS: got FK4, expected ICRS"),
        ({"CRPIX1": None}, "wcs: CRPIX1: got nothing, expected a number"),
        ({"CRVAL2": "x"}, "wcs: CRVAL2: got 'x', expected a number"),
        ({"CD1_1": 0.0, "CD1_2": 0.0}, "wcs: CRPIX, CRVAL, CD: got .* inverted"),
        ({"CRVAL1": float("nan")}, "wcs: CRPIX, CRVAL, CD"),
    ],
)
def test_a_projection_that_cannot_be_used_is_refused(change, message):
    wcs = imager_wcs(Pointing(10.0, -20.0), "IMG1", (512, 512))
    header = {k: v for k, v, _ in wcs.header_cards()} | change
    with pytest.raises(InputError, match=message):
        wcs_from_header(header)


@pytest.mark.parametrize(("ra", "dec"), [(0.0, 0.0), (359.99999, 89.5), (123.4, -67.8)])
def test_gwcs_agrees_and_inverts(ra, dec):
    wcs = imager_wcs(Pointing(ra, dec, 77.0), "IMG2", (512, 500))
    model = wcs.gwcs((512, 500))
    x, y = np.array([0.0, 250.0, 499.0]), np.array([511.0, 100.0, 0.0])
    np.testing.assert_allclose(model(x, y), wcs.pixel_to_sky(x, y), atol=1e-11)
    lon, lat = wcs.pixel_to_sky(x, y)
    np.testing.assert_allclose(model.invert(lon, lat), (x, y), atol=1e-4)
    box = model.bounding_box.bounding_box(order="F")
    assert box == ((-0.5, 499.5), (-0.5, 511.5))
    assert np.isnan(model(600.0, 10.0)).all()


def test_the_far_side_of_the_sky_has_no_pixel():
    wcs = TanWcs((1.0, 1.0), (0.0, 0.0), ((-1e-3, 0.0), (0.0, 1e-3)))
    assert np.isnan(wcs.sky_to_pixel(180.0, 0.0)).all()


HEADER = {
    "DETECTOR": "IMG2",
    "RA": 10.0,
    "DEC": 20.0,
    "PA": 15.0,
    "DTOTOFF1": 1.0,
    "DTOTOFF2": -2.0,
    "DETSIZE1": 512,
    "DETSIZE2": 512,
    "REFPIX": 4,
}


def test_a_frame_starts_from_its_pointing_unless_its_header_knows_better():
    pointing = Pointing(10.0, 20.0, 15.0, 1.0, -2.0)
    assert starting_wcs(HEADER, (512, 512)) == imager_wcs(pointing, "IMG2", (512, 512))
    window = HEADER | {"SUBSTRT1": 101, "SUBSTRT2": 201, "REFPIX": 0}
    expected = imager_wcs(pointing, "IMG2", (512, 512), start=(101, 201))
    assert starting_wcs(window, (64, 32)) == expected
    own = imager_wcs(Pointing(50.0, 60.0), "IMG1", (512, 512))
    cards = {k: v for k, v, _ in own.header_cards()}
    assert starting_wcs(HEADER | cards, (512, 512)) == own


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"DETECTOR": "IFS"}, "wcs: DETECTOR: got IFS, expected IMG1, IMG2, IMG3, IMG4"),
        ({"PA": None}, "wcs: PA: got nothing, expected a number; complete the header"),
        ({"RA": "10:00:00"}, "wcs: RA: got '10:00:00', expected a number"),
    ],
)
def test_a_pointing_that_cannot_be_used_is_refused(change, message):
    with pytest.raises(InputError, match=message):
        starting_wcs(HEADER | change, (512, 512))
