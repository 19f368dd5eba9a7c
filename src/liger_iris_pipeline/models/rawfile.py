"""One raw file: is it whole, who is it, when was it read."""

from __future__ import annotations

import hashlib
import io
import math
import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from liger_iris_pipeline.errors import ProductError, ReadError, complaint
from liger_iris_pipeline.instrument.detectors import DETECTORS
from liger_iris_pipeline.instrument.filters import FILTERS, OPAQUE_OR_OPEN
from liger_iris_pipeline.models.cards import oddities, set_integer
from liger_iris_pipeline.models.fitsfile import (
    MEND,
    Fault,
    Hdu,
    Skeleton,
    decompressed,
    fill_pixels,
    survey,
    verify_sums,
)
from liger_iris_pipeline.models.naming import window_tag

__all__ = ["IMAGE_TYPES", "MODES", "SAMPLING", "Geometry", "Read", "read_file"]

IMAGE_TYPES = (
    "SCI",
    "SKY",
    "DARK",
    "FLAT",
    "ARC",
    "LAMPSCAN",
    "PINHOLE",
    "STD",
    "TELLURIC",
    "BIAS",
)
"""Values of IMTYPE."""

SAMPLING = ("CDS", "MDS", "UTR")
"""Values of SAMPMODE."""

MODES = ("IMG", "SLICER", "LENSLET")
"""Values of INSTMODE."""

_KNOWN: Mapping[str, tuple[str, ...]] = {
    "DETECTOR": tuple(DETECTORS),
    "IMTYPE": IMAGE_TYPES,
    "FILTER": (*sorted(OPAQUE_OR_OPEN), *FILTERS),
    "SAMPMODE": SAMPLING,
    "INSTMODE": MODES,
}
_ODD = {
    "HIERARCH cards": "they are kept as they are",
    "lower-case keywords": "they are kept in upper case",
    "bytes that are not text": "such cards are left out of products",
}
_OFFSET = 0x8000  # BZERO of unsigned 16-bit pixels
_PIXEL = 2  # bytes
_GZIP = b"\x1f\x8b"
_MICROSECONDS = 1e6
_TOO_LARGE = 1 << 63
_SEVERAL_READS = 3  # axes


@dataclass(frozen=True)
class Geometry:
    """What the detector read, the same for all reads of an exposure.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of a read.
    start : tuple of int
        1-based first pixel (x, y) on the detector.
    full : tuple of int
        Columns and rows of the detector.
    ref_pixels, noutputs : int
        Width of the reference border; readout channels.
    """

    shape: tuple[int, int]
    start: tuple[int, int]
    full: tuple[int, int]
    ref_pixels: int
    noutputs: int


@dataclass(frozen=True)
class Read:
    """One read: a file, or a plane of a cube. Its pixels stay on disk until :meth:`load`.

    Attributes
    ----------
    path : Path
        The file.
    index : int or None
        Plane of a cube, from 0.
    header : mapping
        Keywords; READ_NO and READTIME of a plane of a cube are its own.
    obs_id, detector : str
        Identity.
    exp_no, ramp_no, read_no : int
        Identity.
    time : float
        Start of the read since the reset [s].
    shape : tuple of int
        (ny, nx).
    sha256 : str
        Of the file, 64 lower-case hexadecimal digits.
    window : str
        Part of the name that tells windows apart; empty for a full frame.
    clock : tuple of int, or None
        RST_TIME and READTIME [us]; None where only TFRAME is known.
    geometry : Geometry
        What the detector read.
    cards : bytes
        Header cards of 80 bytes, without END.
    place : tuple of int
        Where the pixels begin [byte], and the size of the unpacked file.
    """

    path: Path
    index: int | None
    header: Mapping[str, Any] = field(repr=False)
    obs_id: str
    detector: str
    exp_no: int
    ramp_no: int
    read_no: int
    time: float
    shape: tuple[int, int]
    sha256: str
    window: str = ""
    clock: tuple[int, int] | None = None
    geometry: Geometry | None = field(default=None, repr=False)
    cards: bytes = field(default=b"", repr=False)
    place: tuple[int, int] = field(default=(0, 0), repr=False)

    @property
    def exposure_key(self) -> tuple[str, str, int, str]:
        """Observation, detector, exposure and window."""
        return self.obs_id, self.detector, self.exp_no, self.window

    @property
    def key(self) -> tuple[str, str, int, str, int, int]:
        """Exposure, ramp and read: no two reads share it."""
        return (*self.exposure_key, self.ramp_no, self.read_no)

    def load(
        self, rows: slice | None = None, out: npt.NDArray[np.uint16] | None = None
    ) -> npt.NDArray[np.uint16]:
        """Read the counts from disk.

        Parameters
        ----------
        rows : slice, optional
            Rows that are wanted, step 1; default: all.
        out : ndarray (ny, nx) uint16, optional
            Where to put them, in C order; default: new memory.

        Returns
        -------
        ndarray (ny, nx) uint16
            Counts [DN], native byte order; `out` if it was given.

        Raises
        ------
        ReadError
            If the file is no longer what it was when it was scanned.
        """
        begin, size = self.place
        ny, nx = self.shape
        begin += (self.index or 0) * ny * nx * _PIXEL
        first, last, _ = (rows or slice(None)).indices(ny)
        begin, ny = begin + first * nx * _PIXEL, max(0, last - first)
        counts = np.empty((ny, nx), np.uint16) if out is None else out
        try:
            with self.path.open("rb") as plain:
                stream: BinaryIO = plain
                if plain.read(2) == _GZIP:
                    plain.seek(0)
                    stream = io.BytesIO(decompressed(plain.read()))
                now = stream.seek(0, io.SEEK_END)
                stream.seek(begin)
                whole = fill_pixels(counts, stream)
        except (OSError, Fault) as error:
            raise _changed(self.path, error) from error
        if now != size or not whole:
            raise _changed(self.path, f"{now} bytes")
        return counts


def _changed(path: Path, got: object) -> ReadError:
    """Say that a file is not what it was."""
    return ReadError(
        complaint(path, "file", got, "the file as it was scanned", "leave raw files as they are")
    )


def read_file(path: Path) -> tuple[list[Read], list[str]]:
    """Check a raw file whole and list its reads.

    Parameters
    ----------
    path : Path
        ``.fits`` or ``.fits.gz``.

    Returns
    -------
    reads : list of Read
        One, or those of a cube.
    warnings : list of str
        What is odd, though it can be used.

    Raises
    ------
    ReadError
        If it cannot be used.
    """
    try:
        with _opened(path) as plain:
            digest = hashlib.sha256()
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            stream: BinaryIO = plain
            if packed:
                data = plain.read()
                digest.update(data)
                stream = io.BytesIO(decompressed(data))
            size = stream.seek(0, io.SEEK_END)
            stream.seek(0)
            skeleton = survey(stream, size)
            faults = verify_sums(stream, skeleton, None if packed else digest)
            reads = _reads(path, digest.hexdigest(), stream, size, skeleton)
    except Fault as fault:
        raise fault.as_error(path, ReadError) from fault
    except OSError as error:
        raise _unreadable(error).as_error(path, ReadError) from error
    except ProductError as error:
        raise ReadError(
            complaint(path, "window", str(error), "one that can be named", MEND)
        ) from error
    return reads, [
        *(str(fault.as_error(path, ReadError)) for fault in faults),
        *_notes(path, skeleton),
    ]


def _opened(path: Path) -> BinaryIO:
    """Open a plain file."""
    if path.exists() and not path.is_file():
        raise Fault("file", "something that is not a plain file", "a FITS file", "check its name")
    return path.open("rb")


def _unreadable(error: OSError) -> Fault:
    """Say why a file cannot be read."""
    return Fault(
        "file",
        f"'{error.strerror or error}'",
        "a readable FITS file",
        "check its name and permissions",
    )


def _notes(path: Path, skeleton: Skeleton) -> list[str]:
    """List what is odd."""
    header = skeleton.hdus[0].header
    notes = [
        complaint(path, "header", what, "plain FITS cards", _ODD[what])
        for what in oddities(skeleton.hdus[0].cards)
    ]
    if skeleton.trailing:
        notes.append(
            complaint(
                path,
                "end",
                f"{skeleton.trailing} bytes after the last HDU",
                "none",
                "they are ignored",
            )
        )
    if not header.get("IMTYPE"):
        notes.append(
            complaint(
                path, "IMTYPE", "nothing", "the kind of exposure", "its products cannot be named"
            )
        )
    return notes


def _reads(path: Path, sha256: str, stream: BinaryIO, size: int, skeleton: Skeleton) -> list[Read]:
    """Make the reads of a file from its PRIMARY HDU."""
    primary = skeleton.hdus[0]
    header = primary.header
    nplane, shape = _pixels(primary)
    identity = _identity(header)
    geometry = _geometry(header, shape)
    ramp = _integer(header, "RAMP_NO", 1)
    is_cube = len(primary.shape) == _SEVERAL_READS
    times = _cube_times(header, stream, skeleton, nplane) if is_cube else [_read_time(header)]
    reads = []
    for plane, (number, seconds, clock) in enumerate(times):
        own, cards = _own_header(primary, number, clock) if is_cube else (header, primary.cards)
        reads.append(
            Read(
                path=path,
                index=plane if is_cube else None,
                header=MappingProxyType(dict(own)),
                **identity,
                ramp_no=ramp,
                read_no=number,
                time=seconds,
                shape=shape,
                sha256=sha256,
                window=window_tag(header),
                clock=clock,
                geometry=geometry,
                cards=cards,
                place=(primary.data_start, size),
            )
        )
    return reads


def _pixels(primary: Hdu) -> tuple[int, tuple[int, int]]:
    """Give the number of reads and their shape; refuse what is not unsigned 16-bit."""
    shape = primary.shape
    if len(shape) not in (_SEVERAL_READS - 1, _SEVERAL_READS):
        raise Fault(
            "NAXIS",
            len(shape),
            "2 (one read) or 3 (a cube of reads) in PRIMARY",
            "give raw reads only",
        )
    kind = _pixel_type(primary.header)
    if kind != "uint16":
        raise Fault(
            "BITPIX",
            f"{kind} pixels",
            "unsigned 16-bit (BITPIX 16, BZERO 32768)",
            "give raw reads only",
        )
    if 0 in shape:
        raise Fault("NAXIS1", "an empty image", "pixels", "give raw reads only")
    return (shape[0] if len(shape) == _SEVERAL_READS else 1), (shape[-2], shape[-1])


def _pixel_type(header: Mapping[str, Any]) -> str:
    """Name the type of the pixels of an image."""
    bitpix, zero, scale = header["BITPIX"], header.get("BZERO") or 0, header.get("BSCALE")
    if scale not in (None, 1):
        return f"scaled (BSCALE {scale})"
    if bitpix < 0:
        return f"float{-bitpix}"
    unsigned = {8: 0, 16: _OFFSET, 32: 1 << 31, 64: 1 << 63}[bitpix]
    if zero == unsigned:
        return f"uint{bitpix}"
    return f"int{bitpix}" if zero == 0 else f"int{bitpix} with BZERO {zero}"


def _identity(header: Mapping[str, Any]) -> dict[str, Any]:
    """Read who a file is and refuse what is not known."""
    found = {
        "obs_id": _word(header, "OBS_ID"),
        "detector": _word(header, "DETECTOR"),
        "exp_no": _integer(header, "EXP_NO", 0),
    }
    for key, known in _KNOWN.items():
        value = header.get(key)
        if value not in (None, "") and value not in known:
            raise Fault(key, repr(value), f"one of {' '.join(known)}", MEND)
    other = header.get("DET_ID")
    if other not in (None, "", found["detector"]):
        raise Fault("DET_ID", repr(other), f"{found['detector']!r} as in DETECTOR", MEND)
    return found


def _word(header: Mapping[str, Any], key: str) -> str:
    """Take a text that must be there."""
    value = header.get(key)
    if value in (None, ""):
        raise Fault(key, "nothing", "a text", MEND)
    if not isinstance(value, str):
        raise Fault(key, value, "a text in quotes", MEND)
    return value


def _integer(
    header: Mapping[str, Any], key: str, least: int | None, default: int | None = None
) -> int:
    """Take an integer that must be there unless it has a default."""
    value = header.get(key)
    if value is None and default is not None:
        return default
    expected = "an integer" if least is None else f"an integer of at least {least}"
    if value is None or value == "":
        raise Fault(key, "nothing", expected, MEND)
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < _TOO_LARGE
    if not is_whole or (least is not None and value < least):
        raise Fault(key, repr(value), expected, MEND)
    return int(value)


def _geometry(header: Mapping[str, Any], shape: tuple[int, int]) -> Geometry:
    """Compare the window with the image and with the detector."""
    start, full = [], []
    for axis, size in ((1, shape[1]), (2, shape[0])):
        first = _integer(header, f"SUBSTRT{axis}", 1, 1)
        said = _integer(header, f"SUBSIZE{axis}", 1, size)
        whole = _integer(header, f"DETSIZE{axis}", 1, first + size - 1)
        if said != size:
            raise Fault(f"SUBSIZE{axis}", said, f"{size} as NAXIS{axis}", MEND)
        if first + size - 1 > whole:
            got = f"a window from {first} to {first + size - 1}"
            raise Fault(
                f"SUBSTRT{axis}", got, f"one inside the {whole} pixels of DETSIZE{axis}", MEND
            )
        if str(header.get("SUBARRAY") or "").strip().upper() == "FULL" and size != whole:
            raise Fault(
                "SUBARRAY",
                f"FULL with {size} pixels along axis {axis}",
                f"{whole} as DETSIZE{axis}",
                MEND,
            )
        start.append(first)
        full.append(whole)
    border = _integer(header, "REFPIX", 0, 0)
    noutputs = _integer(header, "NOUTPUTS", 1, 1)
    if shape[1] % noutputs:
        raise Fault("NOUTPUTS", noutputs, f"a divisor of the {shape[1]} columns", MEND)
    if 2 * border >= min(shape):
        raise Fault("REFPIX", border, "a border that leaves pixels inside", MEND)
    return Geometry(shape, (start[0], start[1]), (full[0], full[1]), border, noutputs)


Moment = tuple[int, float, tuple[int, int] | None]
"""READ_NO, seconds since the reset, RST_TIME and READTIME."""


def _read_time(header: Mapping[str, Any]) -> Moment:
    """Give number and time of a file with one read."""
    number = _integer(header, "READ_NO", 1)
    return _moment(number, _integer(header, "RST_TIME", None), _integer(header, "READTIME", None))


def _moment(number: int, reset: int, start: int) -> Moment:
    """Give the time of a read since the reset."""
    if start < reset:
        raise Fault("READTIME", start, f"no less than RST_TIME {reset}", MEND)
    return number, (start - reset) / _MICROSECONDS, (reset, start)


def _cube_times(
    header: Mapping[str, Any], stream: BinaryIO, skeleton: Skeleton, nplane: int
) -> list[Moment]:
    """Give numbers and times of the planes of a cube, from TIMES or from TFRAME."""
    table = skeleton.get("TIMES")
    if table is None:
        frame = _frame_interval(header)
        return [(plane, plane * frame, None) for plane in range(1, nplane + 1)]
    stream.seek(table.start)
    rows = _times_rows(stream.read(table.end - table.start))
    if len(rows) != nplane:
        raise Fault(
            "TIMES", f"{len(rows)} rows", f"one for each of the {nplane} reads", "mend the table"
        )
    wrong = [number for number, _ in rows if number < 1]
    if wrong:
        raise Fault("TIMES", f"READ_NO {wrong[0]}", "at least 1", "mend the table")
    reset = _integer(header, "RST_TIME", None)
    return [_moment(number, reset, start) for number, start in rows]


def _frame_interval(header: Mapping[str, Any]) -> float:
    """Give the time between the reads of a cube [s]."""
    frame = header.get("TFRAME")
    if isinstance(frame, int | float) and not isinstance(frame, bool) and 0 < frame < math.inf:
        return float(frame)
    got = "no value and no TIMES table" if frame is None else repr(frame)
    raise Fault("TFRAME", got, "the seconds between reads", "mend the header or add the table")


def _times_rows(hdu: bytes) -> list[tuple[int, int]]:
    """Read the columns READ_NO and READTIME."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter(
                "ignore"
            )  # what is odd about the table does not matter if it can be read
            rows = fits.BinTableHDU.fromstring(hdu).data
            pairs: Iterable[Any] = zip(rows["READ_NO"], rows["READTIME"], strict=True)
            return [(int(number), int(start)) for number, start in pairs]
    except Exception as error:  # a broken table can make the reader fail in any way
        said = str(error)[:200] or type(error).__name__
        raise Fault(
            "TIMES", f"'{said}'", "integer columns READ_NO and READTIME", "mend the table"
        ) from error


def _own_header(
    primary: Hdu, number: int, clock: tuple[int, int] | None
) -> tuple[dict[str, Any], bytes]:
    """Give a plane of a cube the header it would have as a file of its own."""
    header, cards = dict(primary.header), set_integer(primary.cards, "READ_NO", number)
    header["READ_NO"] = number
    if clock is not None:
        header["READTIME"] = clock[1]
        cards = set_integer(cards, "READTIME", clock[1])
    return header, cards
