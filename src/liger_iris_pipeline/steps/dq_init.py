"""Bad pixels: the reference's flags enter the frame."""

from __future__ import annotations

from typing import Any, ClassVar

from liger_iris_pipeline.algorithms.frame import flag_bad_pixels
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["DQInitStep"]


class DQInitStep(IrisStep):
    """OR the bad-pixel reference into the frame's DQ plane."""

    class_alias = "iris_dq_init"
    status = "dqinit"
    reference_file_types: ClassVar[list[str]] = ["dq"]

    def correct(self, model: Any) -> None:
        """Flag the pixels of the DQ reference."""
        with self.optional_reference(model, "dq") as reference:
            (flags,) = self.cut(reference, model, "dq")
        model.set_frame(flag_bad_pixels(model.to_frame(), flags))
