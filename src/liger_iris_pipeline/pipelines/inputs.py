"""What `reduce` and `calibrate` are given: files, exposures, a store; and how products are named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from liger_iris_pipeline import models
from liger_iris_pipeline.calibration import find_store, load_rulebook
from liger_iris_pipeline.errors import (
    InputError,
    MissingReferenceError,
    ReadError,
    UsageError,
    complaint,
)
from liger_iris_pipeline.models.fitsfile import Fault, open_stream, survey
from liger_iris_pipeline.models.naming import product_name
from liger_iris_pipeline.models.reads import (
    RawExposure,
    SkippedFile,
    group_exposures,
    scan_reads,
)

__all__ = [
    "ENDINGS",
    "Progress",
    "file_name",
    "overrides_for",
    "parse_overrides",
    "raw_exposures",
    "raw_files",
    "refs_option",
    "scan_exposures",
    "shape_fault",
    "silent",
]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with stage, parts done, parts in all."""

ENDINGS = (".fits", ".fits.gz")

_PLANES = frozenset({"SCI", "ERR", "DQ", "COEFFS", "LIMIT", "PEDESTAL"})


def silent(stage: str, done: int, total: int) -> None:
    """Report nothing."""


def raw_files(inputs: Sequence[Path]) -> list[Path]:
    """List the raw files of a folder, or the files given."""
    for path in inputs:
        if not path.exists():
            raise ReadError(
                complaint(
                    str(path),
                    "path",
                    "nothing there",
                    "a folder, an association or reads",
                    "check the path",
                )
            )
    if len(inputs) > 1 and any(path.is_dir() for path in inputs):
        raise UsageError(
            complaint(
                "reduce",
                "inputs",
                "a folder among others",
                "one folder, or files",
                "run it once per folder",
            )
        )
    if not inputs[0].is_dir():
        return list(inputs)
    found = sorted(
        p for p in inputs[0].iterdir() if p.name.endswith(ENDINGS) and not p.name.startswith(".")
    )
    raw = [path for path in found if not _is_product(path)]
    if not raw:
        raise ReadError(
            complaint(
                str(inputs[0]),
                "folder",
                "no raw FITS file",
                "reads (*.fits, *.fits.gz)",
                "check the path",
            )
        )
    return raw


def _is_product(path: Path) -> bool:
    """Say whether a file in a folder of reads is a product or reference and so not meant."""
    try:
        header = models.read_metadata(path)
    except InputError:
        return False
    return header.get("DATALVL") not in (None, 0) or "REFTYPE" in header


def raw_exposures(files: Iterable[Path], *, skip_bad_reads: bool) -> list[RawExposure]:
    """Check raw files and group them, passing on what should be known."""
    return scan_exposures(files, skip_bad_reads=skip_bad_reads)[0]


def scan_exposures(
    files: Iterable[Path], *, skip_bad_reads: bool
) -> tuple[list[RawExposure], tuple[SkippedFile, ...]]:
    """Check raw files and group them, passing on what should be known.

    Parameters
    ----------
    files : iterable of Path
        Raw files.
    skip_bad_reads : bool
        Leave out files that cannot be used.

    Returns
    -------
    exposures : list of RawExposure
        In the order of time.
    left_out : tuple of SkippedFile
        Files that could not be used (``Level1Step.left_out``).
    """
    scan = scan_reads(files, skip_bad=skip_bad_reads)
    exposures, notes = group_exposures(scan.reads)
    for note in (*scan.warnings, *notes):
        logger.warning("%s", note)
    return exposures, scan.skipped


def parse_overrides(texts: Iterable[str]) -> dict[str, str]:
    """Understand ``TYPE=FILE`` of the command line.

    Parameters
    ----------
    texts : iterable of str
        One for each reference; ``TYPE=N/A`` does without.

    Returns
    -------
    dict
        File by type, lower case.

    Raises
    ------
    UsageError
        If a text is none of these, a type is not known or comes twice, or a file is not there.
    """
    found: dict[str, str] = {}
    known = load_rulebook().rules
    for text in texts:
        reftype, mark, file = text.partition("=")
        reftype = reftype.strip().lower()
        types = f"TYPE=FILE with a type of {', '.join(sorted(known))}"
        if not mark or reftype not in known:
            raise UsageError(complaint("--override", "value", text, types, "correct it"))
        if reftype in found:
            raise UsageError(
                complaint("--override", reftype, "two files", "one of a type", "leave one out")
            )
        if file != "N/A" and not Path(file).expanduser().is_file():
            raise UsageError(
                complaint("--override", reftype, f"nothing at {file}", "a file", "check the path")
            )
        found[reftype] = file
    return found


def overrides_for(step: Any, overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Give the overrides that a step or pipeline takes, as its options.

    Parameters
    ----------
    step : type
        A step or pipeline class.
    overrides : mapping
        File or model by type, lower case.

    Returns
    -------
    dict
        ``override_<type>`` of each type it uses.
    """
    types = step.types_of_references() if hasattr(step, "step_defs") else step.reference_file_types
    return {f"override_{kind}": value for kind, value in overrides.items() if kind in types}


def shape_fault(path: Path, exposure: RawExposure) -> str | None:
    """Say why the arrays of a reference cannot serve an exposure.

    Parameters
    ----------
    path : Path
        The reference.
    exposure : RawExposure
        Its window and the size of its detector are looked at.

    Returns
    -------
    str or None
        The shape that does not fit; None where all do, or there is none. A file that is broken is found where it is
        opened.
    """
    header, shape = exposure.first.header, exposure.shape
    full = (int(header.get("DETSIZE2") or shape[0]), int(header.get("DETSIZE1") or shape[1]))
    try:
        stream, size = open_stream(path)
        with stream:
            hdus = survey(stream, size).hdus
    except Fault:
        return None
    shapes = [hdu.shape[-2:] for hdu in hdus if not hdu.is_table and hdu.name in _PLANES]
    odd = [found for found in shapes if found not in (shape, full)]
    return f"{odd[0]}" if odd else None


def refs_option(refs: Path | None, folder: Path) -> str | None:
    """Give the store's folder; None where there is none at all."""
    try:
        return str(find_store(refs, folder).path)
    except MissingReferenceError:
        if refs is not None:
            raise
        return None


def file_name(header: Mapping[str, Any], level: int) -> str:
    """Name a product with its ending."""
    return product_name(header, level).removesuffix(".fits") + ".fits"
