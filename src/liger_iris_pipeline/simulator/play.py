"""Deliver a night read by read, as the detectors would."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

from astropy.io import fits

from ..errors import UsageError, complaint

__all__ = ["Delivery", "deliver", "timetable"]

Delivery = tuple[float, Path]
"""Seconds since the first read of the night is whole, and a read."""

LONGEST_PAUSE_S = 60.0
_MICROSECONDS = 1e6


def timetable(reads: Sequence[Path]) -> list[Delivery]:
    """Say when each read of a night is whole.

    Parameters
    ----------
    reads : sequence of Path
        L0 reads.

    Returns
    -------
    list of (float, Path)
        In the order of time, then of name: a read is whole when its last pixel has been clocked
        (READTIME + FRM_TIME). Of a longer pause, as from evening to night, `LONGEST_PAUSE_S` is kept.
    """
    ends = []
    for path in reads:
        header = fits.getheader(path)
        ends.append(((header["READTIME"] + header["FRM_TIME"]) / _MICROSECONDS, path))
    ends.sort()
    plan, due = [], 0.0
    for (before, _), (end, path) in pairwise([ends[0], *ends] if ends else []):
        due += min(end - before, LONGEST_PAUSE_S)
        plan.append((due, path))
    return plan


def deliver(
    night: Path,
    out: Path,
    *,
    speed: float,
    progress: Callable[[int, int], None] | None = None,
    sleep: Callable[[float], None] = time.sleep,
    clock: Callable[[], float] = time.monotonic,
) -> list[Path]:
    """Move a night to its folder read by read; references and truth come first.

    Parameters
    ----------
    night : Path
        Folder of a simulated night, on the file system of `out`.
    out : Path
        Where everything appears, each file whole in one instant.
    speed : float
        How many times faster than the detectors; > 0.
    progress : callable, optional
        Called with the reads delivered and the number of all.
    sleep, clock : callable
        Wait for seconds; give a time that only grows [s].

    Returns
    -------
    list of Path
        The reads where they now are, in the order of their delivery.

    Raises
    ------
    UsageError
        If the speed is not above 0.
    """
    if not speed > 0:
        raise UsageError(complaint("simulate", "--play", speed, "a number > 0", "correct it"))
    plan = timetable(sorted(night.glob("*.fits")))
    for folder in sorted(path for path in night.iterdir() if path.is_dir()):
        folder.rename(out / folder.name)
    begun, delivered = clock(), []
    for count, (due, path) in enumerate(plan):
        wait = begun + due / speed - clock()
        if wait > 0:
            sleep(wait)
        delivered.append(path.rename(out / path.name))
        if progress is not None:
            progress(count + 1, len(plan))
    night.rmdir()
    return delivered
