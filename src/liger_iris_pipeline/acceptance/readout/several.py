"""Several ramps of one exposure, read in different ways, as one rate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

import iris_readout
from liger_iris_pipeline.acceptance.readout import simulate
from liger_iris_pipeline.acceptance.readout.covariance import best_fit
from liger_iris_pipeline.acceptance.readout.statistic import mean, scatter
from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, Row, within, worst

__all__ = ["SeveralCell", "several"]

DETECTOR = simulate.Detector()
PATTERNS = ((5, 1.5), (10, 1.5), (16, 0.75))
"""Number of reads and their spacing [s] of the ramps."""


@dataclass(frozen=True)
class SeveralCell:
    """One rate, in three unequal ramps.

    Attributes
    ----------
    rate : float
        True rate [e-/s].
    pixels : int
        Number of pixels.
    estimator : str
        As for `iris_readout.RampFitter`.
    """

    rate: float
    pixels: int
    estimator: str = "likelihood"

    def __str__(self) -> str:
        return f"{self.rate:g} e⁻/s, ramps of {', '.join(str(n) for n, _ in PATTERNS)} reads"


def _ramp(
    cell: SeveralCell, times: npt.NDArray[np.float64], rng: np.random.Generator
) -> iris_readout.RampResult:
    """Simulate one ramp and fit it."""
    shape = (200, cell.pixels // 200)
    return iris_readout.fit_ramp(
        simulate.ramp(rng, DETECTOR, cell.rate, times, shape),
        times,
        estimator=cell.estimator,
        gain=DETECTOR.gain,
        read_noise=DETECTOR.read_noise,
        ref_pixels=0,
        jump_sigma=None,
        nthreads=1,
    )


def measure(cell: SeveralCell, rng: np.random.Generator) -> Measured:
    """Combine three unequal ramps and compare with the truth."""
    results, information = [], 0.0
    for nread, step in PATTERNS:
        times = step * np.arange(1.0, nread + 1)
        results.append(_ramp(cell, times, rng))
        information += best_fit(times, cell.rate, DETECTOR.read_noise).sigma ** -2
    combined = iris_readout.combine_ramps(results)
    offset = np.ravel(combined.rate.astype(np.float64) - cell.rate)
    sigma = information**-0.5
    bias = mean(offset)
    figures = {
        "bias": Figure(bias.value / sigma, bias.error / sigma),
        "scatter": scatter(offset / sigma),
    }
    if cell.rate * max(n * step for n, step in PATTERNS) >= 100:
        variance = np.ravel(combined.var_read.astype(np.float64) + combined.var_photon)
        figures["pull"] = scatter(offset / np.sqrt(variance))
    return Measured(cell, figures, offset.size)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    made = [
        worst("bias of the combined rate, in its σ", measured, "bias", within(0, 0.02)),
        worst("pull of the combined rate, ≥ 100 e⁻", measured, "pull", within(1, 0.02)),
        worst("scatter / best possible of all reads", measured, "scatter", within(1, 0.02)),
    ]
    return [one for one in made if one is not None]


def several(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of combined ramps.

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
    rates = (0.3, 10.0, 300.0) if quick else (0.03, 0.3, 3.0, 10.0, 30.0, 300.0, 2000.0)
    cells = tuple(SeveralCell(rate, 100_000, estimator) for rate in rates)
    about = "Ramps of 5, 10 and 16 reads with different spacings, combined by iris_readout.combine_ramps."
    return Group("several ramps", about, cells, measure, _judge)
