"""The command ``iris-drs``: argument parsing, progress and exit statuses; the work is elsewhere."""

from __future__ import annotations

import argparse
import logging
import sys
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from liger_iris_pipeline import __version__
from liger_iris_pipeline.cli.progress import Progress
from liger_iris_pipeline.errors import IrisError, UsageError, complaint

__all__ = ["main"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``iris-drs``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program's name; default: that of the process.

    Returns
    -------
    int
        0 good, 1 an input cannot be used, 2 wrong usage.
    """
    options = _parser().parse_args(arguments)
    _log_to_stderr(verbose=options.verbose)
    try:
        options.run(options)
    except IrisError as error:
        if options.debug:
            raise
        print(f"iris-drs: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        if options.debug:
            raise
        where = Path(error.filename).name if isinstance(error.filename, str) else "disk"
        said = error.strerror or error
        message = complaint(where, "file system", said, "access and room", "mend it and run again")
        print(f"iris-drs: {message}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("iris-drs: stopped", file=sys.stderr)
        return 130
    return 0


class _OnceFilter(logging.Filter):
    """Let a step that is skipped for lack of a reference say so once, not once per frame.

    Warnings about files pass always: each names its own.
    """

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()

    def filter(self, record: logging.LogRecord) -> bool:
        """Say whether the record is new."""
        message = record.getMessage().partition(": ")[2]
        if " skipped: " not in message:
            return True
        new = message not in self.seen
        self.seen.add(message)
        return new


def _log_to_stderr(*, verbose: bool) -> None:
    """Send warnings (and, verbose, everything) of the package to standard error as plain lines."""
    logger = logging.getLogger("liger_iris_pipeline")
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s" if verbose else "warning: %(message)s"))
    if not verbose:
        handler.addFilter(_OnceFilter())
    logger.addHandler(handler)
    logger.setLevel(logging.INFO if verbose else logging.WARNING)
    logger.propagate = False
    logging.getLogger("stpipe").setLevel(logging.INFO if verbose else logging.ERROR)
    if not verbose:
        warnings.filterwarnings("ignore", category=DeprecationWarning)


def _parser() -> argparse.ArgumentParser:
    """Describe the command line."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--verbose", "-v", action="store_true", help="say what every step does")
    common.add_argument("--debug", action="store_true", help="show the traceback of an error")
    parser = argparse.ArgumentParser(
        prog="iris-drs",
        description="Reduce data of IRIS, the imager and integral field spectrograph of TMT.",
    )
    parser.add_argument("--version", action="version", version=f"iris-drs {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for add in (
        _add_simulate,
        _add_calibrate,
        _add_reduce,
        _add_info,
        _add_show,
        _add_demo,
        _add_acceptance,
    ):
        add(commands, common)
    return parser


def _add_simulate(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
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
    parser.set_defaults(run=_simulate)


def _add_calibrate(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Describe ``calibrate``."""
    parser = commands.add_parser(
        "calibrate", parents=[common], help="make master darks and flats from the reads in a folder"
    )
    parser.add_argument(
        "data", type=Path, metavar="DIR", help="folder with the dark and flat reads"
    )
    parser.add_argument(
        "--out", type=Path, required=True, metavar="REFS", help="store that receives the masters"
    )
    parser.add_argument(
        "--refs",
        type=Path,
        metavar="DIR",
        help="store with the references they need [$IRIS_REFS, DIR/refs]",
    )
    parser.add_argument(
        "--skip-bad-reads", action="store_true", help="go on without reads that cannot be used"
    )
    parser.set_defaults(run=_calibrate)


def _add_reduce(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Describe ``reduce``."""
    parser = commands.add_parser(
        "reduce", parents=[common], help="reduce raw reads to frames and mosaics"
    )
    parser.add_argument(
        "inputs",
        type=Path,
        nargs="+",
        metavar="DIR|ASN.json|FILES",
        help="a folder of reads, an association, or reads",
    )
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
        "--skip",
        default="",
        metavar="STEP,…",
        help="steps to leave out on purpose, e.g. dark_subtract,flat_field",
    )
    parser.add_argument(
        "--require",
        default="",
        metavar="TYPE,…",
        help="optional reference types that must be there",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace products that exist")
    parser.add_argument(
        "--skip-bad-reads", action="store_true", help="go on without reads that cannot be used"
    )
    parser.set_defaults(run=_reduce)


def _add_info(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Describe ``info``."""
    parser = commands.add_parser(
        "info", parents=[common], help="say what a file is and how it was made"
    )
    parser.add_argument("file", type=Path, metavar="FILE")
    parser.set_defaults(run=_info)


def _add_show(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
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
    parser.set_defaults(run=_show)


def _add_demo(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Describe ``demo``."""
    parser = commands.add_parser(
        "demo", parents=[common], help="simulate a night, reduce it and compare it with the truth"
    )
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("demo"),
        metavar="DIR",
        help="folder that is made anew [demo]",
    )
    parser.add_argument("--seed", type=int, default=2026, metavar="N")
    parser.set_defaults(run=_demo)


def _add_acceptance(
    commands: argparse._SubParsersAction[argparse.ArgumentParser], common: argparse.ArgumentParser
) -> None:
    """Describe ``acceptance``."""
    parser = commands.add_parser(
        "acceptance", parents=[common], help="hold figures against simulated truth and real data"
    )
    parser.add_argument("--quick", action="store_true", help="a reduced form, about a minute")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("acceptance"),
        metavar="DIR",
        help="folder for acceptance.json and acceptance.html [acceptance]",
    )
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only groups with this in their names"
    )
    parser.add_argument("--seed", type=int, default=2026, metavar="N")
    parser.set_defaults(run=_acceptance)


def _simulate(options: argparse.Namespace) -> None:
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


def _calibrate(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.pipelines.night import calibrate

    with Progress() as progress:
        masters = calibrate(
            options.data,
            options.out,
            refs=options.refs,
            skip_bad_reads=options.skip_bad_reads,
            progress=progress,
        )
    for path in masters:
        print(path)


def _reduce(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.pipelines.night import reduce
    from liger_iris_pipeline.quicklook import draw_mosaics

    with Progress() as progress:
        products = reduce(
            options.inputs,
            options.out,
            refs=options.refs,
            skip=tuple(name.strip() for name in options.skip.split(",") if name.strip()),
            require=options.require,
            overwrite=options.overwrite,
            skip_bad_reads=options.skip_bad_reads,
            progress=progress,
        )
    for path in [*products, *draw_mosaics(products)]:
        print(path)


def _info(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.cli.info import describe

    print(describe(options.file))


def _show(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.quicklook import write_preview

    if not options.file.is_file():
        raise UsageError(
            complaint(options.file, "file", "nothing", "a FITS file", "check the path")
        )
    name = options.file.name.removesuffix(".gz").removesuffix(".fits")
    print(write_preview(options.file, options.out or Path(f"{name}_preview.png")))


def _demo(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.acceptance.demo import run_demo

    with Progress() as progress:
        report = run_demo(options.out, seed=options.seed, progress=progress)
    print(report.text)
    if not report.passed:
        raise IrisError(
            "demo: table: got a figure beyond its limit, expected all within; see the rows marked FAIL"
        )


def _acceptance(options: argparse.Namespace) -> None:
    from rich.console import Console

    from liger_iris_pipeline.acceptance.catalogue import all_groups
    from liger_iris_pipeline.acceptance.run import run_groups, write_report

    groups = all_groups(quick=options.quick, seed=options.seed)
    form = "quick" if options.quick else "full"
    with Progress() as progress:
        report = run_groups(
            groups, seed=options.seed, form=form, only=options.only, progress=progress
        )
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(report.table())
    for note in report.notes:
        print(f"left out: {note}")
    for path in write_report(report, options.out):
        print(path)
    if not report.passed:
        raise IrisError(
            "acceptance: table: got a figure beyond its limit, expected all within; see the rows marked FAIL"
        )


if __name__ == "__main__":
    sys.exit(main())
