"""Photometric calibration: the magnitude of one electron per second enters the header; pixels stay as they are."""

from __future__ import annotations

import math
from typing import Any, ClassVar

from liger_iris_pipeline.errors import ReferenceFileError, complaint
from liger_iris_pipeline.steps.base import IrisStep, Skipped

__all__ = ["PhotomStep"]


class PhotomStep(IrisStep):
    """Write the zero points of the frame's detector and filter."""

    class_alias = "iris_photom"
    status = "photom"
    on_failure = "note"
    reference_file_types: ClassVar[list[str]] = ["photom"]

    def correct(self, model: Any) -> None:
        """Write MAGZERO (AB) and MAGZVEGA."""
        with self.optional_reference(model, "photom") as reference:
            name, table = str(reference.meta.filename), reference.phot_table
            rows = [
                row for row in table if str(row["FILTER"]).strip() == model.meta.instrument.filter
            ]
        if not rows:
            raise Skipped(
                f"the photom reference has no row for filter {model.meta.instrument.filter}"
            )
        zero_points = {key: float(rows[0][key]) for key in ("ZPAB", "ZPVEGA")}
        for key, value in zero_points.items():
            if not math.isfinite(value):
                raise ReferenceFileError(
                    complaint(name, key, value, "a magnitude", "mend the table or choose another")
                )
        model.meta.photometry.zero_point_ab = zero_points["ZPAB"]
        model.meta.photometry.zero_point_vega = zero_points["ZPVEGA"]
