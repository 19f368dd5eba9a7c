"""Raw reads whose truth is known, made without any code of what is tested.

A read is what a detector gives: charge that arrived by Poisson's law in every interval between reads, Gaussian
noise of the read itself, a pedestal, and rounding to whole counts.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["SATURATION", "Detector", "Hits", "brightest", "ramp", "spacing"]

SATURATION = 65535
"""Highest count of a 16-bit converter [DN]."""

LONGEST = 10.0
"""Longest spacing of reads that is simulated [s]."""


@dataclass(frozen=True)
class Detector:
    """A detector without defects.

    Attributes
    ----------
    gain : float
        Gain [e-/DN].
    white_noise : float
        Gaussian noise of one read before it is digitised [e- rms].
    pedestal : float
        Level of no charge [DN]; every pixel adds a fraction of a count of its own to it.
    """

    gain: float = 1.0
    white_noise: float = 9.0
    pedestal: float = 2000.0

    @property
    def read_noise(self) -> float:
        """Noise of one read as a noise reference has it, rounding (1/12 DN^2) included [e- rms]."""
        return float(np.hypot(self.white_noise, self.gain / np.sqrt(12.0)))


@dataclass(frozen=True)
class Hits:
    """One hit in each of some pixels.

    Attributes
    ----------
    read : ndarray (ny, nx) int
        First read, counted from 0, that contains it; -1 where there is none.
    charge : ndarray (ny, nx) float
        Charge [e-].
    """

    read: npt.NDArray[np.int64]
    charge: npt.NDArray[np.float64]


def brightest(detector: Detector) -> float:
    """Give the mean charge at which a read, its noise included, stays below 80 % of saturation [e-].

    The mean may reach 75 %: at any gain above 0.05 e-/DN the other 5 % are more than 5 sigma of its noise.
    """
    return float(detector.gain * (0.75 * SATURATION - detector.pedestal))


def spacing(detector: Detector, rate: float, nread: int) -> float:
    """Give the spacing of reads that are `nread` times as long: the last stays below 80 % of saturation.

    Parameters
    ----------
    detector : Detector
        The detector.
    rate : float
        Rate [e-/s].
    nread : int
        Number of reads, the first one spacing after the reset.

    Returns
    -------
    float
        Spacing [s], at most `LONGEST`.
    """
    return float(min(LONGEST, brightest(detector) / (rate * nread)))


def ramp(
    rng: np.random.Generator,
    detector: Detector,
    rate: float | npt.NDArray[np.float64],
    times: npt.NDArray[np.float64],
    shape: tuple[int, int],
    hits: Hits | None = None,
) -> npt.NDArray[np.uint16]:
    """Make the reads of one ramp.

    Parameters
    ----------
    rng : Generator
        Random numbers.
    detector : Detector
        The detector.
    rate : float or ndarray (ny, nx)
        Rate [e-/s].
    times : ndarray (nread,)
        Times of the reads after the reset [s].
    shape : tuple of int
        (ny, nx).
    hits : Hits, optional
        Hits to add.

    Returns
    -------
    ndarray (nread, ny, nx) uint16
        Raw counts [DN].
    """
    reads = np.empty((len(times), *shape), np.uint16)
    charge = (detector.pedestal + rng.random(shape)) * detector.gain
    for number, interval in enumerate(np.diff(times, prepend=0.0)):
        charge += rng.poisson(rate * interval, shape)
        if hits is not None:
            charge += np.where(hits.read == number, hits.charge, 0.0)
        noisy = charge + detector.white_noise * rng.standard_normal(shape, dtype=np.float32)
        reads[number] = np.clip(np.rint(noisy / detector.gain), 0, SATURATION)
    return reads
