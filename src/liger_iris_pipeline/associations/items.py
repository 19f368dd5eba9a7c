"""Exposures as the rules see them: keywords as text, a role, times."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Protocol

from liger_iris_pipeline.associations.association import Member
from liger_iris_pipeline.errors import AssociationError, complaint

__all__ = ["ROLES", "SECONDS_PER_DAY", "WINDOW", "Exposure", "Item", "as_text", "item_of"]

ROLES = {
    "SCI": "science",
    "SKY": "sky",
    "DARK": "dark",
    "FLAT": "flat",
    "ARC": "arc",
    "LAMPSCAN": "lampscan",
    "PINHOLE": "pinhole",
    "STD": "standard",
    "TELLURIC": "telluric",
    "BIAS": "bias",
}
"""Role of an exposure by its IMTYPE."""

WINDOW = "window"
"""Stands for the subarray and its place among the keywords of a rule."""

SECONDS_PER_DAY = 86400.0
_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_PLACE = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
_NEEDED = ("OBS_ID", "EXP_NO", "DETECTOR", "IMTYPE")
_LONGEST = 1.0  # exposure [d]; a longer one has a wrong MJD-END


class Exposure(Protocol):
    """What is needed of an exposure."""

    @property
    def header(self) -> Mapping[str, Any]:
        """Its keywords."""

    @property
    def name(self) -> str:
        """Name of one of its files."""

    @property
    def stem(self) -> str:
        """Its name in messages."""


@dataclass(frozen=True)
class Item:
    """An exposure with its role and times.

    Attributes
    ----------
    name, stem : str
        Name of one of its files; its name in messages.
    header : mapping
        Keywords.
    role : str
        From IMTYPE.
    start, end : float
        Begin and end of the exposure [d, MJD UTC].
    """

    name: str
    stem: str
    header: Mapping[str, Any] = field(repr=False, compare=False)
    role: str
    start: float
    end: float
    _texts: dict[str, str] = field(default_factory=dict, repr=False, compare=False)

    @cached_property
    def mid(self) -> float:
        """Middle of the exposure [d, MJD UTC]."""
        return self.start + (self.end - self.start) / 2

    @cached_property
    def identity(self) -> tuple[str, int, str, str]:
        """Observation, number, detector and name, which order exposures of one time."""
        return self.text("OBS_ID"), int(self.header["EXP_NO"]), self.detector, self.name

    @cached_property
    def order(self) -> tuple[Any, ...]:
        """Sort key: begin, then identity."""
        return (self.start, *self.identity)

    @cached_property
    def by_middle(self) -> tuple[Any, ...]:
        """Sort key: middle, then identity."""
        return (self.mid, *self.identity)

    @cached_property
    def detector(self) -> str:
        """DETECTOR."""
        return self.text("DETECTOR")

    @cached_property
    def group(self) -> str:
        """Name that all detectors of the exposure share."""
        return f"{self.text('OBS_ID')}_{int(self.header['EXP_NO']):04d}"

    @cached_property
    def member(self) -> Member:
        """The exposure as a member in its own role."""
        return Member(self.name, self.role, self.group)

    def text(self, keyword: str) -> str:
        """Give the value of a keyword as text; empty where it is absent."""
        known = self._texts.get(keyword)
        if known is None:
            known = self._window() if keyword == WINDOW else as_text(self.header.get(keyword))
            self._texts[keyword] = known
        return known

    def key(self, keywords: tuple[str, ...]) -> tuple[str, ...]:
        """Give the values of several keywords."""
        return tuple([self.text(keyword) for keyword in keywords])

    def is_apart(self, other: Item, arcsec: float) -> bool:
        """Say whether two exposures are known to point at different places.

        By their offsets where both state them, else by the number of the dither.
        """
        if self.offset is not None and other.offset is not None:
            return math.dist(self.offset, other.offset) > arcsec
        numbers = (self.text("DITHNO"), other.text("DITHNO"))
        return "" not in numbers and numbers[0] != numbers[1]

    @cached_property
    def offset(self) -> tuple[float, float] | None:
        """Dither offset (east, north) [arcsec]; None where it is not stated."""
        east, north = (_number(self.header.get(key)) for key in ("DTOTOFF1", "DTOTOFF2"))
        return None if east is None or north is None else (east, north)

    def _window(self) -> str:
        """Give the subarray: a full frame, or a window with its place."""
        name = self.text("SUBARRAY").upper() or "FULL"
        return name if name == "FULL" else " ".join([name, *self.key(_PLACE)])


def as_text(value: object) -> str:
    """Give the value of a keyword as text.

    Parameters
    ----------
    value : object
        Text, number, truth value or None.

    Returns
    -------
    str
        Without blanks around it; 25 and 25.0 are the same; empty for None.
    """
    if value is None:
        return ""
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:.12g}"
    return str(value).strip()


def item_of(exposure: Exposure) -> Item:
    """Check the header of an exposure.

    Parameters
    ----------
    exposure : Exposure
        With header, name and stem.

    Returns
    -------
    Item
        The exposure as rules see it.

    Raises
    ------
    AssociationError
        If its header lacks its identity, an IMTYPE that is known, or a date.
    """
    header = exposure.header
    for keyword in _NEEDED:
        if not as_text(header.get(keyword)):
            raise AssociationError(
                complaint(exposure.stem, keyword, "nothing", "a value", "repair the header")
            )
    imtype = as_text(header["IMTYPE"]).upper()
    if imtype not in ROLES:
        raise AssociationError(
            complaint(
                exposure.stem,
                "IMTYPE",
                repr(header["IMTYPE"]),
                f"one of {' '.join(ROLES)}",
                "repair the header or leave the exposure out",
            )
        )
    number = header["EXP_NO"]
    if isinstance(number, bool) or not isinstance(number, int):
        raise AssociationError(
            complaint(exposure.stem, "EXP_NO", repr(number), "an integer", "repair the header")
        )
    start = _start(exposure)
    return Item(exposure.name, exposure.stem, header, ROLES[imtype], start, _end(header, start))


def _start(exposure: Exposure) -> float:
    """Give the begin of an exposure [d, MJD]."""
    mjd = _number(exposure.header.get("MJD-OBS"))
    if mjd is not None:
        return mjd
    try:
        moment = datetime.fromisoformat(str(exposure.header.get("DATE-OBS")))
    except ValueError:
        raise AssociationError(
            complaint(
                exposure.stem,
                "MJD-OBS, DATE-OBS",
                "no date that can be used",
                "the start of the exposure",
                "repair the header",
            )
        ) from None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return (aware - _MJD_EPOCH).total_seconds() / SECONDS_PER_DAY


def _end(header: Mapping[str, Any], start: float) -> float:
    """Give the end of an exposure [d, MJD]: MJD-END, else by EXPTIME, else its begin."""
    end = _number(header.get("MJD-END"))
    if end is None:
        end = start + (_number(header.get("EXPTIME")) or 0.0) / SECONDS_PER_DAY
    return end if 0 <= end - start <= _LONGEST else start


def _number(value: object) -> float | None:
    """Give a finite number; None for anything else."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        return None
    return float(value)
