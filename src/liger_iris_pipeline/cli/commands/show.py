"""``iris-drs show``: draw a file."""

from __future__ import annotations

import argparse
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.errors import UsageError, complaint

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``show``."""
    parser = commands.add_parser("show", parents=[common], help="draw a file")
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.add_argument(
        "--in", dest="viewer", choices=("png",), default="png", help="what to draw it in"
    )
    parser.add_argument(
        "--out",
        type=Path,
        metavar="PNG",
        help="picture to write [FILE_preview.png in the current folder]",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.quicklook import write_preview

    if not options.file.is_file():
        raise UsageError(
            complaint(options.file, "file", "nothing", "a FITS file", "check the path")
        )
    name = options.file.name.removesuffix(".gz").removesuffix(".fits")
    print(write_preview(options.file, options.out or Path(f"{name}_preview.png")))
