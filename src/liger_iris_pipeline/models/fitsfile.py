"""The skeleton of a FITS file: is it whole, are its checksums right, where does each HDU lie.

Written for files that may be broken: whatever their bytes are, the only error is :class:`Fault`.
"""

from __future__ import annotations

import gzip
import io
import math
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, TypeGuard

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.models.cards import BLOCK, CARD, parse_cards

__all__ = [
    "MEND",
    "Digest",
    "Fault",
    "Hdu",
    "Skeleton",
    "decompressed",
    "fill_pixels",
    "open_stream",
    "read_header",
    "read_image",
    "stored_pixels",
    "survey",
    "verify_sums",
]

COPY_AGAIN = "copy it again"
MEND = "mend the header or leave the file out"
_ONES = 0xFFFFFFFF
_BITPIX = frozenset({8, 16, 32, 64, -32, -64})
_GZIP = b"\x1f\x8b"
_MAX_AXES = 999
_PIECE = 1 << 18  # bytes; a multiple of 4
_PIXELS = 1 << 20  # bytes of pixels that are turned into native order at a time, in cache
_BYTE = 8  # bits
_NATIVE: Mapping[int, str] = {8: "u1", 16: "i2", 32: "i4", 64: "i8", -32: "f4", -64: "f8"}


class Digest(Protocol):
    """What bytes are fed to, such as an object of hashlib."""

    def update(self, data: bytes | memoryview, /) -> None:
        """Take more bytes."""


class _Readable(Protocol):
    """What a header is read from."""

    def read(self, size: int, /) -> bytes:
        """Read at most so many bytes."""


class Fault(Exception):  # noqa: N818 - what is wrong with a file; the caller makes an error of it
    """What is wrong with a file, in the parts of a message.

    Attributes
    ----------
    part, got, expected, remedy : str
        As in :func:`liger_iris_pipeline.errors.complaint`.
    """

    def __init__(self, part: str, got: object, expected: str, remedy: str = COPY_AGAIN) -> None:
        super().__init__(f"{part}: got {got}, expected {expected}; {remedy}")
        self.part, self.got, self.expected, self.remedy = part, str(got), expected, remedy

    def as_error(self, path: Path, kind: type[InputError]) -> InputError:
        """Make the error that names the file."""
        return kind(complaint(path, self.part, self.got, self.expected, self.remedy))


@dataclass(frozen=True)
class Hdu:
    """One HDU of a file.

    Attributes
    ----------
    name : str
        EXTNAME in upper case, ``PRIMARY``, or ``HDU n``.
    cards : bytes
        Its header without END.
    header : mapping
        Its keywords.
    start, data_start, data_size, end : int
        Where it lies [byte]; `end` includes the padding.
    """

    name: str
    cards: bytes = field(repr=False)
    header: Mapping[str, Any] = field(repr=False)
    start: int
    data_start: int
    data_size: int
    end: int

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of its image, slow axis first; that of the original for a compressed one."""
        prefix = "ZNAXIS" if self.header.get("ZIMAGE") is True else "NAXIS"
        naxis = self.header.get(prefix, 0)
        axes = [self.header.get(f"{prefix}{axis}", 0) for axis in range(naxis, 0, -1)]
        return tuple(int(axis) for axis in axes)

    @property
    def bitpix(self) -> int:
        """BITPIX of its image; that of the original for a compressed one."""
        return int(self.header.get("ZBITPIX" if self.header.get("ZIMAGE") is True else "BITPIX", 0))

    @property
    def is_table(self) -> bool:
        """Whether it is a table, not an image."""
        return self.header.get("XTENSION") in ("BINTABLE", "TABLE") and not self.header.get(
            "ZIMAGE"
        )


@dataclass(frozen=True)
class Skeleton:
    """All HDUs of a file that is whole.

    Attributes
    ----------
    hdus : tuple of Hdu
        PRIMARY first.
    trailing : int
        Bytes after the last HDU.
    """

    hdus: tuple[Hdu, ...]
    trailing: int

    def get(self, name: str) -> Hdu | None:
        """Give the first HDU of a name."""
        return next((hdu for hdu in self.hdus if hdu.name == name), None)


def decompressed(data: bytes) -> bytes:
    """Decompress the bytes of a file if they are a gzip file.

    Parameters
    ----------
    data : bytes
        All bytes of a file.

    Returns
    -------
    bytes
        The same, or what was packed.

    Raises
    ------
    Fault
        If the gzip file is broken or ends early.
    """
    if not data.startswith(_GZIP):
        return data
    try:
        return gzip.decompress(data)
    except (EOFError, OSError, zlib.error) as error:
        raise Fault("file", f"a broken gzip file ({error})", "a whole one") from error


def read_header(path: Path) -> bytes:
    """Read the cards of the PRIMARY header, and no more than that.

    Parameters
    ----------
    path : Path
        ``.fits`` or ``.fits.gz``.

    Returns
    -------
    bytes
        Cards without END.

    Raises
    ------
    Fault
        If the file cannot be read or is not FITS.
    """
    try:
        _refuse_special(path)
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
            plain.seek(0)
            if not packed:
                return _header(plain, "PRIMARY")
            with gzip.open(plain, "rb") as stream:
                return _header(stream, "PRIMARY")
    except (OSError, EOFError, zlib.error) as error:
        raise _unreadable(error) from error


def _unreadable(error: Exception) -> Fault:
    """Say why a file cannot be read."""
    said = error.strerror if isinstance(error, OSError) and error.strerror else error
    return Fault("file", f"'{said}'", "a readable FITS file", "check its name and permissions")


def _header(stream: _Readable, part: str) -> bytes:
    """Read the cards of the header that begins here, without END."""
    magic = b"SIMPLE  =" if part == "PRIMARY" else b"XTENSION="
    blocks = b""
    while True:
        block = stream.read(BLOCK)
        if not blocks and not block.startswith(magic):
            what = (
                "an empty file"
                if not block
                else f"a file that does not begin with {magic[:8].decode().strip()}"
            )
            raise Fault(part, what, "FITS", "give FITS files only" if block else COPY_AGAIN)
        if len(block) < BLOCK:
            raise Fault(part, "a header that ends early: the file is truncated", "an END card")
        end = _find_end(block)
        if end is not None:
            return blocks + block[:end]
        blocks += block


def _find_end(block: bytes) -> int | None:
    """Find the END card of a block."""
    for at in range(0, BLOCK, CARD):
        if block[at : at + 8] == b"END     ":
            return at
    return None


def survey(stream: BinaryIO, size: int) -> Skeleton:
    """Walk the HDUs of a file and compare where they end with its size.

    Parameters
    ----------
    stream : binary file
        At its beginning; only headers are read.
    size : int
        Bytes of the file.

    Returns
    -------
    Skeleton
        All HDUs.

    Raises
    ------
    Fault
        If the file is not FITS or is truncated.
    """
    hdus: list[Hdu] = []
    at = 0
    while at < size:
        part = f"HDU {len(hdus) + 1}" if hdus else "PRIMARY"
        stream.seek(at)
        if hdus and not _extension_begins(stream, at, size):
            break
        cards = _header(stream, part)
        header = parse_cards(cards)
        data_start = stream.tell()
        data_size = _data_size(header, part)
        end = data_start + -(-data_size // BLOCK) * BLOCK
        name = str(header.get("EXTNAME") or part).strip().upper()
        if end > size:
            raise Fault(name, f"a file of {size} bytes: it is truncated", f"at least {end}")
        hdus.append(Hdu(name if hdus else "PRIMARY", cards, header, at, data_start, data_size, end))
        at = end
    if not hdus:
        raise Fault("PRIMARY", "an empty file", "FITS")
    return Skeleton(tuple(hdus), size - at)


def _extension_begins(stream: BinaryIO, at: int, size: int) -> bool:
    """Tell the next extension, whole or cut off, from other bytes after the last HDU."""
    begun = stream.read(8)
    stream.seek(at)
    return begun == b"XTENSION" or (size - at < 8 and b"XTENSION".startswith(begun))


def _data_size(header: Mapping[str, Any], part: str) -> int:
    """Give the bytes of the data that a header promises."""
    bitpix, naxis = header.get("BITPIX"), header.get("NAXIS")
    if not isinstance(bitpix, int) or bitpix not in _BITPIX:
        raise Fault(part, f"BITPIX {bitpix}", "8, 16, 32, 64, -32 or -64", MEND)
    if not _is_count(naxis) or naxis > _MAX_AXES:
        raise Fault(part, f"NAXIS {naxis}", f"0 to {_MAX_AXES}", MEND)
    if naxis == 0:
        return 0
    names = [*(f"NAXIS{axis}" for axis in range(1, naxis + 1)), "PCOUNT", "GCOUNT"]
    values = [header.get(name, 1 if name == "GCOUNT" else 0) for name in names]
    for name, value in zip(names, values, strict=True):
        if not _is_count(value) or (name.startswith("NAXIS") and name not in header):
            raise Fault(part, f"{name} {value}", "a count", MEND)
    axes, counts, product = values[:-2], values[-2:], 1
    for axis in axes[1:] if axes[0] == 0 and header.get("GROUPS") is True else axes:
        product *= axis
    return int(abs(bitpix) // 8 * counts[1] * (counts[0] + product))


def _is_count(value: object) -> TypeGuard[int]:
    """Say whether a value is an integer of at least 0."""
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def verify_sums(stream: BinaryIO, skeleton: Skeleton, digest: Digest | None = None) -> list[Fault]:
    """Verify DATASUM and CHECKSUM of every HDU that has them, in one pass over the file.

    Parameters
    ----------
    stream : binary file
        The file, unpacked.
    skeleton : Skeleton
        Where its HDUs lie.
    digest : hash object of hashlib, optional
        Is fed all bytes of the file on the way; without it, HDUs without sums are not read.

    Returns
    -------
    list of Fault
        A CHECKSUM that is wrong alone, which does no harm to the data.

    Raises
    ------
    Fault
        If a DATASUM is wrong, or the file is shorter than it was.

    References
    ----------
    Seaman, Pence & Rots, FITS Checksum Proposal; FITS Standard 4.0, section 4.4.2.7 and appendix J.
    """
    warnings = []
    buffer = bytearray(_PIECE)
    for hdu in skeleton.hdus:
        wanted = str(hdu.header.get("DATASUM") or "").strip()
        checksum = str(hdu.header.get("CHECKSUM") or "").strip()
        if not wanted and not checksum.strip("0") and digest is None:
            continue
        stream.seek(hdu.start)
        head = _ones_complement_sum(stream, hdu.data_start - hdu.start, buffer, digest)
        total = _ones_complement_sum(stream, hdu.end - hdu.data_start, buffer, digest)
        if wanted and not (wanted.isascii() and wanted.isdigit() and int(wanted) == total):
            expected = f"{total}, the sum of the data of {hdu.name}"
            raise Fault("DATASUM", wanted, expected, "the data have changed: copy the file again")
        if checksum.strip("0") and _folded(head + total) not in (0, _ONES):
            got = f"a header of {hdu.name} that does not match it"
            warnings.append(Fault("CHECKSUM", got, "an unchanged one", "the data are used"))
    while digest is not None and (rest := stream.read(_PIECE)):
        digest.update(rest)
    return warnings


def _ones_complement_sum(
    stream: BinaryIO, size: int, buffer: bytearray, digest: Digest | None
) -> int:
    """Add 32-bit big-endian words with end-around carry, a piece at a time that stays in cache."""
    total = 0
    view = memoryview(buffer)
    while size:
        piece = view[: min(size, len(buffer))]
        if stream.readinto(piece) != len(piece):  # type: ignore[attr-defined]
            raise Fault("file", "fewer bytes than a moment ago", "a file that stays as it is")
        if digest is not None:
            digest.update(piece)
        total += int(np.frombuffer(piece, ">u4").sum(dtype=np.uint64))
        size -= len(piece)
    return _folded(total)


def _folded(total: int) -> int:
    """Carry what is above 32 bits around."""
    while total > _ONES:
        total = (total & _ONES) + (total >> 32)
    return total


def _refuse_special(path: Path) -> None:
    """Refuse a pipe or device: opening one would wait for somebody to write into it."""
    if path.exists() and not path.is_file() and not path.is_dir():
        got = "something that is not a plain file"
        raise Fault("file", got, "a FITS file", "check its name")


def open_stream(path: Path) -> tuple[BinaryIO, int]:
    """Open a file for :func:`survey`, decompressed in memory if it is packed.

    Parameters
    ----------
    path : Path
        ``.fits`` or ``.fits.gz``.

    Returns
    -------
    stream : binary file
        To be closed by the caller.
    size : int
        Bytes of the file, unpacked.

    Raises
    ------
    Fault
        If the file cannot be read.
    """
    try:
        _refuse_special(path)
        with path.open("rb") as plain:
            packed = plain.read(2) == _GZIP
        if packed:
            data = decompressed(path.read_bytes())
            return io.BytesIO(data), len(data)
        return path.open("rb"), path.stat().st_size
    except OSError as error:
        raise _unreadable(error) from error


def read_image(stream: BinaryIO, hdu: Hdu) -> npt.NDArray[Any] | None:
    """Read the pixels of an image, once over memory and without a second copy.

    Parameters
    ----------
    stream : binary file
        The file, unpacked; it is left behind the pixels.
    hdu : Hdu
        As :func:`survey` found it.

    Returns
    -------
    ndarray, or None
        Pixels of the type of BITPIX, unsigned where BZERO says so, in native byte order and
        writable. None where there are none, or they are compressed or scaled or have a BLANK.

    Raises
    ------
    Fault
        If the file is shorter than it was.
    """
    header = hdu.header
    if hdu.is_table or "ZIMAGE" in header or "BLANK" in header or header.get("BSCALE", 1) != 1:
        return None
    bits, zero = abs(hdu.bitpix), header.get("BZERO", 0)
    unsigned = hdu.bitpix > _BYTE and zero == 1 << (bits - 1)
    is_plain = bits * math.prod(hdu.shape) == _BYTE * hdu.data_size > 0
    if not is_plain or not (zero == 0 or unsigned):
        return None
    kind = _NATIVE[hdu.bitpix]
    pixels = np.empty(hdu.shape, f"u{kind[1:]}" if unsigned else kind)
    stream.seek(hdu.data_start)
    if not fill_pixels(pixels, stream):
        raise Fault(hdu.name, "fewer bytes than a moment ago", "a file that stays as it is")
    return pixels


def fill_pixels(pixels: npt.NDArray[Any], stream: BinaryIO) -> bool:
    """Read pixels as FITS stores them into an array, some at a time that stay in cache.

    Parameters
    ----------
    pixels : ndarray, C order
        Filled, native byte order; unsigned integers of two bytes and more are taken to be stored as
        signed ones with a BZERO of half their range.
    stream : binary file
        Where they begin.

    Returns
    -------
    bool
        Whether all of them came.
    """
    flat = pixels.reshape(-1)
    some, top = _some_stored(flat), _offset(flat.dtype)
    for at in range(0, flat.size, max(some.size, 1)):
        part = flat[at : at + some.size]
        piece = some[: part.size]
        if stream.readinto(piece.view(np.uint8).data) != piece.nbytes:  # type: ignore[attr-defined]
            return False
        part[:] = piece
        if top:
            part ^= flat.dtype.type(top)
    return True


def stored_pixels(pixels: npt.NDArray[Any]) -> Iterator[npt.NDArray[Any]]:
    """Give the pixels of an array as FITS stores them, some at a time that stay in cache.

    Parameters
    ----------
    pixels : ndarray
        In any byte order; it is not changed.

    Yields
    ------
    ndarray (n,)
        In big-endian order, unsigned integers of two bytes and more with half their range taken off; good until the
        next is asked for.
    """
    flat = pixels.reshape(-1)
    some, top = _some_stored(flat), _offset(flat.dtype)
    for at in range(0, flat.size, max(some.size, 1)):
        part = flat[at : at + some.size]
        piece = some[: part.size]
        piece[:] = part ^ flat.dtype.type(top) if top else part
        yield piece


def _some_stored(flat: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Make room for some pixels as FITS stores them."""
    return np.empty(min(flat.size, _PIXELS // flat.itemsize), flat.dtype.newbyteorder(">"))


def _offset(dtype: np.dtype[Any]) -> int:
    """Give half the range of unsigned integers that FITS stores as signed ones; 0 for others."""
    return 1 << (8 * dtype.itemsize - 1) if dtype.kind == "u" and dtype.itemsize > 1 else 0
