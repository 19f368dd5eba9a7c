"""Measure all cells of all groups in two processes, judge them, write the table."""

from __future__ import annotations

import dataclasses
import json
import math
import multiprocessing
import os
import platform
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.table import Table

import iris_readout
from liger_iris_pipeline import __version__
from liger_iris_pipeline.acceptance.page import page
from liger_iris_pipeline.acceptance.table import Group, Measured, Row, stream
from liger_iris_pipeline.errors import UsageError, complaint

__all__ = ["Report", "run_groups", "write_report"]

WORKERS = 2


@dataclass(frozen=True)
class Report:
    """Outcome of an acceptance run.

    Attributes
    ----------
    rows : tuple of Row
        Figures with their limits.
    groups : tuple of (Group, tuple of Measured)
        What they rest on.
    seed : int
        Seed of the run.
    form : str
        ``quick`` or ``full``.
    seconds : float
        Time it took.
    """

    rows: tuple[Row, ...]
    groups: tuple[tuple[Group, tuple[Measured, ...]], ...]
    seed: int
    form: str
    seconds: float

    @property
    def passed(self) -> bool:
        """Whether there are figures, and every one is within its limit."""
        return bool(self.rows) and all(row.passed for row in self.rows)

    @property
    def notes(self) -> list[str]:
        """What was left out, and why."""
        return [note for group, _ in self.groups for note in group.notes]

    @property
    def versions(self) -> dict[str, str]:
        """Versions of what was measured and of what measured it."""
        return {
            "liger-iris-pipeline": __version__,
            "iris_readout": iris_readout.__version__,
            "python": platform.python_version(),
            "numpy": np.__version__,
            "machine": platform.machine(),
            "IRIS_ISA": os.environ.get("IRIS_ISA", ""),
        }

    def table(self) -> Table:
        """Lay the rows out for the terminal."""
        table = Table(title=f"Acceptance, {self.form} form, seed {self.seed}", title_justify="left")
        for heading in ("figure", "value", "limit", "", "n", "where"):
            right = heading in ("value", "n")
            table.add_column(heading, justify="right" if right else "left", no_wrap=right)
        for group, _ in self.groups:
            rows = [row for row in self.rows if row.group == group.name]
            if rows:
                table.add_section()
                table.add_row(f"[bold]{group.name}[/]")
            for row in rows:
                verdict = "[green]pass[/]" if row.passed else "[bold red]FAIL[/]"
                count = f"{row.count}" if row.count else ""
                limit = f"{row.limit.text} {row.unit}".strip()
                table.add_row(row.name, _text(row), limit, verdict, count, row.detail)
        return table


def _text(row: Row) -> str:
    """Write a figure to a third of its error, where it has one."""
    if math.isnan(row.figure):
        return "none"
    if row.figure == int(row.figure) and not row.error:
        return f"{row.figure:.0f}"
    return f"{row.figure:.6g}" if row.error == 0 else f"{row.figure:.4f}"


def _measure(group: Group, cell: Any, seed: int) -> Measured:
    """Measure one cell; whatever goes wrong there makes its rows fall short and stops no others."""
    start = time.perf_counter()
    try:
        made = group.measure(cell, stream(seed, f"{group.name}: {cell}"))
    except Exception as error:
        said = str(error).partition("\n")[0]
        made = Measured(cell, error=f"{type(error).__name__}: {said}")
    return dataclasses.replace(made, seconds=time.perf_counter() - start)


def _picklable(group: Group) -> Group:
    """Give what a worker needs of a group: not its cells."""
    return dataclasses.replace(group, cells=(), draw=None)


def run_groups(
    groups: Sequence[Group],
    *,
    seed: int,
    form: str,
    progress: Callable[[str, int, int], None],
    only: str = "",
    workers: int = WORKERS,
) -> Report:
    """Measure and judge.

    Parameters
    ----------
    groups : sequence of Group
        What to measure.
    seed : int
        Seed of all random numbers.
    form : str
        ``quick`` or ``full``, for the record.
    progress : callable
        Called with group, cells done, cells in all.
    only : str
        Measure only groups with this in their names.
    workers : int
        Processes that measure; 1: this one.

    Returns
    -------
    Report
        The figures.

    Raises
    ------
    UsageError
        If no group has `only` in its name.
    """
    start = time.perf_counter()
    chosen = [group for group in groups if only.lower() in group.name.lower()]
    if not chosen:
        names = ", ".join(group.name for group in groups)
        raise UsageError(
            complaint("acceptance", "--only", only, f"part of one of {names}", "name another")
        )
    measured = _run_cells(chosen, seed, progress, workers)
    rows: list[Row] = []
    for group, cells in zip(chosen, measured, strict=True):
        judged = group.judge(cells) if cells else []
        share = sum(cell.seconds for cell in cells) / max(len(judged), 1)
        rows += [dataclasses.replace(row, group=group.name, seconds=share) for row in judged]
    pairs = tuple(zip(chosen, (tuple(cells) for cells in measured), strict=True))
    return Report(tuple(rows), pairs, seed, form, time.perf_counter() - start)


class _Here(Executor):
    """Do the work in this process, at once."""

    def submit(self, fn: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Future[Any]:
        """Call a function that raises nothing."""
        future: Future[Any] = Future()
        future.set_result(fn(*args, **kwargs))
        return future


def _run_cells(
    groups: Sequence[Group], seed: int, progress: Callable[[str, int, int], None], workers: int
) -> list[list[Measured]]:
    """Measure the cells of groups, some at a time, then those that have to be alone; give them in order."""
    results: list[list[Any]] = [[None] * len(group.cells) for group in groups]
    together = [g for g, group in enumerate(groups) if not group.alone]
    workers = min(workers, sum(len(groups[g].cells) for g in together))
    context = multiprocessing.get_context("spawn")
    with _Here() if workers <= 1 else ProcessPoolExecutor(workers, mp_context=context) as pool:
        waiting: dict[Future[Measured], tuple[int, int]] = {}
        for g in reversed(together):  # the longest cells are in the last groups
            sent = _picklable(groups[g])
            for c, cell in enumerate(groups[g].cells):
                waiting[pool.submit(_measure, sent, cell, seed)] = g, c
        done = [0] * len(groups)
        for future in as_completed(waiting):
            g, c = waiting[future]
            results[g][c] = future.result()
            done[g] += 1
            progress(groups[g].name, done[g], len(groups[g].cells))
    for g, group in enumerate(groups):
        for c, cell in enumerate(group.cells if group.alone else ()):
            results[g][c] = _measure(group, cell, seed)
            progress(group.name, c + 1, len(group.cells))
    return results


def write_report(report: Report, out: Path) -> tuple[Path, Path]:
    """Write ``acceptance.json`` and ``acceptance.html``, replacing those of an earlier run.

    Parameters
    ----------
    report : Report
        The figures.
    out : Path
        Folder, made where it is not there.

    Returns
    -------
    tuple of Path
        The two files.
    """
    out.mkdir(parents=True, exist_ok=True)
    content = {
        "passed": report.passed,
        "form": report.form,
        "seed": report.seed,
        "seconds": round(report.seconds, 1),
        "versions": report.versions,
        "notes": report.notes,
        "rows": [_as_json(row) for row in report.rows],
        "cells": {
            group.name: [_cell_as_json(one) for one in cells] for group, cells in report.groups
        },
    }
    paths = out / "acceptance.json", out / "acceptance.html"
    texts = json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False), page(report)
    for path, text in zip(paths, texts, strict=True):
        new = path.with_name(f".{path.name}.new")
        new.write_text(text + "\n", encoding="utf-8")
        new.replace(path)
    return paths


def _finite(value: float) -> float | None:
    """Give a number as JSON knows it: none where it is not finite."""
    return float(value) if math.isfinite(value) else None


def _as_json(row: Row) -> dict[str, Any]:
    return {
        "group": row.group,
        "name": row.name,
        "figure": _finite(row.figure),
        "error": _finite(row.error),
        "unit": row.unit,
        "limit": row.limit.text,
        "low": _finite(row.limit.low),
        "high": _finite(row.limit.high),
        "pass": row.passed,
        "n": row.count,
        "seconds": round(row.seconds, 3),
        "detail": row.detail,
    }


def _cell_as_json(one: Measured) -> dict[str, Any]:
    return {
        "cell": str(one.cell),
        "n": one.count,
        "seconds": round(one.seconds, 3),
        "error": one.error,
        "figures": {
            name: [_finite(figure.value), _finite(figure.error)]
            for name, figure in one.figures.items()
        },
    }
