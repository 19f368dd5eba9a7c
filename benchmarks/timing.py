"""Time contenders in turn, in one run.

On a shared machine absolute seconds move by factors within minutes; what stays is the ratio of two
contenders that were run in turn, each by the least of its times.
"""

from __future__ import annotations

import ctypes
import dataclasses
import gc
import time
from collections.abc import Callable, Mapping
from typing import Any

__all__ = ["Contender", "Timing", "alternate", "vet"]


def _nothing() -> None:
    return None


def _no_complaint(_result: Any) -> str | None:
    return None


@dataclasses.dataclass(frozen=True)
class Contender:
    """One way of doing something.

    Attributes
    ----------
    run : callable
        Takes what `prepare` gives, is timed, returns its result.
    prepare : callable
        Makes what `run` takes, outside the clock: fresh copies for a peer that writes to its arguments.
    check : callable
        Takes the result, returns a complaint or None; a contender with a complaint is not timed.
    work : float
        Pixels times reads of one run, so that contenders of different size can be compared.
    """

    run: Callable[[Any], Any]
    prepare: Callable[[], Any] = _nothing
    check: Callable[[Any], str | None] = _no_complaint
    work: float = 1.0


@dataclasses.dataclass(frozen=True)
class Timing:
    """Least seconds over the runs of one contender.

    Attributes
    ----------
    cpu : float
        Processor time of all threads [s].
    wall : float
        Wall-clock time [s].
    work : float
        As in :class:`Contender`.
    """

    cpu: float
    wall: float
    work: float = 1.0

    @property
    def unit_cost(self) -> float:
        """Processor time per pixel and read [ns]."""
        return self.cpu / self.work * 1e9


def vet(contenders: Mapping[str, Contender]) -> tuple[dict[str, Contender], dict[str, str]]:
    """Run each contender once and check its answer.

    Parameters
    ----------
    contenders : mapping of str to Contender
        Candidates by name.

    Returns
    -------
    good : dict of str to Contender
        Those that ran and whose answer is right.
    complaints : dict of str to str
        Why the others are out.
    """
    good: dict[str, Contender] = {}
    complaints: dict[str, str] = {}
    for name, contender in contenders.items():
        try:
            complaint = contender.check(contender.run(contender.prepare()))
        except Exception as error:  # whatever a peer raises, the others are still timed
            complaint = f"not available: {type(error).__name__}: {error}"
        if complaint is None:
            good[name] = contender
        else:
            complaints[name] = complaint
    return good, complaints


def alternate(
    contenders: Mapping[str, Contender], runs: int, *, fresh_memory: bool = False
) -> dict[str, Timing]:
    """Time all contenders in turn, `runs` times.

    Parameters
    ----------
    contenders : mapping of str to Contender
        Contenders by name.
    runs : int
        Number of rounds.
    fresh_memory : bool
        Let every run begin without free pages of its process, so that each page of its arrays is touched for
        the first time, as those of a full detector always are. Otherwise that depends on what ran before.

    Returns
    -------
    dict of str to Timing
        The least times of each.
    """
    best = {name: (float("inf"), float("inf")) for name in contenders}
    gc.collect()
    gc.disable()
    try:
        for _ in range(runs):
            for name, contender in contenders.items():
                if fresh_memory:
                    _give_back_free_memory()
                cpu, wall = _time_once(contender)
                best[name] = min(best[name][0], cpu), min(best[name][1], wall)
    finally:
        gc.enable()
    return {name: Timing(*best[name], contender.work) for name, contender in contenders.items()}


def _give_back_free_memory() -> None:
    """Return free pages to the system, so that what is allocated next is fresh."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


def _time_once(contender: Contender) -> tuple[float, float]:
    given = contender.prepare()
    wall, cpu = time.perf_counter(), time.process_time()
    result = contender.run(given)
    times = time.process_time() - cpu, time.perf_counter() - wall
    del result
    return times
