"""Dates of exposures, references and nights."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liger_iris_pipeline.calibration import exposure_date, night_start, parse_utc

MOMENTS = st.datetimes(min_value=datetime(1990, 1, 1), max_value=datetime(2090, 1, 1))


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-22T22:00:00",
        "2026-11-22T22:00:00Z",
        "2026-11-22T22:00:00.000",
        " 2026-11-22T12:00:00-10:00 ",
    ],
)
def test_forms_of_one_moment(text: str) -> None:
    assert parse_utc(text) == datetime(2026, 11, 22, 22, tzinfo=UTC)


@pytest.mark.parametrize("value", ["yesterday", "", None, 59000.5, "22/11/2026"])
def test_what_is_no_date_is_refused(value: object) -> None:
    with pytest.raises(ValueError, match="|".join(["ISO", "isoformat"])):
        parse_utc(value)


def test_mjd_and_iso_give_the_same_moment() -> None:
    # MJD 61366.3541666... is 2026-11-22T08:30: independent value from astropy.time
    mjd = 61366.354166666664
    iso = exposure_date({"DATE-OBS": "2026-11-22T08:30:00"})
    assert exposure_date({"MJD-OBS": mjd}) == iso
    assert exposure_date({"DATE-OBS": "2026-11-22", "MJD-OBS": mjd}) == iso
    assert exposure_date({"DATE-OBS": "unknown", "MJD-OBS": mjd}) == iso


def test_date_alone_is_midnight_and_nothing_is_none() -> None:
    assert exposure_date({"DATE-OBS": "2026-11-22"}) == datetime(2026, 11, 22, tzinfo=UTC)
    assert exposure_date({}) is None
    assert exposure_date({"DATE-OBS": "?", "MJD-OBS": float("nan")}) is None
    assert exposure_date({"MJD-OBS": 1e300}) is None


@pytest.mark.parametrize(
    ("moment", "night"),
    [
        (datetime(2026, 11, 23, 8, 30), datetime(2026, 11, 22, 22)),
        (datetime(2026, 11, 22, 22), datetime(2026, 11, 22, 22)),
        (datetime(2026, 11, 22, 21, 59, 59, 999999), datetime(2026, 11, 21, 22)),
        (datetime(2027, 1, 1, 3), datetime(2026, 12, 31, 22)),
        (
            datetime(2026, 11, 22, 12, tzinfo=timezone(timedelta(hours=-10))),
            datetime(2026, 11, 22, 22),
        ),
    ],
)
def test_night_begins_at_noon_in_hawaii(moment: datetime, night: datetime) -> None:
    assert night_start(moment) == night.replace(tzinfo=UTC)


@given(MOMENTS)
def test_night_holds_its_moment(moment: datetime) -> None:
    start = night_start(moment)
    assert timedelta(0) <= moment.replace(tzinfo=UTC) - start < timedelta(days=1)
    assert start.hour == 22
    assert night_start(start) == start
