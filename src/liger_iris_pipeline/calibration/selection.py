"""How well a reference fits an exposure, and which of two comes first; no files."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import Enum
from typing import Any, Literal, NamedTuple

from liger_iris_pipeline.calibration.dates import DAY, exposure_date, format_utc, night_start
from liger_iris_pipeline.calibration.item import WINDOW, Item
from liger_iris_pipeline.calibration.rulesfile import IDENTITY, Rule, TimeMode

__all__ = ["Failure", "Mode", "Question", "Verdict", "judge", "natural_order", "normal", "rank"]

Mode = Literal["offline", "realtime"]

EVERYTHING = frozenset({"", "any", "*", "n/a"})
"""Values of a reference, in their normal form, that agree with every exposure."""

FULL = "full"
_SYNONYMS = {"SAMPMODE": {"mcds": "mds", "fowler": "mds"}}
_RANK_PARTS = ("fewer keywords agree exactly", "less near in time")
_PREFERENCE_PARTS = {
    "same_night": "of another night",
    "same_obsid": "of another observation",
    "quality": "lower quality",
    "newest_version": "lower version",
}


class Fit(Enum):
    """How one keyword of a reference fits the exposure."""

    EXACT = "exact"
    GENERAL = "general"
    NONE = "none"


class Failure(NamedTuple):
    """A criterion that a reference does not meet."""

    part: str
    got: str
    expected: str

    def __str__(self) -> str:
        return f"{self.part}: got {self.got}, expected {self.expected}"


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
    mode : {"offline", "realtime"}
        Real time looks at the past only.
    """

    rule: Rule
    metadata: Mapping[str, Any] = field(hash=False)
    date: datetime | None
    mode: Mode = "offline"

    @classmethod
    def about(cls, rule: Rule, metadata: Mapping[str, Any], mode: Mode = "offline") -> Question:
        """Put the question for an exposure."""
        return cls(rule, metadata, exposure_date(metadata), mode)

    def by(self, rule: Rule) -> Question:
        """Put the same question under another rule."""
        return replace(self, rule=rule)

    @property
    def time_mode(self) -> TimeMode:
        """Give the time rule in force: real time makes the symmetric ones look back."""
        mode = self.rule.time.mode
        return (
            "nearest_past" if self.mode == "realtime" and mode in ("nearest", "bracket") else mode
        )

    @property
    def missing(self) -> tuple[str, ...]:
        """Keywords without which no reference can be chosen."""
        keys = [key for key in sorted(IDENTITY) if not str(self.metadata.get(key) or "").strip()]
        return (*keys, *(("DATE-OBS or MJD-OBS",) if self.date is None else ()))

    def __str__(self) -> str:
        """Say it in one line."""
        parts = [str(self.metadata.get(key)) for key in self.rule.match if key in IDENTITY]
        parts += [
            f"{key} {_shown(key, self.metadata)}" for key in self.rule.match if key not in IDENTITY
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
    failures : tuple of Failure
        What does not agree; empty if the reference can be used.
    """

    exact: int
    failures: tuple[Failure, ...]


def judge(question: Question, item: Item) -> Verdict:
    """Compare a reference with an exposure.

    Parameters
    ----------
    question : Question
        What is wanted.
    item : Item
        The reference.

    Returns
    -------
    Verdict
        Number of exact agreements and what does not agree.
    """
    verdict = judge_keywords(question, item.match)
    return Verdict(verdict.exact, (*verdict.failures, *judge_time(question, item)))


def judge_keywords(question: Question, match: Mapping[str, Any]) -> Verdict:
    """Compare the keywords of a reference with those of an exposure; see :func:`judge`."""
    exact = 0
    failures = []
    for key in question.rule.match:
        fit = _fit(key, match, question.metadata)
        exact += fit is Fit.EXACT
        if fit is Fit.NONE:
            failures.append(Failure(key, _shown(key, match), _shown(key, question.metadata)))
    return Verdict(exact, tuple(failures))


def judge_time(question: Question, item: Item) -> tuple[Failure, ...]:
    """Compare the dates of a reference with that of an exposure.

    Parameters
    ----------
    question : Question
        What is wanted.
    item : Item
        The reference.

    Returns
    -------
    tuple of Failure
        What keeps it from being used; empty without a date of the exposure.
    """
    date, time = question.date, question.rule.time
    if date is None:
        return ()
    failures = []
    symmetric = question.time_mode in ("nearest", "bracket")
    if not symmetric and item.useafter > date:
        later = f"one not later than the exposure, {format_utc(date)}"
        failures.append(Failure("USEAFTER", format_utc(item.useafter), later))
    if item.good_until is not None and date >= item.good_until:
        until = f"one later than the exposure, {format_utc(date)}"
        failures.append(Failure("GOODUNTL", format_utc(item.good_until), until))
    taken = item.taken(time.key)
    if taken is None:
        return tuple(failures)
    past_only = question.mode == "realtime" or question.time_mode == "nearest_past"
    begun = item.end or taken if question.mode == "realtime" else taken
    if past_only and begun > date:
        before = f"data from before the exposure, {format_utc(date)}"
        failures.append(Failure(time.key, format_utc(begun), before))
    age = (date - taken) / DAY
    if time.max_age_d is not None and (abs(age) if symmetric else age) > time.max_age_d:
        limit = f"at most {time.max_age_d:g} d {'from' if symmetric else 'before'} the exposure"
        failures.append(Failure("age", f"{abs(age):.1f} d", limit))
    return tuple(failures)


def judge_shape(
    rule: Rule, shape: tuple[int, int] | None, metadata: Mapping[str, Any]
) -> Failure | None:
    """Compare the shape of a reference's images with the detector, or the window, of an exposure.

    Parameters
    ----------
    rule : Rule
        Rule of the type.
    shape : tuple of int or None
        Rows and columns of its images; None where there are none.
    metadata : mapping
        Keywords of the exposure.

    Returns
    -------
    Failure or None
        None if it fits, or if the exposure does not state its size.
    """
    full = (metadata.get("DETSIZE2"), metadata.get("DETSIZE1"))
    if not rule.planes or shape is None or not all(isinstance(size, int) for size in full):
        return None
    window = normal("SUBARRAY", metadata.get("SUBARRAY")) not in ("", FULL)
    allowed = [full, *([(metadata.get("SUBSIZE2"), metadata.get("SUBSIZE1"))] if window else [])]
    if shape in allowed:
        return None
    expected = f"{full[0]}×{full[1]} pixels, the size of the detector"
    return Failure("shape", f"{shape[0]}×{shape[1]} pixels", expected)


def moment(rule: Rule, item: Item) -> datetime:
    """Give the date by which references are put in order: USEAFTER, or that of their data."""
    if rule.time.mode == "useafter":
        return item.useafter
    return item.taken(rule.time.key) or item.useafter


def rank(question: Question, item: Item, exact: int) -> tuple[Any, ...]:
    """Give the sort key of a reference that fits: the highest is the best.

    Parameters
    ----------
    question : Question
        What is wanted; its date must be known.
    item : Item
        A reference that fits.
    exact : int
        Keywords that agree exactly.

    Returns
    -------
    tuple
        Exact agreements, nearness in time, preferences of the rule in their order, REFVER. What is
        equal in all of them is told apart by its SHA-256, the lowest first.
    """
    return (
        exact,
        _nearness(question, item),
        *(_preference(name, question, item) for name in question.rule.prefer),
        natural_order(item.version),
    )


def rank_difference(question: Question, better: tuple[Any, ...], worse: tuple[Any, ...]) -> str:
    """Say in a few words why one of two references that fit comes after the other.

    Parameters
    ----------
    question : Question
        What is wanted.
    better, worse : tuple
        Their ranks.

    Returns
    -------
    str
        The first criterion in which they differ.
    """
    parts = [
        *_RANK_PARTS,
        *(_PREFERENCE_PARTS[name] for name in question.rule.prefer),
        "lower version",
    ]
    for part, one, other in zip(parts, better, worse, strict=True):
        if one != other:
            return part
    return "equal, later in the order of SHA-256"


def _nearness(question: Question, item: Item) -> tuple[Any, ...]:
    """Give the part of the rank that dates decide."""
    date = question.date
    if date is None:
        return ()
    at = moment(question.rule, item)
    if question.rule.time.mode != "useafter":
        return -abs(date - at), date >= at
    taken = item.taken(question.rule.time.key)
    if taken is None:
        return at, False, -_AGES
    return at, taken <= date, -abs(date - taken)


_AGES = 10**6 * DAY  # longer than any age


def _preference(name: str, question: Question, item: Item) -> Any:
    """Give the part of the rank that one preference decides."""
    if name == "newest_version":
        return natural_order(item.version)
    if name == "quality":
        return item.quality
    if name == "same_obsid":
        return item.obs_id != "" and item.obs_id == str(question.metadata.get("OBS_ID") or "")
    taken = item.begin or item.useafter
    return question.date is not None and night_start(taken) == night_start(question.date)


def _fit(key: str, match: Mapping[str, Any], metadata: Mapping[str, Any]) -> Fit:
    """Compare one keyword."""
    value = match.get(key)
    wanted = normal(key, metadata.get(key))
    if isinstance(value, list):
        return Fit.EXACT if wanted in [normal(key, one) for one in value] else Fit.NONE
    if isinstance(value, dict):
        return _fit_range(value, metadata.get(key))
    has = normal(key, value)
    if key in IDENTITY and has == "":
        return Fit.NONE
    if has in EVERYTHING:
        return Fit.GENERAL
    if key == "SUBARRAY":
        return _fit_window(has, wanted or FULL, match, metadata)
    return Fit.EXACT if has == wanted else Fit.NONE


def _fit_range(value: Mapping[str, Any], wanted: object) -> Fit:
    """Compare a number with ``{"range": [low, high]}``, both ends included."""
    low, high = value["range"]
    inside = isinstance(wanted, int | float) and low <= wanted <= high
    return Fit.EXACT if inside else Fit.NONE


def _fit_window(
    has: str, wanted: str, match: Mapping[str, Any], metadata: Mapping[str, Any]
) -> Fit:
    """Compare windows: a full frame serves all, a window only the same window."""
    if has == wanted == FULL:
        return Fit.EXACT
    if has == FULL:
        return Fit.GENERAL
    same = has == wanted and all(match.get(key) in (None, metadata.get(key)) for key in WINDOW)
    return Fit.EXACT if same else Fit.NONE


def normal(key: str, value: object) -> str:
    """Bring a value into a form in which equal means equal: 4, 4.0 and '4' are one value.

    Parameters
    ----------
    key : str
        Keyword.
    value : object
        Its value.

    Returns
    -------
    str
        Lower case, without blanks around, names of one thing made one.
    """
    text = "" if value is None else str(value).strip().casefold()
    if text.isalpha():  # most values; float() of them would be slow, and takes "nan" for a number
        return _SYNONYMS.get(key, {}).get(text, text)
    try:
        return repr(float(text))
    except ValueError:
        return _SYNONYMS.get(key, {}).get(text, text)


def _shown(key: str, header: Mapping[str, Any]) -> str:
    """Show a keyword value in a message."""
    value = header.get(key)
    if isinstance(value, list):
        return f"one of {', '.join(map(str, value))}"
    if isinstance(value, dict):
        return f"{value['range'][0]} to {value['range'][1]}"
    text = "absent" if value is None or str(value).strip() == "" else str(value).strip()
    if key == "SUBARRAY" and text.casefold() not in (FULL, "absent"):
        window = [str(header[name]) for name in WINDOW if name in header]
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
