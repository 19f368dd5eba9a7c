"""Rows of the reference store: how fast, how steady and how clear its choice is."""

from __future__ import annotations

import gc
import hashlib
import io
import math
import statistics
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, Row, at_most, within
from liger_iris_pipeline.calibration import Store
from liger_iris_pipeline.calibration.content import content_path, name_it
from liger_iris_pipeline.calibration.entering import enter_items
from liger_iris_pipeline.calibration.item import Item, item_from_header
from liger_iris_pipeline.errors import ReferenceFileError

__all__ = ["StoreCell", "groups"]

_SIZE = 16
_START = datetime(2024, 1, 1, 22, tzinfo=UTC)
_DAYS = 1000
_DETECTORS = ("IMG1", "IMG2", "IMG3", "IMG4")
_FILTERS = ("Zbb", "Ybb", "Jbb", "Hbb", "Kbb", "ZN1", "YN2", "JN3", "ANY")
_MODES = ("UTR", "CDS", "MCDS", "ANY")
_TYPES = {"DARK": 0.3, "FLAT": 0.5, "GAIN": 0.2}
_GENERAL = {"FILTER": "ANY", "SAMPMODE": "ANY", "USEAFTER": "2024-01-01T00:00:00"}
_EXPOSURE: dict[str, Any] = {
    "INSTRUME": "IRIS",
    "DETECTOR": "IMG1",
    "FILTER": "Kbb",
    "SAMPMODE": "UTR",
    "SUBARRAY": "FULL",
    "DETSIZE1": _SIZE,
    "DETSIZE2": _SIZE,
    "DATE-OBS": "2026-11-23T08:30:00",
}
_UNFIT: Mapping[str, tuple[str, str]] = {
    "shape": ("shape", "--override flat=FILE"),
    "filter": ("FILTER", "--override flat=FILE"),
    "age": ("age", "--override flat=FILE"),
    "byte": ("DATASUM", "put the original back"),
}


@dataclass(frozen=True)
class StoreCell:
    """A store and the questions put to it.

    Attributes
    ----------
    references : int
        Files in the store.
    questions : int
        Exposures to choose for.
    """

    references: int
    questions: int

    def __str__(self) -> str:
        return f"{self.questions} questions to {self.references} references"


def measure(cell: StoreCell, rng: np.random.Generator) -> Measured:
    """Fill stores, put questions, and try references that do not fit."""
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        root, other = Path(folder) / "first", Path(folder) / "shuffled"
        items = _fill(root, cell.references, rng)
        questions = [_question(rng) for _ in range(cell.questions)]
        first = time.perf_counter()
        for reftype in _TYPES:
            _answer(root, reftype, questions[0])
        first = time.perf_counter() - first
        answers, seconds = _ask(root, questions)
        _shuffled(root, other, [items[at] for at in rng.permutation(len(items))])
        (root / "index.sqlite").write_bytes(b"no index")
        rebuilding = time.perf_counter()
        count = Store(root).rebuild_index()
        rebuilding = time.perf_counter() - rebuilding
        again, _ = _ask(root, questions)
        mixed, _ = _ask(other, questions)
        lost = abs(count - len(items))
        different = sum(len(set(three)) > 1 for three in zip(answers, again, mixed, strict=True))
        refused = sum(_is_refused(Path(folder) / name, name) for name in _UNFIT)
    figures = {
        "worst": Figure(1e3 * max(seconds)),
        "median": Figure(1e3 * statistics.median(seconds)),
        "first": Figure(first),
        "index": Figure(rebuilding),
        "different": Figure(different + lost),
        "refused": Figure(refused),
    }
    return Measured(cell, figures, cell.questions, time.perf_counter() - begin)


def _file(header: Mapping[str, Any], shape: tuple[int, int] = (_SIZE, _SIZE)) -> bytes:
    """Write a reference of one small plane."""
    primary = fits.PrimaryHDU()
    primary.header.update(header)
    plane = fits.ImageHDU(np.ones(shape, np.float32), name="SCI")
    stream = io.BytesIO()
    fits.HDUList([primary, plane]).writeto(stream, checksum=True)
    return stream.getvalue()


def _fill(root: Path, count: int, rng: np.random.Generator) -> list[Item]:
    """Fill a store with references of all kinds and dates, many of them on one date."""
    template = _file({"REFTYPE": "ANY", "USEAFTER": "2024-01-01", "SERIAL": 0})
    book, items = None, []
    root.mkdir()
    for serial in range(count):
        header = _header(serial, rng)
        if serial < len(_TYPES) * len(_DETECTORS):  # something fits every question
            kind, detector = divmod(serial, len(_DETECTORS))
            header |= _GENERAL | {"DETECTOR": _DETECTORS[detector], "REFTYPE": list(_TYPES)[kind]}
            del header["DATE-OBS"]
        content = template.replace(b"SERIAL  =                    0", b"SERIAL  = %20d" % serial)
        sha256 = hashlib.sha256(content).hexdigest()
        path = content_path(root, sha256)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        book = book or Store(root).rulebook
        keys = book.rule(header["REFTYPE"]).match
        items.append(item_from_header(f"R{serial:05d}.fits", header, keys, sha256))
        name_it(root, items[-1].file, sha256, root)
    enter_items(root, items)
    return items


def _header(serial: int, rng: np.random.Generator) -> dict[str, Any]:
    """Draw the keywords of a reference."""
    date = _START + timedelta(days=int(rng.integers(_DAYS)))
    taken = date + timedelta(hours=float(rng.uniform(0, 20)))
    return {
        "INSTRUME": "IRIS",
        "DETECTOR": str(rng.choice(_DETECTORS)),
        "REFTYPE": str(rng.choice(list(_TYPES), p=list(_TYPES.values()))),
        "REFVER": f"{int(rng.integers(1, 12)):04d}",
        "FILTER": str(rng.choice(_FILTERS)),
        "SAMPMODE": str(rng.choice(_MODES)),
        "SUBARRAY": "FULL",
        "USEAFTER": date.strftime("%Y-%m-%dT%H:%M:%S"),
        "DATE-OBS": taken.strftime("%Y-%m-%dT%H:%M:%S"),
        "OBS_ID": f"2026B-P{serial % 7:03d}-001",
    }


def _question(rng: np.random.Generator) -> dict[str, Any]:
    """Draw the keywords of an exposure."""
    date = _START + timedelta(days=float(rng.uniform(30, _DAYS + 30)))
    return {
        **_EXPOSURE,
        "REFTYPE": str(rng.choice(list(_TYPES))),
        "DETECTOR": str(rng.choice(_DETECTORS)),
        "FILTER": str(rng.choice(_FILTERS[:-1])),
        "SAMPMODE": str(rng.choice(_MODES[:-1])),
        "OBS_ID": f"2026B-P{int(rng.integers(7)):03d}-001",
        "DATE-OBS": date.strftime("%Y-%m-%dT%H:%M:%S"),
    }


def _answer(root: Path, reftype: str, question: Mapping[str, Any]) -> str:
    """Choose as a step does: by a store opened for it; empty where nothing fits."""
    try:
        return Store(root).select(reftype, question).sha256
    except ReferenceFileError:
        return ""


def _ask(root: Path, questions: Sequence[Mapping[str, Any]]) -> tuple[list[str], list[float]]:
    """Put all questions, taking the processor time of each."""
    answers, seconds = [], []
    gc.collect()
    gc.disable()  # as timeit does: a collection looks at all objects of the process, not only ours
    try:
        for question in questions:
            begin = time.process_time()
            answers.append(_answer(root, question["REFTYPE"], question))
            seconds.append(time.process_time() - begin)
    finally:
        gc.enable()
    return answers, seconds


def _shuffled(root: Path, other: Path, items: Sequence[Item]) -> None:
    """Make a store of the same references, entered in another order and in two parts."""
    other.mkdir()
    (other / "files").symlink_to(root / "files")
    for item in items:
        name_it(other, item.file, item.sha256, other)
    enter_items(other, items[: len(items) // 3])
    enter_items(other, items[len(items) // 3 :], night=_START.date())


def _is_refused(root: Path, how: str) -> bool:
    """Say whether a flat that does not fit is refused with its name, the criterion and a remedy."""
    header = {"INSTRUME": "IRIS", "DETECTOR": "IMG1", "REFTYPE": "FLAT", "REFVER": "0001"}
    header |= {"FILTER": "Kbb", "SUBARRAY": "FULL", "USEAFTER": "2026-01-01T00:00:00"}
    shape = (_SIZE, _SIZE)
    if how == "filter":
        header["FILTER"] = "Jbb"
    elif how == "age":
        header["DATE-OBS"] = "2026-10-01T03:00:00"
    elif how == "shape":
        shape = (_SIZE, _SIZE - 4)
    content = bytearray(_file(header, shape))
    if how == "byte":
        content[-2880] ^= 1
    root.mkdir()
    (root / "flat.fits").write_bytes(content)
    part, remedy = _UNFIT[how]
    store = Store(root)
    said = store.check(root / "flat.fits", _EXPOSURE)
    try:
        store.select("flat", _EXPOSURE)
    except ReferenceFileError as error:
        told = str(error)
    else:
        return False
    sentence = f"flat.fits: {part}: got "
    return (
        sentence in told
        and len(said) == 1
        and said[0].startswith(sentence)
        and ", expected " in said[0]
        and remedy in said[0]
    )


def _judge(measured: Sequence[Measured]) -> list[Row]:
    """Hold the figures against their limits."""
    rows: list[tuple[str, str, str, Any]] = [
        ("selection among {n} references: worst of {q}", "worst", "ms", at_most(5.0)),
        ("selection among {n} references: median of {q}", "median", "ms", at_most(5.0)),
        ("store of {n} opened, first answer of three types", "first", "s", at_most(10.0)),
        ("index of {n} made anew", "index", "s", at_most(30.0)),
        (
            "choices that differ after shuffled entry and a rebuilt index",
            "different",
            "",
            at_most(0),
        ),
        (
            "unfit references refused with file, criterion and remedy, of 4",
            "refused",
            "",
            within(4, 0),
        ),
    ]
    one = measured[0]
    made = []
    for text, key, unit, limit in rows:
        name = text.format(n=one.cell.references, q=one.cell.questions)
        if one.error:
            made.append(Row(name, math.nan, unit, limit, detail=f"{one.cell}: {one.error}"))
        else:
            figure = one.figures[key]
            made.append(Row(name, figure.value, unit, limit, 0.0, one.count, detail=str(one.cell)))
    return made


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the group of the store.

    Parameters
    ----------
    quick : bool
        Use a smaller store.
    seed : int
        Not used: the cell has a stream of its own.

    Returns
    -------
    list of Group
        One cell and its rows.
    """
    about = (
        "A store of darks, flats and gain maps of four detectors, nine filters and three years, several on one date. "
        "Each question opens the store anew, as a step does; its processor time counts. The same references are then "
        "entered in another order, in two contexts, and the index is destroyed. At last a flat of another shape, of "
        "another filter, too old, and with one byte changed is offered."
    )
    cell = StoreCell(2000, 50) if quick else StoreCell(10_000, 200)
    return [Group("references", about, (cell,), measure, _judge)]
