"""Base of the makers that look at the sky: frames with the detector's signature taken off.

frame ─ bad pixels ─ dark ─ flat ─► what the maker measures
"""

from __future__ import annotations

from typing import Any, ClassVar, NamedTuple

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame import divide_flat, flag_bad_pixels, subtract_dark
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.pipelines.maker import FrameMaker
from liger_iris_pipeline.steps.base import Skipped

__all__ = ["Reduced", "ReducedMaker"]


class Reduced(NamedTuple):
    """A flat-fielded frame, and what it has in common with all frames reduced by the same references.

    Attributes
    ----------
    frame : Frame
        The frame; its variances are its own alone.
    dark_err : ndarray (ny, nx) float64
        Error of the dark that was subtracted, divided by the flat [e-/s].
    flat_err : ndarray (ny, nx) float64
        Relative error of the flat.
    """

    frame: Frame
    dark_err: npt.NDArray[np.float64]
    flat_err: npt.NDArray[np.float64]


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
            Flat-fielded frame, the errors of dark and flat in its variances. A reference that was overridden with N/A
            is left out, and so are bad pixels for which there is no reference.
        """
        frame = self._flagged(model)
        for reftype, correct in (("dark", subtract_dark), ("flat", divide_flat)):
            planes = self._planes(model, reftype)
            if planes is not None:
                frame = correct(frame, *planes)
        return frame

    def reduced_apart(self, model: Any) -> Reduced:
        """Do the same, with what frames have in common kept apart: it does not average down.

        Parameters
        ----------
        model : ImagerFrameModel
            Level 1 frame; it is not changed.

        Returns
        -------
        Reduced
            Flat-fielded frame; errors of dark and flat.
        """
        frame = self._flagged(model)
        dark_err, flat_err = np.zeros((2, *frame.rate.shape))
        dark, flat = self._planes(model, "dark"), self._planes(model, "flat")
        if dark is not None:
            rate, err, dq = dark
            frame = subtract_dark(frame, rate, np.where(np.isfinite(err), 0.0, err), dq)
            dark_err = np.asarray(err, np.float64)
        if flat is not None:
            response, err, dq = flat
            frame = divide_flat(frame, response, np.where(np.isfinite(err), 0.0, err), dq)
            with np.errstate(divide="ignore", invalid="ignore"):
                dark_err, flat_err = dark_err / response, err / np.asarray(response, np.float64)
        return Reduced(frame, dark_err, flat_err)

    def _flagged(self, model: Any) -> Frame:
        """Give the frame with the flags of known bad pixels."""
        frame: Frame = model.to_frame()
        try:
            with self.optional_reference(model, "dq") as reference:
                return flag_bad_pixels(frame, *self.cut(reference, model, "dq"))
        except Skipped:
            return frame

    def _planes(self, model: Any, reftype: str) -> list[Any] | None:
        """Give value, error and flags of a reference; None on request."""
        reference = self.find_reference(model, reftype)
        if reference is None:
            return None
        with reference:
            return [np.array(p) for p in self.cut(reference, model, "data", "err", "dq")]
