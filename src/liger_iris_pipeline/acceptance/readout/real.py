"""Real ramps, whose figures are known from independent codes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

import iris_readout
from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Limit,
    Measured,
    Row,
    at_least,
    row,
    within,
)
from liger_iris_pipeline.dq import Flag

__all__ = ["RealCell", "real"]

WFC3 = ("iccz11q4q_reads_u16.fits", "iccz11q4q_ima.fits")
NIRSPEC = ("jwst_nirspec_dark_0046.fits",)
HOT = 4
"""Bit of the NIRSpec dark's DQ, by its DQ_DEF table."""


@dataclass(frozen=True)
class RealCell:
    """One real ramp.

    Attributes
    ----------
    name : str
        ``WFC3`` or ``NIRSpec``.
    folder : Path
        Where the ramps are.
    estimator : str
        As for `iris_readout.RampFitter`.
    """

    name: str
    folder: Path
    estimator: str = "likelihood"

    def __str__(self) -> str:
        return self.name


def _fit(
    reads: Any, step: float, estimator: str, gain: float, noise: float
) -> iris_readout.RampResult:
    times = step * np.arange(float(len(reads)))
    return iris_readout.fit_ramp(
        np.ascontiguousarray(reads, np.uint16),
        times,
        estimator=estimator,
        gain=gain,
        read_noise=noise,
        ref_pixels=0,
        jump_sigma=None,
        nthreads=1,
    )


def _wfc3(cell: RealCell) -> Measured:
    """Fit the WFC3 ramp: no jump test, no reference pixels."""
    with fits.open(cell.folder / WFC3[0]) as hdus:
        result = _fit(hdus[0].data, 0.277815, cell.estimator, 2.35, 14.05)
    with fits.open(cell.folder / WFC3[1]) as hdus:
        dq = hdus["DQ", 1].data
    inside = np.zeros(dq.shape, bool)
    inside[5:-5, 5:-5] = True
    good = inside & (dq == 0) & np.isfinite(result.rate)
    rate = result.rate[good].astype(np.float64)
    error = np.sqrt(result.var_read[good] + result.var_photon[good])
    ratio = 1.4826 * np.median(np.abs(rate - np.median(rate))) / np.median(error)
    total = result.chi2[good] * (result.nused[good].astype(float) - 2)
    brightest = np.where(inside & np.isfinite(result.rate), result.rate, -np.inf)
    y, x = np.unravel_index(brightest.argmax(), dq.shape)
    figures = {
        "ratio": Figure(float(ratio)),
        "chi2": Figure(float(np.median(total))),
        "maximum": Figure(float(brightest[y, x]) if (int(y), int(x)) == (153, 28) else np.nan),
    }
    return Measured(cell, figures, rate.size)


def _nirspec(cell: RealCell) -> Measured:
    """Fit the NIRSpec dark on a pedestal at which its 11 brightest pixels reach the maximum."""
    with fits.open(cell.folder / NIRSPEC[0]) as hdus:
        charge = hdus["SCI"].data.astype(np.float64)
        dq = hdus["DQ"].data
    reads = np.minimum(np.rint(charge) + 55535, 65535).astype(np.uint16)
    result = _fit(reads, 1.0, cell.estimator, 1.0, 6.0)
    full = reads == 65535
    reaches = full.any(axis=0)
    used = np.where(reaches, full.argmax(axis=0), len(reads))
    flagged = (result.dq & np.uint32(Flag.SATURATED)) != 0
    level = np.median(result.rate[dq == 0])
    hot = result.rate[(dq & HOT) != 0] > 5 * level
    figures = {
        "hot": Figure(float(hot.mean())),
        "wrong": Figure(float(np.sum((flagged != reaches) | (result.nused != used)))),
        "reach": Figure(float(reaches.sum())),
    }
    return Measured(cell, figures, hot.size)


def measure(cell: RealCell, rng: np.random.Generator) -> Measured:
    """Fit a real ramp.

    Parameters
    ----------
    cell : RealCell
        Which.
    rng : Generator
        Not used.

    Returns
    -------
    Measured
        Its figures.
    """
    return _wfc3(cell) if cell.name == "WFC3" else _nirspec(cell)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    rows = []
    for one in measured:
        if one.cell.name == "WFC3":
            rows += [
                row("WFC3: 1.4826 MAD(rate) / median(error)", one, "ratio", within(1, 0.02)),
                row("WFC3: median of the total χ²", one, "chi2", within(1.39, 0.03)),
                row("WFC3: maximum, at (153, 28)", one, "maximum", within(10467, 30), "e⁻/s"),
            ]
        else:
            name = "NIRSpec: hot pixels above 5 × median rate"
            limit = Limit(0, 0, "0")
            rows += [
                row(name, one, "hot", at_least(0.95)),
                row("NIRSpec: pixels at the maximum not handled so", one, "wrong", limit),
            ]
    return rows


def real(*, estimator: str = "likelihood") -> Group:
    """Give the group of real ramps, those that are there.

    Parameters
    ----------
    estimator : str
        Estimator to hold against the limits.

    Returns
    -------
    Group
        The cells and how they are judged.
    """
    folder = Path(os.environ.get("IRIS_SHARED_DATA", "../shared/data")) / "ramps"
    cells, notes = [], []
    for name, files in (("WFC3", WFC3), ("NIRSpec", NIRSPEC)):
        if all((folder / file).is_file() for file in files):
            cells.append(RealCell(name, folder, estimator))
        else:
            notes.append(f"{name}: the real ramp is not there, set IRIS_SHARED_DATA to its folder")
    about = (
        "HST WFC3/IR, WASP-12, four reads, and a JWST NIRSpec dark, ten reads, rounded to whole counts on a pedestal "
        "of 55535 DN. No jump test, no reference pixels. The median rate is that of the dark's pixels without flags."
    )
    return Group("real ramps", about, tuple(cells), measure, _judge, notes=tuple(notes))
