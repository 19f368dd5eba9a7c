"""``iris-drs info``: say what a file is and how it was made."""

from __future__ import annotations

import argparse
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``info``."""
    parser = commands.add_parser(
        "info", parents=[common], help="say what a file is and how it was made"
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.cli.info import describe

    print(describe(options.file))
