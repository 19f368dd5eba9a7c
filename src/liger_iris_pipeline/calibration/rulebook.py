"""The rules by which references are chosen, read from the versioned file the package ships."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from types import MappingProxyType
from typing import Any

import yaml

from liger_iris_pipeline.errors import ReferenceFileError, UsageError, complaint

__all__ = ["CONTEXT", "Rule", "Rulebook", "load_rulebook"]

CONTEXT = "iris_0001"
"""Rules used unless others are asked for."""

_TIME_RULES = frozenset({"newest_on_or_before"})
_NEEDS = frozenset({"needed", "optional", "unused"})
_FIELDS = frozenset({"match", "time", "level1", "level2", "step"})


@dataclass(frozen=True)
class Rule:
    """How references of one type are chosen.

    Attributes
    ----------
    reftype : str
        Lower-case name of the type.
    match : tuple of str
        PRIMARY keywords that have to agree.
    time : str
        Time rule.
    level1, level2 : str
        ``needed``, ``optional`` or ``unused`` at that level.
    step : str or None
        Step that can be skipped to do without the reference.
    """

    reftype: str
    match: tuple[str, ...]
    time: str
    level1: str
    level2: str
    step: str | None = None


@dataclass(frozen=True)
class Rulebook:
    """The rules of all types.

    Attributes
    ----------
    context : str
        Name and version of the rules, recorded in products.
    rules : mapping of str to Rule
        By lower-case type.
    """

    context: str
    rules: Mapping[str, Rule]

    def rule(self, reftype: str) -> Rule:
        """Give the rule of a type, upper or lower case.

        Raises
        ------
        ReferenceFileError
            For a type without a rule; lists those there are.
        """
        rule = self.rules.get(reftype.strip().lower())
        if rule is None:
            known = ", ".join(sorted(self.rules))
            raise ReferenceFileError(
                complaint(
                    self.context,
                    "reference type",
                    repr(reftype),
                    f"one of {known}",
                    "correct the name",
                )
            )
        return rule

    def types(self, level: int, need: str = "needed") -> tuple[str, ...]:
        """List the types that a level needs or can use.

        Parameters
        ----------
        level : {1, 2}
            Level of the product to be made.
        need : {"needed", "optional", "unused"}
            Which of them.

        Returns
        -------
        tuple of str
            Lower-case types, in the order of the rules.
        """
        return tuple(
            name
            for name, rule in self.rules.items()
            if (rule.level1, rule.level2)[level - 1] == need
        )


@lru_cache
def load_rulebook(context: str = CONTEXT) -> Rulebook:
    """Read the rules of a context.

    Parameters
    ----------
    context : str
        Name of the rules, such as ``iris_0001``.

    Returns
    -------
    Rulebook
        The rules.

    Raises
    ------
    UsageError
        If the package ships no rules of that name.
    ReferenceFileError
        If the rules contradict their own format.
    """
    folder = files("liger_iris_pipeline.calibration") / "rules"
    shipped = sorted(
        item.name.removesuffix(".yaml") for item in folder.iterdir() if item.name.endswith(".yaml")
    )
    if context not in shipped:
        raise UsageError(
            complaint(
                "calibration rules", "context", context, f"one of {', '.join(shipped)}", "name one"
            )
        )
    return parse_rulebook(yaml.safe_load((folder / f"{context}.yaml").read_text("utf-8")), context)


def parse_rulebook(content: Any, context: str) -> Rulebook:
    """Check the content of a rules file and turn it into a rulebook.

    Parameters
    ----------
    content : object
        What the YAML file holds.
    context : str
        Name of the file without its ending.

    Returns
    -------
    Rulebook
        The rules.

    Raises
    ------
    ReferenceFileError
        If a field is missing, unknown or has a value that is not allowed.
    """
    if content.get("context") != context:
        raise ReferenceFileError(
            complaint(
                f"{context}.yaml",
                "context",
                content.get("context"),
                context,
                "name rules and file alike",
            )
        )
    rules = {name: _parse_rule(name, fields, context) for name, fields in content["types"].items()}
    return Rulebook(context, MappingProxyType(rules))


def _parse_rule(name: str, fields: Mapping[str, Any], context: str) -> Rule:
    """Check one entry of the rules."""
    allowed = {"time": _TIME_RULES, "level1": _NEEDS, "level2": _NEEDS}
    faults = [f"unknown {field}" for field in sorted(set(fields) - _FIELDS)]
    faults += [
        f"{field} {fields.get(field)!r}, not one of {', '.join(sorted(values))}"
        for field, values in allowed.items()
        if fields.get(field) not in values
    ]
    if list(fields.get("match", []))[:2] != ["INSTRUME", "DETECTOR"]:
        faults.append("match that does not begin with INSTRUME, DETECTOR")
    if faults:
        raise ReferenceFileError(
            complaint(
                f"{context}.yaml", name, "; ".join(faults), "a complete rule", "correct the rules"
            )
        )
    return Rule(
        name,
        tuple(fields["match"]),
        fields["time"],
        fields["level1"],
        fields["level2"],
        fields.get("step"),
    )
