"""Figures of merit: products against truth, one function each."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from scipy.spatial import cKDTree

from liger_iris_pipeline.acceptance.table import Row
from liger_iris_pipeline.algorithms.mosaic import photometry
from liger_iris_pipeline.dq import Flag

__all__ = [
    "blank_pull",
    "matched",
    "photometric_pulls",
    "sky_errors",
    "table_text",
]

Float64 = npt.NDArray[np.float64]

EDGE = 25
"""Stars nearer to the border than this have part of their annulus off the detector [pixel]."""

BLANK = 0.02
"""A pixel is blank if stars add less than this fraction of the sky to it."""


def table_text(rows: Sequence[Row]) -> str:
    """Write figures as a table of plain text.

    Parameters
    ----------
    rows : sequence of Row
        The figures.

    Returns
    -------
    str
        One line each, under a heading.
    """
    lines = [f"{'figure':44s} {'value':>10s} {'limit':>14s} {'of':>6s}"]
    for row in rows:
        limit = row.limit.text
        whole = row.figure == int(row.figure) and limit[-1].isdigit() and "." not in limit
        value = f"{row.figure:.0f}" if whole else f"{row.figure:.4f}"
        count = str(row.count) if row.count else ""
        lines.append(
            f"{row.name:44s} {value:>10s} {limit:>14s} {count:>6s}  {'pass' if row.passed else 'FAIL'}"
        )
    return "\n".join(lines)


def matched(catalogue: Any, x: Float64, y: Float64) -> tuple[Any, Float64]:
    """Find the catalogue row nearest to each place.

    Parameters
    ----------
    catalogue : Table
        With columns ``x`` and ``y`` [pixel].
    x, y : ndarray (n,)
        Places [pixel].

    Returns
    -------
    index, distance : ndarray (n,)
        Row and its distance [pixel].
    """
    tree = cKDTree(np.column_stack([catalogue["x"], catalogue["y"]]))
    distance, index = tree.query(np.column_stack([x, y]))
    return index, distance


def _identity(header: Any) -> tuple[str, int, str]:
    """Say which exposure of which detector a frame is."""
    return str(header["OBS_ID"]), int(header["EXP_NO"]), str(header["DETECTOR"])


def _read(path: Path) -> tuple[Any, Any, Any, Any]:
    """Read PRIMARY header, SCI, ERR and DQ of a frame."""
    with fits.open(path) as hdus:
        return hdus[0].header, *(hdus[name].data for name in ("SCI", "ERR", "DQ"))


def photometric_pulls(path: Path, night: Any, profile: Any = None) -> tuple[Float64, Any]:
    """Give (measured - true) / error of the isolated stars of a level 2 frame, S/N 20 to 200.

    Parameters
    ----------
    path : Path
        Level 2 frame.
    night : Truth
        What was simulated.
    profile : PointSpread, optional
        Profile of the stars; measured on the frame by default.

    Returns
    -------
    pulls : ndarray (n,) float64
        Pulls.
    profile : PointSpread
        Profile that was used.
    """
    header, image, error, dq = _read(path)
    which = _identity(header)
    ny, nx = image.shape
    detector = night.detectors[night.detectors["detector"] == which[2]][0]
    here = night.select(night.positions, *which)
    here = here[np.isin(here["id"], night.stars["id"])]
    stars = night.stars[np.searchsorted(night.stars["id"], here["id"])]
    result = photometry(
        image,
        np.square(error, dtype=np.float64),
        dq,
        np.ones((1, 1)),
        np.column_stack([here["y"], here["x"]]),
        recentre=False,
        profile=profile,
    )
    true = stars["flux"] * detector["throughput"]
    snr = true / result.flux_err
    inside = (np.abs(here["x"] - (nx - 1) / 2) < nx / 2 - EDGE) & (
        np.abs(here["y"] - (ny - 1) / 2) < ny / 2 - EDGE
    )
    whole = (result.flags & np.uint32(Flag.FLUX_ESTIMATED)) == 0
    use = (
        inside
        & whole
        & stars["isolated"].astype(bool)
        & np.isfinite(result.flux)
        & (snr > 20)
        & (snr < 200)
    )
    return np.asarray((result.flux - true)[use] / result.flux_err[use]), result.profile


def blank_pull(path: Path, night: Any) -> Float64:
    """Give (measured - true) / error of the good pixels of a frame that no star lights.

    The median is taken off: the level of the sky has a figure of its own, see :func:`sky_errors`.

    Parameters
    ----------
    path : Path
        Level 1 or 2 frame.
    night : Truth
        What was simulated.

    Returns
    -------
    ndarray (n,) float64
        Pulls.
    """
    header, image, error, dq = _read(path)
    which = _identity(header)
    light, maps = night.rate(*which), night.maps(which[2])
    sky = float(night.detectors[night.detectors["detector"] == which[2]][0]["sky"])
    expected = light * maps["FLAT"] + maps["DARK"] if header["DATALVL"] == 1 else light - sky
    blank = (dq == 0) & (np.abs(light - sky) < BLANK * sky)
    pull = (image[blank] - expected[blank]) / error[blank]
    return np.asarray(pull - np.median(pull), np.float64)


def sky_errors(path: Path, night: Any) -> float:
    """Give the relative error of a frame's sky level.

    Parameters
    ----------
    path : Path
        Level 2 frame.
    night : Truth
        What was simulated.

    Returns
    -------
    float
        SKYLEVEL over truth, minus 1.
    """
    with fits.open(path) as hdus:
        which = _identity(hdus[0].header)
        level = float(hdus["SCI"].header["SKYLEVEL"])
    sky = float(night.detectors[night.detectors["detector"] == which[2]][0]["sky"])
    return level / sky - 1.0
