"""Level 1: the reads of an exposure become a raw science frame, through the library the detectors use.

reads ─[saturation · reference pixels · linearity · gain · jumps · fit]─► one frame a ramp ─[combine]─► frame

What is done to the reads is the library's; here its options are chosen and what was done is written down.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

import iris_readout
from liger_iris_pipeline import __version__, associations, models
from liger_iris_pipeline.algorithms.ramp.read_weights import weights_of_quality
from liger_iris_pipeline.associations.members import stem_of
from liger_iris_pipeline.errors import InputError, ReadError, UsageError, complaint
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.models.clock import utc
from liger_iris_pipeline.models.naming import product_name
from liger_iris_pipeline.models.provenance import canonical, stamp
from liger_iris_pipeline.models.reads import (
    RawExposure,
    SkippedFile,
    group_exposures,
    is_usable_nominal,
    scan_reads,
)
from liger_iris_pipeline.steps.base import IrisStep, Skipped, cut_window, expect_numbers

__all__ = ["Fitting", "Level1Step"]

logger = logging.getLogger(__name__)

ROLES = {"SCI": "science", "STD": "standard", "LAMPSCAN": "lampscan"}
"""Role of reads in INPUTS where it is not IMTYPE in lower case."""

MODES = {"UTR": "utr", "CDS": "cds", "MDS": "mcds"}
"""Mode of the fit for each SAMPMODE."""

BASIS = (
    *("SAMPMODE", "NFOWLER", "REFPIX", "NOUTPUTS", "GAIN", "READNOIS", "SATURATE"),
    *("SUBARRAY", "SUBSTRT1", "SUBSTRT2", "DETSIZE1", "DETSIZE2"),
)
"""Keywords that the options of a fit follow from."""


@dataclass
class _Stages:
    """What was done to an exposure and why not: the status keywords and receipt rows of level 1."""

    rows: list[tuple[str, str, str, str, str]] = field(default_factory=list)

    def done(self, step: str, field_name: str, remark: str = "", **parameters: Any) -> None:
        """Note a stage that was carried out, and with what."""
        self.rows.append((step, field_name, canonical(parameters), "COMPLETE", remark))

    def skipped(self, step: str, field_name: str, reason: str, **parameters: Any) -> None:
        """Note a stage that was left out, why, and what was done instead."""
        self.rows.append((step, field_name, canonical(parameters), "SKIPPED", reason))


@dataclass
class Fitting:
    """An exposure whose ramps are being fitted, read by read.

    Attributes
    ----------
    stages : _Stages
        What is done to its reads.
    options : dict
        Options of the fit.
    weights : dict or None
        Weight of a read by its key.
    fitter : iris_readout.RampFitter
        Fits one ramp after the other.
    references : list
        References in the options.
    basis : tuple
        What in the header the options follow from.
    started : str
        When it was begun, ISO UTC.
    seconds : float
        Time spent on it [s]; that of waiting for reads does not count.
    pushed : list of Read
        Reads that went in, in order.
    ramps : list of iris_readout.RampResult
        Ramps that are done.
    counts : ndarray (ny, nx) uint16, or None
        The last read that was pushed: room for the next one.
    """

    stages: _Stages
    options: dict[str, Any]
    weights: dict[Any, float] | None
    fitter: iris_readout.RampFitter
    references: list[Any]
    basis: tuple[Any, ...]
    started: str
    seconds: float
    pushed: list[Any] = field(default_factory=list)
    ramps: list[Any] = field(default_factory=list)
    counts: Any = None

    def end_ramp(self) -> None:
        """Fit the ramp whose reads went in."""
        self.ramps.append(self.fitter.finish())

    def is_of(self, exposure: RawExposure) -> bool:
        """Say whether this is how the fit of an exposure begins."""
        first = exposure.reads[: len(self.pushed)]
        same = [(read.key, read.sha256) for read in self.pushed] == [
            (read.key, read.sha256) for read in first
        ]
        return same and self.weights is None and self.basis == _basis(exposure)


class Level1Step(IrisStep):
    """Fit the ramps of raw exposures: level 0 to level 1.

    Attributes
    ----------
    begun : Fitting or None
        A fit that was begun as the reads came, see :meth:`begin`.
    """

    class_alias = "iris_level1"
    reference_file_types: ClassVar[list[str]] = [
        "gain",
        "readnoise",
        "saturation",
        "linearity",
        "dq",
        "refpix",
    ]
    spec = """
        mode            = option('auto', 'utr', 'cds', 'mcds', default='auto')  # How ramps are fitted [SAMPMODE]
        estimator       = option('likelihood', 'ols', default='likelihood')     # Of utr; ols is a quick look
        nfowler         = integer(min=0, default=0)       # Reads in each mean of mcds; 0 = NFOWLER
        jump_sigma      = float(min=0, default=4.5)       # Two-sided threshold of the jump test; 0 = off
        snowballs       = boolean(default=True)           # Look for snowballs where there is a jump test
        gain            = float(min=0, default=0)         # Gain for all pixels [e-/DN]; 0 = reference, else GAIN
        read_noise      = float(min=0, default=0)         # Noise of a read for all [e-]; 0 = reference, else READNOIS
        saturation      = float(min=0, default=0)         # Level for all pixels [DN]; 0 = reference, else SATURATE
        saturation_grow = integer(min=0, default=0)       # Neighbours of a saturated pixel to mask [pixel]
        side_rows       = integer(min=0, default=11)      # Rows the side reference columns are smoothed over; 0 = off
        guide_windows   = string(default='')              # X Y NX NY of windows to mask, as SUBSTRT1 ...; ';' between
        guide_margin    = integer(min=0, default=0)       # Pixels around guide windows to mask too
        drop_reads      = int_list(default=list())        # Numbers of reads that are not used
        weight_keyword  = string(default='')              # Header keyword that reads are weighted by, as AOSTREHL
        weight_rule     = option('linear', 'threshold', default='linear')  # Value / largest; or 1 from a part of it on
        weight_part     = float(min=0, max=1, default=0.5)  # That part, for the rule threshold
        combination     = option('mean', 'sum', default='mean')  # How the ramps of an exposure are combined
        reject_sigma    = float(min=0, default=5.0)       # Ramps so far from the others are not used; 0 = off
        memory_limit    = integer(min=0, default=0)       # Bytes of reads kept before they are folded; 0 = 1.5e9
        keep_reads      = boolean(default=False)          # Keep reads where sums would do
        max_events      = integer(min=0, default=0)       # Room for events; 0 = four a pixel
        isa             = option('auto', 'baseline', 'avx2', 'avx512', default='auto')  # Instruction set [IRIS_ISA]
        threads         = integer(min=0, default=0)       # Threads of the fit; 0 = as many as processors
        chi2            = boolean(default=True)           # Write the CHI2 plane
        events          = boolean(default=True)           # Write the EVENTS table
        skip_bad_reads  = boolean(default=False)          # Go on without reads that cannot be used
    """

    left_out: Sequence[SkippedFile] = ()
    begun: Fitting | None = None

    def process(self, *args: Any) -> Any:
        """Reduce exposures.

        Parameters
        ----------
        *args : RawExposure, or paths
            An exposure; an association (level 0 members); or raw files. One raw file stands for all reads of its
            exposure that lie beside it, several stand for themselves.

        Returns
        -------
        ImagerFrameModel or list of ImagerFrameModel
            One frame per exposure and detector.
        """
        frames = [self._reduce(exposure) for exposure in self._exposures(args)]
        return frames[0] if len(frames) == 1 else frames

    def finalize_result(self, result: Any, reference_files_used: Sequence[tuple[str, str]]) -> None:
        """Leave the result as it is: each exposure has its own provenance already."""

    def _product_name(self, model: Any) -> str:
        return product_name(model.header_mapping(), 1)

    # --- what to reduce -------------------------------------------------------------------------------------------

    def _exposures(self, given: Sequence[Any]) -> list[RawExposure]:
        """Find the exposures meant by the arguments."""
        if all(isinstance(item, RawExposure) for item in given):
            return list(given)
        paths = [Path(str(self.make_input_path(str(item)))) for item in given]
        if len(paths) == 1 and paths[0].suffix == ".json":
            files = sorted(set(associations.load(paths[0]).files()))
        else:
            files = self._siblings(paths[0]) if len(paths) == 1 else paths
        scan = scan_reads(files, skip_bad=self.skip_bad_reads)
        self.left_out = scan.skipped
        exposures, notes = group_exposures(scan.reads)
        for note in (*scan.warnings, *notes):
            logger.warning("%s", note)
        if len(paths) == 1 and paths[0].suffix != ".json":
            exposures = [
                e
                for e in exposures
                if any(read.path == paths[0] for ramp in e.ramps for read in ramp)
            ]
        return exposures

    @staticmethod
    def _siblings(path: Path) -> list[Path]:
        """List the files beside a read that belong to its exposure; a cube stands for itself."""
        wanted = models.reads.identity(path)
        if wanted is None:
            return [path]
        beside = sorted(p for p in path.parent.iterdir() if p.name.endswith((".fits", ".fits.gz")))
        return [p for p in beside if p == path or models.reads.identity(p) == wanted]

    # --- one exposure ---------------------------------------------------------------------------------------------

    def begin(self, exposure: RawExposure) -> Fitting:
        """Begin the fit of an exposure while its reads still come.

        Parameters
        ----------
        exposure : RawExposure
            What there is of it: at least its first read, whose header says how it is fitted.

        Returns
        -------
        Fitting
            To be given reads with :meth:`advance`; put into :attr:`begun`, it is gone on with when the step runs on
            the whole exposure.

        Raises
        ------
        InputError
            If header or references do not allow a fit.
        """
        started, clock = utc(), time.perf_counter()
        self._references = []
        self._reference_files_used: list[tuple[str, str]] = []
        stages = _Stages()
        options = self._options(exposure, stages)
        weights = self._weights(exposure)
        options["keep_reads"] = self.keep_reads or weights is not None
        return Fitting(
            stages,
            options,
            weights,
            iris_readout.RampFitter(exposure.shape, **options),
            references=self._references,
            basis=_basis(exposure),
            started=started,
            seconds=time.perf_counter() - clock,
        )

    def advance(self, fitting: Fitting, read: Any) -> None:
        """Push a read; one of another ramp ends the ramp before it.

        Parameters
        ----------
        fitting : Fitting
            From :meth:`begin`.
        read : Read
            The next one in the order of RAMP_NO and READ_NO.
        """
        clock = time.perf_counter()
        if fitting.pushed and fitting.pushed[-1].ramp_no != read.ramp_no:
            fitting.end_ramp()
        fitting.counts = read.load(out=fitting.counts)  # the fitter keeps a copy
        fitting.fitter.push(
            fitting.counts,
            read.time,
            weight=1.0 if fitting.weights is None else fitting.weights.get(read.key, 1.0),
            dropped=read.read_no in self.drop_reads,
        )
        fitting.pushed.append(read)
        fitting.seconds += time.perf_counter() - clock

    def _reduce(self, exposure: RawExposure) -> Any:
        """Fit and combine the ramps of one exposure and write down how."""
        _expect_ramps(exposure)
        fitting = self._begun(exposure)
        self._references = fitting.references
        clock = time.perf_counter() - fitting.seconds
        for read in exposure.reads[len(fitting.pushed) :]:
            self.advance(fitting, read)
        fitting.end_ramp()
        result = fitting.ramps[0] if len(fitting.ramps) == 1 else self._combine(fitting.ramps)
        stages, options = _Stages(), fitting.options
        self._note_ingest(exposure, stages)
        stages.rows += fitting.stages.rows
        self._note_fit(exposure, stages, options, fitting.fitter)
        kind = models.IFSFrameModel if exposure.detector == "IFS" else models.ImagerFrameModel
        model = kind.from_header(exposure.header)
        model.set_frame(Frame(result.rate, result.var_read, result.var_photon, result.dq))
        if self.chi2 and self._has_chi2(options):
            model.chi2 = result.chi2
        if self.events:
            model.events = result.events
        model.telemetry = exposure.telemetry
        model.meta.data_level = 1
        model.meta.calibration_software_version = __version__
        model.meta.last_read = exposure.last_on_disk
        times = (fitting.started, utc(), time.perf_counter() - clock)
        self._record(model, exposure, stages, times)
        return model

    def _begun(self, exposure: RawExposure) -> Fitting:
        """Give the fit that was begun, if it is that of this exposure as it now is; else a new one."""
        begun, self.begun = self.begun, None
        if begun is not None and begun.is_of(exposure):
            return begun
        return self.begin(exposure)

    def _combine(self, ramps: Sequence[Any]) -> Any:
        return iris_readout.combine_ramps(
            ramps, combination=self.combination, reject_sigma=self.reject_sigma or None
        )

    @staticmethod
    def _has_chi2(options: dict[str, Any]) -> bool:
        """Whether the fit has a chi-square: sums alone have none."""
        if options["mode"] != "utr":
            return False
        sums = options["estimator"] == "ols" and options["jump_sigma"] is None
        return not sums or bool(options["keep_reads"])

    def _weights(self, exposure: RawExposure) -> dict[Any, float] | None:
        """Give the weight of every read by the rule; None where reads are not weighted."""
        if not self.weight_keyword:
            return None
        weighed = self._weighed_reads(exposure)
        quality = [self._weight_value(read) for read in weighed]
        part = self.weight_part if self.weight_rule == "threshold" else None
        try:
            weights = weights_of_quality(quality, part)
        except InputError as error:
            raise ReadError(
                complaint(
                    exposure.first.path,
                    self.weight_keyword,
                    "no value above 0",
                    "some",
                    "weight by another keyword or not at all",
                )
            ) from error
        return {read.key: float(weight) for read, weight in zip(weighed, weights, strict=True)}

    def _weighed_reads(self, exposure: RawExposure) -> list[Any]:
        """List the reads that charge was collected before: all that are used but the first of each ramp."""
        used = [[r for r in ramp if r.read_no not in self.drop_reads] for ramp in exposure.ramps]
        return [read for ramp in used for read in ramp[1:]]

    def _weight_value(self, read: Any) -> float:
        """Read the keyword of a read that weighs it."""
        value = read.header.get(self.weight_keyword)
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < np.inf:
            return float(value)
        got = "nothing" if value is None else repr(value)
        raise ReadError(
            complaint(
                read.path,
                self.weight_keyword,
                got,
                "a number of at least 0 in every read",
                "weight by another keyword or not at all",
            )
        )

    def _note_ingest(self, exposure: RawExposure, stages: _Stages) -> None:
        """Note which reads went in, and which files were left out."""
        own = [item for item in self.left_out if _belongs(item.path, exposure)]
        stages.done(
            "ingest",
            "",
            "; ".join(f"left out {item.reason}" for item in own),
            ramps=len(exposure.ramps),
            reads=len(exposure.reads),
            skip_bad_reads=self.skip_bad_reads,
            skipped=[item.path.name for item in own],
        )

    def _note_fit(
        self,
        exposure: RawExposure,
        stages: _Stages,
        options: dict[str, Any],
        fitter: iris_readout.RampFitter,
    ) -> None:
        """Note how the ramps were fitted, and say what was lost or folded."""
        rule = "linear" if self.weight_rule == "linear" else f"threshold={self.weight_part:g}"
        utr = options["mode"] == "utr"
        dropped = {r.read_no for r in exposure.reads}.intersection(self.drop_reads)
        stages.done(
            "ramp",
            "ramp",
            aborted=exposure.is_aborted,
            combination=self.combination,
            dropped=sorted(dropped),
            estimator=options["estimator"] if utr else None,
            folding=round(fitter.folding, 3),
            guide_margin=self.guide_margin,
            guide_windows=self._guide(),
            isa=fitter.isa,
            keep_reads=options["keep_reads"],
            max_events=self.max_events,
            memory_limit=self.memory_limit,
            mode=options["mode"],
            nfowler=options.get("nfowler", 1),
            read_noise="reference" if np.ndim(options["read_noise"]) else options["read_noise"],
            reads=[len(ramp) for ramp in exposure.ramps],
            reject_sigma=self.reject_sigma or None,
            weights={"keyword": self.weight_keyword, "rule": rule} if self.weight_keyword else None,
        )
        if fitter.folding > 1:
            logger.warning(
                "%s: reads did not fit into memory and were folded, %.3g a resultant",
                exposure.stem,
                fitter.folding,
            )
        if fitter.lost_events:
            logger.warning("%s: there was no room for %d events", exposure.stem, fitter.lost_events)

    # --- options and references -----------------------------------------------------------------------------------

    def _options(self, exposure: RawExposure, stages: _Stages) -> dict[str, Any]:
        """Turn parameters, header and references into the options of the fit."""
        header = exposure.header
        mode = MODES[str(header["SAMPMODE"])] if self.mode == "auto" else self.mode
        ref_pixels = int(header.get("REFPIX", 0))
        options: dict[str, Any] = {
            "mode": mode,
            "estimator": self.estimator,
            "ref_pixels": ref_pixels,
            "noutputs": int(header.get("NOUTPUTS", 1)),
            "side_rows": self.side_rows,
            "saturation_grow": self.saturation_grow,
            "snowballs": self.snowballs,
            "isa": self.isa,
            "memory_limit": self.memory_limit,
            "max_events": self.max_events,
            "nthreads": self.threads,
            "guide_windows": self._guide_on_reads(header, exposure.shape),
            "jump_sigma": self.jump_sigma if self.jump_sigma > 0 and mode == "utr" else None,
            "gain": self._from_reference_or_header(exposure, "gain", "GAIN", "e-/DN", stages),
            "read_noise": self._from_reference_or_header(
                exposure, "readnoise", "READNOIS", "e-", stages
            ),
            "bad_pixels": self._bad_pixels(exposure, stages),
            "saturation": self._saturation(exposure, stages),
            "linearity": self._linearity(exposure, stages),
        }
        if mode == "mcds":
            options["nfowler"] = self.nfowler or int(header.get("NFOWLER", 1))
        if ref_pixels:
            options["ref_weights"] = self._ref_weights(exposure)
            stages.done(
                "refpix",
                "refpix",
                ref_pixels=ref_pixels,
                noutputs=options["noutputs"],
                side_rows=self.side_rows,
                weights="reference" if options["ref_weights"] else None,
            )
        else:
            stages.skipped("refpix", "refpix", "the reads have no reference pixels (REFPIX 0)")
        if options["jump_sigma"]:
            stages.done("jump", "jump", jump_sigma=self.jump_sigma, snowballs=self.snowballs)
        else:
            stages.skipped(
                "jump", "jump", "switched off" if mode == "utr" else f"{mode} has no test for jumps"
            )
        return options

    def _ref_weights(self, exposure: RawExposure) -> tuple[Any, Any] | None:
        """Load the kernels of the reference columns; None where no reference fits."""
        try:
            with self.optional_reference(exposure, "refpix") as reference:
                left = np.ascontiguousarray(reference.left, np.float32)
                return left, np.ascontiguousarray(reference.right, np.float32)
        except Skipped:
            return None

    def _plane(self, exposure: RawExposure, reftype: str, *names: str) -> tuple[Any, ...] | None:
        """Load planes of an optional reference, cut to the exposure's window; None where no reference fits."""
        try:
            with self.optional_reference(exposure, reftype) as reference:
                where = reference.meta.filename or reftype
                planes = tuple(
                    cut_window(getattr(reference, name), exposure.header, exposure.shape, where)
                    for name in names
                )
                if reftype in ("gain", "readnoise"):
                    expect_numbers(planes[0], where, "SCI", above=0.0)
                return planes
        except Skipped:
            return None

    def _from_reference_or_header(
        self, exposure: RawExposure, reftype: str, keyword: str, unit: str, stages: _Stages
    ) -> Any:
        """Take gain or read noise from the option, else from the reference, else from the header."""
        if option := self.gain if reftype == "gain" else self.read_noise:
            if reftype == "gain":
                stages.done("gain", "gain", source="option", gain=option)
            return option
        planes = self._plane(exposure, reftype, "data")
        if planes is not None:
            if reftype == "gain":
                stages.done("gain", "gain", source="reference")
            return np.ascontiguousarray(planes[0], np.float32)
        value = exposure.header.get(keyword, exposure.first.header.get(keyword))
        if not is_usable_nominal(exposure.header, keyword):
            got = "nothing" if value is None else value
            first = exposure.ramps[0][0].path
            raise ReadError(
                complaint(
                    first,
                    keyword,
                    got,
                    f"a positive number [{unit}]",
                    f"mend the header or add a {reftype} reference to the store",
                )
            )
        logger.info("%s: %s %s from the header", exposure.stem, keyword, value)
        if reftype == "gain":
            stages.done("gain", "gain", source="header", gain=float(value))
        return float(value)

    def _bad_pixels(self, exposure: RawExposure, stages: _Stages) -> Any:
        planes = self._plane(exposure, "dq", "dq")
        if planes is None:
            self._say_skipped(exposure, stages, "dq_init", "dqinit", "no dq reference")
            return None
        stages.done("dq_init", "dqinit")
        return np.ascontiguousarray(planes[0], np.uint32)

    def _saturation(self, exposure: RawExposure, stages: _Stages) -> Any:
        grow = self.saturation_grow
        if self.saturation:
            stages.done(
                "saturation", "satur", source="option", level=self.saturation, saturation_grow=grow
            )
            return self.saturation
        planes = self._plane(exposure, "saturation", "data")
        if planes is not None:
            stages.done("saturation", "satur", source="reference", saturation_grow=grow)
            return np.ascontiguousarray(planes[0], np.float32)
        nominal = exposure.header.get("SATURATE")
        level = float(nominal) if is_usable_nominal(exposure.header, "SATURATE") else 65535.0
        self._say_skipped(
            exposure,
            stages,
            "saturation",
            "satur",
            f"no saturation reference; the level is {level:g} DN for all pixels",
            level=level,
            saturation_grow=grow,
            source="header",
        )
        return level

    def _linearity(self, exposure: RawExposure, stages: _Stages) -> Any:
        planes = self._plane(exposure, "linearity", "coeffs", "limit", "pedestal")
        if planes is None:
            self._say_skipped(exposure, stages, "linearity", "linear", "no linearity reference")
            return None
        stages.done("linearity", "linear", ncoef=int(planes[0].shape[0]))
        return planes

    @staticmethod
    def _say_skipped(
        exposure: RawExposure,
        stages: _Stages,
        step: str,
        field_name: str,
        reason: str,
        **parameters: Any,
    ) -> None:
        """Skip a stage with a reason and a warning."""
        stages.skipped(step, field_name, reason, **parameters)
        logger.warning("%s: %s skipped: %s", exposure.stem, step, reason)

    def _record(
        self, model: Any, exposure: RawExposure, stages: _Stages, times: tuple[str, str, float]
    ) -> None:
        """Write status keywords, receipt, references and inputs into the frame."""
        start, end, seconds = times
        for step, name, parameters, status, reason in stages.rows:
            if name:
                setattr(model.meta.cal_step, name, status)
            spent = seconds if step == "ramp" else 0.0
            model.add_receipt((step, __version__, parameters, start, end, spent, status, reason))
        model.add_receipt(self._receipt_row("COMPLETE", ""))
        self._record_references(model)
        seen = {read.path.name: read.sha256 for ramp in exposure.ramps for read in ramp}
        role = ROLES.get(exposure.imtype, exposure.imtype.lower())
        model.add_inputs((name, sha256, role) for name, sha256 in seen.items())
        stamp(model, self._contexts())

    # --- guide windows --------------------------------------------------------------------------------------------

    def _guide(self) -> list[list[int]]:
        """Read the guide windows: x, y, nx, ny of each on the detector, 1-based."""
        numbers = [int(number) for number in re.findall(r"\d+", self.guide_windows)]
        odd = re.sub(r"[\d\s,;]", "", self.guide_windows)
        if odd or len(numbers) % 4 or 0 in numbers:
            raise UsageError(
                complaint(
                    "iris_level1",
                    "guide_windows",
                    repr(self.guide_windows),
                    "four numbers above 0 for each window: X Y NX NY",
                    "correct them",
                )
            )
        return [numbers[at : at + 4] for at in range(0, len(numbers), 4)]

    def _guide_on_reads(self, header: Any, shape: tuple[int, int]) -> list[tuple[int, ...]]:
        """Give the guide windows with their margin as parts (y, x, ny, nx) of the reads."""
        full = [int(header.get(f"DETSIZE{axis}", shape[2 - axis])) for axis in (1, 2)]
        start = [int(header.get(f"SUBSTRT{axis}", 1)) for axis in (1, 2)]
        found: list[tuple[int, ...]] = []
        for window in self._guide():
            ends = [window[axis] + window[axis + 2] - 1 for axis in (0, 1)]
            if ends[0] > full[0] or ends[1] > full[1]:
                raise UsageError(
                    complaint(
                        "iris_level1",
                        "guide_windows",
                        " ".join(map(str, window)),
                        f"one inside the {full[0]} x {full[1]} pixels of the detector",
                        "correct it",
                    )
                )
            low = [max(window[i] - start[i] - self.guide_margin, 0) for i in (0, 1)]
            high = [min(ends[i] - start[i] + 1 + self.guide_margin, shape[1 - i]) for i in (0, 1)]
            if high[0] > low[0] and high[1] > low[1]:
                found.append((low[1], low[0], high[1] - low[1], high[0] - low[0]))
        return found


def _basis(exposure: RawExposure) -> tuple[Any, ...]:
    """Give what in the header of an exposure the options of its fit follow from."""
    return (exposure.shape, *(exposure.header.get(key) for key in BASIS))


def _expect_ramps(exposure: RawExposure) -> None:
    """Refuse a ramp of one read."""
    for ramp in exposure.ramps:
        if len(ramp) < 2:
            raise ReadError(
                complaint(
                    ramp[0].path,
                    "READ_NO",
                    "one read in the ramp",
                    "at least two",
                    "find the other reads or leave the exposure out",
                )
            )


def _belongs(path: Path, exposure: RawExposure) -> bool:
    """Say whether a file that could not be used is of an exposure: by its name, else by its folder."""
    stem = stem_of(path.name)
    if len(stem) == 1:
        return path.parent == exposure.first.path.parent
    return stem == stem_of(exposure.name)
