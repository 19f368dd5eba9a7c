"""Masters of a night of calibration exposures.

reads ─ associate ─► level 1 ─► master darks ─► master flats ─► store
"""

from __future__ import annotations

import logging
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liger_iris_pipeline import associations, models
from liger_iris_pipeline.calibration import Store
from liger_iris_pipeline.errors import ReadError, ReferenceFileError, complaint
from liger_iris_pipeline.models.reads import RawExposure
from liger_iris_pipeline.pipelines.calibrations import CreateDarkPipeline, CreateFlatPipeline
from liger_iris_pipeline.pipelines.inputs import (
    ENDINGS,
    Progress,
    file_name,
    overrides_for,
    raw_exposures,
    raw_files,
    refs_option,
    silent,
)
from liger_iris_pipeline.pipelines.level1 import Level1Step

__all__ = ["calibrate"]

logger = logging.getLogger(__name__)


def calibrate(
    data: Path,
    out: Path,
    *,
    refs: Path | None = None,
    skip_bad_reads: bool = False,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Make master darks and flats of the reads in a folder and put them into a store.

    The store also receives the references that were used on the way (gain, linearity …), so that it serves
    `reduce` by itself. Nothing in it is ever replaced: a second run adds new versions.

    Parameters
    ----------
    data : Path
        Folder with the dark and flat reads.
    out : Path
        Store that receives the masters; made if it is not there.
    refs : Path, optional
        Store with the references they need; default as for :func:`reduce`.
    skip_bad_reads : bool
        Go on without reads that cannot be used.
    overrides : mapping, optional
        Reference to use for a type instead of the store's; as for :func:`reduce`.
    progress : callable
        Called with stage, parts done, parts in all.

    Returns
    -------
    list of Path
        Masters in the store.

    Raises
    ------
    InputError
        If an input cannot be used or there are no darks and flats.
    """
    exposures = [
        e
        for e in raw_exposures(raw_files([data]), skip_bad_reads=skip_bad_reads)
        if e.imtype in ("DARK", "FLAT")
    ]
    if not exposures:
        raise ReadError(
            complaint(
                str(data),
                "IMTYPE",
                "no dark and no flat",
                "reads with IMTYPE DARK or FLAT",
                "check the folder",
            )
        )
    source = refs_option(refs, data)
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    store = Store(str(out))
    try:
        if source is not None and Path(source).resolve() != out.resolve():
            _adopt(Path(source), store)
        with tempfile.TemporaryDirectory(prefix=".calibrating-", dir=out) as work:
            return _make_masters(exposures, store, Path(work), dict(overrides or {}), progress)
    except BaseException:
        if new:
            shutil.rmtree(out)
        raise


def _adopt(source: Path, store: Store) -> None:
    """Take the references of another store over, except masters that are made anew."""
    for path in sorted(p for p in source.iterdir() if p.name.endswith(ENDINGS)):
        try:
            if str(models.read_metadata(path).get("REFTYPE")).upper() not in ("DARK", "FLAT"):
                store.add(path)
        except ReferenceFileError as error:
            logger.warning("%s", error)


def _make_masters(
    exposures: Sequence[RawExposure],
    store: Store,
    work: Path,
    overrides: Mapping[str, Any],
    progress: Progress,
) -> list[Path]:
    """Fit the ramps, then make the darks, then the flats, which need them."""
    common: dict[str, Any] = {
        "refs": str(store.path),
        "save_results": True,
        "output_dir": str(work),
    }
    common |= overrides_for(Level1Step, overrides)
    frames = {}
    for count, exposure in enumerate(exposures):
        progress("calibration ramps", count, len(exposures))
        Level1Step(**common, events=False, chi2=False).run(exposure)
        frames[exposure.name] = work / file_name(exposure.first.header, 1)
    progress("calibration ramps", len(exposures), len(exposures))
    made = associations.generate(exposures, kinds=("dark", "flat"), folder=work)
    masters = []
    for count, association in enumerate(made):
        progress("masters", count, len(made))
        maker = CreateDarkPipeline if association.asn_type == "dark" else CreateFlatPipeline
        paths = [frames[member.expname] for member in association.members]
        options = overrides_for(maker, overrides)
        model = maker(refs=str(store.path), **options).run(*[str(path) for path in paths])
        model.meta.reference.version = store.next_version(model.header_mapping())
        masters.append(store.add(model.save, model.header_mapping()).path)
    progress("masters", len(made), len(made))
    return masters
