"""References of one type, put in order so that the best of ten thousand is found at once.

References with the same keywords form a group, sorted by date.  A question looks up the few groups
that can answer it, and in each the nearest dates that are allowed.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime
from itertools import product
from typing import Any, NamedTuple

from liger_iris_pipeline.calibration.item import WINDOW, Item
from liger_iris_pipeline.calibration.rulesfile import IDENTITY, Rule
from liger_iris_pipeline.calibration.selection import (
    EVERYTHING,
    FULL,
    Question,
    Verdict,
    judge,
    judge_keywords,
    judge_time,
    moment,
    normal,
    rank,
)

__all__ = ["Catalogue", "Choice", "best_of"]

_ANY = "*"


class Choice(NamedTuple):
    """A reference that fits, with its rank."""

    item: Item
    rank: tuple[Any, ...]


class _Group(NamedTuple):
    """References with the same keywords, sorted by date."""

    moments: list[datetime]
    items: list[Item]


class Catalogue:
    """References of one type.

    Parameters
    ----------
    rule : Rule
        Rule of the type.
    items : iterable of Item
        The references; their order does not matter.
    """

    def __init__(self, rule: Rule, items: Iterable[Item]) -> None:
        self.rule = rule
        self.items: tuple[Item, ...] = tuple(items)
        self._regular: dict[tuple[str, ...], _Group] = {}
        self._irregular: list[_Group] = []
        self._relaxed: dict[Rule, Catalogue] = {}
        sorted_items: dict[tuple[str, ...] | None, list[Item]] = {}
        for item in sorted(self.items, key=lambda one: moment(rule, one)):
            sorted_items.setdefault(_key(rule, item), []).append(item)
        self._irregular = [self._group([item]) for item in sorted_items.pop(None, ())]
        self._regular = {
            key: self._group(group) for key, group in sorted_items.items() if key is not None
        }

    def relaxed(self, keys: Sequence[str]) -> Catalogue:
        """Give the same references under the rule without some of its demands."""
        rule = self.rule.relaxed(keys)
        if rule not in self._relaxed:
            self._relaxed[rule] = Catalogue(rule, self.items)
        return self._relaxed[rule]

    def best(self, question: Question, refused: Collection[str] = ()) -> list[Choice]:
        """Find the references that come first; several only where nothing but SHA-256 differs.

        Parameters
        ----------
        question : Question
            What is wanted, under the rule of this catalogue.
        refused : collection of str
            Names of references that are not to be given.

        Returns
        -------
        list of Choice
            Empty if none fits.
        """
        return _highest(self._fitting(question, refused))

    def bracket(self, question: Question, refused: Collection[str] = ()) -> list[list[Choice]]:
        """Find the best before and the best after an exposure.

        Parameters
        ----------
        question : Question
            What is wanted; its date must be known.
        refused : collection of str
            Names of references that are not to be given.

        Returns
        -------
        list of list of Choice
            Of the two sides, each as :meth:`best` gives it. Only references that agree in as many
            keywords as the best one does are looked at.
        """
        choices = list(self._fitting(question, refused))
        exact = max((choice.rank[0] for choice in choices), default=0)
        choices = [choice for choice in choices if choice.rank[0] == exact]
        date = question.date
        before = [
            one for one in choices if date is not None and moment(self.rule, one.item) <= date
        ]
        return [_highest(before), _highest(one for one in choices if one not in before)]

    def judged(self, question: Question) -> list[tuple[Item, Verdict]]:
        """Judge every reference."""
        return [(item, judge(question, item)) for item in self.items]

    def _group(self, items: list[Item]) -> _Group:
        return _Group([moment(self.rule, item) for item in items], items)

    def _fitting(self, question: Question, refused: Collection[str]) -> Iterator[Choice]:
        """Give the nearest references that fit of every group that can answer."""
        found = (self._regular.get(key) for key in _keys(question))
        for group in (*(group for group in found if group is not None), *self._irregular):
            verdict = judge_keywords(question, group.items[0].match)
            if verdict.failures:
                continue
            for item in _nearest(group, question, refused):
                yield Choice(item, rank(question, item, verdict.exact))


def best_of(choices: Sequence[Choice], sha256_of: Callable[[Item], str]) -> Item:
    """Choose among references that differ in nothing but their content.

    Parameters
    ----------
    choices : sequence of Choice
        At least one.
    sha256_of : callable
        Gives the checksum of a reference.

    Returns
    -------
    Item
        That of the lowest SHA-256; of one content, that of the last name.
    """
    if len(choices) == 1:
        return choices[0].item
    lowest = min(sha256_of(choice.item) for choice in choices)
    same = [choice.item for choice in choices if sha256_of(choice.item) == lowest]
    return max(same, key=lambda item: item.file)


def _highest(choices: Iterable[Choice]) -> list[Choice]:
    """Keep those of the highest rank."""
    highest: list[Choice] = []
    for choice in choices:
        if not highest or choice.rank > highest[0].rank:
            highest = [choice]
        elif choice.rank == highest[0].rank:
            highest.append(choice)
    return highest


def _nearest(group: _Group, question: Question, refused: Collection[str]) -> Iterator[Item]:
    """Give the references of the nearest dates that are allowed: one date on each side."""
    if question.date is None:
        return
    here = bisect_right(group.moments, question.date)
    sides = [_backward(group.moments, here)]
    if question.time_mode in ("nearest", "bracket"):
        sides.append(_forward(group.moments, here))
    for side in sides:
        for first, end in side:
            allowed = [
                item
                for item in group.items[first:end]
                if item.file not in refused and not judge_time(question, item)
            ]
            yield from allowed
            if allowed:
                break


def _backward(moments: Sequence[datetime], end: int) -> Iterator[tuple[int, int]]:
    """Give the runs of equal dates before an index, the last first."""
    while end > 0:
        first = bisect_left(moments, moments[end - 1], 0, end)
        yield first, end
        end = first


def _forward(moments: Sequence[datetime], first: int) -> Iterator[tuple[int, int]]:
    """Give the runs of equal dates from an index on."""
    while first < len(moments):
        end = bisect_right(moments, moments[first], first)
        yield first, end
        first = end


def _key(rule: Rule, item: Item) -> tuple[str, ...] | None:
    """Give the group of a reference; None for one whose keywords have to be compared one by one."""
    parts = []
    for key in rule.match:
        value = item.match.get(key)
        if isinstance(value, list | dict):
            return None
        text = normal(key, value)
        if key == "SUBARRAY" and text not in EVERYTHING and text != FULL:
            if any(name not in item.match for name in WINDOW):
                return None
            text = _window(text, item.match)
        everything = text in EVERYTHING and not (key in IDENTITY and text == "")
        parts.append(_ANY if everything else text)
    return tuple(parts)


def _keys(question: Question) -> Iterator[tuple[str, ...]]:
    """Give the groups that can answer a question."""
    choices = []
    for key in question.rule.match:
        text = normal(key, question.metadata.get(key))
        options = {text, _ANY}
        if key == "SUBARRAY":
            options |= {FULL, _window(text, question.metadata)}
        choices.append(sorted(options))
    return product(*choices)


def _window(name: str, header: Any) -> str:
    """Name a window with its place and size."""
    return " ".join([name, *(normal(key, header.get(key)) for key in WINDOW)])
