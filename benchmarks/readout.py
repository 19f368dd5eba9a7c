"""Measure readout, combination, stages of levels 2 and 3 and a whole night, and judge the goals.

Processor time on one thread (wall-clock where threads are the matter), the least of at least five
runs in turn; only ratios mean something. Exit status 1 when a goal is missed, unless ``--report``.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import ours
import peers
from astropy.io import fits
from combine import combine
from data import PEDESTAL, READ_NOISE, SPACING, Ramp, simulate, stream
from level2 import level2
from report import Row, instruction_set, machine_facts, missing, print_table, write_json
from timing import Contender, Timing, alternate, vet

import iris_readout
from iris_readout import PLANES, RampFitter

FRAME_SECONDS = 0.72  # between two reads of a full H4RG
FULL = 4096
FULL_PIXELS = FULL * FULL
#: Bytes per pixel of all planes of a result.
PLANE_BYTES = sum(np.dtype(dtype).itemsize for dtype in PLANES.values())


@dataclasses.dataclass(frozen=True)
class Plan:
    """How much is measured.

    Attributes
    ----------
    size : int
        Side of the detector [pixels]; the deep ramp has half of it.
    rows : int
        Rows of the detector that are used.
    runs : int
        Rounds of each comparison.
    slack : float
        Part of each goal of speed that is asked for.
    quick : bool
        Leave out what takes long.
    """

    size: int
    rows: int
    runs: int
    slack: float
    quick: bool

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of the wide ramp and of streamed reads."""
        return self.rows, self.size

    @property
    def peer_rows(self) -> int:
        """Rows given to stcal and NumPy, whose cost per pixel does not depend on their number."""
        return 32 if self.quick else 256

    @property
    def scale(self) -> float:
        """Pixels of a full detector over those measured."""
        return FULL_PIXELS / (self.rows * self.size)

    def ramps(self) -> dict[str, tuple[int, tuple[int, int]]]:
        """Return number of reads and shape of the wide and the deep ramp."""
        wide, deep = self.shape, (self.rows // 2, self.size // 2)
        return {
            f"{wide[0]}x{wide[1]}x10": (10, wide),
            f"{deep[0]}x{deep[1]}x30": (30, deep),
        }

    def at_least(self, limit: float) -> float:
        """Return a lower limit of speed with the slack taken off."""
        return limit * self.slack

    def at_most(self, limit: float) -> float:
        """Return an upper limit of time with the slack added."""
        return limit / self.slack


@dataclasses.dataclass
class Record:
    """All that was measured, for the JSON file."""

    timings: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def time(
        self,
        group: str,
        contenders: dict[str, Contender],
        runs: int,
        *,
        fresh_memory: bool = False,
    ) -> tuple[dict[str, Timing], dict[str, str]]:
        """Check all contenders, time the good ones in turn and keep the figures."""
        good, complaints = vet(contenders)
        timings = alternate(good, runs, fresh_memory=fresh_memory)
        self.timings[group] = {name: dataclasses.asdict(t) for name, t in timings.items()}
        self.timings[group].update({name: {"note": text} for name, text in complaints.items()})
        return timings, complaints


Section = Callable[[Plan, Record], Iterator[Row]]


# --- whole ramps in memory ------------------------------------------------------------------------


def whole_ramps(plan: Plan, record: Record) -> Iterator[Row]:
    """G1, G4, G5, G6, G7, G8: one ramp in memory, against stcal, NumPy and the memory itself."""
    for seed, (name, (nread, shape)) in enumerate(plan.ramps().items(), 1):
        ramp = simulate(np.random.default_rng(seed), nread, shape)
        contenders = {
            **ours.full_contenders(ramp),
            **ours.plain_contenders(ramp),
            **peers.stcal_contenders(ramp, plan.peer_rows),
            **peers.numpy_contenders(ramp, plan.peer_rows),
        }
        timings, notes = record.time(name, contenders, plan.runs)
        yield from _against_stcal(plan, name, timings, notes)
        yield from _within_the_library(plan, name, timings, notes)
        yield from _against_numpy(name, timings)
        contenders = {
            "ols": ours.full_contenders(ramp, reuse=False)["ols"],
            **ours.plain_contenders(ramp),
            **peers.memory_contenders(ramp.reads),
        }
        group = f"{name}, fresh memory"
        timings, notes = record.time(group, contenders, plan.runs, fresh_memory=True)
        yield from _against_memory(plan, ramp, name, timings, notes)


def _against_stcal(
    plan: Plan, name: str, timings: dict[str, Timing], notes: dict[str, str]
) -> Iterator[Row]:
    isa = instruction_set()
    comparisons = (
        ("G1", "OLS, linearity, saturation, variance / OLS_C", "ols", ("OLS_C",), 60),
        ("G6", "two-point jump + fit / jump + OLS_C", "ols jump", ("jump", "OLS_C after jump"), 50),
        (
            "G7",
            f"likelihood, jumps, chi2 / LIKELY ({isa})",
            "likelihood",
            ("LIKELY",),
            60 if isa == "avx512" else 35,
        ),
    )
    for goal, what, mine, others, limit in comparisons:
        what = f"{what}, {name}"
        if note := _why([mine, *others], notes):
            yield missing(goal, what, note, plan.at_least(limit))
            continue
        our, their = timings[mine].unit_cost, sum(timings[other].unit_cost for other in others)
        yield Row(goal, what, _np(our), _np(their), their / our, plan.at_least(limit))


def _within_the_library(
    plan: Plan, name: str, timings: dict[str, Timing], notes: dict[str, str]
) -> Iterator[Row]:
    what, limit = f"likelihood / OLS, both ours, {name}", plan.at_most(6)
    if note := _why(["ols", "likelihood"], notes):
        yield missing("G8", what, note, limit, at_least=False)
        return
    plain, likely = timings["ols"].unit_cost, timings["likelihood"].unit_cost
    yield Row("G8", what, _np(likely), _np(plain), likely / plain, limit, at_least=False)


def _against_memory(
    plan: Plan, ramp: Ramp, name: str, timings: dict[str, Timing], notes: dict[str, str]
) -> Iterator[Row]:
    """Compare with the ideal: read the inputs once, write the planes to fresh memory."""
    per_byte = timings["read"].cpu / ramp.reads.nbytes
    pixels = ramp.rate.size
    comparisons = (
        ("G4", "plain CDS of two reads", "plain cds", 0, 0.5),
        ("G4", "plain MCDS", "plain mcds", 0, 0.5),
        ("G4", "plain UTR, OLS", "plain utr", 0, 0.5),
        ("G5", "OLS with linearity", "ols", ramp.detector.nbytes, 0.25),
    )
    for goal, what, mine, map_bytes, limit in comparisons:
        what = f"{what} / ideal time, {name}"
        if note := _why([mine], notes):
            yield missing(goal, what, note, plan.at_least(limit))
            continue
        counts = 2 * timings[mine].work
        ideal = (counts + map_bytes) * per_byte + timings["fresh planes"].cpu
        figures = _ns(timings[mine].cpu / pixels), _ns(ideal / pixels)
        yield Row(goal, what, *figures, ideal / timings[mine].cpu, plan.at_least(limit))
    nbytes = ramp.reads.nbytes
    moved = {"read": nbytes, "copy": 2 * nbytes, "fresh planes": PLANE_BYTES * pixels}
    for what, size in moved.items():
        bandwidth = size / timings[what].cpu / 1e9
        yield Row("", f"memory: {what}, {name}", peer=f"{bandwidth:.1f} GB/s", value=bandwidth)


def _against_numpy(name: str, timings: dict[str, Timing]) -> Iterator[Row]:
    for other in ("NumPy tensordot", "NumPy loop"):
        if other in timings and "plain utr" in timings:
            our, their = timings["plain utr"].unit_cost, timings[other].unit_cost
            yield Row("", f"plain UTR, OLS / {other}, {name}", _np(our), _np(their), their / our)


# --- reads that come one by one -------------------------------------------------------------------


def streaming(plan: Plan, record: Record) -> Iterator[Row]:
    """G9: processor time of one pushed read, reference pixels, linearity and saturation included."""
    nread = 40 if plan.quick else 100
    for estimator, jump_sigma in (("ols", None), ("likelihood", 4.5)):
        what = f"one streamed read, {estimator}, mean of {nread} / {FRAME_SECONDS} s"
        limit = plan.at_most(0.15)
        try:
            seconds = _push_times(plan, nread, estimator, jump_sigma)
        except iris_readout.Error as error:
            yield missing("G9", what, str(error), limit, at_least=False)
            continue
        mean, worst = plan.scale * seconds.mean(), plan.scale * seconds.max()
        record.timings[what] = {"mean": mean, "worst": worst}
        yield Row(
            "G9",
            what,
            f"{mean * 1e3:.1f} ms, worst {worst * 1e3:.1f}",
            f"{FRAME_SECONDS * 1e3:.0f} ms",
            mean / FRAME_SECONDS,
            limit,
            at_least=False,
        )


def _push_times(plan: Plan, nread: int, estimator: str, jump_sigma: float | None) -> Any:
    detector, reads = stream(np.random.default_rng(9), nread, plan.shape)
    fitter = RampFitter(
        plan.shape,
        estimator=estimator,
        jump_sigma=jump_sigma,
        nthreads=1,
        **detector.options(),
    )
    seconds = []
    for read, seconds_since_reset in reads:
        start = time.process_time()
        fitter.push(read, seconds_since_reset)
        seconds.append(time.process_time() - start)
    return np.array(seconds)


def latency(plan: Plan, record: Record) -> Iterator[Row]:
    """G10: wall-clock time from the last of 30 reads to all planes in memory, default threads."""
    detector, reads = stream(np.random.default_rng(10), 30, plan.shape)
    ramp = [(read.copy(), seconds) for read, seconds in reads]
    for estimator, jump_sigma, limit in (("ols", None, 0.5), ("likelihood", 4.5, 3.0)):
        what = f"last of 30 reads to L1 in memory, {estimator}, one detector, wall"

        def arrange(
            estimator: str = estimator, jump_sigma: float | None = jump_sigma
        ) -> RampFitter:
            fitter = RampFitter(
                plan.shape, estimator=estimator, jump_sigma=jump_sigma, **detector.options()
            )
            for read, seconds in ramp[:-1]:
                fitter.push(read, seconds)
            return fitter

        def complete(fitter: RampFitter) -> Any:
            fitter.push(*ramp[-1])
            return fitter.finish()

        timings, notes = record.time(what, {what: Contender(complete, arrange)}, plan.runs)
        if notes:
            yield missing("G10", what, notes[what], plan.at_most(limit), at_least=False)
            continue
        wall = plan.scale * timings[what].wall
        yield Row("G10", what, f"{wall:.3f} s", "", wall, plan.at_most(limit), at_least=False)


def memory(plan: Plan, record: Record) -> Iterator[Row]:
    """G12: peak memory of streams of 10, 100 and 416 reads, in processes of their own."""
    what = "streaming OLS, peak memory of 100 / 10 reads"
    shape = (2048, 2048)  # what does not grow with the array must not count
    few, many = (_peak("ols", nread, shape) for nread in (10, 100))
    record.timings[what] = {"10 reads": few, "100 reads": many}
    state = many / math.prod(shape)
    yield Row(
        "G12", what, f"{many / 1e6:.0f} MB", f"{few / 1e6:.0f} MB", many / few, 1.05, at_least=False
    )
    yield Row(
        "G12",
        "streaming OLS, state + buffered reads (16 + 16 B/pixel)",
        f"{state:.1f} B/pixel",
        "",
        state,
        plan.at_most(32.0),
        at_least=False,
    )
    if plan.quick:
        return
    what = "likelihood, 416 reads of 4096x4096, peak memory [GB]"
    try:
        peak = _peak("likelihood", 416, (FULL, FULL)) / 1e9
    except RuntimeError as error:
        yield missing("G12", what, str(error), 2.5, at_least=False)
        return
    yield Row("G12", what, f"{peak:.2f} GB", "", peak, 2.5, at_least=False)


def _peak(estimator: str, nread: int, shape: tuple[int, int]) -> float:
    """Return the peak of one stream in a fresh process, whose allocator keeps nothing for later [bytes]."""
    script = Path(__file__).with_name("memory.py")
    done = subprocess.run(
        [sys.executable, str(script), estimator, *map(str, (nread, *shape))],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "MALLOC_MMAP_THRESHOLD_": str(1 << 20)},
    )
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip().splitlines()[-1])
    return float(json.loads(done.stdout)["bytes"])


# --- scaling --------------------------------------------------------------------------------------


def scaling(plan: Plan, record: Record) -> Iterator[Row]:
    """G11: cost of a read in a ramp of 30 to 60 over that in one of 15 to 30, fixed cost removed."""
    ramp = simulate(np.random.default_rng(11), 60, (plan.rows // 4, plan.size // 2))
    contenders = {
        f"{estimator} {nread}": Contender(functools.partial(ours.fit_with, ramp, nread, options))
        for nread in (15, 30, 60)
        for estimator, options in (
            ("ols", {"estimator": "ols", "jump_sigma": None}),
            ("likelihood", {"estimator": "likelihood"}),
        )
    }
    timings, notes = record.time("scaling", contenders, max(plan.runs, 7))
    for estimator, limit in (("ols", 1.15), ("likelihood", 1.4)):
        what = f"cost per read from 30 to 60 reads / from 15 to 30, {estimator}"
        names = [f"{estimator} {nread}" for nread in (15, 30, 60)]
        if note := _why(names, notes):
            yield missing("G11", what, note, plan.at_most(limit), at_least=False)
            continue
        short, middle, long = (timings[name].cpu / ramp.rate.size for name in names)
        early, late = (middle - short) / 15, (long - middle) / 30
        figures = _np(late * 1e9), _np(early * 1e9)
        yield Row("G11", what, *figures, late / early, plan.at_most(limit), at_least=False)


def threads(plan: Plan, record: Record) -> Iterator[Row]:
    """G13: wall-clock time of two threads against one, where computing is the limit."""
    what, limit = "likelihood, two threads / one, wall", plan.at_least(1.6)
    if (os.cpu_count() or 1) < 2:
        yield missing("G13", what, "this machine has one processor", limit)
        return
    nread, shape = list(plan.ramps().values())[1]
    ramp = simulate(np.random.default_rng(13), nread, shape)
    contenders = {
        str(count): Contender(
            functools.partial(
                ours.fit_with, ramp, None, {"estimator": "likelihood", "nthreads": count}
            )
        )
        for count in (1, 2)
    }
    timings, notes = record.time(what, contenders, max(plan.runs, 7))
    if notes:
        yield missing("G13", what, next(iter(notes.values())), limit)
        return
    one, two = timings["1"].wall, timings["2"].wall
    yield Row("G13", what, f"{two * 1e3:.1f} ms", f"{one * 1e3:.1f} ms", one / two, limit)


# --- accuracy -------------------------------------------------------------------------------------


def accuracy(_plan: Plan, _record: Record) -> Iterator[Row]:
    """G14: OLS in float32 against float64 of the same counts, pedestal 50000, up to 100 reads."""
    random = np.random.default_rng(14)
    for nread in (10, 30, 100):
        times = np.arange(1, nread + 1, dtype=np.float64) * SPACING
        rate = random.uniform(0, 40, (128, 1024))
        counts = 50000 + rate * times[:, None, None]
        counts += random.normal(0, READ_NOISE, counts.shape)
        reads = np.rint(counts).astype(np.uint16)
        result = iris_readout.fit_ramp(
            reads,
            times,
            estimator="ols",
            jump_sigma=None,
            gain=1.0,
            read_noise=READ_NOISE,
            ref_pixels=0,
            nthreads=1,
        )
        weights = (times - times.mean()) / np.sum((times - times.mean()) ** 2)
        exact = np.tensordot(weights, reads.astype(np.float64), 1)
        sigma = READ_NOISE * np.sqrt(np.sum(weights**2))
        error = (result.rate - exact) / sigma
        for what, value, limit in (
            ("rms", float(np.sqrt(np.mean(error**2))), 1e-4),
            ("largest", float(np.abs(error).max()), 1e-3),
        ):
            name = f"OLS - float64, {nread} reads, {what} [sigma]"
            yield Row("G14", name, f"{value:.1e}", "", value, limit, at_least=False)


def agreement(plan: Plan, _record: Record) -> Iterator[Row]:
    """G15: likelihood against stcal's LIKELY on a ramp without hits, jump tests off in both."""
    for nread in (10, 30):
        what = f"likelihood - LIKELY above 0.1 sigma, fraction of pixels, {nread} reads"
        shape = (64 if plan.quick else 256, 1024)
        ramp = simulate(np.random.default_rng(15), nread, shape, hits=False)
        try:
            mine = ours.fit(ramp, estimator="likelihood", jump_sigma=None)
        except iris_readout.Error as error:
            yield missing("G15", what, str(error), 1e-4, at_least=False)
            continue
        reads = peers.StcalReads.of(ramp, len(ramp.rate))
        theirs = peers.fit_stcal(reads, "LIKELY", rejection_threshold=1e3)
        good = ~ramp.saturated
        apart = np.abs(mine.rate - theirs["slope"])[good] / theirs["err"][good]
        value = float(np.mean(~(apart <= 0.1)))
        figure = f"median {np.nanmedian(apart):.1e}"
        yield Row("G15", what, figure, f"max {np.nanmax(apart):.1e}", value, 1e-4, at_least=False)


# --- files ----------------------------------------------------------------------------------------

PEER_READERS = {"fitsio": "fitsio.read", "astropy": "astropy.io.fits.getdata"}


def files(plan: Plan, record: Record) -> Iterator[Row]:
    """G21: a plain fit straight from the mapped bytes of FITS files, against reading the files alone.

    The files lie in memory, so that no disk is measured.
    """
    limit = plan.at_least(2.0)
    memory_disk = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=memory_disk if memory_disk.is_dir() else None) as name:
        paths, last = _write_reads(Path(name), 10 if plan.quick else 20, plan.shape)
        contenders = {
            "mapped and fitted": Contender(functools.partial(ours.fit_files, paths, plan.shape)),
            **peers.fits_contenders(paths, last),
        }
        timings, notes = record.time("files", contenders, plan.runs)
    for other, reader in PEER_READERS.items():
        what = f"read from FITS, mapped and fitted / {reader} alone"
        judged = limit if other == "fitsio" else float("nan")
        if other in notes:
            yield missing("G21", what, notes[other], judged)
            continue
        mine, theirs = (
            1e3 * plan.scale * timings[key].cpu / len(paths) for key in ("mapped and fitted", other)
        )
        yield Row("G21", what, f"{mine:.2f} ms", f"{theirs:.2f} ms", theirs / mine, judged)


def _write_reads(folder: Path, nread: int, shape: tuple[int, int]) -> tuple[list[Path], Any]:
    random = np.random.default_rng(21)
    tile = random.normal(PEDESTAL, READ_NOISE, shape)
    slope = random.lognormal(3.0, 1.0, shape)
    reset, spacing = 1_790_000_000_000_000, round(SPACING * 1e6)  # microseconds
    header = {
        "TELESCOP": "TMT", "INSTRUME": "IRIS", "DETECTOR": "IMG1", "DET_ID": "IMG1",
        "OBS_ID": "2026B-P001-001", "EXP_NO": 1, "RAMP_NO": 1, "NUMRAMPS": 1, "NUMREADS": nread,
        "SAMPMODE": "UTR", "RST_TIME": reset, "FRM_TIME": spacing, "GAIN": 1.0,
        "READNOIS": READ_NOISE, "SATURATE": 60000.0, "DETSIZE1": shape[1], "DETSIZE2": shape[0],
        "NOUTPUTS": 64, "REFPIX": 0, "SUBARRAY": "FULL", "IMTYPE": "SCI", "FILTER": "K",
        "OBJECT": "benchmark",
    }  # fmt: skip
    paths = []
    for number in range(1, nread + 1):
        counts = np.rint(tile + SPACING * number * slope).clip(1, 65535).astype(np.uint16)
        hdu = fits.PrimaryHDU(counts)
        hdu.header.update({**header, "READ_NO": number, "READTIME": reset + number * spacing})
        paths.append(folder / f"read-{number:02d}.fits")
        hdu.writeto(paths[-1])
    return paths, counts


# --- a night --------------------------------------------------------------------------------------


def night(plan: Plan, record: Record) -> Iterator[Row]:
    """Req. 30: L0 to L2 in warm processes, see night.py; it runs by itself, so that its memory is its own."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "night.json"
        script = Path(__file__).with_name("night.py")
        options = ["--report", "--json", str(result), *(["--quick"] if plan.quick else [])]
        done = subprocess.run(
            [sys.executable, str(script), *options], capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            note = done.stderr.strip().splitlines()[-1]
            yield missing("req 30", "L0 to L2 of a night", note, math.nan)
            return
        content = json.loads(result.read_text())
    record.timings["night"] = content["timings"]
    names = {field.name for field in dataclasses.fields(Row)}
    for row in content["rows"]:
        yield Row(**{k: math.nan if v is None else v for k, v in row.items() if k in names})


# --- the whole ------------------------------------------------------------------------------------

SECTIONS: dict[str, Section] = {
    "ramps": whole_ramps,
    "streaming": streaming,
    "latency": latency,
    "scaling": scaling,
    "threads": threads,
    "accuracy": accuracy,
    "agreement": agreement,
    "files": files,
    "memory": memory,
    "combine": combine,
    "night": night,
    "level2": level2,
}


def _why(names: list[str], notes: dict[str, str]) -> str:
    """Return why any of some contenders was not timed, "" if all were."""
    return "; ".join(dict.fromkeys(f"{name}: {notes[name]}" for name in names if name in notes))


def _np(cost: float) -> str:
    return f"{cost:.3g} ns/pixel/read"


def _ns(seconds: float) -> str:
    return f"{seconds * 1e9:.3g} ns/pixel"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="an eighth of the rows, in a minute")
    parser.add_argument("--size", type=int, default=FULL, help="side of the detector [4096]")
    parser.add_argument("--runs", type=int, default=5, help="rounds, at least 5 [5]")
    parser.add_argument("--only", choices=SECTIONS, nargs="+", help="some sections only")
    parser.add_argument("--json", type=Path, help="write facts, rows and timings to this file")
    parser.add_argument("--report", action="store_true", help="do not fail on a missed goal")
    arguments = parser.parse_args()
    if arguments.size % 128 or arguments.size < 1024:
        parser.error(f"--size: got {arguments.size}, expected a multiple of 128 from 1024 on")
    if arguments.runs < 5:
        parser.error(f"--runs: got {arguments.runs}, expected 5 or more")
    return arguments


def _on_one_thread() -> None:
    """Begin again with NumPy's linear algebra on one thread, which has to be said before it loads.

    The allocator is left alone: with a low, fixed threshold of mmap stcal's LIKELY takes three times as long.
    """
    if os.environ.get("OPENBLAS_NUM_THREADS") != "1":
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
        os.execve(sys.executable, [sys.executable, *sys.argv], environment)


def main() -> int:
    """Run the sections, print the table and return the exit status."""
    arguments = _arguments()
    _on_one_thread()
    rows = arguments.size // 8 if arguments.quick else arguments.size
    slack = 0.75 if arguments.quick else 1.0
    plan = Plan(arguments.size, rows, arguments.runs, slack, arguments.quick)
    facts = {**machine_facts(), "detector": f"{plan.rows}x{plan.size}", "runs": plan.runs}
    for key, value in facts.items():
        print(f"{key}: {value}")
    if arguments.quick:
        print("quick: an eighth of the rows, times scaled to 4096x4096, goals of speed less 25 %")
    record, table = Record(), list[Row]()
    for name in arguments.only or SECTIONS:
        start = time.perf_counter()
        table.extend(SECTIONS[name](plan, record))
        print(f"{name}: {time.perf_counter() - start:.0f} s", file=sys.stderr, flush=True)
    print_table(table)
    missed = [row for row in table if not row.passed]
    print(f"{sum(row.judged for row in table)} goals, {len(missed)} missed")
    if arguments.json:
        write_json(arguments.json, facts, table, record.timings)
    return 1 if missed and not arguments.report else 0


if __name__ == "__main__":
    sys.exit(main())
