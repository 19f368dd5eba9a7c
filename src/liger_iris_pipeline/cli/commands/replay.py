"""``iris-drs replay``: make a product again and say what has changed."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress
from liger_iris_pipeline.errors import UsageError, complaint

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``replay``."""
    parser = commands.add_parser(
        "replay",
        parents=[common],
        help="make a product again and say what has changed (status 1 if anything)",
    )
    parser.add_argument("product", type=Path, metavar="PRODUCT")
    parser.add_argument("--into", type=Path, metavar="DIR", help="keep what is made in this folder")
    parser.add_argument(
        "--find-in",
        type=Path,
        nargs="+",
        action="extend",
        default=[],
        metavar="DIR",
        help="folders to look for inputs and references in",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="STEP.PARAMETER=VALUE",
        help="use another value than the recorded one; may be repeated",
    )
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="TYPE=FILE",
        help="use another reference than the recorded one; may be repeated",
    )
    parser.add_argument(
        "--anyway", action="store_true", help="go on with files that have changed, and name them"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a file in --into")
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> int:
    from liger_iris_pipeline.pipelines.inputs import parse_overrides
    from liger_iris_pipeline.pipelines.replay import replay

    with Progress() as progress:
        found = replay(
            options.product,
            into=options.into,
            find_in=options.find_in,
            change=_values(options.set),
            overrides=parse_overrides(options.override),
            anyway=options.anyway,
            overwrite=options.overwrite,
            progress=progress,
        )
    name = found.product.name
    if found.identical:
        print(f"{name}: identical: {' '.join(found.planes)}")
    for change in found.changes:
        print(f"{name}: changed: {change}")
    if found.made is not None:
        print(found.made)
    return 1 if found.changes else 0


def _values(texts: list[str]) -> dict[str, Any]:
    """Understand ``STEP.PARAMETER=VALUE``: a JSON value, else text."""
    found: dict[str, Any] = {}
    for text in texts:
        key, mark, value = text.partition("=")
        if not mark or "." not in key:
            raise UsageError(
                complaint("--set", "value", text, "STEP.PARAMETER=VALUE", "correct it")
            )
        try:
            found[key.strip()] = json.loads(value)
        except ValueError:
            found[key.strip()] = value
    return found
