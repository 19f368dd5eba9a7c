"""A whole night: which exposures there are, what is made of them, and in which order.

reads ─ associate ─► level 1 ─► level 2 ─► level 3 + catalogue + preview
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from liger_iris_pipeline import associations, models
from liger_iris_pipeline.associations import Association
from liger_iris_pipeline.calibration import CalibrationSet, Store, find_store, load_rulebook
from liger_iris_pipeline.errors import (
    ProductError,
    ReadError,
    ReferenceFileError,
    UsageError,
    complaint,
)
from liger_iris_pipeline.instrument.detectors import IMAGER_DETECTORS
from liger_iris_pipeline.models.reads import RawExposure, SkippedFile
from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline
from liger_iris_pipeline.pipelines.imager_level3 import ImagerLevel3Pipeline
from liger_iris_pipeline.pipelines.inputs import (
    Progress,
    file_name,
    overrides_for,
    raw_files,
    refs_option,
    scan_exposures,
    shape_fault,
    silent,
)
from liger_iris_pipeline.pipelines.level1 import Level1Step

__all__ = ["reduce"]

logger = logging.getLogger(__name__)

LIGHT = {"SCI": "science", "SKY": "sky"}
"""Exposures that `reduce` takes, by IMTYPE; the others are for `calibrate`."""
NEEDED = {"iris_dark_subtract": "dark", "iris_flat_field": "flat"}
"""References without which level 2 is not begun, by the step that needs them."""


@dataclass(frozen=True)
class _Plan:
    """What is to be made of which exposures."""

    exposures: Mapping[str, RawExposure]
    associations: tuple[Association, ...]
    left_out: tuple[SkippedFile, ...] = ()
    skip_bad_reads: bool = False
    calibrations: Mapping[str, Any] | None = None

    @property
    def fixed(self) -> CalibrationSet | None:
        """The references that were fixed beforehand."""
        fixed = self.calibrations
        return None if fixed is None else CalibrationSet.from_json(fixed)

    def of_type(self, kind: str) -> list[Association]:
        """Give the associations of one type."""
        return [association for association in self.associations if association.asn_type == kind]


def reduce(
    inputs: Sequence[Path],
    out: Path,
    *,
    refs: Path | None = None,
    skip: Sequence[str] = (),
    require: str = "",
    overwrite: bool = False,
    skip_bad_reads: bool = False,
    overrides: Mapping[str, Any] | None = None,
    progress: Progress = silent,
) -> list[Path]:
    """Reduce raw reads to frames and mosaics.

    Everything that can be wrong with the inputs is looked for before the first product is written.

    Parameters
    ----------
    inputs : sequence of Path
        One folder of reads, one association, or reads.
    out : Path
        Folder for the products; associations go to ``out/associations``.
    refs : Path, optional
        Store of references; default ``$IRIS_REFS``, else ``refs`` in or beside the folder of the data.
    skip : sequence of str
        Steps to leave out, with or without the prefix ``iris_``.
    require : str
        Optional reference types that must be there, separated by commas.
    overwrite, skip_bad_reads : bool
        Replace products that exist; go on without reads that cannot be used.
    overrides : mapping, optional
        Reference to use for a type (lower case) instead of the store's: a file, a model, or ``N/A`` for none.
    progress : callable
        Called with stage, parts done, parts in all.

    Returns
    -------
    list of Path
        Products in the order they were made.

    Raises
    ------
    InputError
        If an input or reference cannot be used.
    UsageError
        If a step to leave out or a required type is not known.
    """
    skipped, required = _step_names(skip), _required_types(require)
    overrides = dict(overrides or {})
    if len(inputs) == 1 and inputs[0].suffix == ".json" and _level_of(inputs[0]) > 0:
        common = {"refs": None if refs is None else str(refs), "overwrite": overwrite}
        return _reduce_products(inputs[0], out, common, skipped, overrides)
    folder, plan = _plan(inputs, skip_bad_reads=skip_bad_reads)
    store = refs_option(refs, folder)
    common = {
        "refs": store,
        "require": require,
        "overwrite": overwrite,
        "save_results": True,
        "output_dir": str(out),
    }
    _check_references(plan, store, skipped, required, overrides)
    _check_outputs(plan, out, overwrite=overwrite)
    with _nothing_left_after_failure(out, _output_names(plan)):
        return _Night(plan, out, common, skipped, overrides).run(progress)


@contextmanager
def _nothing_left_after_failure(out: Path, names: Sequence[str]) -> Iterator[None]:
    """Take away what was newly made, and nothing else, if the work within does not end well."""
    folders = [folder for folder in (out / "associations", out) if not folder.exists()]
    files = [out / name for name in names if not (out / name).exists()]
    try:
        yield
    except BaseException:
        for path in files:
            with suppress(OSError):
                path.unlink()
        for folder in folders:
            with suppress(OSError):  # others may have put something there
                folder.rmdir()
        raise


@dataclass(frozen=True)
class _Night:
    """A plan, and how it is carried out."""

    plan: _Plan
    out: Path
    common: Mapping[str, Any]
    skipped: frozenset[str]
    overrides: Mapping[str, Any]

    def run(self, progress: Progress) -> list[Path]:
        """Make the products of the plan, level by level."""
        self.out.mkdir(parents=True, exist_ok=True)
        (self.out / "associations").mkdir(exist_ok=True)
        products = []
        exposures = list(self.plan.exposures.values())
        for count, exposure in enumerate(exposures):
            progress("level 1", count, len(exposures))
            products.append(self._level1(exposure))
        progress("level 1", len(exposures), len(exposures))
        second = self.plan.of_type("level2")
        for count, association in enumerate(second):
            progress("level 2", count, len(second))
            products.append(self._level2(association))
        progress("level 2", len(second), len(second))
        left_out = self.skipped & {"iris_combine", "iris_assign_wcs"}
        third = [] if left_out else self.plan.of_type("level3")
        for count, association in enumerate(third):
            progress("level 3", count, len(third))
            products += self._level3(association)
        progress("level 3", len(third), len(third))
        return products

    def _options(self, recipe: Any) -> dict[str, Any]:
        """Give the options of a step or pipeline."""
        return {**self.common, **overrides_for(recipe, self.overrides)}

    def _level1(self, exposure: RawExposure) -> Path:
        """Fit the ramps of an exposure."""
        step = Level1Step(**self._options(Level1Step), skip_bad_reads=self.plan.skip_bad_reads)
        step.left_out = self.plan.left_out
        step.calibrations = self.plan.fixed
        step.run(exposure)
        return self.out / file_name(exposure.first.header, 1)

    def _level2(self, association: Association) -> Path:
        """Reduce a frame."""
        overwrite = bool(self.common["overwrite"])
        path = _write(association, self.plan, self.out, 1, overwrite=overwrite)
        names = (name for name in self.skipped if name in ImagerLevel2Pipeline.step_defs)
        steps = {name: {"skip": True} for name in names}
        ImagerLevel2Pipeline(**self._options(ImagerLevel2Pipeline), steps=steps).run(str(path))
        return self.out / f"{association.products[0].name}.fits"

    def _level3(self, association: Association) -> list[Path]:
        """Combine frames."""
        overwrite = bool(self.common["overwrite"])
        path = _write(association, self.plan, self.out, 2, overwrite=overwrite)
        steps = {"iris_source_catalog": {"skip": "iris_source_catalog" in self.skipped}}
        ImagerLevel3Pipeline(**self._options(ImagerLevel3Pipeline), steps=steps).run(str(path))
        return _level3_products(self.out, association.products[0].name)


def _level3_products(out: Path, name: str) -> list[Path]:
    """List what was made of a mosaic."""
    mosaic, catalogue = out / f"{name}.fits", out / f"{name}_cat.ecsv"
    return [mosaic, *([catalogue] if catalogue.exists() else [])]


# --- what there is -------------------------------------------------------------------------------


def _plan(inputs: Sequence[Path], *, skip_bad_reads: bool) -> tuple[Path, _Plan]:
    """Find the exposures of the inputs and associate them."""
    if len(inputs) == 1 and inputs[0].suffix == ".json":
        return _plan_of_association(inputs[0], skip_bad_reads=skip_bad_reads)
    folder = inputs[0] if inputs[0].is_dir() else inputs[0].parent
    exposures, left_out = scan_exposures(raw_files(inputs), skip_bad_reads=skip_bad_reads)
    found = [e for e in exposures if e.imtype in LIGHT]
    if not any(exposure.imtype == "SCI" for exposure in found):
        raise ReadError(
            complaint(
                str(folder),
                "IMTYPE",
                "no science exposure",
                "reads with IMTYPE SCI",
                "use `iris-drs calibrate` for darks and flats",
            )
        )
    made = associations.generate(_imager(found), kinds=("level2", "level3"), folder=folder)
    return folder, _Plan({e.name: e for e in found}, tuple(made), left_out, skip_bad_reads)


def _plan_of_association(path: Path, *, skip_bad_reads: bool) -> tuple[Path, _Plan]:
    """Turn an association of raw exposures into level 2 and level 3 ones, roles as it says."""
    given = associations.load(path)
    files = sorted(set(given.files()))
    exposures, left_out = scan_exposures(files, skip_bad_reads=skip_bad_reads)
    role = {file: kind for kind in ("background", "sky", "science") for file in given.files(kind)}
    kept = [e for e in exposures if role.get(e.first.path) in ("science", "sky", "background")]
    if not any(role[e.first.path] == "science" for e in kept):
        raise ReadError(
            complaint(path, "members", "no science exposure", "at least one", "add one")
        )
    casts = [
        _Cast(
            e,
            "SCI"
            if role[e.first.path] == "science"
            else "SKY"
            if role[e.first.path] == "sky"
            else e.imtype,
        )
        for e in _imager(kept)
    ]
    made = associations.generate(casts, kinds=("level2", "level3"), folder=path.parent)
    science = {e.name for e in kept if role[e.first.path] == "science"}
    chosen = [
        a for a in made if a.asn_type == "level2" and a.products[0].members[0].expname in science
    ]
    name = given.products[0].name
    if given.level == 2 and len(chosen) == 1:
        chosen = [replace(chosen[0], products=(replace(chosen[0].products[0], name=name),))]
    else:
        members = tuple(a.products[0].members[0] for a in chosen)
        chosen.append(
            Association(
                given.asn_id, "level3", (associations.Product(name, members),), folder=path.parent
            )
        )
    chosen = [replace(one, calibrations=given.calibrations) for one in chosen]
    plan = _Plan(
        {e.name: e for e in kept}, tuple(chosen), left_out, skip_bad_reads, given.calibrations
    )
    return path.parent, plan


@dataclass(frozen=True)
class _Cast:
    """An exposure in the role an association gives it."""

    exposure: RawExposure
    imtype: str

    @property
    def header(self) -> dict[str, Any]:
        """Keywords with IMTYPE of the role."""
        return {**dict(self.exposure.first.header), "IMTYPE": self.imtype}

    @property
    def name(self) -> str:
        """Name of the first file."""
        return self.exposure.name

    @property
    def stem(self) -> str:
        """Name in messages."""
        return self.exposure.stem


def _imager(exposures: Sequence[RawExposure]) -> list[RawExposure]:
    """Leave out exposures for which there is no recipe beyond level 1."""
    for exposure in exposures:
        if exposure.detector not in IMAGER_DETECTORS:
            logger.warning(
                "%s: there is no level 2 recipe for detector %s; level 1 only",
                exposure.name,
                exposure.detector,
            )
    return [exposure for exposure in exposures if exposure.detector in IMAGER_DETECTORS]


# --- checks before the first product -------------------------------------------------------------


def _step_names(skip: Sequence[str]) -> frozenset[str]:
    """Complete the names of steps to leave out."""
    known = {*ImagerLevel2Pipeline.step_defs, *ImagerLevel3Pipeline.step_defs}
    names = frozenset(name if name.startswith("iris_") else f"iris_{name}" for name in skip)
    unknown = sorted(names - known)
    if unknown:
        steps = ", ".join(sorted(name.removeprefix("iris_") for name in known))
        raise UsageError(
            complaint(
                "--skip",
                "step",
                unknown[0].removeprefix("iris_"),
                f"one of {steps}",
                "correct the name",
            )
        )
    return names


def _required_types(require: str) -> frozenset[str]:
    """Split the required reference types, refusing what is none."""
    names = frozenset(name.strip().lower() for name in require.split(",") if name.strip())
    known = load_rulebook().rules
    unknown = sorted(names - set(known))
    if unknown:
        types = ", ".join(sorted(known))
        raise UsageError(
            complaint("--require", "type", unknown[0], f"one of {types}", "correct the name")
        )
    return names


def _check_references(
    plan: _Plan,
    refs: str | None,
    skipped: frozenset[str],
    required: frozenset[str],
    overrides: Mapping[str, Any],
) -> None:
    """Refuse at once what would lack a reference later on, or be given one that cannot fit."""
    wanted = (
        {kind for step, kind in NEEDED.items() if step not in skipped}
        if plan.of_type("level2")
        else set()
    )
    wanted = (wanted | required) - set(overrides)
    if wanted and refs is None:
        find_store(None, next(iter(plan.exposures.values())).first.path.parent)
    for exposure in plan.exposures.values():
        if exposure.detector not in IMAGER_DETECTORS:
            continue
        chosen = [
            Store(str(refs)).select(kind, exposure.get_crds_parameters(), fixed=plan.fixed).path
            for kind in sorted(wanted)
        ]
        files = [str(value) for value in overrides.values() if isinstance(value, str | Path)]
        for path in [*chosen, *(Path(file).expanduser() for file in files if file != "N/A")]:
            _check_shape(path, exposure)


def _check_shape(path: Path, exposure: RawExposure) -> None:
    """Refuse a reference that covers neither the detector nor the window."""
    fault = shape_fault(path, exposure)
    if fault is not None:
        header, shape = exposure.first.header, exposure.shape
        full = (header.get("DETSIZE2", shape[0]), header.get("DETSIZE1", shape[1]))
        kind = str(models.read_metadata(path).get("REFTYPE") or "TYPE").lower()
        raise ReferenceFileError(
            complaint(
                path,
                "shape",
                fault,
                f"{full}, the detector of {exposure.name}, or its window {shape}",
                f"rebuild it or choose another with --override {kind}=FILE",
            )
        )


def _check_outputs(plan: _Plan, out: Path, *, overwrite: bool) -> None:
    """Refuse to begin where products exist, and inputs that would be written over."""
    if out.exists() and not out.is_dir():
        raise UsageError(complaint(str(out), "--out", "a file", "a folder", "name a folder"))
    sources = {path.resolve() for e in plan.exposures.values() for path in e.files}
    for name in _output_names(plan):
        if (out / name).resolve() in sources:
            raise ProductError(
                complaint(
                    name, "product", "the name of an input", "another", "choose another --out"
                )
            )
        if (out / name).exists() and not overwrite:
            raise ProductError(
                complaint(
                    name,
                    "file",
                    f"one that exists in {out}",
                    "none",
                    "use --overwrite or another --out",
                )
            )


def _output_names(plan: _Plan) -> list[str]:
    """Name the files a plan makes, relative to the folder of the products."""
    made = [association.products[0].name for association in plan.associations]
    return [
        *(file_name(exposure.first.header, 1) for exposure in plan.exposures.values()),
        *(f"{name}.fits" for name in made),
        *(f"{mosaic.products[0].name}_cat.ecsv" for mosaic in plan.of_type("level3")),
        *(f"associations/{name}.json" for name in made),
    ]


def _write(
    association: Association, plan: _Plan, out: Path, level: int, *, overwrite: bool
) -> Path:
    """Write an association of raw exposures as one of their products of a level."""
    product = association.products[0]
    members = tuple(
        replace(m, expname=file_name(plan.exposures[m.expname].first.header, level), sha256=None)
        for m in product.members
    )
    moved = replace(association, products=(replace(product, members=members),), folder=out)
    return moved.write(out / "associations" / f"{product.name}.json", overwrite=overwrite)


# --- associations of products --------------------------------------------------------------------


def _level_of(path: Path) -> int:
    """Give the level of an association's members."""
    header = models.read_metadata(associations.load(path).files()[0])
    level = header.get("DATALVL", 0)
    return level if isinstance(level, int) else 0


def _reduce_products(
    path: Path,
    out: Path,
    common: Mapping[str, Any],
    skipped: frozenset[str],
    overrides: Mapping[str, Any],
) -> list[Path]:
    """Go on from an association of level 1 or level 2 products."""
    name, level = associations.load(path).products[0].name, _level_of(path)
    recipe = {1: ImagerLevel2Pipeline, 2: ImagerLevel3Pipeline}.get(level)
    if recipe is None:
        raise ProductError(
            complaint(path, "DATALVL", level, "members of level 0, 1 or 2", "associate other files")
        )
    steps = {step: {"skip": True} for step in skipped if step in recipe.step_defs}
    with _nothing_left_after_failure(out, [f"{name}.fits", f"{name}_cat.ecsv"]):
        out.mkdir(parents=True, exist_ok=True)
        pipeline = recipe(
            **common,
            **overrides_for(recipe, overrides),
            save_results=True,
            output_dir=str(out),
            steps=steps,
        )
        model = pipeline.run(str(path))
    return (
        _level3_products(out, name) if level == 2 else [out / file_name(model.header_mapping(), 2)]
    )
