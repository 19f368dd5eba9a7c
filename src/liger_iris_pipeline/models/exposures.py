"""Reads become ramps, ramps become exposures."""

from __future__ import annotations

import warnings
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Any

from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from liger_iris_pipeline.errors import ReadError, complaint
from liger_iris_pipeline.models.clock import utc
from liger_iris_pipeline.models.merging import telemetry_table, time_cards
from liger_iris_pipeline.models.metadata import SELECTION
from liger_iris_pipeline.models.naming import exposure_stem
from liger_iris_pipeline.models.rawfile import Read

__all__ = ["Merge", "RawExposure", "group_exposures", "out_of_order"]

Merge = Callable[[Sequence[bytes]], bytes]
"""Makes one list of header cards of many."""


@dataclass(frozen=True)
class RawExposure:
    """The ramps of one exposure on one detector.

    Attributes
    ----------
    key : tuple
        OBS_ID, detector, EXP_NO, window.
    ramps : tuple of tuple of Read
        In the order of RAMP_NO and READ_NO.
    merge : callable, optional
        Merges the headers; :func:`iris_readout.merge_headers` without one.
    """

    key: tuple[str, str, int, str]
    ramps: tuple[tuple[Read, ...], ...]
    merge: Merge | None = field(default=None, repr=False, compare=False)

    @property
    def reads(self) -> tuple[Read, ...]:
        """All reads in the order of time."""
        return tuple(read for ramp in self.ramps for read in ramp)

    @property
    def first(self) -> Read:
        """The first read."""
        return self.ramps[0][0]

    @property
    def files(self) -> tuple[Path, ...]:
        """The files, each once."""
        return tuple(dict.fromkeys(read.path for read in self.reads))

    @cached_property
    def header(self) -> fits.Header:
        """Union of the reads' headers, varying keywords as start, middle and end; times of the reads."""
        merge = self.merge or _merge_in_c
        cards = merge([read.cards for read in self.reads])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # odd cards were named when the reads were scanned
            header = _readable(fits.Header.fromstring(cards.decode("ascii", "replace")))
        for card in time_cards(self.reads):
            if card[0] not in header:
                header.append(card, end=True)
        return header

    @cached_property
    def telemetry(self) -> Any:
        """Keywords that vary from read to read; see :func:`telemetry_table`."""
        return telemetry_table(self.reads)

    @property
    def name(self) -> str:
        """Name of the first file."""
        return self.first.path.name

    @property
    def stem(self) -> str:
        """Name of the exposure without level; ``file name`` errors name what is missing for it."""
        return exposure_stem(self.first.header)

    @property
    def shape(self) -> tuple[int, int]:
        """Shape (ny, nx) of a read."""
        return self.first.shape

    @property
    def detector(self) -> str:
        """DETECTOR."""
        return self.first.detector

    @property
    def imtype(self) -> str:
        """IMTYPE."""
        return _text(self.first.header, "IMTYPE")

    @property
    def filter(self) -> str:
        """FILTER."""
        return _text(self.first.header, "FILTER")

    @property
    def date_obs(self) -> str:
        """DATE-OBS, ISO UTC; empty where it is absent."""
        return _text(self.first.header, "DATE-OBS")

    @property
    def mjd_obs(self) -> float | None:
        """MJD-OBS [d]; None where it is absent."""
        value = self.first.header.get("MJD-OBS")
        return float(value) if isinstance(value, int | float) else None

    @property
    def last_on_disk(self) -> str:
        """When the last of its files came to where it is, ISO UTC; later than its data, also for a copy."""
        seconds = max((path.stat().st_ctime for path in self.files if path.exists()), default=None)
        return "" if seconds is None else utc(seconds)

    @property
    def is_aborted(self) -> bool:
        """Whether there are fewer reads or ramps than planned."""
        return bool(_shortfalls(self.ramps))

    def get_crds_parameters(self) -> dict[str, Any]:
        """Give what the selection of references needs.

        Returns
        -------
        dict
            Keywords of the first read that have a value.
        """
        header = self.first.header
        return {key: header[key] for key in SELECTION if header.get(key) is not None}


def _readable(header: fits.Header) -> fits.Header:
    """Leave out cards whose value is none that FITS knows, such as a bare NaN: they cannot be written again."""
    bad = []
    for card in header.cards:
        try:
            _ = card.value
        except VerifyError:
            bad.append(card.keyword)
    for key in bad:
        del header[key]
    return header


def _merge_in_c(headers: Sequence[bytes]) -> bytes:
    """Merge headers with the C library, which is loaded only here."""
    from iris_readout import merge_headers

    return merge_headers(headers)


def _text(header: Mapping[str, Any], key: str) -> str:
    """Give a keyword as text; empty where it is absent."""
    value = header.get(key)
    return "" if value is None else str(value)


def group_exposures(
    reads: Iterable[Read], *, merge: Merge | None = None
) -> tuple[list[RawExposure], tuple[str, ...]]:
    """Group reads into exposures by their headers, never by file name or arrival.

    Parameters
    ----------
    reads : iterable of Read
        From :func:`liger_iris_pipeline.models.reads.scan_reads`: no two of one identity.
    merge : callable, optional
        Merges headers instead of the C library.

    Returns
    -------
    exposures : list of RawExposure
        In the order of time, then of key.
    warnings : tuple of str
        Ramps and exposures that were aborted.

    Raises
    ------
    ReadError
        If a ramp has one read, or its times do not rise from one reset.
    """
    found: dict[tuple[str, str, int, str], dict[int, list[Read]]] = defaultdict(
        lambda: defaultdict(list)
    )
    for read in reads:
        found[read.exposure_key][read.ramp_no].append(read)
    exposures, warned = [], []
    for key, ramps in found.items():
        ordered = tuple(_ordered(ramps[number]) for number in sorted(ramps))
        exposures.append(RawExposure(key, ordered, merge))
        warned += _shortfalls(ordered)
    exposures.sort(key=lambda exposure: (exposure.first.clock or (0, 0), exposure.key))
    return exposures, tuple(warned)


def _ordered(reads: list[Read]) -> tuple[Read, ...]:
    """Order the reads of a ramp and check its times."""
    ordered = sorted(reads, key=lambda read: read.read_no)
    first = ordered[0]
    if len(ordered) < 2:
        got = f"one read in ramp {first.ramp_no}"
        raise ReadError(
            complaint(first.path, "READ_NO", got, "at least two", "add the others or leave it out")
        )
    for before, read in pairwise(ordered):
        error = out_of_order(before, read)
        if error is not None:
            raise error
    return tuple(ordered)


def out_of_order(before: Read, read: Read) -> ReadError | None:
    """Say what keeps a read from following another one of its ramp.

    Parameters
    ----------
    before, read : Read
        Two reads of one ramp, the one with the lower READ_NO first.

    Returns
    -------
    ReadError or None
        Names the second one; None where nothing does.
    """
    if before.clock and read.clock and before.clock[0] != read.clock[0]:
        expected = f"{before.clock[0]} as in {before.path.name}, of the same ramp"
        return ReadError(
            complaint(read.path, "RST_TIME", read.clock[0], expected, "mend RAMP_NO or RST_TIME")
        )
    if read.time <= before.time:
        got = f"{read.time:.6f} s after the reset"
        expected = f"more than the {before.time:.6f} s of read {before.read_no}"
        return ReadError(
            complaint(read.path, "READTIME", got, expected, "mend the header or leave the read out")
        )
    return None


def _shortfalls(ramps: Sequence[Sequence[Read]]) -> list[str]:
    """Say which ramps have fewer reads than planned, and whether ramps are missing."""
    notes = []
    for ramp in ramps:
        planned = _planned(ramp[0], "NUMREADS")
        if len(ramp) < planned:
            got = f"{len(ramp)} reads in ramp {ramp[0].ramp_no}"
            notes.append(
                complaint(
                    ramp[0].path,
                    "NUMREADS",
                    got,
                    str(planned),
                    "the ramp was aborted and is used as it is",
                )
            )
    first = ramps[0][0]
    if len(ramps) < _planned(first, "NUMRAMPS"):
        planned = _planned(first, "NUMRAMPS")
        notes.append(
            complaint(
                first.path,
                "NUMRAMPS",
                f"{len(ramps)} ramps",
                str(planned),
                "those that are there are used",
            )
        )
    return notes


def _planned(read: Read, key: str) -> int:
    """Give a planned number; 0 where there is none."""
    value = read.header.get(key)
    return value if isinstance(value, int) else 0
