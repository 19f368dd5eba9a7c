"""Frames and mosaics."""

from __future__ import annotations

from typing import Any, ClassVar

from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.kinds import Frame, Mosaic
from liger_iris_pipeline.models.base import IrisDataModel
from liger_iris_pipeline.models.keywords import Plane
from liger_iris_pipeline.models.merging import column_name
from liger_iris_pipeline.models.resources import SCHEMA_PREFIX

__all__ = ["FrameModel", "IFSFrameModel", "ImagerFrameModel", "ImagerMosaicModel"]

RATE, VARIANCE = "electron/s", "electron2/s2"
_ERR_DUE = "err_due"
"""Where the frame waits whose ERR is not computed yet: in the content of a model, so that copies and models that share
it have it too. Never written."""
_RATE_UNITS = {
    "SCI": RATE,
    "ERR": RATE,
    "VAR_POISSON": VARIANCE,
    "VAR_RNOISE": VARIANCE,
    "VAR_FLAT": VARIANCE,
}


class _RateModel(IrisDataModel):
    """A rate with its variances by origin, and a table of what varies between its inputs."""

    units: ClassVar[dict[str, str]] = _RATE_UNITS
    mirrored: ClassVar[tuple[str, ...]] = ("SKYMODE", "MAGZERO", "MAGZVEGA", "PIXAR_R")

    def _prepare_table(self, plane: Plane, table: Any) -> None:
        """Name the units of columns that are keywords."""
        super()._prepare_table(plane, table)
        if plane.hdu not in ("TELEMETRY", "MEMBERS"):
            return
        units = {column_name(keyword.name): keyword.unit for keyword in self.keywords()}
        units["seconds"] = "s"
        for column in table.columns:
            unit = units.get(column.name, "")
            if unit and column.unit is None:
                column.unit = unit

    def _demand(self, *attributes: str) -> None:
        """Refuse a model without planes that are needed."""
        hdus = {plane.attribute: plane.hdu for plane in self.planes()}
        for attribute in attributes:
            if getattr(self, attribute) is None:
                where = self.meta.filename or type(self).__name__
                raise ProductError(
                    complaint(
                        where, hdus[attribute], "nothing", "a plane", "reduce the exposure anew"
                    )
                )


class FrameModel(_RateModel):
    """Rate image of one detector, level 1 or 2."""

    schema_url = f"{SCHEMA_PREFIX}frame.schema"

    def to_frame(self) -> Frame:
        """Give the planes as a frame.

        Returns
        -------
        Frame
            Its arrays are those of the model, not copies.

        Raises
        ------
        ProductError
            If SCI, DQ, VAR_POISSON or VAR_RNOISE is absent.
        """
        self._demand("data", "dq", "var_poisson", "var_rnoise")
        return Frame(self.data, self.var_rnoise, self.var_poisson, self.dq, self.var_flat)

    def set_frame(self, frame: Frame) -> None:
        """Take the planes of a frame; ERR is the root of the sum of its variances.

        ERR is computed when it is asked for or written: of the frames that steps hand on, most are
        replaced before.

        Parameters
        ----------
        frame : Frame
            Its arrays become those of the model, not copies.
        """
        self.data = frame.rate
        self.err = None
        self.dq = frame.dq
        self.var_poisson = frame.var_photon
        self.var_rnoise = frame.var_read
        self.var_flat = frame.var_flat
        self._instance[_ERR_DUE] = frame

    def __getattr__(self, attribute: str) -> Any:
        if attribute == "err":
            self._settle()
        return super().__getattr__(attribute)

    def validate(self) -> None:
        """Compare the content with the schema, with ERR computed."""
        self._settle()
        super().validate()

    def on_save(self, path: Any = None) -> None:
        """Write name, class and date into the metadata, and compute ERR if that was put off."""
        self._settle()
        super().on_save(path)

    def _settle(self) -> None:
        """Compute ERR of the frame set last, if that was put off and nobody set it since."""
        frame: Frame | None = self._instance.pop(_ERR_DUE, None)
        if frame is not None and self._instance["err"] is None:
            self._instance["err"] = frame.error


class ImagerFrameModel(FrameModel):
    """Rate image of one imager detector, level 1 or 2."""


class IFSFrameModel(FrameModel):
    """Rate image of the detector of the integral field spectrograph, level 1."""


class ImagerMosaicModel(_RateModel):
    """Frames of several dithers and detectors on one grid, level 3."""

    schema_url = f"{SCHEMA_PREFIX}imager_mosaic.schema"
    units: ClassVar[dict[str, str]] = {**_RATE_UNITS, "WHT": "s2/electron2"}

    def to_mosaic(self) -> Mosaic:
        """Give the planes as a mosaic.

        Returns
        -------
        Mosaic
            Its arrays are those of the model, not copies.

        Raises
        ------
        ProductError
            If a plane is absent.
        """
        planes = (
            "data",
            "var_rnoise",
            "var_poisson",
            "var_flat",
            "dq",
            "weight",
            "context",
            "noise_kernel",
        )
        self._demand(*planes)
        return Mosaic(*(getattr(self, name) for name in planes))

    def set_mosaic(self, mosaic: Mosaic) -> None:
        """Take the planes of a mosaic; ERR is the root of the sum of its variances.

        Parameters
        ----------
        mosaic : Mosaic
            Its arrays become those of the model, not copies.
        """
        self.data = mosaic.flux
        self.err = mosaic.error
        self.dq = mosaic.dq
        self.var_poisson = mosaic.var_photon
        self.var_rnoise = mosaic.var_read
        self.var_flat = mosaic.var_flat
        self.weight = mosaic.weight
        self.context = mosaic.coverage
        self.noise_kernel = mosaic.noise_kernel
