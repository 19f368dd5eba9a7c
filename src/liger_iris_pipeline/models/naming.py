"""File names of raw reads and products."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from liger_iris_pipeline.errors import ProductError, complaint

__all__ = ["ProductName", "exposure_stem", "parse_name", "product_name", "semester", "window_tag"]

_SEPARATORS = re.compile(r"[/\\\0]")
_OTHERS = re.compile(r"[^A-Za-z0-9.+-]+")
_NAME = re.compile(
    r"(?P<obs_id>[^_]+)_(?P<instrument>[^_]+)_(?P<detector>[^_]+)_(?P<image_type>[^_]+)"
    r"_LVL(?P<level>\d)_(?P<exposure>\d{4,})(?:-(?P<ramp>\d{2,})-(?P<read>\d{4,}))?"
    r"(?P<tail>(?:_[^_]+)*)"
)
_FIRST_OF_A, _FIRST_OF_B = 2, 8  # months


def semester(date: datetime) -> str:
    """Give the semester of a date.

    Parameters
    ----------
    date : datetime
        UTC.

    Returns
    -------
    str
        Year and ``A`` (February to July) or ``B`` (August to January).

    Examples
    --------
    >>> semester(datetime(2027, 1, 31))
    '2026B'
    """
    if date.month < _FIRST_OF_A:
        return f"{date.year - 1}B"
    return f"{date.year}{'A' if date.month < _FIRST_OF_B else 'B'}"


def window_tag(header: Mapping[str, Any]) -> str:
    """Give the part of a file name that tells windows of one exposure apart.

    Parameters
    ----------
    header : mapping
        SUBARRAY, and SUBARRID or SUBSTRT1/2.

    Returns
    -------
    str
        Empty for a full frame; else SUBARRID, or the place of the first pixel where there is none.
    """
    name = str(header.get("SUBARRAY") or "FULL").strip()
    if name.upper() in ("FULL", "ANY"):
        return ""
    number = header.get("SUBARRID")
    if number not in (None, "", 0):
        return _part(header, "SUBARRID")
    start = [header.get(key) for key in ("SUBSTRT1", "SUBSTRT2")]
    return _part(header, "SUBARRAY") if None in start else f"X{start[0]}Y{start[1]}"


def product_name(
    header: Mapping[str, Any], level: int, suffix: str | None = None, detector: str | None = None
) -> str:
    """Name a file after the exposure it holds or was made from.

    Parameters
    ----------
    header : mapping
        OBS_ID (or PROGNUM and OBSNUM with SEMID or DATE-OBS), INSTRUME, DETECTOR, IMTYPE, EXP_NO;
        at level 0 RAMP_NO and READ_NO too; SUBARRAY and its numbers for a window.
    level : int
        0 to 3.
    suffix : str, optional
        Last part, such as ``cube``.
    detector : str, optional
        Instead of DETECTOR: ``MULTIPLE`` for products of several.

    Returns
    -------
    str
        ``{SEMESTER}-{PROGRAM}-{OBS}_{INSTRUME}_{DETECTOR}_{TYPE}_LVL{n}_{EXPNUM:04d}[-{RAMP:02d}-{READ:04d}]
        [_{subarray}][_{suffix}].fits``, never with a path separator.

    Raises
    ------
    ProductError
        If a keyword is absent or has a path separator in it.
    """
    number = f"{_integer(header, 'EXP_NO'):04d}"
    if level == 0 and header.get("READ_NO") is not None:
        number += f"-{_integer(header, 'RAMP_NO'):02d}-{_integer(header, 'READ_NO'):04d}"
    extras = [window_tag(header), _safe("suffix", suffix) if suffix else ""]
    parts = [*_head(header, detector), f"LVL{level:d}", number, *(part for part in extras if part)]
    return "_".join(parts) + ".fits"


def exposure_stem(header: Mapping[str, Any]) -> str:
    """Name an exposure of one detector, whatever the level.

    Parameters
    ----------
    header : mapping
        As for :func:`product_name`.

    Returns
    -------
    str
        The name of its products without ``LVL`` part and ending.
    """
    parts = [*_head(header, None), f"{_integer(header, 'EXP_NO'):04d}", window_tag(header)]
    return "_".join(part for part in parts if part)


def _head(header: Mapping[str, Any], detector: str | None) -> list[str]:
    """Give the parts before the level."""
    return [
        _observation(header),
        _part(header, "INSTRUME"),
        _safe("DETECTOR", detector) if detector else _part(header, "DETECTOR"),
        _part(header, "IMTYPE"),
    ]


def _observation(header: Mapping[str, Any]) -> str:
    """Give OBS_ID, put together from its parts where it is absent."""
    if str(header.get("OBS_ID") or "").strip():
        return _part(header, "OBS_ID")
    if str(header.get("SEMID") or "").strip():
        first = _part(header, "SEMID")
    else:
        try:
            first = semester(datetime.fromisoformat(str(header.get("DATE-OBS"))))
        except ValueError:
            raise _missing("OBS_ID", "nothing") from None
    return f"{first}-{_part(header, 'PROGNUM')}-{_part(header, 'OBSNUM')}"


def _part(header: Mapping[str, Any], key: str) -> str:
    """Take one part of a name from a keyword."""
    value = header.get(key)
    if value is None or not str(value).strip():
        raise _missing(key, "nothing")
    return _safe(key, value)


def _safe(key: str, value: object) -> str:
    """Refuse path separators; other characters that do not belong in a file name become ``-``."""
    text = str(value).strip()
    if _SEPARATORS.search(text) or not text.strip("."):
        raise ProductError(
            complaint("file name", key, repr(text), "no path separator", "mend the header")
        )
    return _OTHERS.sub("-", text)


def _integer(header: Mapping[str, Any], key: str) -> int:
    """Take a number of a name from a keyword."""
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise _missing(key, "nothing" if value is None else repr(value))
    return value


def _missing(key: str, got: str) -> ProductError:
    """Say that a name cannot be made."""
    return ProductError(complaint("file name", key, got, "a value", "mend the header"))


@dataclass(frozen=True)
class ProductName:
    """What a file name says.

    Attributes
    ----------
    obs_id, instrument, detector, image_type : str
        Parts before the level.
    level, exposure : int
        Level and exposure number.
    ramp, read : int or None
        Only in names of raw reads.
    tail : tuple of str
        Window and suffix, as far as there are any.
    """

    obs_id: str
    instrument: str
    detector: str
    image_type: str
    level: int
    exposure: int
    ramp: int | None
    read: int | None
    tail: tuple[str, ...]


def parse_name(name: str) -> ProductName | None:
    """Read a file name that :func:`product_name` made.

    Parameters
    ----------
    name : str
        With or without ``.fits`` or ``.fits.gz``; no folder.

    Returns
    -------
    ProductName or None
        None for a name of another form.

    Examples
    --------
    >>> parse_name("2026B-P001-001_IRIS_IMG1_SCI_LVL0_0001-01-0003.fits").read
    3
    """
    found = _NAME.fullmatch(name.removesuffix(".gz").removesuffix(".fits"))
    if found is None:
        return None
    return ProductName(
        found["obs_id"],
        found["instrument"],
        found["detector"],
        found["image_type"],
        int(found["level"]),
        int(found["exposure"]),
        int(found["ramp"]) if found["ramp"] else None,
        int(found["read"]) if found["read"] else None,
        tuple(part for part in found["tail"].split("_") if part),
    )
