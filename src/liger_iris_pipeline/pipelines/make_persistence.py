"""Persistence maker: darks after light."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.ramp.averages import SIGMA_PER_MAD, clipped_mean
from liger_iris_pipeline.algorithms.ramp.persistence import (
    TAU,
    AfterGlow,
    capture_map,
    fit_persistence,
)
from liger_iris_pipeline.errors import ReadError, complaint
from liger_iris_pipeline.models.reads import RawExposure
from liger_iris_pipeline.pipelines.maker import BORDER, RawMaker, purpose
from liger_iris_pipeline.pipelines.raw_bands import RawBands

__all__ = ["CreatePersistencePipeline"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
_US = 1e6


class CreatePersistencePipeline(RawMaker):
    """Fit how much charge traps keep, for how long, and how well each pixel traps."""

    class_alias = "iris_create_persistence"
    reftype = "persistence"
    roles = ("flat", "dark")
    model_class = models.PersistenceModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "NOUTPUTS", "REFPIX")
    reference_file_types: ClassVar[list[str]] = ["gain", "linearity"]

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Take the light, the darks after it, and other darks; none if there are too few.

        Long darks are preferred, for they are taken before any light: plain ones may glow themselves.
        """
        after = [e for e in exposures if purpose(e.first.header) == "PERSISTENCE"]
        darks = [e for e in exposures if e.imtype == "DARK" and e not in after]
        long = [e for e in darks if purpose(e.first.header) == "LONG"]
        plain = long or [e for e in darks if not purpose(e.first.header)]
        lit = [e for e in after if e.imtype == "FLAT"]
        enough = len(lit) == 1 and len(after) - len(lit) >= len(TAU) and plain
        return [*after, *plain] if enough else []

    def make(self, items: Sequence[RawExposure]) -> dict[str, Any]:
        """Fit the detector on the middle rows, then every pixel, a band at a time."""
        lit = next(e for e in items if e.imtype == "FLAT")
        after = [e for e in items if purpose(e.first.header) == "PERSISTENCE"]
        glow = [e for e in after if e.imtype == "DARK"]
        plain = [e for e in items if e not in after]
        bands = RawBands(lit, self.memory_limit)
        gain = self.gain(lit)
        parts = list(bands.bands(4 * len(glow) + 2 * len(plain)))
        source = _Source(bands, self._pedestal(lit), gain, (lit, glow, plain))
        middle = parts[len(parts) // 2]
        traps = fit_persistence(*source.band(middle), bands.science[middle])
        names = {"data": "efficiency", "err": "error", "dq": "dq"}
        kinds = {"data": np.float32, "err": np.float32, "dq": np.uint32}
        planes: dict[str, Any] = {n: np.zeros(bands.shape, kind) for n, kind in kinds.items()}
        for rows in parts:
            found = capture_map(*source.band(rows), bands.science[rows], traps)
            for name, plane in planes.items():
                plane[rows] = getattr(found, names[name])
        planes["dq"][~bands.science] = BORDER
        rows_of = zip(
            range(1, len(traps.tau) + 1), traps.tau, traps.amplitude, traps.error, strict=True
        )
        return {**planes, "traps": [tuple(row) for row in rows_of]}

    def _pedestal(self, item: RawExposure) -> tuple[Any, Any] | None:
        """Load pedestal and coefficients of the linearity, if there is one."""
        planes = self.planes(item, "linearity", "pedestal", "coeffs")
        return None if planes is None else (planes[0], planes[1])


class _Source:
    """What is needed of a band: the darks after light, and the charge before them."""

    def __init__(
        self,
        bands: RawBands,
        linearity: tuple[Any, Any] | None,
        gain: Any,
        exposures: tuple[RawExposure, list[RawExposure], list[RawExposure]],
    ) -> None:
        self.bands, self.linearity, self.gain = bands, linearity, gain
        self.lit, self.glow, self.plain = exposures

    def band(self, rows: slice) -> tuple[list[AfterGlow], Float32]:
        """Give the exposures of a band, and the charge (nrow, nx) [e-]."""
        out = _clock(self.lit, -1)
        darks = [self._rate(e, rows) for e in self.plain]
        dark = np.asarray(clipped_mean(darks))
        noise = [float(np.sqrt(np.sum(_weights(e) ** 2))) for e in self.plain]
        spread = [np.median(np.abs(d - dark)) / n for d, n in zip(darks, noise, strict=True)]
        single = (
            SIGMA_PER_MAD * float(np.median(spread)) * np.sqrt(len(darks) / max(len(darks) - 1, 1))
        )
        dark_error = single * float(np.mean(noise)) / np.sqrt(len(darks))
        found = []
        for exposure in self.glow:
            rate = self._rate(exposure, rows) - dark
            begin, end = (_clock(exposure, k) - out for k in (0, -1))
            # one value for all: a weight that follows the noise of a pixel would prefer low ones
            shot = max(float(np.median(rate + dark)), 0.0) / (end - begin)
            read = single**2 * float(np.sum(_weights(exposure) ** 2))
            sigma = np.sqrt(read + dark_error**2 + shot)
            error = np.full(rate.shape, sigma, np.float32)
            found.append(AfterGlow(rate, error, begin, end))
        return found, self._charge(rows)

    def _rate(self, exposure: RawExposure, rows: slice) -> Float32:
        """Give the slope of the reads of a ramp (nrow, nx) [e-/s]: in the dark their noise is all there is."""
        slope = np.zeros((rows.stop - rows.start, self.bands.shape[1]), np.float32)
        for weight, read in zip(_weights(exposure), exposure.ramps[0], strict=True):
            slope += np.float32(weight) * self.bands.corrected(((read,),), rows)[0, 0]
        return np.asarray(slope * self.gain[rows])

    def _charge(self, rows: slice) -> Float32:
        """Give the charge that the pixels held at the last read under light (nrow, nx) [e-]."""
        ramp = self.lit.ramps[-1]
        first, last = self.bands.corrected(((ramp[0], ramp[-1]),), rows)[0]
        if self.linearity is None:
            share = ramp[-1].time / (ramp[-1].time - ramp[0].time)
            return np.asarray((last - first) * self.gain[rows] * np.float32(share))
        pedestal, coeffs = self.linearity
        x, y = last - pedestal[rows], np.zeros_like(last)
        for coefficient in coeffs[::-1, rows]:
            y = y * x + coefficient
        return np.asarray(y * self.gain[rows])


def _weights(exposure: RawExposure) -> Float64:
    """Give the weights of the reads of a ramp in its least-squares slope [1/s]."""
    times = np.array([read.time for read in exposure.ramps[0]], np.float64)
    times -= times.mean()
    return np.asarray(times / np.sum(times**2))


def _clock(exposure: RawExposure, read: int) -> float:
    """Time of a read of the last (first) ramp for read -1 (0) [s]."""
    one = exposure.ramps[read][read]
    if one.clock is None:
        raise ReadError(
            complaint(
                one.path, "RST_TIME, READTIME", "nothing", "the time of the read", "mend the header"
            )
        )
    return one.clock[1] / _US
