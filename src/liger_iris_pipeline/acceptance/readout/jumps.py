"""Jumps: how many are seen where there are none, how many of those that are there, and what is left of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

import iris_readout
from liger_iris_pipeline.acceptance.plots import Axis, Series, plot
from liger_iris_pipeline.acceptance.readout import simulate
from liger_iris_pipeline.acceptance.readout.covariance import amplitude_error, best_fit
from liger_iris_pipeline.acceptance.readout.statistic import fraction, mean
from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Measured,
    Row,
    at_least,
    at_most,
    row,
    within,
    worst,
)

__all__ = ["FalseCell", "HitCell", "completeness", "false_flags", "removal"]

Float64 = npt.NDArray[np.float64]

DETECTOR = simulate.Detector()
SPACING = 1.5
CUT = 4.5
FALSE_RATE = 2 * float(norm.sf(CUT))
"""False flags per difference of a two-sided cut on a normal deviate: 6.8e-6."""

PITCH = 3
"""Hits are this many pixels apart in y and x, so that no two are neighbours."""


def expected(significance: Any) -> Any:
    """Give the fraction of hits that a two-sided cut finds, their significance being a normal deviate.

    Parameters
    ----------
    significance : array_like
        True amplitude over its error.

    Returns
    -------
    ndarray
        Fraction.
    """
    return norm.cdf(significance - CUT) + norm.cdf(-significance - CUT)


@dataclass(frozen=True)
class FalseCell:
    """Ramps without hits.

    Attributes
    ----------
    nread : int
        Number of reads.
    charge : float
        Charge in every interval [e-].
    differences : float
        Number of differences to be tested.
    estimator : str
        As for `iris_readout.RampFitter`.
    room : int
        Reads that memory has room for, so that more are folded into resultants; 0: for all.
    """

    nread: int
    charge: float
    differences: float
    estimator: str = "likelihood"
    room: int = 0

    def __str__(self) -> str:
        folded = f", room for {self.room}" if self.room else ""
        return f"{self.nread} reads, {self.charge:g} e⁻ each{folded}"


@dataclass(frozen=True)
class HitCell:
    """Ramps with one hit each.

    Attributes
    ----------
    nread : int
        Number of reads.
    charge : float
        Charge in every interval [e-].
    amplitude : float
        Of the hits.
    unit : str
        ``σ`` (error of the amplitude) or ``e⁻``.
    hits : int
        Their number, about.
    estimator : str
        As for `iris_readout.RampFitter`.
    """

    nread: int
    charge: float
    amplitude: float
    unit: str = "σ"
    hits: int = 20_000
    estimator: str = "likelihood"

    def __str__(self) -> str:
        return f"{self.amplitude:g} {self.unit}, {self.nread} reads, {self.charge:g} e⁻ each"

    @property
    def rate(self) -> float:
        """True rate [e-/s]."""
        return self.charge / SPACING

    @property
    def times(self) -> Float64:
        """Times of the reads [s]."""
        return SPACING * np.arange(1.0, self.nread + 1)


def _fit(reads: Any, times: Float64, estimator: str, room: int = 0) -> iris_readout.RampResult:
    """Push reads one by one and fit them, the memory being too small for more than `room` of them."""
    fitter = iris_readout.RampFitter(
        reads.shape[1:],
        estimator=estimator,
        gain=DETECTOR.gain,
        read_noise=DETECTOR.read_noise,
        ref_pixels=0,
        jump_sigma=CUT,
        nthreads=1,
        **({"memory_limit": room * reads[0].nbytes} if room else {}),
    )
    for read, time_s in zip(reads, times, strict=True):
        fitter.push(read, time_s)
    return fitter.finish()


def measure_false(cell: FalseCell, rng: np.random.Generator) -> Measured:
    """Count flags in ramps without hits."""
    shape = (256, 1024)
    times = SPACING * np.arange(1.0, cell.nread + 1)
    tested = flags = negative = 0
    while tested < cell.differences:
        reads = simulate.ramp(rng, DETECTOR, cell.charge / SPACING, times, shape)
        events = _fit(reads, times, cell.estimator, cell.room).events
        jumps = events[events["kind"] == "JUMP"]
        tested += (cell.nread - 1) * shape[0] * shape[1]
        flags += jumps.size
        negative += int(np.count_nonzero(jumps["amplitude"] < 0))
    scale = 1 / (tested * FALSE_RATE)
    figures = {
        "false rate": Figure(flags * scale, float(np.sqrt(flags)) * scale),
        "flags": Figure(flags),
        "negative": Figure(negative / max(flags, 1)),
    }
    return Measured(cell, figures, flags)


def measure_hits(cell: HitCell, rng: np.random.Generator) -> Measured:
    """Put hits into ramps, and see which are found, where, and what they leave in the rate."""
    side = int(np.ceil(np.sqrt(cell.hits)))
    lattice = (slice(1, None, PITCH), slice(1, None, PITCH))
    errors = np.array(
        [
            amplitude_error(cell.times, cell.rate, DETECTOR.read_noise, k)
            for k in range(cell.nread - 1)
        ]
    )
    sigmas = np.array(
        [best_fit(cell.times, cell.rate, DETECTOR.read_noise, k).sigma for k in range(errors.size)]
    )
    first = rng.integers(1, cell.nread, (side, side))
    significance = (
        np.full(first.shape, cell.amplitude)
        if cell.unit == "σ"
        else cell.amplitude / errors[first - 1]
    )
    shape = (PITCH * side, PITCH * side)
    hits = simulate.Hits(np.full(shape, -1), np.zeros(shape))
    hits.read[lattice] = first
    hits.charge[lattice] = significance * errors[first - 1]
    reads = simulate.ramp(rng, DETECTOR, cell.rate, cell.times, shape, hits)
    result = _fit(reads, cell.times, cell.estimator)
    found = np.zeros(shape, bool)
    jumps = result.events[result.events["kind"] == "JUMP"]
    near = np.abs(jumps["read"] - 1 - hits.read[jumps["y"], jumps["x"]]) <= 1
    found[jumps["y"][near], jumps["x"][near]] = True
    share, theory = fraction(found[lattice]), float(expected(significance).mean())
    offset = (result.rate[lattice].astype(np.float64) - cell.rate) / sigmas[first - 1]
    figures = {
        "found": share,
        "theory": Figure(theory),
        "excess": Figure(share.value - theory, share.error),
        "bias": mean(offset),
        "significance": Figure(float(significance.mean())),
    }
    return Measured(cell, figures, first.size)


def _judge_false(measured: Sequence[Measured]) -> list[Row]:
    name = "false flags per difference / 6.8e-6"
    rows = [row(name, one, "false rate", within(1, 0.2)) for one in measured if not one.cell.room]
    folded = f"{name}, two-omit test on"
    rows += [row(folded, one, "false rate", at_most(2)) for one in measured if one.cell.room]
    counted = worst("false flags counted", measured, "flags", at_least(225))
    return rows if counted is None else [*rows, counted]


def _judge_completeness(measured: Sequence[Measured]) -> list[Row]:
    made = []
    for unit, amplitudes in (("σ", (5.0, 6.0, 7.0)), ("e⁻", (40.0, 60.0, 80.0, 100.0, 150.0))):
        for amplitude in amplitudes:
            chosen = [m for m in measured if m.cell.unit == unit and m.cell.amplitude == amplitude]
            name = f"found of hits of {amplitude:g} {unit}, minus theory"
            made.append(worst(name, chosen, "excess", within(0, 0.02)))
    return [one for one in made if one is not None]


def _judge_removal(measured: Sequence[Measured]) -> list[Row]:
    name = "bias of the rate after hits ≥ 8 σ, in its σ"
    made = worst(name, measured, "bias", within(0, 0.05, "|x| ≤ 0.05"))
    return [] if made is None else [made]


def _draw_completeness(measured: Sequence[Measured]) -> list[str]:
    """Draw the share of hits that is found against its theory."""
    good = [m for m in measured if not m.error and m.cell.unit == "σ"]
    x = np.linspace(2, 9, 71)
    curves = [Series("theory", list(x), list(expected(x)), marks=False)]
    for pattern in sorted({(m.cell.nread, m.cell.charge) for m in good}):
        chosen = [m for m in good if (m.cell.nread, m.cell.charge) == pattern]
        share = [m.figures["found"] for m in chosen]
        curves.append(
            Series(
                f"{pattern[0]} × {pattern[1]:g} e⁻",
                [m.cell.amplitude for m in chosen],
                [s.value for s in share],
                [s.error for s in share],
                line=False,
            )
        )
    title = "Hits found, cut at 4.5 σ"
    return [plot(title, curves, Axis("amplitude [σ]"), Axis("fraction", span=(0, 1.02)))]


def _draw_removal(measured: Sequence[Measured]) -> list[str]:
    """Draw what hits leave in the rate."""
    good = [m for m in measured if not m.error]
    curves = []
    for pattern in sorted({(m.cell.nread, m.cell.charge) for m in good}):
        chosen = [m for m in good if (m.cell.nread, m.cell.charge) == pattern]
        bias = [m.figures["bias"] for m in chosen]
        label = f"{pattern[0]} × {pattern[1]:g} e⁻"
        amplitudes = [m.cell.amplitude for m in chosen]
        curves.append(Series(label, amplitudes, [b.value for b in bias], [b.error for b in bias]))
    axis = Axis("amplitude [σ]", log=True)
    return [plot("Bias of the rate after removal", curves, axis, Axis("bias [σ]"), [(-0.05, 0.05)])]


def false_flags(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of ramps without hits."""
    about = (
        "Ramps without hits, single-read resultants, jump_sigma 4.5: JUMP events over the number of differences "
        "tested. 3 × 10⁸ differences are tested in each cell (2000 flags expected, Poisson error 2 %), a sixth of "
        "that in the quick form (5 %). The two-omit test is on where reads do not fit into memory and are folded into "
        "resultants: there every difference of reads counts, before and after folding."
    )
    patterns = [(16, 20.0)] if quick else [(11, 1.0), (16, 20.0), (32, 5.0)]
    amount = 5e7 if quick else 3e8
    cells = [FalseCell(n, charge, amount, estimator) for n, charge in patterns]
    if not quick:
        cells.append(FalseCell(48, 3.0, amount, estimator, room=24))
    return Group("jumps: false flags", about, tuple(cells), measure_false, _judge_false)


def completeness(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of ramps with hits near the threshold."""
    about = (
        "One hit in every ninth pixel, at any read but the first, found if an event names its read or a neighbour of "
        "it. σ is the error of the amplitude of that very difference with the rate free, from the explicit covariance "
        "matrix; theory is Φ(a - 4.5) + Φ(-a - 4.5), for hits of fixed charge averaged over the reads."
    )
    patterns = [(12, 15.0)] if quick else [(11, 1.0), (16, 20.0), (32, 5.0), (16, 200.0)]
    drawn = (5.0, 6.0, 7.0) if quick else (3.0, 4.0, 4.5, 5.0, 5.5, 6.0, 7.0, 8.0)
    fixed = (40.0, 80.0, 150.0) if quick else (40.0, 60.0, 80.0, 100.0, 150.0)
    cells = [HitCell(*p, a, estimator=estimator) for p in patterns for a in drawn]
    cells += [HitCell(*p, a, "e⁻", estimator=estimator) for p in patterns[:3] for a in fixed]
    return Group(
        "jumps: completeness",
        about,
        tuple(cells),
        measure_hits,
        _judge_completeness,
        _draw_completeness,
    )


def removal(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of ramps with hits that are surely found."""
    about = (
        "What hits of 8 σ and more leave in the rate: mean of (estimate - truth) over the true σ of a fit that leaves "
        "the difference out. All hits count, whether they were found or not."
    )
    patterns = [(12, 15.0)] if quick else [(11, 1.0), (16, 20.0), (32, 5.0), (16, 200.0)]
    amplitudes = (8.0, 20.0) if quick else (8.0, 10.0, 15.0, 30.0, 100.0)
    cells = tuple(HitCell(*p, a, estimator=estimator) for p in patterns for a in amplitudes)
    return Group("jumps: removal", about, cells, measure_hits, _judge_removal, _draw_removal)
