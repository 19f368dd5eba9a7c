"""Reference files: one class per type, with the HDUs of the contract and no other."""

from __future__ import annotations

from typing import ClassVar

from liger_iris_pipeline.models.base import IrisDataModel
from liger_iris_pipeline.models.resources import SCHEMA_PREFIX

__all__ = [
    "DQModel",
    "DarkModel",
    "FlatModel",
    "GainModel",
    "IPCModel",
    "LinearityModel",
    "PersistenceModel",
    "PhotomModel",
    "ReadNoiseModel",
    "ReferenceModel",
    "RefpixModel",
    "SaturationModel",
    "SuperskyModel",
]


class ReferenceModel(IrisDataModel):
    """Base of the reference files.

    Attributes
    ----------
    reftype : str
        REFTYPE of the class.
    """

    schema_url = f"{SCHEMA_PREFIX}reference.schema"
    reftype: ClassVar[str] = ""

    def on_save(self, path: object = None) -> None:
        """Write the type into the metadata."""
        super().on_save(path)
        if self.reftype:
            self.meta.reference.type = self.reftype


class DQModel(ReferenceModel):
    """Bad pixels."""

    schema_url = f"{SCHEMA_PREFIX}dq.schema"
    reftype: ClassVar[str] = "DQ"
    required: ClassVar[tuple[str, ...]] = ("DQ",)

    def get_primary_array_name(self) -> str:
        """Name the array that makes the shape."""
        return "dq"


class DarkModel(ReferenceModel):
    """Dark rate."""

    schema_url = f"{SCHEMA_PREFIX}dark.schema"
    reftype: ClassVar[str] = "DARK"
    units: ClassVar[dict[str, str]] = {
        "SCI": "electron/s",
        "ERR": "electron/s",
        "GLOW": "electron/s",
    }


class FlatModel(ReferenceModel):
    """Relative response."""

    schema_url = f"{SCHEMA_PREFIX}flat.schema"
    reftype: ClassVar[str] = "FLAT"


class GainModel(ReferenceModel):
    """Electrons per count."""

    schema_url = f"{SCHEMA_PREFIX}gain.schema"
    reftype: ClassVar[str] = "GAIN"
    units: ClassVar[dict[str, str]] = {"SCI": "electron/DN", "ERR": "electron/DN"}


class ReadNoiseModel(ReferenceModel):
    """Read noise of a single read."""

    schema_url = f"{SCHEMA_PREFIX}readnoise.schema"
    reftype: ClassVar[str] = "READNOISE"
    units: ClassVar[dict[str, str]] = {"SCI": "electron", "ERR": "electron"}


class SaturationModel(ReferenceModel):
    """Raw level at which a pixel saturates."""

    schema_url = f"{SCHEMA_PREFIX}saturation.schema"
    reftype: ClassVar[str] = "SATURATION"
    units: ClassVar[dict[str, str]] = {"SCI": "DN"}


class LinearityModel(ReferenceModel):
    """Polynomial that makes counts linear."""

    schema_url = f"{SCHEMA_PREFIX}linearity.schema"
    reftype: ClassVar[str] = "LINEARITY"
    required: ClassVar[tuple[str, ...]] = ("COEFFS",)
    units: ClassVar[dict[str, str]] = {"LIMIT": "DN", "PEDESTAL": "DN"}

    def get_primary_array_name(self) -> str:
        """Name the array that makes the shape."""
        return "coeffs"


class RefpixModel(ReferenceModel):
    """Kernels of the frequency-weighted reference correction."""

    schema_url = f"{SCHEMA_PREFIX}refpix.schema"
    reftype: ClassVar[str] = "REFPIX"
    required: ClassVar[tuple[str, ...]] = ("LEFT", "RIGHT")

    def get_primary_array_name(self) -> str:
        """Name the array that makes the shape."""
        return "left"


class IPCModel(ReferenceModel):
    """Kernel of the interpixel capacitance."""

    schema_url = f"{SCHEMA_PREFIX}ipc.schema"
    reftype: ClassVar[str] = "IPC"
    required: ClassVar[tuple[str, ...]] = ("KERNEL",)

    def get_primary_array_name(self) -> str:
        """Name the array that makes the shape."""
        return "kernel"


class PersistenceModel(ReferenceModel):
    """Traps of the detector, and how well each pixel traps."""

    schema_url = f"{SCHEMA_PREFIX}persistence.schema"
    reftype: ClassVar[str] = "PERSISTENCE"
    required: ClassVar[tuple[str, ...]] = ("TRAPS",)


class PhotomModel(ReferenceModel):
    """Zero points by filter."""

    schema_url = f"{SCHEMA_PREFIX}photom.schema"
    reftype: ClassVar[str] = "PHOTOM"
    required: ClassVar[tuple[str, ...]] = ("PHOTOM",)

    def get_primary_array_name(self) -> str:
        """Say that there is no image."""
        return ""


class SuperskyModel(ReferenceModel):
    """Pattern of the sky after flat-fielding."""

    schema_url = f"{SCHEMA_PREFIX}supersky.schema"
    reftype: ClassVar[str] = "SUPERSKY"
