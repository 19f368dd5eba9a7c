"""``iris-drs watch``: reduce exposures while their reads come."""

from __future__ import annotations

import argparse
import os
from functools import partial
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.errors import UsageError, complaint

__all__ = ["add"]

_MOST_WORKERS = 4


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``watch``."""
    parser = commands.add_parser(
        "watch", parents=[common], help="reduce exposures while their reads come"
    )
    parser.add_argument("folder", type=Path, metavar="DIR", help="folder that the reads come to")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the products"
    )
    parser.add_argument(
        "--refs",
        type=Path,
        metavar="DIR",
        help="store of references [$IRIS_REFS, else refs/ beside the data]",
    )
    parser.add_argument(
        "--idle",
        type=_seconds,
        default=30.0,
        metavar="S",
        help="a ramp with no new read for so long counts as aborted [%(default)g]",
    )
    parser.add_argument(
        "--exit-when-idle",
        type=_seconds,
        metavar="S",
        help="end when nothing is left to do and nothing has come for so long",
    )
    parser.add_argument(
        "--workers",
        type=int,
        default=min(os.cpu_count() or 1, _MOST_WORKERS),
        metavar="N",
        help="processes that reduce [%(default)d]",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace products that exist")
    parser.set_defaults(run=_run)


def _seconds(text: str) -> float:
    """Understand a time in seconds."""
    value = float(text)
    if not 0.0 <= value < float("inf"):
        raise argparse.ArgumentTypeError(f"got {text}, expected seconds of at least 0")
    return value


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.cli.main import log_to_stderr
    from liger_iris_pipeline.pipelines.inputs import refs_option
    from liger_iris_pipeline.quicklook import write_preview
    from liger_iris_pipeline.realtime import Recipe, Settings, watch

    if options.workers < 1:
        raise UsageError(
            complaint("watch", "--workers", options.workers, "at least 1", "correct it")
        )
    refs = refs_option(options.refs, options.folder)
    recipe = Recipe(
        out=options.out.absolute(),
        refs=None if refs is None else Path(refs).absolute(),
        overwrite=options.overwrite,
        threads=max(1, (os.cpu_count() or 1) // options.workers),
        preview=write_preview,
    )
    settings = Settings(
        idle=options.idle,
        exit_when_idle=options.exit_when_idle,
        workers=options.workers,
        prepare=partial(log_to_stderr, verbose=options.verbose),
        say=partial(print, flush=True),
    )
    watch(options.folder, recipe, settings)
