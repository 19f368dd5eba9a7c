"""What a level 2 product is made of in real time: the frame, and sky frames from before it that are there by now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from liger_iris_pipeline.associations import Association, Engine

__all__ = ["Frame1", "Planner"]

LATER = frozenset({"background"})
"""Roles that are left to the reduction after the night: a field's other dithers are for the most part still to come."""


@dataclass(frozen=True)
class Frame1:
    """A level 1 frame as the rules see an exposure.

    Attributes
    ----------
    name : str
        Name of its file.
    header : mapping
        PRIMARY keywords of its exposure.
    sha256 : str
        Checksum of its file; empty if it was not computed.
    """

    name: str
    header: Mapping[str, Any] = field(repr=False)
    sha256: str = ""

    @property
    def stem(self) -> str:
        """Name in messages."""
        return self.name


class Planner:
    """Associates frames as they are made.

    Parameters
    ----------
    out : Path
        Folder of the products.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._engine = Engine(folder=out, past_only=True)
        self._frames: dict[str, Frame1] = {}

    def add(self, frame: Frame1) -> None:
        """Let a frame be a companion of others.

        Parameters
        ----------
        frame : Frame1
            A level 1 frame that is on disk.

        Raises
        ------
        AssociationError
            If its header cannot be used.
        """
        self._frames.setdefault(frame.name, frame)
        self._engine.register(frame)

    def association(self, frame: Frame1, calibrations: Mapping[str, Any] | None) -> Association:
        """Give the association of a science frame with what there is now.

        Parameters
        ----------
        frame : Frame1
            The frame.
        calibrations : mapping or None
            What was chosen for its block.

        Returns
        -------
        Association
            Of level 1 frames; sky frames, where there are any, were taken before it by their headers.

        Raises
        ------
        AssociationError
            If its header cannot be used.
        """
        self.add(frame)
        made = next(
            one
            for one in self._engine.associations(("level2",))
            if one.products[0].members[0].expname == frame.name
        )
        product = made.products[0]
        members = tuple(
            replace(member, sha256=self._frames[member.expname].sha256 or None)
            for member in product.members
            if member.exptype not in LATER
        )
        return replace(
            made, products=(replace(product, members=members),), calibrations=calibrations
        )
