"""Open any file of the system as the model it is, or say what is wrong with it."""

from __future__ import annotations

import logging
import os
import warnings
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, BinaryIO

from astropy.io import fits

from liger_iris_pipeline.errors import IrisError, ProductError, complaint
from liger_iris_pipeline.models.base import IrisDataModel
from liger_iris_pipeline.models.cards import oddities
from liger_iris_pipeline.models.fitsfile import (
    Fault,
    Hdu,
    Skeleton,
    open_stream,
    read_image,
    survey,
)
from liger_iris_pipeline.models.imager import IFSFrameModel, ImagerFrameModel, ImagerMosaicModel
from liger_iris_pipeline.models.keywords import Plane
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

__all__ = ["model_class", "open"]

logger = logging.getLogger(__name__)

_REFERENCES: tuple[type[ReferenceModel], ...] = (
    DQModel,
    DarkModel,
    FlatModel,
    GainModel,
    IPCModel,
    LinearityModel,
    PersistenceModel,
    PhotomModel,
    ReadNoiseModel,
    RefpixModel,
    SaturationModel,
    SuperskyModel,
)
_OTHERS: tuple[type[IrisDataModel], ...] = (
    RampReadModel,
    ImagerFrameModel,
    IFSFrameModel,
    ImagerMosaicModel,
)

REFERENCES: Mapping[str, type[ReferenceModel]] = {model.reftype: model for model in _REFERENCES}
"""Class by REFTYPE."""

CLASSES: Mapping[str, type[IrisDataModel]] = {
    model.__name__: model for model in (*_OTHERS, *_REFERENCES)
}
"""Class by DATAMODL."""


def open(
    init: str | os.PathLike[str] | IrisDataModel,
    *,
    planes: Collection[str] | None = None,
    **kwargs: Any,
) -> IrisDataModel:
    """Open a file as the model it is.

    Parameters
    ----------
    init : path or model
        ``.fits`` or ``.fits.gz``, with or without an ASDF extension. A model gives another one of
        its class that shares its content.
    planes : collection of str, optional
        Attributes of the arrays wanted; the others are not read and are None. Such a model lacks
        what is only in the ASDF extension (``meta.wcs``).
    **kwargs
        Options of the class.

    Returns
    -------
    model
        By DATAMODL; a reference of another program by REFTYPE; an image in PRIMARY without either
        is a raw read.

    Raises
    ------
    ProductError
        If the file is not FITS, is truncated, is none of the system's, lacks a plane, has planes
        that do not belong together, or metadata that cannot be.
    """
    if isinstance(init, IrisDataModel):
        return type(init)(init, **kwargs)
    path = Path(init)
    try:
        stream, size = open_stream(path)
        with stream:
            skeleton = survey(stream, size)
            model_type = model_class(skeleton.hdus[0], path)
            _check(model_type, skeleton, path)
            stream.seek(0)
            model = _load(model_type, skeleton, stream, path, planes, kwargs)
    except Fault as fault:
        raise fault.as_error(path, ProductError) from fault
    _warn(skeleton, path)
    model.meta.filename = path.name
    return model


def model_class(primary: Hdu, path: Path) -> type[IrisDataModel]:
    """Tell the class of a file from its PRIMARY header.

    Parameters
    ----------
    primary : Hdu
        First HDU.
    path : Path
        File, for the message.

    Returns
    -------
    type
        A model class.

    Raises
    ------
    ProductError
        If no class fits.
    """
    name = str(primary.header.get("DATAMODL") or "").strip()
    reftype = str(primary.header.get("REFTYPE") or "").strip().upper()
    if name in CLASSES:
        return CLASSES[name]
    if reftype in REFERENCES:
        return REFERENCES[reftype]
    if reftype and not name:
        known = f"one of {' '.join(REFERENCES)}"
        raise ProductError(complaint(path, "REFTYPE", repr(reftype), known, "give another file"))
    if not name and len(primary.shape) in (2, 3):
        return RampReadModel
    got = repr(name) if name else "nothing"
    known = f"one of {' '.join(CLASSES)}"
    raise ProductError(complaint(path, "DATAMODL", got, known, "give a file of this system"))


def _check(model_type: type[IrisDataModel], skeleton: Skeleton, path: Path) -> None:
    """Compare metadata and planes with what the class has."""
    for name in model_type.required:
        if skeleton.get(name) is None:
            raise ProductError(
                complaint(
                    path,
                    name,
                    "no such HDU",
                    f"it in a {model_type.__name__}",
                    "reduce or copy it again",
                )
            )
    for hdu in skeleton.hdus:
        model_type.check_header(hdu.name, hdu.header, path)
    if model_type is RampReadModel:
        return
    shape: tuple[str, tuple[int, ...]] | None = None
    for plane in model_type.planes():
        found = skeleton.get(plane.hdu)
        if found is None:
            continue
        _check_plane(plane, found, path)
        if plane.is_table or plane.hdu == "NOISEKERN":
            continue
        shape = shape or (plane.hdu, found.shape[-2:])
        if found.shape[-2:] != shape[1]:
            raise ProductError(
                complaint(
                    path,
                    plane.hdu,
                    f"shape {found.shape}",
                    f"{shape[1]} as {shape[0]}",
                    "reduce or copy it again",
                )
            )


def _check_plane(plane: Plane, hdu: Hdu, path: Path) -> None:
    """Compare the kind of an HDU with what the schema has."""
    if plane.is_table != hdu.is_table:
        expected = "a binary table" if plane.is_table else "an image"
        got = "a table" if hdu.is_table else "an image"
        raise ProductError(complaint(path, plane.hdu, got, expected, "reduce or copy it again"))
    if plane.is_table:
        return
    if len(hdu.shape) != plane.ndim or 0 in hdu.shape:
        raise ProductError(
            complaint(
                path,
                plane.hdu,
                f"shape {hdu.shape}",
                f"{plane.ndim} axes with pixels",
                "reduce or copy it again",
            )
        )
    is_integer = "int" in str(plane.datatype)
    if is_integer and hdu.bitpix < 0:
        raise ProductError(
            complaint(
                path,
                plane.hdu,
                f"float{-hdu.bitpix} pixels",
                str(plane.datatype),
                "write it with that type",
            )
        )


def _load(
    model_type: type[IrisDataModel],
    skeleton: Skeleton,
    stream: BinaryIO,
    path: Path,
    planes: Collection[str] | None,
    kwargs: dict[str, Any],
) -> IrisDataModel:
    """Let stdatamodels read the file; whatever a broken file makes it raise names the file."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # said in our own words, from the bytes
            with fits.open(stream, memmap=False, mode="readonly") as hdus:
                wanted = hdus if planes is None else _chosen(model_type, hdus, planes)
                _read_planes(model_type, wanted, skeleton, stream)
                return model_type(wanted, **kwargs)
    except IrisError:
        raise
    except Exception as error:  # a broken file can make the readers fail in any way
        said = str(error) or type(error).__name__
        raise ProductError(
            complaint(
                path, "content", said[:300], f"a {model_type.__name__}", "reduce or copy it again"
            )
        ) from error


def _chosen(
    model_type: type[IrisDataModel], hdus: fits.HDUList, planes: Collection[str]
) -> fits.HDUList:
    """Take PRIMARY and the HDUs of some planes."""
    known = {plane.attribute: plane.hdu for plane in model_type.planes()}
    unknown = [name for name in planes if name not in known]
    if unknown:
        raise ProductError(
            complaint(
                model_type.__name__,
                "planes",
                ", ".join(unknown),
                f"some of {', '.join(known)}",
                "correct the call",
            )
        )
    wanted = {known[name] for name in planes}
    return fits.HDUList([hdus[0], *(hdu for hdu in hdus[1:] if hdu.name in wanted)])


def _read_planes(
    model_type: type[IrisDataModel], hdus: fits.HDUList, skeleton: Skeleton, stream: BinaryIO
) -> None:
    """Read the images of a model; what is compressed or scaled is left to astropy."""
    known = {plane.hdu for plane in model_type.planes()}
    found = {hdu.data_start: hdu for hdu in skeleton.hdus}
    for hdu in hdus:
        if not hdu.is_image or hdu.name not in known:
            continue
        pixels = read_image(stream, found[hdu.fileinfo()["datLoc"]])
        if pixels is not None:
            # where astropy keeps what it has read: its setter would write the header anew
            hdu.__dict__["data"] = pixels


def _warn(skeleton: Skeleton, path: Path) -> None:
    """Say what of a file is odd, though it can be used."""
    odd = [what for hdu in skeleton.hdus for what in oddities(hdu.cards)]
    for what in dict.fromkeys(odd):
        logger.warning(
            "%s",
            complaint(path, "header", what, "plain FITS cards", "they are kept as far as FITS can"),
        )
    if skeleton.trailing:
        logger.warning(
            "%s",
            complaint(
                path,
                "end",
                f"{skeleton.trailing} bytes after the last HDU",
                "none",
                "they are ignored",
            ),
        )
