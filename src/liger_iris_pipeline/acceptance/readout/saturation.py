"""Saturation: every saturated read is known, and none that is not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import iris_readout
from liger_iris_pipeline.acceptance.readout import simulate
from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, Row, within, worst
from liger_iris_pipeline.dq import Flag

__all__ = ["SaturationCell", "saturation"]

DETECTOR = simulate.Detector()


@dataclass(frozen=True)
class SaturationCell:
    """Ramps of which many saturate.

    Attributes
    ----------
    level : float
        Mean of the saturation map [DN]; 0 for none: the converter's end.
    nread : int
        Number of reads.
    estimator : str
        As for `iris_readout.RampFitter`.
    """

    level: float
    nread: int = 12
    estimator: str = "likelihood"

    def __str__(self) -> str:
        kind = f"map around {self.level:g} DN" if self.level else "no map"
        return f"{kind}, {self.nread} reads, {self.estimator}"


def measure(cell: SaturationCell, rng: np.random.Generator) -> Measured:
    """Let ramps saturate at any read, and compare flags, events and reads used with the raw counts."""
    shape, times = (400, 500), 1.5 * np.arange(1.0, cell.nread + 1)
    level = np.full(shape, np.float32(simulate.SATURATION))
    if cell.level:
        level = (cell.level * rng.uniform(0.9, 1.1, shape)).astype(np.float32)
    full = float(level.mean() - DETECTOR.pedestal) * DETECTOR.gain / times[-1]
    rate = full * 10 ** rng.uniform(-1.0, 1.5, shape)
    reads = simulate.ramp(rng, DETECTOR, rate, times, shape)
    result = iris_readout.fit_ramp(
        reads,
        times,
        estimator=cell.estimator,
        gain=DETECTOR.gain,
        read_noise=DETECTOR.read_noise,
        saturation=level if cell.level else None,
        saturation_grow=0,
        ref_pixels=0,
        jump_sigma=None,
        nthreads=1,
    )
    over = reads >= level
    saturated = over.any(axis=0)
    first = np.where(saturated, over.argmax(axis=0), cell.nread)
    events = result.events[result.events["kind"] == "SATURATION"]
    said = np.full(shape, cell.nread)
    said[events["y"], events["x"]] = events["read"] - 1
    flagged = (result.dq & np.uint32(Flag.SATURATED)) != 0
    used = np.where(first >= 2, first, 0)
    recalled = flagged & (said == first) & (result.nused <= used)
    beyond = (flagged & ~saturated) | (said < first) | (result.nused < used)
    lost = (used == 0) != np.isnan(result.rate)
    figures = {
        "recall": Figure(float(recalled[saturated].mean())),
        "beyond": Figure(float(beyond.sum())),
        "lost": Figure(float(lost.sum())),
    }
    return Measured(cell, figures, int(saturated.sum()))


def _judge(measured: Sequence[Measured]) -> list[Row]:
    made = [
        worst("saturated pixels recalled from the right read on", measured, "recall", within(1, 0)),
        worst("pixels with reads lost beyond them, growth 0", measured, "beyond", within(0, 0)),
        worst("NaN without two good reads, and only there: pixels", measured, "lost", within(0, 0)),
    ]
    return [one for one in made if one is not None]


def saturation(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of ramps that saturate.

    Parameters
    ----------
    quick : bool
        Whether to leave out cells.
    estimator : str
        Estimator to hold against the limits.

    Returns
    -------
    Group
        The cells and how they are judged.
    """
    cells = [SaturationCell(30000.0, estimator=estimator)]
    if not quick:
        cells += [
            SaturationCell(0.0, estimator=estimator),
            SaturationCell(30000.0, estimator="ols"),
        ]
    about = (
        "Rates that reach the level at any read or never. The truth is read off the raw counts: the first one at or "
        "above the pixel's level. A pixel counts as recalled if it is flagged, its event names that read, and no "
        "read from there on was used."
    )
    return Group("saturation", about, tuple(cells), measure, _judge)
