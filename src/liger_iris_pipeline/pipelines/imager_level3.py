"""Imager level 3: reduced frames become a mosaic and its catalogue.

frames ─ combine ─► mosaic ─ source_catalog ─► catalogue
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from liger_iris_pipeline import associations
from liger_iris_pipeline.calibration import sha256_of
from liger_iris_pipeline.models.naming import product_name
from liger_iris_pipeline.steps.base import IrisPipeline
from liger_iris_pipeline.steps.combine import CombineStep
from liger_iris_pipeline.steps.source_catalog import SourceCatalogStep

__all__ = ["ImagerLevel3Pipeline"]


class ImagerLevel3Pipeline(IrisPipeline):
    """Combine reduced frames: level 2 to level 3."""

    class_alias = "iris_imager_level3"
    step_defs: ClassVar[dict[str, type]] = {
        "iris_combine": CombineStep,
        "iris_source_catalog": SourceCatalogStep,
    }

    def process(self, *given: Any) -> Any:
        """Combine frames.

        Parameters
        ----------
        *given : path
            An association of level 2 frames (``science``), or the frames themselves.

        Returns
        -------
        ImagerMosaicModel
            The mosaic; with ``save_results`` its catalogue is written beside it.
        """
        paths = [Path(str(self.make_input_path(str(item)))) for item in given]
        name = None
        if len(paths) == 1 and paths[0].suffix == ".json":
            association = associations.load(paths[0])
            name, paths = association.products[0].name, association.files("science")
        mosaic = self.iris_combine.run(paths)
        mosaic.inputs = None
        mosaic.add_inputs((path.name, sha256_of(path), "science") for path in paths)
        mosaic.meta.filename = f"{name or product_name(mosaic.header_mapping(), 3)}.fits"
        if self.save_results and not self.iris_source_catalog.skip:
            self._write_catalogue(mosaic)
        return mosaic

    def _product_name(self, model: Any) -> str:
        return Path(self.output_file).name if self.output_file else str(model.meta.filename)

    def _write_catalogue(self, mosaic: Any) -> None:
        """Write the catalogue beside the mosaic; without one the mosaic stands all the same."""
        step = self.iris_source_catalog
        table = step.run(mosaic)
        step.record(mosaic)
        if table is None:
            return
        folder = Path(self.output_dir or Path(self.output_file or "").parent).expanduser()
        folder.mkdir(parents=True, exist_ok=True)
        stem = self._product_name(mosaic).removesuffix(".gz").removesuffix(".fits")
        step.write(table, folder / f"{stem}_cat.ecsv", overwrite=self.overwrite)
