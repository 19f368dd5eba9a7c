"""Bad-pixel map: darks and flats say which pixels are hot, telegraph, dead or cold.

dark frames ─ rate, scatter ─┐
                             ├─ limits by the errors ─► DQ
flat frames ─ response ──────┘
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.frame import (
    BadPixelLimits,
    find_bad_pixels,
    find_telegraph,
    lamp_off,
    make_dark,
    make_flat,
)
from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.pipelines.maker import FrameMaker, Item, purpose

__all__ = ["CreateBadPixelPipeline"]


class CreateBadPixelPipeline(FrameMaker):
    """Find the bad pixels of a detector in its darks and flats."""

    class_alias = "iris_create_badpix"
    reftype = "dq"
    roles = ("dark", "flat")
    model_class = models.DQModel
    spec = """
        clip = float(min=2, default=4.0)         # Threshold of the sigma clipping
        hot  = float(min=0, default=1.0)         # Dark rate above that around from which a pixel is hot [e-/s]
        warm = float(min=0, default=0.1)         # The same for warm pixels [e-/s]
        dead = float(min=0, max=1, default=0.05) # Response relative to the pixels around below which a pixel is dead
        cold = float(min=0, max=1, default=0.5)  # The same for cold pixels
        low  = float(min=0, max=1, default=0.8)  # The same for pixels of low response
    """

    def make(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Make the map.

        Parameters
        ----------
        items : sequence of path or model
            Dark and flat frames of all filters; of the flats those of the filter with most are used.

        Returns
        -------
        dict of str to ndarray
            Flags.

        Raises
        ------
        ProductError
            If there are no darks, or no flats with light.
        """
        darks, on, off = self._parts(items)
        for got, what in ((darks, "dark frames"), (on, "flat frames with light")):
            if not got:
                raise ProductError(
                    complaint("bad pixels", what, "none", "at least one", "add some")
                )
        how: Any = {"clip": self.clip, "memory_limit": self.memory}
        with self.bands(darks) as frames:
            dark = make_dark(frames, **how)
            telegraph = find_telegraph(frames, memory_limit=self.memory)
        # a hot pixel has a response like any other
        unlit = dark._replace(dq=np.where(np.isfinite(dark.data), np.uint32(0), dark.dq))
        if off:
            with self.bands(off) as frames:
                unlit = lamp_off(frames, **how)
        with self.bands(on) as frames:
            flat = make_flat(frames, unlit, **how)
        limits = BadPixelLimits(self.hot, self.warm, self.dead, self.cold, self.low)
        return {"dq": find_bad_pixels(dark, flat, telegraph=telegraph, limits=limits)}

    def _parts(self, items: Sequence[Item]) -> tuple[list[Item], list[Item], list[Item]]:
        """Part the frames into darks, flats and flats without light, those of one filter."""
        headers = [(item, self.header_of(item)) for item in items]
        darks = [item for item, header in headers if header.get("IMTYPE") == "DARK"]
        flats = [(item, header) for item, header in headers if header.get("IMTYPE") == "FLAT"]
        count = Counter(str(h.get("FILTER")) for _, h in flats if purpose(h) != "LAMPOFF")
        chosen = min(count, key=lambda name: (-count[name], name), default="")
        kept = [(item, purpose(h)) for item, h in flats if str(h.get("FILTER")) == chosen]
        on = [item for item, kind in kept if kind != "LAMPOFF"]
        return darks, on, [item for item, kind in kept if kind == "LAMPOFF"]
