"""``iris-drs info``: say what a file is and how it was made."""

from __future__ import annotations

import argparse
import json
import math
from dataclasses import asdict
from pathlib import Path
from typing import Any

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.errors import UsageError, complaint

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``info``."""
    parser = commands.add_parser(
        "info", parents=[common], help="say what a file is and how it was made"
    )
    parser.add_argument("file", type=Path, metavar="FILE", nargs="?")
    parser.add_argument("--json", action="store_true", help="as JSON")
    parser.add_argument(
        "--keywords",
        action="store_true",
        help="the dictionary of keywords: types, units, meanings, sources; no file is needed",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.cli import info
    from liger_iris_pipeline.models import dictionary

    if options.keywords:
        print(_as_json([asdict(k) for k in dictionary()]) if options.json else info.keyword_lines())
        return
    if options.file is None:
        raise UsageError(
            complaint("info", "FILE", "nothing", "a FITS file", "name one, or give --keywords")
        )
    print(_as_json(info.facts(options.file)) if options.json else info.describe(options.file))


def _as_json(content: Any) -> str:
    """Write JSON; numbers that are none become null."""
    return json.dumps(_finite(content), indent=1, ensure_ascii=False, allow_nan=False)


def _finite(content: Any) -> Any:
    """Replace what JSON cannot hold."""
    if isinstance(content, dict):
        return {key: _finite(value) for key, value in content.items()}
    if isinstance(content, list | tuple):
        return [_finite(value) for value in content]
    return None if isinstance(content, float) and not math.isfinite(content) else content
