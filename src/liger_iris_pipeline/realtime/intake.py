"""Which files can be read now: a file that still grows is waited for, one that never becomes whole is refused.

seen ─► growing ─► taken ─► (changed: seen again)
└─────► refused ─┘
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from liger_iris_pipeline.errors import InputError, ReadError
from liger_iris_pipeline.models.cards import parse_cards
from liger_iris_pipeline.models.fitsfile import Fault, open_stream, survey
from liger_iris_pipeline.models.rawfile import read_file
from liger_iris_pipeline.models.reads import identity_of
from liger_iris_pipeline.realtime.files import NOTHING, Stamp

__all__ = ["Arrival", "Intake", "Key"]

Key = tuple[str, str, int, str]
"""OBS_ID, detector, EXP_NO, window of an exposure."""

State = Literal["growing", "taken", "refused", "foreign"]

PATIENCE_S = 3.0
"""A file that is not whole and has not changed for so long will not become so [s]."""
_STEADY_S = 0.5
"""A file without checksums counts as whole when it has not changed for so long [s]."""


@dataclass(frozen=True)
class Arrival:
    """A file that is whole as far as its headers tell.

    Attributes
    ----------
    path : Path
        The file.
    key : tuple
        The exposure it belongs to.
    header : mapping
        Its PRIMARY keywords.
    on_disk : float
        When it came to where it is [s since 1970-01-01 UTC].
    """

    path: Path
    key: Key
    header: Mapping[str, Any]
    on_disk: float


@dataclass
class _Entry:
    """What is known of a file."""

    stamp: Stamp
    since: float
    state: State = "growing"
    reason: str = ""
    rejected: str = ""


class Intake:
    """Follows the files of a folder.

    Parameters
    ----------
    clock : callable
        Gives a time that only grows [s].
    patience : float
        How long a file that is not whole may rest before it is refused [s].
    """

    def __init__(
        self, clock: Callable[[], float] = time.monotonic, patience: float = PATIENCE_S
    ) -> None:
        self._clock = clock
        self._patience = patience
        self._entries: dict[Path, _Entry] = {}
        self._moving: set[Path] = set()

    def look(self, found: Mapping[Path, Stamp]) -> tuple[list[Arrival], list[tuple[Path, str]]]:
        """Compare the folder with what it was.

        Parameters
        ----------
        found : mapping
            Stamp by path, from :func:`liger_iris_pipeline.realtime.files.scan`.

        Returns
        -------
        arrivals : list of Arrival
            Files that can be read, those that came first first; again after a file has changed.
        refused : list of (Path, str)
            Files that cannot, with the reason.
        """
        now = self._clock()
        for path, stamp in found.items():
            entry = self._entries.get(path)
            if entry is None or entry.stamp != stamp:
                self._entries[path] = _Entry(stamp, now)
                self._moving.add(path)
        for path in [path for path in self._moving if path not in found]:
            self._moving.discard(path)
            del self._entries[path]
        arrivals: list[Arrival] = []
        refused: list[tuple[Path, str]] = []
        for path in sorted(self._moving, key=self._order):
            self._judge(path, now, arrivals, refused)
        return arrivals, refused

    def reject(self, path: Path, reason: str) -> None:
        """Take note that a file could not be read after all: it is looked at again when it changes or has rested.

        Parameters
        ----------
        path : Path
            A file that had arrived.
        reason : str
            What is wrong with it.
        """
        entry = self._entries.get(path)
        if entry is not None:
            entry.state, entry.rejected = "growing", reason
            self._moving.add(path)

    @property
    def moving(self) -> frozenset[Path]:
        """Files of which it is not known yet whether they can be read."""
        return frozenset(self._moving)

    def _order(self, path: Path) -> tuple[int, str]:
        """Sort by the time when a file came, then by name."""
        return self._entries[path].stamp.changed, str(path)

    def _judge(
        self,
        path: Path,
        now: float,
        arrivals: list[Arrival],
        refused: list[tuple[Path, str]],
    ) -> None:
        """Decide on a file, if it can be decided."""
        entry = self._entries[path]
        rested = now - entry.since >= self._patience
        if entry.rejected:
            if rested:
                self._settle(path, "refused")
                refused.append((path, entry.rejected))
            return
        try:
            arrival = self._examine(path, entry, now)
        except Fault as fault:
            entry.reason = str(fault.as_error(path, ReadError))
            if rested or entry.stamp == NOTHING:
                self._settle(path, "refused")
                refused.append((path, entry.reason))
        except InputError as error:
            self._settle(path, "refused")
            refused.append((path, str(error)))
        else:
            if arrival is not None:
                arrivals.append(arrival)

    def _examine(self, path: Path, entry: _Entry, now: float) -> Arrival | None:
        """Look at the headers of a file; None for one that is not meant, or not steady yet."""
        stream, size = open_stream(path)
        with stream:
            hdus = survey(stream, size).hdus
        header = parse_cards(hdus[0].cards)
        if header.get("DATALVL") not in (None, 0) or "REFTYPE" in header:
            self._settle(path, "foreign")
            return None
        if "DATASUM" not in header and now - entry.since < _STEADY_S:
            return None
        key = identity_of(header)
        if key is None:
            read_file(path)  # says what is missing
            raise Fault("header", "no identity", "OBS_ID, DETECTOR and EXP_NO", "mend the header")
        self._settle(path, "taken")
        return Arrival(path, key, header, entry.stamp.changed / 1e9)

    def _settle(self, path: Path, state: State) -> None:
        """End the wait for a file."""
        self._entries[path].state = state
        self._moving.discard(path)
