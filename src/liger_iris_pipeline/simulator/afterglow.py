"""Traps: charge that pixels keep under light and give back over an hour."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["RELEASE", "Traps"]

Float32 = npt.NDArray[np.float32]

RELEASE = (10.0, 42.0, 170.0, 720.0, 3000.0)
"""Release times of the kinds of trap [s]; each keeps an equal part of what is trapped."""


class Traps:
    """The traps of one detector through a night.

    Parameters
    ----------
    shape : tuple of int
        Shape (ny, nx) of the detector.
    part : float
        Part of a pixel's charge that all traps together keep.
    """

    def __init__(self, shape: tuple[int, int], part: float) -> None:
        self._tau = np.array(RELEASE, np.float32)[:, None, None]
        self._part = part / len(RELEASE)
        self._held = np.zeros((len(RELEASE), *shape), np.float32)
        self._time = 0.0

    def _wait(self, time: float) -> None:
        """Let traps release until a time [s]."""
        self._held *= np.exp(-(time - self._time) / self._tau)
        self._time = time

    def release(self, reset: float, begin: float, end: float) -> Float32:
        """Give the mean rate between two times since a reset.

        Parameters
        ----------
        reset : float
            Time of the reset, on the clock of the night [s]; not before the last light.
        begin, end : float
            Times since the reset [s].

        Returns
        -------
        ndarray (ny, nx) float32
            Charge released [e-/s].
        """
        first, last = (reset + t - self._time for t in (begin, end))
        lost = np.exp(-first / self._tau) - np.exp(-last / self._tau)
        return np.asarray((self._held * lost).sum(axis=0) / np.float32(end - begin))

    def expose(self, charge: Float32, time: float) -> None:
        """Trap a part of the charge (ny, nx) [e-] that the pixels hold at a time [s]."""
        self._wait(time)
        self._held += np.float32(self._part) * charge
