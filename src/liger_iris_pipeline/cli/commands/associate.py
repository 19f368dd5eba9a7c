"""``iris-drs associate``: say which exposures of a folder belong together."""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from liger_iris_pipeline.cli.options import Commands

if TYPE_CHECKING:
    from liger_iris_pipeline.associations import Association, RuleSet
    from liger_iris_pipeline.models.reads import RawExposure

__all__ = ["add"]


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``associate``."""
    parser = commands.add_parser(
        "associate", parents=[common], help="say which exposures of a folder belong together"
    )
    parser.add_argument("data", type=Path, metavar="DIR", help="folder of reads; it is only read")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("associations"),
        metavar="DIR",
        help="folder for the associations, one JSON file a product [./associations]",
    )
    parser.add_argument(
        "--kinds",
        metavar="K,…",
        help="types of association or rules, e.g. dark,flat,level2 [all]",
    )
    parser.add_argument(
        "--rules", type=Path, metavar="FILE", help="rules in YAML [those of the package]"
    )
    parser.add_argument(
        "--past-only", action="store_true", help="take no sky from after an exposure"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace associations that exist")
    parser.add_argument(
        "--skip-bad-reads", action="store_true", help="go on without reads that cannot be used"
    )
    parser.set_defaults(run=_run)


def _run(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.associations import load_rules
    from liger_iris_pipeline.pipelines.inputs import raw_exposures, raw_files

    kinds = None
    if options.kinds is not None:
        kinds = [name.strip() for name in options.kinds.split(",") if name.strip()]
    rules = (load_rules(options.rules) if options.rules else load_rules()).choose(kinds)
    exposures = raw_exposures(raw_files([options.data]), skip_bad_reads=options.skip_bad_reads)
    folder = options.data if options.data.is_dir() else options.data.parent
    found = _associate(exposures, rules, folder, past_only=options.past_only)
    for path, association in zip(
        _write(found, options.out, overwrite=options.overwrite), found, strict=True
    ):
        print(_line(path, association))
    members = {member.expname for association in found for member in association.members}
    if alone := [exposure.name for exposure in exposures if exposure.name not in members]:
        print(f"in none: {len(alone)} of {len(exposures)} exposures, such as {alone[0]}")


def _associate(
    exposures: Sequence[RawExposure], rules: RuleSet, folder: Path, *, past_only: bool
) -> list[Association]:
    """Associate exposures and write down the checksums of their reads."""
    from dataclasses import replace

    from liger_iris_pipeline.associations import Engine, MemberFinder, add_checksums

    engine = Engine(rules, folder=folder, past_only=past_only)
    engine.extend(exposures)
    known = {read.path: read.sha256 for exposure in exposures for read in exposure.reads}
    finder = MemberFinder(folder)
    pool = folder.resolve().name or "none"
    return [
        add_checksums(replace(association, asn_pool=pool), known=known, finder=finder)
        for association in engine.associations()
    ]


def _write(found: Iterable[Association], out: Path, *, overwrite: bool) -> list[Path]:
    """Write all associations, or none."""
    made = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    written: list[Path] = []
    new: list[Path] = []
    try:
        for association in found:
            path = out / f"{association.products[0].name}.json"
            if not path.exists():
                new.append(path)
            written.append(association.write(path, overwrite=overwrite))
    except BaseException:
        for path in new:
            path.unlink(missing_ok=True)
        if made:
            out.rmdir()
        raise
    return written


def _line(path: Path, association: Association) -> str:
    """Say in one line what an association is."""
    roles = Counter(member.exptype for member in association.members)
    members = ", ".join(f"{role} {count}" for role, count in roles.items())
    line = f"{path}  {association.asn_type}  {members}"
    return "  ".join([line, *(f"degraded: {note}" for note in association.degraded)])
