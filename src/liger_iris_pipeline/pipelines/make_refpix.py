"""Reference-pixel maker: kernels that predict the noise of a row from the reference columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.ramp.reference_weights import fit_reference_weights
from liger_iris_pipeline.models.reads import RawExposure
from liger_iris_pipeline.pipelines.maker import RawMaker, purpose
from liger_iris_pipeline.pipelines.raw_bands import RawBands

__all__ = ["CreateRefpixPipeline"]


class CreateRefpixPipeline(RawMaker):
    """Fit the kernels of the reference columns to differences of dark reads."""

    class_alias = "iris_create_refpix"
    reftype = "refpix"
    roles = ("dark",)
    model_class = models.RefpixModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "NOUTPUTS", "REFPIX")
    reference_file_types: ClassVar[list[str]] = ["dq"]
    spec = """
        nlag = integer(min=1, default=127)  # Length of the kernels, odd; at most the rows there are
    """

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Take darks that have a reference border, but none after light."""
        return [
            e
            for e in exposures
            if purpose(e.first.header) in ("", "LONG") and e.first.header.get("REFPIX")
        ]

    def make(self, items: Sequence[RawExposure]) -> dict[str, Any]:
        """Fit, read after read."""
        bands = RawBands(items[0], self.memory_limit)
        rows = bands.shape[0] - 2 * bands.border
        nlag = min(self.nlag - 1 + self.nlag % 2, rows - 1 + rows % 2)
        planes = self.planes(items[0], "dq", "dq")
        bad = np.zeros(bands.shape, np.bool_) if planes is None else planes[0] > 0
        bad &= bands.science  # flags of the border say that it is one
        left, right = fit_reference_weights(
            _differences(items), bands.noutputs, bands.border, nlag, bad_pixels=bad
        )
        return {"left": left, "right": right}


def _differences(items: Sequence[RawExposure]) -> Iterator[npt.NDArray[np.float32]]:
    """Give differences of neighbouring reads [DN]; two reads in memory at a time."""
    for item in items:
        for ramp in item.ramps:
            for before, after in pairwise(ramp):
                yield after.load().astype(np.float32) - before.load().astype(np.float32)
