"""Raw reads: every file is checked whole before anything is reduced.

A read is one plane of a file: a file holds one read, or a ramp as a cube. What concerns one file or
two reads of one exposure is checked by :func:`scan_reads`, what concerns a ramp by
:func:`group_exposures`.
"""

from __future__ import annotations

import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from liger_iris_pipeline.errors import ProductError, ReadError, complaint
from liger_iris_pipeline.models.exposures import Merge, RawExposure, group_exposures
from liger_iris_pipeline.models.metadata import read_metadata
from liger_iris_pipeline.models.naming import window_tag
from liger_iris_pipeline.models.rawfile import Read, read_file

__all__ = [
    "Merge",
    "RawExposure",
    "Read",
    "Scan",
    "SkippedFile",
    "group_exposures",
    "identity",
    "identity_of",
    "is_copy",
    "is_usable_nominal",
    "odd_geometry",
    "other_read",
    "scan_reads",
]


@dataclass(frozen=True)
class SkippedFile:
    """A raw file that was left out.

    Attributes
    ----------
    path : Path
        The file.
    reason : str
        What is wrong with it.
    """

    path: Path
    reason: str


@dataclass(frozen=True)
class Scan:
    """What was found in raw files.

    Attributes
    ----------
    reads : tuple of Read
        In the order of the files; no two of one identity.
    warnings : tuple of str
        One line each.
    skipped : tuple of SkippedFile
        Files that were left out on request.
    """

    reads: tuple[Read, ...]
    warnings: tuple[str, ...]
    skipped: tuple[SkippedFile, ...]


def scan_reads(files: Iterable[str | os.PathLike[str]], *, skip_bad: bool = False) -> Scan:
    """Check raw files whole: structure, checksums, identity, agreement.

    Parameters
    ----------
    files : iterable of path
        ``.fits`` or ``.fits.gz``, each one read or a cube of reads.
    skip_bad : bool, optional
        Leave out files that cannot be used, with a warning. Two different reads of one identity are
        refused even so: nothing says which of them is right.

    Returns
    -------
    Scan
        Reads, warnings and what was left out.

    Raises
    ------
    ReadError
        If a file cannot be used, or none is left.
    """
    collector = _Collector(skip_bad)
    for file in files:
        collector.add(Path(file))
    collector.drop_odd_geometries()
    collector.drop_copies()
    if collector.skipped and not collector.reads:
        raise ReadError(
            complaint(
                collector.skipped[0].path,
                "reads",
                "no read that can be used",
                "some",
                "look at the warnings",
            )
        )
    return Scan(tuple(collector.reads), tuple(collector.warnings), tuple(collector.skipped))


class _Collector:
    """Gathers reads; what is wrong ends the scan or is left out."""

    def __init__(self, skip_bad: bool) -> None:
        self.skip_bad = skip_bad
        self.reads: list[Read] = []
        self.warnings: list[str] = []
        self.skipped: list[SkippedFile] = []

    def add(self, path: Path) -> None:
        """Check a file and take its reads."""
        try:
            reads, notes = read_file(path)
        except ReadError as error:
            self._leave_out(path, error)
        else:
            self.reads += reads
            self.warnings += notes

    def _leave_out(self, path: Path, error: ReadError) -> None:
        """End the scan, or note what is left out."""
        if not self.skip_bad:
            raise error
        self.skipped.append(SkippedFile(path, str(error)))
        self.warnings.append(f"{error}; left out")

    def drop_odd_geometries(self) -> None:
        """Compare each file with what most files of its exposure have."""
        exposures: dict[Any, list[Read]] = defaultdict(list)
        for read in self.reads:
            exposures[read.exposure_key].append(read)
        for reads in exposures.values():
            typical = Counter(read.geometry for read in reads).most_common(1)[0][0]
            other = next(read for read in reads if read.geometry == typical)
            for path in dict.fromkeys(read.path for read in reads if read.geometry != typical):
                odd = next(read for read in reads if read.path == path)
                self._leave_out(path, odd_geometry(odd, other))
                self.reads = [read for read in self.reads if read.path != path]

    def drop_copies(self) -> None:
        """Take each read once; refuse two different reads of one identity."""
        first: dict[Any, Read] = {}
        for read in self.reads:
            other = first.setdefault(read.key, read)
            if other is read:
                continue
            if not is_copy(other, read):
                raise other_read(other, read)
            got = f"the same read as in {other.path.name}"
            self.warnings.append(
                complaint(read.path, "READ_NO", got, "each read once", "it is used once")
            )
        self.reads = list(first.values())


def odd_geometry(read: Read, typical: Read) -> ReadError:
    """Say in what a read differs from the others of its exposure."""
    if read.shape != typical.shape:
        expected = f"{typical.shape} as in {typical.path.name}"
        return ReadError(
            complaint(read.path, "NAXIS", f"shape {read.shape}", expected, "leave the file out")
        )
    expected = f"{typical.geometry} as in {typical.path.name}"
    part = "SUBSTRT1/2, DETSIZE1/2, REFPIX, NOUTPUTS"
    return ReadError(complaint(read.path, part, read.geometry, expected, "leave the file out"))


def other_read(first: Read, read: Read) -> ReadError:
    """Say that a read has the identity of another one and is not its copy."""
    got = f"another read {read.read_no} of ramp {read.ramp_no} than in {first.path.name}"
    return ReadError(complaint(read.path, "READ_NO", got, "one", "leave one of them out"))


def is_copy(one: Read, other: Read) -> bool:
    """Say whether two reads have the same time and pixels, such as a file and its packed copy."""
    if one.index == other.index and one.sha256 == other.sha256:
        return True
    return (
        one.clock == other.clock
        and one.time == other.time
        and np.array_equal(one.load(), other.load())
    )


def identity(path: str | os.PathLike[str]) -> tuple[str, str, int, str] | None:
    """Tell from the header alone which exposure a raw file belongs to.

    Parameters
    ----------
    path : path
        The file.

    Returns
    -------
    tuple or None
        OBS_ID, detector, EXP_NO, window; None for a product, and for a file without identity or
        header.
    """
    try:
        header = read_metadata(path)
    except ProductError:
        return None
    return identity_of(header)


def identity_of(header: Mapping[str, Any]) -> tuple[str, str, int, str] | None:
    """Tell from keywords which exposure a raw file belongs to; see :func:`identity`."""
    try:
        window = window_tag(header)
    except ProductError:
        return None
    obs_id, detector, exp_no = (header.get(key) for key in ("OBS_ID", "DETECTOR", "EXP_NO"))
    if header.get("DATALVL") not in (None, 0) or "REFTYPE" in header:
        return None
    if not isinstance(obs_id, str) or not isinstance(detector, str) or not isinstance(exp_no, int):
        return None
    return obs_id, detector, exp_no, window


def is_usable_nominal(header: Mapping[str, Any], key: str) -> bool:
    """Say whether a nominal value of a header, such as GAIN or READNOIS, can stand in for a map.

    Parameters
    ----------
    header : mapping
        Keywords of a read.
    key : str
        The keyword.

    Returns
    -------
    bool
        True for a finite number above 0.
    """
    value = header.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value > 0
