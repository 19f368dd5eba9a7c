"""Base of all makers: exposures of one detector, raw or reduced, become one reference.

A maker of raw exposures (level 0) is::

    class CreateGainPipeline(RawMaker):
        class_alias = "iris_create_gain"
        reftype = "gain"                   # REFTYPE in lower case
        roles = ("flat", "dark")           # members of an association that it takes
        model_class = models.GainModel
        same = ("DETECTOR", "NOUTPUTS")    # keywords in which all inputs agree
        keys = ()                          # selection keywords written into the reference

        def make(self, items):             # RawExposures
            return {"data": ..., "err": ..., "dq": ...}      # attribute of the model: plane or table

and one of frames (level 1) is a `FrameMaker`, whose ``make`` gets paths or models; ``self.opened(item)`` opens one
of them at a time. References on the way come from ``self.optional_reference(item, "linearity")`` or
``self.needed_reference(...)``, and are written down by themselves.

What a master says of its making: INPUTS are the raw reads with their roles (a frame hands on those it was made
from), RECEIPT has the rows of level 1 once and then the maker's, CALIBRATIONS all references without repetition.
CALTYPE in the header of a raw exposure says what it was taken for (see `purpose`); it is absent in plain ones.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
from stpipe.datamodel import AbstractDataModel

from liger_iris_pipeline import associations, models
from liger_iris_pipeline.algorithms.frame import Bands
from liger_iris_pipeline.associations import ROLES
from liger_iris_pipeline.calibration import exposure_date, night_start, reference_name, sha256_of
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import MissingReferenceError, ProductError, ReadError, complaint
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.models.bands import FrameBands
from liger_iris_pipeline.models.provenance import Origin, inherit, origin_of
from liger_iris_pipeline.models.reads import (
    RawExposure,
    group_exposures,
    is_usable_nominal,
    scan_reads,
)
from liger_iris_pipeline.steps.base import IrisStep, Skipped, cut_window

__all__ = ["BORDER", "FrameMaker", "Maker", "RawMaker", "purpose"]

logger = logging.getLogger(__name__)

COMMON = (
    "TELESCOP",
    "INSTRUME",
    "DETECTOR",
    "NOUTPUTS",
    "SUBARRAY",
    "SUBARRID",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
)
"""Keywords a master takes over from its inputs."""

BORDER = Flag.REFERENCE_PIXEL | Flag.NON_SCIENCE | Flag.DO_NOT_USE
"""Flags of the reference border in a master."""

Item = Any
"""A RawExposure, or the path or model of a frame."""


def purpose(header: Mapping[str, Any]) -> str:
    """Say what a calibration exposure was taken for.

    Parameters
    ----------
    header : mapping
        Its keywords.

    Returns
    -------
    str
        CALTYPE: ``LAMPOFF`` (a flat without light), ``LINEARITY`` (ramps to and beyond full well), ``LONG`` (dark),
        ``PERSISTENCE`` (light, then dark), or empty.
    """
    value = header.get("CALTYPE")
    return "" if value is None else str(value).strip().upper()


class Maker(IrisStep):
    """Inputs of one detector to one reference.

    Attributes
    ----------
    reftype : str
        Type of the reference, lower case.
    roles : tuple of str
        Roles of the members of an association that are taken.
    model_class : type
        Model of the reference.
    same : tuple of str
        Keywords in which all inputs must agree.
    keys : tuple of str
        Selection keywords written into the reference, from the first input.
    """

    reftype: ClassVar[str]
    roles: ClassVar[tuple[str, ...]]
    model_class: ClassVar[Any]
    same: ClassVar[tuple[str, ...]] = ("DETECTOR",)
    keys: ClassVar[tuple[str, ...]] = ()
    spec = """
        version = string(default='')             # REFVER of the reference; empty: the next one of the store
    """
    _version: str = ""

    def process(self, *given: Any) -> Any:
        """Make a reference.

        Parameters
        ----------
        *given : path, exposure or model
            An association (members in the roles), or what the maker is made of.

        Returns
        -------
        model
            The reference.

        Raises
        ------
        ProductError
            If there is no input, or two do not belong together.
        """
        items = self.inputs(given)
        if not items:
            raise ProductError(
                complaint(
                    "association", " or ".join(self.roles), "no members", "at least one", "add some"
                )
            )
        headers = [self.header_of(item) for item in items]
        self._expect_same(headers)
        header = self.reference_header(headers)
        self._version = header["REFVER"] = self.version or self._next_version(header)
        planes = self.make(items)
        model = self.model_class.from_header(header)
        for name, plane in planes.items():
            setattr(model, name, plane)
        self.record(model, items)
        model.meta.filename = reference_name(model.header_mapping())
        return model

    # --- what a kind of maker says --------------------------------------------------------------------------------

    def inputs(self, given: Sequence[Any]) -> list[Item]:
        """Find the inputs meant by the arguments."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its inputs are")

    def header_of(self, item: Item) -> Mapping[str, Any]:
        """Give the keywords of an input."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its inputs are")

    def record(self, model: Any, items: Sequence[Item]) -> None:
        """Write into a reference what it was made from."""
        raise NotImplementedError(f"{type(self).__name__} does not say what its inputs are")

    def make(self, items: Sequence[Item]) -> Mapping[str, Any]:
        """Make the planes and tables, by attribute of the model: overridden by every maker."""
        raise NotImplementedError(f"{type(self).__name__} does not say what it makes")

    def reference_header(self, headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Write the header of a reference: identity, validity, dates and selection keys; REFVER comes later."""
        first = headers[0]
        header = {key: first[key] for key in COMMON if first.get(key) is not None}
        header |= {key: first.get(key) or "ANY" for key in self.keys}
        dates = [exposure_date(h) for h in headers]
        earliest = min((date for date in dates if date is not None), default=datetime.now(UTC))
        header["REFTYPE"] = self.reftype.upper()
        header["USEAFTER"] = night_start(earliest).strftime("%Y-%m-%dT%H:%M:%S")
        header |= _span(headers)
        return header

    # --- what all share -------------------------------------------------------------------------------------------

    def _expect_same(self, headers: Sequence[Mapping[str, Any]]) -> None:
        """Refuse inputs that do not belong together."""
        for key in self.same:
            for header in headers[1:]:
                if header.get(key) != headers[0].get(key):
                    where = str(header.get("FILENAME") or header.get("OBS_ID"))
                    got, expected = header.get(key), headers[0].get(key)
                    raise ProductError(complaint(where, key, got, expected, "take it out"))

    def _next_version(self, header: Mapping[str, Any]) -> str:
        """Give the REFVER that the store would give."""
        try:
            return self.store(None).next_version(header)
        except MissingReferenceError:
            return "0001"

    def get_pars(self) -> dict[str, Any]:
        """Give the parameters, with the version that was used."""
        return {**super().get_pars(), "version": self._version or self.version}

    def finalize_result(self, result: Any, reference_files_used: Sequence[tuple[str, str]]) -> None:
        """Write the receipt row and the references, each once."""
        self._references = list(dict.fromkeys(self._references))
        super().finalize_result(result, list(dict.fromkeys(reference_files_used)))

    def _product_name(self, model: Any) -> str:
        return str(model.meta.filename)


class RawMaker(Maker):
    """Raw exposures to a reference: reads come from disk one by one."""

    spec = """
        skip_bad_reads = boolean(default=False)  # Go on without reads that cannot be used
        memory_limit   = integer(min=1, default=512)  # Reads in memory at a time [MiB]
    """

    def inputs(self, given: Sequence[Any]) -> list[RawExposure]:
        """Find the exposures meant by the arguments, those that the maker takes."""
        if all(isinstance(item, RawExposure) for item in given):
            exposures = list(given)
        elif len(given) == 1 and str(given[0]).endswith(".json"):
            found = associations.load(Path(str(given[0])))
            exposures = found.raw_exposures(skip_bad=self.skip_bad_reads)
        else:
            paths = [Path(str(self.make_input_path(str(item)))) for item in given]
            scan = scan_reads(paths, skip_bad=self.skip_bad_reads)
            exposures, notes = group_exposures(scan.reads)
            for note in (*scan.warnings, *notes):
                logger.warning("%s", note)
        return self.chosen([e for e in exposures if self._role(e) in self.roles])

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Pick what is of use of the exposures in the maker's roles; none if something is missing."""
        return list(exposures)

    def planes(self, item: RawExposure, reftype: str, *names: str) -> tuple[Any, ...] | None:
        """Load planes of a reference for an exposure; None, and a warning, where none fits."""
        try:
            with self.optional_reference(item, reftype) as reference:
                where = reference.meta.filename or reftype
                return tuple(
                    np.array(
                        cut_window(getattr(reference, name), item.first.header, item.shape, where)
                    )
                    for name in names
                )
        except Skipped as reason:
            logger.warning("%s: %s", self.class_alias, reason)
            return None

    def gain(self, item: RawExposure) -> Any:
        """Load the gain (ny, nx) [e-/DN]; the header's where there is no reference."""
        planes = self.planes(item, "gain", "data")
        if planes is not None:
            return planes[0]
        if not is_usable_nominal(item.first.header, "GAIN"):
            got = item.first.header.get("GAIN")
            raise ReadError(
                complaint(item.first.path, "GAIN", got, "a positive number", "make a gain first")
            )
        return np.full(item.shape, float(item.first.header["GAIN"]), np.float32)

    @staticmethod
    def _role(exposure: RawExposure) -> str:
        return ROLES.get(exposure.imtype, "")

    def header_of(self, item: RawExposure) -> Mapping[str, Any]:
        """Give the keywords of an exposure's first read."""
        return item.first.header

    def record(self, model: Any, items: Sequence[RawExposure]) -> None:
        """Write the reads into INPUTS, with their roles."""
        rows = ((r.path.name, r.sha256, self._role(item)) for item in items for r in item.reads)
        model.add_inputs(dict.fromkeys(rows))


class FrameMaker(Maker):
    """Level 1 frames to a reference: those on disk are read by bands of rows."""

    spec = """
        memory_limit = integer(min=1, default=512)  # Bands of frames in memory at a time [MiB]
    """

    @property
    def memory(self) -> int:
        """Bytes that bands of all frames take together."""
        return int(self.memory_limit) << 20

    def inputs(self, given: Sequence[Any]) -> list[Item]:
        """Find the frames meant by the arguments."""
        if len(given) == 1 and str(given[0]).endswith(".json"):
            found = associations.load(Path(str(given[0])))
            return [path for role in self.roles for path in found.files(role)]
        return [item if isinstance(item, AbstractDataModel) else Path(str(item)) for item in given]

    def header_of(self, item: Item) -> Mapping[str, Any]:
        """Give the keywords of a frame."""
        if isinstance(item, AbstractDataModel):
            header: Mapping[str, Any] = item.header_mapping()
            return header
        return models.read_metadata(item)

    @contextmanager
    def opened(self, item: Item) -> Iterator[Any]:
        """Open a frame; a model stays open."""
        if isinstance(item, AbstractDataModel):
            yield item
            return
        with self.open_model(str(item)) as model:
            yield model

    @contextmanager
    def bands(self, items: Sequence[Item]) -> Iterator[Sequence[Frame] | Bands]:
        """Read frames; those on disk by bands of rows, which are not kept."""
        paths = [item for item in items if not isinstance(item, AbstractDataModel)]
        if len(paths) < len(items):
            yield [self._whole(item) for item in items]
            return
        with FrameBands(paths) as found:
            yield found

    def _whole(self, item: Item) -> Frame:
        """Read a frame."""
        with self.opened(item) as model:
            frame: Frame = model.to_frame()
            return frame

    def record(self, model: Any, items: Sequence[Item]) -> None:
        """Hand on the reads, the receipt and the references of the frames, each once."""
        inherit(model, [self._origin(item) for item in items])

    def _origin(self, item: Item) -> Origin:
        """Note what a frame was made from, in its role; the frame itself where it does not say."""
        with self.opened(item) as frame:
            role = ROLES.get(str(frame.header_mapping().get("IMTYPE", "")), "")
            origin = origin_of(frame, role)
        if origin.inputs or isinstance(item, AbstractDataModel):
            return origin
        return origin._replace(inputs=({"file": item.name, "sha256": sha256_of(item)},))


def _span(headers: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Give number, dates and observation of the inputs, as far as they are known."""
    span: dict[str, Any] = {"NCOMBINE": len(headers)}
    ends = (("MJD-OBS", min), ("MJD-END", max))
    for key, pick in ends:
        known = [h[key] for h in headers if isinstance(h.get(key), int | float)]
        if known:
            span[key] = float(pick(known))
    observations = [str(h["OBS_ID"]) for h in headers if h.get("OBS_ID")]
    if observations:
        span["OBS_ID"] = min(observations)  # whatever the order of the inputs
    return span
