"""The demonstration: a tiny night through the real pipelines, held against its truth in one table."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from astropy.table import Table

from liger_iris_pipeline import models
from liger_iris_pipeline.acceptance.figures import (
    blank_pull,
    matched,
    photometric_pulls,
    sky_errors,
    table_text,
)
from liger_iris_pipeline.acceptance.table import Limit, Row, within
from liger_iris_pipeline.algorithms.frame import wcs_from_header
from liger_iris_pipeline.errors import UsageError, complaint
from liger_iris_pipeline.pipelines.calibrate import Wishes, calibrate
from liger_iris_pipeline.pipelines.night import reduce
from liger_iris_pipeline.quicklook import draw_mosaics
from liger_iris_pipeline.simulator import COMPLETE, SCENES, simulate, truth

__all__ = ["Report", "compare", "run_demo"]

MARK = ".iris-demo"
"""File that marks a folder as made by the demonstration, so that only such a folder is made anew."""


@dataclass(frozen=True)
class Report:
    """Outcome of the demonstration.

    Attributes
    ----------
    rows : tuple of Row
        Figures with their limits.
    products : tuple of Path
        Mosaic, preview and catalogue.
    """

    rows: tuple[Row, ...]
    products: tuple[Path, ...]

    @property
    def passed(self) -> bool:
        """Whether every figure is within its limit."""
        return all(row.passed for row in self.rows)

    @property
    def text(self) -> str:
        """The table, and where the products are."""
        return "\n".join([table_text(self.rows), "", *(str(path) for path in self.products)])


def run_demo(
    out: Path, *, seed: int, progress: Callable[[str, int, int], None], own: bool = False
) -> Report:
    """Simulate a night, make its calibrations, reduce it and compare it with the truth.

    Parameters
    ----------
    out : Path
        Folder; one that an earlier demonstration made is made anew.
    seed : int
        Seed of the night.
    progress : callable
        Called with stage, parts done, parts in all.
    own : bool
        Whether all calibrations are made from the night's own exposures; else those of the
        detectors come with it, as from a laboratory.

    Returns
    -------
    Report
        Figures and products.

    Raises
    ------
    UsageError
        If the folder exists and is not a demonstration's.
    """
    if out.exists():
        if not (out / MARK).exists():
            remedy = "name another folder with --out"
            raise UsageError(
                complaint(str(out), "--out", "a folder that exists", "a new one", remedy)
            )
        shutil.rmtree(out)
    out.mkdir(parents=True)
    (out / MARK).touch()
    night, refs, products = out / "night", out / "refs", out / "products"
    scene = SCENES["imager"]
    if own:
        scene = replace(scene, references=False, calibration=COMPLETE)
    simulate(scene, night, seed=seed, progress=partial(progress, "simulate"))
    wishes = Wishes(own=True, standards=night / "truth" / "standards.ecsv") if own else None
    calibrate(night, refs, progress=progress, wishes=wishes)
    made = reduce([night], products, refs=refs, progress=progress)
    made += draw_mosaics(made)
    final = [path for path in made if "_LVL3_" in path.name]
    return Report(tuple(compare(night, products)), tuple(final))


def compare(night: Path, products: Path) -> list[Row]:
    """Hold the products of a night against its truth.

    Parameters
    ----------
    night : Path
        Folder of the simulated night.
    products : Path
        Folder of its products.

    Returns
    -------
    list of Row
        Figures with their limits.
    """
    sky_truth = truth.load(night / "truth")
    mosaic_path = next(iter(sorted(products.glob("*_LVL3_*.fits"))))
    catalogue = Table.read(next(iter(sorted(products.glob("*_cat.ecsv")))), format="ascii.ecsv")
    with models.open(mosaic_path) as mosaic:
        wcs = wcs_from_header(mosaic.wcs_header())
        covered = mosaic.weight > 0
    frames = sorted(products.glob("*_LVL2_*.fits"))
    pulls = _all_pulls(frames, sky_truth)
    blank = {
        level: _sigma(
            np.concatenate(
                [
                    blank_pull(path, sky_truth)
                    for path in sorted(products.glob(f"*_LVL{level}_*.fits"))
                    if "MULTIPLE" not in path.name
                ]
            )
        )
        for level in (1, 2)
    }
    return [
        *_catalogue_rows(sky_truth, catalogue, wcs, covered),
        Row(
            "photometric pull, L2, S/N 20-200: sigma",
            _sigma(pulls),
            "",
            within(1.0, 0.10, "1.00 +- 0.10"),
            count=pulls.size,
        ),
        *(
            Row(f"blank-pixel pull, L{level}: sigma", value, "", within(1.0, 0.03, "1.00 +- 0.03"))
            for level, value in blank.items()
        ),
        _sky_row(np.array([sky_errors(path, sky_truth) for path in frames])),
    ]


def _sigma(pulls: Any) -> float:
    """Give the standard deviation of pulls, none left out."""
    return float(np.std(pulls))


def _all_pulls(frames: list[Path], night: Any) -> Any:
    """Gather the pulls of all frames; the profile of the first serves all: the optics are the same."""
    profile, pulls = None, []
    for path in frames:
        found, profile = photometric_pulls(path, night, profile)
        pulls.append(found)
    return np.concatenate(pulls)


def _catalogue_rows(night: Any, catalogue: Table, wcs: Any, covered: Any) -> list[Row]:
    """Compare the catalogue with the stars that lie in the mosaic."""
    stars = night.stars[night.stars["isolated"].astype(bool)]
    x, y = wcs.sky_to_pixel(stars["ra"], stars["dec"])
    inside = _inside(covered, x, y)
    stars, x, y = stars[inside], x[inside], y[inside]
    index, distance = matched(catalogue, x, y)
    found = distance <= 2.0
    ratio = np.asarray(catalogue["flux"])[index] / stars["flux"] - 1.0
    snr = np.asarray(catalogue["snr"])[index]
    bright = found & (snr > 50)
    sharp = found & (snr > 100)
    seen = stars["snr"] > 10
    dx, dy = np.asarray(catalogue["x"])[index] - x, np.asarray(catalogue["y"])[index] - y
    rms = [float(np.sqrt(np.mean(d[sharp] ** 2))) for d in (dx, dy)]
    bias, missing = float(np.mean(ratio[bright])), int(np.sum(seen & ~found))
    close = Limit(-math.inf, 0.05, "<= 0.05")
    return [
        Row("isolated stars in the mosaic", float(stars.size), "", Limit(450, math.inf, ">= 450")),
        Row(
            "flux, S/N > 50: mean(measured/true - 1)",
            bias,
            "",
            within(0.0, 0.01, "|x| <= 0.01"),
            count=int(bright.sum()),
        ),
        *(
            Row(
                f"position, S/N > 100: rms {axis} [pixel]", value, "", close, count=int(sharp.sum())
            )
            for axis, value in zip("xy", rms, strict=True)
        ),
        Row(
            "stars with S/N > 10 not found",
            float(missing),
            "",
            within(0.0, 0.0, "0"),
            count=int(seen.sum()),
        ),
    ]


def _inside(covered: Any, x: Any, y: Any) -> Any:
    """Tell stars whose core (5 pixels around) lies wholly in the mosaic."""
    ny, nx = covered.shape
    inside = np.zeros(x.size, bool)
    for i, (px, py) in enumerate(zip(np.rint(x).astype(int), np.rint(y).astype(int), strict=True)):
        if 5 <= px < nx - 5 and 5 <= py < ny - 5:
            inside[i] = bool(covered[py - 5 : py + 6, px - 5 : px + 6].all())
    return inside


def _sky_row(errors: Any) -> Row:
    """Judge the sky level of all frames by the worst."""
    worst = float(errors[np.argmax(np.abs(errors))])
    limit = within(0.0, 0.005, "|x| <= 0.005")
    return Row("sky level: worst relative error", worst, "", limit, count=errors.size)
