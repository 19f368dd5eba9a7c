"""The real-time mode: reads are seen as they come, products appear as soon as they can, and nothing is lost.

::

    files ─ intake ─► exposures ─ crew ─► level 1 ─ planner ─► level 2, preview

What is on disk decides what is left to do, so that this process can be stopped at any moment and begun again.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import wait
from pathlib import Path
from types import FrameType
from typing import Any

from liger_iris_pipeline.associations.members import stem_of
from liger_iris_pipeline.errors import (
    DiskError,
    InputError,
    IrisError,
    ProductError,
    ReadError,
    complaint,
)
from liger_iris_pipeline.models import read_metadata
from liger_iris_pipeline.models.clock import utc
from liger_iris_pipeline.models.digest import sha256_of
from liger_iris_pipeline.realtime.blocks import chosen_for
from liger_iris_pipeline.realtime.crew import Answer, Crew, Order
from liger_iris_pipeline.realtime.exposures import REDUCED, Exposure
from liger_iris_pipeline.realtime.files import Notices, scan
from liger_iris_pipeline.realtime.intake import Arrival, Intake, Key
from liger_iris_pipeline.realtime.outputs import Outputs
from liger_iris_pipeline.realtime.planning import Frame1, Planner
from liger_iris_pipeline.realtime.work import Recipe

__all__ = ["Settings", "watch"]

logger = logging.getLogger(__name__)

IDLE_S = 30.0
RECONCILE_S = 1.0
"""Time between two scans where there are no notices [s]."""
_SCAN_SHARE = 20
"""A scan is not made more often than this many times its own duration."""
_MOVING_S = 0.1
_STATUS_S = 0.5
_LONGEST_WAIT_S = 10.0
_MOST_DEATHS = 2


@dataclass(frozen=True)
class Settings:
    """How a folder is watched.

    Attributes
    ----------
    idle : float
        A ramp with no new read for so long counts as aborted [s].
    exit_when_idle : float or None
        End when nothing is left to do and nothing has come for so long [s].
    workers : int
        Processes that reduce.
    prepare : callable or None
        Called in each of them first.
    say : callable
        Told of each product.
    """

    idle: float = IDLE_S
    exit_when_idle: float | None = None
    workers: int = 2
    prepare: Callable[[], None] | None = None
    say: Callable[[Path], None] = print


def watch(folder: Path, recipe: Recipe, settings: Settings) -> None:
    """Reduce the exposures of a folder as their reads come.

    Parameters
    ----------
    folder : Path
        Where the reads come, with the folders in it.
    recipe : Recipe
        Where products go and how they are made.
    settings : Settings
        How long is waited for what.

    Raises
    ------
    ReadError
        If there is no such folder.
    WatchError
        If another process watches for the same products.
    DiskError
        If the folder of the products cannot be made.
    """
    if not folder.is_dir():
        raise ReadError(
            complaint(str(folder), "path", "no folder there", "a folder", "check the path")
        )
    outputs = Outputs(recipe.out)
    with outputs.held(), _until_told_to_stop():
        crew = Crew(recipe, settings.workers, prepare=settings.prepare)
        notices = Notices(folder)
        try:
            _Watch(folder, outputs, crew, notices, recipe, settings).run()
        finally:
            notices.close()
            crew.dismiss()


@contextmanager
def _until_told_to_stop() -> Iterator[None]:
    """Let a request to end be as one from the keyboard, so that workers are stopped in good order."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stop(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


class _Watch:
    """What is known of the folder, and what follows from it."""

    def __init__(
        self,
        folder: Path,
        outputs: Outputs,
        crew: Crew,
        notices: Notices,
        recipe: Recipe,
        settings: Settings,
    ) -> None:
        self.folder, self.outputs, self.crew, self.notices = folder, outputs, crew, notices
        self.recipe, self.settings = recipe, settings
        self.intake = Intake()
        self.planner = Planner(outputs.folder)
        self.exposures: dict[Key, Exposure] = {}
        self.open: dict[Key, Exposure] = {}
        self.others: set[Key] = set()
        self.refused: dict[Path, str] = {}
        self.unsaid: dict[Path, str] = {}
        self.said_full = ""
        self.last_event = time.monotonic()
        self.next_scan = 0.0
        self.next_status = 0.0
        self.begun = utc()

    def run(self) -> None:
        """Go on until there is nothing to wait for."""
        while True:
            self.look()
            self.heed(self.crew.answers())
            self.write_reasons()
            for exposure in list(self.open.values()):
                self.advance(exposure)
            self.report()
            if self.is_over():
                self.report(now=True)
                return
            self.rest()

    def rest(self) -> None:
        """Wait for something to happen."""
        until = min(self.next_scan, time.monotonic() + RECONCILE_S)
        if self.intake.moving or self.open:
            until = min(until, time.monotonic() + _MOVING_S)
        pause = max(0.0, until - time.monotonic())
        if self.notices.reader in wait([*self.crew.pipes(), self.notices.reader], pause):
            self.notices.clear()
            self.next_scan = 0.0

    def is_over(self) -> bool:
        """Say whether nothing is left to do and nothing has come for long enough."""
        limit = self.settings.exit_when_idle
        if limit is None or self.open or self.intake.moving or self.unsaid or self.crew.is_busy():
            return False
        return time.monotonic() - self.last_event >= limit

    # --- files ----------------------------------------------------------------------------------------------------

    def look(self) -> None:
        """See which files have come."""
        begun = time.monotonic()
        if begun < self.next_scan and not self.intake.moving:
            return
        out_of_sight = [p for p in (self.outputs.folder, self.recipe.refs) if p is not None]
        before = self.intake.moving
        arrivals, refused = self.intake.look(scan(self.folder, out_of_sight))
        for arrival in arrivals:
            self.arrive(arrival)
        for path, reason in refused:
            self.refuse(path, reason)
        if arrivals or refused or self.intake.moving - before:
            self.last_event = time.monotonic()
        took = time.monotonic() - begun
        self.next_scan = begun + max(RECONCILE_S, _SCAN_SHARE * took)

    def arrive(self, arrival: Arrival) -> None:
        """Take a file in."""
        exposure = self.exposure_of(arrival)
        if exposure is None:
            return
        if exposure.stage == "reading":
            self.accept(exposure, arrival)
        elif not self.is_known(exposure, arrival.path):
            self.come_late(exposure, arrival)

    def exposure_of(self, arrival: Arrival) -> Exposure | None:
        """Give the exposure of a file; None if it is not one that is reduced."""
        exposure = self.exposures.get(arrival.key)
        if exposure is not None:
            return exposure
        if arrival.header.get("IMTYPE") not in REDUCED and arrival.header.get("IMTYPE"):
            self.others.add(arrival.key)
            return None
        try:
            exposure = Exposure.of(arrival)
        except ProductError as error:
            self.refuse(arrival.path, str(error))
            return None
        self.exposures[arrival.key] = exposure
        self.recall(exposure)
        return exposure

    def recall(self, exposure: Exposure) -> None:
        """Find out from the products how far an exposure had come."""
        if self.outputs.has(exposure.frame_name) and not self.recipe.overwrite:
            path = self.outputs.folder / exposure.frame_name
            exposure.inputs = self.outputs.inputs_of(exposure.frame_name)
            self.framed(exposure, path, "")
        if exposure.stage != "done":
            self.open[exposure.key] = exposure

    def accept(self, exposure: Exposure, arrival: Arrival) -> None:
        """Let a worker read a file of an exposure whose reads still come."""
        path = arrival.path
        changed = path in exposure.files
        exposure.files[path] = arrival.on_disk
        exposure.touched = time.monotonic()
        self.open[exposure.key] = exposure
        if changed:  # what was read of it is no longer true
            self.crew.give(Order("drop", exposure.key))
            self.take_again(exposure)
        elif exposure.not_before <= time.monotonic():
            self.take(exposure, path)

    def take(self, exposure: Exposure, path: Path) -> None:
        """Ask a worker to read a file."""
        exposure.asked.add(path)
        self.crew.give(Order("take", exposure.key, (path,)))

    def take_again(self, exposure: Exposure) -> None:
        """Begin anew with all files of an exposure."""
        exposure.restart()
        for path in exposure.files:
            self.take(exposure, path)

    @staticmethod
    def is_known(exposure: Exposure, path: Path) -> bool:
        """Say whether a file of an exposure whose product is there went into it, or is a copy of one that did."""
        if not exposure.inputs:
            return False
        if path.name in exposure.inputs:
            return True
        try:
            return sha256_of(path) in exposure.inputs.values()
        except OSError:
            return True  # it is gone again

    def come_late(self, exposure: Exposure, arrival: Arrival) -> None:
        """Name a read that came too late; with ``--overwrite`` the exposure is reduced again with it."""
        if self.recipe.overwrite and exposure.stage in ("done", "failed"):
            exposure.restart()
            self.outputs.recover(exposure.stem)
            for path, on_disk in {**exposure.files, arrival.path: arrival.on_disk}.items():
                exposure.files[path] = on_disk
                self.take(exposure, path)
            exposure.touched = time.monotonic()
            self.open[exposure.key] = exposure
            return
        what = "changed" if arrival.path in exposure.files else "came"
        self.refuse(
            arrival.path,
            complaint(
                arrival.path,
                "READ_NO",
                f"a read that {what} after its ramp was closed",
                "one in time",
                "reduce the exposure again with `iris-drs reduce --overwrite` to use it",
            ),
        )

    def refuse(self, path: Path, reason: str) -> None:
        """Name a file that is not used, and say why."""
        self.refused[path] = reason
        self.unsaid[path] = reason
        logger.warning("%s", reason)

    def write_reasons(self) -> None:
        """Write down why files are not used; again later if the disk is full."""
        for path, reason in list(self.unsaid.items()):
            try:
                self.outputs.refuse(self.relative(path), reason)
            except DiskError as error:
                self.say_full(str(error))
                return
            del self.unsaid[path]

    def relative(self, path: Path) -> Path:
        """Name a file relative to the folder."""
        return path.relative_to(self.folder)

    # --- answers --------------------------------------------------------------------------------------------------

    def heed(self, answers: list[Answer]) -> None:
        """See what the workers have done."""
        lost: dict[Key, Exposure] = {}
        for answer in answers:
            exposure = self.exposures[answer.order.key]
            if answer.kind in ("died", "lost"):
                exposure.deaths += answer.kind == "died"
                lost[exposure.key] = exposure
                logger.warning("%s: %s; it is begun again", exposure.stem, answer.result)
            elif answer.order.verb == "take":
                self.heed_take(exposure, answer)
            elif answer.order.verb == "close":
                self.heed_close(exposure, answer)
            elif answer.order.verb == "reduce":
                self.heed_reduce(exposure, answer)
        for exposure in lost.values():
            self.begin_again(exposure)

    def begin_again(self, exposure: Exposure) -> None:
        """Go on after a worker died, unless exposures like this kill them."""
        self.crew.release(exposure.key)
        if exposure.stage in ("done", "failed"):
            return
        if exposure.deaths >= _MOST_DEATHS:
            got = f"{exposure.deaths} workers that died over it"
            expected = "products"
            self.fail(
                exposure,
                complaint(exposure.stem, "worker", got, expected, "look at its reads and memory"),
            )
        elif exposure.stage in ("framed", "reducing"):
            exposure.stage = "framed"
        else:
            self.take_again(exposure)

    def heed_take(self, exposure: Exposure, answer: Answer) -> None:
        """Note that a file was read, or could not be."""
        path = answer.order.details[0]
        if path not in exposure.asked:
            return  # asked for before the exposure was begun again
        exposure.asked.discard(path)
        exposure.touched = time.monotonic()
        if answer.kind == "done":
            reads, notes = answer.result
            exposure.reads.update(reads)
            self.outputs.accept(self.relative(path))
            self.refused.pop(path, None)
            for note in notes:
                logger.warning("%s", note)
        elif answer.kind == "full":
            self.postpone(exposure, answer.result)
        else:
            del exposure.files[path]
            self.intake.reject(path, answer.result)

    def heed_close(self, exposure: Exposure, answer: Answer) -> None:
        """Note that a level 1 product was made, or could not be."""
        self.crew.release(exposure.key)
        if answer.kind == "done":
            path, sha256 = answer.result
            self.settings.say(path)
            self.framed(exposure, path, sha256)
        elif answer.kind == "full":
            self.postpone(exposure, answer.result)
        elif self.outputs.has(exposure.frame_name) and not self.recipe.overwrite:
            self.framed(exposure, self.outputs.folder / exposure.frame_name, "")
        else:
            self.fail(exposure, answer.result)

    def heed_reduce(self, exposure: Exposure, answer: Answer) -> None:
        """Note that a level 2 product was made, or could not be."""
        self.crew.release(exposure.key)
        if answer.kind == "done":
            self.settings.say(answer.result)
            self.finish(exposure)
        elif answer.kind == "full":
            self.postpone(exposure, answer.result)
        elif self.outputs.has(exposure.final_name) and not self.recipe.overwrite:
            self.finish(exposure)
        else:
            self.fail(exposure, answer.result)

    def framed(self, exposure: Exposure, path: Path, sha256: str) -> None:
        """Go on from a level 1 product."""
        self.said_full = ""
        exposure.stage = "framed"
        try:
            exposure.header = {**exposure.header, **read_metadata(path)}
            self.planner.add(Frame1(path.name, exposure.header, sha256))
        except InputError as error:
            self.fail(exposure, str(error))
            return
        there = self.outputs.has(exposure.final_name) and not self.recipe.overwrite
        if not exposure.has_recipe or there:
            self.finish(exposure)

    def finish(self, exposure: Exposure) -> None:
        """Note that all products of an exposure are there."""
        exposure.stage = "done"
        self.open.pop(exposure.key, None)
        self.outputs.recover(exposure.stem)
        self.last_event = max(self.last_event, exposure.touched)

    def fail(self, exposure: Exposure, reason: str) -> None:
        """Give an exposure up, and say why."""
        logger.warning("%s", reason)
        exposure.stage = "failed"
        self.open.pop(exposure.key, None)
        self.crew.release(exposure.key)
        try:
            self.outputs.fail(exposure.stem, reason)
        except DiskError as error:
            self.say_full(str(error))

    def postpone(self, exposure: Exposure, message: str) -> None:
        """Try again later: the disk is full."""
        self.say_full(message)
        exposure.tries += 1
        pause = min(2.0 ** (exposure.tries - 1), _LONGEST_WAIT_S)
        exposure.not_before = time.monotonic() + pause
        if exposure.stage in ("framed", "reducing"):
            exposure.stage = "framed"
        else:
            self.crew.give(Order("drop", exposure.key))
            exposure.restart()

    def say_full(self, message: str) -> None:
        """Say once that the disk is full."""
        if not self.said_full:
            logger.warning("%s; waiting for room", message)
        self.said_full = message

    # --- what is next ---------------------------------------------------------------------------------------------

    def advance(self, exposure: Exposure) -> None:
        """Do what can be done for an exposure."""
        if exposure.not_before > time.monotonic():
            return
        if exposure.stage == "reading":
            if exposure.not_before and not exposure.asked and not exposure.reads:
                exposure.not_before = 0.0
                self.take_again(exposure)
            elif not exposure.files and not self.is_awaited(exposure):
                del self.open[exposure.key], self.exposures[exposure.key]
            elif not exposure.asked and (exposure.is_whole or self.is_idle(exposure)):
                self.close(exposure)
        elif exposure.stage == "framed" and not self.is_sky_coming(exposure):
            self.reduce(exposure)

    def is_idle(self, exposure: Exposure) -> bool:
        """Say whether nothing more of an exposure is coming."""
        rested = time.monotonic() - exposure.touched >= self.settings.idle
        return rested and not self.is_awaited(exposure)

    def is_awaited(self, exposure: Exposure) -> bool:
        """Say whether a file that may belong to an exposure is not whole yet."""
        names = {stem_of(path.name) for path in exposure.files}
        return any(not names or stem_of(path.name) in names for path in self.intake.moving)

    def close(self, exposure: Exposure) -> None:
        """Have the level 1 product made."""
        exposure.stage = "closing"
        names = {stem_of(path.name) for path in exposure.files}
        left_out = [item for item in self.refused.items() if stem_of(item[0].name) in names]
        self.crew.give(Order("close", exposure.key, (left_out,)))

    def is_sky_coming(self, exposure: Exposure) -> bool:
        """Say whether a sky frame from before an exposure, all of which is there, is still being made."""
        begun = exposure.header.get("MJD-OBS")
        return isinstance(begun, int | float) and any(
            other.header.get("IMTYPE") == "SKY"
            and other.key[1] == exposure.key[1]
            and other.stage in ("reading", "closing")
            and (other.stage == "closing" or other.is_whole)
            and _before(other.header.get("MJD-OBS"), begun)
            for other in self.open.values()
        )

    def reduce(self, exposure: Exposure) -> None:
        """Have the level 2 product made, from what there is by now; what that was stays written down."""
        name = exposure.frame_name
        try:
            path = self.outputs.associations / f"{Path(exposure.final_name).stem}.json"
            if self.recipe.overwrite or not path.exists():
                calibrations = chosen_for(self.outputs.blocks, exposure.key[0])
                frame = Frame1(name, exposure.header)
                made = self.planner.association(frame, calibrations)
                made.write(path, overwrite=True)
        except DiskError as error:
            self.postpone(exposure, str(error))
        except IrisError as error:
            self.fail(exposure, str(error))
        else:
            exposure.stage = "reducing"
            self.crew.give(Order("reduce", exposure.key, (path,)))

    # --- status ---------------------------------------------------------------------------------------------------

    def report(self, *, now: bool = False) -> None:
        """Write down what is waiting and running."""
        if not now and time.monotonic() < self.next_status:
            return
        self.next_status = time.monotonic() + _STATUS_S
        self.outputs.write_status(
            {
                "folder": str(self.folder),
                "pid": os.getpid(),
                "workers": self.crew.pids,
                "begun": self.begun,
                "updated": utc(),
                "remark": self.said_full,
                "moving": sorted(str(self.relative(path)) for path in self.intake.moving),
                "not_reduced": len(self.others),
                "exposures": [_told(exposure) for exposure in self.exposures.values()],
            }
        )


def _before(one: Any, other: float) -> bool:
    """Say whether a time comes before another; False where it is not known."""
    return isinstance(one, int | float) and one < other


def _told(exposure: Exposure) -> Mapping[str, Any]:
    """Say how far an exposure has come."""
    return {
        "name": exposure.stem,
        "state": exposure.state,
        "stage": exposure.stage,
        "reads": len(exposure.reads),
        "planned": exposure.planned,
    }
