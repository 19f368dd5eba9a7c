"""Combination: frames of all dithers and detectors are drizzled onto one grid."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.mosaic import Drizzler, frame_weight, output_grid, pixel_map
from liger_iris_pipeline.calibration import sha256_of
from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["CombineStep"]

logger = logging.getLogger(__name__)

CONSTANT = ("FILTER", "OBJECT")
"""What all frames of a mosaic have in common."""


class CombineStep(IrisStep):
    """Drizzle reduced frames into a mosaic, one frame in memory at a time.

    Frames whose detectors have different zero points are brought to the mean one first, so that one MAGZERO holds
    for the whole mosaic.
    """

    class_alias = "iris_combine"
    status = "combin"
    spec = """
        pixfrac = float(min=0.01, max=1, default=1.0)  # Side of the drop relative to a native pixel
    """

    def process(self, paths: Sequence[Path]) -> Any:
        """Combine frames.

        Parameters
        ----------
        paths : sequence of Path
            Level 2 frames.

        Returns
        -------
        ImagerMosaicModel
            The mosaic.
        """
        survey = [self._survey(Path(path)) for path in paths]
        self._expect_one_kind(survey)
        grid, shape = output_grid([item["wcs"] for item in survey], [item["shape"] for item in survey])
        zero_points = np.array([item["zero_point"] for item in survey], float)
        common = float(zero_points.mean()) if np.isfinite(zero_points).all() else None
        drizzler = Drizzler(grid, shape, pixfrac=self.pixfrac)
        for item, zero_point in zip(survey, zero_points, strict=True):
            scale = 1.0 if common is None else 10.0 ** (0.4 * (common - zero_point))
            with models.open(item["path"]) as model:
                frame = model.to_frame()
            drizzler.add(frame, pixel_map(item["wcs"], item["shape"], grid), frame_weight(frame), scale=scale, flat_id=item["flat"])
        return self._mosaic_model(drizzler.finish(), grid, survey, common)

    def _survey(self, path: Path) -> dict[str, Any]:
        """Note what the grid and the weights need of a frame."""
        with models.open(path) as model:
            if model.meta.wcs is None or model.meta.data_level != 2:
                raise ProductError(complaint(path, "DATALVL", model.meta.data_level, "a level 2 frame with a WCS", "reduce it with iris_imager_level2"))
            flats = [row["sha256"] for row in model.calibration_rows() if row["role"] == "flat"]
            return {
                "path": path,
                "header": model.header_mapping(),
                "fits_header": model.primary_header(),
                "wcs": model.tan_wcs(),
                "shape": model.shape,
                "zero_point": np.nan if model.meta.photometry.zero_point_ab is None else model.meta.photometry.zero_point_ab,
                "zero_point_vega": model.meta.photometry.zero_point_vega,
                "flat": flats[0] if flats else model.meta.instrument.detector,
            }

    @staticmethod
    def _expect_one_kind(survey: Sequence[dict[str, Any]]) -> None:
        """Refuse frames that do not belong together."""
        if not survey:
            raise ProductError(complaint("association", "science", "no members", "at least one level 2 frame", "reduce the frames first"))
        first = survey[0]
        for item in survey[1:]:
            for keyword in CONSTANT:
                if item["header"].get(keyword) != first["header"].get(keyword):
                    raise ProductError(complaint(item["path"], keyword, item["header"].get(keyword), first["header"].get(keyword), "combine frames of one field and filter"))
