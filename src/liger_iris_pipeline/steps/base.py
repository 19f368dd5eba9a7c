"""Everything the steps share: opening models, finding references, status, provenance, saving.

A step says which references it needs, which status keyword it owns and, in ``correct``, which algorithm it calls;
the rest is here.  stpipe's own way to references and parameters (a server) is replaced by the local store, so that
neither the server's client nor a socket is ever used.
"""

from __future__ import annotations

import hashlib
import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Protocol

import numpy as np
from stpipe import Pipeline, Step
from stpipe.datamodel import AbstractDataModel

from liger_iris_pipeline import __version__, models
from liger_iris_pipeline.calibration import CalibrationSet, Reference, Store, find_store
from liger_iris_pipeline.errors import (
    InputError,
    MissingReferenceError,
    ReferenceFileError,
    UsageError,
    complaint,
)
from liger_iris_pipeline.models.clock import utc
from liger_iris_pipeline.models.naming import product_name
from liger_iris_pipeline.models.provenance import IN_MEMORY, canonical, stamp

__all__ = [
    "LEFT_OUT",
    "PLUMBING",
    "IrisPipeline",
    "IrisStep",
    "PinnedSource",
    "Skipped",
    "cut_window",
    "expect_numbers",
]

logger = logging.getLogger(__name__)

PLUMBING = frozenset(
    {"pre_hooks", "post_hooks", "output_file", "output_dir", "output_ext", "output_use_model"}
    | {"output_use_index", "save_results", "skip", "suffix", "search_output_file", "input_dir"}
    | {"refs", "overwrite", "require", "steps", "threads"}
)
"""Parameters that say where files go, not how pixels are made: left out of the receipt."""


LEFT_OUT = "left out on request"
"""Reason of a step that was told to be left out."""

_TABLES = frozenset({"RECEIPT", "CALIBRATIONS", "INPUTS", "SOFTWARE"})


class PinnedSource(Protocol):
    """References that were chosen beforehand, instead of a store."""

    def find(self, reftype: str, member: str) -> Reference | None:
        """Give the reference of a type for an input (none: the science exposure); None for ``N/A``."""


def cut_window(plane: Any, header: Mapping[str, Any], shape: tuple[int, int], name: str) -> Any:
    """Cut a frame's window out of a reference plane that covers the full detector.

    Parameters
    ----------
    plane : ndarray (..., ny, nx), or None
        Plane of the reference.
    header : mapping
        SUBSTRT1/2 of the frame, 1-based.
    shape : tuple of int
        Shape (ny, nx) of the frame.
    name : str
        File name of the reference, for the message.

    Returns
    -------
    ndarray (..., ny, nx), or None
        The part the frame covers; None for None.

    Raises
    ------
    ReferenceFileError
        If the frame's window is not inside the reference.
    """
    if plane is None or plane.shape[-2:] == shape:
        return plane
    y, x = int(header.get("SUBSTRT2", 1)) - 1, int(header.get("SUBSTRT1", 1)) - 1
    part = plane[..., y : y + shape[0], x : x + shape[1]]
    if min(y, x) < 0 or part.shape[-2:] != shape:
        got, window = f"shape {plane.shape[-2:]}", f"the frame's {shape} at ({y}, {x})"
        raise ReferenceFileError(
            complaint(
                name, "shape", got, f"one that holds {window}", "rebuild it or choose another"
            )
        )
    return part


def expect_numbers(plane: Any, name: str, hdu: str, *, above: float = -np.inf) -> None:
    """Refuse a plane of a reference that has no number a pixel can be corrected with.

    Parameters
    ----------
    plane : ndarray (ny, nx)
        The plane, or the part of it that a frame covers.
    name, hdu : str
        File name of the reference and name of the plane, for the message.
    above : float, optional
        What a number must be larger than.

    Raises
    ------
    ReferenceFileError
        If not one pixel has such a number.
    """
    if not np.any(np.isfinite(plane) & (plane > above)):
        limit = "" if above == -np.inf else f" above {above:g}"
        got, expected = f"no finite value{limit}", "one at least"
        remedy = "make it anew or choose another"
        raise ReferenceFileError(complaint(name, hdu, got, expected, remedy))


def _expect_type(name: str, got: str, expected: str) -> None:
    """Refuse a reference of another type."""
    if got.lower() != expected.lower():
        remedy = f"name another with --override_{expected} (--override {expected}=FILE)"
        raise ReferenceFileError(
            complaint(name, "REFTYPE", got.upper() or "nothing", expected.upper(), remedy)
        )


def _hash_of_planes(model: Any) -> str:
    """Give the SHA-256 of a model's arrays, by name and type."""
    digest = hashlib.sha256()
    for plane in model.planes():
        array = getattr(model, plane.attribute)
        if array is not None and plane.hdu not in _TABLES:
            array = np.ascontiguousarray(array)
            digest.update(f"{plane.hdu} {array.dtype} {array.shape}\n".encode())
            digest.update(array.tobytes())
    return digest.hexdigest()


def _label(model: Any) -> str:
    """Name a model or a raw exposure in messages."""
    return str(model.stem if hasattr(model, "stem") else model.meta.filename)


class Skipped(Exception):  # noqa: N818 - a state, not an error
    """Raised by a step's ``correct`` when there is a stated reason to leave the model as it is."""


class IrisStep(Step):  # type: ignore[misc]
    """Base of all steps.

    Attributes
    ----------
    status : str or None
        Name of the step's field in ``meta.cal_step``.
    reference_file_types : list of str
        References the step needs.
    optional_references : frozenset of str
        Those of them it can do without: the step is then SKIPPED with that reason.
    on_failure : str
        ``stop``: an input that cannot be used ends the run. ``note``: the product does not depend on this step, which
        is then FAILED with that reason, and the run goes on.
    references : PinnedSource or None
        References to use instead of a store's; looked for in the pipeline too.
    calibrations : CalibrationSet or None
        What was chosen from the store for the observing block, once for all its exposures; looked for in the pipeline
        too.
    kept : models.ModelCache or None
        Keeps references open from frame to frame, for long-lived processes; looked for in the pipeline too.
    member : str or None
        Name of the further input that is being treated, such as a sky frame; looked for in the pipeline too.
    """

    spec = """
        output_ext = string(default='.fits')     # Kind of file to write
        refs       = string(default=None)        # Folder of reference files [$IRIS_REFS, else refs/ beside the data]
        require    = string(default='')          # Optional reference types that must be there, separated by commas
        overwrite  = boolean(default=False)      # Replace products that exist
    """
    status: ClassVar[str | None] = None
    optional_references: ClassVar[frozenset[str]] = frozenset()
    on_failure: ClassVar[str] = "stop"
    references: PinnedSource | None = None
    calibrations: CalibrationSet | None = None
    kept: models.ModelCache | None = None
    member: str | None = None
    _log_records_formatter = logging.Formatter(
        "%(asctime)s - %(name)s - %(levelname)s - %(message)s"
    )

    _started: str
    _clock: float
    _reason: str
    _failed: bool
    _references: list[tuple[str, Reference]]

    # --- what stpipe asks for -------------------------------------------------------------------------------------

    @staticmethod
    def get_stpipe_loggers() -> tuple[str, ...]:
        """Name the loggers stpipe configures."""
        return ("liger_iris_pipeline", "stpipe", "py.warnings")

    @classmethod
    def _datamodels_open(cls, init: Any, **kwargs: Any) -> Any:
        return models.open(init, **kwargs)

    @classmethod
    def get_config_from_reference(
        cls, dataset: Any, disable: bool | None = None, crds_observatory: str | None = None
    ) -> Any:
        """Give no parameters: the store holds none, and no server is asked."""
        return cls._empty_config()

    def run(self, *args: Any) -> Any:
        """Run the step on its arguments, as stpipe does, keeping the time."""
        self._started = utc()
        self._clock = time.perf_counter()
        self._reason = ""
        self._failed = False
        self._references = []
        return super().run(*args)

    def process(self, *args: Any) -> Any:
        """Open the input, find the references, call ``correct``.

        Parameters
        ----------
        *args : path or model
            The science input first; what else a step takes is its own.

        Returns
        -------
        model
            A new model when the step runs by itself, else the one it was given.
        """
        model = self._prepared(args[0])
        try:
            self.correct(model, *args[1:])
        except Skipped as skipped:
            self._reason = str(skipped)
            logger.warning(
                "%s: %s skipped: %s", model.meta.filename, self.class_alias, self._reason
            )
        except InputError as error:
            self.note_failure(error)
        return model

    def note_failure(self, error: InputError) -> None:
        """Note that the step failed, where the product does not depend on it.

        What the user named himself, by an override or as required, is not passed over.

        Raises
        ------
        InputError
            `error`, if the step may not fail.
        """
        types = self.reference_file_types
        asked = self._required().intersection(types)
        if (
            self.on_failure != "note"
            or asked
            or any(self.get_ref_override(kind) is not None for kind in types)
        ):
            raise error
        self._failed, self._reason = True, str(error)
        logger.warning("%s failed: %s; the product goes on without it", self.class_alias, error)

    def _required(self) -> frozenset[str]:
        """Give the optional reference types that must be there."""
        names = (self.search_attr("require") or "").split(",")
        return frozenset(name.strip().lower() for name in names if name.strip())

    def correct(self, model: Any, *args: Any) -> None:
        """Change the model in place: overridden by every step."""
        raise NotImplementedError(f"{type(self).__name__} does not say how to correct a model")

    def _prepared(self, given: Any) -> Any:
        """Open a path; copy a caller's model when running by itself, so that it stays as it was."""
        if not isinstance(given, AbstractDataModel):
            return self.open_model(str(given))
        return given.copy() if self.parent is None else given

    # --- references ----------------------------------------------------------------------------------------------

    def store(self, model: Any) -> Store:
        """Give the store in use: ``--refs``, ``$IRIS_REFS``, else the one beside the data."""
        folder = self.search_attr("refs")
        return find_store(Path(folder) if folder else None, Path(self.input_dir or "."))

    def find_reference(self, model: Any, reftype: str) -> Any:
        """Find the reference of a type for a model: an override, else what the store selects.

        Parameters
        ----------
        model : model
            Its metadata select.
        reftype : str
            Type, lower case.

        Returns
        -------
        model or None
            The open reference model (the caller closes it); None for the override ``N/A``.

        Raises
        ------
        ReferenceFileError
            If nothing fits.
        """
        override = self.get_ref_override(reftype)
        if override is not None and not isinstance(override, str):
            return self._in_memory(override, reftype)
        pinned = self.search_attr("references")
        if override is not None:
            unwanted = override.strip() in ("", "N/A")
            found = None if unwanted else Reference.from_file(Path(override), context="override")
        elif pinned is not None:
            found = pinned.find(reftype, self.search_attr("member") or "")
        else:
            fixed = self.search_attr("calibrations")
            found = self.store(model).select(reftype, model.get_crds_parameters(), fixed=fixed)
        if found is None:
            self._reference_files_used.append((reftype, "N/A"))
            return None
        _expect_type(found.file, found.reftype, reftype)
        self._references.append((reftype, found))
        self._reference_files_used.append((reftype, f"cal://{found.file}"))
        logger.info("%s: %s reference %s", _label(model), reftype, found.file)
        kept = self.search_attr("kept")
        return models.open(found.path) if kept is None else kept.open(found.path)

    def get_ref_override(self, reference_file_type: str) -> Any:
        """Give the override of a type: the step's own, else that of the pipeline it runs in.

        Parameters
        ----------
        reference_file_type : str
            Type, lower case.

        Returns
        -------
        model, str or None
            A model, an absolute path, or ``N/A``.
        """
        step: Any = self
        while step is not None:
            override = getattr(step, f"override_{reference_file_type}", None)
            if isinstance(override, str) and override.strip() not in ("", "N/A"):
                return str(Path(override).expanduser().absolute())
            if override is not None:
                return override
            step = step.parent
        return None

    def _in_memory(self, override: Any, reftype: str) -> Any:
        """Take a reference that was given as a model; what is handed out shares its arrays and may be closed."""
        kind = str(getattr(override, "reftype", "") or override.meta.reference.type or "").lower()
        _expect_type(str(override.meta.filename or IN_MEMORY), kind, reftype)
        version = override.meta.reference.version
        reference = Reference(
            path=Path(IN_MEMORY),
            file=IN_MEMORY,
            reftype=reftype,
            sha256=_hash_of_planes(override),
            version="" if version is None else str(version),
            useafter=None,
            context="override",
            header={},
        )
        self._references.append((reftype, reference))
        self._reference_files_used.append((reftype, override.override_handle))
        return models.open(override)

    def get_reference_file(self, input_file: Any, reference_file_type: str) -> str:
        """Give the path of a reference, from the override or the local store; never asks a server."""
        override = self.get_ref_override(reference_file_type)
        if override is not None:
            return str(override)
        metadata = (
            input_file.get_crds_parameters()
            if isinstance(input_file, AbstractDataModel)
            else models.read_metadata(input_file)
        )
        return str(self.store(input_file).select(reference_file_type, metadata).path)

    def optional_reference(self, model: Any, reftype: str) -> Any:
        """Find a reference the step can do without; :class:`Skipped` says why there is none."""
        try:
            reference = self.find_reference(model, reftype)
        except MissingReferenceError as error:
            if reftype in self._required():
                raise
            raise Skipped(f"no {reftype} reference") from error
        if reference is None:
            raise Skipped(f"the {reftype} reference was overridden with N/A")
        return reference

    def needed_reference(self, model: Any, reftype: str) -> Any:
        """Find a reference the step cannot do without, unless it was overridden with N/A on purpose."""
        reference = self.find_reference(model, reftype)
        if reference is None:
            raise Skipped(f"the {reftype} reference was overridden with N/A")
        return reference

    def cut(self, reference: Any, model: Any, *names: str) -> list[Any]:
        """Give planes of a reference, cut to the window of a frame."""
        header, where = model.header_mapping(), reference.meta.filename or "reference"
        planes = {
            name: cut_window(getattr(reference, name), header, model.shape, where) for name in names
        }
        if "data" in planes:
            expect_numbers(planes["data"], where, "SCI")
        return list(planes.values())

    # --- provenance and saving ------------------------------------------------------------------------------------

    def finalize_result(self, result: Any, reference_files_used: Sequence[tuple[str, str]]) -> None:
        """Write status, receipt row and references used into a result before it is saved."""
        if not isinstance(result, models.IrisDataModel):
            return
        status, reason = self.outcome()
        if self.status:
            setattr(result.meta.cal_step, self.status, status)
        result.meta.calibration_software_version = __version__
        result.add_receipt(self._receipt_row(status, reason))
        self._record_references(result)
        result.add_calibrations(
            (kind, kind, name, "", "", "override", self.search_attr("member") or "")
            for kind, name in reference_files_used
            if name == "N/A"
        )
        stamp(result, self._contexts())

    def outcome(self) -> tuple[str, str]:
        """Give status and reason of the step's last run."""
        reason = LEFT_OUT if self.skip else self._reason
        return "FAILED" if self._failed else "SKIPPED" if reason else "COMPLETE", reason

    def _record_references(self, result: Any) -> None:
        """Add the references used to CALIBRATIONS."""
        member = self.search_attr("member") or ""
        result.add_calibrations(
            (*reference.provenance(role)[:6], member, getattr(reference, "flag", ""))
            for role, reference in self._references
        )

    def _contexts(self) -> list[tuple[str, str]]:
        """List the contexts that references were chosen by, with their checksums."""
        return [(r.context, getattr(r, "context_sha256", "")) for _, r in self._references]

    def _receipt_row(self, status: str, reason: str, step: str | None = None) -> tuple[Any, ...]:
        """Build the receipt row of this run."""
        parameters = {
            name: value
            for name, value in self.get_pars().items()
            if name not in PLUMBING and not name.startswith("override_")
        }
        return (
            step or str(self.class_alias),
            __version__,
            canonical(parameters),
            self._started,
            utc(),
            time.perf_counter() - self._clock,
            status,
            reason,
        )

    def save_model(
        self,
        model: Any,
        suffix: str | None = None,
        idx: int | None = None,
        output_file: str | None = None,
        force: bool = False,
        **components: Any,
    ) -> Any:
        """Save a result under its contract name, by rename, replacing nothing unless told to.

        Raises
        ------
        UsageError
            If one output file is asked for several results.
        """
        output_file = output_file or self.output_file
        if not force and not self.save_results and not output_file:
            return None
        if output_file and idx is not None:
            raise UsageError(
                complaint(
                    "output_file",
                    str(output_file),
                    "several results",
                    "one",
                    "give --output_dir instead",
                )
            )
        folder = Path(self.search_attr("output_dir") or Path(output_file or "").parent).expanduser()
        name = Path(output_file).name if output_file else self._product_name(model)
        path = folder / (name if name.endswith((".fits", ".fits.gz")) else f"{name}.fits")
        model.save(path, overwrite=bool(self.search_attr("overwrite")))
        logger.info("saved %s", path)
        return str(path)

    def _product_name(self, model: Any) -> str:
        """Name what a single step writes: the input's name with the step as suffix."""
        stem = (
            Path(model.meta.filename or product_name(model.header_mapping(), model.meta.data_level))
            .name.removesuffix(".gz")
            .removesuffix(".fits")
        )
        return f"{stem}_{str(self.class_alias).removeprefix('iris_')}.fits"


class IrisPipeline(Pipeline, IrisStep):  # type: ignore[misc]
    """Base of all recipes: steps that meet only here.

    An override of a pipeline (``override_dark=…``) is one of all its steps that have none of their own.
    """

    @classmethod
    def load_spec_file(cls, *args: Any, **kwargs: Any) -> Any:
        """Give the options: those of stpipe, and the overrides of the steps' references."""
        spec = super().load_spec_file(*args, **kwargs)
        for reftype in cls.types_of_references():
            spec[f"override_{reftype}"] = "is_string_or_datamodel(default=None)"
            spec.inline_comments[f"override_{reftype}"] = f"# Override the {reftype} reference file"
        return spec

    @classmethod
    def types_of_references(cls) -> list[str]:
        """List the types of references that the steps use."""
        return sorted(
            {kind for step in cls.step_defs.values() for kind in step.reference_file_types}
        )

    def get_ref_override(self, reference_file_type: str) -> Any:
        """Give the override of a type, see :meth:`IrisStep.get_ref_override`."""
        return IrisStep.get_ref_override(self, reference_file_type)

    def _precache_references(self, input_file: Any) -> None:
        """Do nothing: references are local and each step finds its own."""

    def process(self, *args: Any) -> Any:
        """Run the recipe: overridden by every pipeline."""
        raise NotImplementedError(f"{type(self).__name__} has no recipe")

    def _product_name(self, model: Any) -> str:
        """Name a product by the contract: level and identity from its header."""
        return product_name(model.header_mapping(), model.meta.data_level)
