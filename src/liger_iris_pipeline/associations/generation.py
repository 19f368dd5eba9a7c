"""Find out from headers alone which exposures belong together."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from liger_iris_pipeline.associations.association import Association, Member, Product
from liger_iris_pipeline.errors import AssociationError, complaint
from liger_iris_pipeline.models.naming import product_name

__all__ = ["DITHERS", "KINDS", "ROLES", "SAME_POSITION", "SKIES_EACH_SIDE", "generate"]

KINDS = ("dark", "flat", "level2", "level3")
"""Types of association, in the order in which they are wanted."""

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

SKIES_EACH_SIDE = 3
"""Sky frames taken from before and from after an exposure: enough for a median to drop stars."""

SAME_POSITION = 0.04
"""Dithers nearer than this are one position [arcsec]: twice the image of a star at 2.4 um on a
30 m telescope (lambda/D = 0.0165 arcsec), below which a star would be taken for sky."""

DITHERS = 12
"""Other dithers taken as sky at most, those nearest in time: the sky changes within minutes, and
the noise of a median of 12 adds no more than 6 % to that of one exposure."""

_MINIMUM_DITHERS = 3
_MJD_EPOCH = datetime(1858, 11, 17, tzinfo=UTC)
_SECONDS_PER_DAY = 86400.0
_WINDOW = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
_NEEDED = ("OBS_ID", "EXP_NO", "DETECTOR", "IMTYPE")
_IFS_MODES = frozenset({"SLICER", "LENSLET"})


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
class _Item:
    """An exposure with its role and time."""

    name: str
    stem: str
    header: Mapping[str, Any] = field(repr=False)
    role: str
    mjd: float

    @property
    def order(self) -> tuple[Any, ...]:
        """Sort key: time, then identity, then name."""
        return (self.mjd, *self.key("OBS_ID"), int(self.header["EXP_NO"]), self.detector, self.name)

    @property
    def detector(self) -> str:
        return self.key("DETECTOR")[0]

    @property
    def window(self) -> tuple[str, ...]:
        """Subarray: a full frame, or a window with its place."""
        name = self.key("SUBARRAY")[0].upper() or "FULL"
        return (name,) if name == "FULL" else (name, *self.key(*_WINDOW))

    def key(self, *keywords: str) -> tuple[str, ...]:
        """Give keyword values as text; empty where they are absent."""
        values = [self.header.get(keyword) for keyword in keywords]
        return tuple("" if value is None else str(value).strip() for value in values)

    def member(self, exptype: str | None = None) -> Member:
        """Make a member of an association, in this or another role."""
        group = f"{self.key('OBS_ID')[0]}_{int(self.header['EXP_NO']):04d}"
        return Member(self.name, exptype or self.role, group)

    def dithered_from(self, other: _Item) -> bool:
        """Say whether two exposures are known to point at different places."""
        here, there = (_offset(item.header) for item in (self, other))
        if here is not None and there is not None:
            return math.dist(here, there) > SAME_POSITION
        numbers = self.key("DITHNO") + other.key("DITHNO")
        return "" not in numbers and numbers[0] != numbers[1]


def generate(
    exposures: Iterable[Exposure],
    *,
    kinds: Iterable[str] = KINDS,
    folder: str | Path = "",
) -> list[Association]:
    """Associate exposures by their headers.

    Parameters
    ----------
    exposures : iterable
        With ``header`` (keywords), ``name`` (of one of their files, relative to `folder`) and
        ``stem``. Their order does not matter.
    kinds : iterable of str
        Which of :data:`KINDS` are wanted.
    folder : str or Path
        What the names are relative to.

    Returns
    -------
    list of Association
        Darks, flats, level 2, level 3, each in the order of time. One product in each:

        - ``dark``: one per detector, read mode and window;
        - ``flat``: one per detector, filter, IFS mode and window;
        - ``level2``: one per science exposure of a detector. With it up to three sky exposures of
          the same observation and setup from before and three from after; where there are none,
          the other dithers of the same object as ``background`` (two at least, the nearest twelve
          at most);
        - ``level3``: one per observation, object, filter and mode, over detectors and dithers.

    Raises
    ------
    AssociationError
        If a header lacks what is needed, has an IMTYPE that is not known, or two products would
        have one name.
    """
    items = sorted((_item(exposure) for exposure in exposures), key=lambda item: item.order)
    makers: dict[str, Callable[[list[_Item]], Iterator[tuple[str, list[Member]]]]] = {
        "dark": _darks,
        "flat": _flats,
        "level2": _level2,
        "level3": _level3,
    }
    wanted = set(kinds)
    found = [
        Association(f"{kind}-{name}", kind, (Product(name, tuple(members)),), folder=Path(folder))
        for kind in KINDS
        if kind in wanted
        for name, members in makers[kind](items)
    ]
    _check_names(found)
    return found


def _item(exposure: Exposure) -> _Item:
    """Check the header of an exposure."""
    header = exposure.header
    for keyword in _NEEDED:
        if header.get(keyword) is None or not str(header[keyword]).strip():
            raise AssociationError(
                complaint(exposure.stem, keyword, "nothing", "a value", "repair the header")
            )
    imtype = str(header["IMTYPE"]).strip().upper()
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
    return _Item(exposure.name, exposure.stem, header, ROLES[imtype], _mjd(exposure))


def _mjd(exposure: Exposure) -> float:
    """Give the start of an exposure as modified Julian date."""
    mjd = exposure.header.get("MJD-OBS")
    if isinstance(mjd, int | float) and math.isfinite(mjd):
        return float(mjd)
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
    return (aware - _MJD_EPOCH).total_seconds() / _SECONDS_PER_DAY


def _offset(header: Mapping[str, Any]) -> tuple[float, float] | None:
    """Give the dither offset (east, north) [arcsec]; None where it is not stated."""
    offset = (header.get("DTOTOFF1"), header.get("DTOTOFF2"))
    if not all(isinstance(value, int | float) and math.isfinite(value) for value in offset):
        return None
    east, north = offset
    return float(east or 0.0), float(north or 0.0)


def _grouped(
    items: list[_Item], role: str, key: Callable[[_Item], tuple[Any, ...]]
) -> list[list[_Item]]:
    """Group the exposures of one role, groups and members in the order of time."""
    groups: dict[tuple[Any, ...], list[_Item]] = defaultdict(list)
    for item in items:
        if item.role == role:
            groups[key(item)].append(item)
    return list(groups.values())


def _darks(items: list[_Item]) -> Iterator[tuple[str, list[Member]]]:
    """One dark per detector, read mode and window."""
    for group in _grouped(
        items, "dark", lambda i: (i.key("INSTRUME", "DETECTOR", "SAMPMODE"), i.window)
    ):
        yield _name(group[0].header, 3), [item.member() for item in group]


def _flats(items: list[_Item]) -> Iterator[tuple[str, list[Member]]]:
    """One flat per detector, filter, mode and window."""
    keys = ("INSTRUME", "DETECTOR", "FILTER", "INSTMODE", "IFSSCALE", "GRATING")
    for group in _grouped(items, "flat", lambda i: (i.key(*keys), i.window)):
        yield _name(group[0].header, 3), [item.member() for item in group]


def _setup(item: _Item) -> tuple[Any, ...]:
    """Give what a sky shares with the science it is subtracted from."""
    keys = ("OBS_ID", "INSTRUME", "DETECTOR", "FILTER", "INSTMODE", "SAMPMODE")
    return (item.key(*keys, "IFSSCALE", "GRATING"), item.window)


def _level2(items: list[_Item]) -> Iterator[tuple[str, list[Member]]]:
    """One product per science exposure, with its sky."""
    skies = {_setup(group[0]): group for group in _grouped(items, "sky", _setup)}
    fields = {
        (_setup(group[0]), group[0].key("OBJECT")): group
        for group in _grouped(items, "science", lambda i: (_setup(i), i.key("OBJECT")))
    }
    for item in items:
        if item.role != "science":
            continue
        members = [sky.member() for sky in _nearest(item, skies.get(_setup(item), []))]
        if not members:
            dithers = _dithers(item, fields[_setup(item), item.key("OBJECT")])
            members = [other.member("background") for other in dithers]
        yield _name(item.header, 2, _suffix(item)), [item.member(), *members]


def _nearest(science: _Item, skies: list[_Item]) -> list[_Item]:
    """Pick the sky exposures nearest in time before and after, in the order of time."""
    before = [sky for sky in skies if sky.mjd < science.mjd]
    after = [sky for sky in skies if sky.mjd >= science.mjd]
    return before[-SKIES_EACH_SIDE:] + after[:SKIES_EACH_SIDE]


def _dithers(science: _Item, beside: list[_Item]) -> list[_Item]:
    """Pick the other dithers that can serve as sky, in the order of time; none if too few."""
    nearest = sorted(beside, key=lambda other: abs(other.mjd - science.mjd))
    dithers = list(islice((other for other in nearest if other.dithered_from(science)), DITHERS))
    if len(dithers) + 1 < _MINIMUM_DITHERS:
        return []
    return sorted(dithers, key=lambda other: other.order)


def _level3(items: list[_Item]) -> Iterator[tuple[str, list[Member]]]:
    """One product per observation, object, filter and mode."""
    keys = ("INSTRUME", "OBS_ID", "OBJECT", "FILTER", "INSTMODE", "IFSSCALE", "GRATING")
    for group in _grouped(items, "science", lambda i: i.key(*keys)):
        several = len({item.detector for item in group}) > 1
        name = _name(
            group[0].header, 3, _suffix(group[0]), "MULTIPLE" if several else group[0].detector
        )
        yield name, [item.member() for item in group]


def _suffix(item: _Item) -> str | None:
    """Products of the spectrograph are cubes."""
    return "cube" if item.key("INSTMODE")[0].upper() in _IFS_MODES else None


def _name(
    header: Mapping[str, Any], level: int, suffix: str | None = None, detector: str | None = None
) -> str:
    """Name a product after its first exposure, without ending."""
    name = str(product_name(header, level, suffix=suffix, detector=detector))
    return name.removesuffix(".fits")


def _check_names(associations: list[Association]) -> None:
    """Refuse two products of one name."""
    first: dict[str, Association] = {}
    for association in associations:
        product = association.products[0]
        other = first.setdefault(product.name, association)
        if other is not association:
            raise AssociationError(
                complaint(
                    product.name,
                    "product",
                    f"one name for {other.members[0].expname} and {product.members[0].expname}",
                    "EXP_NO unique within an OBS_ID",
                    "repair the headers or leave one out",
                )
            )
