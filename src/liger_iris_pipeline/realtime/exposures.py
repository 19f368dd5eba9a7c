"""Exposures on their way from the first read to the last product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from liger_iris_pipeline.instrument.detectors import IMAGER_DETECTORS
from liger_iris_pipeline.models.naming import exposure_stem, product_name
from liger_iris_pipeline.realtime.intake import Arrival, Key

__all__ = ["STATES", "Exposure", "Stage"]

Stage = Literal["reading", "closing", "framed", "reducing", "done", "failed"]

STATES = ("waiting", "running", "done", "failed", "quarantined")
"""What an exposure, or a file, can be to the one who asks."""

REDUCED = frozenset({"SCI", "SKY"})
"""IMTYPE of the exposures that are reduced; the others are for ``iris-drs calibrate``."""


@dataclass
class Exposure:
    """The ramps of one exposure on one detector.

    Attributes
    ----------
    key : tuple
        OBS_ID, detector, EXP_NO, window.
    header : mapping
        PRIMARY keywords of a read.
    files : dict
        Its files, with when they came to where they are [s since 1970-01-01 UTC]; not those that were refused.
    reads : set
        Reads that were taken: RAMP_NO and READ_NO.
    asked : set
        Files that a worker was asked to take and has not answered for.
    inputs : dict
        What its level 1 product was made of before this process began: checksum by file name.
    stage : str
        ``reading`` (its reads come), ``closing`` (they have), ``framed`` (the level 1 product is there),
        ``reducing``, ``done``, ``failed``.
    touched : float
        When something of it came last [s, monotonic].
    deaths : int
        Workers that died over it.
    not_before : float
        When it is tried again after the disk was full [s, monotonic].
    tries : int
        How often the disk was full.
    """

    key: Key
    header: Mapping[str, Any] = field(repr=False)
    files: dict[Path, float] = field(default_factory=dict)
    reads: set[tuple[int, int]] = field(default_factory=set)
    asked: set[Path] = field(default_factory=set)
    inputs: dict[str, str] = field(default_factory=dict)
    stage: Stage = "reading"
    touched: float = 0.0
    deaths: int = 0
    not_before: float = 0.0
    tries: int = 0

    @classmethod
    def of(cls, arrival: Arrival) -> Exposure:
        """Begin with a file that has come.

        Raises
        ------
        ProductError
            If its products cannot be named.
        """
        made = cls(arrival.key, arrival.header)
        _ = made.frame_name
        return made

    @property
    def stem(self) -> str:
        """Name without level."""
        return exposure_stem(self.header)

    @property
    def frame_name(self) -> str:
        """File name of its level 1 product."""
        return product_name(self.header, 1)

    @property
    def has_recipe(self) -> bool:
        """Whether it is more than a level 1 frame that is to be made of it."""
        return self.header.get("IMTYPE") == "SCI" and self.key[1] in IMAGER_DETECTORS

    @property
    def final_name(self) -> str:
        """File name of its last product."""
        if not self.has_recipe:
            return self.frame_name
        return product_name(self.header, 2)

    @property
    def planned(self) -> int:
        """How many reads it should have; 0 where its header does not say."""
        reads, ramps = (self.header.get(key) for key in ("NUMREADS", "NUMRAMPS"))
        if not isinstance(reads, int) or reads < 1:
            return 0
        return reads * (ramps if isinstance(ramps, int) and ramps > 0 else 1)

    @property
    def is_whole(self) -> bool:
        """Whether all its reads have been taken."""
        return 0 < self.planned <= len(self.reads)

    @property
    def last_on_disk(self) -> float:
        """When the last of its files came to where it is [s since 1970-01-01 UTC]."""
        return max(self.files.values(), default=0.0)

    @property
    def state(self) -> str:
        """What it is to the one who asks: one of :data:`STATES`."""
        if self.stage in ("done", "failed"):
            return self.stage
        return "waiting" if self.stage in ("reading", "framed") else "running"

    def restart(self) -> None:
        """Forget what a worker knew of it: its files have to be taken again."""
        self.reads.clear()
        self.asked.clear()
        self.stage = "reading"
