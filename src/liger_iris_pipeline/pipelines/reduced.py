"""Base of the makers that look at the sky: frames with the detector's signature taken off.

frame ─ bad pixels ─ dark ─ flat ─► what the maker measures
"""

from __future__ import annotations

from typing import Any, ClassVar

from liger_iris_pipeline.algorithms.frame import divide_flat, flag_bad_pixels, subtract_dark
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.pipelines.maker import FrameMaker
from liger_iris_pipeline.steps.base import Skipped

__all__ = ["ReducedMaker"]


class ReducedMaker(FrameMaker):
    """Level 1 frames to a reference, by way of flat-fielded frames."""

    reference_file_types: ClassVar[list[str]] = ["dq", "dark", "flat"]

    def reduced(self, model: Any) -> Frame:
        """Take bad pixels, dark and flat into account.

        Parameters
        ----------
        model : ImagerFrameModel
            Level 1 frame; it is not changed.

        Returns
        -------
        Frame
            Flat-fielded frame. A reference that was overridden with N/A is left out, and so are
            bad pixels for which there is no reference.
        """
        frame: Frame = model.to_frame()
        try:
            with self.optional_reference(model, "dq") as reference:
                frame = flag_bad_pixels(frame, *self.cut(reference, model, "dq"))
        except Skipped:
            pass
        for reftype, correct in (("dark", subtract_dark), ("flat", divide_flat)):
            reference = self.find_reference(model, reftype)
            if reference is not None:
                with reference:
                    frame = correct(frame, *self.cut(reference, model, "data", "err", "dq"))
        return frame
