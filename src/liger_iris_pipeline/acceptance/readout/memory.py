"""Memory: what a ramp takes, whatever the number of its reads."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Measured,
    Row,
    at_most,
    row,
    within,
)

__all__ = ["MemoryCell", "memory"]

GIGA = 1e9


@dataclass(frozen=True)
class MemoryCell:
    """One ramp in a process of its own.

    Attributes
    ----------
    estimator : str
        As for `iris_readout.RampFitter`.
    size : int
        Pixels on a side.
    nread : int
        Number of reads.
    """

    estimator: str
    size: int
    nread: int

    def __str__(self) -> str:
        return f"{self.estimator}, {self.size}², {self.nread} reads"


def measure(cell: MemoryCell, rng: np.random.Generator) -> Measured:
    """Run the ramp in a child and give its peak of resident memory."""
    module = "liger_iris_pipeline.acceptance.readout.peak"
    command = [sys.executable, "-m", module, cell.estimator, str(cell.size), str(cell.nread)]
    child = subprocess.run(command, capture_output=True, text=True, check=False)
    if child.returncode:
        return Measured(cell, error=child.stderr.strip().splitlines()[-1])
    said = json.loads(child.stdout)
    figures = {
        "peak": Figure(said["peak"] / GIGA),
        "above": Figure((said["peak"] - said["before"]) / GIGA),
        "rate": Figure(said["rate"]),
    }
    return Measured(cell, figures, cell.nread)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    short, long = (m for m in measured if m.cell.estimator == "ols")
    name, limit = "peak of 100 reads over 10, least squares, minus 1", within(0, 0.05, "|x| < 0.05")
    if short.error or long.error:
        rows = [row(name, short if short.error else long, "peak", limit)]
    else:
        peaks = [m.figures["peak"].value for m in (short, long)]
        detail = f"{short.cell.size}², peaks of {peaks[0]:.3f} and {peaks[1]:.3f} GB"
        rows = [Row(name, peaks[1] / peaks[0] - 1, "", limit, detail=detail)]
    for one in measured:
        rate = one.figures["rate"].value if one.figures else math.nan
        if one.cell.estimator != "ols":
            name = f"{one.cell.nread} reads of {one.cell.size}²: peak above planes"
            rows.append(row(name, one, "above", at_most(2.5), "GB"))
        rows.append(
            Row(f"{one.cell}: median rate / truth", rate, "", within(1, 0.01), detail=one.error)
        )
    return rows


def memory(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of the memory.

    Parameters
    ----------
    quick : bool
        Whether to leave out the long ramp.
    estimator : str
        Estimator of the long ramp.

    Returns
    -------
    Group
        The cells and how they are judged.
    """
    cells = [MemoryCell("ols", 2048, 10), MemoryCell("ols", 2048, 100)]
    if not quick:
        cells.append(MemoryCell(estimator, 4096, 416))
    about = (
        "Peak of resident memory (VmHWM) of child processes that push shifted copies of one tile of noise. The long "
        "ramp is counted above what the child had with its read buffers and output planes there but no fitter."
    )
    return Group("memory", about, tuple(cells), measure, _judge)
