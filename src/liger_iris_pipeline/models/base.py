"""What all models share: strict metadata, native arrays, provenance tables, saving by rename."""

from __future__ import annotations

import functools
import gzip
import os
import re
import secrets
import time
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Protocol, Self, cast

import asdf
import numpy as np
from asdf.exceptions import ValidationError
from astropy.io import fits
from astropy.utils.exceptions import AstropyWarning
from stdatamodels import DataModel, fits_support
from stdatamodels.schema import merge_property_trees

from liger_iris_pipeline.errors import ProductError, complaint, disk_error
from liger_iris_pipeline.models.cards import CARD
from liger_iris_pipeline.models.clock import seconds_of, utc
from liger_iris_pipeline.models.images import PlaneHDU
from liger_iris_pipeline.models.keywords import Keyword, Plane, keywords_of, misfit, planes_of
from liger_iris_pipeline.models.metadata import SELECTION
from liger_iris_pipeline.models.resources import SCHEMA_PREFIX, get_resource_mappings
from liger_iris_pipeline.models.tables import as_table, row_mappings, table_schema

__all__ = ["IrisDataModel", "Projection"]

_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|BZERO|BSCALE|BLANK|PCOUNT|GCOUNT|GROUPS|XTENSION|EXTNAME|EXTVER"
)
_CHECKSUMS = ("CHECKSUM", "DATASUM", "ZHECKSUM", "ZDATASUM")
_WCS = re.compile(
    r"WCSAXES|WCSNAME|RADESYS|EQUINOX|MJDREF|LONPOLE|LATPOLE|(CTYPE|CUNIT|CRVAL|CRPIX|CDELT|CROTA)\d"
    r"|(CD|PC|PV)\d_\d+|(A|B|AP|BP)_(ORDER|DMAX|\d_\d)"
)
_STANDARD_KEYWORD = re.compile(r"[A-Z0-9_-]{0,8}")
_TABLE_UNITS = {"amplitude": "electron", "seconds": "s", "x": "pixel", "y": "pixel"}
_PROVENANCE = frozenset({"RECEIPT", "CALIBRATIONS", "INPUTS", "SOFTWARE"})
_CALIBRATION_COLUMNS = 8
_PACKED_LEVEL = 4  # of gzip: pixels are noise, more effort gains nothing


class Projection(Protocol):
    """A sky projection that can be written both ways."""

    def header_cards(self) -> list[tuple[str, Any, str]]:
        """Give its FITS cards."""

    def gwcs(self, shape: tuple[int, int]) -> Any:
        """Give the same as a gwcs object."""


def _make_schemas_known() -> None:
    """Tell ASDF of our schemas where no installed distribution does: a source tree on the path."""
    config = asdf.get_config()
    if f"{SCHEMA_PREFIX}core.schema" not in config.resource_manager:
        for mapping in get_resource_mappings():
            config.add_resource_mapping(mapping)


_make_schemas_known()


class IrisDataModel(DataModel):  # type: ignore[misc]
    """Base of all models.

    A wrong value of a metadata keyword raises; arrays are in native byte order; keywords and HDUs
    that are in no schema are kept from file to file.

    Parameters
    ----------
    init : None, tuple, ndarray, dict, HDUList, path or model, optional
        As in stdatamodels; an HDUList is taken over. Files are better opened by
        :func:`liger_iris_pipeline.models.open`, which says what is wrong with them.
    **kwargs
        Arrays by attribute, and options of stdatamodels.

    Attributes
    ----------
    required : tuple of str
        HDUs without which a file is none of this class.
    units : dict of str to str
        BUNIT of HDUs that have none yet when they are saved.
    mirrored : tuple of str
        PRIMARY keywords that are repeated in the SCI header for viewers that show only that.
    """

    schema_url = f"{SCHEMA_PREFIX}core.schema"
    required: ClassVar[tuple[str, ...]] = ("SCI",)
    units: ClassVar[dict[str, str]] = {}
    mirrored: ClassVar[tuple[str, ...]] = ()

    def __init__(self, init: Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("strict_validation", True)
        # loaded values are checked in _migrate_hdulist: asking the schemas costs 0.1 s a file
        validate = kwargs.pop("validate_on_assignment", True)
        super().__init__(init, validate_on_assignment=False, **kwargs)
        self._validate_on_assignment = validate

    # --- what stpipe asks for ---------------------------------------------------------------------

    @property
    def crds_observatory(self) -> str:
        """Name of the observatory."""
        return "iris"

    def get_crds_parameters(self) -> dict[str, Any]:
        """Give what the selection of references needs.

        Returns
        -------
        dict
            Those of the keywords `SELECTION` that have a value.
        """
        header = self.header_mapping()
        return {key: header[key] for key in SELECTION if header.get(key) is not None}

    # --- metadata ---------------------------------------------------------------------------------

    @classmethod
    def keywords(cls) -> tuple[Keyword, ...]:
        """List the FITS keywords of this class."""
        return _known_keywords(cls.schema_url)

    @classmethod
    def planes(cls) -> tuple[Plane, ...]:
        """List the arrays of this class."""
        return _known_planes(cls.schema_url)

    @classmethod
    def from_header(cls, header: Mapping[str, Any]) -> Self:
        """Make a model without arrays from the header of raw data.

        Parameters
        ----------
        header : astropy.io.fits.Header, or mapping
            Keywords; structural ones and checksums are left out, BUNIT becomes that of SCI.

        Returns
        -------
        model
            With all other keywords, known or not.

        Raises
        ------
        ProductError
            If a known keyword has a value that it cannot have.
        """
        cards = (
            header.copy(strip=True)
            if isinstance(header, fits.Header)
            else fits.Header(_cards(header))
        )
        for keyword in list(cards):
            if _STRUCTURE.fullmatch(keyword) or keyword in _CHECKSUMS:
                del cards[keyword]
        if "BUNIT" in cards and "SCI" in cls.units:
            cards["BUNIT"] = cls.units["SCI"]
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", AstropyWarning)
            return cls(fits.HDUList([fits.PrimaryHDU(header=cards)]))

    @classmethod
    def check_header(cls, hdu: str, header: Mapping[str, Any], where: str | Path) -> None:
        """Refuse a header in which a known keyword has a value that it cannot have.

        Parameters
        ----------
        hdu : str
            Name of the HDU.
        header : mapping
            Its keywords.
        where : str or Path
            File, for the message.

        Raises
        ------
        ProductError
            If a value is of a wrong type or none of a closed list.
        """
        for keyword in cls.keywords():
            if keyword.hdu != hdu or keyword.name not in header or keyword.name == "DATAMODL":
                continue
            value = header[keyword.name]
            expected = misfit(keyword, value)
            if expected is not None:
                raise ProductError(
                    complaint(where, keyword.name, repr(value), expected, "mend the header")
                )

    def header_mapping(self) -> dict[str, Any]:
        """Give the PRIMARY keywords, those in no schema included.

        Returns
        -------
        dict of str to bool, int, float or str
            Values by keyword; COMMENT and HISTORY are left out.
        """
        header = {
            card[0]: card[1]
            for card in reversed(self.extra_cards("PRIMARY"))
            if card[0] not in ("COMMENT", "")
        }
        for keyword in self.keywords():
            value = self._value(keyword) if keyword.hdu == "PRIMARY" else None
            if value is not None:
                header[keyword.name] = value
        return header

    def primary_header(self) -> fits.Header:
        """Give the PRIMARY header as it would be saved, without HISTORY.

        Returns
        -------
        astropy.io.fits.Header
            Cards with comments.
        """
        header = fits.Header()
        for keyword in self.keywords():
            value = self._value(keyword) if keyword.hdu == "PRIMARY" else None
            if value is not None:
                header.append((keyword.name, value, keyword.title), end=True)
        for card in self.extra_cards("PRIMARY"):
            header.append(tuple(card), end=True)
        return header

    def extra_cards(self, hdu: str) -> list[list[Any]]:
        """Give the cards of an HDU that are in no schema.

        Parameters
        ----------
        hdu : str
            Name of the HDU.

        Returns
        -------
        list of [keyword, value, comment]
            Not a copy; empty if there are none.
        """
        part = self._instance.get("extra_fits", {}).get(hdu, {})
        return cast("list[list[Any]]", part.get("header", []))

    def set_extra_cards(self, hdu: str, cards: Iterable[Sequence[Any]]) -> None:
        """Set the cards of an HDU that are in no schema.

        Parameters
        ----------
        hdu : str
            Name of the HDU.
        cards : iterable of (keyword, value, comment)
            All of them.
        """
        part = self._instance.setdefault("extra_fits", {}).setdefault(hdu, {})
        part["header"] = [list(card) for card in cards]

    def _value(self, keyword: Keyword) -> Any:
        """Give the value of a keyword; None where there is none."""
        node: Any = self._instance
        for name in keyword.path:
            node = node.get(name) if isinstance(node, dict) else None
        return node

    # --- world coordinates ------------------------------------------------------------------------

    def set_wcs(self, wcs: Any, cards: Iterable[Sequence[Any]] | None = None) -> None:
        """Set the world coordinates: gwcs in the ASDF extension, FITS cards in the SCI header.

        Parameters
        ----------
        wcs : gwcs.WCS, or Projection
            A projection gives both forms itself.
        cards : iterable of (keyword, value, comment), optional
            FITS form of a gwcs; 1-based CRPIX.

        Raises
        ------
        ValueError
            If a gwcs comes without cards.
        """
        if cards is None:
            if not hasattr(wcs, "header_cards"):
                raise ValueError(
                    "set_wcs: got a gwcs without cards, expected its FITS cards too; pass cards="
                )
            projection = cast("Projection", wcs)
            cards, wcs = projection.header_cards(), projection.gwcs(self.shape)
        self.meta.wcs = wcs
        others = [card for card in self.extra_cards("SCI") if not _WCS.fullmatch(card[0])]
        self.set_extra_cards("SCI", [*others, *cards])

    def wcs_header(self) -> dict[str, Any]:
        """Give the FITS cards of the world coordinates.

        Returns
        -------
        dict of str to int, float or str
            From the SCI header; empty before :meth:`set_wcs`.
        """
        return {card[0]: card[1] for card in self.extra_cards("SCI") if _WCS.fullmatch(card[0])}

    # --- tables -----------------------------------------------------------------------------------

    def add_receipt(self, row: Sequence[Any]) -> None:
        """Add a step to RECEIPT.

        Parameters
        ----------
        row : sequence
            Step, version, parameters (JSON), start, end (ISO UTC), seconds, status, reason.
        """
        self._add_rows("receipt", [row])

    def add_calibrations(self, rows: Iterable[Sequence[str]]) -> None:
        """Add references to CALIBRATIONS that are not there yet.

        Parameters
        ----------
        rows : iterable of sequence of str
            Role, type, file, SHA-256, version, context of each; then, where there is something to say, the input
            that it was used for (none: the science exposure) and a flag.
        """
        known = {tuple(row.values()) for row in self.calibration_rows()}
        padded = dict.fromkeys((*row, *[""] * (_CALIBRATION_COLUMNS - len(row))) for row in rows)
        self._add_rows("calibrations", (row for row in padded if row not in known))

    def add_inputs(self, rows: Iterable[Sequence[str]]) -> None:
        """Add files to INPUTS.

        Parameters
        ----------
        rows : iterable of sequence of str
            Base name and SHA-256 of each; then, where there are several, its role (science, sky, background, dark ...).
        """
        self._add_rows("inputs", rows)

    def receipt_rows(self) -> list[dict[str, Any]]:
        """Give the rows of RECEIPT as dictionaries."""
        return row_mappings(self.receipt)

    def calibration_rows(self) -> list[dict[str, Any]]:
        """Give the rows of CALIBRATIONS as dictionaries."""
        return row_mappings(self.calibrations)

    def input_rows(self) -> list[dict[str, Any]]:
        """Give the rows of INPUTS as dictionaries."""
        return row_mappings(self.inputs)

    def software_rows(self) -> list[dict[str, Any]]:
        """Give the rows of SOFTWARE as dictionaries."""
        return row_mappings(self.software)

    def _add_rows(self, attribute: str, rows: Iterable[Sequence[Any]]) -> None:
        """Add rows at the end of a table."""
        new = [tuple(row) for row in rows]
        if new:
            old = [tuple(row.values()) for row in row_mappings(getattr(self, attribute))]
            setattr(self, attribute, [*old, *new])

    def __setattr__(self, attribute: str, value: Any) -> None:
        node = {} if attribute.startswith("_") else self._schema.get("properties", {})
        if "datatype" not in node.get(attribute, {}):
            super().__setattr__(attribute, value)
            return
        if value is not None and not isinstance(node[attribute]["datatype"], str):
            value = self._fitted(attribute, value)
        validate, self._validate_on_assignment = self._validate_on_assignment, False
        try:
            super().__setattr__(attribute, value)  # type and axes are brought in line all the same
        finally:
            self._validate_on_assignment = validate

    def _fitted(self, attribute: str, value: Any) -> Any:
        """Bring a table into its columns, and this instance's schema to the widths of its text."""
        plane = next(plane for plane in self.planes() if plane.attribute == attribute)
        try:
            table = as_table(plane.datatype, value)
        except ValueError as error:
            raise _wrong_table(plane.hdu, error) from error
        self._schema["properties"][attribute]["datatype"] = table_schema(plane.datatype, table)
        return table

    # --- opening ----------------------------------------------------------------------------------

    def _migrate_hdulist(self, hdulist: fits.HDUList) -> fits.HDUList:
        """Make an HDUList ready: what is written anew at every save is taken out."""
        known = {(keyword.hdu, keyword.name) for keyword in self.keywords()}
        for hdu in hdulist:
            name = hdu.name or "PRIMARY"
            if name == "ASDF":
                continue
            self.check_header(name, hdu.header, "header")
            stale = [*_CHECKSUMS, *(self.mirrored if name == "SCI" else ())]
            stale += [
                key
                for key, value in hdu.header.items()
                if _is_undefined(value) and (name, key) in known
            ]
            for key in stale:
                hdu.header.remove(key, ignore_missing=True, remove_all=True)
        for plane in self.planes():
            if plane.is_table and plane.hdu in hdulist:
                node = self._schema["properties"][plane.attribute]
                try:
                    node["datatype"] = _columns_of(plane, hdulist[plane.hdu].data)
                except ValueError as error:
                    raise _wrong_table(plane.hdu, error) from error
        return hdulist

    def on_init(self, init: Any) -> None:
        """Bring all arrays into native byte order, and odd cards into a form that can be saved."""
        super().on_init(init)
        if isinstance(init, Path):
            self.meta.filename = init.name
        for plane in self.planes():
            array = self._instance.get(plane.attribute)
            if isinstance(array, np.ndarray) and not plane.is_table and not array.dtype.isnative:
                self._instance[plane.attribute] = array.astype(array.dtype.newbyteorder("="))
        for part in self._instance.get("extra_fits", {}).values():
            for card in part.get("header", []):
                card[0] = _writable_keyword(card[0])
                card[1] = "" if _is_undefined(card[1]) else card[1]

    # --- saving -----------------------------------------------------------------------------------

    def on_save(self, path: Any = None) -> None:
        """Write name, class and date into the metadata, and units where they are absent."""
        super().on_save(os.fspath(path) if path is not None else None)
        self.meta.date = utc()
        if last_read := getattr(self.meta, "last_read", None):
            self.meta.latency = _since(last_read)
        for plane in self.planes():
            array = self._instance.get(plane.attribute)
            if array is None:
                continue
            if plane.is_table:
                self._prepare_table(plane, array)
            elif (
                plane.hdu in self.units
                and getattr(self.meta, f"bunit_{plane.attribute}", None) is None
            ):
                setattr(self.meta, f"bunit_{plane.attribute}", self.units[plane.hdu])

    def _prepare_table(self, plane: Plane, table: Any) -> None:
        """Bring this instance's schema to the widths of a table, and name its units."""
        self._schema["properties"][plane.attribute]["datatype"] = _columns_of(plane, table)
        for name, unit in _TABLE_UNITS.items():
            if name in table.columns.names:
                table.columns[name].unit = unit

    def save(
        self,
        path: str | os.PathLike[str] | Callable[[str], str],
        dir_path: str | os.PathLike[str] | None = None,
        *,
        overwrite: bool = False,
        checksum: bool = False,
    ) -> str:
        """Write the model to a FITS file that appears complete in one instant.

        Parameters
        ----------
        path : path, or callable
            ``.fits`` or ``.fits.gz``; a callable makes it from the model's file name.
        dir_path : path, optional
            Folder, instead of that of `path`.
        overwrite : bool, optional
            Replace a file of that name.
        checksum : bool, optional
            Write CHECKSUM and DATASUM into every HDU.

        Returns
        -------
        str
            The path written.

        Raises
        ------
        ProductError
            If the file exists, or the metadata do not fit their schema.
        DiskError
            If it cannot be written; nothing is left behind.
        """
        target = self._target(path, dir_path)
        if target.exists() and not overwrite:
            raise _exists(target)
        hdus = self._hdulist(target)
        try:
            last_read = getattr(self.meta, "last_read", None)
            _write(hdus, target, last_read, overwrite=overwrite, checksum=checksum)
        except OSError as error:
            raise disk_error(error, target) from error
        return str(target)

    def _target(self, path: Any, folder: str | os.PathLike[str] | None) -> Path:
        """Find out which file is meant; see :meth:`save`."""
        target = Path(path(self.meta.filename) if callable(path) else path)
        target = Path(folder) / target.name if folder is not None else target
        if not target.name.endswith((".fits", ".fits.gz")):
            got, expected = target.suffix or "no ending", ".fits or .fits.gz"
            raise ProductError(complaint(target, "file name", got, expected, "rename it"))
        return target

    def _hdulist(self, target: Path) -> fits.HDUList:
        """Build what is written to a file: images, tables, tables of provenance, ASDF."""
        hdus = fits.HDUList([fits.PrimaryHDU()])
        try:
            self.on_save(target)
            self._check_shapes(target)
            for plane in sorted(self.planes(), key=_order_on_disk):
                if self._instance.get(plane.attribute) is not None:
                    hdus.append((fits.BinTableHDU if plane.is_table else PlaneHDU)(name=plane.hdu))
            fits_support.to_fits(self._instance, self._schema, hdulist=hdus)
        except ValidationError as error:
            first = str(error).partition("\n")[0]
            raise ProductError(
                complaint(
                    target, "metadata", first, "values that fit their schema", "correct the model"
                )
            ) from error
        return self._arranged(hdus)

    def _check_shapes(self, target: Path) -> None:
        """Refuse planes that do not belong together."""
        shape: tuple[int, ...] | None = None
        for plane in self.planes():
            array = self._instance.get(plane.attribute)
            if array is None or plane.is_table or plane.hdu == "NOISEKERN":
                continue
            shape = shape or array.shape[-2:]
            if array.shape[-2:] != shape:
                got, expected = f"shape {array.shape}", f"{shape} as the other planes"
                raise ProductError(complaint(target, plane.hdu, got, expected, "correct the model"))

    def _arranged(self, hdus: fits.HDUList) -> fits.HDUList:
        """Repeat keywords in the SCI header; :meth:`_migrate_hdulist` takes them out again."""
        if "SCI" in hdus:
            primary, science = hdus[0].header, hdus["SCI"].header
            for key in self.mirrored:
                if key in primary:
                    science[key] = (primary[key], primary.comments[key])
        return hdus

    def to_fits(self, init: Any, *args: Any, **kwargs: Any) -> None:
        """Write the model to a FITS file, see :meth:`save`."""
        self.save(init, *args, **kwargs)


def _columns_of(plane: Plane, table: Any) -> list[dict[str, Any]]:
    """Describe the columns of a table of a file, which may lack those that have a default."""
    found = {name.lower() for name in table.dtype.names}
    columns = table_schema(plane.datatype, table)
    return [column for column in columns if column["name"].lower() in found]


def _order_on_disk(plane: Plane) -> tuple[bool, bool]:
    """Give the place of an HDU: images, tables, tables of provenance."""
    return plane.is_table, plane.hdu in _PROVENANCE


def _is_undefined(value: object) -> bool:
    """Say whether a card has no value."""
    return value is None or isinstance(value, fits.card.Undefined)


def _writable_keyword(keyword: str) -> str:
    """Mark a keyword that only a HIERARCH card can hold."""
    if _STANDARD_KEYWORD.fullmatch(keyword) or keyword.startswith("HIERARCH "):
        return keyword
    return f"HIERARCH {keyword}"


def _cards(header: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Make cards of a mapping."""
    return [(_writable_keyword(key), value) for key, value in header.items()]


@functools.cache
def _known_keywords(schema_url: str) -> tuple[Keyword, ...]:
    """List the keywords of a schema, once per process."""
    return tuple(keywords_of(_merged_schema(schema_url)))


@functools.cache
def _known_planes(schema_url: str) -> tuple[Plane, ...]:
    """List the arrays of a schema, once per process."""
    return tuple(planes_of(_merged_schema(schema_url)))


def _merged_schema(schema_url: str) -> dict[str, Any]:
    """Load a schema as stdatamodels does."""
    schema = asdf.schema.load_schema(schema_url, resolve_references=True)
    return cast("dict[str, Any]", merge_property_trees(schema))


def _wrong_table(hdu: str, error: ValueError) -> ProductError:
    """Say that a table has not the columns it should have."""
    return ProductError(
        complaint(hdu, "table", str(error), "the columns of its schema", "mend the table")
    )


def _exists(target: Path) -> ProductError:
    """Say that a file is not replaced."""
    return ProductError(
        complaint(
            target, "file", "one that exists", "a new name", "use --overwrite or another folder"
        )
    )


def _write(
    hdus: fits.HDUList, target: Path, last_read: str | None, *, overwrite: bool, checksum: bool
) -> None:
    """Write under a temporary name in the same folder, make it durable, then give it its name."""
    temporary = target.with_name(f".{secrets.token_hex(8)}.part")
    packed = target.suffix == ".gz"
    try:
        with temporary.open("w+b") as stream:
            _write_stream(hdus, stream, packed=packed, checksum=checksum)
            stream.flush()
            os.fsync(stream.fileno())
            if last_read and not packed and not checksum:
                _write_latency(stream, last_read)
        if overwrite:
            temporary.replace(target)
        else:
            _name_once(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
    _make_durable(target.parent)


def _write_latency(stream: BinaryIO, last_read: str) -> None:
    """Bring LATENCY to the time that it now is, with all pixels on disk."""
    stream.seek(0)
    for at, card in enumerate(iter(lambda: stream.read(CARD), b"")):
        if card.startswith(b"END     "):
            return
        if card.startswith(b"LATENCY ="):
            old = fits.Card.fromstring(card)
            new = fits.Card(old.keyword, _since(last_read), old.comment)
            stream.seek(at * CARD)
            stream.write(str(new).encode("ascii"))
            stream.flush()
            os.fsync(stream.fileno())
            return


def _since(last_read: str) -> float:
    """Give the time since a last read was on disk [s], to the millisecond."""
    return round(time.time() - seconds_of(last_read), 3)


def _write_stream(hdus: fits.HDUList, stream: BinaryIO, *, packed: bool, checksum: bool) -> None:
    """Write the bytes."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message="Card is too long")
        if not packed:
            hdus.writeto(stream, checksum=checksum)
            return
        with gzip.GzipFile("", "wb", compresslevel=_PACKED_LEVEL, fileobj=stream) as packing:
            hdus.writeto(packing, checksum=checksum)


def _name_once(temporary: Path, target: Path) -> None:
    """Give a file its final name unless another file took it meanwhile."""
    try:
        target.hardlink_to(temporary)
    except FileExistsError:
        raise _exists(target) from None
    except OSError:  # a file system without hard links
        if target.exists():
            raise _exists(target) from None
        temporary.replace(target)


def _make_durable(folder: Path) -> None:
    """Make the new name survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
