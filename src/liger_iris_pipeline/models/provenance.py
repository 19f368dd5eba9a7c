"""What a product says of how it was made: parameters and their hash, software, references, inputs of its frames."""

from __future__ import annotations

import functools
import hashlib
import importlib.metadata
import json
import platform
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from liger_iris_pipeline import __version__

__all__ = [
    "CARDS",
    "IN_MEMORY",
    "VOLATILE",
    "Origin",
    "canonical",
    "foreign_rows",
    "inherit",
    "origin_of",
    "parameter_hash",
    "parameters_of",
    "software_rows",
    "stamp",
]

VOLATILE = frozenset({"isa", "threads"})
"""Parameters that change no pixel: they are recorded, but are no part of the hash."""

IN_MEMORY = "in memory"
"""File of a reference that was given as a model."""

CARDS = {
    "dark": "R_DARK",
    "distortion": "R_DISTOR",
    "dq": "R_DQ",
    "flat": "R_FLAT",
    "gain": "R_GAIN",
    "ipc": "R_IPC",
    "linearity": "R_LINEAR",
    "persistence": "R_PERSIS",
    "photom": "R_PHOTOM",
    "readnoise": "R_READNO",
    "refpix": "R_REFPIX",
    "saturation": "R_SATUR",
    "supersky": "R_SUPSKY",
}
"""Card that names the reference of a type, by type; fields of ``meta.ref_file``."""

_PACKAGES = (
    "numpy",
    "scipy",
    "astropy",
    "asdf",
    "gwcs",
    "drizzle",
    "photutils",
    "stcal",
    "stdatamodels",
    "stpipe",
)
_BY_HAND = frozenset({"", "override", "command line"})
_MULTIPLE = "MULTIPLE"


def canonical(parameters: Mapping[str, Any]) -> str:
    """Write parameters as the one text that stands for them.

    Parameters
    ----------
    parameters : mapping
        Values that JSON can hold; others are written as text.

    Returns
    -------
    str
        JSON with sorted keys.

    Examples
    --------
    >>> canonical({"mode": "auto", "clip": 4.0})
    '{"clip": 4.0, "mode": "auto"}'
    """
    return json.dumps(parameters, sort_keys=True, default=str)


def parameters_of(row: Mapping[str, Any]) -> dict[str, Any]:
    """Give the parameters in a row of RECEIPT.

    Parameters
    ----------
    row : mapping
        With ``parameters``, a JSON object.

    Returns
    -------
    dict
        Empty where the text is no JSON object.
    """
    try:
        values = json.loads(row["parameters"])
    except ValueError:
        return {}
    return values if isinstance(values, dict) else {}


def parameter_hash(rows: Iterable[Mapping[str, Any]]) -> str:
    """Hash what decides over the pixels in the rows of RECEIPT.

    Parameters
    ----------
    rows : iterable of mapping
        With ``step``, ``parameters`` and ``status``.

    Returns
    -------
    str
        First 16 hexadecimal digits of the SHA-256 of steps, status and canonical parameters, without
        :data:`VOLATILE`.
    """
    digest = hashlib.sha256()
    for row in rows:
        kept = {k: v for k, v in parameters_of(row).items() if k not in VOLATILE}
        digest.update(f"{row['step']} {row['status']} {canonical(kept)}\n".encode())
    return digest.hexdigest()[:16]


@functools.cache
def software_rows() -> tuple[tuple[str, str], ...]:
    """Name the software that results depend on.

    Returns
    -------
    tuple of (str, str)
        Name and version: this package, the readout library, Python, the packages used; ``source``, a hash of this
        package's files; ``commit``, where it lies in a working tree; the kind of machine.
    """
    from iris_readout import __version__ as readout

    found = [("liger_iris_pipeline", __version__), ("iris_readout", str(readout))]
    found.append(("python", platform.python_version()))
    found += [(name, _version_of(name)) for name in _PACKAGES]
    home = Path(__file__).parents[1]
    found += [("source", _source_hash(home)), ("commit", _commit_of(home))]
    found.append(("machine", platform.machine()))
    return tuple((name, version) for name, version in found if version)


def _version_of(package: str) -> str:
    """Give the version of an installed package; empty where it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return ""


def _source_hash(home: Path) -> str:
    """Hash the modules, schemas and rules of the package, by name and content."""
    digest = hashlib.sha256()
    for path in sorted(p for p in home.rglob("*") if p.suffix in (".py", ".yaml")):
        digest.update(path.relative_to(home).as_posix().encode())
        digest.update(hashlib.sha256(path.read_bytes()).digest())
    return digest.hexdigest()[:16]


def _commit_of(home: Path) -> str:
    """Give the commit that is checked out where the package lies; empty where it is in no working tree."""
    state = home.parents[1] / ".git"
    if home.parent.name != "src" or not state.is_dir():
        return ""
    try:
        head = (state / "HEAD").read_text("utf-8").strip()
        if not head.startswith("ref: "):
            return head
        name = head.removeprefix("ref: ")
        if (state / name).is_file():
            return (state / name).read_text("utf-8").strip()
        packed = (state / "packed-refs").read_text("utf-8").splitlines()
    except OSError:
        return ""
    return next((line.split()[0] for line in packed if line.endswith(f" {name}")), "")


def stamp(product: Any, contexts: Iterable[tuple[str, str]] = ()) -> None:
    """Write software, hash of the parameters, contexts and names of references into a product.

    Parameters
    ----------
    product : IrisDataModel
        With its RECEIPT and CALIBRATIONS as they will be saved.
    contexts : iterable of (str, str)
        Name and SHA-256 of the contexts that references were chosen by; those the product names already stay.
    """
    product.software = list(software_rows())
    product.meta.parameter_hash = parameter_hash(product.receipt_rows())
    calibrations = product.calibration_rows()
    recorded = [(str(row["context"]), "") for row in calibrations]
    _stamp_contexts(product, [*contexts, *recorded])
    for reftype in CARDS:
        files = {
            row["file"]
            for row in calibrations
            if row["type"].lower() == reftype and not row.get("member")
        }
        name = f"cal://{next(iter(files))}" if len(files) == 1 else _MULTIPLE if files else None
        setattr(product.meta.ref_file, reftype, name)


def _stamp_contexts(product: Any, contexts: Iterable[tuple[str, str]]) -> None:
    """Write the names of contexts and, in the same order, their checksums."""
    known = dict(_contexts_of(product))
    known |= {name: sha256 for name, sha256 in contexts if sha256 or name not in known}
    known = {name: known[name] for name in sorted(known) if name not in _BY_HAND}
    product.meta.ref_file.context = ",".join(known) or None
    joined = ",".join(known.values())
    product.meta.ref_file.context_sha256 = joined if joined.strip(",") else None


def _contexts_of(product: Any) -> tuple[tuple[str, str], ...]:
    """Give the names of the contexts of a product with their checksums; empty where they are not known."""
    names = str(product.meta.ref_file.context or "").split(",")
    sums = str(product.meta.ref_file.context_sha256 or "").split(",")
    return tuple(zip(names, [*sums, *[""] * len(names)], strict=False))


class Origin(NamedTuple):
    """What a frame says of how it was made.

    Attributes
    ----------
    name : str
        File name of the frame.
    role : str
        What it is for: dark, flat, lampoff ...
    inputs, calibrations, receipt : tuple of dict
        Rows of its tables.
    contexts : tuple of (str, str)
        Names and checksums of the contexts its references were chosen by.
    """

    name: str
    role: str
    inputs: tuple[dict[str, Any], ...]
    calibrations: tuple[dict[str, Any], ...]
    receipt: tuple[dict[str, Any], ...]
    contexts: tuple[tuple[str, str], ...] = ()


def origin_of(frame: Any, role: str) -> Origin:
    """Note how a frame was made.

    Parameters
    ----------
    frame : IrisDataModel
        Open; it may be closed afterwards.
    role : str
        What it is for.

    Returns
    -------
    Origin
        Copies of its rows.
    """
    return Origin(
        str(frame.meta.filename),
        role,
        tuple(frame.input_rows()),
        tuple(frame.calibration_rows()),
        tuple(frame.receipt_rows()),
        _contexts_of(frame),
    )


def inherit(product: Any, origins: Sequence[Origin]) -> None:
    """Write into a product what its frames were made from, so that the frames themselves need not be kept.

    Parameters
    ----------
    product : IrisDataModel
        Its INPUTS become the raw reads of all frames with their roles; CALIBRATIONS gains their references, each once
        (with the frame as ``member`` where not all frames used it); RECEIPT begins with the steps that made them,
        each once where the frames agree.
    origins : sequence of Origin
        One a frame.
    """
    product.add_inputs(
        (row["file"], row["sha256"], origin.role) for origin in origins for row in origin.inputs
    )
    everywhere = [set(map(_reference, origin.calibrations)) for origin in origins]
    common = set.intersection(*everywhere) if everywhere else set()
    rows: dict[tuple[str, ...], None] = {}
    for origin in origins:
        for row in map(_reference, origin.calibrations):
            rows[(*row[:6], "" if row in common else origin.name, row[6])] = None
    product.add_calibrations(rows)
    _stamp_contexts(product, (pair for origin in origins for pair in origin.contexts))
    steps: dict[tuple[Any, ...], tuple[Any, ...]] = {}
    for origin in origins:
        for step in origin.receipt:
            key = tuple(
                step[name] for name in ("step", "version", "parameters", "status", "reason")
            )
            steps.setdefault(key, tuple(list(step.values())[:8]))
    own = product.receipt_rows()
    product.receipt = None
    for made in [*steps.values(), *(tuple(row.values()) for row in own)]:
        product.add_receipt(made)


def foreign_rows(
    own: Iterable[Mapping[str, Any]], other: Iterable[Mapping[str, Any]], member: str
) -> list[tuple[str, ...]]:
    """List the references that a further input used and the product itself did not.

    Parameters
    ----------
    own, other : iterable of mapping
        Rows of CALIBRATIONS of the product and of the input.
    member : str
        Name of the input.

    Returns
    -------
    list of tuple of str
        Rows with the input as ``member``.
    """
    known = set(map(_reference, own))
    rows = dict.fromkeys(row for row in map(_reference, other) if row not in known)
    return [(*row[:6], member, row[6]) for row in rows]


def _reference(row: Mapping[str, Any]) -> tuple[str, ...]:
    """Give what makes a row of CALIBRATIONS, without the member: six columns and the flag."""
    columns = ("role", "type", "file", "sha256", "version", "context")
    return (*(str(row[name]) for name in columns), str(row.get("flag", "")))
