"""World coordinates: where the pixels of a frame lie on the sky."""

from __future__ import annotations

from typing import Any

from liger_iris_pipeline.algorithms.frame import starting_wcs
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["AssignWcsStep"]


class AssignWcsStep(IrisStep):
    """Attach the starting WCS: the header's own where it gives one, else pointing and detector layout."""

    class_alias = "iris_assign_wcs"
    status = "wcs"

    def correct(self, model: Any) -> None:
        """Attach gWCS and its FITS form to the frame."""
        model.set_wcs(starting_wcs(model.header_mapping(), model.shape))
