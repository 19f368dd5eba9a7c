"""Calibration makers: dark and flat frames become master references.

dark frames ─ sigma-clipped mean ─► dark        flat frames ─ dark off, levels to 1, mean ─► flat
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

from stpipe.datamodel import AbstractDataModel

from liger_iris_pipeline import associations, models
from liger_iris_pipeline.algorithms.frame import make_dark, make_flat, subtract_dark
from liger_iris_pipeline.calibration import exposure_date, night_start, reference_name
from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.models.provenance import Origin, inherit, origin_of
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["CreateDarkPipeline", "CreateFlatPipeline"]

COMMON = ("TELESCOP", "INSTRUME", "DETECTOR", "SUBARRAY", "SUBARRID")
"""Keywords a master takes over from its frames."""


class _Maker(IrisStep):
    """Frames of one detector to one reference."""

    role: ClassVar[str]
    model_class: ClassVar[Any]
    spec = """
        clip    = float(min=2, default=4.0)      # Threshold of the sigma clipping
        version = string(default='0001')         # REFVER of the reference
    """

    def process(self, *given: Any) -> Any:
        """Combine frames into a reference.

        Parameters
        ----------
        *given : path or model
            An association (members in the role), or level 1 frames.

        Returns
        -------
        model
            The reference.
        """
        inputs = self._inputs(given)
        frames: list[Frame] = []
        headers: list[dict[str, Any]] = []
        origins: list[Origin] = []
        for item in inputs:
            with self._opened(item) as model:
                self._expect_same(model, headers)
                headers.append(model.header_mapping())
                origins.append(origin_of(model, self.role))
                frames.append(self._prepare(model))
        reference = self.model_class.from_header(self._header(headers))
        planes = self._make(frames)
        reference.data, reference.err, reference.dq = planes.data, planes.err, planes.dq
        inherit(reference, origins)
        reference.meta.filename = reference_name(reference.header_mapping())
        return reference

    def _opened(self, item: Any) -> Any:
        return item if isinstance(item, AbstractDataModel) else self.open_model(str(item))

    def _inputs(self, given: Sequence[Any]) -> list[Any]:
        """Find the frames meant by the arguments."""
        if len(given) == 1 and str(given[0]).endswith(".json"):
            found = associations.load(Path(str(given[0]))).files(self.role)
        else:
            found = list(given)
        if not found:
            raise ProductError(
                complaint("association", self.role, "no members", "at least one", "add frames")
            )
        return found

    @staticmethod
    def _expect_same(model: Any, headers: Sequence[dict[str, Any]]) -> None:
        """Refuse frames of different detectors or filters."""
        for key in ("DETECTOR", "FILTER"):
            got = model.header_mapping().get(key)
            if headers and got != headers[0].get(key):
                where, expected = str(model.meta.filename), headers[0].get(key)
                raise ProductError(complaint(where, key, got, expected, "take it out"))

    def _header(self, headers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        """Write the header of the reference: identity, validity and selection keys."""
        header = {key: headers[0][key] for key in COMMON if headers[0].get(key) is not None}
        dates = [exposure_date(h) for h in headers]
        first = min((date for date in dates if date is not None), default=datetime.now(UTC))
        header["REFTYPE"] = self.role.upper()
        header["REFVER"] = self.version
        header["USEAFTER"] = night_start(first).strftime("%Y-%m-%dT%H:%M:%S")
        return header

    def _product_name(self, model: Any) -> str:
        return str(model.meta.filename)

    def _prepare(self, model: Any) -> Frame:
        return model.to_frame()  # type: ignore[no-any-return]

    def _make(self, frames: Sequence[Frame]) -> Any:
        raise NotImplementedError(f"{type(self).__name__} does not say what it makes")


class CreateDarkPipeline(_Maker):
    """Average dark frames into a dark rate with error and flags."""

    class_alias = "iris_create_dark"
    role = "dark"
    model_class = models.DarkModel

    def _make(self, frames: Sequence[Frame]) -> Any:
        return make_dark(frames, clip=self.clip)


class CreateFlatPipeline(_Maker):
    """Average flat frames, dark subtracted, into a response with median 1, with error and flags."""

    class_alias = "iris_create_flat"
    role = "flat"
    model_class = models.FlatModel
    reference_file_types: ClassVar[list[str]] = ["dark"]

    def _prepare(self, model: Any) -> Frame:
        with self.needed_reference(model, "dark") as dark:
            return subtract_dark(model.to_frame(), *self.cut(dark, model, "data", "err", "dq"))

    def _make(self, frames: Sequence[Frame]) -> Any:
        return make_flat(frames, clip=self.clip)

    def _header(self, headers: Sequence[dict[str, Any]]) -> dict[str, Any]:
        header = super()._header(headers)
        header["FILTER"] = headers[0].get("FILTER", "ANY")
        return header
