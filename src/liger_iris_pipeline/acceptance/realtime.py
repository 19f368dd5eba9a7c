"""The real-time mode while reads come, workers and the watch itself are killed, files are broken and doubled."""

from __future__ import annotations

import contextlib
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Limit,
    Measured,
    Row,
    at_most,
    within,
)

__all__ = ["LongCell", "PlayCell", "groups"]

_SPEED = 10.0
_LATENCY_S = 10.0
_GROWTH = 0.05
_LONGEST_S = 900.0


@dataclass(frozen=True)
class PlayCell:
    """A night that is played to a watch.

    Attributes
    ----------
    seed : int
        Seed of the night and of what happens to it.
    size : int
        Side of a detector [pixel].
    detectors : tuple of str
        Detectors of the imager that take part.
    kills : int
        How often the watch is killed on the way; with it come a worker that is killed, a file that is cut off, one
        that comes twice, reads out of order and a second night.
    dithers : int
        Science exposures of a detector.
    """

    seed: int
    size: int
    detectors: tuple[str, ...]
    kills: int = 0
    dithers: int = 5

    def __str__(self) -> str:
        killed = f", killed {self.kills} times" if self.kills else ""
        return f"{len(self.detectors)} detectors of {self.size}², {_SPEED:g} x{killed}"


@dataclass(frozen=True)
class LongCell:
    """Many small exposures for one watch.

    Attributes
    ----------
    seed : int
        Seed of the exposure that all are copies of.
    count : int
        How many.
    """

    seed: int
    count: int

    def __str__(self) -> str:
        return f"{self.count} exposures of 64²"


class _Watch:
    """A watch in a process of its own."""

    def __init__(self, home: Path) -> None:
        self.home, self.raw, self.out = home, home / "live", home / "out"
        self.raw.mkdir()
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, exit_when_idle: float = 15.0) -> None:
        """Begin to watch, or go on after a kill; between two exposures of a played night are 10 s."""
        command = [sys.executable, "-m", "liger_iris_pipeline.cli.main", "watch", str(self.raw)]
        command += ["--out", str(self.out), "--refs", str(self.home / "refs"), "--workers", "2"]
        command += ["--idle", "60", "--exit-when-idle", str(exit_when_idle)]
        with (self.home / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log)

    @property
    def pid(self) -> int:
        """Number of the process."""
        return self._process.pid if self._process is not None else 0

    def kill(self) -> None:
        """End it as a power cut would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def end(self) -> int:
        """Wait until it has nothing left to do; give its exit status."""
        if self._process is None:
            return 0
        try:
            return self._process.wait(_LONGEST_S)
        finally:
            self.kill()

    def workers(self) -> list[int]:
        """Give the numbers of its workers."""
        return children(self.pid)[1:]


def children(pid: int) -> list[int]:
    """List a process and all that came of it.

    Parameters
    ----------
    pid : int
        Its number.

    Returns
    -------
    list of int
        The process first.
    """
    of: dict[int, list[int]] = defaultdict(list)
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            fields = stat.read_text("utf-8", "replace").rpartition(")")[2].split()
            of[int(fields[1])].append(int(stat.parent.name))
    found = [pid]
    for one in found:
        found += of[one]
    return found


def memory_of(pid: int) -> int:
    """Give the memory of a process and all that came of it, what they share counted once [bytes]."""
    total = 0
    for one in children(pid):
        with contextlib.suppress(OSError):
            for line in Path(f"/proc/{one}/smaps_rollup").read_text().splitlines():
                if line.startswith("Pss:"):
                    total += int(line.split()[1]) * 1024
    return total


# --- a night is played ---------------------------------------------------------------------------


def measure_play(cell: PlayCell, rng: np.random.Generator) -> Measured:
    """Play a night, with what befalls it, and compare the products with those of an offline reduction."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        reads = _prepare(cell, home)
        watch = _Watch(home)
        watch.start()
        harm = _Harm(watch, rng, cell.kills)
        _deliver(reads, watch.raw, harm)
        harm.end()
        status = watch.end()
        expected = _offline(home)
        made = {path.name for path in watch.out.glob("*.fits")}
        differing = [name for name in sorted(made & set(expected)) if not _same(home, name)]
        latency = [_latency(path) for path in sorted(watch.out.glob("*_LVL2_*.fits"))]
        figures = {
            "lost": Figure(len(set(expected) - made) + (status != 0)),
            "doubled": Figure(len(made - set(expected)) + len(list(watch.out.glob(".*.part")))),
            "differing": Figure(len(differing)),
            "p50": Figure(float(np.percentile(latency, 50))),
            "p99": Figure(float(np.percentile(latency, 99))),
        }
    error = f"differs: {differing[0]}" if differing else ""
    return Measured(cell, figures, len(expected), error=error)


def _prepare(cell: PlayCell, home: Path) -> list[tuple[float, Path]]:
    """Simulate the night and make its masters; give its reads with the time when each is due [s]."""
    from liger_iris_pipeline.pipelines.calibrate import calibrate
    from liger_iris_pipeline.simulator import (
        CalibrationPlan,
        Format,
        ReadPattern,
        Scene,
        StarField,
        simulate,
        timetable,
    )

    scene = Scene(
        format=Format(cell.size, cell.size, 4, 4),
        stars=StarField(count=100, faintest=500.0, brightest=30_000.0),
        dithers=Scene().dithers[: cell.dithers],
        sky_offsets=((30.0, 0.0),),
        calibration=CalibrationPlan(darks=3, flats=3),
        pattern=ReadPattern(nframe=8),
        detectors=cell.detectors,
    )
    raw = simulate(scene, home / "raw", seed=cell.seed).folder
    calibrate(raw, home / "refs")
    on_sky = [p for p in sorted(raw.glob("*.fits")) if "_SCI_" in p.name or "_SKY_" in p.name]
    plan = timetable(on_sky)
    if cell.kills:
        plan += [(due, _of_second_night(path, home)) for due, path in plan if "IMG1" in path.name]
    return sorted(plan)


def _of_second_night(path: Path, home: Path) -> Path:
    """Write a read of another observation with the same pixels, for a folder of its own."""
    from astropy.io import fits

    made = home / "second" / path.name.replace("P001-001", "P002-001")
    made.parent.mkdir(exist_ok=True)
    with fits.open(path, do_not_scale_image_data=True) as hdus:
        hdus[0].header["OBS_ID"] = "2026B-P002-001"
        hdus.writeto(made, checksum=True)
    return made


class _Harm:
    """What befalls a watch while reads come."""

    def __init__(self, watch: _Watch, rng: np.random.Generator, kills: int) -> None:
        self.kills = kills
        self._watch, self._rng, self._left = watch, rng, kills
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._kill_now_and_then, daemon=True)
        if kills:
            self._thread.start()

    def _kill_now_and_then(self) -> None:
        """Kill the watch at random moments and begin it again; once a worker instead."""
        while self._left > 0:
            if self._over.wait(float(self._rng.uniform(1.0, 8.0))):
                pause = float(self._rng.uniform(0.5, 4.0))
                time.sleep(pause)
            workers = self._watch.workers()
            if self._left == self.kills // 2 and workers:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(workers[-1], signal.SIGKILL)
                time.sleep(2.0)
            self._watch.kill()
            self._watch.start()
            self._left -= 1

    def end(self) -> None:
        """Let the kills that are left come soon, then no more."""
        self._over.set()
        if self.kills:
            self._thread.join()


def _deliver(reads: Sequence[tuple[float, Path]], folder: Path, harm: _Harm) -> None:
    """Bring reads when they are due; with harm, some out of order, one cut off at first and one twice."""
    begun = time.monotonic()
    order = _shuffled(reads, harm)
    for at, (due, path) in enumerate(order):
        time.sleep(max(0.0, begun + due / _SPEED - time.monotonic()))
        below = folder / "second" if path.parent.name == "second" else folder
        below.mkdir(exist_ok=True)
        if harm.kills and at == len(order) // 3:
            (below / path.name).write_bytes(path.read_bytes()[:10_000])
            time.sleep(0.5)
        if harm.kills and at == len(order) // 2:
            _bring(path, below / f"copy-{path.name}")
        _bring(path, below / path.name)


def _shuffled(reads: Sequence[tuple[float, Path]], harm: _Harm) -> list[tuple[float, Path]]:
    """Let every third read change its place with the next one."""
    order = list(reads)
    if harm.kills:
        for at in range(0, len(order) - 1, 3):
            (one, first), (two, second) = order[at], order[at + 1]
            order[at], order[at + 1] = (one, second), (two, first)
    return order


def _bring(source: Path, target: Path) -> None:
    """Copy a read so that it appears whole in one instant."""
    hidden = target.with_name(f".{target.name}")
    shutil.copyfile(source, hidden)
    hidden.rename(target)


def _offline(home: Path) -> dict[str, Path]:
    """Reduce what came offline; give level 1 of all reads, and level 2 by the associations that were recorded."""
    from liger_iris_pipeline.pipelines.night import reduce

    found: dict[str, Path] = {}
    for folder in (home / "live", home / "live" / "second"):
        if folder.is_dir():
            out = home / f"offline-{folder.name}"
            made = reduce([folder], out, refs=home / "refs")
            found |= {path.name: path for path in made if "_LVL1_" in path.name}
            found |= {path.name: path for path in made if "_LVL2_" in path.name}
    for association in sorted((home / "out" / "associations").glob("*.json")):
        reduce([association], home / "again", refs=home / "refs")
    return found


def _same(home: Path, name: str) -> bool:
    """Compare a product with the one that was made offline."""
    from liger_iris_pipeline.models.comparison import compare

    other = home / "again" / name
    if "_LVL1_" in name:
        other = next(home.glob(f"offline-*/{name}"))
    return other.exists() and compare(home / "out" / name, other).same


def _latency(path: Path) -> float:
    """Give the time from the last read to a product [s]."""
    from liger_iris_pipeline.models import read_metadata

    value = read_metadata(path).get("LATENCY")
    return float(value) if isinstance(value, int | float) else math.nan


def _judge_play(measured: Sequence[Measured]) -> list[Row]:
    """Ask for all products, each once and each the same; and soon where nothing was killed."""
    rows = []
    for one in measured:
        nothing = Figure(math.nan)
        for key, name in _LOSSES:
            figure = one.figures.get(key, nothing).value
            detail = f"{one.cell}; {one.error}" if one.error else str(one.cell)
            rows.append(Row(name, figure, "", within(0, 0), count=one.count, detail=detail))
        limits = {"p50": _report(), "p99": at_most(_LATENCY_S)}
        if one.cell.kills:
            limits = {"p99": _report()}
        for key, limit in limits.items():
            name = f"last read to level 2 product, {'median' if key == 'p50' else '99 %'}"
            figure = one.figures.get(key, nothing).value
            rows.append(Row(name, figure, "s", limit, count=one.count, detail=str(one.cell)))
    return rows


_LOSSES = (
    ("lost", "products that are lost"),
    ("doubled", "products doubled, or half products left"),
    ("differing", "products that differ from those of reduce"),
)


def _report() -> Limit:
    """Ask for nothing: the figure is told."""
    return Limit(-math.inf, math.inf, "report")


# --- a long night --------------------------------------------------------------------------------


def measure_long(cell: LongCell, rng: np.random.Generator) -> Measured:
    """Give one watch many exposures and follow its memory."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        exposures = _many(cell, home)
        watch = _Watch(home)
        watch.start(exit_when_idle=5.0)
        used: list[tuple[int, int]] = []
        for number in range(1, cell.count + 1):
            for path in exposures(number):
                path.rename(watch.raw / path.name.lstrip("."))
            while (done := len(list(watch.out.glob("*_LVL2_*.fits")))) < number - 2:
                time.sleep(0.05)
            used.append((done, memory_of(watch.pid)))
        watch.end()
        made = len(list(watch.out.glob("*_LVL2_*.fits")))
    first, last = _quarters(used, cell.count)
    figures = {"growth": Figure(last / first - 1.0), "lost": Figure(cell.count - made)}
    return Measured(cell, figures, cell.count, curves={"memory": [u / 1e6 for _, u in used]})


def _quarters(used: Sequence[tuple[int, int]], count: int) -> tuple[float, float]:
    """Give the median memory of the first and of the last quarter, the very beginning left out."""
    first = [u for done, u in used if count // 16 < done <= count // 4]
    last = [u for done, u in used if done > 3 * count // 4]
    return float(np.median(first)), float(np.median(last))


def _many(cell: LongCell, home: Path) -> Callable[[int], Iterator[Path]]:
    """Simulate an exposure and its masters; give a function that writes it again under another number."""
    from astropy.io import fits

    from liger_iris_pipeline.pipelines.calibrate import calibrate
    from liger_iris_pipeline.simulator import (
        CalibrationPlan,
        Format,
        ReadPattern,
        Scene,
        StarField,
        simulate,
    )

    scene = Scene(
        format=Format(64, 64, 4, 4),
        stars=StarField(count=10, faintest=500.0, brightest=30_000.0),
        dithers=((0.0, 0.0),),
        calibration=CalibrationPlan(darks=3, flats=3),
        pattern=ReadPattern(nframe=3),
        detectors=("IMG1",),
    )
    raw = simulate(scene, home / "raw", seed=cell.seed).folder
    calibrate(raw, home / "refs")
    reads = sorted(raw.glob("*_SCI_*.fits"))

    def write(number: int) -> Iterator[Path]:
        for path in reads:
            made = home / path.name.replace("LVL0_0001", f"LVL0_{number:04d}")
            with fits.open(path, do_not_scale_image_data=True) as hdus:
                hdus[0].header["EXP_NO"] = number
                hdus.writeto(made, checksum=True)
            yield made

    return write


def _judge_long(measured: Sequence[Measured]) -> list[Row]:
    """Ask for memory that does not grow and exposures that are all there."""
    one = measured[0]
    nothing = Figure(math.nan)
    growth, lost = (one.figures.get(key, nothing).value for key in ("growth", "lost"))
    detail = one.error or str(one.cell)
    return [
        Row(
            "memory of the last quarter over the first, minus 1",
            growth,
            "",
            Limit(-math.inf, _GROWTH, f"<= {_GROWTH:g}"),
            count=one.count,
            detail=detail,
        ),
        Row("exposures that are lost", lost, "", within(0, 0), count=one.count, detail=detail),
    ]


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the groups of the real-time mode.

    Parameters
    ----------
    quick : bool
        One detector, one kill, twelve exposures.
    seed : int
        Seed of the nights.

    Returns
    -------
    list of Group
        Played nights, and a long one.
    """
    four = ("IMG1", "IMG2", "IMG3", "IMG4")
    plays: tuple[PlayCell, ...] = (PlayCell(seed, 128, ("IMG1",), kills=2, dithers=2),)
    if not quick:
        plays = (PlayCell(seed, 512, four), PlayCell(seed, 256, four[:2], kills=10))
    played = (
        f"A night of science and sky exposures is played {_SPEED:g} times faster than the detectors to iris-drs "
        "watch. Products are compared, pixels and keywords, with those of iris-drs reduce: level 1 of the same "
        "reads, level 2 of the recorded associations with their calibrations."
    )
    long = (
        "Copies of one small exposure come one after the other to one watch; the proportional set size of the watch "
        "and its workers is read after each."
    )
    many = LongCell(seed, 12 if quick else 200)
    found = [Group("real time", played, plays, measure_play, _judge_play, alone=True)]
    if not quick:
        found.append(
            Group("real time, a long night", long, (many,), measure_long, _judge_long, alone=True)
        )
    return found
