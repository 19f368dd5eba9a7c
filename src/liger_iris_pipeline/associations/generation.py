"""Find out from headers alone which exposures belong together."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from liger_iris_pipeline.associations.association import Association
from liger_iris_pipeline.associations.engine import Engine
from liger_iris_pipeline.associations.items import ROLES, Exposure
from liger_iris_pipeline.associations.rules import load_rules

__all__ = ["KINDS", "ROLES", "generate"]

KINDS = ("dark", "flat", "level2", "level3")
"""Types of association that a night of the imager is reduced with, in the order of the list."""


def generate(
    exposures: Iterable[Exposure],
    *,
    kinds: Iterable[str] = KINDS,
    folder: str | Path = "",
) -> list[Association]:
    """Associate exposures by their headers, by the rules the package ships.

    Parameters
    ----------
    exposures : iterable of Exposure
        With ``header`` (keywords), ``name`` (of one of their files, relative to `folder`) and
        ``stem``. Their order does not matter.
    kinds : iterable of str
        Which types of association are wanted, or which rules.
    folder : str or Path
        What the names are relative to.

    Returns
    -------
    list of Association
        By type, each in the order of time. One product in each.

    Raises
    ------
    AssociationError
        If a header lacks what is needed, has an IMTYPE that is not known, or two products would
        have one name.
    UsageError
        If there is no rule for a kind.
    """
    engine = Engine(load_rules().choose(kinds), folder=Path(folder))
    engine.extend(exposures)
    return engine.associations()
