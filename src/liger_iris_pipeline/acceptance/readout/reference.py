"""Reference pixels: what is left of noise that is common to a row, and of the level of an output."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

import iris_readout
from liger_iris_pipeline.acceptance.plots import Axis, Series, plot
from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Measured,
    Row,
    at_most,
    row,
    within,
)

__all__ = ["Dark", "LevelCell", "RowCell", "reference", "wiener_limit"]

Float64 = npt.NDArray[np.float64]

BORDER = 4
WHITE = 9.0
SPACING = 1.5


@dataclass(frozen=True)
class Dark:
    """Reads of a detector in the dark.

    Attributes
    ----------
    ny, nx : int
        Size, the border of reference pixels included.
    noutputs : int
        Readout stripes.
    pink : float
        Row noise with a 1/f spectrum, common to all outputs: rms within one read [e-].
    drift : float
        Drift of all outputs, a random walk: step from row to row [e-].
    level : float
        Changes of the level of an output from read to read, rms [e-].
    parity : float
        The same of the level of its odd columns against its even ones [e-].
    """

    ny: int = 2048
    nx: int = 512
    noutputs: int = 8
    pink: float = 1.8
    drift: float = 0.1
    level: float = 50.0
    parity: float = 20.0

    def rows(self, rng: np.random.Generator, nread: int) -> Float64:
        """Give the noise of the rows of reads that follow one another, (nread, ny) [e-]."""
        total = nread * self.ny
        frequency = np.fft.rfftfreq(4 * total)
        spectrum = np.zeros(frequency.size, complex)
        phases = rng.standard_normal((2, frequency.size - 1))
        density = self.pink**2 / np.log(self.ny / 2) / frequency[1:]
        spectrum[1:] = np.sqrt(density * total) * (phases[0] + 1j * phases[1])
        pink = np.fft.irfft(spectrum, 4 * total)[:total]
        walk = np.cumsum(self.drift * rng.standard_normal(total))
        return np.asarray((pink + walk).reshape(nread, self.ny))

    def levels(self, rng: np.random.Generator, nread: int) -> Float64:
        """Give the levels of the columns in every read, (nread, nx) [e-]."""
        level = self.level * rng.standard_normal((nread, self.noutputs, 1))
        parity = self.parity * rng.standard_normal((nread, self.noutputs, 1))
        odd = np.arange(self.nx // self.noutputs) % 2
        return np.asarray((level + parity * odd).reshape(nread, self.nx))

    def reads(
        self, rng: np.random.Generator, nread: int, levels: Float64 | None = None
    ) -> npt.NDArray[np.uint16]:
        """Give raw reads, 1 e-/DN, (nread, ny, nx)."""
        rows = self.rows(rng, nread)
        columns = self.levels(rng, nread) if levels is None else levels
        reads = np.empty((nread, self.ny, self.nx), np.uint16)
        pedestal = 5000.0 + 300.0 * rng.standard_normal((self.ny, self.nx))
        for number in range(nread):
            white = WHITE * rng.standard_normal((self.ny, self.nx), dtype=np.float32)
            value = pedestal + rows[number][:, None] + columns[number] + white
            reads[number] = np.clip(np.rint(value), 1, 65000)
        return reads


@dataclass(frozen=True)
class RowCell:
    """Row noise after one kind of correction.

    Attributes
    ----------
    kind : str
        ``none``, ``side columns`` or ``weights``.
    ramps : int
        Number of ramps.
    nread : int
        Reads of each.
    nlag : int
        Length of the kernels of ``weights``.
    estimator : str
        As for `iris_readout.RampFitter`.
    """

    kind: str
    ramps: int
    nread: int = 8
    nlag: int = 127
    estimator: str = "likelihood"

    def __str__(self) -> str:
        return f"{self.kind}, {self.ramps} ramps of {self.nread} reads"


@dataclass(frozen=True)
class LevelCell:
    """Levels of outputs after the correction.

    Attributes
    ----------
    ramps : int
        Number of ramps, all with the same changes of level.
    nread : int
        Reads of each.
    estimator : str
        As for `iris_readout.RampFitter`.
    """

    ramps: int
    nread: int = 8
    estimator: str = "likelihood"

    def __str__(self) -> str:
        return f"{self.ramps} ramps of {self.nread} reads"


def _charge(
    reads: Any, dark: Dark, estimator: str, ref_pixels: int = BORDER, **options: Any
) -> Float64:
    """Fit reads, and give the science pixels as charge collected from the first to the last read [e-]."""
    nread = len(reads)
    result = iris_readout.fit_ramp(
        reads,
        SPACING * np.arange(1.0, nread + 1),
        estimator=estimator,
        gain=1.0,
        read_noise=WHITE,
        ref_pixels=ref_pixels,
        noutputs=dark.noutputs,
        jump_sigma=None,
        nthreads=1,
        **options,
    )
    inside = slice(BORDER, -BORDER)
    return np.asarray(result.rate[inside, inside] * (SPACING * (nread - 1)), np.float64)


def _correction(cell: RowCell, dark: Dark, rng: np.random.Generator) -> dict[str, Any]:
    """Give the options of the correction; weights are made from darks of their own."""
    if cell.kind == "none":
        return {"ref_pixels": 0}
    if cell.kind == "side columns":
        return {"side_rows": 11}
    from liger_iris_pipeline.algorithms.ramp.reference_weights import fit_reference_weights

    ramps = [dark.reads(rng, cell.nread).astype(np.float32) for _ in range(4)]
    darks = np.concatenate([np.diff(reads, axis=0) for reads in ramps])
    return {"ref_weights": fit_reference_weights(darks, dark.noutputs, BORDER, cell.nlag)}


def measure_rows(cell: RowCell, rng: np.random.Generator) -> Measured:
    """Give the noise that a whole row has in common over the noise of a pixel in its row."""
    dark = Dark()
    options = _correction(cell, dark, rng)
    common, white, power = [], [], []
    for _ in range(cell.ramps):
        charge = _charge(dark.reads(rng, cell.nread), dark, cell.estimator, **options)
        if cell.kind == "none":  # nothing took the columns' levels off
            charge = charge - charge.mean(axis=0)
        rows = charge.mean(axis=1)
        variance = charge.var(axis=1, ddof=1).mean()
        common.append(rows.var() - variance / charge.shape[1])
        white.append(variance)
        power.append(np.abs(np.fft.rfft(rows - rows.mean())) ** 2 / rows.size / variance)
    ratios = np.sqrt(np.maximum(common, 0.0) / np.array(white))
    ratio = float(np.sqrt(max(np.mean(common), 0.0) / np.mean(white)))
    error = float(ratios.std() / np.sqrt(max(cell.ramps - 1, 1)))
    frequency = np.fft.rfftfreq(dark.ny - 2 * BORDER)
    return Measured(
        cell,
        {"ratio": Figure(ratio, error)},
        cell.ramps * (dark.ny - 2 * BORDER),
        curves=_smooth(np.asarray(frequency[1:], np.float64), np.mean(power, axis=0)[1:]),
    )


def _smooth(frequency: Float64, power: Float64) -> dict[str, list[float]]:
    """Average a spectrum in bins that are equally wide in the logarithm."""
    edges = np.geomspace(frequency[0] * 0.99, frequency[-1] * 1.01, 31)
    which = np.digitize(frequency, edges)
    bins = np.unique(which)
    return {
        "frequency": [float(frequency[which == b].mean()) for b in bins],
        "power": [float(power[which == b].mean()) for b in bins],
    }


def wiener_limit(dark: Dark) -> float:
    """Give the least row noise, over the white noise of a pixel, that any filter of the side columns can leave.

    Parameters
    ----------
    dark : Dark
        The detector.

    Returns
    -------
    float
        Root of the integral of S N / (S + N) over frequency: S the spectrum of the row noise, N that of the mean
        of the side columns.
    """
    frequency = np.geomspace(1 / dark.ny, 0.5, 4001)
    signal = dark.pink**2 / np.log(dark.ny / 2) / frequency
    signal = signal + 2 * (dark.drift / (2 * np.pi * frequency)) ** 2
    noise = 2 * WHITE**2 / (2 * BORDER)
    left = np.trapezoid(signal * noise / (signal + noise), frequency)
    return float(np.sqrt(left) / WHITE)


def measure_levels(cell: LevelCell, rng: np.random.Generator) -> Measured:
    """Change the levels of outputs and of their odd columns between reads, and see what the rate keeps of it."""
    dark = Dark(ny=32, nx=4096, noutputs=4, pink=0.0, drift=0.0)
    levels = dark.levels(rng, cell.nread)
    shape = (dark.ny - 2 * BORDER, dark.nx - 2 * BORDER)
    total = np.zeros(shape)
    for _ in range(cell.ramps):
        total += _charge(dark.reads(rng, cell.nread, levels), dark, cell.estimator, side_rows=0)
    columns = np.full(dark.nx, np.nan)
    columns[BORDER:-BORDER] = total.mean(axis=0) / cell.ramps
    outputs = columns.reshape(dark.noutputs, -1)
    even, odd = np.nanmean(outputs[:, ::2], axis=1), np.nanmean(outputs[:, 1::2], axis=1)
    count = 2 * BORDER * dark.nx // dark.noutputs * cell.ramps
    noise = WHITE * float(np.sqrt(2 / count))  # of the reference pixels of one output
    figures = {
        "level": Figure(float(np.abs((even + odd) / 2).max()), noise),
        "parity": Figure(float(np.abs(odd - even).max()), 2 * noise),
    }
    return Measured(cell, figures, cell.ramps * shape[0] * shape[1])


def measure(cell: RowCell | LevelCell, rng: np.random.Generator) -> Measured:
    """Measure a cell of either kind.

    Parameters
    ----------
    cell : RowCell or LevelCell
        The cell.
    rng : Generator
        Random numbers.

    Returns
    -------
    Measured
        Its figures.
    """
    return measure_rows(cell, rng) if isinstance(cell, RowCell) else measure_levels(cell, rng)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    rows = []
    for one in measured:
        if isinstance(one.cell, LevelCell):
            limit = within(0, 0.1, "|x| ≤ 0.1")
            rows += [
                row("level left of an output, largest", one, "level", limit, "e⁻"),
                row("odd/even left of an output, largest", one, "parity", limit, "e⁻"),
            ]
        elif one.cell.kind != "none":
            limit = at_most(0.20 if one.cell.kind == "side columns" else 0.15)
            rows.append(row(f"row noise / white, {one.cell.kind}", one, "ratio", limit))
    return rows


def _draw(measured: Sequence[Measured]) -> list[str]:
    """Draw the spectra of the row means."""
    curves = [
        Series(m.cell.kind, m.curves["frequency"], m.curves["power"], marks=False)
        for m in measured
        if m.curves
    ]
    title, power = "Row means after correction", "power / white of a pixel"
    return [plot(title, curves, Axis("frequency [1/row]", log=True), Axis(power, log=True))]


def reference(*, quick: bool, estimator: str = "likelihood") -> Group:
    """Give the group of the reference correction.

    Parameters
    ----------
    quick : bool
        Whether to make fewer ramps.
    estimator : str
        Estimator to hold against the limits.

    Returns
    -------
    Group
        The cells and how they are judged.
    """
    ramps = 2 if quick else 8
    kinds = ("side columns", "weights") if quick else ("none", "side columns", "weights")
    cells: list[Any] = [RowCell(k, ramps, estimator=estimator) for k in kinds]
    cells.append(LevelCell(40 if quick else 100, estimator=estimator))
    dark = Dark()
    about = (
        f"Darks of {dark.ny} × {dark.nx} pixels, {dark.noutputs} outputs, border of {BORDER}; {WHITE:g} e⁻ white, "
        f"row noise with a 1/f spectrum of {dark.pink:g} e⁻ rms within a read and a random-walk drift, both common to "
        f"all outputs and going on from read to read, levels that jump by {dark.level:g} e⁻ per output and "
        f"{dark.parity:g} e⁻ between odd and even columns. Row noise is what the mean of a row has above the share of "
        f"its white pixels. No filter of the side columns can leave less than {wiener_limit(dark):.3f} of this noise. "
        "Weights are fitted to other darks. Levels: the same jumps in all ramps of wide outputs, averaged, so that "
        "the noise of the reference pixels themselves is below a third of the limit; no row noise, no side columns."
    )
    return Group("reference pixels", about, tuple(cells), measure, _judge, _draw)
