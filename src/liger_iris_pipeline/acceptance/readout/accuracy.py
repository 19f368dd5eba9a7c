"""Arithmetic: the library's least squares against double precision."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

import iris_readout
from liger_iris_pipeline.acceptance.readout import simulate
from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, Row, at_most, worst

__all__ = ["AccuracyCell", "accuracy"]


@dataclass(frozen=True)
class AccuracyCell:
    """One number of reads.

    Attributes
    ----------
    nread : int
        Number of reads.
    charge : float
        Charge at the last read [e-].
    """

    nread: int
    charge: float

    def __str__(self) -> str:
        return f"{self.nread} reads, {self.charge:g} e⁻ on 50000 DN"


def measure(cell: AccuracyCell, rng: np.random.Generator) -> Measured:
    """Compare slopes of reads on a high pedestal with least squares in double precision."""
    detector = simulate.Detector(white_noise=10.0, pedestal=50000.0)
    times = 1.5 * np.arange(1.0, cell.nread + 1)
    reads = simulate.ramp(rng, detector, cell.charge / times[-1], times, (200, 500))
    result = iris_readout.fit_ramp(
        reads,
        times,
        estimator="ols",
        gain=1.0,
        read_noise=10.0,
        ref_pixels=0,
        jump_sigma=None,
        nthreads=1,
    )
    centred = times - times.mean()
    slope = np.tensordot(centred / (centred @ centred), reads.astype(np.float64), 1)
    sigma = 10.0 / np.sqrt(centred @ centred)
    difference = (result.rate - slope) / sigma
    figures = {
        "rms": Figure(float(np.sqrt(np.mean(difference**2)))),
        "largest": Figure(float(np.abs(difference).max())),
    }
    return Measured(cell, figures, difference.size)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    made = [
        worst("least squares - double precision, rms, in σ", measured, "rms", at_most(1e-4)),
        worst("the same, largest", measured, "largest", at_most(1e-3)),
    ]
    return [one for one in made if one is not None]


def accuracy(*, quick: bool) -> Group:
    """Give the group of the arithmetic.

    Parameters
    ----------
    quick : bool
        Whether to leave out cells.

    Returns
    -------
    Group
        The cells and how they are judged.
    """
    nreads, charges = ((100,), (1000.0,)) if quick else ((3, 10, 30, 100), (10.0, 1000.0, 3000.0))
    about = (
        "σ is that of the slope from 10 e⁻ of read noise. Up to 20 e⁻/s in a hundred reads, where a float32 rate "
        "resolves a fifth of the limit; at 67 e⁻/s its rounding alone would be 10⁻⁴ σ."
    )
    cells = tuple(AccuracyCell(n, c) for n in nreads for c in charges)
    return Group("arithmetic", about, cells, measure, _judge)
