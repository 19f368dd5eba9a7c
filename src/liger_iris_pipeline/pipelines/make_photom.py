"""Photometric zero point: standard stars compared with their magnitudes.

standard frames ─ flat-fielded ─ sky off ─ photometry at known places ─ magnitudes ─► PHOTOM
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from astropy.table import Table

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.frame import (
    constant_sky,
    starting_wcs,
    subtract_sky,
    zero_point,
)
from liger_iris_pipeline.algorithms.mosaic import photometry
from liger_iris_pipeline.calibration import sha256_of
from liger_iris_pipeline.errors import ReadError, UsageError, complaint
from liger_iris_pipeline.pipelines.maker import Item
from liger_iris_pipeline.pipelines.reduced import ReducedMaker

__all__ = ["CreatePhotomPipeline"]

logger = logging.getLogger(__name__)

COLUMNS = ("ra", "dec", "filter", "mag_ab", "mag_vega", "err")
"""Columns that a table of standards must have, beside any others."""

MARGIN = 16
"""Standards nearer to the edge than this are not used: their annulus is cut off [pixel]."""


class CreatePhotomPipeline(ReducedMaker):
    """Measure the zero point of a detector and filter from standard stars."""

    class_alias = "iris_create_photom"
    reftype = "photom"
    roles = ("standard",)
    model_class = models.PhotomModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "FILTER")
    keys: ClassVar[tuple[str, ...]] = ("FILTER",)
    spec = """
        standards = string(default='')           # Table of standards (ECSV): ra dec filter mag_ab mag_vega err
        clip      = float(min=2, default=4.0)    # Threshold of the clipping of measurements
        correction_err = float(min=0, default=0.01)  # Error of the correction to infinity, common to all stars [mag]
    """

    def make(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Make the table.

        Parameters
        ----------
        items : sequence of path or model
            Level 1 frames of fields with standards.

        Returns
        -------
        dict of str to list
            One row: filter, AB and Vega magnitude of 1 e-/s, error with that of the correction to infinity.

        Raises
        ------
        UsageError
            Without a table of standards.
        InputError
            If the table cannot be used, or no standard of the filter can be measured.
        """
        header = self.header_of(items[0])
        band = str(header.get("FILTER"))
        standards = self._standards(band)
        parts = [self._measure(item, standards) for item in items]
        flux, flux_err = (np.concatenate([p[k] for p in parts]) for k in (0, 1))
        known = [
            np.concatenate([np.asarray(p[2][name], np.float64) for p in parts])
            for name in ("mag_ab", "mag_vega", "err")
        ]
        if not flux.size:
            got = f"none on {header.get('DETECTOR')} in {band}"
            remedy = "look at RA, DEC and FILTER of the exposures and of the table"
            raise ReadError(
                complaint(self.standards, "standards", got, "at least one in the field", remedy)
            )
        found = zero_point(flux, flux_err, *known, clip=self.clip)
        err = float(np.hypot(found.err, self.correction_err))
        logger.info("%s: %.4f +- %.4f AB mag in %s", header.get("DETECTOR"), found.ab, err, band)
        return {"phot_table": [(band, found.ab, found.vega, err)]}

    def get_pars(self) -> dict[str, Any]:
        """Give the parameters, of the table its name: INPUTS has its checksum."""
        return {**super().get_pars(), "standards": Path(self.standards).name}

    def record(self, model: Any, items: Sequence[Item]) -> None:
        """Write the reads, and the table of standards, into INPUTS."""
        super().record(model, items)
        path = Path(self.standards)
        model.add_inputs([(path.name, sha256_of(path), "standards")])

    def _standards(self, band: str) -> Table:
        """Read the standards of a filter."""
        if not self.standards:
            raise UsageError(
                complaint(
                    "--standards",
                    "file",
                    "nothing",
                    "a table of standard stars",
                    "name one (ECSV), or leave photom out with --types",
                )
            )
        try:
            table = Table.read(self.standards, format="ascii.ecsv")
        except (OSError, ValueError, KeyError) as error:
            raise ReadError(
                complaint(
                    self.standards,
                    "table",
                    str(error).splitlines()[0],
                    "an ECSV table",
                    "mend it or name another",
                )
            ) from error
        missing = [name for name in COLUMNS if name not in table.colnames]
        if missing:
            expected = ", ".join(COLUMNS)
            remedy = "add them"
            raise ReadError(
                complaint(self.standards, "columns", f"no {', '.join(missing)}", expected, remedy)
            )
        return table[[str(name).strip() == band for name in table["filter"]]]

    def _measure(self, item: Item, standards: Table) -> tuple[Any, Any, Table]:
        """Measure the standards on a frame: flux, its error, and their rows."""
        with self.opened(item) as model:
            header, border = model.header_mapping(), int(model.header_mapping().get("REFPIX", 0))
            frame = self.reduced(model)
        ny, nx = frame.rate.shape
        x, y = starting_wcs(header, frame.rate.shape).sky_to_pixel(
            np.asarray(standards["ra"]), np.asarray(standards["dec"])
        )
        low = border + MARGIN
        inside = (x >= low) & (y >= low) & (x <= nx - 1 - low) & (y <= ny - 1 - low)
        if not inside.any():
            return np.empty(0), np.empty(0), standards[inside]
        frame = subtract_sky(frame, constant_sky(frame))
        places = np.column_stack([y[inside], x[inside]])
        found = photometry(frame.rate, frame.variance, frame.dq, [[1.0]], places)
        return found.flux, found.flux_err, standards[inside]
