"""Flat field: pixel response and illumination are divided out."""

from __future__ import annotations

from typing import Any, ClassVar

from liger_iris_pipeline.algorithms.frame import divide_flat
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["FlatFieldStep"]


class FlatFieldStep(IrisStep):
    """Divide by the flat; its error goes into the flat variance."""

    class_alias = "iris_flat_field"
    status = "flat"
    reference_file_types: ClassVar[list[str]] = ["flat"]

    def correct(self, model: Any) -> None:
        """Divide the frame by the flat reference."""
        with self.needed_reference(model, "flat") as flat:
            planes = self.cut(flat, model, "data", "err", "dq")
        model.set_frame(divide_flat(model.to_frame(), *planes))
