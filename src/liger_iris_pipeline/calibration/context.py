"""Contexts: a name and a checksum that pin the rules of all types and the references they choose among.

A context is one small YAML file that never changes.  It names a rules file for each type, with its
SHA-256.  A *night context* names its parent instead, and rules files whose entries are added to the
parent's: ``iris_0003+20261013.02``.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from liger_iris_pipeline.calibration.item import Item
from liger_iris_pipeline.calibration.rulesfile import RulesFile, format_rules, parse_rules
from liger_iris_pipeline.errors import ContextError, UsageError, complaint
from liger_iris_pipeline.models.digest import file_state

__all__ = [
    "CONTEXTS",
    "CURRENT",
    "RULES",
    "Context",
    "Draft",
    "context_names",
    "current_name",
    "draft_context",
    "load_context",
    "shipped_contexts",
]

CONTEXTS, RULES, CURRENT = "contexts", "rules", "CURRENT"

_NAME = re.compile(
    r"(?P<prefix>[a-z]+)_(?P<number>\d{4,})(\+(?P<night>\d{8})\.(?P<version>\d{2,}))?"
)
_PIN = re.compile(r"rules/(?P<name>[a-z0-9]+_[0-9+.]+)\.yaml")
_RESTORE = "put the original back, or choose another context"


class Pin(NamedTuple):
    """A rules file and its checksum."""

    file: str
    sha256: str


class Draft(NamedTuple):
    """Files of a context that is to be written: content by name relative to the store."""

    name: str
    files: dict[str, str]


@dataclass(frozen=True)
class Context:
    """A context.

    Attributes
    ----------
    root : Path
        The store.
    name : str
        Such as ``iris_0003`` or ``iris_0003+20261013.02``.
    sha256 : str
        Checksum of its file, and by what that file holds, of all it stands for.
    parent : str or None
        Context it was made from.
    created : str
        Date, UTC.
    pins : mapping of str to tuple of Pin
        Rules files by type: the first has the rule, all have entries.
    """

    root: Path
    name: str
    sha256: str
    parent: str | None
    created: str
    pins: Mapping[str, tuple[Pin, ...]] = field(repr=False, hash=False)

    @property
    def types(self) -> tuple[str, ...]:
        """List the types it has rules for."""
        return tuple(self.pins)

    def rules_of(self, reftype: str) -> tuple[RulesFile, ...]:
        """Read the rules files of a type.

        Raises
        ------
        ContextError
            If one was changed or is not there.
        """
        return tuple(_load_rules(self.root, pin) for pin in self.pins[reftype])

    def entries(self, reftype: str) -> tuple[Item, ...]:
        """List the references of a type, in the order they were added."""
        return tuple(entry for part in self.rules_of(reftype) for entry in part.entries)


def context_names(root: Path) -> list[str]:
    """List the contexts of a store, in the order they were made.

    Parameters
    ----------
    root : Path
        The store.

    Returns
    -------
    list of str
        Names; empty for a plain folder.
    """
    names = [path.stem for path in (root / CONTEXTS).glob("*.yaml") if _NAME.fullmatch(path.stem)]
    return sorted(names, key=_order)


def shipped_contexts(root: Path) -> tuple[str, ...]:
    """List the contexts of the package itself."""
    return tuple(context_names(root))


def _order(name: str) -> tuple[str, int, str, int]:
    """Give the place of a context among others."""
    found = _NAME.fullmatch(name)
    if found is None:
        return name, 0, "", 0
    return found["prefix"], int(found["number"]), found["night"] or "", int(found["version"] or 0)


def current_name(root: Path) -> str | None:
    """Give the context a store is used with.

    Parameters
    ----------
    root : Path
        The store.

    Returns
    -------
    str or None
        Its name; None for a plain folder.

    Raises
    ------
    ContextError
        If there are contexts, but none is named.
    """
    try:
        return (root / CONTEXTS / CURRENT).read_text("utf-8").strip()
    except FileNotFoundError:
        names = context_names(root)
        if not names:
            return None
        if (root / CONTEXTS / CURRENT).exists():  # the first ones came just now
            return current_name(root)
        raise ContextError(
            complaint(
                f"{root}/{CONTEXTS}/{CURRENT}",
                "file",
                "nothing",
                f"one of {', '.join(names[-3:])}",
                "choose one with `iris-drs calib context --set NAME`",
            )
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise ContextError(
            complaint(root / CONTEXTS / CURRENT, "file", error, "a name", "write one")
        ) from error


def load_context(root: Path, name: str) -> Context:
    """Read a context.

    Parameters
    ----------
    root : Path
        The store.
    name : str
        Its name.

    Returns
    -------
    Context
        The context.

    Raises
    ------
    UsageError
        If there is none of that name.
    ContextError
        If its file, or that of a parent it adds to, was changed or cannot be read.
    """
    path = root / CONTEXTS / f"{name}.yaml"
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        known = ", ".join(context_names(root)) or "none"
        raise UsageError(
            complaint(str(root), "context", name, f"one of {known}", "name one of them")
        ) from None
    except OSError as error:
        raise ContextError(
            complaint(path, "file", error.strerror, "a readable file", _RESTORE)
        ) from error
    parsed = _parsed_context(name, content)
    pins = _all_pins(root, parsed)
    return Context(root, name, parsed.sha256, parsed.parent, parsed.created, pins)


def _all_pins(root: Path, parsed: _Parsed) -> Mapping[str, tuple[Pin, ...]]:
    """Give the rules files of a context, those of the parent it adds to included."""
    if parsed.rules and not parsed.append:
        return {reftype: (pin,) for reftype, pin in parsed.rules.items()}
    above = load_context(root, str(parsed.parent))
    if above.sha256 != parsed.parent_sha256:
        got, expected = above.sha256[:12], parsed.parent_sha256[:12]
        raise ContextError(
            complaint(f"{above.name}.yaml", "SHA-256", f"{got}…", f"{expected}…", _RESTORE)
        )
    pins = dict(above.pins)
    for reftype, pin in parsed.append.items():
        pins[reftype] = (*pins[reftype], pin)
    return pins


class _Parsed(NamedTuple):
    """What the file of a context says."""

    sha256: str
    parent: str | None
    parent_sha256: str
    created: str
    rules: Mapping[str, Pin]
    append: Mapping[str, Pin]


@lru_cache(maxsize=256)
def _parsed_context(name: str, content: bytes) -> _Parsed:
    """Read the content of a context's file."""
    where = f"{name}.yaml"
    try:
        fields = yaml.safe_load(content)
        if not isinstance(fields, dict) or fields.get("context") != name:
            got = fields.get("context") if isinstance(fields, dict) else "no fields"
            raise ContextError(complaint(where, "context", got, name, _RESTORE))
        return _Parsed(
            hashlib.sha256(content).hexdigest(),
            fields.get("parent"),
            str(fields.get("parent_sha256")),
            str(fields.get("created", "")),
            _pins(fields, "rules"),
            _pins(fields, "append"),
        )
    except (yaml.YAMLError, UnicodeDecodeError, TypeError, KeyError, AttributeError) as error:
        said = " ".join(str(error).split())[:200]
        raise ContextError(complaint(where, "content", said, "a context", _RESTORE)) from error


def _pins(fields: Mapping[str, Any], part: str) -> dict[str, Pin]:
    """Take the rules files a context names, of names that stay inside of the store."""
    pins = {}
    for reftype, pin in (fields.get(part) or {}).items():
        if _PIN.fullmatch(pin["file"]) is None:
            raise KeyError(f"{part}: {pin['file']!r} is no rules file")
        pins[reftype] = Pin(pin["file"], pin["sha256"])
    return pins


def _load_rules(root: Path, pin: Pin) -> RulesFile:
    """Read a rules file, refusing one that was changed."""
    path = root / pin.file
    try:
        return _parsed(pin.sha256, *file_state(path))
    except OSError as error:
        raise ContextError(
            complaint(path, "file", error.strerror, "a readable file", _RESTORE)
        ) from error


@lru_cache(maxsize=256)
def _parsed(sha256: str, path: Path, size: int, mtime_ns: int) -> RulesFile:
    """Read rules once per process; size and time are there for the cache."""
    content = path.read_bytes()
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise ContextError(
            complaint(
                path,
                "SHA-256",
                f"{found[:12]}…",
                f"{sha256[:12]}… as the context says",
                f"rules never change: {_RESTORE}",
            )
        )
    try:
        return parse_rules(content.decode("utf-8"), path.name)
    except UnicodeDecodeError as error:
        raise ContextError(complaint(path, "content", error, "text", _RESTORE)) from error


def draft_context(
    parent: Context, added: Mapping[str, Sequence[Item]], *, night: date | None = None
) -> Draft:
    """Write down the context that follows another one; nothing is put on the disk.

    Parameters
    ----------
    parent : Context
        The context to start from.
    added : mapping of str to sequence of Item
        New references by type.
    night : date, optional
        Night whose context it is: the new references are added to the parent's, which stay where
        they are. Else the rules files of these types are written anew.

    Returns
    -------
    Draft
        Name of the context, and its files.
    """
    name = _next_name(parent, night)
    files: dict[str, str] = {}
    changed: dict[str, dict[str, str]] = {}
    for reftype, items in sorted(added.items()):
        rule = parent.rules_of(reftype)[0].rule
        entries = tuple(items) if night else (*parent.entries(reftype), *items)
        text = format_rules(rule, entries)
        file = f"{RULES}/{_rules_name(parent, reftype, name)}.yaml"
        files[file] = text
        changed[reftype] = {"file": file, "sha256": hashlib.sha256(text.encode()).hexdigest()}
    fields: dict[str, Any] = {
        "context": name,
        "parent": parent.name,
        "parent_sha256": parent.sha256,
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%S"),
    }
    fields |= {"append": changed} if night else {"rules": _merged(parent, files, name) | changed}
    text = yaml.safe_dump(fields, sort_keys=False, width=200)
    return Draft(name, {**files, f"{CONTEXTS}/{name}.yaml": text})


def _merged(parent: Context, files: dict[str, str], name: str) -> dict[str, dict[str, str]]:
    """Give the rules files of all types, writing one of several pieces as one."""
    rules = {}
    for reftype, pins in parent.pins.items():
        pin = pins[0]
        if len(pins) > 1:
            text = format_rules(parent.rules_of(reftype)[0].rule, parent.entries(reftype))
            file = f"{RULES}/{_rules_name(parent, reftype, name)}.yaml"
            if file not in files:
                files[file] = text
            pin = Pin(file, hashlib.sha256(files[file].encode()).hexdigest())
        rules[reftype] = {"file": pin.file, "sha256": pin.sha256}
    return rules


def _next_name(parent: Context, night: date | None) -> str:
    """Name the context that follows."""
    found = _NAME.fullmatch(parent.name)
    if found is None:
        raise ContextError(complaint(parent.name, "context", "no name", "iris_0003", _RESTORE))
    names = context_names(parent.root)
    if night is None:
        highest = max(_order(name)[1] for name in [*names, parent.name])
        return f"{found['prefix']}_{highest + 1:04d}"
    base = f"{found['prefix']}_{found['number']}+{night:%Y%m%d}"
    versions = [_order(name)[3] for name in names if name.startswith(f"{base}.")]
    return f"{base}.{max(versions, default=0) + 1:02d}"


def _rules_name(parent: Context, reftype: str, context: str) -> str:
    """Name a rules file: of a night after its context, else with the next number."""
    night = context.partition("+")[2]
    pattern = re.compile(rf"{re.escape(reftype)}_(\d+)(\+[\d.]+)?\.yaml")
    names = (pattern.fullmatch(path.name) for path in (parent.root / RULES).glob("*.yaml"))
    highest = max((int(found[1]) for found in names if found), default=0)
    return f"{reftype}_{highest:04d}+{night}" if night else f"{reftype}_{highest + 1:04d}"
