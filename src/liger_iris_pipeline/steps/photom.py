"""Photometric calibration: the magnitude of one electron per second enters the header; pixels stay as they are."""

from __future__ import annotations

from typing import Any, ClassVar

from liger_iris_pipeline.steps.base import IrisStep, Skipped

__all__ = ["PhotomStep"]


class PhotomStep(IrisStep):
    """Write the zero points of the frame's detector and filter."""

    class_alias = "iris_photom"
    status = "photom"
    reference_file_types: ClassVar[list[str]] = ["photom"]

    def correct(self, model: Any) -> None:
        """Write MAGZERO (AB) and MAGZVEGA."""
        with self.optional_reference(model, "photom") as reference:
            table = reference.phot_table
            rows = [
                row for row in table if str(row["FILTER"]).strip() == model.meta.instrument.filter
            ]
        if not rows:
            raise Skipped(
                f"the photom reference has no row for filter {model.meta.instrument.filter}"
            )
        model.meta.photometry.zero_point_ab = float(rows[0]["ZPAB"])
        model.meta.photometry.zero_point_vega = float(rows[0]["ZPVEGA"])
