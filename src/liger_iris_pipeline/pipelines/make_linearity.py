"""Linearity maker: flat ramps of a constant lamp grow in proportion to time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.ramp.linearity import Linearity, LinearityFit
from liger_iris_pipeline.models.reads import RawExposure, is_usable_nominal
from liger_iris_pipeline.pipelines.maker import BORDER, RawMaker, purpose
from liger_iris_pipeline.pipelines.raw_bands import RampSet, RawBands, same_light, same_times

__all__ = ["CreateLinearityPipeline"]

Float32 = npt.NDArray[np.float32]
FULL_SCALE = 65535.0


class CreateLinearityPipeline(RawMaker):
    """Fit the polynomial that makes counts linear, its limit and the pedestal."""

    class_alias = "iris_create_linearity"
    reftype = "linearity"
    roles = ("flat", "dark")
    model_class = models.LinearityModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "NOUTPUTS", "REFPIX")
    reference_file_types: ClassVar[list[str]] = ["saturation"]

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Take the ramps for linearity, and the plain darks for the pedestal."""
        flats = [e for e in exposures if purpose(e.first.header) == "LINEARITY"]
        darks = [e for e in exposures if e.imtype == "DARK" and not purpose(e.first.header)]
        return [*flats, *darks] if flats else []

    def make(self, items: Sequence[RawExposure]) -> dict[str, Any]:
        """Fit, a band at a time."""
        lit = same_light([e for e in items if e.imtype == "FLAT"])
        dark = same_times([e for e in items if e.imtype == "DARK"])
        bands = RawBands(items[0], self.memory_limit)
        saturation = self._saturation(items[0])
        nread = max(len(one.ramps) * len(one.times) for one in (*lit, *dark))
        ny, nx = bands.shape
        planes = {
            "coeffs": np.zeros((4, ny, nx), np.float32),
            "limit": np.zeros((ny, nx), np.float32),
            "pedestal": np.zeros((ny, nx), np.float32),
            "dq": np.zeros((ny, nx), np.uint32),
        }
        for rows in bands.bands(nread):
            found = self._band(bands, rows, saturation[rows], (lit, dark))
            for name, plane in planes.items():
                plane[..., rows, :] = getattr(found, name)
        border = ~bands.science
        planes["coeffs"][2:, border] = 0.0
        planes["limit"][border], planes["pedestal"][border] = FULL_SCALE, 0.0
        planes["dq"][border] = BORDER
        return planes

    @staticmethod
    def _band(
        bands: RawBands,
        rows: slice,
        saturation: Float32,
        sets: tuple[Sequence[RampSet], Sequence[RampSet]],
    ) -> Linearity:
        """Fit the pixels of a band."""
        lit, dark = sets
        every = [ramp for one in lit for ramp in one.ramps]
        fit = LinearityFit(saturation - bands.mean_level(every), bands.noutputs)
        for one in lit:
            raw = bands.raw(one.ramps, rows)
            usable = np.logical_and.accumulate(raw < saturation, axis=1)
            fit.add(bands.corrected(one.ramps, rows), usable, one.times)
        for one in dark:
            fit.add_dark(bands.corrected(one.ramps, rows), one.times)
        return fit.result()

    def _saturation(self, item: RawExposure) -> Float32:
        """Load the saturation level (ny, nx) [DN]; the header's for all pixels where there is none."""
        planes = self.planes(item, "saturation", "data")
        if planes is not None:
            return np.asarray(planes[0], np.float32)
        header = item.first.header
        level = float(header["SATURATE"]) if is_usable_nominal(header, "SATURATE") else FULL_SCALE
        return np.full(item.shape, level, np.float32)
