"""The masters made from frames: dark, flat and bad pixels against the detector that was simulated."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Limit,
    Measured,
    Row,
    at_least,
    at_most,
    row,
    within,
)
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    DetectorPhysics,
    Format,
    ReferenceErrors,
    Scene,
    simulate,
)

__all__ = ["MakersCell", "groups"]

Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

BEYOND = 5.0
"""Bad pixels count if they are so many sigma beyond the limit."""

KINDS: dict[str, tuple[Flag, float]] = {
    "dead": (Flag.DEAD, 0.05),
    "hot": (Flag.HOT, 1.0),
    "cold": (Flag.COLD, 0.5),
}
"""Flag and limit of the kinds of bad pixels: response relative to the pixels around, or e-/s."""

REPORT = Limit(-math.inf, math.inf, "report")

CORNER = 24
"""Side of the corner in which the glow is judged [pixel]."""


@dataclass(frozen=True)
class MakersCell:
    """Darks and flats of one simulated detector.

    Attributes
    ----------
    size : int
        Side of the detector [pixel].
    seed : int
        Seed of the night.
    """

    size: int
    seed: int

    def __str__(self) -> str:
        return f"{self.size} x {self.size} pixels, seed {self.seed}"

    def scene(self) -> Scene:
        """Give the scene: exact references, many bad pixels, glow in a corner, no science."""
        exact = ReferenceErrors(**{field.name: 0.0 for field in fields(ReferenceErrors)})
        return Scene(
            format=Format(self.size, self.size, 4, 4),
            detectors=("IMG1",),
            dithers=(),
            errors=exact,
            physics=DetectorPhysics(
                glow=1.0,
                dead_fraction=0.005,
                hot_fraction=0.005,
                cold_fraction=0.005,
                telegraph_fraction=0.002,
            ),
            calibration=CalibrationPlan(),
        )


def measure(cell: MakersCell, rng: np.random.Generator) -> Measured:
    """Simulate a detector's darks and flats, make the masters and compare them with its truth."""
    from liger_iris_pipeline.pipelines.calibrate import Wishes, calibrate

    begin = time.perf_counter()
    scene = cell.scene()
    with tempfile.TemporaryDirectory() as folder:
        night = simulate(scene, Path(folder) / "night", seed=cell.seed).folder
        out = Path(folder) / "refs"
        made = calibrate(night, out, wishes=Wishes(types=("dark", "flat", "dq")))
        masters = {path.name.split("_")[2]: _planes(path) for path in made}
        truth = _planes(night / "truth" / "IRIS_IMG1_truth.fits")
    good = truth["BAD"] == 0
    figures = _dark_figures(masters["DARK"], truth, good)
    figures |= _flat_figures(masters["FLAT"], truth, good, _photon_limit(scene))
    figures |= _bad_pixel_figures(masters, truth, good)
    return Measured(cell, figures, int(good.sum()), time.perf_counter() - begin)


def _planes(path: Path) -> dict[str, Any]:
    """Read the images of a file."""
    with fits.open(path) as hdus:
        return {
            hdu.name: hdu.data.astype(hdu.data.dtype.newbyteorder("="))
            for hdu in hdus[1:]
            if isinstance(hdu, fits.ImageHDU)
        }


def _photon_limit(scene: Scene) -> float:
    """Relative error of a pixel's response by photons between first and last read of all flats."""
    plan = scene.calibration
    part = (plan.flat_nframe - 1) / plan.flat_nframe
    electrons = plan.flats * plan.flat_level * scene.physics.full_well * part
    return float(1.0 / np.sqrt(electrons))


def _dark_figures(dark: Any, truth: Any, good: Bool) -> dict[str, Figure]:
    """Pull of the dark rate; relative error of the glow in its corner."""
    usable = good & np.isfinite(dark["SCI"])
    pull = (dark["SCI"] - truth["DARK"].astype(np.float64))[usable] / dark["ERR"][usable]
    corner = np.zeros_like(good)
    corner[:CORNER, :CORNER] = True
    glow = truth["DARK"] - np.median(truth["DARK"][good])
    ratio = float(dark["GLOW"][corner & good].sum() / glow[corner & good].sum())
    worst = float(np.max(np.abs(dark["GLOW"] - glow)[good]))
    return {
        "dark pull": Figure(float(pull.std()), 1.0 / math.sqrt(2.0 * pull.size)),
        "dark bias": Figure(float(pull.mean()), 1.0 / math.sqrt(pull.size)),
        "glow": Figure(ratio - 1.0),
        "glow worst": Figure(worst),
    }


def _flat_figures(flat: Any, truth: Any, good: Bool, limit: float) -> dict[str, Figure]:
    """Residual of the flat, as it is and in units of the photon limit, and its pull."""
    usable = good & np.isfinite(flat["SCI"])
    residual = flat["SCI"][usable] / truth["FLAT"].astype(np.float64)[usable] - 1.0
    rms = float(np.sqrt(np.mean(residual**2)))
    error = 1.0 / math.sqrt(2.0 * residual.size)
    pull = residual * flat["SCI"][usable] / flat["ERR"][usable]
    return {
        "flat rms": Figure(100.0 * rms, 100.0 * rms * error),
        "flat limit": Figure(rms / limit, rms / limit * error),
        "flat pull": Figure(float(pull.std()), error),
    }


def _bad_pixel_figures(masters: Any, truth: Any, good: Bool) -> dict[str, Figure]:
    """Part of the bad pixels that are found, and of the good ones that pass for bad."""
    found = masters["DQ"]["DQ"]
    dark, flat = masters["DARK"], masters["FLAT"]
    # the true glow and dark current of a hot pixel are those of the good pixels around
    excess = truth["DARK"] - dark["GLOW"] - np.median(truth["DARK"][good])
    with np.errstate(invalid="ignore"):
        far = {
            "hot": excess > KINDS["hot"][1] + BEYOND * dark["ERR"],
            "dead": truth["FLAT"] < KINDS["dead"][1] - BEYOND * flat["ERR"],
            "cold": truth["FLAT"] < KINDS["cold"][1] - BEYOND * flat["ERR"],
        }
    figures = {}
    for name, (flag, _) in KINDS.items():
        is_bad = ((truth["BAD"] & flag) > 0) & far[name]
        recall, error = _share((found & flag)[is_bad] > 0)
        figures[f"{name} recall"] = Figure(recall, error)
        figures[f"{name} false"] = Figure(*_share((found & flag)[good] > 0))
    telegraph = (truth["BAD"] & Flag.TELEGRAPH) > 0
    figures["telegraph recall"] = Figure(*_share((found & Flag.TELEGRAPH)[telegraph] > 0))
    figures["telegraph false"] = Figure(*_share((found & Flag.TELEGRAPH)[good] > 0))
    return figures


def _share(hits: Bool) -> tuple[float, float]:
    """Give a fraction and its binomial error; NaN of nothing."""
    if not hits.size:
        return math.nan, 0.0
    share = float(hits.mean())
    return share, math.sqrt(max(share * (1.0 - share), 1.0 / hits.size) / hits.size)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    """Judge the figures of the cell."""
    one = measured[0]
    # where the photons do not allow 0.2 %, 1.2 times what they allow is the limit
    allowed = not one.error and one.figures["flat rms"].value <= 0.2
    lines: list[tuple[str, str, Limit, str]] = [
        ("dark rate: pull, sigma", "dark pull", within(1.0, 0.02), ""),
        ("dark rate: pull, mean", "dark bias", REPORT, ""),
        ("dark: glow in its corner, relative error", "glow", within(0.0, 0.05), ""),
        ("dark: glow, largest error", "glow worst", REPORT, "e-/s"),
        ("flat: rms of made / true - 1", "flat rms", at_most(0.2) if allowed else REPORT, "%"),
        ("flat: the same over the photon limit", "flat limit", at_most(1.2), ""),
        ("flat: pull, sigma", "flat pull", REPORT, ""),
    ]
    for name in KINDS:
        lines.append((f"{name} pixels found", f"{name} recall", at_least(0.99), ""))
        lines.append((f"good pixels taken for {name}", f"{name} false", at_most(1e-4), ""))
    lines.append(("telegraph pixels found", "telegraph recall", REPORT, ""))
    lines.append(("good pixels taken for telegraph", "telegraph false", at_most(1e-4), ""))
    return [row(name, one, key, limit, unit) for name, key, limit, unit in lines]


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the group of the masters made from frames.

    Parameters
    ----------
    quick : bool
        No difference: false alarms of 1e-4 need 1e5 good pixels.
    seed : int
        Seed of the night.

    Returns
    -------
    list of Group
        One cell and its rows.
    """
    about = (
        "Darks and flats of one simulated detector through `iris-drs calibrate`, with exact references for the ramps; "
        "the masters against the detector's true dark current, glow, response and bad pixels. Dead, hot and cold "
        f"pixels count that lie {BEYOND:g} sigma beyond the limit."
    )
    judge: Callable[[Sequence[Measured]], list[Row]] = _judge
    return [Group("calibrations: frames", about, (MakersCell(512, seed),), measure, judge)]
