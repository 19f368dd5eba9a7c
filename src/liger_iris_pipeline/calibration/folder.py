"""The reference files that lie in a folder, described once for a given state of it."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from liger_iris_pipeline.calibration.catalogue import Catalogue
from liger_iris_pipeline.calibration.integrity import read_manifest
from liger_iris_pipeline.calibration.item import Item, item_from_header
from liger_iris_pipeline.calibration.reference import Entry, examine
from liger_iris_pipeline.calibration.rulesfile import Rule
from liger_iris_pipeline.errors import ReferenceFileError, complaint

__all__ = ["Loose", "file_names", "forget", "forget_large", "loose_references"]

logger = logging.getLogger(__name__)

_ENDINGS = (".fits", ".fits.gz")
_FEW = 256  # files that are all looked at again for every question
_SETTLED_NS = 100_000_000  # a change within the clock tick of the last one does not show


class Loose(NamedTuple):
    """References of one type in a folder.

    Attributes
    ----------
    catalogue : Catalogue
        Those whose headers can be used.
    faults : mapping of str to str
        Files that cannot be used and why; also those whose type cannot be told.
    entries : mapping of str to Entry
        Headers by name.
    """

    catalogue: Catalogue
    faults: Mapping[str, str]
    entries: Mapping[str, Entry]


class _State(NamedTuple):
    """What tells one state of a folder from another."""

    root: Path
    names: tuple[str, ...]
    files: tuple[tuple[int, int], ...]
    mtime_ns: int


def file_names(root: Path) -> list[str]:
    """List the FITS files of a folder that are no hidden ones.

    Parameters
    ----------
    root : Path
        The folder.

    Returns
    -------
    list of str
        Sorted.

    Raises
    ------
    ReferenceFileError
        If the folder cannot be read.
    """
    return list(_state(root, managed=False).names)


def loose_references(root: Path, rule: Rule, *, managed: bool) -> Loose:
    """Describe the references of one type in a folder.

    A change is seen when a file is added, taken away or renamed, and in a folder of few files also
    when one is changed in its place.

    Parameters
    ----------
    root : Path
        The folder.
    rule : Rule
        Rule of the type.
    managed : bool
        Whether to leave out names that stand for contents of a store.

    Returns
    -------
    Loose
        The references.

    Raises
    ------
    ReferenceFileError
        If the folder cannot be read.
    """
    return _loose(_state(root, managed=managed), rule)


def forget() -> None:
    """Look at all files again when next asked."""
    _names.cache_clear()
    _entries.cache_clear()
    _loose.cache_clear()


def forget_large(root: Path) -> bool:
    """Look again at all files of a large folder: one may have been changed in its place.

    Parameters
    ----------
    root : Path
        The folder.

    Returns
    -------
    bool
        Whether it is a large one; in a small one no change is overlooked.
    """
    large = len(file_names(root)) > _FEW
    if large:
        forget()
    return large


def _state(root: Path, *, managed: bool) -> _State:
    """Look at a folder, or at what of it belongs to no store."""
    try:
        mtime_ns = root.stat().st_mtime_ns
        settled = time.time_ns() - mtime_ns > _SETTLED_NS
        names = _names(root, managed, mtime_ns) if settled else _list(root, managed)
    except OSError as error:
        raise ReferenceFileError(
            complaint(
                str(root),
                "folder",
                error.strerror,
                "a folder that can be read",
                "name it with --refs",
            )
        ) from error
    few = len(names) <= _FEW or not settled
    files = tuple(_file_state(root / name) for name in names) if few else ()
    return _State(root, names, files, 0 if few else mtime_ns)


def _list(root: Path, managed: bool) -> tuple[str, ...]:
    """List the FITS files of a folder, of a store those that are no names of its contents."""
    entered = read_manifest(root) if managed else {}
    with os.scandir(root) as items:
        found = [i for i in items if i.name.lower().endswith(_ENDINGS) and i.name[0] != "."]
    if managed:  # the name of a content is a link, and listed: nothing has to be asked of the disk
        found = [i for i in found if not (i.is_symlink() and i.name in entered)]
    return tuple(sorted(item.name for item in found if not item.is_dir()))


@lru_cache(maxsize=64)
def _names(root: Path, managed: bool, mtime_ns: int) -> tuple[str, ...]:
    """List the FITS files of a folder; the time is there for the cache."""
    return _list(root, managed)


def _file_state(path: Path) -> tuple[int, int]:
    """Give size and time of a file; -1 for a link to nothing."""
    try:
        status = path.stat()
    except OSError:
        return -1, -1
    return status.st_size, status.st_mtime_ns


@lru_cache(maxsize=16)
def _entries(state: _State) -> tuple[Entry, ...]:
    """Describe every file, saying once which ones are broken."""
    entries = tuple(examine(state.root / name) for name in state.names)
    for entry in entries:
        if entry.fault is not None:
            logger.warning("%s %s; it is not used", entry.path.name, entry.fault)
    return entries


@lru_cache(maxsize=128)
def _loose(state: _State, rule: Rule) -> Loose:
    """Describe the references of one type."""
    items: list[Item] = []
    faults: dict[str, str] = {}
    known: dict[str, Entry] = {}
    for entry in _entries(state):
        if entry.reftype not in (rule.reftype, None):
            continue
        name = entry.path.name
        fault = entry.fault
        if fault is None:
            try:
                items.append(item_from_header(name, entry.header, rule.match))
                known[name] = entry
            except ValueError:
                fault = f"GOODUNTL {entry.header.get('GOODUNTL')!r} is no ISO date"
        if fault is not None:
            faults[name] = fault
    return Loose(Catalogue(rule, items), faults, known)
