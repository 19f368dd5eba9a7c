"""Rows of the combination of frames: the decisions of astropy, and memory that a setting bounds.

``python -m liger_iris_pipeline.acceptance.combination NFRAME SIZE MEGABYTES`` combines frames on disk in a process of
its own and says how much memory that took: a JSON line on standard output.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.stats import sigma_clip

import iris_readout
from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Measured,
    Row,
    at_most,
    row,
    worst,
)
from liger_iris_pipeline.algorithms.frame import combine_bands
from liger_iris_pipeline.models.bands import FrameBands

__all__ = ["ClipCell", "MemoryCell", "groups"]

LEVEL, NOISE = 50.0, 2.0
HIT_FRACTION, HOLE_FRACTION = 0.02, 0.01
MEGA = 1 << 20


@dataclass(frozen=True)
class ClipCell:
    """One stack, clipped by us and by astropy.

    Attributes
    ----------
    nframe, size : int
        Number of frames, pixels on a side.
    clip : float
        Threshold [sigma].
    iterations : int
        Largest number of passes.
    """

    nframe: int
    size: int
    clip: float
    iterations: int

    def __str__(self) -> str:
        return f"{self.nframe} frames, {self.size}², {self.clip:g} σ, {self.iterations} passes"


@dataclass(frozen=True)
class MemoryCell:
    """Frames on disk, combined in a process of their own.

    Attributes
    ----------
    nframe, size : int
        Number of frames, pixels on a side.
    megabytes : int
        The setting.
    """

    nframe: int
    size: int
    megabytes: int

    def __str__(self) -> str:
        return f"{self.nframe} frames, {self.size}², {self.megabytes} MB"


def measure_clip(cell: ClipCell, rng: np.random.Generator) -> Measured:
    """Clip normal noise with hits, holes and flags, and compare decisions and means."""
    shape = (cell.nframe, cell.size, cell.size)
    values = rng.normal(LEVEL, NOISE, shape).astype(np.float32)
    hit = rng.random(shape) < HIT_FRACTION
    values[hit] += rng.exponential(50 * NOISE, hit.sum()).astype(np.float32)
    values[rng.random(shape) < HOLE_FRACTION] = np.nan
    bad = rng.random(shape) < HOLE_FRACTION
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of values that are not finite
        masked = sigma_clip(
            np.ma.array(values, mask=bad),
            sigma=cell.clip,
            maxiters=cell.iterations,
            cenfunc="median",
            stdfunc="std",
            axis=0,
        )
    used = ~np.ma.getmaskarray(masked)
    result = iris_readout.stack(
        values,
        dq=bad.astype(np.uint32),
        clip=cell.clip,
        iterations=cell.iterations,
        planes=("nused", "used"),
    )
    mean = np.where(used, values, 0).sum(axis=0, dtype=np.float64) / used.sum(axis=0)
    both_empty = np.isnan(mean) & np.isnan(result.value)
    apart = np.where(both_empty, 0.0, np.abs(result.value - mean)) / NOISE
    figures = {
        "apart": Figure(float(np.max(np.where(np.isnan(apart), np.inf, apart)))),
        "decisions": Figure(float(np.sum(result.used != used))),
    }
    return Measured(cell, figures, values.size)


def measure_memory(cell: MemoryCell, rng: np.random.Generator) -> Measured:
    """Run the combination in a child and give its peak of resident memory."""
    module = "liger_iris_pipeline.acceptance.combination"
    numbers = (cell.nframe, cell.size, cell.megabytes)
    command = [sys.executable, "-m", module, *map(str, numbers)]
    child = subprocess.run(
        command,
        capture_output=True,
        text=True,
        check=False,
        # what is freed goes back at once, so that it does not count
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 16)},
    )
    if child.returncode:
        return Measured(cell, error=child.stderr.strip().splitlines()[-1])
    said = json.loads(child.stdout)
    figures = {
        "peak": Figure(said["peak"] / MEGA),
        "setting": Figure((said["peak"] - said["before"] - said["planes"]) / MEGA / cell.megabytes),
    }
    return Measured(cell, figures, cell.nframe)


def _judge_clip(measured: Sequence[Measured]) -> list[Row]:
    rows = (
        worst("largest difference from astropy.sigma_clip", measured, "apart", at_most(1e-4), "σ"),
        worst("clip decisions that differ", measured, "decisions", at_most(0)),
    )
    return [one for one in rows if one is not None]


def _judge_memory(measured: Sequence[Measured]) -> list[Row]:
    few, many = measured
    name, limit = f"peak memory, {many.cell.nframe} frames / {few.cell.nframe}", at_most(1.05)
    if few.error or many.error:
        rows = [row(name, few if few.error else many, "peak", limit)]
    else:
        peaks = [one.figures["peak"].value for one in (few, many)]
        detail = f"{many.cell}: {peaks[1]:.0f} and {peaks[0]:.0f} MB"
        rows = [Row(name, peaks[1] / peaks[0], "", limit, detail=detail)]
    above = worst("memory above the planes / the setting", measured, "setting", at_most(1.0))
    return rows + ([] if above is None else [above])


def groups(*, quick: bool, seed: int = 0) -> list[Group]:
    """Give the groups of the combination of frames.

    Parameters
    ----------
    quick : bool
        Whether to leave out the large stacks and the memory.
    seed : int
        Not used: cells have seeds of their own.

    Returns
    -------
    list of Group
        In the order of the table.
    """
    clips = [ClipCell(10, 512, 3.0, 2), ClipCell(7, 256, 1.5, 10), ClipCell(40, 256, 3.0, 5)]
    if not quick:
        clips.append(ClipCell(10, 2048, 3.0, 2))
    about = (
        "Frames of normal noise with hits, holes and flagged values are combined by iris_readout.stack and by "
        "astropy.stats.sigma_clip about the median; the difference of the means is in units of the noise of one frame. "
        "Speed is measured by the benchmark."
    )
    result = [Group("combination", about, tuple(clips), measure_clip, _judge_clip)]
    if not quick:
        about = (
            "Peak of resident memory (VmHWM) of child processes that combine frames on disk by bands of rows. What is "
            "counted against the setting is above what the child had before and above the planes of the result."
        )
        cells = (MemoryCell(10, 2048, 64), MemoryCell(40, 2048, 64))
        result.append(Group("combination, memory", about, cells, measure_memory, _judge_memory))
    return result


def _write(folder: Path, count: int, size: int) -> list[Path]:
    """Write frames of noise."""
    rng = np.random.default_rng(40)
    paths = []
    for number in range(count):
        rate: npt.NDArray[np.float32] = rng.normal(LEVEL, NOISE, (size, size)).astype(np.float32)
        variance = np.full(rate.shape, NOISE**2 / 2, np.float32)
        hdus = [fits.PrimaryHDU()]
        planes = {"SCI": rate, "VAR_RNOISE": variance, "VAR_POISSON": variance}
        hdus += [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
        hdus += [fits.ImageHDU(np.zeros(rate.shape, np.uint32), name="DQ")]
        paths.append(folder / f"frame{number}.fits")
        fits.HDUList(hdus).writeto(paths[-1])
    return paths


def _status(key: str) -> int:
    """Give a memory figure of this process [bytes]."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def main(nframe: int, size: int, megabytes: int) -> dict[str, int]:
    """Combine frames on disk, few files again and again, and measure the memory.

    Parameters
    ----------
    nframe, size : int
        Number of frames, pixels on a side.
    megabytes : int
        The setting.

    Returns
    -------
    dict
        ``peak``: highest resident memory of the combination; ``before``: that without it; ``planes``: what the
        result takes [bytes].
    """
    with tempfile.TemporaryDirectory() as folder:
        paths = _write(Path(folder), 4, size)
        with FrameBands([paths[number % len(paths)] for number in range(nframe)]) as bands:
            small = FrameBands(_write(Path(tempfile.mkdtemp(dir=folder)), 2, 16))
            combine_bands(small)  # libraries, and what they keep
            Path("/proc/self/clear_refs").write_text("5")
            before = _status("VmRSS")
            result = combine_bands(bands, memory_limit=megabytes * MEGA)
            peak = _status("VmHWM")
    return {"peak": peak, "before": before, "planes": sum(plane.nbytes for plane in result)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(*(int(text) for text in sys.argv[1:4]))) + "\n")
