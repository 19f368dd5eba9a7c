"""Masters of a night of calibration exposures.

reads ─ detector: saturation · linearity · gain · read noise · reference pixels · IPC · persistence ─┐
reads ─ level 1, with those ─ dark ─ flat ─ bad pixels ─ zero point ─ supersky ─────────────────────► store
"""

from __future__ import annotations

import importlib
import logging
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liger_iris_pipeline import models
from liger_iris_pipeline.associations import ROLES
from liger_iris_pipeline.calibration import Store
from liger_iris_pipeline.errors import (
    InputError,
    ReadError,
    ReferenceFileError,
    UsageError,
    complaint,
)
from liger_iris_pipeline.models.reads import RawExposure
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
from liger_iris_pipeline.pipelines.maker import purpose
from liger_iris_pipeline.pipelines.registry import get_steps

__all__ = ["MAKERS", "Wishes", "calibrate"]

logger = logging.getLogger(__name__)

_WINDOW = ("SUBARRAY", "SUBSTRT1", "SUBSTRT2", "SUBSIZE1", "SUBSIZE2")
_BAND = ("FILTER", "INSTMODE", "IFSSCALE", "GRATING")


@dataclass(frozen=True)
class _Maker:
    """When and from what a type is made.

    Attributes
    ----------
    reftype : str
        Type.
    alias : str
        Alias of its pipeline.
    from_frames : bool
        Whether it takes level 1 frames; else raw exposures.
    roles : tuple of str
        Roles of the exposures; all of them must be there.
    purposes : tuple of str
        CALTYPE of the exposures it takes.
    by : tuple of str
        Keywords, beside detector and window, for whose every value one is made.
    """

    reftype: str
    alias: str
    from_frames: bool = True
    roles: tuple[str, ...] = ()
    purposes: tuple[str, ...] = ("", "LAMPOFF", "LONG")
    by: tuple[str, ...] = ()


_ORDER = (
    *(
        _Maker(reftype, f"iris_create_{reftype}", from_frames=False)
        for reftype in ("saturation", "linearity", "gain", "readnoise", "refpix", "ipc")
    ),
    _Maker("dark", "iris_create_dark", roles=("dark",), by=("SAMPMODE",)),
    _Maker("flat", "iris_create_flat", roles=("flat",), purposes=("", "LAMPOFF"), by=_BAND),
    _Maker("dq", "iris_create_badpix", roles=("dark", "flat")),
    _Maker("photom", "iris_create_photom", roles=("standard",), by=_BAND),
    _Maker("supersky", "iris_create_supersky", roles=("sky",), by=_BAND),
    _Maker("persistence", "iris_create_persistence", from_frames=False),
)
"""All makers in the order in which they need each other's references."""

MAKERS = tuple(maker.reftype for maker in _ORDER)
"""Types that can be made, in the order in which they are."""

_USUAL = ("dark", "flat")
"""Types that are made of every night where nothing is said."""

_RARE = ("supersky",)
"""Types that are made only when asked for."""


@dataclass(frozen=True)
class Wishes:
    """What is to be made, and how.

    Attributes
    ----------
    types : tuple of str
        Reference types; empty: dark and flat, or all that the exposures allow where `own` is set.
    own : bool
        Use no reference but those made here.
    standards : Path, optional
        Table of standard stars, without which no zero point is made.
    keep_frames : Path, optional
        Folder in which the level 1 frames stay.
    parameters : mapping of str to mapping
        Parameters of makers, by type.
    overrides : mapping of str to path or model
        Reference to use for a type instead of the store's; as for :func:`reduce`.
    memory : int, optional
        What each maker keeps of its reads or frames in memory at a time [MiB]; default: the makers'.
    """

    types: tuple[str, ...] = ()
    own: bool = False
    standards: Path | None = None
    keep_frames: Path | None = None
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    overrides: Mapping[str, Any] = field(default_factory=dict)
    memory: int | None = None

    def chosen(self) -> tuple[str, ...]:
        """Give the types to make, in the order in which they are made.

        Raises
        ------
        UsageError
            If there is no such maker.
        """
        for name in self.types:
            if name not in MAKERS:
                known = ", ".join(MAKERS)
                raise UsageError(
                    complaint("--types", "type", name, f"one of {known}", "correct the name")
                )
        if self.types:
            return tuple(name for name in MAKERS if name in self.types)
        return tuple(name for name in MAKERS if name not in _RARE) if self.own else _USUAL


def calibrate(
    data: Path,
    out: Path,
    *,
    refs: Path | None = None,
    skip_bad_reads: bool = False,
    progress: Progress = silent,
    wishes: Wishes | None = None,
) -> list[Path]:
    """Make masters of the reads in a folder and put them into a store.

    The store also receives the references that were used on the way and are not made anew, so that it serves
    `reduce` by itself. Nothing in it is ever replaced: a second run adds new versions.

    Parameters
    ----------
    data : Path
        Folder with the reads.
    out : Path
        Store that receives the masters; made if it is not there.
    refs : Path, optional
        Store with the references they need; default as for :func:`reduce`.
    skip_bad_reads : bool
        Go on without reads that cannot be used.
    progress : callable
        Called with stage, parts done, parts in all.
    wishes : Wishes, optional
        What is to be made; default: darks and flats.

    Returns
    -------
    list of Path
        Masters in the store.

    Raises
    ------
    InputError
        If an input cannot be used or there is nothing to make masters of.
    UsageError
        If a type is asked for that there is no maker for.
    """
    wishes = wishes or Wishes()
    types = wishes.chosen()
    exposures = _exposures(data, types, skip_bad_reads=skip_bad_reads)
    source = None if wishes.own else refs_option(refs, data)
    new = not out.exists()
    out.mkdir(parents=True, exist_ok=True)
    store = Store(str(out))
    try:
        if source is not None and Path(source).resolve() != out.resolve():
            _adopt(Path(source), store, set(types))
        with _folder(wishes.keep_frames, out) as work:
            return _Run(exposures, store, work, wishes, progress).masters(types)
    except BaseException:
        if new:
            shutil.rmtree(out)
        raise


def _exposures(data: Path, types: Sequence[str], *, skip_bad_reads: bool) -> list[RawExposure]:
    """Find the calibration exposures of a folder, and others that a type needs."""
    wanted = {"DARK", "FLAT"}
    wanted |= {"STD"} if "photom" in types else set()
    wanted |= {"SKY"} if "supersky" in types else set()
    found = raw_exposures(raw_files([data]), skip_bad_reads=skip_bad_reads)
    exposures = [e for e in found if e.imtype in wanted]
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
    return exposures


@contextmanager
def _folder(kept: Path | None, out: Path) -> Iterator[Path]:
    """Give the folder for level 1 frames: one that stays, or one that goes."""
    if kept is not None:
        kept.mkdir(parents=True, exist_ok=True)
        yield kept
        return
    with tempfile.TemporaryDirectory(prefix=".calibrating-", dir=out) as work:
        yield Path(work)


def _adopt(source: Path, store: Store, made: set[str]) -> None:
    """Take the references of another store over, except types that are made anew."""
    for path in sorted(p for p in source.iterdir() if p.name.endswith(ENDINGS)):
        try:
            if str(models.read_metadata(path).get("REFTYPE")).lower() not in made:
                store.add(path)
        except ReferenceFileError as error:
            logger.warning("%s", error)


class _Run:
    """The makers one after another, each with the references of those before it."""

    def __init__(
        self,
        exposures: Sequence[RawExposure],
        store: Store,
        work: Path,
        wishes: Wishes,
        progress: Progress,
    ) -> None:
        self.exposures = exposures
        self.store = store
        self.work = work
        self.wishes = wishes
        self.progress = progress
        self.frames: dict[str, Path] = {}
        self.classes = _classes()

    def masters(self, types: Sequence[str]) -> list[Path]:
        """Make the masters of some types."""
        makers = [maker for maker in _ORDER if maker.reftype in types]
        made: list[Path] = []
        raw = [maker for maker in makers if not maker.from_frames]
        for count, maker in enumerate(makers):
            self.progress("masters", count, len(makers))
            groups = self._raw_groups(maker) if maker in raw else self._groups(maker)
            if not groups:
                self._say_none(maker)
            for group in groups:
                made += self._tried(maker, group)
        self.progress("masters", len(makers), len(makers))
        return made

    def _tried(self, maker: _Maker, group: Sequence[RawExposure]) -> list[Path]:
        """Make one master; one that nobody asked for by name may be beyond the exposures."""
        try:
            return [self._make(maker, group)]
        except InputError as error:
            if maker.reftype in (*self.wishes.types, *_USUAL):
                raise
            logger.warning("%s: not made: %s", maker.reftype, error)
            return []

    def _say_none(self, maker: _Maker) -> None:
        """Say in one line that a type is not made."""
        level = logging.WARNING if maker.reftype in self.wishes.types else logging.INFO
        what = "standards (--standards) and " if maker.reftype == "photom" else ""
        logger.log(level, "%s: not made: there are no %sexposures for it", maker.reftype, what)

    def _make(self, maker: _Maker, group: Sequence[RawExposure]) -> Path:
        """Make one master and put it into the store."""
        inputs = [str(self._frame(e)) for e in group] if maker.from_frames else list(group)
        model = self._pipeline(maker).run(*inputs)
        path = self.store.add(model.save, model.header_mapping()).path
        logger.info("%s: %s from %d exposures", maker.reftype, path.name, len(group))
        return path

    def _pipeline(self, maker: _Maker) -> Any:
        """Set a maker up."""
        parameters: dict[str, Any] = {}
        if self.wishes.memory is not None:
            parameters["memory_limit"] = self.wishes.memory
        parameters |= self.wishes.parameters.get(maker.reftype, {})
        if maker.reftype == "photom":
            parameters["standards"] = str(self.wishes.standards)
        chosen = self.classes[maker.alias]
        parameters |= overrides_for(chosen, self.wishes.overrides)
        return chosen(refs=str(self.store.path), **parameters)

    def _groups(self, maker: _Maker) -> list[list[RawExposure]]:
        """Group the exposures that a maker of frames takes; only groups with all its roles."""
        if maker.reftype == "photom" and self.wishes.standards is None:
            return []
        found: dict[tuple[str, ...], list[RawExposure]] = defaultdict(list)
        for exposure in self.exposures:
            header = exposure.first.header
            if ROLES[exposure.imtype] in maker.roles and purpose(header) in maker.purposes:
                keys = ("INSTRUME", "DETECTOR", *_WINDOW, *maker.by)
                found[tuple(str(header.get(key)) for key in keys)].append(exposure)
        return [
            group
            for group in found.values()
            if {ROLES[e.imtype] for e in group} == set(maker.roles)
        ]

    def _raw_groups(self, maker: _Maker) -> list[list[RawExposure]]:
        """Group the exposures that a maker of raw exposures takes: it says itself which."""
        if maker.alias not in self.classes:
            return []
        found: dict[tuple[str, ...], list[RawExposure]] = defaultdict(list)
        for exposure in self._pipeline(maker).inputs(self.exposures):
            keys = ("INSTRUME", "DETECTOR", *_WINDOW)
            header = exposure.first.header
            found[tuple(str(header.get(key)) for key in keys)].append(exposure)
        return list(found.values())

    def _frame(self, exposure: RawExposure) -> Path:
        """Fit the ramps of an exposure, once."""
        if exposure.name not in self.frames:
            self.progress("calibration ramps", len(self.frames), len(self.exposures))
            common: dict[str, Any] = {
                "refs": str(self.store.path),
                "save_results": True,
                "overwrite": True,
            }
            common |= overrides_for(Level1Step, self.wishes.overrides)
            step = Level1Step(**common, output_dir=str(self.work), events=False, chi2=False)
            step.run(exposure)
            self.frames[exposure.name] = self.work / file_name(exposure.first.header, 1)
        return self.frames[exposure.name]


def _classes() -> dict[str, Any]:
    """Find the makers by their aliases."""
    found = {}
    for path, alias, _ in get_steps():
        if alias.startswith("iris_create_"):
            module, _, name = path.rpartition(".")
            found[alias] = getattr(importlib.import_module(module), name)
    return found
