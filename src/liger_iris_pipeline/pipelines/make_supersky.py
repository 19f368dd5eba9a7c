"""Supersky: flat-fielded frames without their sources become the pattern of the sky.

frames ─ flat-fielded ─ sources masked ─ levels to 1 ─ sigma-clipped mean ─ smooth ─► SUPERSKY
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import numpy as np

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.frame import empty_sky, make_supersky
from liger_iris_pipeline.models.bands import ScratchBands
from liger_iris_pipeline.pipelines.maker import Item
from liger_iris_pipeline.pipelines.reduced import ReducedMaker

__all__ = ["CreateSuperskyPipeline"]


class CreateSuperskyPipeline(ReducedMaker):
    """Combine frames of the sky, or dithers without their sources, into its pattern."""

    class_alias = "iris_create_supersky"
    reftype = "supersky"
    roles = ("sky", "science", "background")
    model_class = models.SuperskyModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "FILTER")
    keys: ClassVar[tuple[str, ...]] = ("FILTER",)
    spec = """
        clip = float(min=2, default=4.0)         # Threshold of the sigma clipping
    """

    def make(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Make the planes.

        Parameters
        ----------
        items : sequence of path or model
            Level 1 frames, three at least.

        Returns
        -------
        dict of str to ndarray
            Pattern, error and flags.
        """
        levels = []
        with ScratchBands() as skies:
            for item in items:
                with self.opened(item) as model:
                    reduced = self.reduced_apart(model)
                frame, level = empty_sky(reduced.frame)
                skies.add(frame)
                levels.append(level)
            common = np.hypot(reduced.dark_err * np.mean(1.0 / np.array(levels)), reduced.flat_err)
            made = make_supersky(
                skies, levels, common=common, clip=self.clip, memory_limit=self.memory
            )
        return {"data": made.data, "err": made.err, "dq": made.dq}
