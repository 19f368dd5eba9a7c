"""Random streams, one per thing drawn: no file depends on the order in which files are made."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

__all__ = ["Stream", "stream"]


class Stream(IntEnum):
    """What a stream of random numbers is for; the first number of its key."""

    STARS = 1
    THROUGHPUT = 2
    DETECTOR = 3
    REFERENCE = 4
    RAMP = 5
    READ = 6
    TELEMETRY = 7
    STANDARDS = 8
    DEFECTS = 9
    TELEGRAPH = 10
    ROWS = 11


def stream(seed: int, purpose: Stream, *key: int) -> np.random.Generator:
    """Make the generator of one purpose.

    Parameters
    ----------
    seed : int
        Seed of the night, >= 0.
    purpose : Stream
        What is drawn.
    *key : int
        Which one, e.g. observation, exposure, detector, ramp and read.

    Returns
    -------
    numpy.random.Generator
        A generator independent of all others.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=(int(purpose), *key)))
