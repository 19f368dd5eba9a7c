"""A product made again from what it says of itself, and what has changed since.

product ─ receipt, inputs, references ─► the same pipeline on the same files ─► the same pixels, or what differs
"""

from __future__ import annotations

import importlib
import logging
import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import iris_readout
from liger_iris_pipeline import models
from liger_iris_pipeline.associations import Association, Member, Product
from liger_iris_pipeline.errors import ProductError, ReplayError, UsageError, complaint
from liger_iris_pipeline.models.comparison import Change, Comparison, compare
from liger_iris_pipeline.models.provenance import parameter_hash, parameters_of, software_rows
from liger_iris_pipeline.models.reads import RawExposure, SkippedFile, group_exposures, scan_reads
from liger_iris_pipeline.pipelines.finding import FileFinder, Root
from liger_iris_pipeline.pipelines.inputs import Progress, file_name, overrides_for, silent
from liger_iris_pipeline.pipelines.level1 import Level1Step
from liger_iris_pipeline.pipelines.pinned import PinnedReferences
from liger_iris_pipeline.pipelines.registry import get_steps
from liger_iris_pipeline.steps.base import LEFT_OUT, PLUMBING

__all__ = ["Replayed", "replay"]

logger = logging.getLogger(__name__)

_LEVEL1 = str(Level1Step.class_alias)
_CATALOGUE = "iris_source_catalog"
_BELOW = 3
"""Levels of folders looked into below the folder that holds that of the product."""


@dataclass(frozen=True)
class Replayed:
    """What came of making a product again.

    Attributes
    ----------
    product : Path
        The product.
    made : Path or None
        The one made anew; None where it was not to be kept.
    changes : tuple of Change
        What is not as it was when the product was made, and what differs in the new one.
    identical : bool
        Whether all pixels and tables are the same bit for bit.
    planes : tuple of str
        What was compared.
    """

    product: Path
    made: Path | None
    changes: tuple[Change, ...]
    identical: bool
    planes: tuple[str, ...]


@dataclass(frozen=True)
class _Record:
    """What a product says of itself."""

    path: Path
    header: Mapping[str, Any]
    receipt: tuple[dict[str, Any], ...]
    calibrations: tuple[dict[str, Any], ...]
    inputs: tuple[dict[str, Any], ...]
    software: tuple[dict[str, Any], ...]
    hdus: frozenset[str]

    @property
    def level(self) -> int:
        """DATALVL; 0 for a reference."""
        value = self.header.get("DATALVL")
        return value if isinstance(value, int) else 0

    def row(self, step: str) -> dict[str, Any] | None:
        """Give the last row of a step."""
        return next((row for row in reversed(self.receipt) if row["step"] == step), None)


@dataclass
class _Options:
    """What the caller asks for, and what was found to have changed."""

    change: Mapping[str, Any]
    overrides: Mapping[str, Any]
    anyway: bool
    progress: Progress
    changes: list[Change] = field(default_factory=list)


def replay(
    product: Path,
    *,
    into: Path | None = None,
    find_in: Sequence[Path] = (),
    change: Mapping[str, Any] | None = None,
    overrides: Mapping[str, Any] | None = None,
    anyway: bool = False,
    overwrite: bool = False,
    progress: Progress = silent,
) -> Replayed:
    """Make a product again and compare it.

    Inputs and references are found by their SHA-256: in the folders named, in that of the product and the one above
    it, in the working folder, in the stores of references.

    Parameters
    ----------
    product : Path
        Product of level 1 to 3, catalogue of a mosaic, or reference made by a pipeline.
    into : Path, optional
        Folder for what is made; it is thrown away without one.
    find_in : sequence of Path
        Folders to look for files in, first.
    change : mapping, optional
        Values to use instead of recorded ones, by ``step.parameter``.
    overrides : mapping, optional
        References to use instead of recorded ones, by type: a file, a model, or ``N/A``.
    anyway : bool
        Go on with inputs and references that have changed, naming them.
    overwrite : bool
        Replace a file in `into`.
    progress : callable
        Called with stage, parts done, parts in all.

    Returns
    -------
    Replayed
        What was made and what has changed.

    Raises
    ------
    ReplayError
        If the product does not say how it was made, or a file it was made from is not there or has changed.
    UsageError
        If a parameter to change is not known.
    """
    path = _mosaic_of(product)
    record = _read(path)
    options = _Options(dict(change or {}), dict(overrides or {}), anyway, progress)
    finder = FileFinder(_roots(path, find_in))
    target = None if into is None else into / path.name
    if target is not None:
        _check_target(target, path, overwrite=overwrite)
    options.changes += _since(record)
    with tempfile.TemporaryDirectory(prefix="iris-replay-") as folder:
        made = _Replay(record, finder, options, Path(folder)).run()
        found = _compare(product, path, made, options)
        kept = None
        if into is not None and target is not None:
            into.mkdir(parents=True, exist_ok=True)
            for file in sorted(made.parent.iterdir()):
                _keep(file, into / file.name)
            kept = target
    names = tuple(plane.name for plane in found.planes) or ("catalogue",)
    return Replayed(product, kept, tuple(options.changes), not found.pixels, names)


def _compare(product: Path, path: Path, made: Path, options: _Options) -> Comparison:
    """Compare what was made with the product, leaving out what is known already."""
    found = compare(path, made)
    catalogues = [p.with_name(f"{_stem(p)}_cat.ecsv") for p in (path, made)]
    if all(p.exists() for p in catalogues):
        rows = compare(*catalogues)
        found = rows if product != path else replace(found, tables=(*found.tables, *rows.tables))
    told = {(change.kind, change.what) for change in options.changes}
    recorded = (
        c
        for c in (*found.parameters, *found.references, *found.inputs, *found.header)
        if not _is_known(c, told)
    )
    options.changes += [*recorded, *found.pixels]
    return found


def _is_known(change: Change, told: set[tuple[str, str]]) -> bool:
    """Say whether a difference is told already, or none of how the pixels were made."""
    if change.kind == "version" or (change.kind, change.what) in told:
        return True
    if change.kind in ("input", "reference"):
        return any(kind == change.kind for kind, _ in told)
    if change.kind == "status":
        return change.what == _LEVEL1
    machine = {f"{_LEVEL1}.isa", f"{_LEVEL1}.threads"}
    return change.what in machine or (change.what == "ramp.isa" and ("isa", "ramp") in told)


def _stem(path: Path) -> str:
    """Take the ending off a name."""
    return path.name.removesuffix(".gz").removesuffix(".fits")


def _mosaic_of(product: Path) -> Path:
    """Give the mosaic that a catalogue lies beside; a product is itself."""
    if not product.name.endswith("_cat.ecsv"):
        return product
    path = product.with_name(f"{product.name.removesuffix('_cat.ecsv')}.fits")
    if not path.exists():
        raise ReplayError(
            complaint(
                product, "mosaic", f"no {path.name} beside it", "the one it is of", "put it there"
            )
        )
    return path


def _keep(file: Path, target: Path) -> None:
    """Move a file to a folder; it appears complete."""
    staged = target.with_name(f".{target.name}.{os.getpid()}")
    try:
        shutil.copyfile(file, staged)
        staged.replace(target)
    finally:
        staged.unlink(missing_ok=True)


def _check_target(target: Path, product: Path, *, overwrite: bool) -> None:
    """Refuse to write over the product, or over another file that is to stay."""
    if target.resolve() == product.resolve():
        raise UsageError(
            complaint("--into", "folder", "that of the product", "another", "name another")
        )
    if target.exists() and not overwrite:
        raise ProductError(
            complaint(
                target, "file", "one that exists", "a new name", "use --overwrite or another --into"
            )
        )


# --- what the product says -----------------------------------------------------------------------


def _read(path: Path) -> _Record:
    """Read what a product says of itself."""
    if not path.is_file():
        raise ReplayError(complaint(path, "file", "nothing", "a product", "check the path"))
    header = models.read_metadata(path)
    if header.get("DATALVL") in (None, 0) and "REFTYPE" not in header:
        raise ReplayError(
            complaint(path, "DATALVL", "a raw read", "a product or reference", "name a product")
        )
    with models.open(path) as model:
        hdus = frozenset(p.hdu for p in model.planes() if getattr(model, p.attribute) is not None)
        record = _Record(
            path,
            header,
            tuple(model.receipt_rows()),
            tuple(model.calibration_rows()),
            tuple(model.input_rows()),
            tuple(model.software_rows()),
            hdus,
        )
    for name, rows in (("RECEIPT", record.receipt), ("INPUTS", record.inputs)):
        if not rows:
            raise ReplayError(
                complaint(
                    path,
                    name,
                    "no rows",
                    "how it was made, and from what",
                    "only products of this system can be made again",
                )
            )
    return record


def _since(record: _Record) -> list[Change]:
    """List what has changed since a product was made, as far as its record tells."""
    now = dict(software_rows())
    versions = dict.fromkeys(str(row["version"]) for row in record.receipt)
    current = now["liger_iris_pipeline"]
    changes = [Change("version", "of the steps", v, current) for v in versions if v != current]
    software = {str(row["name"]): str(row["version"]) for row in record.software}
    if software.get("source") == now.get("source"):
        software.pop("commit", None)  # another commit with the same modules
    for name, was in software.items():
        found = now.get(name, "nothing")
        if was != found:
            changes.append(Change("software", name, was, found))
    stated, computed = record.header.get("PARHASH"), parameter_hash(record.receipt)
    if stated is not None and stated != computed:
        changes.append(Change("parameter", "RECEIPT as a whole (PARHASH)", str(stated), computed))
        changes += _contradictions(record)
    return changes


def _contradictions(record: _Record) -> list[Change]:
    """Name parameters of level 1 that two rows of a receipt state differently."""
    row = record.row(_LEVEL1)
    if row is None:
        return []
    told, own = _from_stages(record), parameters_of(row)
    return [
        Change("parameter", f"{_LEVEL1}.{name}", repr(told[name]), repr(own[name]))
        for name in ("estimator", "jump_sigma", "snowballs", "saturation_grow", "combination")
        if name in told and name in own and told[name] != own[name]
    ]


def _roots(product: Path, find_in: Sequence[Path]) -> list[Root]:
    """List the folders to look in, in this order."""
    for folder in find_in:
        if not folder.is_dir():
            raise UsageError(
                complaint("--find-in", "folder", f"nothing at {folder}", "a folder", "correct it")
            )
    folder = product.resolve().parent
    stores = [Path(named) for named in (os.environ.get("IRIS_REFS"),) if named]
    stores += [folder / "refs", folder.parent / "refs"]
    return [
        *(Root(path) for path in find_in),
        Root(folder, 1),
        *(Root(path, 1) for path in stores if path.is_dir()),
        Root(Path.cwd(), 0),
        Root(folder.parent, _BELOW, whole=False),
    ]


# --- making it again -----------------------------------------------------------------------------


_TABLES = frozenset({"standards"})
"""Roles of inputs that are files given as the parameter of that name."""


@dataclass
class _Replay:
    """One product, made again in a folder of its own."""

    record: _Record
    finder: FileFinder
    options: _Options
    folder: Path

    def run(self) -> Path:
        """Make the product; give its file."""
        recipe = Level1Step if self.record.level == 1 else self._recipe()
        self._check_changes(recipe)
        references = self._references(recipe)
        paths = self._inputs()
        tables = {role: path for path, role in paths.items() if role in _TABLES}
        paths = {path: role for path, role in paths.items() if role not in _TABLES}
        (self.folder / "made").mkdir()
        made = self.folder / "made" / self.record.path.name
        self.options.progress("replay", 0, 1)
        try:
            if recipe is Level1Step:
                self._level1(self._exposure(list(paths)), references).save(made)
            else:
                self._run(recipe, references, self._members(paths, references), made, tables)
        finally:
            self.options.changes += references.changes
        self.options.progress("replay", 1, 1)
        return made

    def _recipe(self) -> Any:
        """Find the pipeline or maker that the receipt names last."""
        known = {alias: path for path, alias, _ in get_steps()}
        for row in reversed(self.record.receipt):
            alias = str(row["step"])
            if alias in known and (alias.startswith("iris_create_") or "_level" in alias):
                module, _, name = known[alias].rpartition(".")
                return getattr(importlib.import_module(module), name)
        steps = ", ".join(dict.fromkeys(str(row["step"]) for row in self.record.receipt))
        raise ReplayError(
            complaint(
                self.record.path,
                "RECEIPT",
                f"the steps {steps}",
                "a pipeline of this version",
                "make it again with the version it names",
            )
        )

    def _references(self, recipe: Any) -> PinnedReferences:
        """Pin the references the product names."""
        names = str(self.record.header.get("CAL_CTX") or "").split(",")
        sums = str(self.record.header.get("CAL_CSHA") or "").split(",")
        steps = {str(recipe.class_alias), *getattr(recipe, "step_defs", {})}
        reasons = {str(row["reason"]) for row in self.record.receipt if row["step"] in steps}
        return PinnedReferences(
            self.record.path,
            self.record.calibrations,
            self.finder,
            contexts=dict(zip(names, sums, strict=False)),
            absent=frozenset(
                r.removeprefix("no ").removesuffix(" reference")
                for r in reasons
                if r.startswith("no ") and r.endswith(" reference")
            ),
            anyway=self.options.anyway,
        )

    # --- inputs ----------------------------------------------------------------------------------

    def _inputs(self) -> dict[Path, str]:
        """Find the inputs and link them, under the names they had, into a folder; give their roles."""
        home = self.folder / "inputs"
        home.mkdir()
        linked: dict[Path, str] = {}
        for count, row in enumerate(self.record.inputs):
            source = self._find(row)
            path = home / str(row["file"])
            if path.exists():
                path = home / f"{count}" / str(row["file"])
                path.parent.mkdir()
            try:
                path.symlink_to(source.resolve())
            except OSError:  # a file system without links
                shutil.copyfile(source, path)
            linked[path] = str(row.get("role") or "")
        return linked

    def _find(self, row: Mapping[str, Any]) -> Path:
        """Find an input by its checksum."""
        name, sha256 = str(row["file"]), str(row["sha256"])
        made, anyway = self.record.path.name, self.options.anyway
        path, other = self.finder.need(name, sha256, what="input", made=made, anyway=anyway)
        if other:
            self.options.changes.append(Change("input", name, sha256[:12], other[:12]))
        return path

    def _exposures(self, paths: Sequence[Path]) -> list[RawExposure]:
        """Group raw reads, in the order in which the product names them."""
        scan = scan_reads(paths)
        exposures, _ = group_exposures(scan.reads)
        order = {path: count for count, path in enumerate(paths)}
        return sorted(exposures, key=lambda e: min(order[file] for file in e.files))

    def _exposure(self, paths: Sequence[Path]) -> RawExposure:
        """Group the reads of one exposure."""
        exposures = self._exposures(paths)
        if len(exposures) != 1:
            raise ReplayError(
                complaint(
                    self.record.path,
                    "INPUTS",
                    f"reads of {len(exposures)} exposures",
                    "those of one",
                    "only products of this system can be made again",
                )
            )
        return exposures[0]

    def _members(
        self, paths: Mapping[Path, str], references: PinnedReferences
    ) -> list[tuple[Path, str]]:
        """Give the members of the association with their roles, making their level 1 again where that was not kept."""
        raw = models.read_metadata(next(iter(paths))).get("DATALVL") in (None, 0)
        if not raw or any("REFTYPE" in models.read_metadata(path) for path in paths):
            return [(path, self._role(n, role)) for n, (path, role) in enumerate(paths.items())]
        exposures = self._exposures(list(paths))
        roles = [self._role(n, paths[e.first.path]) for n, e in enumerate(exposures)]
        if self.record.row("ramp") is None:
            return [(e.first.path, role) for e, role in zip(exposures, roles, strict=True)]
        frames = self.folder / "frames"
        frames.mkdir()
        found = []
        for count, (exposure, role) in enumerate(zip(exposures, roles, strict=True)):
            self.options.progress("ramps", count, len(exposures))
            path = frames / file_name(exposure.first.header, 1)
            self._level1(exposure, references, member=path.name).save(path)
            found.append((path, role))
        return found

    @staticmethod
    def _role(number: int, role: str) -> str:
        """Give the role of an input; those of products that state none are told apart by their headers."""
        return role or ("background" if number else "science")

    # --- steps -----------------------------------------------------------------------------------

    def _level1(self, exposure: RawExposure, references: PinnedReferences, member: str = "") -> Any:
        """Fit the ramps of an exposure as they were fitted."""
        options = {**self._level1_parameters(), **overrides_for(Level1Step, self.options.overrides)}
        step = Level1Step(**options)
        step.references, step.member = references, member or None
        step.left_out = self._left_out(exposure)
        return step.run(exposure)

    def _level1_parameters(self) -> dict[str, Any]:
        """Give the parameters of level 1, with the instruction set it was made with."""
        rows = {r["parameters"]: r for r in self.record.receipt if r["step"] == _LEVEL1}
        if len(rows) > 1:
            raise ReplayError(
                complaint(
                    self.record.path,
                    "RECEIPT",
                    f"{len(rows)} settings of level 1",
                    "one for all frames",
                    "make the frames again one by one",
                )
            )
        row = next(iter(rows.values()), None)
        told = _from_stages(self.record) if row is None else parameters_of(row)
        parameters = self._known(Level1Step, told)
        parameters["isa"] = self._instruction_set()
        return {**parameters, **self._changed(_LEVEL1)}

    def _instruction_set(self) -> str:
        """Give the recorded instruction set, or ``auto`` where this machine has it not."""
        ramp = self.record.row("ramp")
        recorded = str(parameters_of(ramp).get("isa", "auto")) if ramp else "auto"
        with suppress(iris_readout.Error):
            iris_readout.RampFitter((8, 8), gain=1.0, read_noise=1.0, ref_pixels=0, isa=recorded)
            return recorded
        self.options.changes.append(
            Change("isa", "ramp", recorded, "another: this machine does not have it")
        )
        return "auto"

    def _left_out(self, exposure: RawExposure) -> tuple[SkippedFile, ...]:
        """Give the files that had been left out of an exposure."""
        row = self.record.row("ingest")
        names = parameters_of(row).get("skipped", []) if row else []
        if not row or not names:
            return ()
        reasons = str(row["reason"]).removeprefix("left out ").split("; left out ")
        folder = exposure.first.path.parent
        return tuple(
            SkippedFile(folder / name, reasons[at] if at < len(reasons) else "")
            for at, name in enumerate(names)
        )

    def _run(
        self,
        recipe: Any,
        references: PinnedReferences,
        members: Sequence[tuple[Path, str]],
        made: Path,
        tables: Mapping[str, Path],
    ) -> None:
        """Run a pipeline or maker on its members and save what it makes."""
        options = self._own_parameters(recipe)
        options |= {role: str(path) for role, path in tables.items()}
        options |= overrides_for(recipe, self.options.overrides)
        steps = getattr(recipe, "step_defs", {})
        if steps:
            options["steps"] = {
                alias: self._step_parameters(alias, steps[alias]) for alias in steps
            }
        if _CATALOGUE in steps:
            options |= {"save_results": True, "output_dir": str(made.parent)}
        pipeline = recipe(**options)
        pipeline.references = references
        raw = models.read_metadata(members[0][0]).get("DATALVL") in (None, 0)
        if steps or raw or len({role for _, role in members}) > 1:
            result = pipeline.run(str(self._associated(members, _stem(made))))
        else:
            result = pipeline.run(*(str(path) for path, _ in members))
        if not made.exists():
            result.save(made)

    def _associated(self, members: Sequence[tuple[Path, str]], name: str) -> Path:
        """Write the association of the members."""
        product = Product(name, tuple(Member(str(path), role) for path, role in members))
        association = Association(name, f"level{self.record.level}", (product,), folder=self.folder)
        return association.write(self.folder / f"{name}.json")

    def _own_parameters(self, recipe: Any) -> dict[str, Any]:
        """Give the parameters of a pipeline or maker itself."""
        alias = str(recipe.class_alias)
        row = self.record.row(alias)
        parameters = self._known(recipe, parameters_of(row) if row else {})
        if "version" in parameters and self.record.header.get("REFVER") is not None:
            parameters["version"] = str(self.record.header["REFVER"])
        return {**parameters, **self._changed(alias)}

    def _step_parameters(self, alias: str, step: Any) -> dict[str, Any]:
        """Give the parameters of a step in a pipeline; one that was left out stays so."""
        row = self.record.row(alias)
        parameters = self._known(step, parameters_of(row) if row else {})
        left_out = row is not None and row["reason"] == LEFT_OUT
        parameters["skip"] = left_out or (row is None and alias == _CATALOGUE)
        return {**parameters, **self._changed(alias)}

    def _known(self, step: Any, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """Keep the parameters that a step has; one that it no longer has is a change."""
        spec = step.load_spec_file()
        for name, value in parameters.items():
            if name not in spec:
                what = f"{step.class_alias}.{name}"
                self.options.changes.append(
                    Change("parameter", what, repr(value), "not known to this version")
                )
        return {k: v for k, v in parameters.items() if k in spec and v is not None}

    # --- changes on purpose ----------------------------------------------------------------------

    def _changed(self, alias: str) -> dict[str, Any]:
        """Give the parameters of a step that are to be changed."""
        return {
            key.partition(".")[2]: value
            for key, value in self.options.change.items()
            if key.partition(".")[0] == alias
        }

    def _check_changes(self, recipe: Any) -> None:
        """Refuse to change what there is not."""
        steps = {str(recipe.class_alias): recipe, **getattr(recipe, "step_defs", {})}
        if self.record.row("ramp") is not None:
            steps[_LEVEL1] = Level1Step
        for key in self.options.change:
            alias, _, name = key.partition(".")
            spec = steps[alias].load_spec_file() if alias in steps else {}
            allowed = (set(spec) - PLUMBING) | (
                {"skip"} if alias != str(recipe.class_alias) else set()
            )
            names = [f"{a}.…" for a in steps] if alias not in steps else sorted(allowed)
            if name not in allowed:
                expected = f"one of {', '.join(names)}"
                raise UsageError(complaint("--set", "parameter", key, expected, "correct the name"))


def _from_stages(record: _Record) -> dict[str, Any]:
    """Make the parameters of level 1 of the rows of its stages: all that the readout command writes."""
    stage = {str(row["step"]): parameters_of(row) for row in record.receipt}
    status = {str(row["step"]): str(row["status"]) for row in record.receipt}
    ramp, jump, gain = stage.get("ramp", {}), stage.get("jump", {}), stage.get("gain", {})
    level, weights = stage.get("saturation", {}), ramp.get("weights") or {}
    rule, _, part = str(weights.get("rule", "linear")).partition("=")
    noise = ramp.get("read_noise")
    found: dict[str, Any] = {
        "mode": ramp.get("mode"),
        "estimator": ramp.get("estimator"),
        "nfowler": ramp.get("nfowler") if ramp.get("mode") == "mcds" else None,
        "jump_sigma": 0.0 if status.get("jump") == "SKIPPED" else jump.get("jump_sigma"),
        "snowballs": jump.get("snowballs"),
        "gain": gain.get("gain") if gain.get("source") == "option" else None,
        "read_noise": noise if isinstance(noise, int | float) else None,
        "saturation": level.get("level") if level.get("source") == "option" else None,
        "saturation_grow": level.get("saturation_grow"),
        "side_rows": stage.get("refpix", {}).get("side_rows"),
        "guide_windows": "; ".join(" ".join(map(str, w)) for w in ramp.get("guide_windows", [])),
        "guide_margin": ramp.get("guide_margin"),
        "drop_reads": ramp.get("dropped"),
        "weight_keyword": weights.get("keyword"),
        "weight_rule": rule,
        "weight_part": float(part) if part else None,
        "combination": ramp.get("combination"),
        "reject_sigma": ramp.get("reject_sigma") or 0.0,
        "memory_limit": ramp.get("memory_limit"),
        "keep_reads": ramp.get("keep_reads"),
        "max_events": ramp.get("max_events"),
        "chi2": "CHI2" in record.hdus,
        "events": "EVENTS" in record.hdus,
        "skip_bad_reads": stage.get("ingest", {}).get("skip_bad_reads"),
    }
    return {name: value for name, value in found.items() if value is not None}
