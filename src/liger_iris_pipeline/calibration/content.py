"""Content-addressed files: stored once under their SHA-256, with a link of their name beside."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

__all__ = ["FILES", "content_path", "flush", "keep", "name_it", "points_into", "write_new"]

FILES = "files"
_READ_ONLY = 0o444
_NO_LINKS = frozenset({errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK, errno.EXDEV})


def content_path(root: Path, sha256: str) -> Path:
    """Give the place of a content: ``files/ab/ab12…``."""
    return root / FILES / sha256[:2] / sha256


def points_into(path: Path) -> bool:
    """Say whether a name of a store is a link to one of its contents."""
    return path.is_symlink() and path.readlink().parts[:1] == (FILES,)


def keep(root: Path, staged: Path, sha256: str) -> None:
    """Move a staged file to its place, never to be written again.

    Parameters
    ----------
    root : Path
        The store.
    staged : Path
        A file on the same file system; gone afterwards.
    sha256 : str
        Its checksum.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    final = content_path(root, sha256)
    final.parent.mkdir(parents=True, exist_ok=True)
    flush(staged)
    staged.chmod(_READ_ONLY)
    staged.replace(final)


def name_it(root: Path, name: str, sha256: str, work: Path) -> None:
    """Give a content its name: a link, or where the file system has none, a hard link or a copy.

    Parameters
    ----------
    root : Path
        The store.
    name : str
        File name; what has it is replaced in one instant.
    sha256 : str
        Content.
    work : Path
        Folder on the same file system for what is not finished.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    content, temporary = content_path(root, sha256), work / f"{name}.link"
    try:
        temporary.symlink_to(content.relative_to(root))
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        _copy(content, temporary)
    temporary.replace(root / name)


def _copy(content: Path, temporary: Path) -> None:
    """Make a hard link, else a copy."""
    try:
        temporary.hardlink_to(content)
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
        shutil.copyfile(content, temporary)
        flush(temporary)


def write_new(path: Path, text: str, work: Path) -> None:
    """Write a small file in one instant.

    Parameters
    ----------
    path : Path
        Its name.
    text : str
        Its content.
    work : Path
        Folder on the same file system for what is not finished.

    Raises
    ------
    OSError
        If it cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = work / path.name
    temporary.write_text(text, "utf-8")
    flush(temporary)
    temporary.replace(path)


def flush(path: Path) -> None:
    """Bring a file to the disk before it gets its name."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
