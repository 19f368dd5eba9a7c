"""``iris-drs status``: what has been made, what is in work, what went wrong."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``status``."""
    parser = commands.add_parser(
        "status", parents=[common], help="say how far `watch` has come with a folder of products"
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of the products")
    parser.add_argument("--json", action="store_true", help="write it as JSON")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.realtime import read_status, told

    status = read_status(options.out)
    print(json.dumps(status, indent=1) if options.json else told(status))
