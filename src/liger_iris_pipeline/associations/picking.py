"""Which of many exposures go with one: short lists that exposures are offered to in any order.

An exposure that was offered is never taken back, so a short list keeps the best and forgets the rest, and what it
holds does not depend on the order.  `reach` says from how far away an offer can still change it.
"""

from __future__ import annotations

import heapq
import math
from abc import ABC, abstractmethod
from bisect import bisect_left, insort
from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Generic, NamedTuple, TypeVar

from liger_iris_pipeline.associations.items import Item
from liger_iris_pipeline.associations.rules import Companion

__all__ = ["Around", "Nearest", "Pool", "ShortList", "make_short_list"]

_SLACK = 1e-9
"""Added to windows of time [d]: 0.1 ms, a hundred times the rounding of a modified Julian date."""

_NEVER = -1.0
Owner = TypeVar("Owner")
_MANY = 32
"""Places in one field above which it is not worth while to look at each of them by itself."""


class _Candidate(NamedTuple):
    """An exposure on a short list: the smaller, the better."""

    distance: float
    key: tuple[Any, ...]
    item: Item


Place = tuple[float, float] | str
"""Where an exposure points: offset (east, north) [arcsec], else the number of the dither."""


class Pool(Generic[Owner]):
    """Exposures that may be companions, and the short lists that wait for such; by where they point."""

    def __init__(self) -> None:
        self._all = _Lane()
        self._lanes: dict[Place, _Lane] = defaultdict(_Lane)
        self._watchers: dict[Place, list[tuple[ShortList, Owner]]] = defaultdict(list)

    def add(self, item: Item) -> None:
        """Put an exposure in its place."""
        self._all.add(item)
        self._lanes[_place(item)].add(item)

    def watch(self, short: ShortList, owner: Owner) -> None:
        """Let a short list wait for exposures."""
        self._watchers[_place(short.anchor)].append((short, owner))

    def watchers(self, item: Item) -> Iterator[tuple[ShortList, Owner]]:
        """Give the short lists that an exposure may be good for, with their owners."""
        for watchers in self._watchers.values():
            first = watchers[0][0]
            if _may_be_apart(item, first.anchor, first.companion.apart_arcsec):
                for short, owner in watchers:
                    if abs(short.mid - item.mid) <= short.reach:
                        yield short, owner

    def outward(self, anchor: Item, apart_arcsec: float) -> Iterator[Item]:
        """Give the exposures in the order of their distance in time, those of one place left out.

        Where there are many places, most are elsewhere, and all are given.
        """
        if not apart_arcsec or len(self._lanes) > _MANY:
            return self._all.outward(anchor.mid)
        lanes = [
            lane for lane in self._lanes.values() if _may_be_apart(anchor, lane.first, apart_arcsec)
        ]
        return heapq.merge(
            *(lane.outward(anchor.mid) for lane in lanes),
            key=lambda item: abs(item.mid - anchor.mid),
        )


def _place(item: Item) -> Place:
    """Say where an exposure points."""
    return item.offset or item.text("DITHNO")


def _may_be_apart(item: Item, other: Item, arcsec: float) -> bool:
    """Say whether an exposure may point elsewhere than those of the place of another."""
    if not arcsec or item.offset is None or other.offset is None:
        return True
    return math.dist(item.offset, other.offset) > arcsec


class _Lane:
    """Exposures in the order of time."""

    def __init__(self) -> None:
        self._keys: list[tuple[Any, ...]] = []
        self._items: list[Item] = []

    def add(self, item: Item) -> None:
        """Put an exposure in its place."""
        place = bisect_left(self._keys, item.by_middle)
        self._keys.insert(place, item.by_middle)
        self._items.insert(place, item)

    @property
    def first(self) -> Item:
        """The earliest exposure."""
        return self._items[0]

    def outward(self, mid: float) -> Iterator[Item]:
        """Give all exposures, those nearest to a time [d, MJD] first."""
        after = bisect_left(self._keys, (mid,))
        before = after - 1
        while before >= 0 or after < len(self._items):
            back = mid - self._items[before].mid if before >= 0 else math.inf
            ahead = self._items[after].mid - mid if after < len(self._items) else math.inf
            if back <= ahead:
                yield self._items[before]
                before -= 1
            else:
                yield self._items[after]
                after += 1


class ShortList(ABC):
    """Exposures that go with one.

    Attributes
    ----------
    anchor : Item
        The exposure they go with.
    companion : Companion
        What they are.
    mid : float
        Middle of the exposure [d, MJD].
    reach : float
        An exposure further away in time than this changes nothing [d].
    """

    def __init__(self, anchor: Item, companion: Companion, *, past_only: bool) -> None:
        self.anchor = anchor
        self.companion = companion
        self.mid = anchor.mid
        self.past_only = past_only
        self.reach = max(companion.within_d, companion.else_within_d) + _SLACK

    @abstractmethod
    def offer(self, item: Item) -> bool:
        """Take an exposure on the list if it is good enough; say whether it was."""

    @property
    @abstractmethod
    def is_empty(self) -> bool:
        """Whether no exposure is to be used."""

    @abstractmethod
    def picked(self) -> list[Item]:
        """Give the exposures that are to be used, in the order of time."""

    def close(self) -> None:
        """Take no more offers."""
        self.reach = _NEVER

    def _kept(self, best: list[_Candidate], item: Item, distance: float) -> bool:
        """Put an exposure on a list and drop the worst if it has grown too long."""
        candidate = _Candidate(distance, item.by_middle, item)
        insort(best, candidate)
        return len(best) <= self.companion.most or best.pop() is not candidate


class Around(ShortList):
    """Exposures from before and from after, on each side the preferred ones if there are any."""

    def __init__(self, anchor: Item, companion: Companion, *, past_only: bool) -> None:
        super().__init__(anchor, companion, past_only=past_only)
        self._prefer = anchor.key(companion.prefer)
        self._near = companion.within_d + _SLACK
        self._far = max(companion.else_within_d + _SLACK, self._near)
        self._sides = (0,) if past_only else (0, 1)
        self._own: tuple[list[_Candidate], list[_Candidate]] = ([], [])
        self._others: tuple[list[_Candidate], list[_Candidate]] = ([], [])

    def offer(self, item: Item) -> bool:
        """Take an exposure on the list of its side if it is good enough; say whether it was."""
        distance = abs(item.mid - self.mid)
        own = item.key(self.companion.prefer) == self._prefer
        side = 0 if item.mid < self.mid else 1
        if side not in self._sides or distance > (self._far if own else self._near):
            return False
        taken = self._kept((self._own if own else self._others)[side], item, distance)
        if taken:
            self._shrink()
        return taken

    def _shrink(self) -> None:
        """Find from how far away an exposure could still be better."""
        most = self.companion.most
        limit = self._near if any(self.has_near(side) for side in self._sides) else self._far
        full = [self._own[side] for side in self._sides if len(self._own[side]) == most]
        if len(full) == len(self._sides):
            limit = min(limit, max(best[-1].distance for best in full))
        self.reach = limit

    @property
    def is_empty(self) -> bool:
        """Whether no exposure is to be used."""
        return not (any(self._own) or any(self._others))

    def has_near(self, side: int) -> bool:
        """Say whether there are any on one side (0 before, 1 after) within the window."""
        own = self._own[side]
        return bool(self._others[side]) or bool(own and own[0].distance <= self._near)

    def _at(self, side: int) -> list[Item]:
        """Give those of one side within the window."""
        own = [c.item for c in self._own[side] if c.distance <= self._near]
        return own or [c.item for c in self._others[side]]

    def picked(self) -> list[Item]:
        """Give the exposures that are to be used, in the order of time."""
        found = [item for side in self._sides for item in self._at(side)]
        found = found or [c.item for side in self._sides for c in self._own[side]]
        return sorted(found, key=lambda item: item.order)


class Nearest(ShortList):
    """Exposures nearest in time that point elsewhere."""

    def __init__(self, anchor: Item, companion: Companion, *, past_only: bool) -> None:
        super().__init__(anchor, companion, past_only=past_only)
        self._best: list[_Candidate] = []

    def offer(self, item: Item) -> bool:
        """Take an exposure on the list if it is good enough; say whether it was."""
        distance = abs(item.mid - self.mid)
        if (
            distance > self.reach
            or item.name == self.anchor.name
            or (self.past_only and item.mid >= self.mid)
            or not item.is_apart(self.anchor, self.companion.apart_arcsec)
        ):
            return False
        taken = self._kept(self._best, item, distance)
        if len(self._best) == self.companion.most:
            self.reach = min(self.reach, self._best[-1].distance)
        return taken

    @property
    def is_empty(self) -> bool:
        """Whether no exposure is to be used."""
        return len(self._best) < self.companion.least

    def picked(self) -> list[Item]:
        """Give the exposures that are to be used, in the order of time; none if too few."""
        if self.is_empty:
            return []
        return sorted((c.item for c in self._best), key=lambda item: item.order)


def make_short_list(anchor: Item, companion: Companion, *, past_only: bool) -> ShortList:
    """Make an empty short list.

    Parameters
    ----------
    anchor : Item
        The exposure that others go with.
    companion : Companion
        What they are and how they are picked.
    past_only : bool
        Take only what was before the exposure.

    Returns
    -------
    ShortList
        To be offered exposures.
    """
    made = Around if companion.is_around else Nearest
    return made(anchor, companion, past_only=past_only)
