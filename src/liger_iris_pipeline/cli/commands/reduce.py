"""``iris-drs reduce``: reduce raw reads to frames and mosaics."""

from __future__ import annotations

import argparse
from pathlib import Path

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.cli.progress import Progress

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
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
    parser.add_argument(
        "--override",
        action="append",
        default=[],
        metavar="TYPE=FILE",
        help="reference to use instead of the store's; TYPE=N/A for none; may be repeated",
    )
    parser.add_argument("--overwrite", action="store_true", help="replace products that exist")
    parser.add_argument(
        "--skip-bad-reads", action="store_true", help="go on without reads that cannot be used"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.pipelines.inputs import parse_overrides
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
            overrides=parse_overrides(options.override),
            progress=progress,
        )
    for path in [*products, *draw_mosaics(products)]:
        print(path)
