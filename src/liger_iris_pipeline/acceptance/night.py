"""The rows of the demonstration: a night from raw reads to a catalogue."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liger_iris_pipeline.acceptance.table import Group, Measured, Row, within

__all__ = ["NightCell", "groups"]


@dataclass(frozen=True)
class NightCell:
    """A simulated night.

    Attributes
    ----------
    seed : int
        Seed of the night.
    own : bool
        Whether it is calibrated by its own exposures alone.
    """

    seed: int
    own: bool = False

    def __str__(self) -> str:
        return f"night of seed {self.seed}" + (", own calibrations" if self.own else "")


def measure(cell: NightCell, rng: np.random.Generator) -> Measured:
    """Simulate a night, reduce it and compare it with its truth."""
    from liger_iris_pipeline.acceptance.demo import run_demo  # brings all pipelines with it

    with tempfile.TemporaryDirectory() as folder:
        report = run_demo(
            Path(folder) / "night", seed=cell.seed, progress=lambda *_: None, own=cell.own
        )
    return Measured(cell, count=len(report.rows), rows=report.rows)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    """Hand on the rows that the demonstration judged."""
    one = measured[0]
    if one.error:
        return [Row("night reduced", math.nan, "", within(1, 0), detail=f"{one.cell}: {one.error}")]
    return list(one.rows)


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the groups of the demonstration, with references and without.

    Parameters
    ----------
    quick : bool
        Leave it out: a night takes minutes.
    seed : int
        Seed of the night.

    Returns
    -------
    list of Group
        One cell and its rows each.
    """
    if quick:
        return []
    about = (
        "A small night of the imager through the real pipelines, as iris-drs demo makes it: calibrations, frames, "
        "mosaic and catalogue against the simulated stars and sky."
    )
    own = (
        "The night of the demonstration without any reference, as iris-drs demo --own-calibrations makes it: gain, "
        "read noise, linearity, saturation, darks, flats, bad pixels and zero points come from its own exposures; "
        "the rows are those of the group night."
    )
    return [
        Group("night", about, (NightCell(seed),), measure, _judge),
        Group("night, own calibrations", own, (NightCell(seed, own=True),), measure, _judge),
    ]
