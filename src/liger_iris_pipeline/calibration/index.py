"""The index of a store: an SQLite file with every reference of every context, derived from them.

It answers what no single context can: which references were ever entered, and under which names and
checksums.  It can be deleted at any time.  Where it cannot be written it is kept in memory.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import NamedTuple

from liger_iris_pipeline.calibration.context import CONTEXTS, Context, context_names, load_context
from liger_iris_pipeline.calibration.item import Item, item_from_fields, item_to_fields

__all__ = ["INDEX", "Known", "index_stamp", "known_references", "rebuild"]

INDEX = "index.sqlite"
_SCHEMA = 1
_TABLES = """
CREATE TABLE stamp (text TEXT NOT NULL);
CREATE TABLE context (name TEXT PRIMARY KEY, sha256 TEXT, parent TEXT, created TEXT);
CREATE TABLE reference (file TEXT, sha256 TEXT, type TEXT, detector TEXT, version TEXT,
                        useafter TEXT, fields TEXT, context TEXT, PRIMARY KEY (file, sha256));
CREATE INDEX reference_sha256 ON reference (sha256);
CREATE INDEX reference_type ON reference (type, detector, useafter);
"""


class Known(NamedTuple):
    """A reference that was entered, and the context that brought it."""

    item: Item
    context: str


def index_stamp(root: Path) -> str:
    """Give what the index of a store is derived from: a digest of its contexts.

    Parameters
    ----------
    root : Path
        The store.

    Returns
    -------
    str
        SHA-256 over names and contents.
    """
    total = hashlib.sha256()
    for name in context_names(root):
        content = (root / CONTEXTS / f"{name}.yaml").read_bytes()
        total.update(f"{name} {hashlib.sha256(content).hexdigest()}\n".encode())
    return total.hexdigest()


def known_references(
    root: Path, *, reftype: str | None = None, sha256: str | None = None
) -> list[Known]:
    """List the references that were ever entered; the index is made anew if it is not right.

    Parameters
    ----------
    root : Path
        The store.
    reftype : str, optional
        Only of this type, lower case.
    sha256 : str, optional
        Only with this checksum.

    Returns
    -------
    list of Known
        By type, detector, USEAFTER and name.

    Raises
    ------
    ContextError
        If a context cannot be used.
    """
    query = "SELECT type, fields, context FROM reference WHERE 1"
    values = []
    for column, value in (("type", reftype), ("sha256", sha256)):
        if value is not None:
            query += f" AND {column} = ?"
            values.append(value)
    with _fresh(root) as index:
        rows = index.execute(f"{query} ORDER BY type, detector, useafter, file", values).fetchall()
    return [
        Known(item_from_fields(json.loads(fields), kind, INDEX), context)
        for kind, fields, context in rows
    ]


def rebuild(root: Path) -> int:
    """Make the index anew from the contexts.

    Parameters
    ----------
    root : Path
        The store.

    Returns
    -------
    int
        Number of references.

    Raises
    ------
    ContextError
        If a context cannot be used.
    """
    with closing(sqlite3.connect(":memory:")) as made:
        _fill(made, root)
        _save(made, root / INDEX)
        return int(made.execute("SELECT count(*) FROM reference").fetchone()[0])


@contextmanager
def _fresh(root: Path) -> Iterator[sqlite3.Connection]:
    """Open an index that is right: that on the disk, else a new one."""
    path = root / INDEX
    if path.is_file():
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True)) as found:
            if _is_right(found, root):
                yield found
                return
    with closing(sqlite3.connect(":memory:")) as made:
        _fill(made, root)
        _save(made, path)
        yield made


def _is_right(index: sqlite3.Connection, root: Path) -> bool:
    """Say whether an index was made of the contexts there are."""
    try:
        (version,) = index.execute("PRAGMA user_version").fetchone()
        if version != _SCHEMA:
            return False
        (stamp,) = index.execute("SELECT text FROM stamp").fetchone()
        index.execute("SELECT count(fields) FROM reference").fetchone()
    except (sqlite3.Error, TypeError):
        return False
    return bool(stamp == index_stamp(root))


def _fill(index: sqlite3.Connection, root: Path) -> None:
    """Write the references of all contexts into an empty index."""
    stamp = index_stamp(root)
    index.executescript(_TABLES)
    index.execute(f"PRAGMA user_version = {_SCHEMA}")
    seen: set[str] = set()
    for name in context_names(root):
        context = load_context(root, name)
        row = (context.name, context.sha256, context.parent, context.created)
        index.execute("INSERT INTO context VALUES (?, ?, ?, ?)", row)
        _add_references(index, context, seen)
    index.execute("INSERT INTO stamp VALUES (?)", (stamp,))
    index.commit()


def _add_references(index: sqlite3.Connection, context: Context, seen: set[str]) -> None:
    """Write the references that a context brings, rules file by rules file."""
    for reftype, pins in context.pins.items():
        for pin, rules in zip(pins, context.rules_of(reftype), strict=True):
            if pin.sha256 in seen:
                continue
            seen.add(pin.sha256)
            rows = [
                (
                    item.file,
                    item.sha256,
                    reftype,
                    str(item.match.get("DETECTOR", "")),
                    item.version,
                    item.useafter.isoformat(),
                    json.dumps(item_to_fields(item)),
                    context.name,
                )
                for item in rules.entries
            ]
            index.executemany("INSERT OR IGNORE INTO reference VALUES (?,?,?,?,?,?,?,?)", rows)


def _save(index: sqlite3.Connection, path: Path) -> None:
    """Put an index onto the disk by rename; a store that cannot be written goes without."""
    temporary = path.with_name(f".{INDEX}.{id(index):x}")
    try:
        temporary.write_bytes(index.serialize())
        temporary.replace(path)
    except OSError:
        temporary.unlink(missing_ok=True)
