"""How well a reference fits an exposure: keywords in, a verdict out; no files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from typing import Any

from liger_iris_pipeline.calibration.dates import exposure_date, format_utc
from liger_iris_pipeline.calibration.rulebook import Rule

__all__ = ["Question", "Verdict", "judge", "natural_order"]

_REQUIRED = frozenset({"INSTRUME", "DETECTOR"})
_EVERYTHING = frozenset({"", "any", "*"})
_WINDOW = ("SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
_FULL = "full"
_SYNONYMS = {"SAMPMODE": {"mcds": "mds", "fowler": "mds"}}


class Fit(Enum):
    """How one keyword of a reference fits the exposure."""

    EXACT = "exact"
    GENERAL = "general"
    NONE = "none"


@dataclass(frozen=True)
class Question:
    """What a reference is wanted for.

    Attributes
    ----------
    rule : Rule
        Rule of the type.
    metadata : mapping
        Keywords of the exposure.
    date : datetime or None
        Start of the exposure, UTC.
    """

    rule: Rule
    metadata: Mapping[str, Any]
    date: datetime | None

    @classmethod
    def about(cls, rule: Rule, metadata: Mapping[str, Any]) -> Question:
        """Put the question for an exposure."""
        return cls(rule, metadata, exposure_date(metadata))

    @property
    def missing(self) -> tuple[str, ...]:
        """Keywords without which no reference can be chosen."""
        keys = [key for key in sorted(_REQUIRED) if not str(self.metadata.get(key) or "").strip()]
        return (*keys, *(("DATE-OBS or MJD-OBS",) if self.date is None else ()))

    def __str__(self) -> str:
        """Say it in one line."""
        parts = [str(self.metadata.get(key)) for key in self.rule.match if key in _REQUIRED]
        parts += [
            f"{key} {_shown(key, self.metadata)}" for key in self.rule.match if key not in _REQUIRED
        ]
        when = "an unknown date" if self.date is None else format_utc(self.date)
        return f"{' '.join(parts)} on {when}"


@dataclass(frozen=True)
class Verdict:
    """How a reference fits.

    Attributes
    ----------
    exact : int
        Number of keywords that agree exactly, not by ``ANY``, absence or as a full frame for a
        window.
    failures : tuple of str
        What does not agree; empty if the reference can be used.
    """

    exact: int
    failures: tuple[str, ...]


def judge(question: Question, header: Mapping[str, Any], useafter: datetime) -> Verdict:
    """Compare the keywords of a reference with those of an exposure.

    Parameters
    ----------
    question : Question
        What is wanted.
    header : mapping
        PRIMARY keywords of the reference.
    useafter : datetime
        Its USEAFTER, UTC.

    Returns
    -------
    Verdict
        Number of exact agreements and what does not agree.
    """
    exact = 0
    failures = []
    for key in question.rule.match:
        fit = _fit(key, header, question.metadata)
        exact += fit is Fit.EXACT
        if fit is Fit.NONE:
            failures.append(f"{key} is {_shown(key, header)}")
    if question.date is not None and useafter > question.date:
        failures.append(f"USEAFTER {format_utc(useafter)} is later than the exposure")
    return Verdict(exact, tuple(failures))


def _fit(key: str, header: Mapping[str, Any], metadata: Mapping[str, Any]) -> Fit:
    """Compare one keyword."""
    has = _normal(key, header.get(key))
    if key in _REQUIRED and has == "":
        return Fit.NONE
    if has in _EVERYTHING:
        return Fit.GENERAL
    wanted = _normal(key, metadata.get(key))
    if key == "SUBARRAY":
        return _fit_window(has, wanted or _FULL, header, metadata)
    return Fit.EXACT if has == wanted else Fit.NONE


def _fit_window(
    has: str, wanted: str, header: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Fit:
    """Compare windows: a full frame serves all, a window only the same window."""
    if has == wanted == _FULL:
        return Fit.EXACT
    if has == _FULL:
        return Fit.GENERAL
    same = has == wanted and all(header.get(key) in (None, metadata.get(key)) for key in _WINDOW)
    return Fit.EXACT if same else Fit.NONE


def _normal(key: str, value: object) -> str:
    """Bring a value into a form in which equal means equal: 4, 4.0 and '4' are one value."""
    text = "" if value is None else str(value).strip().casefold()
    try:
        return repr(float(text))
    except ValueError:
        return _SYNONYMS.get(key, {}).get(text, text)


def _shown(key: str, header: Mapping[str, Any]) -> str:
    """Show a keyword value in a message."""
    value = header.get(key)
    text = "absent" if value is None or str(value).strip() == "" else str(value).strip()
    if key == "SUBARRAY" and text.casefold() not in (_FULL, "absent"):
        window = [str(header[name]) for name in _WINDOW if name in header]
        return f"{text} ({', '.join(window)})" if window else text
    return text


def natural_order(text: str) -> tuple[str | int, ...]:
    """Give a sort key under which ``v10`` follows ``v9``.

    Parameters
    ----------
    text : str
        A version.

    Returns
    -------
    tuple
        Text and numbers in turn, beginning with text.

    Examples
    --------
    >>> sorted(["0010", "9", "1.10", "1.9"], key=natural_order)
    ['1.9', '1.10', '9', '0010']
    """
    return tuple(
        int(part) if index % 2 else part for index, part in enumerate(re.split(r"(\d+)", text))
    )
