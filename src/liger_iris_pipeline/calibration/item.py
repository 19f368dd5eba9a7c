"""One reference as the choice sees it: what it is for, since when, and its checksum."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from typing import Any

from liger_iris_pipeline.calibration.dates import (
    exposure_date,
    exposure_end,
    format_utc,
    parse_utc,
)
from liger_iris_pipeline.errors import ContextError, complaint

__all__ = ["WINDOW", "Item", "item_from_fields", "item_from_header", "item_to_fields"]

WINDOW = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
"""Keywords of a window: first column and row, from 1, and its size."""

_DATES = ("useafter", "begin", "end", "good_until")


@dataclass(frozen=True)
class Item:
    """What is known of a reference without opening it.

    Attributes
    ----------
    file : str
        Its name.
    reftype : str
        Lower-case type.
    match : mapping
        Values of the keywords it is chosen by: a value, ``ANY``, ``*`` or ``N/A``, a list, or
        ``{"range": [low, high]}``.
    useafter : datetime
        Start of its validity, UTC.
    sha256 : str
        Checksum; empty where it was not computed yet.
    version : str
        REFVER.
    begin, end : datetime or None
        When its own data were taken, UTC.
    good_until : datetime or None
        End of its validity, UTC.
    obs_id : str
        OBS_ID of its data.
    quality : float
        QUALITY, higher is better; 0 where it states none.
    """

    file: str
    reftype: str
    match: Mapping[str, Any] = field(hash=False)
    useafter: datetime
    sha256: str = ""
    version: str = ""
    begin: datetime | None = None
    end: datetime | None = None
    good_until: datetime | None = None
    obs_id: str = ""
    quality: float = 0.0

    def taken(self, key: str) -> datetime | None:
        """Give begin (MJD-OBS) or end (MJD-END) of its data."""
        return self.end if key == "MJD-END" else self.begin


def item_from_header(
    file: str, header: Mapping[str, Any], keys: tuple[str, ...], sha256: str = ""
) -> Item:
    """Describe a reference by its PRIMARY header.

    Parameters
    ----------
    file : str
        Its name.
    header : mapping
        Its PRIMARY keywords; REFTYPE and USEAFTER must be there.
    keys : tuple of str
        Keywords it is chosen by.
    sha256 : str
        Its checksum, if it is known.

    Returns
    -------
    Item
        The description.

    Raises
    ------
    ValueError
        If USEAFTER or GOODUNTL is no date.
    """
    until, quality = header.get("GOODUNTL"), header.get("QUALITY")
    wanted = [*keys, *(WINDOW if "SUBARRAY" in keys else ())]
    return Item(
        file=file,
        reftype=str(header["REFTYPE"]).strip().lower(),
        match={key: header[key] for key in wanted if header.get(key) is not None},
        useafter=parse_utc(header["USEAFTER"]),
        sha256=sha256,
        version="" if header.get("REFVER") is None else str(header["REFVER"]).strip(),
        begin=exposure_date(header),
        end=exposure_end(header),
        good_until=None if until is None else parse_utc(until),
        obs_id=str(header.get("OBS_ID") or "").strip(),
        quality=float(quality) if isinstance(quality, int | float) else 0.0,
    )


def item_to_fields(item: Item) -> dict[str, Any]:
    """Give the fields of an entry of a rules file; those without a value are left out."""
    dates = {name: getattr(item, name) for name in _DATES}
    fields: dict[str, Any] = {"file": item.file, "sha256": item.sha256, "match": dict(item.match)}
    fields |= {name: format_utc(moment) for name, moment in dates.items() if moment is not None}
    return fields | {
        name: value
        for name in ("version", "obs_id", "quality")
        if (value := getattr(item, name)) not in ("", 0.0)
    }


def item_from_fields(fields: Any, reftype: str, name: str) -> Item:
    """Read an entry of a rules file.

    Parameters
    ----------
    fields : object
        What the file has.
    reftype : str
        Type the file is for.
    name : str
        Name of the file, for messages.

    Returns
    -------
    Item
        The reference.

    Raises
    ------
    ContextError
        If a field is missing, unknown or cannot be read.
    """
    try:
        given = dict(fields)
        dates: dict[str, Any] = {key: _moment(given.pop(key)) for key in _DATES if key in given}
        return Item(reftype=reftype, **given, **dates)
    except (TypeError, ValueError, KeyError) as error:
        said = f"{fields.get('file', fields) if isinstance(fields, dict) else fields!r} ({error})"
        raise ContextError(
            complaint(name, "entries", said, "a reference", "put the original back")
        ) from error


def _moment(value: object) -> datetime:
    """Read a date that JSON has as text and YAML may have read already."""
    return parse_utc(value.isoformat() if isinstance(value, date) else value)
