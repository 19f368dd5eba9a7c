"""Warm processes that do the work: none of them, dying or hanging, takes another one's work with it."""

from __future__ import annotations

import contextlib
import ctypes
import logging
import multiprocessing
import os
import signal
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any, NamedTuple

from liger_iris_pipeline.errors import DiskError, IrisError
from liger_iris_pipeline.pipelines.warm import warm_up
from liger_iris_pipeline.realtime.intake import Key
from liger_iris_pipeline.realtime.work import Recipe, Workshop

__all__ = ["Answer", "Crew", "Order"]

logger = logging.getLogger(__name__)

AHEAD = 4
"""Orders that a worker is given before it has answered the first."""
LIMIT_S = 600.0
"""A worker that has not answered an order for so long is stopped [s]."""
_PR_SET_PDEATHSIG = 1


class Order(NamedTuple):
    """Something to do for an exposure.

    Attributes
    ----------
    verb : str
        ``take`` (path), ``close`` (files left out), ``reduce`` (association), ``drop``.
    key : tuple
        The exposure.
    details : tuple
        As the verb needs.
    """

    verb: str
    key: Key
    details: tuple[Any, ...] = ()


class Answer(NamedTuple):
    """What became of an order.

    Attributes
    ----------
    order : Order
        The order.
    kind : str
        ``done``; ``bad`` (the input cannot be used), ``full`` (the disk is), ``died`` (the worker did, over it),
        ``lost`` (with the worker).
    result : object
        What was made; else a message of one line.
    seconds : float
        Time it took [s].
    """

    order: Order
    kind: str
    result: Any
    seconds: float = 0.0


@dataclass
class _Hand:
    """A worker as its foreman sees it; it keeps the references of the detectors that it has had."""

    process: Any
    pipe: Connection
    keys: set[Key] = field(default_factory=set)
    given: deque[Order] = field(default_factory=deque)
    waiting: deque[Order] = field(default_factory=deque)
    since: float = 0.0
    detectors: set[str] = field(default_factory=set)

    @property
    def load(self) -> tuple[int, int]:
        """How much it has to do: exposures, then orders."""
        return len(self.keys), len(self.given) + len(self.waiting)


class Crew:
    """The workers. All orders of an exposure go to one of them, in their order.

    Parameters
    ----------
    recipe : Recipe
        How exposures are reduced.
    count : int
        How many workers.
    prepare : callable, optional
        Called in each worker before anything else, such as to say where its messages go.
    limit : float
        A worker that does not answer for so long is stopped [s].
    """

    def __init__(
        self,
        recipe: Recipe,
        count: int,
        *,
        prepare: Callable[[], None] | None = None,
        limit: float = LIMIT_S,
    ) -> None:
        self._recipe, self._prepare, self._limit = recipe, prepare, limit
        self._context = multiprocessing.get_context("spawn")
        self._hands = [self._hire() for _ in range(count)]

    def _hire(self) -> _Hand:
        """Start a worker."""
        ours, theirs = self._context.Pipe()
        process = self._context.Process(
            target=_work, args=(theirs, self._recipe, self._prepare, os.getpid()), daemon=True
        )
        process.start()
        theirs.close()
        return _Hand(process, ours)

    @property
    def pids(self) -> list[int]:
        """Process numbers of the workers."""
        return [hand.process.pid for hand in self._hands]

    def pipes(self) -> list[Connection]:
        """Give what to wait for: readable when a worker has answered or died."""
        return [hand.pipe for hand in self._hands]

    def give(self, order: Order) -> None:
        """Pass an order to the worker that has the exposure, else to the one with the least to do.

        Parameters
        ----------
        order : Order
            What to do.
        """
        hand = next((h for h in self._hands if order.key in h.keys), None)
        if hand is None:
            detector = order.key[1]
            hand = min(self._hands, key=lambda one: (one.load, detector not in one.detectors))
            hand.detectors.add(detector)
        hand.keys.add(order.key)
        hand.waiting.append(order)
        self._pass_on(hand)

    def release(self, key: Key) -> None:
        """Let an exposure go: its next order may go to any worker."""
        for hand in self._hands:
            hand.keys.discard(key)

    def is_busy(self) -> bool:
        """Say whether there is an order that has not been answered."""
        return any(hand.given or hand.waiting for hand in self._hands)

    def answers(self) -> list[Answer]:
        """Collect what has become of orders.

        Returns
        -------
        list of Answer
            Of a worker that died, the order it was at ``died``, all others are ``lost``, and so is every exposure
            that it had without an order (``drop``).
        """
        found: list[Answer] = []
        for index, hand in enumerate(self._hands):
            try:
                while hand.pipe.poll():
                    kind, result, seconds = hand.pipe.recv()
                    found.append(Answer(hand.given.popleft(), kind, result, seconds))
                    hand.since = time.monotonic()
                self._pass_on(hand)
                if hand.given and time.monotonic() - hand.since > self._limit:
                    logger.warning("a worker has not answered for %.0f s: stopped", self._limit)
                    hand.process.kill()
            except (EOFError, OSError):
                found += self._replace(index)
        return found

    def _replace(self, index: int) -> list[Answer]:
        """Start a worker for one that died; give the orders that were lost with it."""
        hand = self._hands[index]
        hand.process.join()
        hand.pipe.close()
        self._hands[index] = self._hire()
        said = f"a worker died (exit status {hand.process.exitcode})"
        lost = [
            Answer(order, "lost" if at else "died", said)
            for at, order in enumerate((*hand.given, *hand.waiting))
        ]
        named = {answer.order.key for answer in lost}
        idle = [Answer(Order("drop", key), "lost", said) for key in hand.keys - named]
        return [*lost, *idle]

    def _pass_on(self, hand: _Hand) -> None:
        """Send a worker its next orders."""
        while hand.waiting and len(hand.given) < AHEAD:
            order = hand.waiting.popleft()
            if not hand.given:
                hand.since = time.monotonic()
            hand.given.append(order)
            with contextlib.suppress(OSError):  # it has died: `answers` finds out
                hand.pipe.send(order)

    def dismiss(self) -> None:
        """Stop all workers."""
        for hand in self._hands:
            hand.process.kill()
        for hand in self._hands:
            hand.process.join()
            hand.pipe.close()


def _work(
    pipe: Connection, recipe: Recipe, prepare: Callable[[], None] | None, parent: int
) -> None:
    """Do what is ordered until the foreman is gone."""
    _die_with(parent)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the foreman decides
    if prepare is not None:
        prepare()
    warm_up()
    workshop = Workshop(recipe)
    while True:
        try:
            order = pipe.recv()
        except EOFError:
            return
        begun = time.perf_counter()
        kind, result = _carry_out(workshop, order)
        pipe.send((kind, result, time.perf_counter() - begun))


def _carry_out(workshop: Workshop, order: Order) -> tuple[str, Any]:
    """Do one thing; whatever goes wrong is said and stops nothing else."""
    doing: dict[str, Callable[..., Any]] = {
        "take": workshop.take,
        "close": workshop.close,
        "reduce": lambda key, *details: workshop.reduce(*details),
        "drop": workshop.drop,
    }
    try:
        return "done", doing[order.verb](order.key, *order.details)
    except DiskError as error:
        return "full", str(error)
    except IrisError as error:
        return "bad", str(error)
    except MemoryError:
        raise
    except Exception as error:
        logger.debug("%s", order, exc_info=True)
        return "bad", f"{type(error).__name__}: {error}".splitlines()[0]


def _die_with(parent: int) -> None:
    """End this process when its parent ends, however that ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit(0)
