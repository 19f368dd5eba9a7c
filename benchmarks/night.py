"""Time a night of full detectors from L0 to L2, in warm processes, and say where the time goes.

Two worker processes, each with its own detectors, have reduced the exposure once before the clock
runs. Timed is everything from opening the first read to the last L2 product being in place: every
byte of the reads is checked and hashed, L1 is handed on in memory, L2 is written. Reads, references
and L2 lie in memory (tmpfs) where there is room; a second row has L1 written too and all products
on a disk, where saving waits for the disk. Files are read from the page cache.
"""

from __future__ import annotations

import argparse
import cProfile
import functools
import io
import logging
import multiprocessing
import os
import pstats
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from fullnight import FULL, BenchmarkNight, make_night
from procs import PeakMemory
from report import Row, machine_facts, missing, print_table, write_json

from liger_iris_pipeline.instrument.detectors import IMAGER_DETECTORS

__all__ = ["rows"]

WORKERS = 2
#: Goals: wall-clock time [s], and the sum of the memory of all processes [GB].
WALL, MEMORY = 15.0, 6.0
ROUNDS = 3
#: Stages in the order of the table, with the budget of the design [s of processor time a detector].
BUDGETS = {
    "check": 0.5,
    "load": 0.5,
    "references": 0.3,
    "fit": 2.0,
    "level 1, rest": float("nan"),
    "write L1": 0.8,
    "dq": 0.1,
    "dark": 0.1,
    "flat": 0.1,
    "sky": 0.6,
    "wcs": 1.5,
    "photom": float("nan"),
    "level 2, rest": float("nan"),
    "write L2": 0.8,
    "rest": float("nan"),
}
#: Largest |median| + |width - 1| of the pulls of L2 against the light that was put in.
PULLS = 0.1
#: Room that a night takes, with its products [bytes a pixel of a detector]: reads, references, products.
ROOM_REFERENCES, ROOM_PRODUCTS = 100, 60
MEMORY_FOLDER, DISK_FOLDER = Path("/dev/shm"), Path(__file__).parents[1] / "build"


@dataclass
class Stopwatch:
    """Wall-clock and processor time by stage; time within an inner stage is the inner one's only."""

    spent: dict[str, tuple[float, float]] = field(default_factory=dict)
    open: list[list[float]] = field(default_factory=list)

    def time(self, stage: str, call: Callable[..., Any], *args: Any, **options: Any) -> Any:
        """Call something and give its time to a stage."""
        self.open.append([0.0, 0.0])
        wall, cpu = time.perf_counter(), time.process_time()
        try:
            return call(*args, **options)
        finally:
            total = time.perf_counter() - wall, time.process_time() - cpu
            inner = self.open.pop()
            known = self.spent.get(stage, (0.0, 0.0))
            self.spent[stage] = (
                known[0] + total[0] - inner[0],
                known[1] + total[1] - inner[1],
            )
            if self.open:
                self.open[-1][0] += total[0]
                self.open[-1][1] += total[1]


@dataclass(frozen=True)
class Job:
    """What a worker is to do with one detector."""

    reads: tuple[Path, ...]
    refs: Path
    out: Path
    write_level1: bool = False


@dataclass(frozen=True)
class Outcome:
    """What it took: processor time, and wall and processor time of each stage [s]."""

    cpu: float
    stages: dict[str, tuple[float, float]]
    product: Path


# --- in the workers -------------------------------------------------------------------------------

_watch = Stopwatch()


def _begin() -> None:
    """Import everything and put the stopwatch on the methods that are the stages."""
    from iris_readout import RampFitter
    from liger_iris_pipeline.models.rawfile import Read
    from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline
    from liger_iris_pipeline.pipelines.level1 import Level1Step
    from liger_iris_pipeline.pipelines.warm import warm_up
    from liger_iris_pipeline.steps.base import IrisStep

    logging.disable(logging.WARNING)
    warm_up()
    stages: list[tuple[Any, str, str]] = [
        (Read, "load", "load"),
        (RampFitter, "push", "fit"),
        (RampFitter, "finish", "fit"),
        (IrisStep, "find_reference", "references"),
        (Level1Step, "run", "level 1, rest"),
        (Level1Step, "save_model", "write L1"),
        (ImagerLevel2Pipeline, "run", "level 2, rest"),
        (ImagerLevel2Pipeline, "save_model", "write L2"),
    ]
    names = {"dq_init": "dq", "dark_subtract": "dark", "flat_field": "flat", "photom": "photom"}
    names |= {"sky_subtract": "sky", "assign_wcs": "wcs"}
    for alias, step in ImagerLevel2Pipeline.step_defs.items():
        stages.append((step, "run", names[alias.removeprefix("iris_")]))
    for owner, name, stage in stages:
        setattr(owner, name, _timed(stage, getattr(owner, name)))


def _timed(stage: str, method: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(method)
    def run(*args: Any, **options: Any) -> Any:
        return _watch.time(stage, method, *args, **options)

    return run


def _reduce(job: Job) -> Outcome:
    """Reduce one detector from L0 to L2."""
    _watch.spent.clear()
    start = time.process_time()
    product = _watch.time("rest", _road, job)
    return Outcome(time.process_time() - start, dict(_watch.spent), product)


def _road(job: Job) -> Path:
    from liger_iris_pipeline.models.reads import group_exposures, scan_reads
    from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline
    from liger_iris_pipeline.pipelines.inputs import file_name
    from liger_iris_pipeline.pipelines.level1 import Level1Step

    options = {"refs": str(job.refs), "output_dir": str(job.out), "overwrite": True}
    scan = _watch.time("check", scan_reads, job.reads)
    (exposure,), _ = group_exposures(scan.reads)
    first = Level1Step(threads=1, save_results=job.write_level1, **options).run(exposure)
    second = ImagerLevel2Pipeline(save_results=True, **options).run(first)
    return job.out / file_name(second.header_mapping(), 2)


def _profile(job: Job) -> str:
    """Reduce one detector under the profiler and return its table."""
    profile = cProfile.Profile()
    profile.runcall(_reduce, job)
    text = io.StringIO()
    pstats.Stats(profile, stream=text).sort_stats("tottime").print_stats(30)
    return text.getvalue()


# --- the measurement ------------------------------------------------------------------------------


class Workers:
    """Warm processes; a detector is always reduced by the same one."""

    def __init__(self, count: int) -> None:
        spawn = multiprocessing.get_context("spawn")
        self._pools = [
            ProcessPoolExecutor(1, mp_context=spawn, initializer=_begin) for _ in range(count)
        ]

    def run(self, jobs: Sequence[Job]) -> tuple[float, list[Outcome]]:
        """Reduce detectors and return the wall-clock time of all [s], and what each took."""
        start = time.perf_counter()
        waiting = [
            self._pools[number % len(self._pools)].submit(_reduce, job)
            for number, job in enumerate(jobs)
        ]
        outcomes = [job.result() for job in waiting]
        return time.perf_counter() - start, outcomes

    def profile(self, job: Job) -> str:
        """Profile one detector."""
        return self._pools[0].submit(_profile, job).result()

    def close(self) -> None:
        """End the processes."""
        for pool in self._pools:
            pool.shutdown()


@dataclass(frozen=True)
class Timed:
    """Rounds of one way to reduce the night."""

    walls: list[float]
    outcomes: list[list[Outcome]]

    @property
    def best(self) -> int:
        """Round that took the least wall-clock time."""
        return int(np.argmin(self.walls))

    @property
    def cpu(self) -> float:
        """Processor time of all workers in the best round [s]."""
        return sum(outcome.cpu for outcome in self.outcomes[self.best])

    def stage(self, name: str) -> tuple[float, float]:
        """Wall and processor time of a stage in the best round, mean of the detectors [s]."""
        spent = [outcome.stages.get(name, (0.0, 0.0)) for outcome in self.outcomes[self.best]]
        wall, cpu = np.mean(spent, axis=0)
        return float(wall), float(cpu)


def _measure(
    workers: Workers, made: BenchmarkNight, out: Path, *, level1: bool, rounds: int
) -> Timed:
    """Reduce the night some times; every round makes its products anew."""
    walls, outcomes = [], []
    for _ in range(rounds):
        shutil.rmtree(out, ignore_errors=True)
        out.mkdir(parents=True)
        jobs = [Job(tuple(made.reads(d)), made.refs, out, level1) for d in made.detectors]
        wall, found = workers.run(jobs)
        walls.append(wall)
        outcomes.append(found)
    return Timed(walls, outcomes)


def _pulls(made: BenchmarkNight, detector: str, product: Path) -> tuple[float, float]:
    """Return median and width of (L2 - light) / error of the pixels that can be used, every eighth row."""
    from liger_iris_pipeline import models
    from liger_iris_pipeline.algorithms.frame.planes import good_pixels

    with models.open(product) as model:
        frame = model.to_frame()
        level = float(model.meta.sky.level)
    rows = slice(None, None, 8)
    good = good_pixels(frame)[rows]
    variance = frame.var_read[rows] + frame.var_photon[rows]
    if frame.var_flat is not None:
        variance = variance + frame.var_flat[rows]
    pull = (frame.rate[rows] + level - made.light(detector)[rows])[good] / np.sqrt(variance[good])
    middle = float(np.median(pull))
    return middle, 1.4826 * float(np.median(np.abs(pull - middle)))


# --- the rows -------------------------------------------------------------------------------------


def choose_folder(size: int, nread: int) -> Path:
    """Return a folder in memory where there is room for a night and its products, else one on disk."""
    room = len(IMAGER_DETECTORS) * size**2 * (2 * nread + ROOM_REFERENCES + ROOM_PRODUCTS)
    if MEMORY_FOLDER.is_dir() and shutil.disk_usage(MEMORY_FOLDER).free > 1.3 * room:
        return MEMORY_FOLDER
    DISK_FOLDER.mkdir(exist_ok=True)
    return DISK_FOLDER


def rows(
    made: BenchmarkNight,
    out: Path,
    disk: Path,
    timings: dict[str, Any],
    *,
    rounds: int = ROUNDS,
    profile: bool = False,
) -> Iterator[Row]:
    """Make the night, reduce it both ways, and yield the rows.

    Parameters
    ----------
    made : BenchmarkNight
        The night; made if it is not there.
    out, disk : Path
        Folders for the products of the judged and of the second way; emptied.
    timings : dict
        Where the figures of every round go.
    rounds : int
        Rounds of each way.
    profile : bool
        Print a profile of one detector.
    """
    what = (
        f"L0 to L2, {len(made.detectors)} detectors of {made.size}x{made.size}, {made.nread} reads"
    )
    if (os.cpu_count() or 1) < WORKERS:
        yield missing("req 30", what, "this machine has one processor", WALL, at_least=False)
        return
    make_night(made, WORKERS)
    workers = Workers(WORKERS)
    try:
        _measure(workers, made, out, level1=False, rounds=1)
        with PeakMemory() as memory:
            fast = _measure(workers, made, out, level1=False, rounds=1)
        if rounds > 1:  # without the sampling, a tenth of a processor
            fast = _measure(workers, made, out, level1=False, rounds=rounds)
        yield from _judged(what, fast, memory, filesystem(out))
        yield from _against_truth(what, made, fast)
        slow = _measure(workers, made, disk, level1=True, rounds=rounds)
        yield _total(f"{what}, L1 written too, fsynced on {filesystem(disk)}", slow)
        if profile:
            print(workers.profile(Job(tuple(made.reads("IMG1")), made.refs, out)))
    finally:
        workers.close()
    timings[what] = {"memory": _facts(fast) | {"peak": memory.peak}, "disk": _facts(slow)}
    for stage, budget in BUDGETS.items():
        yield from _stage(stage, budget, fast, slow)


def _judged(what: str, timed: Timed, memory: PeakMemory, where: str) -> Iterator[Row]:
    total = _total(f"{what}, warm, {WORKERS} processes, L2 on {where}, wall [s]", timed)
    yield Row("req 30", total.what, total.ours, total.peer, total.value, WALL, at_least=False)
    yield Row(
        "req 30",
        f"{what}, peak of the sum of PSS [GB]",
        f"{memory.peak / 1e9:.2f} GB",
        f"{memory.samples} samples",
        memory.peak / 1e9,
        MEMORY,
        at_least=False,
    )


def _total(what: str, timed: Timed) -> Row:
    """Return the row of the best round, not judged."""
    best, middle = min(timed.walls), statistics.median(timed.walls)
    ours = f"{best:.2f} s, median {middle:.2f} of {len(timed.walls)}"
    return Row("", what, ours, f"{timed.cpu:.2f} s CPU", best)


def _against_truth(what: str, made: BenchmarkNight, timed: Timed) -> Iterator[Row]:
    """Judge the products: what is fast and wrong must not pass."""
    found = [
        _pulls(made, detector, outcome.product)
        for detector, outcome in zip(made.detectors, timed.outcomes[-1], strict=True)
    ]
    middle, width = max(found, key=lambda pull: abs(pull[0]) + abs(pull[1] - 1))
    yield Row(
        "req 30",
        f"{what}, pulls against the light put in: |median| + |width - 1|",
        f"{middle:+.3f} +- {width:.3f}",
        "0 +- 1",
        abs(middle) + abs(width - 1),
        PULLS,
        at_least=False,
    )


def _stage(stage: str, budget: float, fast: Timed, slow: Timed) -> Iterator[Row]:
    """Return the row of a stage: processor time a detector, over its budget where it has one."""
    wall, cpu = fast.stage(stage)
    on_disk = slow.stage(stage)
    if max(wall, on_disk[0]) < 0.0005:
        return
    yield Row(
        "",
        f"night, {stage}: s of processor time a detector" + (" / budget" if budget > 0 else ""),
        f"{cpu:.2f} CPU {wall:.2f} wall; disk {on_disk[1]:.2f}, {on_disk[0]:.2f}",
        f"{budget:.1f} s" if budget > 0 else "",
        cpu / budget if budget > 0 else cpu,
    )


def _facts(timed: Timed) -> dict[str, Any]:
    """Return the figures of all rounds."""
    return {
        "wall": timed.walls,
        "cpu": [[outcome.cpu for outcome in found] for found in timed.outcomes],
        "stages": [[outcome.stages for outcome in found] for found in timed.outcomes],
    }


def filesystem(folder: Path) -> str:
    """Return the type of the file system that a folder lies on, such as tmpfs."""
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    parts = folder.resolve().parts
    holding = [
        (len(Path(at).parts), kind)
        for at, kind in mounts
        if parts[: len(Path(at).parts)] == Path(at).parts
    ]
    return max(holding)[1] if holding else "unknown"


def main() -> int:
    """Run the measurement by itself, print the table and return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--quick", action="store_true", help="1024x1024 pixels, 10 reads, one round"
    )
    parser.add_argument(
        "--folder", type=Path, help="keep the night here, and use it if it is there"
    )
    parser.add_argument("--disk", type=Path, help="folder on a disk, for the second row [build]")
    parser.add_argument("--rounds", type=int, help=f"rounds of each way [{ROUNDS}, quick: 1]")
    parser.add_argument("--profile", action="store_true", help="print a profile of one detector")
    parser.add_argument("--json", type=Path, help="write facts, rows and timings to this file")
    parser.add_argument("--report", action="store_true", help="do not fail on a missed goal")
    arguments = parser.parse_args()
    size, nread = (1024, 10) if arguments.quick else (FULL, 30)
    disk, folder = arguments.disk or DISK_FOLDER, arguments.folder or choose_folder(size, nread)
    for path in (disk, folder):
        path.mkdir(parents=True, exist_ok=True)
    with (
        tempfile.TemporaryDirectory(dir=folder) as scratch,
        tempfile.TemporaryDirectory(dir=disk) as slow,
    ):
        where = arguments.folder or Path(scratch)
        made = BenchmarkNight(where / "night", size, nread, IMAGER_DETECTORS)
        facts, timings = machine_facts(), dict[str, Any]()
        rounds = arguments.rounds or (1 if arguments.quick else ROUNDS)
        out = Path(scratch) / "products"
        table = list(
            rows(
                made,
                out,
                Path(slow) / "products",
                timings,
                rounds=rounds,
                profile=arguments.profile,
            )
        )
    print_table(table)
    if arguments.json:
        write_json(arguments.json, facts, table, timings)
    missed = [row for row in table if not row.passed]
    return 1 if missed and not arguments.report else 0


if __name__ == "__main__":
    sys.exit(main())
