"""Every exception that crosses a public boundary of the package.

::

    IrisError                      anything we raise on purpose
    ├── UsageError                 the command line or a parameter is wrong           (exit status 2)
    ├── DiskError                  a file system is full or cannot be written         (exit status 1)
    ├── WatchError                 the real-time mode cannot begin or go on           (exit status 1)
    └── InputError                 an input cannot be used                            (exit status 1)
        ├── ReadError              a raw read is broken or contradicts its ramp
        ├── ProductError           a product, its metadata or its name cannot be used
        ├── AssociationError       an association or one of its members cannot be used
        ├── ReplayError            a product cannot be made again
        └── ReferenceFileError     a reference file cannot be used
            ├── CertificationError     it does not meet what the store asks for
            ├── ContextError           a context or its rules cannot be used
            └── MissingReferenceError  no reference file fits

Messages are one line, ``FILE: KEY or part: got …, expected …; remedy``; :func:`complaint` writes them.
"""

from __future__ import annotations

import errno
from pathlib import Path

__all__ = [
    "AssociationError",
    "CertificationError",
    "ContextError",
    "DiskError",
    "InputError",
    "IrisError",
    "MissingReferenceError",
    "ProductError",
    "ReadError",
    "ReferenceFileError",
    "ReplayError",
    "UsageError",
    "WatchError",
    "complaint",
    "disk_error",
]


class IrisError(Exception):
    """Base of all errors raised on purpose by the data reduction system."""

    exit_status = 1


class UsageError(IrisError):
    """The command line, an option or a parameter is wrong."""

    exit_status = 2


class DiskError(IrisError):
    """A file system is full or cannot be written; nothing was left behind."""


class WatchError(IrisError):
    """The real-time mode cannot begin or go on."""


class InputError(IrisError):
    """An input cannot be used; what already exists on disk is left alone."""


class ReadError(InputError):
    """A raw read is broken, lacks its identity or contradicts its ramp."""


class ProductError(InputError):
    """A product, its metadata or its file name cannot be used."""


class AssociationError(InputError):
    """An association or one of its members cannot be used."""


class ReplayError(InputError):
    """A product cannot be made again from what it says of itself."""


class ReferenceFileError(InputError):
    """A reference file cannot be used."""


class CertificationError(ReferenceFileError):
    """A reference file does not meet what the store asks of one."""


class ContextError(ReferenceFileError):
    """A context, or one of its rules files, cannot be used."""


class MissingReferenceError(ReferenceFileError):
    """No reference file fits, or there is no store to look in."""


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EIO, errno.EFBIG}


def disk_error(error: OSError, where: str | Path | None = None) -> DiskError:
    """Turn an error of the file system into one with a remedy.

    Parameters
    ----------
    error : OSError
        What the system said.
    where : str or Path, optional
        File that was written; the system's own word for it without one.

    Returns
    -------
    DiskError
        ``FILE: disk: got 'No space left on device', expected …``; ``FILE: file: …`` where it is not the disk's fault.
    """
    written = where is not None
    if where is None:
        where = Path(error.filename) if isinstance(error.filename, str) else "disk"
    is_short = "requested and" in str(error)  # NumPy's words for a write that stopped half-way
    said = "'No space left on device'" if is_short else f"'{error.strerror or error}'"
    if written or is_short or error.errno in _DISK:
        expected = "room and permission to write"
        remedy = "free some space or choose another folder; nothing was left behind"
        return DiskError(complaint(where, "disk", said, expected, remedy))
    return DiskError(
        complaint(where, "file", said, "one that can be used", "mend it and run again")
    )


def complaint(where: str | Path, part: str, got: object, expected: object, remedy: str) -> str:
    """Write the one-line message of an error.

    Parameters
    ----------
    where : str or Path
        File (its name is shown, not its folder) or other place of the fault.
    part : str
        Keyword, extension or other part of the file.
    got : object
        What was found there.
    expected : object
        What should have been there.
    remedy : str
        What the user can do.

    Returns
    -------
    str
        ``FILE: PART: got GOT, expected EXPECTED; REMEDY``, without line breaks.
    """
    name = where.name if isinstance(where, Path) else where
    return " ".join(f"{name}: {part}: got {got}, expected {expected}; {remedy}".split())
