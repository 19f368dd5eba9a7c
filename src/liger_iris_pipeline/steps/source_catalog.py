"""Catalogue: the sources of a mosaic, their places and fluxes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from liger_iris_pipeline.algorithms.frame import wcs_from_header
from liger_iris_pipeline.algorithms.mosaic import make_catalogue
from liger_iris_pipeline.errors import InputError, ProductError, complaint
from liger_iris_pipeline.models.provenance import parameter_hash
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["SourceCatalogStep"]

logger = logging.getLogger(__name__)


class SourceCatalogStep(IrisStep):
    """Find and measure the sources of a mosaic; the mosaic itself stays as it is."""

    class_alias = "iris_source_catalog"
    on_failure = "note"
    spec = """
        threshold = float(min=3, default=5.0)  # Signal to noise in the matched filter above which a source counts
    """

    def process(self, given: Any) -> Any:
        """Make the catalogue of a mosaic.

        Parameters
        ----------
        given : ImagerMosaicModel or path
            The mosaic.

        Returns
        -------
        astropy.table.Table or None
            Columns ``id x y ra dec flux flux_err mag_ab mag_err snr fwhm flags``; None if none could be made for a
            mosaic that stands without it.
        """
        model = self._prepared(given)
        try:
            return self._catalogue(model)
        except InputError as error:
            if self.parent is None:
                raise
            self.note_failure(error)
            return None

    def record(self, mosaic: Any) -> None:
        """Write into a mosaic how its catalogue was made, or why there is none."""
        mosaic.add_receipt(self._receipt_row(*self.outcome()))

    def _catalogue(self, model: Any) -> Any:
        """Find and measure the sources, and note in the table what it was made from."""
        wcs = wcs_from_header(model.wcs_header())
        if wcs is None:
            raise ProductError(
                complaint(str(model.meta.filename), "WCS", "none", "one", "combine anew")
            )
        zero_point = model.meta.photometry.zero_point_ab
        table = make_catalogue(
            model.to_mosaic(),
            wcs,
            zero_point=float("nan") if zero_point is None else zero_point,
            pixel_area_ratio=model.meta.photometry.pixel_area_ratio or 1.0,
            threshold=self.threshold,
        )
        row = self._receipt_row("COMPLETE", "")
        table.meta["provenance"] = {
            "mosaic": str(model.meta.filename),
            "inputs": [list(item.values()) for item in model.input_rows()],
            "step": row[0],
            "version": row[1],
            "parameters": row[2],
            "parameter_hash": parameter_hash(
                [*model.receipt_rows(), {"step": row[0], "parameters": row[2], "status": row[6]}]
            ),
        }
        logger.info("%s: %d sources", model.meta.filename, len(table))
        return table

    def save_model(self, model: Any, *args: Any, **kwargs: Any) -> Any:
        """Leave saving to :meth:`write`: a table is no model."""
        return None

    def write(self, table: Any, path: Path, *, overwrite: bool) -> Path:
        """Write a catalogue as ECSV, complete in one instant.

        Parameters
        ----------
        table : astropy.table.Table
            The catalogue.
        path : Path
            File to write.
        overwrite : bool
            Replace one that exists.

        Returns
        -------
        Path
            `path`.

        Raises
        ------
        ProductError
            If the file exists and may not be replaced.
        """
        if path.exists() and not overwrite:
            remedy = "use --overwrite or another folder"
            raise ProductError(complaint(path, "file", "one that exists", "a new name", remedy))
        partial = path.with_name(f".{path.name}.partial")
        try:
            table.write(partial, format="ascii.ecsv", overwrite=True)
            partial.replace(path)
        finally:
            partial.unlink(missing_ok=True)
        return path
