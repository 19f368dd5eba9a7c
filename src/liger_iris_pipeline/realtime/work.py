"""What a worker does with the reads of an exposure: fit them as they come, then make its products."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liger_iris_pipeline.errors import InputError, ReadError, complaint
from liger_iris_pipeline.models import ModelCache
from liger_iris_pipeline.models.digest import sha256_of
from liger_iris_pipeline.models.exposures import out_of_order
from liger_iris_pipeline.models.rawfile import Read, read_file
from liger_iris_pipeline.models.reads import (
    RawExposure,
    SkippedFile,
    group_exposures,
    is_copy,
    odd_geometry,
    other_read,
)
from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline
from liger_iris_pipeline.pipelines.inputs import file_name
from liger_iris_pipeline.pipelines.level1 import Fitting, Level1Step
from liger_iris_pipeline.realtime.blocks import Blocks
from liger_iris_pipeline.realtime.intake import Key
from liger_iris_pipeline.realtime.outputs import Outputs

__all__ = ["Recipe", "Workshop"]

logger = logging.getLogger(__name__)

CACHE = 1_500_000_000
"""Bytes: the references of one full detector."""


@dataclass(frozen=True)
class Recipe:
    """How exposures are reduced.

    Attributes
    ----------
    out : Path
        Folder of the products.
    refs : Path or None
        Store of references.
    overwrite : bool
        Whether products that exist are replaced.
    threads : int
        Threads of a fit.
    cache : int
        Bytes of references that a worker keeps open from exposure to exposure.
    preview : callable or None
        Draws a product: called with it and with the picture's path.
    """

    out: Path
    refs: Path | None = None
    overwrite: bool = False
    threads: int = 1
    cache: int = CACHE
    preview: Callable[[Path, Path], Any] | None = None

    def options(self) -> dict[str, Any]:
        """Give the options that steps and pipelines share."""
        return {
            "refs": None if self.refs is None else str(self.refs),
            "overwrite": self.overwrite,
            "save_results": True,
            "output_dir": str(self.out),
        }

    def blocks(self) -> Blocks:
        """Give the calibrations of the observing blocks."""
        types = {*Level1Step.reference_file_types, *ImagerLevel2Pipeline.types_of_references()}
        return Blocks(Outputs(self.out).blocks, self.refs, sorted(types))


@dataclass
class _Bench:
    """An exposure in work.

    Attributes
    ----------
    reads : dict
        Reads by ramp and number.
    step, fitting
        The fit, once its first read is there.
    fault : InputError or None
        Why it cannot be fitted, though its files are good.
    """

    reads: dict[tuple[int, int], Read] = field(default_factory=dict)
    step: Level1Step | None = None
    fitting: Fitting | None = None
    fault: InputError | None = None

    def next_read(self) -> Read | None:
        """Give the read that can be pushed: the next one of its ramp, or the first one of the next."""
        if self.fitting is None or not self.fitting.pushed:
            return self.reads.get((1, 1))
        last = self.fitting.pushed[-1]
        planned = last.header.get("NUMREADS")
        if isinstance(planned, int) and 0 < planned <= last.read_no:
            return self.reads.get((last.ramp_no + 1, 1))
        return self.reads.get((last.ramp_no, last.read_no + 1))


class Workshop:
    """Holds the exposures that a worker has in work.

    Parameters
    ----------
    recipe : Recipe
        How they are reduced.
    """

    def __init__(self, recipe: Recipe) -> None:
        self._recipe = recipe
        self._kept = ModelCache(recipe.cache)
        self._blocks = recipe.blocks()
        self._benches: dict[Key, _Bench] = {}

    def take(self, key: Key, path: Path) -> tuple[list[tuple[int, int]], list[str]]:
        """Read a file and push the reads whose turn it is.

        Parameters
        ----------
        key : tuple
            The exposure.
        path : Path
            One of its files.

        Returns
        -------
        reads : list of (int, int)
            RAMP_NO and READ_NO of the reads that are new; none for a copy.
        notes : list of str
            What is odd, though it can be used.

        Raises
        ------
        ReadError
            If the file cannot be used; the exposure is as it was.
        """
        bench = self._benches.setdefault(key, _Bench())
        reads, notes = read_file(path)
        new = [read for read in reads if self._is_new(bench, read, notes)]
        for read in new:
            bench.reads[read.ramp_no, read.read_no] = read
        if bench.fault is None:
            self._push(key, bench)
        return [(read.ramp_no, read.read_no) for read in new], notes

    def _is_new(self, bench: _Bench, read: Read, notes: list[str]) -> bool:
        """Say whether a read is to be used: not a copy, and in accord with those that are there."""
        first = next(iter(bench.reads.values()), read)
        if first.geometry != read.geometry:
            raise odd_geometry(read, first)
        other = bench.reads.get((read.ramp_no, read.read_no))
        if other is not None:
            if not is_copy(other, read):
                raise other_read(other, read)
            if other.path != read.path:
                got = f"the same read as in {other.path.name}"
                notes.append(
                    complaint(read.path, "READ_NO", got, "each read once", "it is used once")
                )
            if read.path.name < other.path.name:  # as if both had been there from the beginning
                bench.reads[read.ramp_no, read.read_no] = read
            return False
        self._expect_rising(bench, read)
        return True

    @staticmethod
    def _expect_rising(bench: _Bench, read: Read) -> None:
        """Refuse a read whose times do not fit in between those of its neighbours."""
        ramp = sorted(no for number, no in bench.reads if number == read.ramp_no)
        before = max((no for no in ramp if no < read.read_no), default=None)
        after = min((no for no in ramp if no > read.read_no), default=None)
        error = None
        if before is not None:
            error = out_of_order(bench.reads[read.ramp_no, before], read)
        if error is None and after is not None:
            other = bench.reads[read.ramp_no, after]
            if out_of_order(read, other) is not None:
                got = f"a time that does not come before that of {other.path.name}"
                error = ReadError(
                    complaint(read.path, "READTIME", got, "an earlier one", "mend the header")
                )
        if error is not None:
            raise error

    def _push(self, key: Key, bench: _Bench) -> None:
        """Push all reads whose turn it is."""
        try:
            while (read := bench.next_read()) is not None:
                if bench.step is None or bench.fitting is None:
                    bench.step = self._step(key, read)
                    bench.fitting = bench.step.begin(RawExposure(key, ((read,),)))
                bench.step.advance(bench.fitting, read)
        except InputError as error:
            bench.fault = error

    def _step(self, key: Key, read: Read) -> Level1Step:
        """Make the step of an exposure, with the calibrations of its block."""
        first = RawExposure(key, ((read,),))
        step = Level1Step(**self._recipe.options(), threads=self._recipe.threads)
        step.kept = self._kept
        step.calibrations = self._blocks.calibrations(read.obs_id, first.get_crds_parameters())
        return step

    def close(self, key: Key, left_out: Sequence[tuple[Path, str]]) -> tuple[Path, str]:
        """Make the level 1 product of an exposure of which nothing more comes.

        Parameters
        ----------
        key : tuple
            The exposure.
        left_out : sequence of (Path, str)
            Files of it that could not be used, with the reasons.

        Returns
        -------
        path : Path
            The product.
        sha256 : str
            Its checksum.

        Raises
        ------
        InputError
            If it cannot be reduced.
        DiskError
            If the product cannot be written.
        """
        bench = self._benches.pop(key)
        if bench.fault is not None:
            raise bench.fault
        (exposure,), notes = group_exposures(bench.reads.values())
        step = bench.step or self._step(key, exposure.first)
        step.begun = bench.fitting
        step.skip_bad_reads = bool(left_out)
        step.left_out = [SkippedFile(path, reason) for path, reason in left_out]
        for note in notes:
            logger.warning("%s", note)
        step.run(exposure)
        path = self._recipe.out / file_name(exposure.first.header, 1)
        return path, sha256_of(path)

    def reduce(self, association: Path) -> Path:
        """Make a level 2 product and draw it.

        Parameters
        ----------
        association : Path
            Its level 1 frames, and what was chosen for its block.

        Returns
        -------
        Path
            The product.

        Raises
        ------
        InputError
            If it cannot be reduced.
        DiskError
            If it cannot be written.
        """
        pipeline = ImagerLevel2Pipeline(**self._recipe.options())
        pipeline.kept = self._kept
        model = pipeline.run(str(association))
        path = self._recipe.out / file_name(model.header_mapping(), 2)
        if self._recipe.preview is not None:
            self._recipe.preview(path, path.with_name(f"{path.stem}_preview.png"))
        return path

    def drop(self, key: Key) -> None:
        """Forget an exposure."""
        self._benches.pop(key, None)
