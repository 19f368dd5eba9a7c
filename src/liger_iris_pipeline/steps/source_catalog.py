"""Catalogue: the sources of a mosaic, their places and fluxes."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

from liger_iris_pipeline.algorithms.frame import wcs_from_header
from liger_iris_pipeline.algorithms.mosaic import make_catalogue
from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["SourceCatalogStep"]

logger = logging.getLogger(__name__)


class SourceCatalogStep(IrisStep):
    """Find and measure the sources of a mosaic; the mosaic itself stays as it is."""

    class_alias = "iris_source_catalog"
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
        astropy.table.Table
            Columns ``id x y ra dec flux flux_err mag_ab mag_err snr fwhm flags``.
        """
        model = self._prepared(given)
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
