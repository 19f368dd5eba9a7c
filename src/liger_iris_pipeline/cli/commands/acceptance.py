"""``iris-drs acceptance``: hold figures against simulated truth and real data."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress
from liger_iris_pipeline.errors import IrisError

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``acceptance``."""
    parser = commands.add_parser(
        "acceptance", parents=[common], help="hold figures against simulated truth and real data"
    )
    parser.add_argument("--quick", action="store_true", help="a reduced form, about a minute")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("acceptance"),
        metavar="DIR",
        help="folder for acceptance.json and acceptance.html [acceptance]",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only groups with this in their names"
    )
    parser.add_argument("--seed", type=int, default=2026, metavar="N")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from rich.console import Console

    from liger_iris_pipeline.acceptance.catalogue import all_groups
    from liger_iris_pipeline.acceptance.run import run_groups, write_report

    groups = all_groups(quick=options.quick, seed=options.seed)
    form = "quick" if options.quick else "full"
    with Progress() as progress:
        report = run_groups(
            groups, seed=options.seed, form=form, only=options.only, progress=progress
        )
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(report.table())
    for note in report.notes:
        print(f"left out: {note}")
    for path in write_report(report, options.out):
        print(path)
    if not report.passed:
        raise IrisError(
            "acceptance: table: got a figure beyond its limit, expected all within; see the rows marked FAIL"
        )
