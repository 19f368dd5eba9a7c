"""The memory of a tree of processes, sampled while it works."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Self

__all__ = ["PeakMemory", "proportional_size", "tree"]


def tree(pid: int) -> list[int]:
    """List a process and all its descendants that live."""
    found, waiting = [], [pid]
    while waiting:
        found.append(waiting.pop())
        for path in Path(f"/proc/{found[-1]}/task").glob("*/children"):
            try:
                waiting += map(int, path.read_text().split())
            except OSError:  # it has just ended
                continue
    return found


def proportional_size(pid: int) -> int:
    """Return the memory of a process [bytes], pages that n processes share counted as 1/n; 0 if it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0
    return sum(1024 * int(line.split()[1]) for line in lines if line.startswith("Pss:"))


class PeakMemory:
    """Largest sum of proportional sizes over this process and its descendants, within a ``with`` block.

    Parameters
    ----------
    interval : float
        Least time between samples [s]. A sample walks the page tables, 10 ms for a process of 2 GB: there are as many
        as take a tenth of a processor.

    Attributes
    ----------
    peak : int
        Largest sum [bytes].
    samples : int
        How many were taken.
    """

    def __init__(self, interval: float = 0.05) -> None:
        self.peak, self.samples = 0, 0
        self._interval = interval
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _watch(self) -> None:
        while True:
            start = time.perf_counter()
            self.peak = max(self.peak, sum(map(proportional_size, tree(os.getpid()))))
            self.samples += 1
            spent = time.perf_counter() - start
            if self._over.wait(max(self._interval, 9 * spent)):
                return
