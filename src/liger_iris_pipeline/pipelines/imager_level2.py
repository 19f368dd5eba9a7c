"""Imager level 2: a raw science frame becomes a reduced one.

frame ─ dq_init ─ dark_subtract ─ flat_field ─ sky_subtract ─ assign_wcs ─ photom ─► frame
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

from stpipe.datamodel import AbstractDataModel

from liger_iris_pipeline import associations
from liger_iris_pipeline.calibration import CalibrationSet, sha256_of
from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.models.provenance import foreign_rows
from liger_iris_pipeline.steps.assign_wcs import AssignWcsStep
from liger_iris_pipeline.steps.base import IrisPipeline
from liger_iris_pipeline.steps.dark_subtract import DarkSubtractStep
from liger_iris_pipeline.steps.dq_init import DQInitStep
from liger_iris_pipeline.steps.flat_field import FlatFieldStep
from liger_iris_pipeline.steps.photom import PhotomStep
from liger_iris_pipeline.steps.sky_subtract import SkySubtractStep

__all__ = ["ImagerLevel2Pipeline"]


class ImagerLevel2Pipeline(IrisPipeline):
    """Reduce one imager frame: level 1 to level 2."""

    class_alias = "iris_imager_level2"
    step_defs: ClassVar[dict[str, type]] = {
        "iris_dq_init": DQInitStep,
        "iris_dark_subtract": DarkSubtractStep,
        "iris_flat_field": FlatFieldStep,
        "iris_sky_subtract": SkySubtractStep,
        "iris_assign_wcs": AssignWcsStep,
        "iris_photom": PhotomStep,
    }

    def process(self, given: Any) -> Any:
        """Reduce a frame.

        Parameters
        ----------
        given : ImagerFrameModel or path
            A level 1 frame, or an association of one science frame with its sky frames (``sky``) or the other
            dithers of its field (``background``). Calibrations that it has fixed are used.

        Returns
        -------
        ImagerFrameModel
            Level 2 frame.
        """
        science, skies, dithers = self._members(given)
        model = self._prepared(science)
        self._detector_signature(model)
        further: list[tuple[str, ...]] = []
        backgrounds = [
            [self._background(path, model, further) for path in paths] for paths in (skies, dithers)
        ]
        model.add_calibrations(further)
        model = self.iris_sky_subtract.run(model, *backgrounds)
        model = self.iris_assign_wcs.run(model)
        model = self.iris_photom.run(model)
        model.meta.data_level = 2
        if not isinstance(science, AbstractDataModel):
            roles = (("science", [science]), ("sky", skies), ("background", dithers))
            model.inputs = None
            model.add_inputs(
                (Path(path).name, sha256_of(Path(path)), role)
                for role, paths in roles
                for path in paths
            )
        return model

    def _members(self, given: Any) -> tuple[Any, list[Path], list[Path]]:
        """Split the input into science, sky frames and other dithers."""
        if isinstance(given, AbstractDataModel) or not str(given).endswith(".json"):
            return (
                (
                    given
                    if isinstance(given, AbstractDataModel)
                    else self.make_input_path(str(given))
                ),
                [],
                [],
            )
        association = associations.load(Path(self.make_input_path(str(given))))
        if association.calibrations is not None:
            self.calibrations = CalibrationSet.from_json(association.calibrations)
        science = association.files("science")
        if len(science) != 1:
            raise ProductError(
                complaint(
                    Path(str(given)),
                    "science",
                    f"{len(science)} members",
                    "one",
                    "write one association per frame",
                )
            )
        return science[0], association.files("sky"), association.files("background")

    def _detector_signature(self, model: Any) -> None:
        """Take what the detector adds off a frame, in place."""
        self.iris_dq_init.run(model)
        self.iris_dark_subtract.run(model)
        self.iris_flat_field.run(model)

    def _background(self, path: Path, science: Any, further: list[tuple[str, ...]]) -> Frame:
        """Open a background frame and treat it as the science frame was treated, noting references of its own."""
        with self.open_model(str(path)) as model:
            self._same_setup(path, model, science)
            self.member = path.name
            try:
                self._detector_signature(model)
            finally:
                self.member = None
            further += foreign_rows(science.calibration_rows(), model.calibration_rows(), path.name)
            frame: Frame = model.to_frame()
        return frame

    @staticmethod
    def _same_setup(path: Path, model: Any, science: Any) -> None:
        """Refuse a background of another detector, filter or window."""
        pairs: Sequence[tuple[str, Any, Any]] = (
            ("DETECTOR", model.meta.instrument.detector, science.meta.instrument.detector),
            ("FILTER", model.meta.instrument.filter, science.meta.instrument.filter),
            ("shape", model.shape, science.shape),
        )
        for keyword, got, expected in pairs:
            if got != expected:
                raise ProductError(
                    complaint(path, keyword, got, expected, "take it out of the association")
                )
