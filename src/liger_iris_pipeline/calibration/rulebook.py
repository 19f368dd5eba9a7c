"""The rules by which references are chosen: those the package ships, and those of a store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml

from liger_iris_pipeline.calibration.context import Context, load_context, shipped_contexts
from liger_iris_pipeline.calibration.rulesfile import IDENTITY, NEEDS, Rule, TimeRule
from liger_iris_pipeline.errors import ReferenceFileError, UsageError, complaint
from liger_iris_pipeline.models.digest import sha256_of

__all__ = ["CONTEXT", "SHIPPED", "Rule", "Rulebook", "load_rulebook"]

CONTEXT = "iris_0002"
"""Rules used unless others are asked for."""

SHIPPED = Path(__file__).parent / "shipped"
"""Rules of the package, laid out as in a store."""

_FIRST = "iris_0001"
_FIRST_TIME = "newest_on_or_before"
_FIELDS = frozenset({"match", "time", "level1", "level2", "step"})


@dataclass(frozen=True)
class Rulebook:
    """The rules of all types.

    Attributes
    ----------
    context : str
        Name and version of the rules, recorded in products.
    rules : mapping of str to Rule
        By lower-case type.
    sha256 : str
        Checksum of the file that pins the rules.
    """

    context: str
    rules: Mapping[str, Rule]
    sha256: str = ""

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


def rulebook_of(context: Context) -> Rulebook:
    """Give the rules of a context."""
    rules = {name: context.rules_of(name)[0].rule for name in context.types}
    return Rulebook(context.name, MappingProxyType(rules), context.sha256)


@lru_cache
def load_rulebook(context: str = CONTEXT) -> Rulebook:
    """Read the rules of a context that the package ships.

    Parameters
    ----------
    context : str
        Name of the rules, such as ``iris_0002``.

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
    if context == _FIRST:
        path = SHIPPED / f"{_FIRST}.yaml"
        return parse_rulebook(yaml.safe_load(path.read_text("utf-8")), context, sha256_of(path))
    shipped = (_FIRST, *shipped_contexts(SHIPPED))
    if context not in shipped:
        raise UsageError(
            complaint(
                "calibration rules", "context", context, f"one of {', '.join(shipped)}", "name one"
            )
        )
    return rulebook_of(load_context(SHIPPED, context))


def parse_rulebook(content: Any, context: str, sha256: str = "") -> Rulebook:
    """Check the content of a file with the rules of all types, the form of ``iris_0001``.

    Parameters
    ----------
    content : object
        What the YAML file holds.
    context : str
        Name of the file without its ending.
    sha256 : str
        Its checksum.

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
    return Rulebook(context, MappingProxyType(rules), sha256)


def _parse_rule(name: str, fields: Mapping[str, Any], context: str) -> Rule:
    """Check one entry of the rules."""
    allowed = {"time": (_FIRST_TIME,), "level1": NEEDS, "level2": NEEDS}
    faults = [f"unknown {field}" for field in sorted(set(fields) - _FIELDS)]
    faults += [
        f"{field} {fields.get(field)!r}, not one of {', '.join(values)}"
        for field, values in allowed.items()
        if fields.get(field) not in values
    ]
    if tuple(fields.get("match", []))[:2] != IDENTITY:
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
        TimeRule(),
        fields["level1"],
        fields["level2"],
        fields.get("step"),
    )
