"""What is wrong with a reference, or with a whole store, in sentences."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from liger_iris_pipeline.calibration.content import FILES, content_path, points_into
from liger_iris_pipeline.calibration.context import (
    context_names,
    current_name,
    load_context,
)
from liger_iris_pipeline.calibration.folder import file_names
from liger_iris_pipeline.calibration.index import known_references
from liger_iris_pipeline.calibration.integrity import (
    MANIFEST,
    fault_in,
    image_shape,
    read_manifest,
    sum_fault,
)
from liger_iris_pipeline.calibration.item import item_from_header
from liger_iris_pipeline.calibration.reference import examine
from liger_iris_pipeline.calibration.rulebook import Rulebook
from liger_iris_pipeline.calibration.selection import Failure, Question, judge, judge_shape
from liger_iris_pipeline.errors import ReferenceFileError, UsageError, complaint
from liger_iris_pipeline.models.digest import read_sha256, sha256_of

__all__ = ["check_reference", "verify_store"]

_DAMAGED = "the file was changed or damaged: put the original back or make it anew"
_RESTORE = "put the original back from a copy of the store"


def check_reference(
    path: Path, sha256: str | None, rules: Rulebook, metadata: Mapping[str, Any]
) -> list[str]:
    """Say what keeps a reference from being used for an exposure.

    Parameters
    ----------
    path : Path
        The file.
    sha256 : str or None
        Checksum it should have, where one is known.
    rules : Rulebook
        Rules of the types.
    metadata : mapping
        PRIMARY keywords of the exposure.

    Returns
    -------
    list of str
        ``FILE: PART: got …, expected …; remedy``; empty if it fits.
    """
    entry = examine(path)
    broken = fault_in(path) or entry.fault
    if broken is not None or entry.reftype is None:
        got = f"one that {broken}"
        return [complaint(path, "file", got, "a whole reference file", "copy it again")]
    faults = [f"{path.name}: {fault}; {_DAMAGED}" for fault in _sums(path, sha256)]
    rule = rules.rule(entry.reftype)
    remedy = _remedy(entry.reftype)
    try:
        item = item_from_header(path.name, entry.header, rule.match)
    except ValueError:
        date = repr(entry.header.get("GOODUNTL"))
        return [*faults, complaint(path, "GOODUNTL", date, "an ISO date in UTC", "mend it")]
    failures: list[Failure] = []
    misfit = judge_shape(rule, image_shape(path), metadata)
    if misfit is not None:
        failures.append(misfit)
    failures += judge(Question.about(rule, metadata), item).failures
    return [*faults, *(complaint(path, *failure, remedy) for failure in failures)]


def _sums(path: Path, sha256: str | None) -> list[str]:
    """Compare the checksum of a file with the one it should have, else its data with DATASUM."""
    found = sha256_of(path)
    if sha256 is None:
        fault = sum_fault(path)
        return [] if fault is None else [fault]
    if found == sha256:
        return []
    return [f"SHA-256: got {found[:12]}…, expected {sha256[:12]}…"]


def _remedy(reftype: str) -> str:
    """Say what to do about a reference that does not fit."""
    return (
        f"make a {reftype} that fits with `iris-drs calibrate`, "
        f"or choose another with --override {reftype}=FILE"
    )


def verify_store(root: Path) -> list[str]:
    """Compare contexts, contents, names and index of a store with each other.

    Parameters
    ----------
    root : Path
        The store, or a plain folder, of which only the manifest can be verified.

    Returns
    -------
    list of str
        What is wrong, a line each; empty if all is well.
    """
    sums = read_manifest(root)
    faults = [fault for name, listed in sorted(sums.items()) for fault in _name(root, name, listed)]
    if not context_names(root):
        faults += [
            complaint(root / name, "file", f"one that {fault}", "a whole one", "copy it again")
            for name in file_names(root)
            if name not in sums and (fault := fault_in(root / name) or sum_fault(root / name))
        ]
        return faults
    broken = _contexts(root)
    faults += broken
    if not broken:
        faults += _contents(root)
    faults += [
        complaint(root / name, "file", "one in no context", "an entered one", "use `calib add`")
        for name in file_names(root)
        if name not in sums and not points_into(root / name)
    ]
    return faults


def _name(root: Path, name: str, listed: str) -> list[str]:
    """Verify a name of the manifest."""
    path = root / name
    if not path.exists():
        there = content_path(root, listed).exists()
        remedy = "use `iris-drs calib index`" if there else _RESTORE
        return [complaint(path, "file", "nothing", f"what {MANIFEST} lists", remedy)]
    found = read_sha256(path)
    if found == listed:
        return []
    return [complaint(path, "SHA-256", f"{found[:12]}…", f"{listed[:12]}…", _RESTORE)]


def _contexts(root: Path) -> list[str]:
    """Verify every context and the rules it pins."""
    faults = []
    try:
        names = [*context_names(root), str(current_name(root))]
    except ReferenceFileError as error:
        return [str(error)]
    for name in dict.fromkeys(names):
        try:
            context = load_context(root, name)
            for reftype in context.types:
                context.entries(reftype)
                faults += [
                    complaint(root / pin.file, "SHA-256", "another", name, _RESTORE)
                    for pin in context.pins[reftype]
                    if read_sha256(root / pin.file) != pin.sha256
                ]
        except (ReferenceFileError, UsageError) as error:
            faults.append(str(error))
    return list(dict.fromkeys(faults))


def _contents(root: Path) -> list[str]:
    """Verify that every reference of every context is there and unchanged, and no other content."""
    faults = []
    known = {one.item.sha256: one.item for one in known_references(root)}
    for sha256, item in sorted(known.items()):
        path = content_path(root, sha256)
        if not path.exists():
            expected = f"the content of {item.file}"
            faults.append(complaint(path, "file", "nothing", expected, _RESTORE))
        elif read_sha256(path) != sha256:
            faults.append(
                complaint(item.file, "SHA-256", "another content", f"{sha256[:12]}…", _RESTORE)
            )
    for path in sorted((root / FILES).glob("??/*")):
        if path.name not in known:
            what = "a content of no context"
            faults.append(complaint(path, "file", what, "one that a context has", "remove it"))
    return faults
