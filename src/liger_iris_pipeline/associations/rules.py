"""The rules by which exposures are associated, read from a versioned file."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml

from liger_iris_pipeline.associations.association import EXPTYPES
from liger_iris_pipeline.associations.items import Item, as_text
from liger_iris_pipeline.errors import AssociationError, UsageError, complaint

__all__ = ["RULES", "Companion", "Condition", "Rule", "RuleSet", "load_rules", "parse_rules"]

RULES = "iris_0001"
"""Rules used unless others are asked for."""

_EXPOSURE = "exposure"
_AROUND, _NEAREST = "around", "nearest"
_SCALARS = (str, int, float)


@dataclass(frozen=True)
class Condition:
    """Values of keywords that an exposure must have, or must not have.

    Attributes
    ----------
    when, unless : tuple of (str, frozenset of str)
        Keyword and the values it may have, in upper case.
    """

    when: tuple[tuple[str, frozenset[str]], ...]
    unless: tuple[tuple[str, frozenset[str]], ...] = ()

    def holds(self, item: Item) -> bool:
        """Say whether an exposure fulfils it."""
        return all(item.text(key).upper() in values for key, values in self.when) and not any(
            item.text(key).upper() in values for key, values in self.unless
        )


@dataclass(frozen=True)
class Companion:
    """Exposures that go with another.

    Attributes
    ----------
    role : str
        Their role in the association.
    condition : Condition
        What they are.
    same : tuple of str
        Keywords they share with the exposure.
    pick : {"around", "nearest"}
        From before and after it, or the nearest in time.
    most, least : int
        How many at most (around: on each side) and at least.
    within_d : float
        How far away in time at most [d].
    prefer : tuple of str
        Those that share these keywords come first (around).
    else_within_d : float
        How far away those may be where there are none within `within_d` [d] (around).
    apart_arcsec : float
        They point further away than this [arcsec] (nearest).
    instead_of : str
        Only where this role is empty.
    """

    role: str
    condition: Condition
    same: tuple[str, ...]
    pick: str
    most: int
    least: int = 1
    within_d: float = math.inf
    prefer: tuple[str, ...] = ()
    else_within_d: float = 0.0
    apart_arcsec: float = 0.0
    instead_of: str = ""

    @property
    def is_around(self) -> bool:
        """Whether they are picked from both sides."""
        return self.pick == _AROUND


@dataclass(frozen=True)
class Rule:
    """What is made of which exposures.

    Attributes
    ----------
    name : str
        Name of the rule, ``asn_rule`` of the association.
    asn_type : str
        Type of the association.
    level : int
        Level of the product.
    suffix : str
        Last part of the name of the product; may be empty.
    condition : Condition
        What the exposures are.
    one_per : tuple of str
        Keywords whose values make a set of exposures; empty: each exposure makes a product.
    companions : tuple of Companion
        What goes with the exposure.
    least : int
        How many exposures there should be.
    detectors : tuple of str
        Detectors there should be if there are two of them.
    also : Condition, optional
        What joins a set of such exposures but makes none.
    """

    name: str
    asn_type: str
    level: int
    suffix: str
    condition: Condition
    one_per: tuple[str, ...]
    companions: tuple[Companion, ...] = ()
    least: int = 1
    detectors: tuple[str, ...] = ()
    also: Condition | None = None

    def takes(self, item: Item) -> bool:
        """Say whether an exposure makes a product, or joins in one."""
        return self.condition.holds(item) or (self.also is not None and self.also.holds(item))

    @property
    def is_single(self) -> bool:
        """Whether each exposure makes a product."""
        return not self.one_per


@dataclass(frozen=True)
class RuleSet:
    """All rules.

    Attributes
    ----------
    name : str
        Name and version.
    rules : tuple of Rule
        In the order in which their associations are listed.
    idle_s, idle_exposures : float
        A set is complete when this has passed since its last exposure [s; lengths of that].
    """

    name: str
    rules: tuple[Rule, ...]
    idle_s: float = 30.0
    idle_exposures: float = 2.0

    @property
    def kinds(self) -> tuple[str, ...]:
        """Types of association, in order."""
        return tuple(dict.fromkeys(rule.asn_type for rule in self.rules))

    @property
    def keywords(self) -> tuple[str, ...]:
        """Keywords that conditions ask for."""
        conditions = [
            condition
            for rule in self.rules
            for condition in (rule.condition, rule.also, *(c.condition for c in rule.companions))
            if condition is not None
        ]
        found = [key for c in conditions for key, _ in (*c.when, *c.unless)]
        return tuple(dict.fromkeys(found))

    def choose(self, kinds: Iterable[str] | None) -> RuleSet:
        """Keep the rules of some kinds.

        Parameters
        ----------
        kinds : iterable of str, optional
            Types of association, or names of rules; all without it.

        Returns
        -------
        RuleSet
            Those rules, in the order of all.

        Raises
        ------
        UsageError
            For a kind without a rule; lists those there are.
        """
        if kinds is None:
            return self
        wanted = set(kinds)
        known = {*self.kinds, *(rule.name for rule in self.rules)}
        if unknown := sorted(wanted - known):
            names = ", ".join([*self.kinds, *sorted(known - set(self.kinds))])
            raise UsageError(
                complaint(self.name, "kind", unknown[0], f"one of {names}", "correct the name")
            )
        kept = tuple(rule for rule in self.rules if {rule.name, rule.asn_type} & wanted)
        return RuleSet(self.name, kept, self.idle_s, self.idle_exposures)


@lru_cache
def load_rules(name: str | Path = RULES) -> RuleSet:
    """Read rules.

    Parameters
    ----------
    name : str or Path
        Name of rules the package ships, such as ``iris_0001``, or a file.

    Returns
    -------
    RuleSet
        The rules.

    Raises
    ------
    UsageError
        If the package ships no rules of that name.
    AssociationError
        If the file cannot be read or contradicts the format of rules.
    """
    if isinstance(name, Path):
        where, shown = name, name.name
    else:
        folder = Path(str(files("liger_iris_pipeline.associations") / "rules"))
        where, shown = folder / f"{name}.yaml", f"{name}.yaml"
        shipped = sorted(item.stem for item in folder.glob("*.yaml"))
        if name not in shipped:
            raise UsageError(
                complaint("rules", "name", repr(name), f"one of {', '.join(shipped)}", "correct it")
            )
    try:
        content = yaml.safe_load(where.read_text("utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise AssociationError(
            complaint(shown, "file", error, "rules in YAML", "name another or repair it")
        ) from error
    return parse_rules(content, shown)


def parse_rules(content: Any, name: str) -> RuleSet:
    """Check rules that were read from YAML.

    Parameters
    ----------
    content : object
        What YAML gave.
    name : str
        Of the file, for messages.

    Returns
    -------
    RuleSet
        The rules.

    Raises
    ------
    AssociationError
        If a field is missing, not known or of the wrong kind; the message names it.
    """
    top = _Fields(content, name, "file")
    found = RuleSet(
        top.text("name"),
        tuple(
            _parse_rule(_Fields(item, name, f"rules.{key}"), str(key))
            for key, item in top.mapping("rules").items()
        ),
        top.number("idle_s", 30.0),
        top.number("idle_exposures", 2.0),
    )
    top.finish()
    return found


def _parse_rule(fields: _Fields, name: str) -> Rule:
    """Check one rule."""
    per = fields.words("one_per")
    single = per == (_EXPOSURE,)
    companions = tuple(
        _parse_companion(_Fields(item, fields.file, f"{fields.part}.companions[{count}]"))
        for count, item in enumerate(fields.sequence("companions"))
    )
    rule = Rule(
        name=name,
        asn_type=fields.text("type"),
        level=int(fields.number("level", 3)),
        suffix=fields.text("suffix", ""),
        condition=fields.condition(),
        one_per=() if single else per,
        companions=companions,
        least=int(fields.number("least", 1)),
        detectors=fields.words("detectors", ()),
        also=fields.inner("also"),
    )
    fields.finish()
    if companions and not single:
        raise fields.error(
            "companions", "some of a set", "only with one_per: exposure", "take them out"
        )
    if rule.also and single:
        raise fields.error("also", "some for one exposure", "only with a set", "use companions")
    earlier: set[str] = set()
    for companion in companions:
        if companion.instead_of and companion.instead_of not in earlier:
            raise fields.error(
                "companions: instead_of", companion.instead_of, "a role before it", "correct it"
            )
        earlier.add(companion.role)
    return rule


def _parse_companion(fields: _Fields) -> Companion:
    """Check what goes with an exposure."""
    role = fields.text("role")
    if role not in EXPTYPES:
        raise fields.error("role", role, f"one of {' '.join(EXPTYPES)}", "correct it")
    pick = fields.text("pick")
    if pick not in (_AROUND, _NEAREST):
        raise fields.error("pick", pick, f"{_AROUND} or {_NEAREST}", "correct it")
    around = pick == _AROUND
    found = Companion(
        role=role,
        condition=fields.condition(),
        same=fields.words("same"),
        pick=pick,
        most=int(fields.number("each_side" if around else "most")),
        least=1 if around else int(fields.number("least", 1)),
        within_d=fields.number("within_d", math.inf),
        prefer=fields.words("prefer", ()) if around else (),
        else_within_d=fields.number("else_within_d", 0.0) if around else 0.0,
        apart_arcsec=0.0 if around else fields.number("apart_arcsec", 0.0),
        instead_of=fields.text("instead_of", ""),
    )
    fields.finish()
    return found


class _Fields:
    """A mapping of the file; gives values of the right kind and knows which were not asked for."""

    def __init__(self, content: Any, file: str, part: str) -> None:
        self.file, self.part = file, part
        if not isinstance(content, Mapping):
            raise self.error("", _shown(content), "a mapping", "write it as one")
        self.content = dict(content)

    def error(self, field: str, got: object, expected: str, remedy: str) -> AssociationError:
        """Make the error for a field."""
        part = f"{self.part}: {field}" if field else self.part
        return AssociationError(complaint(self.file, part, got, expected, remedy))

    def finish(self) -> None:
        """Refuse fields that nobody asked for."""
        if self.content:
            raise self.error(
                str(next(iter(self.content))), "it", "a field of the format", "correct its name"
            )

    def text(self, key: str, default: str | None = None) -> str:
        """Take a text."""
        value = self.content.pop(key, default)
        if not isinstance(value, str) or (not value.strip() and value != default):
            raise self.error(key, _shown(value), "a text", "add it")
        return value.strip()

    def number(self, key: str, default: float | None = None) -> float:
        """Take a number that is not negative."""
        value = self.content.pop(key, default)
        if isinstance(value, bool) or not isinstance(value, int | float) or not value >= 0:
            raise self.error(key, _shown(value), "a number from 0", "correct it")
        return float(value)

    def mapping(self, key: str) -> Mapping[Any, Any]:
        """Take a mapping that is not empty."""
        value = self.content.pop(key, None)
        if not isinstance(value, Mapping) or not value:
            raise self.error(key, _shown(value), "a mapping with at least one entry", "fill it")
        return value

    def sequence(self, key: str) -> list[Any]:
        """Take a list; empty where it is absent."""
        value = self.content.pop(key, [])
        if not isinstance(value, list):
            raise self.error(key, _shown(value), "a list", "correct it")
        return value

    def words(self, key: str, default: tuple[str, ...] | None = None) -> tuple[str, ...]:
        """Take a text, or texts in a list or in lists within it."""
        value = self.content.pop(key, default)
        words = tuple(_flat(value))
        if value is None or not all(isinstance(word, str) and word for word in words):
            raise self.error(key, _shown(value), "keywords", "correct it")
        if not words and default is None:
            raise self.error(key, "nothing", "keywords", "add them")
        return words

    def condition(self) -> Condition:
        """Take ``when`` and ``unless``."""
        when = self._values("when", self.mapping("when"))
        unless = self.content.pop("unless", {})
        if not isinstance(unless, Mapping):
            raise self.error("unless", _shown(unless), "a mapping", "correct it")
        return Condition(when, self._values("unless", unless))

    def inner(self, key: str) -> Condition | None:
        """Take a condition of its own; None where it is absent."""
        if key not in self.content:
            return None
        fields = _Fields(self.content.pop(key), self.file, f"{self.part}.{key}")
        found = fields.condition()
        fields.finish()
        return found

    def _values(self, key: str, given: Mapping[Any, Any]) -> tuple[tuple[str, frozenset[str]], ...]:
        """Turn keywords with a value or a list of values into sets of texts."""
        found = []
        for keyword, value in given.items():
            values = list(_flat(value))
            if not values or not all(
                isinstance(item, _SCALARS) and not isinstance(item, bool) for item in values
            ):
                raise self.error(
                    f"{key}: {keyword}", _shown(value), "a text, a number or a list", "quote it"
                )
            found.append((str(keyword), frozenset(as_text(item).upper() for item in values)))
        return tuple(found)


def _flat(value: Any) -> Iterable[Any]:
    """Give the entries of a list and of lists in it; a value by itself is one entry."""
    if not isinstance(value, list | tuple):
        yield value
        return
    for item in value:
        yield from _flat(item)


def _shown(value: object) -> str:
    """Show a value in a message."""
    return "nothing" if value is None else repr(value)
