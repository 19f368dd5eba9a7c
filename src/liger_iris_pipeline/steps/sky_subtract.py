"""Sky background: measured from sky frames, from the other dithers or from the frame itself, and taken off."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any

from liger_iris_pipeline.algorithms.frame import (
    Sky,
    constant_sky,
    sky_from_dithers,
    sky_from_frames,
    subtract_sky,
)
from liger_iris_pipeline.errors import UsageError, complaint
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["SkySubtractStep"]

logger = logging.getLogger(__name__)


class SkySubtractStep(IrisStep):
    """Subtract the sky; its variance goes into the photon variance."""

    class_alias = "iris_sky_subtract"
    status = "sky"
    spec = """
        mode = option('auto', 'frames', 'dithers', 'constant', default='auto')  # How the sky is measured
    """

    def correct(
        self, model: Any, skies: Sequence[Frame] = (), dithers: Sequence[Frame] = ()
    ) -> None:
        """Subtract the sky from the frame.

        Parameters
        ----------
        model : ImagerFrameModel
            Flat-fielded frame.
        skies : sequence of Frame
            Flat-fielded sky frames of the same detector.
        dithers : sequence of Frame
            The other flat-fielded dithers of the same field.
        """
        frame = model.to_frame()
        sky = self._measure(frame, skies, dithers)
        model.set_frame(subtract_sky(frame, sky))
        model.meta.sky.mode = sky.mode
        model.meta.sky.level = float(sky.level)
        model.meta.sky.subtracted = True
        logger.info("%s: sky %s, %.4f e-/s", model.meta.filename, sky.mode, sky.level)

    def _measure(self, frame: Frame, skies: Sequence[Frame], dithers: Sequence[Frame]) -> Sky:
        """Measure the sky the way that was asked for, or the best that the inputs allow."""
        mode = self.mode
        if mode == "auto":
            mode = "frames" if skies else "dithers" if len(dithers) >= 2 else "constant"
        if mode == "frames":
            self._expect(len(skies), 1, "sky frames")
            return sky_from_frames(frame, list(skies))
        if mode == "dithers":
            self._expect(len(dithers), 2, "other dithers")
            return sky_from_dithers([frame, *dithers], 0)
        return constant_sky(frame)

    @staticmethod
    def _expect(got: int, least: int, what: str) -> None:
        """Refuse a mode the inputs do not allow."""
        if got < least:
            raise UsageError(
                complaint(
                    "iris_sky_subtract",
                    what,
                    got,
                    f"at least {least}",
                    "choose another mode or give the association more members",
                )
            )
