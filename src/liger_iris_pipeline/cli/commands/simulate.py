"""``iris-drs simulate``: make a night of raw reads whose truth is known."""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``simulate``."""
    parser = commands.add_parser(
        "simulate", parents=[common], help="make a night of raw reads whose truth is known"
    )
    parser.add_argument("scene", metavar="SCENE", help="what to look at, e.g. imager")
    parser.add_argument(
        "--out", type=Path, required=True, metavar="DIR", help="folder for the night"
    )
    parser.add_argument(
        "--seed", type=int, required=True, metavar="N", help="the same seed gives the same night"
    )
    parser.add_argument(
        "--size", choices=("tiny", "full"), default="tiny", help="512x512 or 4096x4096 detectors"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.simulator import simulate

    with Progress() as progress:
        night = simulate(
            options.scene,
            options.out,
            seed=options.seed,
            size=options.size,
            progress=partial(progress, "simulate"),
        )
    print(f"{len(night.reads)} reads in {options.out}")
