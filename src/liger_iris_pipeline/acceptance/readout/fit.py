"""The fit alone: pulls, bias, chi-square and efficiency over rates and numbers of reads."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import iris_readout
from liger_iris_pipeline.acceptance.plots import Axis, Series, plot
from liger_iris_pipeline.acceptance.readout import simulate
from liger_iris_pipeline.acceptance.readout.covariance import Fit, best_fit, weighted_fit
from liger_iris_pipeline.acceptance.readout.statistic import mean, scatter, variance_ratio
from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Limit,
    Measured,
    Row,
    at_most,
    within,
    worst,
)

__all__ = ["FitCell", "least_squares", "likelihood", "two_means"]

Float64 = npt.NDArray[np.float64]

DETECTOR = simulate.Detector()
CHUNK = (250, 400)
"""Pixels that are simulated at a time: 20 MB for a hundred reads."""

MANY = 100.0
"""Charge from which on the reported variance of a ramp must be right pixel by pixel [e-]."""

ABOUT = (
    "Rates of 0.01 to 10⁴ e⁻/s, 2 to 100 reads. Every cell is an own simulation (Poisson charge in every interval, "
    "9 e⁻ of read noise, 1 e⁻/DN, rounding counted in the noise the library is told). Reads are equally spaced, at "
    "most 10 s apart and so close that the mean of the last one stays below 75 % of saturation (80 % with its "
    "noise). No jump test, no reference pixels. The true sigma and the best unbiased estimate come from the "
    "explicit covariance matrix of the differences at the true rate. The Cramér-Rao row is the ratio of variances "
    "of the library's rates and of that best estimate made from the same reads: they share their noise, so the "
    "ratio is known to a fraction of its tolerance, and the figure itself must be within the limit. No pixel is "
    "left out."
)


@dataclass(frozen=True)
class FitCell:
    """One rate and read pattern.

    Attributes
    ----------
    rate : float
        True rate [e-/s].
    nread : int
        Number of reads.
    pixels : int
        Number of pixels.
    mode, estimator : str
        As for `iris_readout.RampFitter`.
    nfowler : int
        Reads in each mean of ``mcds``.
    """

    rate: float
    nread: int
    pixels: int
    mode: str = "utr"
    estimator: str = "likelihood"
    nfowler: int = 1

    def __str__(self) -> str:
        kind = {"cds": "CDS, ", "mcds": f"MCDS {self.nfowler}+{self.nfowler}, "}.get(self.mode, "")
        return f"{kind}{self.rate:g} e⁻/s, {self.nread} reads"

    @property
    def times(self) -> Float64:
        """Times of the reads [s]."""
        return simulate.spacing(DETECTOR, self.rate, self.nread) * np.arange(1.0, self.nread + 1)

    @property
    def collects_many(self) -> bool:
        """Whether at least `MANY` electrons arrive between the first read and the last."""
        return bool(self.rate * (self.times[-1] - self.times[0]) >= MANY * (1 - 1e-9))

    def true_fit(self) -> Fit:
        """Give the true sigma, and the estimate that has it."""
        if self.mode == "utr" and self.estimator == "likelihood":
            return best_fit(self.times, self.rate, DETECTOR.read_noise)
        weights = np.zeros(self.nread)
        if self.mode == "utr":
            centred = self.times - self.times.mean()
            weights = centred / (centred @ centred)
        else:
            span = self.times[-self.nfowler :].mean() - self.times[: self.nfowler].mean()
            weights[: self.nfowler] -= 1 / (self.nfowler * span)
            weights[-self.nfowler :] += 1 / (self.nfowler * span)
        return weighted_fit(weights, self.times, self.rate, DETECTOR.read_noise)


@dataclass(frozen=True)
class _Sample:
    """Results of all pixels of a cell."""

    rate: Float64
    variance: Float64
    analytic: Float64
    chi2: Float64
    best: Float64


def _simulate(cell: FitCell, rng: np.random.Generator) -> _Sample:
    """Simulate a cell and fit it with the library and with the true weights."""
    weights = cell.true_fit().weights
    kind = {"estimator": cell.estimator} if cell.mode == "utr" else {"nfowler": cell.nfowler}
    parts: list[tuple[Any, ...]] = []
    for _ in range(cell.pixels // (CHUNK[0] * CHUNK[1])):
        reads = simulate.ramp(rng, DETECTOR, cell.rate, cell.times, CHUNK)
        result = iris_readout.fit_ramp(
            reads,
            cell.times,
            mode=cell.mode,
            **kind,
            gain=DETECTOR.gain,
            read_noise=DETECTOR.read_noise,
            ref_pixels=0,
            jump_sigma=None,
            nthreads=1,
        )
        best = np.zeros(CHUNK)
        for weight, read in zip(weights * DETECTOR.gain, reads, strict=True):
            best += weight * read
        variance = result.var_read.astype(np.float64) + result.var_photon
        analytic = result.var_read + result.photon_factor.astype(np.float64) * cell.rate
        parts.append((result.rate, variance, analytic, result.chi2, best))
    return _Sample(
        *(np.concatenate([np.ravel(p) for p in plane]) for plane in zip(*parts, strict=True))
    )


def measure(cell: FitCell, rng: np.random.Generator) -> Measured:
    """Simulate a cell, fit it and compare with the truth.

    Parameters
    ----------
    cell : FitCell
        The cell.
    rng : Generator
        Random numbers.

    Returns
    -------
    Measured
        Figures of the cell.
    """
    sample, sigma = _simulate(cell, rng), cell.true_fit().sigma
    offset = sample.rate.astype(np.float64) - cell.rate
    allowed = max(0.001 * cell.rate, 0.02 * sigma)
    figures = {
        "scatter": scatter(offset / sigma),
        "simulation": scatter(sample.best / sigma),
        "bias": _scaled(mean(offset), 1 / allowed),
        "bias in sigma": _scaled(mean(offset), 1 / sigma),
        "efficiency": variance_ratio(offset, sample.best),
    }
    if cell.collects_many:
        few = " of few" if cell.nread < 4 else ""
        figures["pull" + few] = scatter(offset / np.sqrt(sample.variance))
        figures["variance"] = _monte_carlo(sample.variance, offset)
    else:
        figures["faint variance"] = _scaled(mean(sample.variance), 1 / sigma**2)
        figures["analytic variance"] = _monte_carlo(sample.analytic, offset)
    if cell.nread >= 3 and cell.mode == "utr" and cell.estimator == "likelihood":
        figures["chi2"] = mean(sample.chi2)
    return Measured(cell, figures, offset.size)


def _scaled(figure: Figure, factor: float) -> Figure:
    """Multiply a figure and its error."""
    return Figure(figure.value * factor, figure.error * factor)


def _monte_carlo(reported: Float64, offset: Float64) -> Figure:
    """Give the mean reported variance over the variance that the results have."""
    sigma = scatter(offset)
    ratio = float(reported.mean() / sigma.value**2)
    return Figure(ratio, ratio * 2 * sigma.error / sigma.value)


def _rows(wanted: Sequence[tuple[str, str, Limit]], measured: Sequence[Measured]) -> list[Row]:
    """Judge each figure by its worst cell."""
    made = [worst(name, measured, key, limit) for key, name, limit in wanted]
    return [row for row in made if row is not None]


BIAS = ("bias", "bias / max(0.1 % of the rate, 0.02 σ)", within(0, 1))
FAINT = ("faint variance", "mean reported variance / true one, below 100 e⁻", within(1, 0.15))
SIMULATION = ("simulation", "(check of the simulation: true weights, scatter / σ)", within(1, 0.01))


def _judge_likelihood(measured: Sequence[Measured]) -> list[Row]:
    return _rows(
        [
            ("scatter", "scatter of (estimate - truth) / σ at the true rate", within(1, 0.01)),
            ("pull", "pull with the reported σ, ≥ 100 e⁻, 4 reads and more", within(1, 0.01)),
            ("pull of few", "pull with the reported σ, ≥ 100 e⁻, 2 or 3 reads", within(1, 0.03)),
            FAINT,
            BIAS,
            ("chi2", "mean χ² per degree of freedom", within(1, 0.02)),
            ("efficiency", "variance / Cramér-Rao bound", at_most(1.01)),
            SIMULATION,
        ],
        measured,
    )


def _judge_two_means(measured: Sequence[Measured]) -> list[Row]:
    return _rows(
        [
            ("variance", "mean reported variance / Monte Carlo, ≥ 100 e⁻", within(1, 0.01)),
            (
                "analytic variance",
                "variance at the true rate / Monte Carlo, below 100 e⁻",
                within(1, 0.01),
            ),
            FAINT,
            ("efficiency", "variance / that of the same means made by hand", within(1, 0.01)),
            BIAS,
            SIMULATION,
        ],
        measured,
    )


def _judge_plain(measured: Sequence[Measured]) -> list[Row]:
    return _rows(
        [
            ("pull", "pull with the reported σ, ≥ 100 e⁻, 4 reads and more", within(1, 0.02)),
            FAINT,
            BIAS,
        ],
        measured,
    )


def _by_rate(measured: Sequence[Measured], key: str) -> list[Series]:
    """Make one curve over rate for every number of reads."""
    having = [m for m in measured if key in m.figures]
    return [
        _series(f"{n} reads", [m for m in having if m.cell.nread == n], key, lambda m: m.cell.rate)
        for n in sorted({m.cell.nread for m in having})
    ]


def _series(
    label: str, measured: Sequence[Measured], key: str, x: Callable[[Measured], float]
) -> Series:
    figures = [m.figures[key] for m in measured]
    return Series(
        label, [x(m) for m in measured], [f.value for f in figures], [f.error for f in figures]
    )


def _draw_likelihood(measured: Sequence[Measured]) -> list[str]:
    rate = Axis("rate [e⁻/s]", log=True)
    having = [m for m in measured if "chi2" in m.figures]
    by_reads = [
        _series(
            f"{r:g} e⁻/s", [m for m in having if m.cell.rate == r], "chi2", lambda m: m.cell.nread
        )
        for r in sorted({m.cell.rate for m in having})
    ]
    few = [(m.figures.get("pull of few"), m) for m in measured]
    pulls = [
        Measured(m.cell, {**m.figures, "pull": f} if f else m.figures, m.count) for f, m in few
    ]
    drawn = [
        ("Scatter over the true σ", "scatter", _by_rate(measured, "scatter"), rate, 0.01),
        ("Pull with the reported σ, ≥ 100 e⁻", "pull", _by_rate(pulls, "pull"), rate, 0.01),
        ("Bias", "bias [σ]", _by_rate(measured, "bias in sigma"), rate, None),
        ("χ² per degree of freedom", "mean χ²/dof", by_reads, Axis("reads", log=True), 0.02),
        (
            "Variance over Cramér-Rao bound",
            "ratio",
            _by_rate(measured, "efficiency"),
            rate,
            0.01,
        ),
    ]
    return [
        plot(title, curves, x, Axis(label), [(1 - band, 1 + band) if band else (-0.02, 0.02)])
        for title, label, curves, x, band in drawn
    ]


RATES = (0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4)
NREADS = (2, 3, 4, 5, 8, 10, 16, 24, 32, 100)


def likelihood(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of the likelihood fit.

    Parameters
    ----------
    quick : bool
        Whether to leave out most cells.
    estimator : str
        Estimator to hold against the limits.

    Returns
    -------
    Group
        The cells and how they are judged.
    """
    rates, nreads = ((0.1, 10.0, 1e3), (2, 3, 5, 10, 32)) if quick else (RATES, NREADS)
    pixels = 200_000 if quick else 400_000
    cells = tuple(FitCell(r, n, pixels, estimator=estimator) for n in nreads for r in rates)
    return Group("fit", ABOUT, cells, measure, _judge_likelihood, _draw_likelihood)


def two_means(*, quick: bool) -> Group:
    """Give the group of the two modes that subtract means of reads."""
    pixels = 200_000 if quick else 400_000
    patterns = [("cds", 2, 1), ("cds", 10, 1), ("mcds", 8, 4), ("mcds", 10, 3), ("mcds", 32, 8)]
    rates = (1.0, 100.0, 1e4) if quick else RATES
    cells = tuple(
        FitCell(rate, nread, pixels, mode, nfowler=nfowler)
        for mode, nread, nfowler in (patterns[1:4] if quick else patterns)
        for rate in rates
    )
    about = (
        "Last read minus first one, and mean of the last minus mean of the first reads. Below 100 e⁻ the mean "
        "reported variance cannot be unbiased where a negative rate counts as none, so there the 1 % is asked of "
        "var_read + photon_factor × true rate, and 15 % of the mean reported one."
    )
    return Group("CDS and MCDS", about, cells, measure, _judge_two_means)


def least_squares(*, quick: bool) -> Group:
    """Give the group of the quick look."""
    pixels = 50_000 * (4 if quick else 8)
    cells = tuple(
        FitCell(rate, nread, pixels, estimator="ols")
        for nread in ((5, 16) if quick else (3, 5, 10, 16, 32))
        for rate in ((10.0,) if quick else (0.1, 10.0, 100.0, 1e4))
    )
    about = "Ordinary least squares of the reads: its variances must be right although it is not the best fit."
    return Group("least squares", about, cells, measure, _judge_plain)
