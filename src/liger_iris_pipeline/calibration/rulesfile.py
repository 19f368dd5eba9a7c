"""The rules for references of one type, with the references they choose among: one rules file.

A rules file is YAML.  Its entries stand one on a line, each written as JSON (which YAML contains),
so that a store of ten thousand references is read in a moment and a change is one line of a `diff`.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeGuard, get_args

import yaml

from liger_iris_pipeline.calibration.item import Item, item_from_fields, item_to_fields
from liger_iris_pipeline.errors import ContextError, complaint

__all__ = ["Fallback", "Rule", "RulesFile", "TimeRule", "format_rules", "parse_rules"]

TimeMode = Literal["useafter", "nearest_past", "nearest", "bracket"]
OnMissing = Literal["fail", "degrade", "wait"]

TIME_MODES = get_args(TimeMode)
NEEDS = ("needed", "optional", "unused")
PREFERENCES = ("same_night", "same_obsid", "quality", "newest_version")
TIME_KEYS = ("MJD-OBS", "MJD-END")
IDENTITY = ("INSTRUME", "DETECTOR")
_WAIT = re.compile(r"wait\((\d+) ?s\)")
_ENTRIES = "entries:\n"


@dataclass(frozen=True)
class TimeRule:
    """How dates decide.

    Attributes
    ----------
    mode : {"useafter", "nearest_past", "nearest", "bracket"}
        ``useafter``: the newest USEAFTER not later than the exposure. ``nearest_past``: the one
        whose data are the youngest of those taken before the exposure. ``nearest``: the same in
        both directions; it changes when a later reference arrives. ``bracket``: one before and
        one after.
    key : {"MJD-OBS", "MJD-END"}
        Begin or end of the reference's own data: what age and distance are counted from.
    max_age_d : float or None
        Largest age, or distance in time [d]; a reference that does not say when its data were
        taken has no age.
    """

    mode: TimeMode = "useafter"
    key: str = "MJD-OBS"
    max_age_d: float | None = None

    def __str__(self) -> str:
        """Say it in a few words."""
        limit = "" if self.max_age_d is None else f", at most {self.max_age_d:g} d"
        return f"{self.mode}{limit}"


@dataclass(frozen=True)
class Fallback:
    """What is taken when nothing fits.

    Attributes
    ----------
    flag : str
        What products say about it.
    relax : tuple of str
        Keywords that need not agree; ``AGE`` for the largest age.
    file : str or None
        Name of a reference that is taken whatever it is valid for.
    """

    flag: str
    relax: tuple[str, ...] = ()
    file: str | None = None


@dataclass(frozen=True)
class Rule:
    """How references of one type are chosen.

    Attributes
    ----------
    reftype : str
        Lower-case name of the type.
    match : tuple of str
        PRIMARY keywords that have to agree.
    time : TimeRule
        How dates decide.
    level1, level2 : str
        ``needed``, ``optional`` or ``unused`` at that level.
    step : str or None
        Step that can be skipped to do without the reference.
    prefer : tuple of str
        What decides among references that fit equally well, most important first.
    fallback : tuple of Fallback
        What is taken when nothing fits, in this order.
    on_missing : {"fail", "degrade", "wait"}
        What a run does when there is nothing at all.
    wait_s : int
        How long to wait in real time [s].
    planes : bool
        Whether its images cover the detector, so that their shape has to agree.
    """

    reftype: str
    match: tuple[str, ...]
    time: TimeRule
    level1: str
    level2: str
    step: str | None = None
    prefer: tuple[str, ...] = ("newest_version",)
    fallback: tuple[Fallback, ...] = ()
    on_missing: OnMissing = "fail"
    wait_s: int = 0
    planes: bool = False

    def relaxed(self, keys: Sequence[str]) -> Rule:
        """Give the rule without some of its demands."""
        time = replace(self.time, max_age_d=None) if "AGE" in keys else self.time
        return replace(self, match=tuple(k for k in self.match if k not in keys), time=time)


@dataclass(frozen=True)
class RulesFile:
    """A rule and the references it was written for.

    Attributes
    ----------
    rule : Rule
        The rule.
    entries : tuple of Item
        The references, in the order they were added.
    """

    rule: Rule
    entries: tuple[Item, ...] = field(repr=False)


def parse_rules(text: str, name: str) -> RulesFile:
    """Read a rules file.

    Parameters
    ----------
    text : str
        Its content.
    name : str
        Its name, for messages.

    Returns
    -------
    RulesFile
        The rule and its references.

    Raises
    ------
    ContextError
        If it is no YAML, or a field is missing, unknown or has a value that is not allowed.
    """
    head, _, tail = text.partition(_ENTRIES)
    try:
        lines = [json.loads(line[2:]) for line in tail.splitlines() if line.startswith("- ")]
        fast = len(lines) == sum(bool(line.strip()) for line in tail.splitlines())
        content = yaml.safe_load(head if fast else text)
    except json.JSONDecodeError:
        fast, content = False, _yaml(text, name)
    except yaml.YAMLError as error:
        raise _broken(name, error) from error
    if not isinstance(content, dict):
        raise ContextError(complaint(name, "content", "no fields", "rules", "correct the file"))
    entries = content.pop("entries", None) or (lines if fast else [])
    rule = rule_from_fields(content, name)
    return RulesFile(rule, tuple(item_from_fields(one, rule.reftype, name) for one in entries))


def _yaml(text: str, name: str) -> Any:
    """Read a file that is not written one entry a line."""
    try:
        return yaml.safe_load(text)
    except yaml.YAMLError as error:
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> ContextError:
    """Say that a file is no YAML."""
    said = " ".join(str(error).split())[:200]
    return ContextError(complaint(name, "content", said, "YAML", "put the original back"))


def format_rules(rule: Rule, entries: Sequence[Item]) -> str:
    """Write a rules file.

    Parameters
    ----------
    rule : Rule
        The rule.
    entries : sequence of Item
        Its references.

    Returns
    -------
    str
        YAML that :func:`parse_rules` reads.
    """
    head = yaml.safe_dump(rule_to_fields(rule), sort_keys=False, default_flow_style=None, width=200)
    lines = "".join(f"- {json.dumps(item_to_fields(one))}\n" for one in entries)
    return f"{head}{_ENTRIES}{lines}"


def rule_to_fields(rule: Rule) -> dict[str, Any]:
    """Give the fields of a rule as a rules file has them."""
    time: dict[str, Any] = {"mode": rule.time.mode, "key": rule.time.key}
    if rule.time.max_age_d is not None:
        time["max_age_d"] = rule.time.max_age_d
    falls = [
        {"relax": list(one.relax), "flag": one.flag}
        if one.file is None
        else {"file": one.file, "flag": one.flag}
        for one in rule.fallback
    ]
    missing = f"wait({rule.wait_s}s)" if rule.on_missing == "wait" else rule.on_missing
    fields = {
        "type": rule.reftype,
        "match": list(rule.match),
        "planes": rule.planes,
        "time": time,
        "prefer": list(rule.prefer),
        "fallback": falls,
        "on_missing": missing,
        "level1": rule.level1,
        "level2": rule.level2,
    }
    return fields if rule.step is None else fields | {"step": rule.step}


_FIELDS = frozenset(rule_to_fields(Rule("", (), TimeRule(), "", "", step=""))) | {"interpolate"}


def rule_from_fields(content: Mapping[str, Any], name: str) -> Rule:
    """Check the fields of a rule.

    Parameters
    ----------
    content : mapping
        Fields of a rules file without its entries.
    name : str
        Name of the file, for messages.

    Returns
    -------
    Rule
        The rule.

    Raises
    ------
    ContextError
        With every field that is missing, unknown or has a value that is not allowed.
    """
    faults = [f"unknown field {key}" for key in sorted(set(content) - _FIELDS, key=str)]
    faults += _faults(content)
    if faults:
        raise ContextError(
            complaint(name, str(content.get("type")), "; ".join(faults), "a rule", "correct it")
        )
    time = content.get("time") or {}
    waits = _WAIT.fullmatch(str(content.get("on_missing", "fail")))
    return Rule(
        reftype=content["type"],
        match=tuple(content["match"]),
        time=TimeRule(
            time.get("mode", "useafter"), time.get("key", "MJD-OBS"), time.get("max_age_d")
        ),
        level1=content.get("level1", "unused"),
        level2=content.get("level2", "unused"),
        step=content.get("step"),
        prefer=tuple(content.get("prefer") or ("newest_version",)),
        fallback=tuple(_fallback(one) for one in content.get("fallback") or ()),
        on_missing="wait" if waits else content.get("on_missing", "fail"),
        wait_s=int(waits[1]) if waits else 0,
        planes=bool(content.get("planes", False)),
    )


def _fallback(fields: Mapping[str, Any]) -> Fallback:
    """Take one fallback."""
    return Fallback(fields["flag"], tuple(fields.get("relax") or ()), fields.get("file"))


def _faults(content: Mapping[str, Any]) -> list[str]:
    """Say which fields of a rule cannot be."""
    time = content.get("time") or {}
    if not isinstance(time, dict):
        return [f"time {time!r}, not mode, key and max_age_d"]
    missing = str(content.get("on_missing", "fail"))
    checks: list[tuple[str, Any, Callable[[Any], object]]] = [
        ("type", content.get("type"), lambda v: isinstance(v, str) and v == v.lower() != ""),
        ("match", content.get("match"), _is_match),
        ("time.mode", time.get("mode", "useafter"), lambda v: v in TIME_MODES),
        ("time.key", time.get("key", "MJD-OBS"), lambda v: v in TIME_KEYS),
        ("time.max_age_d", time.get("max_age_d", 1), _is_positive),
        ("prefer", content.get("prefer") or [], _are_preferences),
        ("fallback", content.get("fallback") or [], _are_fallbacks),
        ("on_missing", missing, lambda v: v in ("fail", "degrade") or _WAIT.fullmatch(v)),
        ("level1", content.get("level1", "unused"), lambda v: v in NEEDS),
        ("level2", content.get("level2", "unused"), lambda v: v in NEEDS),
        ("interpolate", content.get("interpolate", "none"), lambda v: v in ("none", "linear")),
    ]
    unknown = [f"unknown field time.{key}" for key in time if key not in _TIME_FIELDS]
    return [f"{part} {value!r}{_hint(part)}" for part, value, good in checks if not good(value)] + (
        unknown
    )


_TIME_FIELDS = ("mode", "key", "max_age_d")
_HINTS = {
    "time.mode": TIME_MODES,
    "time.key": TIME_KEYS,
    "prefer": PREFERENCES,
    "on_missing": ("fail", "degrade", "wait(600s)"),
    "level1": NEEDS,
    "level2": NEEDS,
    "interpolate": ("none", "linear"),
}


def _hint(part: str) -> str:
    """List what a field may be."""
    known = _HINTS.get(part)
    if part == "match":
        return ", which does not begin with INSTRUME, DETECTOR"
    return "" if known is None else f", not of {', '.join(known)}"


def _is_match(value: object) -> bool:
    """Say whether keywords to agree are a list that begins with the identity."""
    return isinstance(value, list) and tuple(value[:2]) == IDENTITY


def _is_positive(value: object) -> TypeGuard[float]:
    """Say whether a value is a number above zero."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value > 0


def _are_preferences(value: object) -> bool:
    """Say whether all preferences are known."""
    return isinstance(value, list) and all(one in PREFERENCES for one in value)


def _are_fallbacks(value: object) -> bool:
    """Say whether fallbacks are well formed: a flag, and either keywords or a file."""
    return isinstance(value, list) and all(
        isinstance(one, dict)
        and set(one) <= {"relax", "file", "flag"}
        and isinstance(one.get("flag"), str)
        and (("relax" in one) != ("file" in one))
        for one in value
    )
