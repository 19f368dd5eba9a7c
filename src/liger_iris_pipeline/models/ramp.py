"""Raw reads: on disk the image lies in the PRIMARY HDU, as the detector controller writes it."""

from __future__ import annotations

from typing import ClassVar

from astropy.io import fits

from liger_iris_pipeline.models.base import IrisDataModel
from liger_iris_pipeline.models.resources import SCHEMA_PREFIX

__all__ = ["RampReadModel"]


class RampReadModel(IrisDataModel):
    """One read (ny, nx), or the reads of a ramp (nread, ny, nx) with their TIMES, level 0."""

    schema_url = f"{SCHEMA_PREFIX}ramp_read.schema"
    required: ClassVar[tuple[str, ...]] = ("PRIMARY",)

    def _migrate_hdulist(self, hdulist: fits.HDUList) -> fits.HDUList:
        """Move the image from PRIMARY to SCI, where a model can hold it."""
        primary = hdulist[0]
        if primary.data is not None:
            bare = fits.PrimaryHDU(header=primary.header)
            science = fits.ImageHDU(primary.data, name="SCI")
            hdulist = fits.HDUList([bare, science, *hdulist[1:]])
        return super()._migrate_hdulist(hdulist)

    def _arranged(self, hdus: fits.HDUList) -> fits.HDUList:
        """Move the image back to PRIMARY; raw files carry no ASDF."""
        primary = fits.PrimaryHDU(hdus["SCI"].data, header=hdus[0].header)
        others = [hdu for hdu in hdus[1:] if hdu.name not in ("SCI", "ASDF")]
        return fits.HDUList([primary, *others])
