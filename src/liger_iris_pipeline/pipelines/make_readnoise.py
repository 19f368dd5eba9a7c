"""Read-noise maker: scatter of dark reads about a straight line."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.ramp.read_noise import ReadNoiseFit
from liger_iris_pipeline.models.reads import RawExposure
from liger_iris_pipeline.pipelines.maker import BORDER, RawMaker, purpose
from liger_iris_pipeline.pipelines.raw_bands import RawBands, same_times

__all__ = ["CreateReadNoisePipeline"]

SHORTEST = 3
"""Reads of a ramp that leave something of a straight line."""


class CreateReadNoisePipeline(RawMaker):
    """Measure the noise of a single read of every pixel from darks."""

    class_alias = "iris_create_readnoise"
    reftype = "readnoise"
    roles = ("dark",)
    model_class = models.ReadNoiseModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "NOUTPUTS", "REFPIX")
    reference_file_types: ClassVar[list[str]] = ["gain"]

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Take darks of three reads a ramp and more, but none after light."""
        return [
            e
            for e in exposures
            if purpose(e.first.header) in ("", "LONG") and min(map(len, e.ramps)) >= SHORTEST
        ]

    def make(self, items: Sequence[RawExposure]) -> dict[str, Any]:
        """Measure, a band at a time."""
        sets = same_times(items)
        bands = RawBands(items[0], self.memory_limit)
        gain = self.gain(items[0])
        names = {"data": "noise", "err": "error", "dq": "dq"}
        kinds = {"data": np.float32, "err": np.float32, "dq": np.uint32}
        planes = {name: np.zeros(bands.shape, kind) for name, kind in kinds.items()}
        width = bands.shape[1] // bands.noutputs
        level_pixels = bands.border * width  # of one parity, at the bottom and at the top
        for rows in bands.bands(max(len(one.ramps) * len(one.times) for one in sets)):
            fit = ReadNoiseFit()
            for one in sets:
                ramps = bands.corrected(one.ramps, rows)
                fit.add(ramps, one.times, level_pixels=level_pixels)
            found = fit.result(gain[rows])
            for name, plane in planes.items():
                plane[rows] = getattr(found, names[name])
        planes["dq"][~bands.science] |= np.uint32(BORDER)
        return planes
