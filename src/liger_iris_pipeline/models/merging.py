"""Many headers become one: reads into a frame, frames into a mosaic, and nothing of them is lost.

What is the same everywhere stands once in the header; what varies stands there as start, middle and end, and one by one
in a table: TELEMETRY for reads, MEMBERS for frames.
"""

from __future__ import annotations

import ctypes
import re
import warnings
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from liger_iris_pipeline.models.cards import value_of, value_texts

if TYPE_CHECKING:
    from liger_iris_pipeline.models.rawfile import Read

__all__ = ["column_name", "merge_frames", "span_names", "telemetry_table", "time_cards"]

Table = npt.NDArray[np.void]
Texts = Mapping[str, str]

_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|BZERO|BSCALE|PCOUNT|GCOUNT|XTENSION|GROUPS|CHECKSUM|DATASUM"
)
_INTEGER = re.compile(r"[+-]?\d+")
_OTHER_LETTER = re.compile(r"[^a-z0-9]")
_TOO_LARGE = 1 << 63
_SPAN_ROOM = 9  # bytes of a span name in C
_TIMES_OF_FILES = frozenset({"LASTREAD", "LATENCY"})
_FILE = frozenset({"FILENAME", "DATE", *_TIMES_OF_FILES, "DATAMODL", "DATALVL", "DRSVER"})
"""What is said of a file, not of what is in it."""

FIRST = ("EXP_NO", "DATE-OBS", "MJD-OBS", "DATE-BEG", "MJD-BEG")
"""A mosaic has these of its first frame: it is named after it."""
MIDDLE = ("DATE-AVG", "MJD-AVG")
"""A mosaic has these of its middle frame."""
LAST = ("DATE-END", "MJD-END")
"""A mosaic has these of its last frame."""

_OF_A_FRAME = re.compile(
    r"DET_ID|DETECTOR|SUBARRAY|SUBARRID|SUB(STRT|SIZE)[12]|DETSIZE[12]|REFPIX|NOUTPUTS|DTOTOFF[12]|DITHNO"
    r"|GAIN|READNOIS|SATURATE|MAGZERO|MAGZVEGA|(CTYPE|CRVAL|CRPIX)[12]|CD[12]_[12]"
)
"""What holds for a frame and never for a mosaic."""

_DAY_US = 86_400_000_000
_UNIX_MJD = 40587
_NANODAY = 10**9


def column_name(keyword: str) -> str:
    """Name the column of a keyword.

    Parameters
    ----------
    keyword : str
        Without the word HIERARCH.

    Returns
    -------
    str
        In lower case, with ``_`` for all that is neither letter nor digit.

    Examples
    --------
    >>> column_name("MJD-OBS")
    'mjd_obs'
    """
    return _OTHER_LETTER.sub("_", keyword.lower())


def telemetry_table(reads: Sequence[Read]) -> Table:
    """List what changes from read to read.

    Parameters
    ----------
    reads : sequence of Read
        Of one exposure, in order.

    Returns
    -------
    ndarray (nread,) structured
        Columns ramp, read (int32), seconds (since the reset, float64); then each keyword that has not one value in
        all reads, in the order in which they first appear: int64 where all reads have an integer, float64 where
        those that have it have a number (NaN in the others), else text as in the card, without quotes.
    """
    texts = [
        {key: text for key, text in value_texts(read.cards).items() if not _is_own(key)}
        for read in reads
    ]
    first: dict[str, npt.NDArray[Any]] = {
        "ramp": np.array([read.ramp_no for read in reads], np.int32),
        "read": np.array([read.read_no for read in reads], np.int32),
        "seconds": np.array([read.time for read in reads], np.float64),
    }
    return _table(first, texts, _varying(texts))


def _is_own(key: str) -> bool:
    """Say whether a keyword of a read is in another column, or of its file's structure."""
    return key in ("RAMP_NO", "READ_NO") or _STRUCTURE.fullmatch(key) is not None


def _varying(texts: Sequence[Texts]) -> list[str]:
    """List the keywords that have not one value everywhere, as they first appear."""
    keys = dict.fromkeys(key for own in texts for key in own)
    return [key for key in keys if len({own.get(key) for own in texts}) > 1]


def _table(
    columns: dict[str, npt.NDArray[Any]], texts: Sequence[Texts], keys: Iterable[str]
) -> Table:
    """Make a table of given columns and of keywords."""
    columns = dict(columns)
    for key in keys:
        name = column_name(key)
        while name in columns:
            name += "_"
        columns[name] = _column([own.get(key, "") for own in texts])
    table = np.empty(len(texts), [(name, array.dtype) for name, array in columns.items()])
    for name, array in columns.items():
        table[name] = array
    return table


def _column(texts: Sequence[str]) -> npt.NDArray[Any]:
    """Make a column of values as they stand in cards; empty where there is none."""
    if all(_INTEGER.fullmatch(text) and abs(int(text)) < _TOO_LARGE for text in texts):
        return np.array([int(text) for text in texts], np.int64)
    values = [value_of(text) for text in texts]
    if all(isinstance(v, int | float | None) and not isinstance(v, bool) for v in values):
        return np.array([np.nan if v is None else float(v) for v in values], np.float64)
    plain = [
        value if text.startswith("'") else text for value, text in zip(values, texts, strict=True)
    ]
    encoded = np.array([str(text).encode("ascii", "replace") for text in plain], "S")
    return encoded if encoded.dtype.itemsize else encoded.astype("S1")


def time_cards(reads: Sequence[Read]) -> list[tuple[str, str | float, str]]:
    """Say when the reads of an exposure were taken.

    Parameters
    ----------
    reads : sequence of Read
        In the order of time.

    Returns
    -------
    list of (keyword, value, comment)
        Begin (reset of the first ramp), middle and end (last pixel of the last read; its first one without FRM_TIME),
        as ISO date to 1 ms and as MJD to 1e-9 d; empty where a read has no clock.

    Notes
    -----
    In whole microseconds to the end, so that the C command writes the same.
    """
    clocks = [read.clock for read in reads if read.clock is not None]
    if not reads or len(clocks) < len(reads):
        return []
    frame = reads[-1].header.get("FRM_TIME")
    frame = frame if isinstance(frame, int) and not isinstance(frame, bool) and frame > 0 else 0
    begin, end = clocks[0][0], clocks[-1][1] + frame
    moments = {"BEG": begin, "AVG": (begin + end) // 2, "END": end}
    words = {"BEG": "start", "AVG": "middle", "END": "end"}
    cards: list[tuple[str, str | float, str]] = []
    for name, moment in moments.items():
        cards.append((f"DATE-{name}", _iso(moment), f"[UTC] {words[name]} of the exposure"))
        cards.append((f"MJD-{name}", _mjd(moment), f"[d] {words[name]} of the exposure"))
    return cards


def _iso(moment: int) -> str:
    """Write microseconds since 1970 as ISO date, to a millisecond."""
    stamp = np.datetime64((moment + 500) // 1000, "ms")
    return str(stamp)


def _mjd(moment: int) -> float:
    """Turn microseconds since 1970 into MJD, to 1e-9 d."""
    part = (moment * _NANODAY + _DAY_US // 2) // _DAY_US
    return (_UNIX_MJD * _NANODAY + part) / _NANODAY


def span_names(keyword: str) -> tuple[str, str]:
    """Name the cards with the first and last value of a keyword that varies.

    Parameters
    ----------
    keyword : str
        Of at most eight letters.

    Returns
    -------
    tuple of str
        Such as ``READTE_S`` and ``READTE_E`` for ``READTIME``; where such a name is taken the merge uses another.
    """
    from iris_readout.library import library

    names = []
    for which in (b"S", b"E"):
        name = ctypes.create_string_buffer(_SPAN_ROOM)
        library().iris_header_span_name(keyword.encode("ascii"), which, name)
        names.append(name.value.decode("ascii"))
    return names[0], names[1]


def merge_frames(headers: Sequence[fits.Header], files: Sequence[str]) -> tuple[fits.Header, Table]:
    """Merge the headers of the frames of a mosaic.

    Parameters
    ----------
    headers : sequence of Header
        PRIMARY headers, in the order of time.
    files : sequence of str
        Name of each frame.

    Returns
    -------
    header : Header
        Constant keywords once; numbers that vary with the value of the middle frame, and the start of the first and
        the end of the last one under two more names; those of `FIRST` and `LAST` as they say. Texts that vary, and
        what describes one frame only, are left to the table.
    members : ndarray (nframe,) structured
        Column ``file``, then EXP_NO, what describes one frame only, and every other keyword that varies, start and
        end of the frames themselves included.
    """
    texts = [_texts(header) for header in headers]
    varying = _varying(texts)
    alone = [key for key in dict.fromkeys(key for own in texts for key in own) if _is_alone(key)]
    listed = dict.fromkeys(("EXP_NO", *alone, *varying))
    names = np.array([file.encode("ascii", "replace") for file in files], "S")
    members = _table({"file": names}, texts, [key for key in listed if key not in _FILE])
    chosen = ((0, FIRST), (len(headers) // 2, MIDDLE), (len(headers) - 1, LAST))
    without = {*alone, *FIRST, *MIDDLE, *LAST, *_TIMES_OF_FILES}
    merged = _merged(headers, without | {key for key in varying if _is_text(key, texts)})
    for index, keys in chosen:
        for key in keys:
            if key in headers[index]:
                merged[key] = (headers[index][key], headers[index].comments[key])
    if any(header.get("LASTREAD") for header in headers):
        merged["LASTREAD"] = max(str(header.get("LASTREAD") or "") for header in headers)
    return merged, members


def _is_alone(key: str) -> bool:
    """Say whether a keyword describes one frame only."""
    return _OF_A_FRAME.fullmatch(key) is not None


def _is_text(key: str, texts: Sequence[Texts]) -> bool:
    """Say whether a keyword is a text or a truth value in some header: it has no middle."""
    values = [value_of(own[key]) for own in texts if key in own]
    return any(isinstance(value, str | bool) for value in values)


def _texts(header: fits.Header) -> dict[str, str]:
    """Give the values of a header as they stand in its cards."""
    found = value_texts(_bytes(header))
    return {key: text for key, text in found.items() if _STRUCTURE.fullmatch(key) is None}


def _bytes(header: fits.Header) -> bytes:
    """Give the cards of a header."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # odd cards were named when the files were opened
        text: str = header.tostring(endcard=False, padding=False)
    return text.encode("ascii", "replace")


def _merged(headers: Sequence[fits.Header], left_out: Collection[str]) -> fits.Header:
    """Let the C library merge the headers between the start of the first and the end of the last."""
    from iris_readout import merge_headers

    bare = [header.copy() for header in headers]
    start, end = headers[0].copy(), headers[-1].copy()
    for key in dict.fromkeys(key for header in headers for key in header):
        if key in left_out:
            for header in (start, *bare, end):
                header.remove(key, ignore_missing=True, remove_all=True)
        elif 0 < len(key) <= _SPAN_ROOM - 1:
            _split_spans(key, (start, *bare, end))
    cards = merge_headers([_bytes(header) for header in (start, *bare, end)])
    return fits.Header.fromstring(cards.decode("ascii", "replace"))


def _split_spans(key: str, headers: Sequence[fits.Header]) -> None:
    """Give the first header a keyword's start, the last one its end, and take both from all."""
    names = span_names(key)
    for at, header in enumerate(headers):
        if any(name not in header for name in (key, *names)):
            continue
        values = [header.pop(name) for name in names]
        if at in (0, len(headers) - 1):
            header[key] = values[0] if at == 0 else values[1]
