"""Two products side by side: header, parameters, inputs, references, software, pixels."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.io.fits.verify import VerifyError

from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.models.provenance import CARDS, parameters_of
from liger_iris_pipeline.models.tables import row_mappings

__all__ = ["Change", "Comparison", "PlaneDifference", "compare"]

_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|BZERO|BSCALE|PCOUNT|GCOUNT|XTENSION|EXTNAME|EXTVER|TFIELDS"
    r"|CHECKSUM|DATASUM|DATE|LASTREAD|LATENCY|FILENAME|DRSVER|PARHASH|COMMENT|HISTORY|"
)
_REFERENCES = frozenset(CARDS.values())
"""Cards that repeat what CALIBRATIONS says."""
_OF_CONTEXTS = re.compile(r"CAL_CTX|CAL_CSHA")
_RECORDS = ("RECEIPT", "CALIBRATIONS", "INPUTS", "SOFTWARE")
_NOTHING = "nothing"


class Change(NamedTuple):
    """One thing that differs.

    Attributes
    ----------
    kind : str
        ``version software input reference parameter status context isa plane table header``.
    what : str
        Its name.
    recorded : str
        What the first product has, or says.
    now : str
        What the second has.
    """

    kind: str
    what: str
    recorded: str
    now: str

    def __str__(self) -> str:
        if self.kind == "plane":
            return f"pixels {self.what}: {self.now}"
        return f"{self.kind} {self.what}: recorded {self.recorded}, now {self.now}"


@dataclass(frozen=True)
class PlaneDifference:
    """How the pixels of an HDU differ.

    Attributes
    ----------
    name : str
        The HDU.
    count : int
        Pixels compared.
    ndiff : int
        Pixels that differ; a NaN is equal to a NaN.
    nnan : int
        Those of them that are NaN in one of the two.
    max_abs, rms : float
        Largest and rms difference of those that are finite in both; NaN where there is none.
    max_sigma : float
        Largest difference over ERR of the first product (SCI only; else NaN).
    where : tuple of int
        Place of the largest difference, C order; of the first that differs where none is finite.
    remark : str
        What keeps the pixels from being compared; else empty.
    """

    name: str
    count: int = 0
    ndiff: int = 0
    nnan: int = 0
    max_abs: float = math.nan
    rms: float = math.nan
    max_sigma: float = math.nan
    where: tuple[int, ...] = ()
    remark: str = ""

    @property
    def differs(self) -> bool:
        """Whether there is a difference."""
        return bool(self.ndiff or self.remark)

    def __str__(self) -> str:
        if self.remark:
            return self.remark
        if not self.ndiff:
            return f"{self.count} equal"
        parts = [f"{self.ndiff} of {self.count} differ"]
        if math.isfinite(self.max_abs):
            largest = f"largest {self.max_abs:.6g}"
            if math.isfinite(self.max_sigma):
                largest += f" ({self.max_sigma:.3g} sigma)"
            parts += [f"{largest} at {self.where}", f"rms {self.rms:.6g}"]
        if self.nnan:
            parts.append(f"{self.nnan} are NaN in one of the two")
        return ", ".join(parts)


@dataclass(frozen=True)
class Comparison:
    """What two products have in common and what not.

    Attributes
    ----------
    header, parameters, inputs, references, software, tables : tuple of Change
        Differences by subject; ``parameters`` holds version and status of steps too.
    planes : tuple of PlaneDifference
        Every HDU with pixels, equal or not.
    """

    header: tuple[Change, ...]
    parameters: tuple[Change, ...]
    inputs: tuple[Change, ...]
    references: tuple[Change, ...]
    software: tuple[Change, ...]
    tables: tuple[Change, ...]
    planes: tuple[PlaneDifference, ...]

    @property
    def pixels(self) -> tuple[Change, ...]:
        """Planes and tables that differ."""
        planes = [Change("plane", p.name, "", str(p)) for p in self.planes if p.differs]
        return (*planes, *self.tables)

    @property
    def changes(self) -> tuple[Change, ...]:
        """All differences."""
        records = (self.software, self.parameters, self.inputs, self.references, self.header)
        return (*(change for part in records for change in part), *self.pixels)

    @property
    def same(self) -> bool:
        """Whether nothing differs."""
        return not self.changes

    def to_json(self) -> dict[str, Any]:
        """Give everything as values that JSON can hold; NaN becomes None."""
        subjects = ("header", "parameters", "inputs", "references", "software", "tables")
        found: dict[str, Any] = {"same": self.same}
        found |= {name: [c._asdict() for c in getattr(self, name)] for name in subjects}
        found["planes"] = [
            {k: None if isinstance(v, float) and math.isnan(v) else v for k, v in asdict(p).items()}
            for p in self.planes
        ]
        return found


def compare(a: Path, b: Path, *, planes: Iterable[str] | None = None) -> Comparison:
    """Compare two products.

    Parameters
    ----------
    a, b : Path
        FITS products, or catalogues (``.ecsv``).
    planes : iterable of str, optional
        Names of the HDUs with pixels to compare; all without it.

    Returns
    -------
    Comparison
        Dates, file names, times and checksums of a file are not compared.

    Raises
    ------
    ProductError
        If a file cannot be read, or a plane that was named is in neither.
    """
    if a.name.endswith(".ecsv") and b.name.endswith(".ecsv"):
        return _compare_catalogues(a, b)
    one, two = _read(a), _read(b)
    wanted = None if planes is None else {name.upper() for name in planes}
    unknown = sorted((wanted or set()) - set(one.images) - set(two.images))
    if unknown:
        known = f"some of {' '.join(one.images)}"
        raise ProductError(complaint(a, "planes", unknown[0], known, "correct the names"))
    names = [n for n in {**one.images, **two.images} if wanted is None or n in wanted]
    return Comparison(
        header=tuple(_headers(one, two)),
        parameters=tuple(_parameters(one.records["RECEIPT"], two.records["RECEIPT"])),
        inputs=tuple(_files("input", one.records["INPUTS"], two.records["INPUTS"])),
        references=tuple(
            _files("reference", one.records["CALIBRATIONS"], two.records["CALIBRATIONS"])
        ),
        software=tuple(_software(one.records["SOFTWARE"], two.records["SOFTWARE"])),
        tables=tuple(_tables(one.tables, two.tables)),
        planes=tuple(_plane(name, one.images, two.images) for name in names),
    )


@dataclass(frozen=True)
class _Content:
    """What a product holds."""

    headers: Mapping[str, Mapping[str, Any]]
    images: Mapping[str, npt.NDArray[Any]]
    tables: Mapping[str, Any]
    records: Mapping[str, list[dict[str, Any]]]


def _read(path: Path) -> _Content:
    """Read a product whole."""
    try:
        with fits.open(path, memmap=False) as hdus:
            headers = {h.name or "PRIMARY": _values(h.header) for h in hdus if h.name != "ASDF"}
            images = {h.name or "PRIMARY": h.data for h in hdus if h.is_image and h.size}
            tables = {
                h.name: np.array(h.data)
                for h in hdus
                if isinstance(h, fits.BinTableHDU) and h.name not in ("ASDF", *_RECORDS)
            }
            records = {
                name: row_mappings(np.array(hdus[name].data)) if name in hdus else []
                for name in _RECORDS
            }
    except (OSError, TypeError, ValueError) as error:
        raise ProductError(
            complaint(path, "file", str(error), "a FITS product", "check the path and the file")
        ) from error
    return _Content(headers, images, tables, records)


def _values(header: fits.Header) -> dict[str, Any]:
    """Give the values of a header; of a card that cannot be read, its text."""
    found: dict[str, Any] = {}
    for card in header.cards:
        try:
            found[card.keyword] = header[card.keyword]
        except VerifyError:
            found[card.keyword] = str(card.image)
    return found


def _headers(one: _Content, two: _Content) -> Iterable[Change]:
    """Compare the keywords of PRIMARY and SCI."""
    for hdu in ("PRIMARY", "SCI"):
        first, second = one.headers.get(hdu, {}), two.headers.get(hdu, {})
        for key in dict.fromkeys([*first, *second]):
            if _STRUCTURE.fullmatch(key) or key in _REFERENCES:
                continue
            got, expected = second.get(key, _NOTHING), first.get(key, _NOTHING)
            if got != expected:
                kind = "context" if _OF_CONTEXTS.fullmatch(key) else "header"
                what = key if hdu == "PRIMARY" else f"{hdu} {key}"
                yield Change(kind, what, repr(expected), repr(got))


def _parameters(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> Iterable[Change]:
    """Compare the steps: versions, status, parameters."""
    first, second = _by_step(one), _by_step(two)
    versions = {
        (first[s]["version"], second[s]["version"])
        for s in first.keys() & second.keys()
        if first[s]["version"] != second[s]["version"]
    }
    yield from (Change("version", "of the steps", *pair) for pair in sorted(versions))
    for step in dict.fromkeys([*first, *second]):
        if step not in first or step not in second:
            was, now = ("not run", "run") if step not in first else ("run", "not run")
            yield Change("status", step, was, now)
            continue
        states = [_state(rows[step]) for rows in (first, second)]
        if states[0] != states[1]:
            yield Change("status", step, *states)
        old, new = parameters_of(first[step]), parameters_of(second[step])
        for name in dict.fromkeys([*old, *new]):
            was, now = old.get(name, _NOTHING), new.get(name, _NOTHING)
            if was != now:
                yield Change("parameter", f"{step}.{name}", repr(was), repr(now))


def _by_step(rows: list[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Index rows of RECEIPT; a step that ran again has its number behind its name."""
    found: dict[str, dict[str, Any]] = {}
    for row in rows:
        name, count = str(row["step"]), 1
        while name in found:
            count += 1
            name = f"{row['step']} ({count})"
        found[name] = row
    return found


def _state(row: Mapping[str, Any]) -> str:
    """Give the status of a step with its reason."""
    return f"{row['status']} ({row['reason']})" if row["reason"] else str(row["status"])


def _files(kind: str, one: list[dict[str, Any]], two: list[dict[str, Any]]) -> Iterable[Change]:
    """Compare rows of INPUTS or CALIBRATIONS: the content of files, by role and name."""
    roles = all(row.get("role") for row in [*one, *two])  # the readout command writes none
    first, second = _by_file(kind, one, roles=roles), _by_file(kind, two, roles=roles)
    for key in dict.fromkeys([*first, *second]):
        old, new = first.get(key, []), second.get(key, [])
        gone = [item for item in old if item not in new]
        come = [item for item in new if item not in old]
        for index in range(max(len(gone), len(come))):
            was = gone[index] if index < len(gone) else _NOTHING
            now = come[index] if index < len(come) else _NOTHING
            yield Change(kind, key, was, now)


def _by_file(kind: str, rows: list[dict[str, Any]], *, roles: bool) -> dict[str, list[str]]:
    """Index files: inputs by name, references by type and the input they were used for."""
    found: dict[str, list[str]] = {}
    for row in rows:
        sha256 = f"SHA-256 {row['sha256'][:12]}…" if row["sha256"] else "no SHA-256"
        if kind == "input":
            role = f" as {row['role']}" if roles else ""
            key, value = str(row["file"]), f"{sha256}{role}"
        else:
            member = f" of {row['member']}" if row.get("member") else ""
            key, value = f"{row['type'].lower()}{member}", f"{row['file']} {sha256}"
        found.setdefault(key, []).append(value)
    return found


def _software(one: list[dict[str, Any]], two: list[dict[str, Any]]) -> Iterable[Change]:
    """Compare versions."""
    first, second = ({row["name"]: row["version"] for row in rows} for rows in (one, two))
    for name in dict.fromkeys([*first, *second]):
        was, now = first.get(name, _NOTHING), second.get(name, _NOTHING)
        if was != now:
            yield Change("software", name, was, now)


def _tables(one: Mapping[str, Any], two: Mapping[str, Any]) -> Iterable[Change]:
    """Compare binary tables with results, such as EVENTS."""
    for name in dict.fromkeys([*one, *two]):
        if name not in one or name not in two:
            there = [f"{len(t[name])} rows" if name in t else _NOTHING for t in (one, two)]
            yield Change("table", name, *there)
            continue
        first, second = one[name], two[name]
        if len(first) != len(second) or first.dtype.names != second.dtype.names:
            sizes = [f"{len(t)} rows of {' '.join(t.dtype.names)}" for t in (first, second)]
            yield Change("table", name, *sizes)
            continue
        odd = [n for n in first.dtype.names if np.any(_unequal(first[n], second[n]))]
        if odd:
            count = max(int(np.count_nonzero(_unequal(first[n], second[n]))) for n in odd)
            yield Change("table", name, f"{len(first)} rows", f"{count} differ in {' '.join(odd)}")


def _unequal(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which values differ; a NaN is equal to a NaN, blanks at the end of a text count for nothing."""
    if a.dtype.kind in "SU" and b.dtype.kind in "SU":
        a, b = (np.char.rstrip(text.astype("U"), " \0") for text in (a, b))
    differs = np.asarray(a != b)
    if a.dtype.kind == "f" and b.dtype.kind == "f":
        differs &= ~(np.isnan(a) & np.isnan(b))
    return differs


def _plane(
    name: str, one: Mapping[str, npt.NDArray[Any]], two: Mapping[str, npt.NDArray[Any]]
) -> PlaneDifference:
    """Compare the pixels of an HDU."""
    if name not in one or name not in two:
        where = "the second" if name in one else "the first"
        return PlaneDifference(name, remark=f"the plane is not in {where}")
    a, b = one[name], two[name]
    if a.shape != b.shape:
        return PlaneDifference(name, remark=f"shape {a.shape} and {b.shape}")
    differs = _unequal(a, b)
    ndiff = int(np.count_nonzero(differs))
    if not ndiff:
        return PlaneDifference(name, count=a.size)
    delta = np.abs(b.astype(np.float64) - a.astype(np.float64))
    delta[~differs] = 0.0
    usable = differs & np.isfinite(delta)
    first = np.unravel_index(int(np.argmax(differs)), a.shape)
    found = PlaneDifference(
        name,
        count=a.size,
        ndiff=ndiff,
        nnan=int(np.count_nonzero(differs & (_isnan(a) | _isnan(b)))),
        where=tuple(int(i) for i in first),
    )
    if not usable.any():
        return found
    return _measured(found, np.where(usable, delta, 0.0), usable, one.get("ERR"))


def _measured(
    found: PlaneDifference,
    delta: npt.NDArray[np.float64],
    usable: npt.NDArray[np.bool_],
    error: npt.NDArray[Any] | None,
) -> PlaneDifference:
    """Add the statistics of finite differences."""
    place = np.unravel_index(int(np.argmax(delta)), delta.shape)
    sigma = math.nan
    if found.name == "SCI" and error is not None and error.shape == delta.shape:
        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = (delta / error)[usable]
        ratio = ratio[np.isfinite(ratio)]
        sigma = float(ratio.max()) if ratio.size else math.nan
    return PlaneDifference(
        found.name,
        found.count,
        found.ndiff,
        found.nnan,
        max_abs=float(delta.max()),
        rms=float(np.sqrt(np.mean(delta[usable] ** 2))),
        max_sigma=sigma,
        where=tuple(int(i) for i in place),
    )


def _isnan(plane: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Say which pixels are NaN."""
    return np.isnan(plane) if plane.dtype.kind == "f" else np.zeros(plane.shape, np.bool_)


def _compare_catalogues(a: Path, b: Path) -> Comparison:
    """Compare the columns and rows of two catalogues."""
    lines = []
    for path in (a, b):
        try:
            text = path.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ProductError(
                complaint(path, "file", error, "a catalogue (ECSV)", "check the path")
            ) from error
        lines.append([line for line in text.splitlines() if not line.startswith("#")])
    tables: tuple[Change, ...] = ()
    if lines[0] != lines[1]:
        odd = sum(x != y for x, y in zip(*lines, strict=False))
        now = f"{len(lines[1]) - 1} rows, {odd} differ"
        tables = (Change("table", "catalogue", f"{len(lines[0]) - 1} rows", now),)
    return Comparison((), (), (), (), (), tables, ())
