"""How a reference enters a store: staged, certified, stored by content, named, and a new context."""

from __future__ import annotations

import fcntl
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import Any, NamedTuple

from liger_iris_pipeline.calibration.certify import certify
from liger_iris_pipeline.calibration.content import content_path, keep, name_it, write_new
from liger_iris_pipeline.calibration.context import (
    CONTEXTS,
    CURRENT,
    RULES,
    Context,
    current_name,
    draft_context,
    load_context,
)
from liger_iris_pipeline.calibration.folder import forget
from liger_iris_pipeline.calibration.integrity import (
    MANIFEST,
    fault_in,
    format_manifest,
    read_manifest,
)
from liger_iris_pipeline.calibration.item import Item, item_from_header
from liger_iris_pipeline.calibration.reference import Entry, examine, reference_name
from liger_iris_pipeline.calibration.rulebook import CONTEXT, SHIPPED, load_rulebook
from liger_iris_pipeline.errors import (
    CertificationError,
    ReferenceFileError,
    UsageError,
    complaint,
)
from liger_iris_pipeline.models.digest import sha256_of

__all__ = ["CANDIDATES", "enter", "enter_items", "restore_links", "set_current", "writing"]

CANDIDATES = "candidates"

Source = str | Path | Callable[[Path], object]


class _Staged(NamedTuple):
    """A file that is to be entered."""

    path: Path
    name: str
    sha256: str
    entry: Entry


def enter(
    root: Path,
    sources: Sequence[tuple[Source, Mapping[str, Any] | None]],
    night: date | None = None,
) -> list[tuple[str, str]]:
    """Enter files into a store with one new context: all of them, or none.

    Parameters
    ----------
    root : Path
        The store, or a folder that becomes one.
    sources : sequence of tuple
        A file or a function that writes one, and the keywords that name it, needed with a function.
    night : date, optional
        Night whose context they are added to.

    Returns
    -------
    list of tuple of str
        Name and SHA-256 of each.

    Raises
    ------
    CertificationError
        If one is not fit; it is kept under ``candidates/`` with the reasons.
    ReferenceFileError
        If one cannot be read, named or written, or its name stands for another content.
    """
    with (
        writing(root),
        tempfile.TemporaryDirectory(prefix=".adding-", dir=root) as work,
    ):
        staged = []
        for number, (source, header) in enumerate(sources):
            folder = Path(work) / str(number)
            folder.mkdir()
            staged.append(_examined(_stage(source, header, folder)))
        _certify(root, staged)
        with _locked(root):
            _publish(root, staged, night, Path(work))
    forget()
    return [(one.name, one.sha256) for one in staged]


def enter_items(root: Path, items: Sequence[Item], night: date | None = None) -> str:
    """Make a context with references whose contents and names are in the store already.

    Parameters
    ----------
    root : Path
        The store, or a folder that becomes one.
    items : sequence of Item
        The references; those that the context has are left out.
    night : date, optional
        Night whose context they are added to.

    Returns
    -------
    str
        Name of the context in force afterwards.

    Raises
    ------
    ReferenceFileError
        If the store cannot be written or its context cannot be used.
    """
    with (
        writing(root),
        tempfile.TemporaryDirectory(prefix=".adding-", dir=root) as work,
        _locked(root),
    ):
        return _append(root, items, night, Path(work))


def set_current(root: Path, name: str) -> None:
    """Put a context in force.

    Parameters
    ----------
    root : Path
        The store.
    name : str
        A context that is there.

    Raises
    ------
    ReferenceFileError
        If the store cannot be written.
    """
    with (
        writing(root),
        tempfile.TemporaryDirectory(prefix=".adding-", dir=root) as work,
        _locked(root),
    ):
        write_new(root / CONTEXTS / CURRENT, f"{name}\n", Path(work))


def restore_links(root: Path, items: Sequence[Item]) -> None:
    """Give contents their names back where the names are gone.

    Parameters
    ----------
    root : Path
        The store.
    items : sequence of Item
        References that were entered.

    Raises
    ------
    ReferenceFileError
        If the store cannot be written.
    """
    gone = [
        item
        for item in items
        if not os.path.lexists(root / item.file) and content_path(root, item.sha256).exists()
    ]
    if not gone:
        return
    with (
        writing(root),
        tempfile.TemporaryDirectory(prefix=".adding-", dir=root) as work,
        _locked(root),
    ):
        for item in gone:
            name_it(root, item.file, item.sha256, Path(work))


def _stage(source: Source, header: Mapping[str, Any] | None, folder: Path) -> Path:
    """Copy or write a file into a folder of its own."""
    if callable(source):
        if header is None:
            raise UsageError(
                complaint("Store.add", "header", "none", "the keywords of the file", "give them")
            )
        staged = folder / reference_name(header)
        source(staged)
        if staged.is_file() and reference_name(examine(staged).header) != staged.name:
            raise ReferenceFileError(
                complaint(
                    staged,
                    "header",
                    "keywords of another name",
                    "those given",
                    "write the same keywords",
                )
            )
        return staged
    if not Path(source).is_file():
        raise ReferenceFileError(
            complaint(str(source), "file", "nothing", "a reference file", "name one that is there")
        )
    staged = folder / Path(source).name
    shutil.copyfile(source, staged)
    return staged


def _examined(staged: Path) -> _Staged:
    """Find the name of a file, refusing one that cannot be named."""
    entry = examine(staged)
    fault = entry.fault or fault_in(staged)
    if fault is not None:
        raise ReferenceFileError(
            complaint(staged, "file", f"one that {fault}", "a reference file", "write it anew")
        )
    ending = ".gz" if staged.suffix == ".gz" else ""
    return _Staged(staged, reference_name(entry.header) + ending, sha256_of(staged), entry)


def _certify(root: Path, staged: Sequence[_Staged]) -> None:
    """Refuse files that are not fit, keeping them apart with the reasons."""
    rules = load_rulebook(CONTEXT)
    refused: list[tuple[str, tuple[str, ...]]] = []
    for one in staged:
        rule = rules.rule(str(one.entry.reftype))
        faults = certify(one.path, one.entry.header, rule)
        if faults:
            refused.append((one.name, faults))
            folder = root / CANDIDATES
            folder.mkdir(exist_ok=True)
            one.path.replace(folder / one.name)
            why = "".join(f"{fault}\n" for fault in faults)
            (folder / f"{one.name}.why").write_text(why, "utf-8")
    if not refused:
        return
    name, faults = refused[0]
    count = sum(len(faults) for _, faults in refused) - 1
    more = f"; and {count} more, see {root / CANDIDATES}" if count else ""
    raise CertificationError(f"{name}: {faults[0]}{more}")


def _publish(root: Path, staged: Sequence[_Staged], night: date | None, work: Path) -> None:
    """Store files by content, name them, list them and make a context with them."""
    sums = read_manifest(root)
    for one in staged:
        _expect_same_content(root / one.name, one.sha256, sums)
    for one in staged:
        if not content_path(root, one.sha256).exists():
            keep(root, one.path, one.sha256)
        name_it(root, one.name, one.sha256, work)
        for left in (root / CANDIDATES / one.name, root / CANDIDATES / f"{one.name}.why"):
            left.unlink(missing_ok=True)
    listed = {**sums, **{one.name: one.sha256 for one in staged}}
    if listed != sums:
        write_new(root / MANIFEST, format_manifest(listed), work)
    rules = load_rulebook(CONTEXT)
    items = [
        item_from_header(
            one.name, one.entry.header, rules.rule(str(one.entry.reftype)).match, one.sha256
        )
        for one in staged
    ]
    _append(root, items, night, work)


def _expect_same_content(final: Path, sha256: str, sums: Mapping[str, str]) -> None:
    """Refuse another content for a name that has one."""
    present = sha256_of(final) if final.exists() else sha256
    if {present, sums.get(final.name, sha256)} != {sha256}:
        raise ReferenceFileError(
            complaint(
                final,
                "content",
                "another one",
                "the one the store has",
                "give it a new REFVER",
            )
        )


def _append(root: Path, items: Sequence[Item], night: date | None, work: Path) -> str:
    """Write the context that has these references too, and put it in force."""
    parent = _parent(root, work)
    added: dict[str, list[Item]] = {}
    for item in items:
        added.setdefault(item.reftype, []).append(item)
    for reftype, new in added.items():
        there = {(item.file, item.sha256) for item in parent.entries(reftype)}
        added[reftype] = [item for item in new if (item.file, item.sha256) not in there]
    added = {reftype: new for reftype, new in added.items() if new}
    if not added:
        return parent.name
    draft = draft_context(parent, added, night=night)
    for name, text in draft.files.items():
        write_new(root / name, text, work)
    write_new(root / CONTEXTS / CURRENT, f"{draft.name}\n", work)
    return draft.name


def _parent(root: Path, work: Path) -> Context:
    """Give the context in force; a plain folder first gets that of the package."""
    name = current_name(root)
    if name is not None:
        return load_context(root, name)
    for path in (SHIPPED / RULES).glob("*.yaml"):
        write_new(root / RULES / path.name, path.read_text("utf-8"), work)
    first = SHIPPED / CONTEXTS / f"{CONTEXT}.yaml"
    write_new(work / CONTEXTS / first.name, first.read_text("utf-8"), work)
    write_new(work / CONTEXTS / CURRENT, f"{CONTEXT}\n", work)
    (work / CONTEXTS).replace(root / CONTEXTS)  # others see both at once, or neither
    return load_context(root, CONTEXT)


@contextmanager
def writing(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        raise ReferenceFileError(
            complaint(
                str(error.filename or folder),
                "writing",
                error.strerror or error,
                "a folder that can be written",
                "make room or name another folder",
            )
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the store at the same time."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)
