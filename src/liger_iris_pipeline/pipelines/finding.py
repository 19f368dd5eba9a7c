"""Files of which only name and checksum are known."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from liger_iris_pipeline.calibration import sha256_of
from liger_iris_pipeline.errors import ReplayError, complaint

__all__ = ["FileFinder", "Found", "Root"]

_ENDINGS = (".fits", ".fits.gz", ".asdf", ".ecsv")


class Found(NamedTuple):
    """What a search gave.

    Attributes
    ----------
    path : Path or None
        The file with that content, whatever it is called now.
    other : Path or None
        Where there is none, a file of that name with another content.
    other_sha256 : str
        Its checksum; empty without one.
    """

    path: Path | None
    other: Path | None = None
    other_sha256: str = ""


class Root(NamedTuple):
    """A folder to look in.

    Attributes
    ----------
    path : Path
        The folder.
    depth : int
        Levels of folders below it that are looked into.
    whole : bool
        Look at the content of every file, not only of those with the name.
    """

    path: Path
    depth: int = 64
    whole: bool = True


class FileFinder:
    """Finds files by name and SHA-256.

    Parameters
    ----------
    roots : sequence of Root
        Looked into in this order. Hidden files and folders, links to folders and links that lead nowhere are left
        out.
    """

    def __init__(self, roots: Sequence[Root]) -> None:
        self.roots = tuple(roots)
        self._names: dict[str, list[Path]] | None = None
        self._contents: dict[str, Path] | None = None

    def find(self, name: str, sha256: str) -> Found:
        """Find a file.

        Parameters
        ----------
        name : str
            Base name, as a table of a product has it.
        sha256 : str
            64 hexadecimal digits.

        Returns
        -------
        Found
            A file of that name first, else any file of that content.
        """
        named = self._by_name().get(name, [])
        other = None
        for path in named:
            if sha256_of(path) == sha256.lower():
                return Found(path)
            other = other or path
        same = self._by_content().get(sha256.lower())
        if same is not None:
            return Found(same)
        return Found(None, other, sha256_of(other) if other is not None else "")

    def need(
        self, name: str, sha256: str, *, what: str, made: str, anyway: bool
    ) -> tuple[Path, str]:
        """Find a file that a product was made with.

        Parameters
        ----------
        name, sha256 : str
            As for :meth:`find`.
        what : str
            What it was to the product, for messages.
        made : str
            Name of the product.
        anyway : bool
            Be content with a file of that name that has changed.

        Returns
        -------
        path : Path
            The file.
        sha256 : str
            Its checksum where that is another one; else empty.

        Raises
        ------
        ReplayError
            If there is no such file, or it has changed.
        """
        found = self.find(name, sha256)
        if found.path is not None:
            return found.path, ""
        short = f"{sha256[:12]}…"
        if found.other is None:
            got, expected = f"nothing with SHA-256 {short}", f"the file {made} was made from"
            remedy = "name its folder with --find-in"
            raise ReplayError(complaint(name, what, got, expected, remedy))
        if not anyway:
            expected = f"{short}, the {what} {made} was made from"
            remedy = "it has changed since: find the original, or go on with --anyway"
            got = f"{found.other_sha256[:12]}…"
            raise ReplayError(complaint(name, "SHA-256", got, expected, remedy))
        return found.other, found.other_sha256

    def _by_name(self) -> dict[str, list[Path]]:
        """Index the files by the name that a table would have."""
        if self._names is None:
            self._names = {}
            for path in dict.fromkeys(p for root in self.roots for p in _files(root)):
                self._names.setdefault(_as_recorded(path.name), []).append(path)
        return self._names

    def _by_content(self) -> dict[str, Path]:
        """Index the files by checksum, once."""
        if self._contents is None:
            self._contents = {}
            for path in (p for root in self.roots if root.whole for p in _files(root)):
                self._contents.setdefault(sha256_of(path), path)
        return self._contents


def _files(root: Root) -> Iterator[Path]:
    """List the files below a folder, in the order of their names."""
    top = root.path
    base = len(top.resolve().parts)
    for folder, folders, names in os.walk(top.resolve(), followlinks=False):
        inner = len(Path(folder).parts) - base >= root.depth
        folders[:] = [] if inner else sorted(n for n in folders if not n.startswith("."))
        for name in sorted(names):
            path = Path(folder) / name
            if name.lower().endswith(_ENDINGS) and not name.startswith(".") and path.is_file():
                yield path


def _as_recorded(name: str) -> str:
    """Write a name as a FITS table holds it."""
    return "".join(c if " " <= c <= "~" else "?" for c in name)
