"""What a product is on disk: one class per kind of file, and the ways in and out.

The classes need stdatamodels, which takes half a second to import, and ASDF asks this package for
its schemas in every process; so a class, and the module of raw reads, is imported when it is first
asked for.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from liger_iris_pipeline.models import naming
from liger_iris_pipeline.models.metadata import read_metadata

if TYPE_CHECKING:
    from liger_iris_pipeline.models import reads
    from liger_iris_pipeline.models.base import IrisDataModel
    from liger_iris_pipeline.models.glossary import dictionary
    from liger_iris_pipeline.models.imager import (
        IFSFrameModel,
        ImagerFrameModel,
        ImagerMosaicModel,
    )
    from liger_iris_pipeline.models.keeping import ModelCache
    from liger_iris_pipeline.models.opening import open
    from liger_iris_pipeline.models.ramp import RampReadModel
    from liger_iris_pipeline.models.reference import (
        DarkModel,
        DQModel,
        FlatModel,
        GainModel,
        IPCModel,
        LinearityModel,
        PersistenceModel,
        PhotomModel,
        ReadNoiseModel,
        ReferenceModel,
        RefpixModel,
        SaturationModel,
        SuperskyModel,
    )

__all__ = [
    "DQModel",
    "DarkModel",
    "FlatModel",
    "GainModel",
    "IFSFrameModel",
    "IPCModel",
    "ImagerFrameModel",
    "ImagerMosaicModel",
    "IrisDataModel",
    "LinearityModel",
    "ModelCache",
    "PersistenceModel",
    "PhotomModel",
    "RampReadModel",
    "ReadNoiseModel",
    "ReferenceModel",
    "RefpixModel",
    "SaturationModel",
    "SuperskyModel",
    "dictionary",
    "naming",
    "open",
    "read_metadata",
    "reads",
]

_HOMES = {
    "base": ("IrisDataModel",),
    "glossary": ("dictionary",),
    "imager": ("IFSFrameModel", "ImagerFrameModel", "ImagerMosaicModel"),
    "keeping": ("ModelCache",),
    "opening": ("open",),
    "ramp": ("RampReadModel",),
    "reference": (
        "DQModel",
        "DarkModel",
        "FlatModel",
        "GainModel",
        "IPCModel",
        "LinearityModel",
        "PersistenceModel",
        "PhotomModel",
        "ReadNoiseModel",
        "RefpixModel",
        "ReferenceModel",
        "SaturationModel",
        "SuperskyModel",
    ),
}
_MODULE_OF = {name: module for module, names in _HOMES.items() for name in names}


def __getattr__(name: str) -> Any:
    """Import a class, or the module of raw reads, when it is first asked for."""
    if name == "reads":
        return importlib.import_module(f"{__name__}.reads")
    if name not in _MODULE_OF:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_MODULE_OF[name]}"), name)


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
