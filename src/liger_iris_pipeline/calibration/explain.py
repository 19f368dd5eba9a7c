"""Why a reference was chosen: every candidate, and the criterion it failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from liger_iris_pipeline.calibration.dates import DAY
from liger_iris_pipeline.calibration.item import Item
from liger_iris_pipeline.calibration.selection import (
    Failure,
    Question,
    judge,
    rank,
    rank_difference,
)

__all__ = ["Considered", "Explanation", "explain_items"]

_SHOWN_SUM = 12


class Considered(NamedTuple):
    """A file that was looked at.

    Attributes
    ----------
    file : str
        Its name.
    sha256 : str
        Its checksum; empty where it was not needed.
    state : {"chosen", "fits", "no"}
        What became of it.
    reason : str
        Why.
    criterion : str
        Keyword or other criterion it failed first; empty if it fits.
    """

    file: str
    sha256: str
    state: str
    reason: str
    criterion: str


@dataclass(frozen=True)
class Explanation:
    """A choice, and all it was made among.

    Attributes
    ----------
    reftype : str
        Lower-case type.
    question : str
        What was asked.
    context : str
        Rules and references it was asked of.
    time : str
        Time rule.
    on_missing : str
        What a run does without one.
    candidates : tuple of Considered
        The chosen one, those that fit, best first, and the others, nearest miss first.
    """

    reftype: str
    question: str
    context: str
    time: str
    on_missing: str
    candidates: tuple[Considered, ...]

    @property
    def chosen(self) -> Considered | None:
        """The one that was chosen, if any."""
        return next((one for one in self.candidates if one.state == "chosen"), None)

    def __str__(self) -> str:
        """Say it, one candidate a line."""
        head = f"{self.reftype} for {self.question}; context {self.context}; {self.time}"
        lines = [
            f"  {one.state:6}  {one.file}  {one.sha256[:_SHOWN_SUM] or '-':{_SHOWN_SUM}}  {one.reason}"
            for one in self.candidates
        ]
        if self.chosen is None:
            lines.append(f"  none fits: {_ON_MISSING[self.on_missing]}")
        return "\n".join([head, *lines])

    def to_json(self) -> dict[str, Any]:
        """Give it as plain data."""
        return {
            "type": self.reftype,
            "question": self.question,
            "context": self.context,
            "time": self.time,
            "on_missing": self.on_missing,
            "candidates": [one._asdict() for one in self.candidates],
        }


_ON_MISSING: Mapping[str, str] = {
    "fail": "a run that needs it ends",
    "degrade": "the step is skipped, and the product says so",
    "wait": "real time waits for one, then ends",
}


def explain_items(
    question: Question,
    items: Sequence[Item],
    faults: Mapping[str, str],
    unfit: Callable[[Item], str | None],
) -> list[Considered]:
    """Judge every reference and say why it comes where it does.

    Parameters
    ----------
    question : Question
        What is wanted.
    items : sequence of Item
        References of the type.
    faults : mapping of str to str
        Files that cannot be references, and why.
    unfit : callable
        Says what keeps a file that fits by its keywords from being used, else None.

    Returns
    -------
    list of Considered
        Best first; the first is the chosen one if its state is ``fits``, which the caller changes
        to ``chosen``.
    """
    fits: list[tuple[tuple[Any, ...], Item, int]] = []
    misses: list[tuple[Any, Considered]] = []
    for item in items:
        verdict = judge(question, item)
        failures: list[Failure | str] = list(verdict.failures)
        if not failures and (fault := unfit(item)) is not None:
            failures.append(fault)
        if failures:
            reason = ", ".join(map(str, failures))
            part = failures[0].part if isinstance(failures[0], Failure) else "file"
            order = (len(failures), item.file)
            misses.append((order, Considered(item.file, item.sha256, "no", reason, part)))
        else:
            fits.append((rank(question, item, verdict.exact), item, verdict.exact))
    fits.sort(key=lambda fit: fit[1].file, reverse=True)
    fits.sort(key=lambda fit: fit[1].sha256)
    fits.sort(key=lambda fit: fit[0], reverse=True)
    told = [
        Considered(
            item.file, item.sha256, "fits", _why(question, fits[0][0], rank_, item, exact), ""
        )
        for rank_, item, exact in fits
    ]
    misses.sort(key=lambda miss: miss[0])
    broken = [Considered(name, "", "no", fault, "file") for name, fault in sorted(faults.items())]
    return [*told, *(considered for _, considered in misses), *broken]


def _why(
    question: Question, best: tuple[Any, ...], rank_: tuple[Any, ...], item: Item, exact: int
) -> str:
    """Say why a reference that fits comes where it does."""
    keys = f"{exact} of {len(question.rule.match)} keywords exact"
    taken = item.taken(question.rule.time.key)
    if taken is None or question.date is None:
        age = f"valid from {item.useafter:%Y-%m-%d}"
    else:
        age = f"{(question.date - taken) / DAY:.2f} d old"
    place = "" if rank_ is best else f"{rank_difference(question, best, rank_)}; "
    return f"{place}{keys}, {age}"
