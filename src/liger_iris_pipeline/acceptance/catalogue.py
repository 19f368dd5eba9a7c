"""All groups of rows of the acceptance table, in its order."""

from __future__ import annotations

import importlib

from liger_iris_pipeline.acceptance.table import Group

__all__ = ["all_groups"]

_ORDER = (
    "readout",
    "combination",
    "makers",
    "makers_frame",
    "makers_sky",
    "store",
    "associations",
    "night",
    "replay",
    "realtime",
)
"""Modules that give groups, in the order of the table."""


def all_groups(*, quick: bool, seed: int) -> list[Group]:
    """Give all groups.

    Parameters
    ----------
    quick : bool
        Whether to leave out most cells, and the nights.
    seed : int
        Seed of the nights.

    Returns
    -------
    list of Group
        In the order of the table.
    """
    home = "liger_iris_pipeline.acceptance"
    modules = (importlib.import_module(f"{home}.{name}") for name in _ORDER)
    return [group for module in modules for group in module.groups(quick=quick, seed=seed)]
