"""The references of an observing block, chosen once and kept though better ones arrive."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from liger_iris_pipeline.calibration.rulesfile import Rule
from liger_iris_pipeline.calibration.selection import normal
from liger_iris_pipeline.errors import ContextError, complaint

__all__ = ["CalibrationSet", "Fixed"]


@dataclass(frozen=True)
class Fixed:
    """A choice that stands.

    Attributes
    ----------
    reftype : str
        Lower-case type.
    keys : tuple of str
        Keywords of the exposures it stands for, in the order of the rules, in normal form.
    file : str
        Name of the reference; empty where none fitted.
    sha256 : str
        Its checksum.
    flag : str
        Flag of the fallback it came by.
    context : str
        What brought it; empty for the context of the set.
    """

    reftype: str
    keys: tuple[str, ...]
    file: str
    sha256: str
    flag: str = ""
    context: str = ""


@dataclass(frozen=True)
class CalibrationSet:
    """The choices of a block; it is written into its association under ``calibrations``.

    Attributes
    ----------
    block : str
        Name of the block.
    context, context_sha256 : str
        Context they were made in.
    choices : tuple of Fixed
        One for each type and configuration.
    """

    block: str
    context: str
    context_sha256: str
    choices: tuple[Fixed, ...]

    def find(self, rule: Rule, metadata: Mapping[str, Any]) -> Fixed | None:
        """Find the choice for an exposure.

        Parameters
        ----------
        rule : Rule
            Rule of the type.
        metadata : mapping
            Keywords of the exposure.

        Returns
        -------
        Fixed or None
            None if the block was resolved without this configuration.
        """
        keys = keys_of(rule, metadata)
        return next((c for c in self.choices if (c.reftype, c.keys) == (rule.reftype, keys)), None)

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return json.loads(json.dumps(asdict(self)))  # type: ignore[no-any-return]

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CalibrationSet:
        """Read what :meth:`to_json` gave.

        Raises
        ------
        ContextError
            If a field is missing or unknown.
        """
        try:
            fields = dict(content)
            choices: Sequence[Mapping[str, Any]] = fields.pop("choices")
            made = tuple(Fixed(**{**one, "keys": tuple(one["keys"])}) for one in choices)
            return cls(choices=made, **fields)
        except (TypeError, KeyError, ValueError) as error:
            raise ContextError(
                complaint("calibrations", "content", error, "a calibration set", "resolve it anew")
            ) from error


def keys_of(rule: Rule, metadata: Mapping[str, Any]) -> tuple[str, ...]:
    """Give the configuration of an exposure as far as a type depends on it."""
    return tuple(normal(key, metadata.get(key)) for key in rule.match)
