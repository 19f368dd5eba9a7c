"""What `reduce` and `calibrate` are given: files, exposures, a store; and how products are named."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from liger_iris_pipeline import models
from liger_iris_pipeline.calibration import find_store
from liger_iris_pipeline.errors import (
    InputError,
    MissingReferenceError,
    ReadError,
    UsageError,
    complaint,
)
from liger_iris_pipeline.models.naming import product_name
from liger_iris_pipeline.models.reads import RawExposure, group_exposures, scan_reads

__all__ = [
    "ENDINGS",
    "Progress",
    "file_name",
    "raw_exposures",
    "raw_files",
    "refs_option",
    "silent",
]

logger = logging.getLogger(__name__)

Progress = Callable[[str, int, int], None]
"""Called with stage, parts done, parts in all."""

ENDINGS = (".fits", ".fits.gz")


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
    scan = scan_reads(files, skip_bad=skip_bad_reads)
    exposures, notes = group_exposures(scan.reads)
    for note in (*scan.warnings, *notes):
        logger.warning("%s", note)
    return exposures


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
