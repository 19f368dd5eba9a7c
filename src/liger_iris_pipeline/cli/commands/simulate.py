"""``iris-drs simulate``: make a night of raw reads whose truth is known."""

from __future__ import annotations

import argparse
from dataclasses import replace
from functools import partial
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress
from liger_iris_pipeline.errors import UsageError, complaint

__all__ = ["add"]

PLAYED = ".night"
"""Where the night lies, hidden, until it is delivered."""


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
    parser.add_argument(
        "--play",
        type=float,
        metavar="SPEED",
        help="deliver the night read by read as the detectors would, so many times faster",
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.simulator import COMPLETE, deliver, named_scene, simulate

    scene = named_scene(options.scene, options.size)
    if options.no_refs:
        scene = replace(scene, references=False, calibration=COMPLETE)
    if options.play is not None:
        _check_play(options)
    folder = options.out if options.play is None else options.out / PLAYED
    with Progress() as progress:
        night = simulate(
            scene,
            folder,
            seed=options.seed,
            progress=partial(progress, "simulate"),
        )
        if options.play is not None:
            deliver(folder, options.out, speed=options.play, progress=partial(progress, "play"))
    print(f"{len(night.reads)} reads in {options.out}")


def _check_play(options: argparse.Namespace) -> None:
    """Refuse a speed or folder before the long simulation, not after it."""
    if not 0 < options.play < float("inf"):
        raise UsageError(
            complaint("simulate", "--play", options.play, "a number > 0", "correct it")
        )
    if options.out.exists() and (not options.out.is_dir() or any(options.out.iterdir())):
        raise UsageError(
            complaint("simulate", "--out", options.out, "a new or empty folder", "choose another")
        )
