"""A context as CRDS mappings: one ``.pmap``, an ``.imap`` for each instrument, an ``.rmap`` for each type.

Nothing of CRDS is imported: a mapping is a Python literal with a checksum over its own text.
"""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liger_iris_pipeline.calibration.item import Item
from liger_iris_pipeline.calibration.rulesfile import Rule
from liger_iris_pipeline.calibration.selection import EVERYTHING, FULL, natural_order, normal
from liger_iris_pipeline.errors import ReferenceFileError, complaint

if TYPE_CHECKING:
    from liger_iris_pipeline.calibration.store import Store

__all__ = ["export_crds"]

_INSTRUMENT = "IRIS"  # of references for any instrument
_DATE_KEYS = ("DATE-OBS", "TIME-OBS")
_SUM = "    'sha1sum' : '{}',\n"
_NUMBER = re.compile(r"_(\d{4,})")


def export_crds(store: Store, out: Path, *, observatory: str = "ligeriri") -> list[Path]:
    """Write the context of a store as the mappings and references of a CRDS cache.

    CRDS knows USEAFTER and equal keywords.  Largest ages, preferences, ranges and windows of other
    sizes are beyond it, so that of references with equal keywords and USEAFTER only the one that
    would be preferred is written.

    Parameters
    ----------
    store : Store
        The store.
    out : Path
        Folder of the cache; ``mappings/OBSERVATORY`` and ``references/OBSERVATORY`` are made in it.
    observatory : str
        Name of the observatory, lower case.

    Returns
    -------
    list of Path
        The mappings, the ``.pmap`` first.

    Raises
    ------
    ReferenceFileError
        If there is nothing to write, or it cannot be written.
    """
    items = store.references()
    if not items:
        raise ReferenceFileError(
            complaint(str(store.path), "store", "no reference", "some", "enter them first")
        )
    found = _NUMBER.search(store.context)
    number = found[1] if found else "0001"
    folder = out / "mappings" / observatory
    try:
        folder.mkdir(parents=True, exist_ok=True)
        written = _write_mappings(store, items, folder, observatory, number)
        _copy_references(store, items, out / "references" / observatory)
    except OSError as error:
        raise ReferenceFileError(
            complaint(
                str(error.filename or out),
                "writing",
                error.strerror,
                "a folder that can be written",
                "make room or name another folder",
            )
        ) from error
    return written


def _write_mappings(
    store: Store, items: Sequence[Item], folder: Path, observatory: str, number: str
) -> list[Path]:
    """Write all mappings."""
    imaps: dict[str, str] = {}
    written: list[Path] = []
    instruments = {_parkey("INSTRUME", item) for item in items} - {"*"} or {_INSTRUMENT}
    for instrument in sorted(instruments):
        rmaps: dict[str, str] = {}
        for reftype in sorted({item.reftype for item in items}):
            mine = [
                item
                for item in items
                if item.reftype == reftype and _parkey("INSTRUME", item) in ("*", instrument)
            ]
            if not mine:
                continue
            name = f"{observatory}_{instrument.lower()}_{reftype}_{number}.rmap"
            rule = store.rulebook.rule(reftype)
            written.append(_write(folder / name, *_rmap(rule, mine, instrument, observatory)))
            rmaps[reftype] = name
        name = f"{observatory}_{instrument.lower()}_{number}.imap"
        header = _header("INSTRUMENT", observatory, {"instrument": instrument})
        header["parkey"] = ("REFTYPE",)
        written.append(_write(folder / name, header, _literal(rmaps)))
        imaps[instrument] = name
    header = _header("PIPELINE", observatory, {})
    header["parkey"] = ("INSTRUME",)
    pmap = _write(folder / f"{observatory}_{number}.pmap", header, _literal(imaps))
    return [pmap, *reversed(written)]


def _rmap(
    rule: Rule, items: Sequence[Item], instrument: str, observatory: str
) -> tuple[dict[str, Any], str]:
    """Write header and selector of a type."""
    keys = [key for key in rule.match if key != "INSTRUME"]
    best: dict[tuple[str, ...], dict[str, Item]] = {}
    for item in sorted(items, key=lambda one: (natural_order(one.version), one.quality)):
        after = item.useafter.strftime("%Y-%m-%d %H:%M:%S")
        best.setdefault(tuple(_parkey(key, item) for key in keys), {})[after] = item
    header = _header("REFERENCE", observatory, {"instrument": instrument})
    header |= {"filekind": rule.reftype.upper(), "parkey": (tuple(keys), _DATE_KEYS)}
    lines = ["Match({\n"]
    for combination, dated in sorted(best.items()):
        rows = "".join(f"        '{after}' : '{dated[after].file}',\n" for after in sorted(dated))
        lines.append(f"    {combination!r} : UseAfter({{\n{rows}    }}),\n")
    return header, "".join([*lines, "})\n"])


def _parkey(key: str, item: Item) -> str:
    """Write a keyword value as CRDS compares it: upper case, ``*`` for everything."""
    value = item.match.get(key)
    if isinstance(value, list):
        return "|".join(str(one).upper() for one in value)
    if isinstance(value, dict):
        low, high = value["range"]
        return f"between {low} {high}"
    text = normal(key, value)
    if text in EVERYTHING or (key == "SUBARRAY" and text == FULL):
        return "*"  # a full frame serves windows too
    return str(value).strip().upper()


def _header(mapping: str, observatory: str, more: Mapping[str, Any]) -> dict[str, Any]:
    """Give the fields that every mapping has."""
    return {
        "derived_from": "iris-drs calib export-crds",
        "mapping": mapping,
        "observatory": observatory.upper(),
        **{key: str(value).upper() for key, value in more.items()},
    }


def _literal(content: Mapping[str, str]) -> str:
    """Write a dictionary, one entry a line."""
    rows = "".join(f"    {key!r} : {value!r},\n" for key, value in sorted(content.items()))
    return f"{{\n{rows}}}\n"


def _write(path: Path, header: Mapping[str, Any], selector: str) -> Path:
    """Write a mapping with the sum of its text: that without the line of the sum itself."""
    fields = {**header, "name": path.name}
    rows = [f"    {key!r} : {fields[key]!r},\n" for key in sorted(fields)]
    before = "header = {\n" + "".join(rows)
    after = f"}}\n\nselector = {selector}"
    digest = hashlib.sha1((before + after).encode(), usedforsecurity=False).hexdigest()
    temporary = path.with_name(f".{path.name}")
    temporary.write_text(before + _SUM.format(digest) + after, "utf-8")
    temporary.replace(path)
    return path


def _copy_references(store: Store, items: Sequence[Item], folder: Path) -> None:
    """Put the reference files beside the mappings."""
    folder.mkdir(parents=True, exist_ok=True)
    for item in items:
        if not (folder / item.file).exists():
            temporary = folder / f".{item.file}"
            shutil.copyfile(store.path / item.file, temporary)
            temporary.replace(folder / item.file)
