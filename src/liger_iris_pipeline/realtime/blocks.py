"""The calibrations of an observing block: chosen when its first exposure comes, kept though better ones arrive."""

from __future__ import annotations

import fcntl
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from liger_iris_pipeline.calibration import CalibrationSet, Store
from liger_iris_pipeline.errors import ContextError, complaint, disk_error
from liger_iris_pipeline.realtime.outputs import put

__all__ = ["Blocks", "chosen_for"]

_ODD = re.compile(r"[^A-Za-z0-9.+-]+")


def chosen_for(folder: Path, obs_id: str) -> dict[str, Any] | None:
    """Give the calibrations of a block as an association has them.

    Parameters
    ----------
    folder : Path
        Folder of the choices.
    obs_id : str
        The block.

    Returns
    -------
    dict or None
        Plain data; None where nothing was chosen.
    """
    known = _read(_file(folder, obs_id))
    return None if known is None else known.to_json()


def _file(folder: Path, obs_id: str) -> Path:
    """Name the file of a block."""
    return folder / f"{_ODD.sub('-', obs_id)}.json"


class Blocks:
    """What was chosen for each block, on disk, so that every process and every restart has the same.

    Parameters
    ----------
    folder : Path
        Where the choices are written, ``OBS_ID.json`` each.
    store : Path or None
        Store to choose from; None where there is none.
    types : sequence of str
        Types of references that the recipes use.
    """

    def __init__(self, folder: Path, store: Path | None, types: Sequence[str]) -> None:
        self._folder = folder
        self._store = store
        self._types = tuple(types)

    def calibrations(self, obs_id: str, metadata: Mapping[str, Any]) -> CalibrationSet | None:
        """Give the calibrations of a block, choosing for this exposure's configuration if it is new.

        Parameters
        ----------
        obs_id : str
            The block.
        metadata : mapping
            PRIMARY keywords of the exposure.

        Returns
        -------
        CalibrationSet or None
            Only references whose data were taken before the exposure; None without a store.

        Raises
        ------
        ReferenceFileError
            If what was written cannot be read, or a reference is damaged.
        DiskError
            If the choice cannot be written.
        """
        if self._store is None:
            return None
        path = _file(self._folder, obs_id)
        with _alone(self._folder):
            known = _read(path)
            store = Store(self._store)
            if known is not None and known.context in {c.name for c in store.contexts()}:
                store.use(known.context)
            lacking = [kind for kind in self._types if not _has(known, store, kind, metadata)]
            if known is not None and not lacking:
                return known
            made = store.resolve([metadata], lacking, name=obs_id)
            if known is not None and set(made.choices) <= set(known.choices):
                return known
            if known is not None:
                anew = {(choice.reftype, choice.keys) for choice in made.choices}
                kept = [c for c in known.choices if (c.reftype, c.keys) not in anew]
                made = replace(known, choices=(*kept, *made.choices))
            _write(path, made)
        return made


def _has(
    known: CalibrationSet | None, store: Store, reftype: str, metadata: Mapping[str, Any]
) -> bool:
    """Say whether a reference was chosen for a type and configuration; where none fitted, one may by now."""
    if known is None:
        return False
    choice = known.find(store.rulebook.rule(reftype), metadata)
    return choice is not None and bool(choice.sha256)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let one process after the other choose."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise disk_error(error, folder) from error
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def _read(path: Path) -> CalibrationSet | None:
    """Read the choices of a block."""
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise ContextError(
            complaint(path, "content", error, "the calibrations of a block", "take the file away")
        ) from error
    return CalibrationSet.from_json(content)


def _write(path: Path, made: CalibrationSet) -> None:
    """Write the choices of a block."""
    try:
        put(path, json.dumps(made.to_json(), indent=1) + "\n")
    except OSError as error:
        raise disk_error(error, path) from error
