"""Checksums of files."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

__all__ = ["file_state", "read_sha256", "sha256_of"]


def sha256_of(path: str | Path) -> str:
    """Give the SHA-256 of a file.

    Computed once per process for a given size and modification time.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    str
        64 lower-case hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    return _sha256(*file_state(path))


@lru_cache(maxsize=65536)
def _sha256(path: Path, size: int, mtime_ns: int) -> str:
    """Hash a file; size and time are there for the cache."""
    return read_sha256(path)


def read_sha256(path: Path) -> str:
    """Give the SHA-256 of a file, every byte read again whatever was computed before.

    Parameters
    ----------
    path : Path
        The file.

    Returns
    -------
    str
        64 lower-case hexadecimal digits.

    Raises
    ------
    OSError
        If the file cannot be read.
    """
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def file_state(path: str | Path) -> tuple[Path, int, int]:
    """Give what tells one content of a file from another, as far as a glance can.

    Parameters
    ----------
    path : str or Path
        The file.

    Returns
    -------
    path : Path
        Absolute, links resolved.
    size : int
        In bytes.
    mtime_ns : int
        Modification time [ns].

    Raises
    ------
    OSError
        If the file is not there.
    """
    resolved = Path(path).resolve()
    status = resolved.stat()
    return resolved, status.st_size, status.st_mtime_ns
