"""Raw ramps, a band of rows at a time: what the makers of detector constants work on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.ramp.reference_correct import reference_levels
from liger_iris_pipeline.models.rawfile import Read
from liger_iris_pipeline.models.reads import RawExposure

__all__ = ["RampSet", "RawBands", "same_light", "same_times"]

Float32 = npt.NDArray[np.float32]
Ramp = tuple[Read, ...]

COPIES = 5
"""Arrays of the size of the ramps that the algorithms have beside them: steps, masks, medians."""
EQUAL = 0.05
"""Light levels nearer than this part of each other are one."""


@dataclass(frozen=True)
class RampSet:
    """Ramps with the same times (and, for flats, the same light).

    Attributes
    ----------
    ramps : tuple of tuple of Read
        Equally long.
    times : ndarray (nread,) float64
        Start of the reads since the reset [s].
    signal : float
        Median counts collected from the first to the last read [DN].
    """

    ramps: tuple[Ramp, ...]
    times: npt.NDArray[np.float64] = field(compare=False)
    signal: float = 0.0


def same_times(exposures: Sequence[RawExposure]) -> list[RampSet]:
    """Sort ramps by their read times; ramps of two reads at least."""
    found: dict[tuple[float, ...], list[Ramp]] = {}
    for exposure in exposures:
        for ramp in exposure.ramps:
            found.setdefault(tuple(read.time for read in ramp), []).append(ramp)
    return [RampSet(tuple(ramps), np.array(times)) for times, ramps in found.items()]


def same_light(exposures: Sequence[RawExposure]) -> list[RampSet]:
    """Sort ramps by their read times and by their light, each set in the order of time."""
    found = []
    for one in same_times(exposures):
        sets: list[tuple[float, list[Ramp]]] = []
        for ramp in one.ramps:
            signal = _signal(ramp)
            home = next((s for s in sets if abs(s[0] - signal) <= EQUAL * abs(s[0])), None)
            if home is None:
                sets.append((signal, [ramp]))
            else:
                home[1].append(ramp)
        found += [RampSet(tuple(ramps), one.times, signal) for signal, ramps in sets]
    return found


def _signal(ramp: Ramp) -> float:
    """Median of last minus first read in the middle of the detector [DN]."""
    ny = ramp[0].shape[0]
    rows = slice(ny // 2 - min(ny // 4, 16), ny // 2 + min(ny // 4, 16))
    first, last = (read.load(rows).astype(np.float32) for read in (ramp[0], ramp[-1]))
    return float(np.median(last - first))


@dataclass
class RawBands:
    """Reads of one detector, raw or above the reference level, in bands of rows.

    Parameters
    ----------
    exposure : RawExposure
        One of the exposures, for shape, border and outputs.
    memory_limit : int
        What the ramps of a band and the arrays made of them may take [MiB].
    """

    exposure: RawExposure
    memory_limit: int = 512
    _levels: dict[Any, Float32] = field(default_factory=dict, repr=False)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (ny, nx) of a read."""
        return self.exposure.shape

    @property
    def border(self) -> int:
        """Width of the reference border [pixel]."""
        return int(self.exposure.first.header.get("REFPIX") or 0)

    @property
    def noutputs(self) -> int:
        """Vertical output stripes."""
        return int(self.exposure.first.header.get("NOUTPUTS") or 1)

    @property
    def science(self) -> npt.NDArray[np.bool_]:
        """Mask (ny, nx) of the light-sensitive pixels."""
        mask = np.zeros(self.shape, np.bool_)
        ny, nx = self.shape
        mask[self.border : ny - self.border, self.border : nx - self.border] = True
        return mask

    def bands(self, nread: int) -> Iterator[slice]:
        """Cut the rows so that `nread` reads of a band, and what is made of them, fit into memory."""
        ny, nx = self.shape
        rows = (self.memory_limit << 20) // (4 * COPIES * max(nread, 1) * nx)
        height = min(ny, max(1, rows))
        for start in range(0, ny, height):
            yield slice(start, min(start + height, ny))

    def raw(self, ramps: Sequence[Ramp], rows: slice) -> Float32:
        """Load raw counts (nramp, nread, nrow, nx) [DN]."""
        return np.array([[read.load(rows) for read in ramp] for ramp in ramps], dtype=np.float32)

    def corrected(self, ramps: Sequence[Ramp], rows: slice) -> Float32:
        """Load counts above the reference level (nramp, nread, nrow, nx) [DN]."""
        counts = self.raw(ramps, rows)
        for index, ramp in enumerate(ramps):
            for number, read in enumerate(ramp):
                counts[index, number] -= self.levels(read)
        return counts

    def levels(self, read: Read) -> Float32:
        """Give the reference levels (nx,) of a read [DN], measured once."""
        if read.key not in self._levels:
            ny, border = self.shape[0], self.border
            rows = np.concatenate([read.load(slice(0, border)), read.load(slice(ny - border, ny))])
            self._levels[read.key] = reference_levels(rows, border=border, noutputs=self.noutputs)
        return self._levels[read.key]

    def mean_level(self, ramps: Sequence[Ramp]) -> Float32:
        """Give the mean reference level (nx,) of ramps [DN]."""
        levels = [self.levels(read) for ramp in ramps for read in ramp]
        return np.asarray(np.mean(levels, axis=0), np.float32)
