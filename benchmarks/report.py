"""Rows of the benchmark, their judgement, the table and the JSON file."""

from __future__ import annotations

import dataclasses
import json
import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

import iris_readout

__all__ = ["Row", "instruction_set", "machine_facts", "missing", "print_table", "write_json"]


@dataclasses.dataclass(frozen=True)
class Row:
    """One line of the table.

    Attributes
    ----------
    goal : str
        Number of the goal in the design notes.
    what : str
        What was measured.
    ours, peer : str
        The two figures, with their unit.
    value : float
        Figure that is judged; NaN if it could not be measured.
    limit : float
        Smallest or largest value that passes; NaN: for information.
    at_least : bool
        Whether the limit is the smallest value.
    note : str
        Why a value is missing.
    """

    goal: str
    what: str
    ours: str = ""
    peer: str = ""
    value: float = float("nan")
    limit: float = float("nan")
    at_least: bool = True
    note: str = ""

    @property
    def judged(self) -> bool:
        """Whether the row has a goal."""
        return bool(np.isfinite(self.limit))

    @property
    def passed(self) -> bool:
        """Whether the goal is reached; what could not be measured has missed it."""
        if not self.judged:
            return True
        if not np.isfinite(self.value):
            return False
        return bool(self.value >= self.limit if self.at_least else self.value <= self.limit)

    @property
    def shortfall(self) -> float:
        """By how much the goal is missed, as a fraction of it; 0 if it is reached."""
        if self.passed or not np.isfinite(self.value):
            return 0.0
        return abs(self.value / self.limit - 1)

    def cells(self) -> tuple[str, ...]:
        """Return the texts of the table."""
        sign = ">=" if self.at_least else "<="
        goal = f"{sign} {self.limit:.4g}" if self.judged else "-"
        value = f"{self.value:.4g}" if np.isfinite(self.value) else "not available"
        verdict = "-" if not self.judged else "pass" if self.passed else "MISS"
        if self.shortfall:
            verdict += f" by {self.shortfall:.0%}"
        return self.goal, self.what, self.ours, self.peer, value, goal, verdict


def missing(goal: str, what: str, note: str, limit: float, *, at_least: bool = True) -> Row:
    """Return the row of a figure that could not be measured."""
    return Row(goal, what, limit=limit, at_least=at_least, note=note)


def instruction_set() -> str:
    """Return the instruction set in use: the one IRIS_ISA forces, else the best of this processor."""
    return iris_readout.RampFitter((8, 8), gain=1.0, read_noise=1.0, ref_pixels=0).isa


def machine_facts() -> dict[str, Any]:
    """Return what the figures depend on."""
    return {
        "processor": _processor("model name") or platform.processor(),
        "processors": os.cpu_count(),
        "instruction set": instruction_set(),
        "load": round(os.getloadavg()[0], 2),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "iris_readout": iris_readout.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def print_table(rows: Sequence[Row]) -> None:
    """Print the rows as one table, then what could not be measured and why."""
    head = ("goal", "what", "ours", "peer", "value", "limit", "verdict")
    cells = [head, *(row.cells() for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    for line in cells:
        padded = (text.ljust(width) for text, width in zip(line, widths, strict=True))
        print("  ".join(padded).rstrip())
    for note in dict.fromkeys(row.note for row in rows if row.note):
        goals = dict.fromkeys(row.goal for row in rows if row.note == note)
        print(f"{', '.join(goals)}: {note}")


def write_json(path: Path, facts: dict[str, Any], rows: Sequence[Row], timings: Any) -> None:
    """Write facts, rows and all timings to a file."""
    content = {
        "machine": facts,
        "rows": [{**dataclasses.asdict(row), "passed": row.passed} for row in rows],
        "timings": timings,
    }
    path.write_text(json.dumps(_without_nan(content), indent=1) + "\n")


def _without_nan(value: Any) -> Any:
    """Return a copy with None for what is not finite: JSON has no NaN."""
    if isinstance(value, dict):
        return {key: _without_nan(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_nan(item) for item in value]
    if isinstance(value, (float, np.floating)):
        return float(value) if np.isfinite(value) else None
    return value


def _processor(key: str) -> str:
    """Return an entry of the first processor in /proc/cpuinfo, "" where there is none."""
    path = Path("/proc/cpuinfo")
    if not path.is_file():
        return ""
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name.strip() == key:
            return value.strip()
    return ""
