"""Combine ten frames with sigma clipping: ours, astropy's, ccdproc's, the same answer.

Every contender that is timed keeps the same values. Peak memory is that of one combination in a process of its own,
above the frames; ``python combine.py CONTENDER NY NX`` is such a process and prints it as JSON.
"""

from __future__ import annotations

import argparse
import functools
import gc
import json
import math
import os
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from memory import RESET, resident
from report import Row, missing
from timing import Contender, Timing, alternate, vet

import iris_readout

__all__ = ["combine"]

NFRAME, CLIP, ITERATIONS = 10, 3.0, 2
#: One value in 300 is raised, as by a hit that no jump test has found.
LEVEL, NOISE, HIT_FRACTION, HIT = 5.0, 1.0, 1 / 300, 100.0
#: Rows that are simulated; they are repeated down the detector.
TILE_ROWS = 128
RUNS_OF_SLOW_PEERS = 3

Array = npt.NDArray[Any]


def simulate(shape: tuple[int, int]) -> Array:
    """Return frames (n, ny, nx) float32 of normal noise with hits."""
    random = np.random.default_rng(17)
    tile = random.normal(LEVEL, NOISE, (NFRAME, min(TILE_ROWS, shape[0]), shape[1]))
    hit = random.random(tile.shape) < HIT_FRACTION
    tile[hit] += random.exponential(HIT, hit.sum())
    frames = np.empty((NFRAME, *shape), np.float32)
    for start in range(0, shape[0], tile.shape[1]):
        part = frames[:, start : start + tile.shape[1]]
        part[...] = tile[:, : part.shape[1]]
    return frames


def with_iris_readout(frames: Array, iterations: int = ITERATIONS) -> tuple[Array, Array]:
    """Return mean and number of values: one thread, new planes."""
    result = iris_readout.stack(
        frames, clip=CLIP, iterations=iterations, nthreads=1, planes=("nused",)
    )
    assert result.nused is not None
    return result.value, result.nused


def with_astropy(frames: Array) -> Any:
    """Return frames masked by astropy.stats.sigma_clip; they are not averaged."""
    from astropy.stats import sigma_clip

    return sigma_clip(
        frames, sigma=CLIP, maxiters=ITERATIONS, cenfunc="median", stdfunc="std", axis=0, copy=False
    )


def with_ccdproc(frames: Array) -> Any:
    """Return the average of ccdproc.Combiner after one pass of clipping."""
    from astropy.nddata import CCDData
    from ccdproc import Combiner

    combiner = Combiner([CCDData(frame, unit="electron") for frame in frames], dtype=np.float32)
    combiner.sigma_clipping(low_thresh=CLIP, high_thresh=CLIP, func="median", dev_func="std")
    return combiner.average_combine()


CONTENDERS: dict[str, Callable[[Array], Any]] = {
    "iris_readout": with_iris_readout,
    "astropy": with_astropy,
    "ccdproc": with_ccdproc,
}


def combine(plan: Any, record: Any) -> Iterator[Row]:
    """G17: ten frames, 3 sigma about the median, against astropy.sigma_clip and ccdproc; peak memory."""
    frames = simulate(plan.shape)
    name = f"{NFRAME} frames of {plan.shape[0]}x{plan.shape[1]}"
    ours, once = with_iris_readout(frames), with_iris_readout(frames, 1)
    contenders = {
        key: Contender(functools.partial(_run, run, frames), check=check, work=frames[0].size)
        for key, run, check in (
            ("iris_readout", with_iris_readout, _nothing_wrong),
            ("astropy", with_astropy, functools.partial(_complain_of_masks, frames, ours)),
            ("ccdproc", with_ccdproc, functools.partial(_complain_of_mean, once)),
        )
    }
    timings, notes = _time(contenders, plan.runs)
    record.timings[f"combine, {name}"] = {
        **{key: {"cpu": t.cpu, "wall": t.wall} for key, t in timings.items()},
        **{key: {"note": text} for key, text in notes.items()},
    }
    for other, what, limit in (("astropy", "astropy sigma_clip", 10), ("ccdproc", "ccdproc", 30)):
        what = f"combination, one thread / {what}, {name}"
        if other in notes or "iris_readout" in notes:
            note = "; ".join(f"{key}: {text}" for key, text in notes.items())
            yield missing("G17", what, note, plan.at_least(limit))
            continue
        mine, theirs = timings["iris_readout"].cpu, timings[other].cpu
        yield Row(
            "G17", what, f"{mine:.3f} s", f"{theirs:.3f} s", theirs / mine, plan.at_least(limit)
        )
    del frames, contenders
    for key in CONTENDERS:
        what = f"peak memory above the frames / their size, {key}"
        try:
            peak = _peak(key, plan.shape)
        except RuntimeError as error:
            yield Row("G17", what, note=f"{key}: {error}")
            continue
        size = NFRAME * math.prod(plan.shape) * np.dtype(np.float32).itemsize
        limit = 0.3 if key == "iris_readout" else math.nan
        yield Row("G17", what, f"{peak / 1e9:.2f} GB", "", peak / size, limit, at_least=False)


def _time(contenders: dict[str, Contender], runs: int) -> tuple[dict[str, Timing], dict[str, str]]:
    """Check all, then time them in turn: a slow peer less often than the others."""
    good, notes = vet(contenders)
    few = min(runs, RUNS_OF_SLOW_PEERS)
    timings = alternate(good, few, fresh_memory=True)
    fast = {key: contender for key, contender in good.items() if key != "ccdproc"}
    again = alternate(fast, runs - few, fresh_memory=True) if runs > few else {}
    for key, timing in again.items():
        first = timings[key]
        timings[key] = Timing(min(first.cpu, timing.cpu), min(first.wall, timing.wall), first.work)
    return timings, notes


def _run(run: Callable[[Array], Any], frames: Array, _given: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # ccdproc's of units and masks
        return run(frames)


def _nothing_wrong(_result: Any) -> str | None:
    return None


def _complain_of_masks(frames: Array, ours: tuple[Array, Array], masked: Any) -> str | None:
    """Compare the values kept, pixel by pixel, and their means."""
    kept = ~np.ma.getmaskarray(masked)
    if not np.array_equal(kept.sum(axis=0), ours[1]):
        return "the values kept are others than ours"
    for rows in np.array_split(np.arange(frames.shape[1]), 16):
        part = np.where(kept[:, rows], frames[:, rows], np.float32(0))
        mean = part.sum(axis=0, dtype=np.float64) / ours[1][rows]
        apart = np.abs(mean - ours[0][rows]).max() / NOISE
        if not apart <= 1e-4:
            return f"the means differ by {apart:.1e} sigma"
    return None


def _complain_of_mean(once: tuple[Array, Array], combined: Any) -> str | None:
    """Compare the means: as many values kept would be hard to have equal means else."""
    apart = np.abs(np.asarray(combined.data, np.float64) - once[0]).max() / NOISE
    return None if apart <= 1e-4 else f"the means differ by {apart:.1e} sigma"


def _peak(contender: str, shape: tuple[int, int]) -> float:
    """Return the peak of one combination in a fresh process [bytes]."""
    done = subprocess.run(
        [sys.executable, __file__, contender, *map(str, shape)],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)},
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(json.loads(done.stdout)["bytes"])


def main() -> None:
    """Combine once and print the peak of the resident memory above what was there before."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("contender", choices=CONTENDERS)
    parser.add_argument("ny", type=int)
    parser.add_argument("nx", type=int)
    arguments = parser.parse_args()
    run = CONTENDERS[arguments.contender]
    _run(run, simulate((16, 64)), None)  # imports, and what they keep
    frames = simulate((arguments.ny, arguments.nx))
    gc.collect()
    before = resident("VmRSS")
    Path(RESET).write_text("5")  # VmHWM starts again from here
    _run(run, frames, None)
    print(json.dumps({"bytes": resident("VmHWM") - before}))


if __name__ == "__main__":
    main()
