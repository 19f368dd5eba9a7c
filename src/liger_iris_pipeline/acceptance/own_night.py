"""The rows of the demonstration again, for a night that is calibrated by its own exposures alone."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liger_iris_pipeline.acceptance.table import Group, Measured, Row, within

__all__ = ["OwnNightCell", "groups"]


@dataclass(frozen=True)
class OwnNightCell:
    """A simulated night.

    Attributes
    ----------
    seed : int
        Seed of the night.
    """

    seed: int

    def __str__(self) -> str:
        return f"night of seed {self.seed}, own calibrations"


def measure(cell: OwnNightCell, rng: np.random.Generator) -> Measured:
    """Simulate a night without references, make them, reduce it and compare it with its truth."""
    from liger_iris_pipeline.acceptance.demo import run_demo  # brings all pipelines with it

    with tempfile.TemporaryDirectory() as folder:
        report = run_demo(
            Path(folder) / "night", seed=cell.seed, progress=lambda *_: None, own=True
        )
    return Measured(cell, count=len(report.rows), rows=report.rows)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    """Hand on the rows that the demonstration judged."""
    one = measured[0]
    if one.error:
        return [Row("night reduced", math.nan, "", within(1, 0), detail=f"{one.cell}: {one.error}")]
    return list(one.rows)


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the group of the demonstration with own calibrations.

    Parameters
    ----------
    quick : bool
        Leave it out: a night takes minutes.
    seed : int
        Seed of the night.

    Returns
    -------
    list of Group
        One cell and its rows.
    """
    about = (
        "The night of the demonstration without any reference, as iris-drs demo --own-calibrations makes it: gain, "
        "read noise, linearity, saturation, darks, flats, bad pixels and zero points come from its own exposures; "
        "the rows are those of the group night."
    )
    return (
        []
        if quick
        else [Group("night, own calibrations", about, (OwnNightCell(seed),), measure, _judge)]
    )
