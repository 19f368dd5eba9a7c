"""References that a product names: the very same files again, and no others."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from liger_iris_pipeline.calibration import Reference
from liger_iris_pipeline.errors import MissingReferenceError, ReplayError, complaint
from liger_iris_pipeline.models.comparison import Change
from liger_iris_pipeline.models.provenance import IN_MEMORY
from liger_iris_pipeline.pipelines.finding import FileFinder

__all__ = ["PinnedReferences"]


class PinnedReferences:
    """The references in CALIBRATIONS, found by their checksums.

    Parameters
    ----------
    product : Path
        The product, for messages.
    rows : sequence of mapping
        Its CALIBRATIONS.
    finder : FileFinder
        Finds the files.
    contexts : mapping, optional
        Checksum of a context by its name.
    absent : frozenset of str
        Types for which there was no reference where they are asked for, although an earlier level had one.
    anyway : bool
        Take a file of that name that has changed, and note it.

    Attributes
    ----------
    changes : list of Change
        References that are not what they were.
    """

    def __init__(
        self,
        product: Path,
        rows: Sequence[Mapping[str, Any]],
        finder: FileFinder,
        *,
        contexts: Mapping[str, str] | None = None,
        absent: frozenset[str] = frozenset(),
        anyway: bool = False,
    ) -> None:
        self.product = product
        self.rows = tuple(rows)
        self.finder = finder
        self.contexts = dict(contexts or {})
        self.absent = absent
        self.anyway = anyway
        self.changes: list[Change] = []

    def find(self, reftype: str, member: str) -> Reference | None:
        """Give the reference of a type that an input was treated with.

        Parameters
        ----------
        reftype : str
            Type, lower case.
        member : str
            Name of the input; empty for the science exposure.

        Returns
        -------
        Reference or None
            None where the step had been told to do without (``N/A``).

        Raises
        ------
        MissingReferenceError
            If the product names none.
        ReplayError
            If the one it names is not there, has changed or was never a file.
        """
        row = self._row(reftype, member)
        if row is None:
            raise MissingReferenceError(
                complaint(
                    self.product,
                    "CALIBRATIONS",
                    f"no {reftype} reference",
                    "the one it was made with",
                    f"give one with --override {reftype}=FILE",
                )
            )
        if row["file"] == "N/A":
            return None
        if row["file"] == IN_MEMORY:
            raise ReplayError(
                complaint(
                    self.product,
                    f"{reftype} reference",
                    "a model that was in memory",
                    "a file",
                    f"save it and give it with --override {reftype}=FILE",
                )
            )
        return self._reference(row)

    def _row(self, reftype: str, member: str) -> Mapping[str, Any] | None:
        """Pick the row of a type: that of the input, else of the science; the last level's."""
        rows = [row for row in self.rows if row["type"].lower() == reftype]
        own = [row for row in rows if member and row.get("member") == member]
        general = [row for row in rows if not row.get("member")] if not own else []
        if reftype in self.absent:
            return None
        return next(reversed([*general, *own]), None)

    def _reference(self, row: Mapping[str, Any]) -> Reference:
        """Find the file of a row and give it the row's context."""
        path = self._path(row)
        reference = Reference.from_file(path, context=str(row["context"]))
        known = {field.name for field in dataclasses.fields(reference)}
        wanted: dict[str, Any] = {
            "file": str(row["file"]),
            "flag": str(row.get("flag", "")),
            "context_sha256": self.contexts.get(str(row["context"]), ""),
        }
        return dataclasses.replace(reference, **{k: v for k, v in wanted.items() if k in known})

    def _path(self, row: Mapping[str, Any]) -> Path:
        """Find the file of a row."""
        name, sha256 = str(row["file"]), str(row["sha256"])
        what = f"{row['type']} reference"
        path, other = self.finder.need(
            name, sha256, what=what, made=self.product.name, anyway=self.anyway
        )
        if not other:
            return path
        change = Change("reference", name, sha256[:12], other[:12])
        if change not in self.changes:
            self.changes.append(change)
        return path
