"""Names of files."""

from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liger_iris_pipeline.errors import ProductError
from liger_iris_pipeline.models.naming import exposure_stem, parse_name, product_name, semester

HEADER = {
    "OBS_ID": "2026B-P001-001",
    "INSTRUME": "IRIS",
    "DETECTOR": "IMG1",
    "IMTYPE": "SCI",
    "EXP_NO": 1,
    "RAMP_NO": 1,
    "READ_NO": 3,
}
WINDOW = {"SUBARRAY": "CUSTOM", "SUBSTRT1": 101, "SUBSTRT2": 7}


@pytest.mark.parametrize(
    ("changes", "arguments", "expected"),
    [
        ({}, {"level": 0}, "2026B-P001-001_IRIS_IMG1_SCI_LVL0_0001-01-0003.fits"),
        ({"READ_NO": None}, {"level": 0}, "2026B-P001-001_IRIS_IMG1_SCI_LVL0_0001.fits"),
        ({}, {"level": 1}, "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001.fits"),
        (
            {"DETECTOR": "IFS"},
            {"level": 2, "suffix": "cube"},
            "2026B-P001-001_IRIS_IFS_SCI_LVL2_0001_cube.fits",
        ),
        (
            {},
            {"level": 3, "detector": "MULTIPLE"},
            "2026B-P001-001_IRIS_MULTIPLE_SCI_LVL3_0001.fits",
        ),
        ({"EXP_NO": 12345}, {"level": 1}, "2026B-P001-001_IRIS_IMG1_SCI_LVL1_12345.fits"),
        (
            {"SUBARRAY": "FULL", "SUBARRID": 0},
            {"level": 1},
            "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001.fits",
        ),
        ({**WINDOW, "SUBARRID": 2}, {"level": 1}, "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001_2.fits"),
        (
            {**WINDOW, "SUBARRID": "G2"},
            {"level": 0},
            "2026B-P001-001_IRIS_IMG1_SCI_LVL0_0001-01-0003_G2.fits",
        ),
        (
            {**WINDOW, "SUBARRID": 0},
            {"level": 1},
            "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001_X101Y7.fits",
        ),
        (
            WINDOW,
            {"level": 2, "suffix": "sky"},
            "2026B-P001-001_IRIS_IMG1_SCI_LVL2_0001_X101Y7_sky.fits",
        ),
        ({"SUBARRAY": "ODGW"}, {"level": 1}, "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001_ODGW.fits"),
        (
            {"OBS_ID": None, "SEMID": "2026A", "PROGNUM": "P2", "OBSNUM": "7"},
            {"level": 1},
            "2026A-P2-7_IRIS_IMG1_SCI_LVL1_0001.fits",
        ),
        (
            {"OBS_ID": None, "DATE-OBS": "2027-01-02T03:04:05", "PROGNUM": "P2", "OBSNUM": "7"},
            {"level": 1},
            "2026B-P2-7_IRIS_IMG1_SCI_LVL1_0001.fits",
        ),
        ({"OBS_ID": "a b_c"}, {"level": 1}, "a-b-c_IRIS_IMG1_SCI_LVL1_0001.fits"),
    ],
)
def test_names(changes, arguments, expected):
    assert product_name({**HEADER, **changes}, **arguments) == expected


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"OBS_ID": "../up"}, r"^file name: OBS_ID: got '\.\./up', expected no path separator; "),
        ({"OBS_ID": "a\\b"}, "OBS_ID"),
        ({"DETECTOR": ".."}, "DETECTOR: got '..'"),
        ({"IMTYPE": None}, "IMTYPE: got nothing, expected a value"),
        ({"INSTRUME": " "}, "INSTRUME: got nothing"),
        ({"EXP_NO": "1"}, "EXP_NO: got '1'"),
        ({"EXP_NO": True}, "EXP_NO: got True"),
        ({"EXP_NO": -1}, "EXP_NO: got -1"),
        ({"OBS_ID": None, "DATE-OBS": "x"}, "OBS_ID: got nothing"),
        ({"SUBARRAY": "CUSTOM", "SUBARRID": "1/2"}, "SUBARRID: got '1/2'"),
    ],
)
def test_names_that_cannot_be_made(changes, message):
    with pytest.raises(ProductError, match=message):
        product_name({**HEADER, **changes}, 1)


def test_suffix_and_detector_cannot_leave_the_folder():
    with pytest.raises(ProductError, match="suffix: got '/etc'"):
        product_name(HEADER, 1, suffix="/etc")
    with pytest.raises(ProductError, match="DETECTOR: got 'a/b'"):
        product_name(HEADER, 1, detector="a/b")


@given(st.text(max_size=20), st.text(max_size=20))
def test_no_header_makes_a_path(obs_id, window):
    try:
        name = product_name({**HEADER, **WINDOW, "OBS_ID": obs_id, "SUBARRID": window}, 1)
    except ProductError:
        return
    assert name.isascii()
    assert not set(name) & set("/\\\0 \n")
    assert not name.startswith(".") or name.strip(".")


@pytest.mark.parametrize(
    ("date", "expected"),
    [
        ("2026-01-31", "2025B"),
        ("2026-02-01", "2026A"),
        ("2026-07-31", "2026A"),
        ("2026-08-01", "2026B"),
        ("2026-12-31", "2026B"),
    ],
)
def test_semesters(date, expected):
    assert semester(datetime.fromisoformat(date)) == expected


@given(st.integers(0, 99999), st.integers(1, 120), st.integers(1, 99999), st.integers(0, 3))
def test_a_name_is_read_back(exposure, ramp, read, level):
    numbers = {"EXP_NO": exposure, "RAMP_NO": ramp, "READ_NO": read}
    found = parse_name(product_name({**HEADER, **WINDOW, **numbers}, level, suffix="x"))
    assert (found.obs_id, found.detector, found.level) == ("2026B-P001-001", "IMG1", level)
    assert found.exposure == exposure
    assert (found.ramp, found.read) == ((ramp, read) if level == 0 else (None, None))
    assert found.tail == ("X101Y7", "x")


def test_other_names_are_not_read():
    assert parse_name("IRIS_IMG1_DARK_20260101T000000_0001.fits") is None
    assert parse_name("2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001.fits.gz").tail == ()


def test_a_stem_has_no_level_and_no_read():
    assert exposure_stem({**HEADER, **WINDOW}) == "2026B-P001-001_IRIS_IMG1_SCI_0001_X101Y7"
