"""The masters made from the sky: zero points and superskies against what was simulated."""

from __future__ import annotations

import math
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from liger_iris_pipeline.acceptance.table import Figure, Group, Limit, Measured, Row, at_most, row
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.instrument.detectors import (
    DETECTORS,
    IMAGER_DETECTORS,
    axis_pixel,
)
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    Format,
    ReferenceErrors,
    Scene,
    simulate,
)
from liger_iris_pipeline.simulator import truth as truth_file

__all__ = ["SuperskyCell", "ZeroPointCell", "groups"]

Float64 = npt.NDArray[np.float64]

BORDER = 4
"""Width of the reference border [pixel]."""

BOX = 64
"""Side of the boxes over whose means a supersky is judged [pixel]: finer than its own scale."""

REPORT = Limit(-math.inf, math.inf, "report")


@dataclass(frozen=True)
class ZeroPointCell:
    """Two exposures of standards on some detectors.

    Attributes
    ----------
    detectors : tuple of str
        Names of the detectors.
    seed : int
        Seed of the night.
    """

    detectors: tuple[str, ...]
    seed: int

    def __str__(self) -> str:
        return f"{len(self.detectors)} detectors of 512 x 512 pixels, seed {self.seed}"

    def scene(self) -> Scene:
        """Give the scene: exact references, five standards a detector, no science."""
        return Scene(
            format=Format(512, 512, BORDER, BORDER),
            detectors=self.detectors,
            dithers=(),
            errors=_exact(),
            calibration=CalibrationPlan(darks=4, flats=8, standards=2),
        )


@dataclass(frozen=True)
class SuperskyCell:
    """Five exposures of a bright sky with a gradient.

    Attributes
    ----------
    seed : int
        Seed of the night.
    """

    seed: int

    def __str__(self) -> str:
        return f"5 skies of 264 x 264 pixels, seed {self.seed}"

    def scene(self) -> Scene:
        """Give the scene: a thermal sky, so that photons are most of the noise."""
        offsets = ((30.0, 0.0), (30.3, 0.4), (29.6, -0.3), (30.5, -0.5), (29.8, 0.6))
        size = 4 * BOX + 2 * BORDER
        return Scene(
            format=Format(size, size, BORDER, BORDER),
            detectors=("IMG1",),
            dithers=(),
            sky_offsets=offsets,
            sky=1000.0,
            sky_gradient=(0.05, -0.03),
            errors=_exact(),
            calibration=CalibrationPlan(darks=4, flats=8),
        )


def _exact() -> ReferenceErrors:
    """Give references without errors."""
    return ReferenceErrors(**{field.name: 0.0 for field in fields(ReferenceErrors)})


def measure_zero_points(cell: ZeroPointCell, rng: np.random.Generator) -> Measured:
    """Simulate standards, make the zero points and compare them with the truth."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        night, made = _masters(cell.scene(), cell.seed, Path(folder), "photom")
        known = truth_file.load(night / "truth").detectors
        true = {str(line["detector"]): float(line["zero_point_ab"]) for line in known}
        rows = {path.name.split("_")[1]: fits.getdata(path, "PHOTOM")[0] for path in made}
        difference = np.array([rows[name]["ZPAB"] - true[name] for name in cell.detectors])
        error = np.array([rows[name]["ERR"] for name in cell.detectors])
    figures = zero_point_figures(difference, error)
    return Measured(cell, figures, 10 * len(cell.detectors), time.perf_counter() - begin)


def zero_point_figures(difference: Float64, error: Float64) -> dict[str, Figure]:
    """Compare zero points with the truth.

    Parameters
    ----------
    difference, error : ndarray (n,)
        Made less true, and the error that is stated, of each detector [mag].

    Returns
    -------
    dict of str to Figure
        Largest difference [mag]; largest, and root mean square, in units of its error.
    """
    pull = difference / error
    rms = float(np.sqrt(np.mean(pull**2)))
    return {
        "difference": Figure(float(np.max(np.abs(difference)))),
        "worst": Figure(float(np.max(np.abs(pull)))),
        "pull": Figure(rms, rms / math.sqrt(2.0 * pull.size)),
    }


def measure_supersky(cell: SuperskyCell, rng: np.random.Generator) -> Measured:
    """Simulate skies, make their pattern and compare it with the true one."""
    begin = time.perf_counter()
    scene = cell.scene()
    with tempfile.TemporaryDirectory() as folder:
        night, made = _masters(scene, cell.seed, Path(folder), "supersky")
        level = float(truth_file.load(night / "truth").detectors[0]["sky"])
        with fits.open(made[0]) as hdus:
            pattern, err, dq = (hdus[name].data.copy() for name in ("SCI", "ERR", "DQ"))
    good = (dq & np.uint32(Flag.DO_NOT_USE)) == 0
    true = _true_pattern(scene)
    residual = pattern / (true / np.median(true[good])) - 1.0
    figures = supersky_figures(residual, err, _photon_limit(scene, level))
    return Measured(cell, figures, int(good.sum()), time.perf_counter() - begin)


def supersky_figures(residual: Float64, err: Float64, limit: float) -> dict[str, Figure]:
    """Compare a pattern with the true one.

    Parameters
    ----------
    residual, err : ndarray (ny, nx)
        Made / true - 1, and the error that is stated.
    limit : float
        What the photons allow for one pixel.

    Returns
    -------
    dict of str to Figure
        Root mean square of the means of boxes of 64 x 64 pixels [%], the same over what the photons allow for such a
        mean, and over the error.
    """
    inner = np.s_[BORDER:-BORDER, BORDER:-BORDER]
    boxes, stated = _box_means(residual[inner]), _box_means(err[inner])
    rms = float(np.sqrt(np.mean(boxes**2)))
    share = 1.0 / math.sqrt(2.0 * boxes.size)
    over, pull = rms / (limit / BOX), float(np.sqrt(np.mean((boxes / stated) ** 2)))
    return {
        "rms": Figure(100.0 * rms, 100.0 * rms * share),
        "limit": Figure(over, over * share),
        "pull": Figure(pull, pull * share),
    }


def _box_means(plane: npt.ArrayLike) -> Float64:
    """Average a plane over boxes."""
    values = np.asarray(plane, np.float64)
    ny, nx = values.shape
    parts = values.reshape(ny // BOX, BOX, nx // BOX, BOX)
    return np.asarray(parts.mean(axis=(1, 3)))


def _true_pattern(scene: Scene) -> Float64:
    """Spread of the sky over the detector, 1 on the axis."""
    layout, name = scene.format, scene.detectors[0]
    y, x = np.indices((layout.ny, layout.nx))
    x0, y0 = axis_pixel(name, layout.nx, layout.ny, layout.border)
    scale = DETECTORS[name].pixel_scale
    along_x, along_y = scene.sky_gradient
    return np.asarray(1.0 + scale * (along_x * (x - x0) + along_y * (y - y0)))


def _photon_limit(scene: Scene, level: float) -> float:
    """Relative error of a pixel by photons between first and last read of all skies and flats."""
    pattern, plan = scene.pattern, scene.calibration
    sky = len(scene.sky_offsets) * level * (pattern.nframe - 1) * pattern.frame_time
    part = (plan.flat_nframe - 1) / plan.flat_nframe
    flat = plan.flats * plan.flat_level * scene.physics.full_well * part
    return math.sqrt(1.0 / sky + 1.0 / flat)


def _masters(scene: Scene, seed: int, folder: Path, reftype: str) -> tuple[Path, list[Path]]:
    """Simulate a night and make a type of master; the night and the masters."""
    from liger_iris_pipeline.pipelines.calibrate import Wishes, calibrate

    night = simulate(scene, folder / "night", seed=seed).folder
    standards = night / "truth" / "standards.ecsv" if reftype == "photom" else None
    wishes = Wishes(types=("dark", "flat", reftype), standards=standards)
    made = calibrate(night, folder / "refs", wishes=wishes)
    return night, [path for path in made if path.name.split("_")[2] == reftype.upper()]


def _judge_zero_points(measured: Sequence[Measured]) -> list[Row]:
    """Judge the figures of the cell."""
    (one,) = measured
    return [
        row("zero point: worst difference over its error", one, "worst", at_most(3.0)),
        row("zero point: pull, root mean square", one, "pull", REPORT),
        row("zero point: worst difference", one, "difference", REPORT, "mag"),
    ]


def _judge_supersky(measured: Sequence[Measured]) -> list[Row]:
    """Judge the figures of the cell."""
    (one,) = measured
    return [
        row("supersky: means of 64² pixels over the photon limit", one, "limit", at_most(1.2)),
        row("supersky: the same over the stated error", one, "pull", REPORT),
        row("supersky: the same", one, "rms", REPORT, "%"),
    ]


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the groups of the masters made from the sky.

    Parameters
    ----------
    quick : bool
        Standards on one detector instead of four, and no supersky.
    seed : int
        Seed of the nights.

    Returns
    -------
    list of Group
        Zero points; supersky.
    """
    standards = ZeroPointCell(IMAGER_DETECTORS[:1] if quick else IMAGER_DETECTORS, seed)
    zero_points = Group(
        "calibrations: zero points",
        "Standards on simulated detectors through `iris-drs calibrate`, dark and flat made on the way; the zero points "
        "against those that were simulated.",
        (standards,),
        measure_zero_points,
        _judge_zero_points,
    )
    supersky = Group(
        "calibrations: supersky",
        "Skies of a thermal level with a gradient, dark and flat made on the way; the pattern against the true one, "
        "by means of boxes, which are finer than the pattern's own scale.",
        (SuperskyCell(seed),),
        measure_supersky,
        _judge_supersky,
    )
    return [zero_points] if quick else [zero_points, supersky]
