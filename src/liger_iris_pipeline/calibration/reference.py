"""One reference file: what its header says and what it is called."""

from __future__ import annotations

import re
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any

from liger_iris_pipeline import models
from liger_iris_pipeline.calibration.dates import parse_utc
from liger_iris_pipeline.calibration.integrity import fault_in
from liger_iris_pipeline.errors import IrisError, ReferenceFileError, complaint
from liger_iris_pipeline.models.digest import file_state, sha256_of

__all__ = ["Entry", "Reference", "examine", "name_prefix", "reference_name"]

_UNREADABLE = (IrisError, OSError, EOFError, ValueError, TypeError, KeyError, zlib.error)
_NAME_PART = re.compile(r"[A-Za-z0-9.+-]+")


@dataclass(frozen=True)
class Reference:
    """A reference file that was chosen.

    Attributes
    ----------
    path : Path
        Where it lies.
    file : str
        Its name, as recorded in products.
    reftype : str
        Lower-case type.
    sha256 : str
        Checksum, 64 lower-case hexadecimal digits.
    version : str
        REFVER; empty where the file states none.
    useafter : datetime or None
        Start of its validity, UTC; None where a file that was named by hand states none.
    context : str
        Rules by which it was chosen.
    header : mapping
        PRIMARY keywords.
    context_sha256 : str
        Checksum of that context; empty where there is none.
    flag : str
        What was given up to have a reference at all, by the rules' fallback; else empty.
    partner : Reference or None
        The one after the exposure, where the rules ask for a pair around it.
    weight : float
        Share of this one of the pair, linear in time; 1 without a partner.
    """

    path: Path
    file: str
    reftype: str
    sha256: str
    version: str
    useafter: datetime | None
    context: str
    header: Mapping[str, Any] = field(repr=False, hash=False)
    context_sha256: str = ""
    flag: str = ""
    partner: Reference | None = None
    weight: float = 1.0

    @property
    def uri(self) -> str:
        """Name and content in one: ``cal://NAME#sha256``."""
        return f"cal://{self.file}#{self.sha256}"

    @classmethod
    def from_file(cls, path: str | Path, context: str, *, reftype: str | None = None) -> Reference:
        """Take a file that was named by hand, whatever it is valid for.

        Parameters
        ----------
        path : str or Path
            ``.fits`` or ``.fits.gz``.
        context : str
            What to record instead of the rules, such as ``override``.
        reftype : str, optional
            Type it has to be of.

        Returns
        -------
        Reference
            The file.

        Raises
        ------
        ReferenceFileError
            If it cannot be read whole, has no REFTYPE or another one.
        """
        entry = examine(Path(path))
        fault = fault_in(path) or (entry.fault if entry.reftype is None else None)
        if fault is not None:
            raise ReferenceFileError(
                complaint(
                    Path(path), "file", f"one that {fault}", "a reference file", "name another"
                )
            )
        if reftype is not None and entry.reftype != reftype.lower():
            got, expected = str(entry.reftype).upper(), reftype.upper()
            raise ReferenceFileError(
                complaint(Path(path), "REFTYPE", got, expected, "name a file of that type")
            )
        return cls.from_entry(entry, sha256_of(path), context)

    @classmethod
    def from_entry(
        cls, entry: Entry, sha256: str, context: str, context_sha256: str = "", flag: str = ""
    ) -> Reference:
        """Take a file that was examined; see :class:`Reference` for the parameters."""
        return cls(
            path=entry.path,
            file=entry.path.name,
            reftype=entry.reftype or "",
            sha256=sha256,
            version=entry.version,
            useafter=entry.useafter,
            context=context,
            header=dict(entry.header),
            context_sha256=context_sha256,
            flag=flag,
        )

    def provenance(self, role: str) -> tuple[str, str, str, str, str, str]:
        """Give the row of this reference in the table CALIBRATIONS.

        Parameters
        ----------
        role : str
            What it was used for.

        Returns
        -------
        tuple of str
            Role, type, file, SHA-256, version, context.
        """
        return role, self.reftype, self.file, self.sha256, self.version, self.context


@dataclass(frozen=True)
class Entry:
    """A file of a store as its header describes it, or what is wrong with it.

    Attributes
    ----------
    path : Path
        The file.
    reftype : str or None
        Lower-case type; None if it cannot be told.
    useafter : datetime or None
        Start of its validity, UTC; None if it cannot be told.
    version : str
        REFVER, or empty.
    header : mapping
        PRIMARY keywords, empty if they cannot be read.
    fault : str or None
        Why the file cannot be a reference.
    """

    path: Path
    reftype: str | None
    useafter: datetime | None
    version: str
    header: Mapping[str, Any] = field(repr=False, hash=False)
    fault: str | None = None


def examine(path: Path) -> Entry:
    """Read what the header of a reference file says.

    Parameters
    ----------
    path : Path
        ``.fits`` or ``.fits.gz``.

    Returns
    -------
    Entry
        With `fault` set if the file cannot be read or lacks REFTYPE or USEAFTER: one broken file of
        a folder must not keep the others from being used.
    """
    try:
        return _examine(path, *file_state(path))
    except OSError as error:
        return Entry(path, None, None, "", {}, f"cannot be read ({error.strerror or error})")


@lru_cache(maxsize=65536)
def _examine(path: Path, resolved: Path, size: int, mtime_ns: int) -> Entry:
    """Read a header; once per process for a given content."""
    try:
        header = dict(models.read_metadata(path))
    except _UNREADABLE as error:
        said = " ".join(str(error).split()) or type(error).__name__
        return Entry(path, None, None, "", {}, f"cannot be read ({said})")
    reftype = str(header.get("REFTYPE") or "").strip().lower() or None
    version = "" if header.get("REFVER") is None else str(header["REFVER"]).strip()
    if reftype is None:
        return Entry(path, None, None, version, header, "has no REFTYPE")
    if header.get("USEAFTER") is None:
        return Entry(path, reftype, None, version, header, "has no USEAFTER")
    try:
        useafter = parse_utc(header["USEAFTER"])
    except ValueError:
        return Entry(
            path, reftype, None, version, header, f"USEAFTER {header['USEAFTER']!r} is no ISO date"
        )
    return Entry(path, reftype, useafter, version, header)


def name_prefix(header: Mapping[str, Any]) -> str:
    """Give the name of a reference without its version.

    Parameters
    ----------
    header : mapping
        PRIMARY keywords INSTRUME, DETECTOR, REFTYPE, USEAFTER.

    Returns
    -------
    str
        ``{INSTRUME}_{DETECTOR}_{REFTYPE}_{YYYYMMDDTHHMMSS}``.

    Raises
    ------
    ReferenceFileError
        If a keyword is absent or has characters that do not belong in a file name.
    """
    try:
        stamp = parse_utc(header.get("USEAFTER")).strftime("%Y%m%dT%H%M%S")
    except ValueError:
        raise ReferenceFileError(
            complaint(
                "reference", "USEAFTER", header.get("USEAFTER"), "an ISO date in UTC", "set it"
            )
        ) from None
    reftype = _name_part(header, "REFTYPE").upper()
    return f"{_name_part(header, 'INSTRUME')}_{_name_part(header, 'DETECTOR')}_{reftype}_{stamp}"


def reference_name(header: Mapping[str, Any]) -> str:
    """Give the file name of a reference.

    Parameters
    ----------
    header : mapping
        PRIMARY keywords INSTRUME, DETECTOR, REFTYPE, USEAFTER, REFVER.

    Returns
    -------
    str
        ``{INSTRUME}_{DETECTOR}_{REFTYPE}_{YYYYMMDDTHHMMSS}_{version}.fits``.

    Raises
    ------
    ReferenceFileError
        If a keyword is absent or has characters that do not belong in a file name.
    """
    return f"{name_prefix(header)}_{_name_part(header, 'REFVER')}.fits"


def _name_part(header: Mapping[str, Any], key: str) -> str:
    """Take one part of a name from a keyword."""
    value = header.get(key)
    text = "" if value is None else str(value).strip()
    if text == "*":
        return "ANY"
    if _NAME_PART.fullmatch(text) is None:
        raise ReferenceFileError(
            complaint(
                "reference",
                key,
                repr(value),
                "letters, digits, '.', '+' or '-' for its file name",
                "set it",
            )
        )
    return text
