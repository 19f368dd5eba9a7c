"""Dark current: the reference rate is taken off."""

from __future__ import annotations

from typing import Any, ClassVar

from liger_iris_pipeline.algorithms.frame import subtract_dark
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["DarkSubtractStep"]


class DarkSubtractStep(IrisStep):
    """Subtract the dark rate; its error goes into the read-noise variance."""

    class_alias = "iris_dark_subtract"
    status = "dark"
    reference_file_types: ClassVar[list[str]] = ["dark"]

    def correct(self, model: Any) -> None:
        """Subtract the dark reference from the frame."""
        with self.needed_reference(model, "dark") as dark:
            planes = self.cut(dark, model, "data", "err", "dq")
        model.set_frame(subtract_dark(model.to_frame(), *planes))
