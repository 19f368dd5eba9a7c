"""The command ``iris-drs``: argument parsing, progress and exit statuses; the work is elsewhere."""

from __future__ import annotations

import argparse
import importlib
import logging
import sys
import warnings
from collections.abc import Sequence

from liger_iris_pipeline import __version__
from liger_iris_pipeline.errors import DiskError, IrisError, disk_error

__all__ = ["log_to_stderr", "main"]

_HOME = "liger_iris_pipeline.cli.commands"
_ORDER = (
    "simulate",
    "associate",
    "calibrate",
    "calib",
    "reduce",
    "watch",
    "status",
    "replay",
    "diff",
    "info",
    "show",
    "demo",
    "acceptance",
)
"""Modules of the commands, in the order of the help."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``iris-drs``.

    Parameters
    ----------
    arguments : sequence of str, optional
        Command line without the program's name; default: that of the process.

    Returns
    -------
    int
        0 good, 1 an input cannot be used (or, where a command compares, there are differences), 2 wrong usage.
    """
    options = _parser().parse_args(arguments)
    log_to_stderr(verbose=options.verbose)
    try:
        return int(options.run(options) or 0)
    except IrisError as error:
        if options.debug:
            raise
        print(f"iris-drs: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:
        if options.debug:
            raise
        print(f"iris-drs: {disk_error(error)}", file=sys.stderr)
        return DiskError.exit_status
    except KeyboardInterrupt:
        print("iris-drs: stopped", file=sys.stderr)
        return 130


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


def log_to_stderr(*, verbose: bool) -> None:
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
    for name in _ORDER:
        importlib.import_module(f"{_HOME}.{name}").add(commands, common)
    return parser


if __name__ == "__main__":
    sys.exit(main())
