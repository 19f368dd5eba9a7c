"""Saturation maker: the level at which counts of flat ramps stop rising."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.ramp.saturation import saturation_level
from liger_iris_pipeline.models.reads import RawExposure
from liger_iris_pipeline.pipelines.maker import BORDER, RawMaker, purpose
from liger_iris_pipeline.pipelines.raw_bands import RawBands, same_light

__all__ = ["CreateSaturationPipeline"]


class CreateSaturationPipeline(RawMaker):
    """Find the raw level at which each pixel is full, from ramps beyond full well."""

    class_alias = "iris_create_saturation"
    reftype = "saturation"
    roles = ("flat",)
    model_class = models.SaturationModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "NOUTPUTS", "REFPIX")
    spec = """
        margin = float(min=0, default=5.0)  # Distance below the plateau [sigma of a read]
    """

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Take the ramps for linearity, which go beyond full well."""
        return [e for e in exposures if purpose(e.first.header) == "LINEARITY"]

    def make(self, items: Sequence[RawExposure]) -> dict[str, Any]:
        """Find the levels, a band at a time, in the brightest ramps."""
        brightest = max(same_light(items), key=lambda one: one.signal / one.times[-1])
        bands = RawBands(items[0], self.memory_limit)
        level, dq = np.zeros(bands.shape, np.float32), np.zeros(bands.shape, np.uint32)
        nread = len(brightest.ramps) * len(brightest.times)
        for rows in bands.bands(nread):
            found = saturation_level(
                bands.raw(brightest.ramps, rows),
                noutputs=bands.noutputs,
                margin=self.margin,
                sensitive=bands.science[rows],
            )
            level[rows], dq[rows] = found.level, found.dq
        border = ~bands.science
        level[border], dq[border] = np.iinfo(np.uint16).max, BORDER
        return {"data": level, "dq": dq}
