"""What is known of one product: its exposures, what goes with them, and what is missing."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

from liger_iris_pipeline.associations.association import Association, Member, Product
from liger_iris_pipeline.associations.items import SECONDS_PER_DAY, Item
from liger_iris_pipeline.associations.picking import Around, ShortList
from liger_iris_pipeline.associations.rules import Companion, Rule
from liger_iris_pipeline.models.naming import product_name

__all__ = ["SetSlot", "SingleSlot", "Slot", "State", "product_of"]

State = Literal["open", "ready", "degraded"]
_MILLISECONDS = 3  # decimals of dt_s
_SEVERAL = 2  # detectors, from which on the others are expected
_SHOWN = 3  # exposures named in a note


class Slot(ABC):
    """A product in the making.

    Attributes
    ----------
    rule : Rule
        The rule that it follows.
    state : {"open", "ready", "degraded"}
        What was said of it.
    final : bool
        Whether nothing more is waited for.
    given : Association or None
        What was said of it last.
    version : int
        How many times it was given.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.state: State = "open"
        self.final = False
        self.given: Association | None = None
        self.version = 0
        self._made: Association | None = None

    @property
    @abstractmethod
    def first(self) -> Item:
        """The exposure that the product is named after."""

    @property
    @abstractmethod
    def last(self) -> Item:
        """The latest exposure."""

    @property
    @abstractmethod
    def name(self) -> str:
        """Name of the product."""

    @property
    @abstractmethod
    def observations(self) -> frozenset[str]:
        """Observations of its exposures, without companions."""

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that makes a product."""
        return False

    @abstractmethod
    def add(self, item: Item) -> None:
        """Take an exposure in."""

    @abstractmethod
    def members(self) -> tuple[Member, ...]:
        """Give the members in order."""

    @abstractmethod
    def missing(self) -> tuple[str, ...]:
        """Say what is missing."""

    def association(self, folder: Path) -> Association:
        """Give the association as it is now."""
        if self._made is None:
            first, name = self.first, self.name
            self._made = Association(
                f"{self.rule.asn_type}-{name}",
                self.rule.asn_type,
                (Product(name, self.members()),),
                folder=folder,
                asn_rule=self.rule.name,
                degraded=self.missing(),
                program=_program(first),
                target=first.text("OBJECT"),
            )
        return self._made


class SingleSlot(Slot):
    """The product of one exposure and its companions.

    Attributes
    ----------
    item : Item
        The exposure.
    short_lists : list of ShortList
        Companions, one list for each entry of the rule.
    """

    def __init__(self, rule: Rule, item: Item, *, past_only: bool = False) -> None:
        super().__init__(rule)
        self.item = item
        self.past_only = past_only
        self.short_lists: list[ShortList] = []
        self._companions: dict[tuple[str, str], Member] = {}

    @property
    def first(self) -> Item:
        """The exposure."""
        return self.item

    @property
    def last(self) -> Item:
        """The exposure."""
        return self.item

    @cached_property
    def name(self) -> str:
        """Name of the product."""
        return product_of(self.item.header, self.rule)

    @cached_property
    def observations(self) -> frozenset[str]:
        """Its observation."""
        return frozenset([self.item.text("OBS_ID")])

    @property
    def deadline(self) -> float:
        """Time after which no companion is waited for [d, MJD]."""
        windows = [c.within_d for c in self.rule.companions if c.is_around and not self.past_only]
        return max(self.item.end, self.item.mid + max(windows, default=0.0))

    def add(self, item: Item) -> None:
        """Do nothing: it has its exposure."""

    def is_served(self, role: str) -> bool:
        """Say whether there are companions in a role."""
        return any(s.companion.role == role and not s.is_empty for s in self.short_lists)

    def settle(self) -> None:
        """Take note that a short list has changed."""
        self._made = None
        for short in self.short_lists:
            if short.companion.instead_of and self.is_served(short.companion.instead_of):
                short.close()

    def members(self) -> tuple[Member, ...]:
        """Give the exposure, then its companions in the order of roles and time."""
        found = [self.item.member]
        served: set[str] = set()
        for short in self.short_lists:
            role = short.companion.role
            if short.companion.instead_of in served:
                continue
            found += [self._companion(item, role) for item in short.picked()]
            if not short.is_empty:
                served.add(role)
        return tuple(found)

    def _companion(self, item: Item, role: str) -> Member:
        """Give a companion as a member."""
        member = self._companions.get((item.name, role))
        if member is None:
            dt_s = round((item.mid - self.item.mid) * SECONDS_PER_DAY, _MILLISECONDS)
            member = Member(item.name, role, item.group, dt_s=dt_s)
            self._companions[item.name, role] = member
        return member

    def missing(self) -> tuple[str, ...]:
        """Say which companions are missing."""
        if not self.short_lists:
            return ()
        if not any(not short.is_empty for short in self.short_lists):
            reasons = " and ".join(self._wish(s.companion) for s in self.short_lists)
            return (f"no_{self.short_lists[0].companion.role}: {reasons}",)
        return tuple(
            note
            for short in self.short_lists
            if isinstance(short, Around)
            for note in self._one_sided(short)
        )

    def _one_sided(self, short: Around) -> list[str]:
        """Say on which side there is no companion, or that those there are are far away."""
        role, what = short.companion.role, self._wish(short.companion)
        sides = [short.has_near(side) for side in ((0,) if self.past_only else (0, 1))]
        if short.is_empty or all(sides):
            return []
        if not any(sides):
            away = min(abs(item.mid - self.item.mid) for item in short.picked())
            return [f"{role}_far: {what}, the nearest of its observation {away:.3g} d away"]
        side = "after" if sides[0] else "before"
        return [f"no_{role}_{side}: {what} {side} it"]

    def _wish(self, companion: Companion) -> str:
        """Say in words what there is none of."""
        if companion.is_around:
            kinds = " or ".join(
                value for _, values in companion.condition.when for value in sorted(values)
            )
            setup = " ".join(self.item.key(("DETECTOR", "FILTER"))).strip()
            return f"no {kinds} exposure of {setup} within {companion.within_d:g} d"
        return f"fewer than {companion.least} other dithers"


class SetSlot(Slot):
    """The product of exposures that agree in some keywords."""

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._items: list[Item] = []
        self._keys: list[tuple[Any, ...]] = []
        self._guests: list[Item] = []
        self._observations: set[str] = set()
        self._groups: dict[str, set[str]] = defaultdict(set)  # exposures by detector

    @property
    def first(self) -> Item:
        """The earliest exposure."""
        return self._items[0]

    @property
    def last(self) -> Item:
        """The latest exposure."""
        return self._items[-1]

    @property
    def name(self) -> str:
        """Name of the product: after its first exposure."""
        several = len(self._groups) > 1
        return product_of(self.first.header, self.rule, "MULTIPLE" if several else None)

    @property
    def observations(self) -> frozenset[str]:
        """Observations of its exposures."""
        return frozenset(self._observations)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing that makes a product."""
        return not self._items

    def add(self, item: Item) -> None:
        """Put an exposure in its place."""
        self._made = None
        if not self.rule.condition.holds(item):
            insort(self._guests, item, key=lambda guest: guest.order)
            return
        place = bisect_left(self._keys, item.order)
        self._keys.insert(place, item.order)
        self._items.insert(place, item)
        self._observations.add(item.text("OBS_ID"))
        self._groups[item.detector].add(item.group)

    def members(self) -> tuple[Member, ...]:
        """Give the exposures in the order of time, then those that have joined them."""
        return tuple([item.member for item in (*self._items, *self._guests)])

    def missing(self) -> tuple[str, ...]:
        """Say how many exposures and which detectors are missing."""
        count, least = len(self._items), self.rule.least
        notes = []
        if count < least:
            plural = "" if count == 1 else "s"
            notes.append(f"few: {count} exposure{plural}, expected at least {least}")
        return (*notes, *self._missing_detectors())

    def _missing_detectors(self) -> list[str]:
        """Say which detectors are missing, in all exposures or in some."""
        wanted = self.rule.detectors
        if sum(detector in self._groups for detector in wanted) < _SEVERAL:
            return []
        every = set().union(*self._groups.values())
        notes = []
        for detector in wanted:
            lacking = sorted(every - self._groups.get(detector, set()))
            if len(lacking) == len(every):
                notes.append(f"detectors: {detector} missing")
            elif lacking:
                some = ", ".join(lacking[:_SHOWN]) + (", …" if len(lacking) > _SHOWN else "")
                where = f"{len(lacking)} of {len(every)} exposures ({some})"
                notes.append(f"detectors: {detector} missing in {where}")
        return notes


def _program(item: Item) -> str:
    """Give the programme: OBS_ID without its last part."""
    return item.text("OBS_ID").rpartition("-")[0]


def product_of(header: Mapping[str, Any], rule: Rule, detector: str | None = None) -> str:
    """Name a product after an exposure.

    Parameters
    ----------
    header : mapping
        Keywords of the exposure.
    rule : Rule
        Gives level and suffix.
    detector : str, optional
        Instead of DETECTOR.

    Returns
    -------
    str
        Without ending.

    Raises
    ------
    ProductError
        If a keyword is absent or has a path separator in it.
    """
    name = product_name(header, rule.level, suffix=rule.suffix or None, detector=detector)
    return name.removesuffix(".fits")
