"""Coupling maker: what hot pixels give to their neighbours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.ramp.averages import SIGMA_PER_MAD
from liger_iris_pipeline.algorithms.ramp.ipc import fit_ipc_kernel
from liger_iris_pipeline.models.reads import RawExposure, is_usable_nominal
from liger_iris_pipeline.pipelines.maker import RawMaker, purpose
from liger_iris_pipeline.pipelines.raw_bands import RampSet, RawBands, same_times

__all__ = ["CreateIPCPipeline"]

Float32 = npt.NDArray[np.float32]


class CreateIPCPipeline(RawMaker):
    """Measure the kernel of the interpixel capacitance from darks."""

    class_alias = "iris_create_ipc"
    reftype = "ipc"
    roles = ("dark",)
    model_class = models.IPCModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "NOUTPUTS", "REFPIX")
    reference_file_types: ClassVar[list[str]] = ["saturation"]

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Take darks, but none after light."""
        return [e for e in exposures if purpose(e.first.header) in ("", "LONG")]

    def make(self, items: Sequence[RawExposure]) -> dict[str, Any]:
        """Fit the kernel to the dark signal of the pattern that collects most."""
        most = max(same_times(items), key=lambda one: len(one.ramps) * float(np.ptp(one.times)))
        bands = RawBands(items[0], self.memory_limit)
        signal, error, good = self._signal(bands, most, items[0])
        found = fit_ipc_kernel(signal, error, good)
        return {"kernel": found.kernel.astype(np.float32), "err": found.error.astype(np.float32)}

    def _signal(
        self, bands: RawBands, most: RampSet, item: RawExposure
    ) -> tuple[Float32, Float32, npt.NDArray[np.bool_]]:
        """Dark signal from the first to the last read, error [DN], and pixels that never filled."""
        header = item.first.header
        gain = float(header["GAIN"]) if is_usable_nominal(header, "GAIN") else 1.0
        planes = self.planes(item, "saturation", "data")
        full = np.full(bands.shape, np.iinfo(np.uint16).max) if planes is None else planes[0]
        signal, scatter = np.zeros(bands.shape, np.float32), np.zeros(bands.shape, np.float32)
        good = bands.science
        ends = [(ramp[0], ramp[-1]) for ramp in most.ramps]
        for rows in bands.bands(2 * len(ends)):
            good[rows] &= (bands.raw(ends, rows)[:, -1] < full[rows]).all(axis=0)
            steps = np.diff(bands.corrected(ends, rows), axis=1)[:, 0]
            signal[rows] = np.median(steps, axis=0)
            scatter[rows] = np.median(np.abs(steps - signal[rows]), axis=0)
        typical = SIGMA_PER_MAD * float(np.median(scatter[good]))
        variance = (typical**2 + np.maximum(signal, 0.0) / gain) * np.pi / 2  # of a median
        return signal, np.sqrt(variance / len(ends)).astype(np.float32), good
