"""``iris-drs diff``: compare two products."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``diff``."""
    parser = commands.add_parser(
        "diff",
        parents=[common],
        help="compare two products: header, parameters, pixels (status 1 where they differ)",
    )
    parser.add_argument("first", type=Path, metavar="A")
    parser.add_argument("second", type=Path, metavar="B")
    parser.add_argument("--json", action="store_true", help="write everything as JSON")
    parser.add_argument(
        "--planes", default="", metavar="NAME,…", help="only these HDUs with pixels, as SCI,DQ"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from liger_iris_pipeline.models.comparison import compare

    names = [name.strip() for name in options.planes.split(",") if name.strip()]
    found = compare(options.first, options.second, planes=names or None)
    if options.json:
        print(json.dumps(found.to_json(), indent=2))
    else:
        for plane in found.planes:
            print(f"{plane.name}: {plane}")
        for change in found.changes:
            if change.kind != "plane":
                print(f"{change.kind} {change.what}: {change.recorded} | {change.now}")
        if found.same:
            print("the same")
    return 0 if found.same else 1
