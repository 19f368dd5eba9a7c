"""``iris-drs simulate``: make a night of raw reads whose truth is known."""

from __future__ import annotations

import argparse
from dataclasses import replace
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
    parser.add_argument(
        "--no-refs",
        action="store_true",
        help="write no reference files, but the calibration exposures that all makers need",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.simulator import COMPLETE, named_scene, simulate

    scene = named_scene(options.scene, options.size)
    if options.no_refs:
        scene = replace(scene, references=False, calibration=COMPLETE)
    with Progress() as progress:
        night = simulate(
            scene,
            options.out,
            seed=options.seed,
            progress=partial(progress, "simulate"),
        )
    print(f"{len(night.reads)} reads in {options.out}")
