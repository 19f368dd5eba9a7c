"""All groups of rows of the acceptance table, in its order."""

from __future__ import annotations

from liger_iris_pipeline.acceptance import readout
from liger_iris_pipeline.acceptance.table import Group

__all__ = ["all_groups"]


def all_groups(*, quick: bool, seed: int) -> list[Group]:
    """Give all groups.

    Parameters
    ----------
    quick : bool
        Whether to leave out most cells, and the night.
    seed : int
        Seed of the night.

    Returns
    -------
    list of Group
        In the order of the table.
    """
    groups = readout.groups(quick=quick)
    if quick:
        return groups
    from liger_iris_pipeline.acceptance.night import night  # brings all pipelines with it

    return [*groups, night(seed=seed)]
