"""The engine that associates exposures: one at a time as they arrive, or all of a folder.

exposure ─ rules ─► slots (one a product) ─ short lists of companions ─► associations

What it gives depends on the headers of the exposures alone, never on the order in which they came. An exposure that
arrives touches only the products it can change: those whose short lists still reach that far in time, and the sets
that it belongs to.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from liger_iris_pipeline.associations.association import Association
from liger_iris_pipeline.associations.items import SECONDS_PER_DAY, Exposure, Item, item_of
from liger_iris_pipeline.associations.picking import Pool, make_short_list
from liger_iris_pipeline.associations.rules import Companion, Rule, RuleSet, load_rules
from liger_iris_pipeline.associations.slots import SetSlot, SingleSlot, Slot, State, product_of
from liger_iris_pipeline.errors import AssociationError, complaint
from liger_iris_pipeline.models.naming import product_name

__all__ = ["Change", "Engine"]

Key = tuple[Any, ...]
_Service = tuple[str, int, Companion]
ChangeKind = Literal["new", "updated", "superseded", "ready", "degraded"]


class Change(NamedTuple):
    """What has become of a product.

    Attributes
    ----------
    kind : str
        ``new``, ``updated`` (other members), ``superseded`` (it has got another name), ``ready`` (nothing is
        missing, or nothing more is waited for), ``degraded`` (nothing more is waited for and something is missing).
    association : Association
        As it is now; the old one for ``superseded``.
    version : int
        How many times this product was given with other members, from 1.
    """

    kind: ChangeKind
    association: Association
    version: int


class Engine:
    """Associates exposures in any order.

    Parameters
    ----------
    rules : RuleSet, optional
        Default: those the package ships.
    folder : Path
        What the names of exposures are relative to.
    past_only : bool
        Let companions only be exposures from before, as real time has to.
    """

    def __init__(
        self, rules: RuleSet | None = None, *, folder: Path = Path(), past_only: bool = False
    ) -> None:
        self.rules = load_rules() if rules is None else rules
        self.folder = folder
        self.past_only = past_only
        self._items: dict[str, Item] = {}
        self._slots: dict[Key, Slot] = {}
        self._names: dict[str, Item] = {}
        self._pools: dict[Key, Pool[SingleSlot]] = defaultdict(Pool)
        self._closed: set[str] = set()
        self._keywords = self.rules.keywords
        self._known: dict[Key, tuple[tuple[Rule, ...], tuple[_Service, ...]]] = {}

    def register(self, exposure: Exposure) -> list[Change]:
        """Take an exposure in and say what it changes.

        Parameters
        ----------
        exposure : Exposure
            With ``header``, ``name`` and ``stem``; one of a name that is known changes nothing.

        Returns
        -------
        list of Change
            In the order of :meth:`associations`.

        Raises
        ------
        AssociationError
            If its header cannot be used, or its product has the name of another exposure's; it is not taken in.
        """
        item = item_of(exposure)
        return [] if item.name in self._items else self._announce(self._take(item))

    def extend(self, exposures: Iterable[Exposure]) -> None:
        """Take many exposures in, faster than one by one and without saying what they change.

        Parameters
        ----------
        exposures : iterable of Exposure
            As for :meth:`register`.

        Raises
        ------
        AssociationError
            As for :meth:`register`.
        """
        new = {item.name: item for item in map(item_of, exposures) if item.name not in self._items}
        items = sorted(new.values(), key=lambda item: item.order)
        if self._items:
            for item in items:
                self._take(item)
            return
        singles: list[SingleSlot] = []
        for item in items:
            self._check_name(item)
            singles += [slot for slot in self._insert(item) if isinstance(slot, SingleSlot)]
            for pool in self._pools_of(item):
                pool.add(item)
        for slot in singles:
            self._gather(slot)

    def close(self, obs_id: str) -> list[Change]:
        """Wait for nothing more of an observation.

        Parameters
        ----------
        obs_id : str
            The observation.

        Returns
        -------
        list of Change
            Products that are thereby ready or degraded: those of its exposures, and sets of exposures all of whose
            observations are closed. Exposures that come later are taken in all the same.
        """
        self._closed.add(obs_id)
        ended = [s for s in self._waiting() if s.observations <= self._closed]
        return self._finish(ended)

    def expire(self, mjd: float) -> list[Change]:
        """Wait for nothing more whose time is over.

        Parameters
        ----------
        mjd : float
            The time that it is [d, MJD UTC].

        Returns
        -------
        list of Change
            Products that are thereby ready or degraded.
        """
        ended = [s for s in self._waiting() if self._deadline(s) < mjd]
        return self._finish(ended)

    def associations(self, kinds: Iterable[str] | None = None) -> list[Association]:
        """Give the associations of all exposures taken in so far.

        Parameters
        ----------
        kinds : iterable of str, optional
            Types of association or names of rules; all without it.

        Returns
        -------
        list of Association
            In the order of the rules' types, then of time, then of name.

        Raises
        ------
        AssociationError
            If two products would have one name.
        UsageError
            For a kind without a rule.
        """
        wanted = {rule.name for rule in self.rules.choose(kinds).rules}
        slots = sorted(
            (s for s in self._slots.values() if s.rule.name in wanted and not s.is_empty),
            key=self._rank,
        )
        found = [slot.association(self.folder) for slot in slots]
        _check_names(found)
        return found

    def _waiting(self) -> list[Slot]:
        """Give the slots for which something may still come."""
        return [slot for slot in self._slots.values() if not (slot.final or slot.is_empty)]

    def _rank(self, slot: Slot) -> Key:
        """Give the place of a slot in the total order."""
        return (self.rules.kinds.index(slot.rule.asn_type), slot.first.order, slot.name)

    def _take(self, item: Item) -> list[Slot]:
        """Take an exposure in; give the slots that it may have changed."""
        self._check_name(item)
        touched = self._insert(item)
        new = [slot for slot in touched if isinstance(slot, SingleSlot)]
        for pool in self._pools_of(item):
            pool.add(item)
            for short, slot in pool.watchers(item):
                if short.offer(item):
                    slot.settle()
                    touched.append(slot)
        for slot in new:
            self._gather(slot)
        return touched

    def _check_name(self, item: Item) -> None:
        """Refuse what cannot be named, and a second exposure for a product of one exposure."""
        product_name(item.header, 1)
        for rule in self._rules_of(item)[0]:
            if rule.is_single:
                name = product_of(item.header, rule)
                other = self._names.setdefault(name, item)
                if other is not item:
                    raise AssociationError(_one_name(name, other.name, item.name))

    def _rules_of(self, item: Item) -> tuple[tuple[Rule, ...], tuple[_Service, ...]]:
        """Give the rules that an exposure falls under, and those in which it serves others."""
        values = item.key(self._keywords)
        if values not in self._known:
            rules = self.rules.rules
            self._known[values] = (
                tuple(rule for rule in rules if rule.takes(item)),
                tuple(
                    (rule.name, number, companion)
                    for rule in rules
                    for number, companion in enumerate(rule.companions)
                    if companion.condition.holds(item)
                ),
            )
        return self._known[values]

    def _insert(self, item: Item) -> list[Slot]:
        """Put an exposure into the slots that it belongs to; give them."""
        self._items[item.name] = item
        touched: list[Slot] = []
        for rule in self._rules_of(item)[0]:
            slot = self._slot(rule, item)
            slot.add(item)
            touched.append(slot)
        return touched

    def _slot(self, rule: Rule, item: Item) -> Slot:
        """Give the slot of an exposure under a rule; a new one if there is none."""
        key = (rule.name, item.name) if rule.is_single else (rule.name, *item.key(rule.one_per))
        if key not in self._slots:
            self._slots[key] = (
                SingleSlot(rule, item, past_only=self.past_only)
                if rule.is_single
                else SetSlot(rule)
            )
        return self._slots[key]

    def _pools_of(self, item: Item) -> Iterator[Pool[SingleSlot]]:
        """Give the pools in which an exposure serves others."""
        for name, number, companion in self._rules_of(item)[1]:
            yield self._pools[name, number, *item.key(companion.same)]

    def _gather(self, slot: SingleSlot) -> None:
        """Fill the short lists of a new slot with what is there, and let them watch for more."""
        for number, companion in enumerate(slot.rule.companions):
            pool = self._pools[slot.rule.name, number, *slot.item.key(companion.same)]
            short = make_short_list(slot.item, companion, past_only=self.past_only)
            slot.short_lists.append(short)
            pool.watch(short, slot)
            if slot.is_served(companion.instead_of):
                short.close()
            for item in pool.outward(slot.item, companion.apart_arcsec):
                if abs(item.mid - short.mid) > short.reach:
                    break
                short.offer(item)
        slot.settle()

    def _deadline(self, slot: Slot) -> float:
        """Give the time after which nothing more is waited for [d, MJD]."""
        if isinstance(slot, SingleSlot):
            return slot.deadline
        last = slot.last
        idle = max(
            self.rules.idle_s / SECONDS_PER_DAY,
            self.rules.idle_exposures * (last.end - last.start),
        )
        return last.end + idle

    def _announce(self, touched: Iterable[Slot]) -> list[Change]:
        """Say what has changed in some slots."""
        changes = []
        some = (slot for slot in dict.fromkeys(touched) if not slot.is_empty)
        for slot in sorted(some, key=self._rank):
            old, new = slot.given, slot.association(self.folder)
            if old == new:
                continue
            slot.given, slot.version = new, slot.version + 1
            if old is not None and old.products[0].name != new.products[0].name:
                changes.append(Change("superseded", old, slot.version - 1))
                old = None
            changes.append(Change("new" if old is None else "updated", new, slot.version))
            changes += self._state(slot, new)
        return changes

    def _finish(self, slots: Iterable[Slot]) -> list[Change]:
        """Wait for nothing more in some slots."""
        ended = sorted(slots, key=self._rank)
        for slot in ended:
            slot.final = True
        changes = self._announce(ended)
        for slot in ended:
            changes += self._state(slot, slot.association(self.folder))
        return changes

    def _state(self, slot: Slot, association: Association) -> list[Change]:
        """Say whether a product has become ready or degraded."""
        single = isinstance(slot, SingleSlot)
        final = slot.final or (single and self.past_only) or slot.observations <= self._closed
        complete = not association.degraded and (final or single)
        state: State = "ready" if complete else "degraded" if final else "open"
        before, slot.state = slot.state, state
        if state == "open" or state == before:
            return []
        return [Change(state, association, slot.version)]


def _one_name(name: str, first: str, second: str) -> str:
    """Write the message that two products have one name."""
    return complaint(
        name,
        "product",
        f"one name for {first} and {second}",
        "EXP_NO unique within an OBS_ID",
        "repair the headers or leave one out",
    )


def _check_names(associations: list[Association]) -> None:
    """Refuse two products of one name."""
    first: dict[str, Association] = {}
    for association in associations:
        name = association.products[0].name
        other = first.setdefault(name, association)
        if other is not association:
            raise AssociationError(
                _one_name(name, other.members[0].expname, association.members[0].expname)
            )
