"""``iris-drs calibrate``: make masters of the reads in a folder."""

from __future__ import annotations

import argparse
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``calibrate``."""
    parser = commands.add_parser(
        "calibrate", parents=[common], help="make master darks and flats from the reads in a folder"
    )
    parser.add_argument(
        "data", type=Path, metavar="DIR", help="folder with the dark and flat reads"
    )
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
        "--skip-bad-reads", action="store_true", help="go on without reads that cannot be used"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.pipelines.calibrate import calibrate
    from liger_iris_pipeline.pipelines.inputs import parse_overrides

    with Progress() as progress:
        masters = calibrate(
            options.data,
            options.out,
            refs=options.refs,
            skip_bad_reads=options.skip_bad_reads,
            overrides=parse_overrides(options.override),
            progress=progress,
        )
    for path in masters:
        print(path)
