"""Figures and their limits: what a row of the acceptance table is, and the one place that judges."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

__all__ = [
    "Figure",
    "Group",
    "Limit",
    "Measured",
    "Row",
    "at_least",
    "at_most",
    "row",
    "stream",
    "within",
    "worst",
]


class Figure(NamedTuple):
    """A measured figure.

    Attributes
    ----------
    value : float
        The figure.
    error : float
        Its statistical error (one standard deviation), 0 where it has none.
    """

    value: float
    error: float = 0.0


@dataclass(frozen=True)
class Limit:
    """Range that a figure must lie in, the ends included.

    Attributes
    ----------
    low, high : float
        Ends; infinite where there is none.
    text : str
        The range in words.
    """

    low: float
    high: float
    text: str

    def holds(self, value: float) -> bool:
        """Say whether a figure is within; NaN never is."""
        return bool(self.low <= value <= self.high)

    def strain(self, value: float) -> float:
        """Give how much of the tolerance a figure uses up: above 1 it falls short.

        For one-sided limits this is only good for finding the worst of several figures.
        """
        if math.isnan(value):
            return math.inf
        if math.isinf(self.low):
            return value - self.high + 1.0
        if math.isinf(self.high):
            return self.low - value + 1.0
        distance = abs(value - (self.low + self.high) / 2)
        half = (self.high - self.low) / 2
        return distance / half if half > 0 else 1.0 + distance


def within(target: float, tolerance: float, text: str = "") -> Limit:
    """Make the limit ``target +- tolerance``."""
    return Limit(target - tolerance, target + tolerance, text or f"{target:g} ± {tolerance:g}")


def at_most(high: float) -> Limit:
    """Make the limit ``<= high``."""
    return Limit(-math.inf, high, f"≤ {high:g}")


def at_least(low: float) -> Limit:
    """Make the limit ``>= low``."""
    return Limit(low, math.inf, f"≥ {low:g}")


@dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    name : str
        What was measured.
    figure : float
        The figure; NaN where it could not be measured, which falls short.
    unit : str
        Its unit, empty for a pure number.
    limit : Limit
        What it must be.
    error : float
        Statistical error of the figure.
    count : int
        Number of pixels, events or the like that it rests on; 0 where that says nothing.
    seconds : float
        Time that measuring it took, shared among the rows of a group.
    detail : str
        Where the figure was found, or why there is none.
    group : str
        What it belongs to.
    """

    name: str
    figure: float
    unit: str
    limit: Limit
    error: float = 0.0
    count: int = 0
    seconds: float = 0.0
    detail: str = ""
    group: str = ""

    @property
    def passed(self) -> bool:
        """Whether the figure is within its limit: the figure itself, with no allowance for its error."""
        return self.limit.holds(self.figure)


@dataclass(frozen=True)
class Measured:
    """What was measured in one cell.

    Attributes
    ----------
    cell : object
        Description of the cell; ``str`` of it names it.
    figures : mapping of str to Figure
        The figures.
    count : int
        Number of pixels, events or the like.
    seconds : float
        Time it took.
    curves : mapping of str to list of float
        What the plots need besides.
    rows : tuple of Row
        Rows that are judged already.
    error : str
        Why there are no figures, empty if there are.
    """

    cell: Any
    figures: Mapping[str, Figure] = field(default_factory=dict)
    count: int = 0
    seconds: float = 0.0
    curves: Mapping[str, Sequence[float]] = field(default_factory=dict)
    rows: tuple[Row, ...] = ()
    error: str = ""


@dataclass(frozen=True)
class Group:
    """Cells that are measured in one way and judged together.

    Attributes
    ----------
    name : str
        Short name.
    about : str
        What is simulated and how the figures are counted: a paragraph of the page.
    cells : tuple
        Descriptions of the cells, to be sent to other processes.
    measure : callable
        ``measure(cell, rng) -> Measured``, a function of a module.
    judge : callable
        ``judge(measured) -> rows``.
    draw : callable, optional
        ``draw(measured) -> plots``, each an SVG element.
    notes : tuple of str
        What was left out, and why.
    alone : bool
        Whether its cells have the machine to themselves, as those do that measure time in processes of their own.
    """

    name: str
    about: str
    cells: tuple[Any, ...]
    measure: Callable[[Any, np.random.Generator], Measured]
    judge: Callable[[Sequence[Measured]], list[Row]]
    draw: Callable[[Sequence[Measured]], list[str]] | None = None
    notes: tuple[str, ...] = ()
    alone: bool = False


def row(name: str, measured: Measured, key: str, limit: Limit, unit: str = "") -> Row:
    """Judge one figure of one cell.

    Parameters
    ----------
    name : str
        Of the row.
    measured : Measured
        The cell; one without figures makes a row that falls short.
    key : str
        Name of the figure.
    limit : Limit
        What it must be.
    unit : str
        Of the figure.

    Returns
    -------
    Row
        The row.
    """
    if measured.error:
        return Row(name, math.nan, unit, limit, detail=f"{measured.cell}: {measured.error}")
    value, error = measured.figures[key]
    return Row(name, value, unit, limit, error, measured.count, detail=str(measured.cell))


def worst(
    name: str, measured: Sequence[Measured], key: str, limit: Limit, unit: str = ""
) -> Row | None:
    """Judge a figure in all cells that have it by the worst of them.

    Parameters
    ----------
    name : str
        Of the row.
    measured : sequence of Measured
        The cells; if one has no figures at all the row falls short.
    key : str
        Name of the figure.
    limit : Limit
        What it must be in every cell.
    unit : str
        Of the figure.

    Returns
    -------
    Row or None
        The row, with the name of the worst cell; None where no cell has the figure.
    """
    broken = [one for one in measured if one.error]
    if broken:
        return row(name, broken[0], key, limit, unit)
    having = [one for one in measured if key in one.figures]
    if not having:
        return None
    worst_one = max(having, key=lambda one: limit.strain(one.figures[key].value))
    result = row(name, worst_one, key, limit, unit)
    if len(having) == 1:
        return result
    short = sum(not limit.holds(one.figures[key].value) for one in having)
    detail = f"worst of {len(having)}: {worst_one.cell}" + (
        f"; {short} fall short" if short else ""
    )
    return Row(name, result.figure, unit, limit, result.error, result.count, detail=detail)


def stream(seed: int, name: str) -> np.random.Generator:
    """Give the random numbers of a cell: the same whatever else is measured.

    Parameters
    ----------
    seed : int
        Seed of the table.
    name : str
        Name of the cell.

    Returns
    -------
    Generator
        Its own stream.
    """
    return np.random.default_rng([seed, *name.encode()])
