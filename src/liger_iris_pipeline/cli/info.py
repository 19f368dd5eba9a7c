"""``iris-drs info``: what a file is, how it was made and from what."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from liger_iris_pipeline.errors import IrisError, ProductError, complaint
from liger_iris_pipeline.models.fitsfile import Fault, open_stream, survey
from liger_iris_pipeline.models.glossary import dictionary
from liger_iris_pipeline.models.keywords import Keyword
from liger_iris_pipeline.models.merging import column_name, span_names
from liger_iris_pipeline.models.reference import ReferenceModel
from liger_iris_pipeline.models.tables import row_mappings

__all__ = ["describe", "facts", "keyword_lines"]

_TABLES = ("RECEIPT", "CALIBRATIONS", "INPUTS")
_STRUCTURE = re.compile(
    r"SIMPLE|BITPIX|NAXIS\d*|EXTEND|BZERO|BSCALE|PCOUNT|GCOUNT|XTENSION|GROUPS|(CHECK|DATA)SUM|EXTNAME|"
)
_STAMP = re.compile(r"_(\d{8}T\d{6})_")
_MJD_1970 = 40587.0
_DAY = 86400.0
_FEW = 2  # inputs that are all named


def facts(path: Path) -> dict[str, Any]:
    """Gather what a FITS file says of itself.

    Parameters
    ----------
    path : Path
        Any FITS file of the system.

    Returns
    -------
    dict
        ``file``; ``keywords``: by subject a list of dictionaries (keyword, value, unit, meaning, and start and end
        where it varies); ``planes``; ``telemetry`` and ``members``: by column its unit and least, mean and largest
        value, or its values where they are texts; ``steps``, ``references`` and ``inputs``: rows of the tables of
        provenance, with the age of a reference [d] where names and header tell it. Fit for JSON.

    Raises
    ------
    ProductError
        If it is no FITS file, or a broken one.
    """
    try:
        stream, size = open_stream(path)
        with stream:
            survey(stream, size)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with fits.open(path, memmap=False) as hdus:
                return _gathered(path, hdus)
    except Fault as fault:
        raise fault.as_error(path, ProductError) from fault
    except IrisError:
        raise
    except Exception as error:  # a broken file can make the reader fail in any way
        said = str(error) or type(error).__name__
        raise ProductError(
            complaint(path, "file", said[:300], "a FITS file", "check the path and the file")
        ) from error


def _gathered(path: Path, hdus: fits.HDUList) -> dict[str, Any]:
    """Gather the parts."""
    primary = hdus[0].header
    rows = {name: row_mappings(hdus[name].data) if name in hdus else [] for name in _TABLES}
    start = primary.get("MJD-OBS")
    for row in rows["CALIBRATIONS"]:
        row["age_days"] = _age(str(row["file"]), start)
    found: dict[str, Any] = {
        "file": path.name,
        "keywords": _keywords(hdus),
        "planes": [_plane(hdu) for hdu in hdus if hdu.is_image and hdu.header["NAXIS"]],
    }
    for name in ("TELEMETRY", "MEMBERS"):
        if name in hdus:
            found[name.lower()] = _columns(hdus[name])
    return {
        **found,
        "steps": rows["RECEIPT"],
        "references": rows["CALIBRATIONS"],
        "inputs": rows["INPUTS"],
    }


def _age(name: str, start: Any) -> float | None:
    """Give the days from the date in a reference's name to the exposure; None where one is not known."""
    found = _STAMP.search(name)
    if found is None or isinstance(start, bool) or not isinstance(start, int | float):
        return None
    try:
        moment = datetime.strptime(found[1], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
    return round(float(start) - moment.timestamp() / _DAY - _MJD_1970, 3)


def _keywords(hdus: fits.HDUList) -> dict[str, list[dict[str, Any]]]:
    """List the keywords by subject; those of no schema last."""
    known = dictionary()
    if "REFTYPE" in hdus[0].header:
        known = [*ReferenceModel.keywords(), *known]
    listed: dict[str, list[dict[str, Any]]] = {}
    seen: set[tuple[str, str]] = set()
    for keyword in known:
        header = _header(hdus, keyword.hdu)
        if header is None or keyword.name not in header or (keyword.hdu, keyword.name) in seen:
            continue
        if keyword.name == "BUNIT":
            continue  # stands with the planes
        seen.add((keyword.hdu, keyword.name))
        entry = _entry(keyword, header)
        seen |= {(keyword.hdu, name) for name in span_names(keyword.name) if name in header}
        listed.setdefault(keyword.subject, []).append(entry)
    others = [
        {"keyword": key, "value": _plain(value), "unit": "", "meaning": comment}
        for key, value, comment in hdus[0].header.cards
        if ("PRIMARY", key) not in seen and _STRUCTURE.fullmatch(key) is None and key != "BUNIT"
    ]
    return {**listed, **({"in no schema": others} if others else {})}


def _header(hdus: fits.HDUList, name: str) -> Any:
    """Give the header of an HDU; None where there is none."""
    if name == "PRIMARY":
        return hdus[0].header
    return hdus[name].header if name in hdus else None


def _entry(keyword: Keyword, header: Any) -> dict[str, Any]:
    """Describe a keyword of a header."""
    entry = {
        "keyword": keyword.name,
        "value": _plain(header[keyword.name]),
        "unit": keyword.unit,
        "meaning": keyword.meaning,
    }
    start, end = span_names(keyword.name)
    if start in header and end in header:
        entry |= {"start": _plain(header[start]), "end": _plain(header[end])}
    return entry


def _plain(value: Any) -> Any:
    """Turn the value of a card into one that JSON has."""
    if value is None or isinstance(value, fits.card.Undefined):
        return None
    return value if isinstance(value, bool | int | float | str) else str(value)


def _plane(hdu: Any) -> dict[str, Any]:
    """Describe an HDU with pixels."""
    axes = range(hdu.header["NAXIS"], 0, -1)
    return {
        "name": hdu.name or "PRIMARY",
        "shape": [hdu.header[f"NAXIS{axis}"] for axis in axes],
        "unit": str(hdu.header.get("BUNIT", "")),
    }


def _columns(hdu: Any) -> dict[str, dict[str, Any]]:
    """Give the range of each column of a table."""
    ranges: dict[str, dict[str, Any]] = {}
    for column in hdu.columns:
        values = hdu.data[column.name]
        entry: dict[str, Any] = {"unit": column.unit or ""}
        if values.dtype.kind in "SU":
            entry["values"] = sorted({str(value) for value in values})
        else:
            good = values[np.isfinite(values)].astype(np.float64)
            names = ("min", "mean", "max")
            numbers = (good.min(), good.mean(), good.max()) if good.size else (None,) * len(names)
            entry |= {
                name: None if number is None else float(number)
                for name, number in zip(names, numbers, strict=True)
            }
        ranges[column.name] = entry
    return ranges


def describe(path: Path) -> str:
    """Describe a FITS file for a reader.

    Parameters
    ----------
    path : Path
        Any FITS file of the system.

    Returns
    -------
    str
        Keywords by subject with unit and meaning, HDUs, telemetry, steps with their status, references and inputs.

    Raises
    ------
    ProductError
        If it is no FITS file, or a broken one.
    """
    found = facts(path)
    lines = [found["file"]]
    for subject, entries in found["keywords"].items():
        lines += [f"  {subject}", *(_keyword_line(entry) for entry in entries)]
    planes = "; ".join(
        f"{p['name']} {'x'.join(map(str, p['shape']))} {p['unit']}".strip() for p in found["planes"]
    )
    lines += ["  planes", f"    {planes}"] if planes else []
    for name in ("telemetry", "members"):
        lines += _column_lines(name, found.get(name, {}))
    lines += _step_lines(found["steps"])
    lines += _reference_lines(found["references"])
    return "\n".join([*lines, *_input_lines(found["inputs"])])


def _keyword_line(entry: Mapping[str, Any]) -> str:
    """Write a keyword with its value, unit and meaning."""
    value = _short(entry["value"])
    if "start" in entry:
        value += f" ({_short(entry['start'])} to {_short(entry['end'])})"
    value = f"{value} {entry['unit']}".strip()
    return f"    {entry['keyword']:9s} {value:34s} {entry['meaning']}".rstrip()


def _short(value: Any) -> str:
    """Write a value; numbers with twelve digits at most."""
    if isinstance(value, bool):
        return "T" if value else "F"
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else f"{value:.12g}"
    return "" if value is None else str(value)


def _column_lines(name: str, columns: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """List the columns of a table with their ranges."""
    lines = [f"  {name} (least, mean, largest)"] if columns else []
    for column, entry in columns.items():
        if column in ("ramp", "read"):
            continue
        shown = (
            ", ".join(entry["values"])
            if "values" in entry
            else "  ".join(_short(entry[key]) for key in ("min", "mean", "max"))
        )
        lines.append(f"    {column:9s} {shown} {entry['unit']}".rstrip())
    return lines


def _step_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the steps with status, seconds and reason."""
    lines = [
        f"    {row['step']:24s} {row['status']:9s} {row['seconds']:8.3f} s  {row['reason']}".rstrip()
        for row in rows
    ]
    return ["  steps", *lines] if lines else []


def _reference_lines(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """List the references with checksum, age and context."""
    lines = []
    for row in rows:
        age = "" if row["age_days"] is None else f"  {row['age_days']:.1f} d old"
        lines.append(
            f"    {row['role']:12s} {row['file']}  {row['sha256'][:12]}{age}  {row['context']}".rstrip()
        )
    return ["  references", *lines] if lines else []


def _input_lines(rows: list[Mapping[str, Any]]) -> list[str]:
    """Name the inputs; of many their number, the first and the last."""
    if not rows:
        return []
    if len(rows) <= _FEW:
        return ["  inputs", *(f"    {row['file']}" for row in rows)]
    return ["  inputs", f"    {len(rows)} files, {rows[0]['file']} to {rows[-1]['file']}"]


def keyword_lines() -> str:
    """Write the dictionary of keywords for a reader.

    Returns
    -------
    str
        A line for each: name, type, unit, rule of merging, column of TELEMETRY, meaning, source.
    """
    lines, subject = [], ""
    for keyword in dictionary():
        if keyword.subject != subject:
            subject = keyword.subject
            lines.append(subject)
        column = column_name(keyword.name) if keyword.merge == "varies" else "-"
        lines.append(
            f"  {keyword.name:9s} {keyword.expected or 'any':8s} {keyword.unit or '-':12s} {keyword.merge:9s}"
            f" {column:9s} {keyword.meaning} ({keyword.source})"
        )
    return "\n".join(lines)
