"""Master flat: flat frames become a response with its pixel and illumination parts.

lamp on ─ less lamp off, else less dark ─ levels to 1 ─ sigma-clipped mean ─ dead and cold pixels ─► FLAT
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.frame import BadPixelLimits, lamp_off, make_flat, split_flat
from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.pipelines.maker import FrameMaker, Item, purpose

__all__ = ["CreateFlatPipeline"]


class CreateFlatPipeline(FrameMaker):
    """Average flat frames, lamp off or dark subtracted, into a response with median 1."""

    class_alias = "iris_create_flat"
    reftype = "flat"
    roles = ("flat",)
    model_class = models.FlatModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "FILTER")
    keys: ClassVar[tuple[str, ...]] = ("FILTER",)
    reference_file_types: ClassVar[list[str]] = ["dark"]
    spec = """
        clip = float(min=2, default=4.0)         # Threshold of the sigma clipping
        dead = float(min=0, max=1, default=0.05) # Response relative to the pixels around below which a pixel is dead
        cold = float(min=0, max=1, default=0.5)  # The same for cold pixels
        low  = float(min=0, max=1, default=0.8)  # The same for pixels of low response
    """

    def make(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Make the planes.

        Parameters
        ----------
        items : sequence of path or model
            Flat frames; those with CALTYPE LAMPOFF are without light.

        Returns
        -------
        dict of str to ndarray
            Response, error and flags; pixel and illumination part.

        Raises
        ------
        ProductError
            If all are without light.
        """
        off = [item for item in items if purpose(self.header_of(item)) == "LAMPOFF"]
        on = [item for item in items if item not in off]
        if not on:
            raise ProductError(
                complaint("flat", "CALTYPE", "LAMPOFF only", "flats with light", "add some")
            )
        limits = BadPixelLimits(dead=self.dead, cold=self.cold, low=self.low)
        with self.bands(on) as frames:
            flat = make_flat(
                frames,
                self._unlit(on[0], off),
                limits=limits,
                clip=self.clip,
                memory_limit=self.memory,
            )
        pixel, illumination = split_flat(flat.data, flat.dq)
        return {
            "data": flat.data,
            "err": flat.err,
            "dq": flat.dq,
            "pixel": pixel,
            "illumination": illumination,
        }

    def _unlit(self, first: Item, off: Sequence[Item]) -> Any:
        """Give what is not the lamp's: from frames without it, else the dark; None on request."""
        if off:
            with self.bands(off) as frames:
                return lamp_off(frames, clip=self.clip, memory_limit=self.memory)
        with self.opened(first) as model:
            dark = self.find_reference(model, "dark")
            if dark is None:
                return None
            with dark:
                return self.cut(dark, model, "data", "err", "dq")
