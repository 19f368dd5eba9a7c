"""``iris-drs demo``: simulate a night, reduce it and compare it with the truth."""

from __future__ import annotations

import argparse
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress
from liger_iris_pipeline.errors import IrisError

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``demo``."""
    parser = commands.add_parser(
        "demo", parents=[common], help="simulate a night, reduce it and compare it with the truth"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder that is made anew [demo]",
    )
    parser.add_argument("--seed", type=int, default=2026, metavar="N")
    parser.add_argument(
        "--own-calibrations",
        action="store_true",
        help="make all calibrations from the night's own exposures, none comes with it",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.acceptance.demo import run_demo

    with Progress() as progress:
        report = run_demo(
            options.out, seed=options.seed, progress=progress, own=options.own_calibrations
        )
    print(report.text)
    if not report.passed:
        raise IrisError(
            "demo: table: got a figure beyond its limit, expected all within; see the rows marked FAIL"
        )
