"""Whether reference files are whole and unchanged: checksums, their manifest, and truncation."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path

from liger_iris_pipeline.errors import ReferenceFileError, complaint
from liger_iris_pipeline.models.digest import file_state
from liger_iris_pipeline.models.fitsfile import (
    Fault,
    open_stream,
    survey,
    verify_sums,
)

__all__ = [
    "MANIFEST",
    "fault_in",
    "format_manifest",
    "image_shape",
    "read_manifest",
    "sum_fault",
]

MANIFEST = "SHA256SUMS"
"""File of a store that lists checksums as ``sha256sum`` writes them."""

_LINE = re.compile(r"([0-9a-fA-F]{64}) [ *](.+)")
_CUT = "truncated"


def fault_in(path: str | Path) -> str | None:
    """Say what keeps a FITS file from being read whole.

    Looked at once per process for a given size and modification time.

    Parameters
    ----------
    path : str or Path
        ``.fits`` or ``.fits.gz``. Of a plain file only the headers are read and the size is
        compared; a compressed one has to be decompressed.

    Returns
    -------
    str or None
        The fault in a few words; None if every HDU is there in full.
    """
    try:
        return _fault(*file_state(path))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


def _fault(path: Path, size: int, mtime_ns: int) -> str | None:
    """Say what a walk over the HDUs of a file finds."""
    return _survey(path, size, mtime_ns)[0]


@lru_cache(maxsize=65536)
def _survey(path: Path, size: int, mtime_ns: int) -> tuple[str | None, tuple[int, int] | None]:
    """Walk the HDUs of a file, for its fault or the shape of its first image.

    Size and time are there for the cache.
    """
    try:
        stream, length = open_stream(path)
        with stream:
            skeleton = survey(stream, length)
    except Fault as fault:
        kind = "is truncated" if _CUT in fault.got else "is not FITS or is broken"
        return f"{kind} ({fault.part}: {fault.got})", None
    shapes = (hdu.shape for hdu in skeleton.hdus if not hdu.is_table)
    shape = next(((ny, nx) for *_, ny, nx in (s for s in shapes if len(s) > 1)), None)
    return None, shape


def sum_fault(path: str | Path) -> str | None:
    """Say whether the data of a FITS file still have the sums its headers state.

    Computed once per process for a given size and modification time.

    Parameters
    ----------
    path : str or Path
        ``.fits`` or ``.fits.gz``, whole.

    Returns
    -------
    str or None
        ``DATASUM: got …, expected …``; None if all are right or none is stated.
    """
    try:
        return _sum_fault(*file_state(path))
    except OSError as error:
        return f"cannot be read ({error.strerror or error})"


@lru_cache(maxsize=4096)
def _sum_fault(path: Path, size: int, mtime_ns: int) -> str | None:
    """Verify the sums of a file; size and time are there for the cache."""
    try:
        stream, length = open_stream(path)
        with stream:
            skeleton = survey(stream, length)
            if any("DATASUM" in hdu.header for hdu in skeleton.hdus):
                verify_sums(stream, skeleton)
    except Fault as fault:
        return f"{fault.part}: got {fault.got}, expected {fault.expected}"
    return None


def image_shape(path: str | Path) -> tuple[int, int] | None:
    """Give the shape of the images of a reference.

    Parameters
    ----------
    path : str or Path
        ``.fits`` or ``.fits.gz``.

    Returns
    -------
    tuple of int or None
        Rows and columns of the first image; None without one, or if the file cannot be read.
    """
    try:
        return _survey(*file_state(path))[1]
    except OSError:
        return None


def read_manifest(folder: Path) -> dict[str, str]:
    """Read the checksums of a store, once per process for a given size and modification time.

    Parameters
    ----------
    folder : Path
        The store.

    Returns
    -------
    dict of str to str
        SHA-256 (lower case) by file name; empty without a manifest.

    Raises
    ------
    ReferenceFileError
        If the manifest cannot be read or one of its lines is not of the form ``sha256sum`` writes.
    """
    try:
        return dict(_manifest(*file_state(folder / MANIFEST)))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise ReferenceFileError(
            complaint(
                folder / MANIFEST,
                "file",
                error,
                "readable text",
                "repair it or write it anew with sha256sum",
            )
        ) from error


@lru_cache(maxsize=64)
def _manifest(path: Path, size: int, mtime_ns: int) -> Mapping[str, str]:
    """Parse a manifest; size and time are there for the cache."""
    lines = path.read_text("utf-8").splitlines()
    sums = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        found = _LINE.fullmatch(line.rstrip())
        if found is None:
            raise ReferenceFileError(
                complaint(
                    path,
                    f"line {number}",
                    repr(line[:80]),
                    "64 hexadecimal digits, two blanks and a file name",
                    "repair it or write it anew with sha256sum",
                )
            )
        sums[found[2].removeprefix("./")] = found[1].lower()
    return sums


def format_manifest(sums: Mapping[str, str]) -> str:
    """Write checksums in the form of ``sha256sum``, sorted by file name.

    Parameters
    ----------
    sums : mapping of str to str
        SHA-256 by file name.

    Returns
    -------
    str
        One line a file.
    """
    return "".join(f"{sums[name]}  {name}\n" for name in sorted(sums))
