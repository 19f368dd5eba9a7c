"""``iris-drs calibrate``: make masters of the reads in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress
from liger_iris_pipeline.errors import UsageError, complaint

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``calibrate``."""
    parser = commands.add_parser(
        "calibrate", parents=[common], help="make masters from the calibration reads in a folder"
    )
    parser.add_argument("data", type=Path, metavar="DIR", help="folder with the reads")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="REFS", help="store that receives the masters"
    )
    parser.add_argument(
        "--refs",
        type=Path,
        metavar="DIR",
        help="store with the references they need [$IRIS_REFS, DIR/refs]",
    )
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="TYPE=FILE",
        help="reference to use instead of the store's; TYPE=N/A for none; may be repeated",
    )
    parser.add_argument(
        "--no-refs",
        action="store_true",
        help="use no reference but those made here, and make all that the reads allow",
    )
    parser.add_argument(
        "--types",
        default="",
        metavar="TYPE,…",
        help="reference types to make, in any order [dark,flat]",
    )
    parser.add_argument(
        "--standards", type=Path, metavar="FILE", help="table of standard stars (ECSV) for photom"
    )
    parser.add_argument(
        "--keep-frames", type=Path, metavar="DIR", help="folder in which the level 1 frames stay"
    )
    parser.add_argument(
        "--memory",
        type=int,
        metavar="MB",
        help="what a maker keeps of its reads or frames in memory at a time [512]",
    )
    parser.add_argument(
        "--skip-bad-reads", action="store_true", help="go on without reads that cannot be used"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.pipelines.calibrate import Wishes, calibrate
    from liger_iris_pipeline.pipelines.inputs import parse_overrides

    if options.no_refs and options.refs is not None:
        raise UsageError(
            complaint("--no-refs", "option", "--refs too", "one of them", "leave one out")
        )
    if options.memory is not None and options.memory < 1:
        remedy = "give more, or leave it out"
        raise UsageError(complaint("--memory", "MB", options.memory, "1 or more", remedy))
    wishes = Wishes(
        types=tuple(name.strip().lower() for name in options.types.split(",") if name.strip()),
        own=options.no_refs,
        standards=options.standards,
        keep_frames=options.keep_frames,
        overrides=parse_overrides(options.override),
        memory=options.memory,
    )
    with Progress() as progress:
        masters = calibrate(
            options.data,
            options.out,
            refs=options.refs,
            skip_bad_reads=options.skip_bad_reads,
            progress=progress,
            wishes=wishes,
        )
    for path in masters:
        print(path)
