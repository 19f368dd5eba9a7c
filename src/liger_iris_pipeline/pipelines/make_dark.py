"""Master dark: dark frames become a dark rate with its glow.

dark frames ─ sigma-clipped mean ─ hot and warm pixels ─ glow ─► DARK
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.frame import make_dark, split_glow
from liger_iris_pipeline.pipelines.maker import FrameMaker, Item

__all__ = ["CreateDarkPipeline"]


class CreateDarkPipeline(FrameMaker):
    """Average dark frames into a dark rate with error, flags and glow."""

    class_alias = "iris_create_dark"
    reftype = "dark"
    roles = ("dark",)
    model_class = models.DarkModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "FILTER")
    spec = """
        clip = float(min=2, default=4.0)         # Threshold of the sigma clipping
        hot  = float(min=0, default=1.0)         # Dark rate above that around from which a pixel is hot [e-/s]
        warm = float(min=0, default=0.1)         # The same for warm pixels [e-/s]
    """

    def make(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Make the planes.

        Parameters
        ----------
        items : sequence of path or model
            Dark frames.

        Returns
        -------
        dict of str to ndarray
            Rate, error, flags and glow.
        """
        with self.bands(items) as frames:
            rate, err, dq = make_dark(
                frames, hot=self.hot, warm=self.warm, clip=self.clip, memory_limit=self.memory
            )
        return {"data": rate, "err": err, "dq": dq, "glow": split_glow(rate, dq).glow}
