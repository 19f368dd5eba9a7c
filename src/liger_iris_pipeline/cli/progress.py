"""Progress: bars on a terminal, plain lines otherwise."""

from __future__ import annotations

import sys
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as RichProgress

__all__ = ["Progress"]


class Progress:
    """Show how far a job is: ``progress(stage, done, total)``.

    On a terminal every stage has a bar; elsewhere (a log file, a pipe) it has one line when it begins.
    """

    def __init__(self) -> None:
        self._tasks: dict[str, TaskID | None] = {}
        self._bars = (
            RichProgress(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TimeElapsedColumn(),
                console=Console(stderr=True),
            )
            if sys.stderr.isatty()
            else None
        )

    def __enter__(self) -> Progress:
        if self._bars:
            self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bars:
            self._bars.stop()

    def __call__(self, stage: str, done: int, total: int) -> None:
        """Report that `done` of `total` parts of a stage are through."""
        if self._bars:
            if stage not in self._tasks:
                self._tasks[stage] = self._bars.add_task(stage, total=total)
            task = self._tasks[stage]
            assert task is not None
            self._bars.update(task, completed=done, total=total)
        elif stage not in self._tasks:
            self._tasks[stage] = None
            print(f"{stage} ({total})", file=sys.stderr, flush=True)
