"""Dates of exposures and references: UTC throughout."""

from __future__ import annotations

import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

__all__ = ["DAY", "exposure_date", "exposure_end", "format_utc", "night_start", "parse_utc"]

DAY = timedelta(days=1)

_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_NIGHT_BEGINS = timedelta(hours=22)  # noon in Hawaii (UTC - 10 h) as a UTC time of day
_MILLISECOND = 1000  # microseconds


def parse_utc(text: object) -> datetime:
    """Read an ISO date and time in UTC, with or without ``Z`` or a fraction of a second.

    Parameters
    ----------
    text : object
        Value of a keyword such as USEAFTER; a date alone means its midnight.

    Returns
    -------
    datetime
        With time zone UTC.

    Raises
    ------
    ValueError
        If it is no ISO date.

    Examples
    --------
    >>> parse_utc("2026-11-22T22:00:00Z").isoformat()
    '2026-11-22T22:00:00+00:00'
    """
    if not isinstance(text, str):
        raise ValueError(f"{text!r} is no ISO date")  # noqa: TRY004 - one error for every unusable keyword value
    moment = datetime.fromisoformat(text.strip())
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)


def format_utc(moment: datetime) -> str:
    """Write a moment as ISO UTC without a time zone, as FITS does.

    Parameters
    ----------
    moment : datetime
        With a time zone; without one it is taken as UTC.

    Returns
    -------
    str
        ``YYYY-MM-DDTHH:MM:SS[.ffffff]``.
    """
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    return aware.replace(tzinfo=None).isoformat()


def exposure_date(metadata: Mapping[str, Any]) -> datetime | None:
    """Find the start of an exposure in its keywords.

    Parameters
    ----------
    metadata : mapping
        Keywords of the exposure. DATE-OBS is used where it has a time of day, else MJD-OBS, else
        DATE-OBS as it is.

    Returns
    -------
    datetime or None
        UTC; None if neither keyword can be used.
    """
    text = metadata.get("DATE-OBS")
    try:
        date = parse_utc(text)
    except ValueError:
        return _from_mjd(metadata.get("MJD-OBS"))
    if "T" in str(text):
        return date
    return _from_mjd(metadata.get("MJD-OBS")) or date


def exposure_end(metadata: Mapping[str, Any]) -> datetime | None:
    """Find the end of an exposure, or of the exposures a master was made of, in its keywords.

    Parameters
    ----------
    metadata : mapping
        Keywords; MJD-END is used, else the start.

    Returns
    -------
    datetime or None
        UTC; None if neither is stated.
    """
    return _from_mjd(metadata.get("MJD-END")) or exposure_date(metadata)


def _from_mjd(mjd: object) -> datetime | None:
    """Turn a modified Julian date into a moment; None where it is none."""
    if not isinstance(mjd, int | float) or not math.isfinite(mjd):
        return None
    try:
        return _to_millisecond(_MJD_EPOCH + timedelta(days=float(mjd)))
    except OverflowError:
        return None


def _to_millisecond(moment: datetime) -> datetime:
    """Round away what a float MJD cannot hold (1 us), so that it equals its ISO form."""
    half_up = moment + timedelta(microseconds=_MILLISECOND // 2)
    return half_up.replace(microsecond=half_up.microsecond // _MILLISECOND * _MILLISECOND)


def night_start(moment: datetime) -> datetime:
    """Give the start of the observing night of a moment.

    It is the last 22:00 UTC (noon in Hawaii) at or before the moment. Master calibrations take it
    as USEAFTER, so that they serve the whole night they were taken in.

    Parameters
    ----------
    moment : datetime
        Start of the first input; without a time zone it is taken as UTC.

    Returns
    -------
    datetime
        With time zone UTC, at most 24 hours before `moment`.

    Examples
    --------
    >>> night_start(datetime(2026, 11, 23, 8, 30)).isoformat()
    '2026-11-22T22:00:00+00:00'
    """
    aware = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    shifted = aware - _NIGHT_BEGINS
    midnight = shifted.replace(hour=0, minute=0, second=0, microsecond=0)
    return midnight + _NIGHT_BEGINS
