"""The store of reference files: a folder, and which of its files applies to an exposure."""

from __future__ import annotations

import fcntl
import logging
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from liger_iris_pipeline.calibration.integrity import (
    MANIFEST,
    fault_in,
    format_manifest,
    read_manifest,
    sha256_of,
)
from liger_iris_pipeline.calibration.reference import (
    Entry,
    Reference,
    examine,
    name_prefix,
    reference_name,
)
from liger_iris_pipeline.calibration.rulebook import CONTEXT, Rulebook, load_rulebook
from liger_iris_pipeline.calibration.selection import Question, judge, natural_order
from liger_iris_pipeline.errors import (
    MissingReferenceError,
    ReferenceFileError,
    UsageError,
    complaint,
)

__all__ = ["Candidate", "Store", "find_store"]

logger = logging.getLogger(__name__)

_ENDINGS = (".fits", ".fits.gz")
_SHOWN = 5  # candidates named in a message


class Candidate(NamedTuple):
    """A file that was looked at, and why it does not fit; the reason is None if it does."""

    file: str
    reason: str | None


class Store:
    """A folder of reference files.

    Any folder of FITS files whose headers follow the rules for references will do. Where it holds
    a manifest ``SHA256SUMS``, the files named there are verified when they are used.

    Parameters
    ----------
    path : str or Path
        The folder. Sub-folders and hidden files are not looked at.
    context : str, optional
        Rules to choose by.
    create : bool, optional
        Make the folder if it is not there.

    Raises
    ------
    ReferenceFileError
        If the folder is not there.
    """

    def __init__(self, path: str | Path, *, context: str = CONTEXT, create: bool = False) -> None:
        self.path = Path(path)
        self.rulebook: Rulebook = load_rulebook(context)
        self._warned: set[str] = set()
        if create:
            with _writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        if not self.path.is_dir():
            raise ReferenceFileError(
                complaint(
                    str(self.path),
                    "folder",
                    "nothing",
                    "a folder of reference files",
                    "name it with --refs",
                )
            )

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, context={self.rulebook.context!r})"

    def select(self, reftype: str, metadata: Mapping[str, Any]) -> Reference:
        """Choose the reference that applies to an exposure.

        The choice depends on headers and file names alone, never on the order in which a folder
        lists its files: most exact agreements, then newest USEAFTER, then highest REFVER (``10``
        is higher than ``9``), then last file name.

        Parameters
        ----------
        reftype : str
            Type, upper or lower case.
        metadata : mapping
            PRIMARY keywords of the exposure.

        Returns
        -------
        Reference
            The file, verified against the manifest if that names it.

        Raises
        ------
        ReferenceFileError
            If no file fits, or if the one that does was changed since it was added.
        """
        question = self._ask(reftype, metadata)
        fits, misfits = self._weigh(question)
        broken = []
        for entry in fits:
            fault = fault_in(entry.path)
            if fault is None:
                return Reference.from_entry(
                    entry, self._verified(entry.path), self.rulebook.context
                )
            logger.warning("%s %s; the next best one is looked for", entry.path.name, fault)
            broken.append(Candidate(entry.path.name, fault))
        raise MissingReferenceError(self._nothing_fits(question, [*broken, *misfits]))

    def candidates(self, reftype: str, metadata: Mapping[str, Any]) -> list[Candidate]:
        """List what the store has of a type and why each does or does not fit an exposure.

        Parameters
        ----------
        reftype : str
            Type, upper or lower case.
        metadata : mapping
            PRIMARY keywords of the exposure.

        Returns
        -------
        list of Candidate
            Those that fit, best first, then the others, nearest miss first, files whose type
            cannot be told last.
        """
        fits, misfits = self._weigh(self._ask(reftype, metadata))
        weighed = [Candidate(entry.path.name, fault_in(entry.path)) for entry in fits]
        return sorted([*weighed, *misfits], key=lambda candidate: candidate.reason is not None)

    def add(
        self,
        source: str | Path | Callable[[Path], object],
        header: Mapping[str, Any] | None = None,
    ) -> Reference:
        """Take a reference file into the store, under the name its header gives it.

        The file appears at its name in one instant and complete, its checksum in the manifest. A
        name stands for one content for ever: the same file again is accepted, another refused.

        Parameters
        ----------
        source : str, Path or callable
            A file, which is copied, or a function that writes one at the path it is given
            (``model.save``).
        header : mapping, optional
            Keywords that name the file, needed with a function.

        Returns
        -------
        Reference
            The file in the store.

        Raises
        ------
        ReferenceFileError
            If the file cannot be read whole, lacks a keyword, would replace another one or cannot
            be written.
        """
        with (
            _writing(self.path),
            tempfile.TemporaryDirectory(prefix=".adding-", dir=self.path) as folder,
        ):
            staged = _stage(source, header, Path(folder))
            entry = examine(staged)
            fault = entry.fault or fault_in(staged)
            if fault is not None:
                raise ReferenceFileError(
                    complaint(
                        staged, "file", f"one that {fault}", "a reference file", "write it anew"
                    )
                )
            ending = ".gz" if staged.suffix == ".gz" else ""
            final = self.path / (reference_name(entry.header) + ending)
            self._publish(staged, final)
        return Reference.from_entry(examine(final), sha256_of(final), self.rulebook.context)

    def next_version(self, header: Mapping[str, Any]) -> str:
        """Give the lowest REFVER above all that the store has for a type, detector and date.

        Parameters
        ----------
        header : mapping
            PRIMARY keywords INSTRUME, DETECTOR, REFTYPE, USEAFTER.

        Returns
        -------
        str
            ``0001`` for the first.
        """
        prefix = name_prefix(header) + "_"
        names = {*read_manifest(self.path), *(path.name for path in self._files())}
        versions = [
            name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)
        ]
        highest = max((int(version) for version in versions if version.isdecimal()), default=0)
        return f"{highest + 1:04d}"

    def _ask(self, reftype: str, metadata: Mapping[str, Any]) -> Question:
        """Put a question, or say which keyword of the exposure it lacks."""
        question = Question.about(self.rulebook.rule(reftype), metadata)
        if question.missing:
            raise ReferenceFileError(
                complaint(
                    str(metadata.get("FILENAME") or "exposure"),
                    ", ".join(question.missing),
                    "nothing that can be used",
                    f"what a {reftype.upper()} reference is chosen by",
                    "repair the header",
                )
            )
        return question

    def _files(self) -> list[Path]:
        """List the reference files of the folder."""
        try:
            names = [item.name for item in self.path.iterdir() if not item.is_dir()]
        except OSError as error:
            raise ReferenceFileError(
                complaint(
                    str(self.path),
                    "folder",
                    error.strerror,
                    "a folder that can be read",
                    "name it with --refs",
                )
            ) from error
        return [
            self.path / name
            for name in sorted(names)
            if name.lower().endswith(_ENDINGS) and name[0] != "."
        ]

    def _entries(self) -> Iterator[Entry]:
        """Describe every file, saying once which ones are broken."""
        for path in self._files():
            entry = examine(path)
            if entry.fault is not None and path.name not in self._warned:
                self._warned.add(path.name)
                logger.warning("%s %s; it is not used", path.name, entry.fault)
            yield entry

    def _weigh(self, question: Question) -> tuple[list[Entry], list[Candidate]]:
        """Part the files of a type into those that fit, best first, and the others."""
        fits: list[tuple[Any, Entry]] = []
        misfits: list[tuple[Any, Candidate]] = []
        for entry in self._entries():
            name = entry.path.name
            if entry.reftype not in (question.rule.reftype, None):
                continue
            if entry.fault is not None or entry.useafter is None:
                misfits.append(((entry.reftype is None, 0, name), Candidate(name, entry.fault)))
                continue
            verdict = judge(question, entry.header, entry.useafter)
            if verdict.failures:
                order = (False, len(verdict.failures), name)
                misfits.append((order, Candidate(name, ", ".join(verdict.failures))))
            else:
                fits.append(
                    ((verdict.exact, entry.useafter, natural_order(entry.version), name), entry)
                )
        fits.sort(key=lambda item: item[0], reverse=True)
        misfits.sort(key=lambda item: item[0])
        lost = self._lost(question.rule.reftype)
        return [entry for _, entry in fits], [*(candidate for _, candidate in misfits), *lost]

    def _lost(self, reftype: str) -> list[Candidate]:
        """List files of a type, by their names, that the manifest has and the folder lacks."""
        lost = set(read_manifest(self.path)) - {path.name for path in self._files()}
        reason = f"is not there, although {MANIFEST} lists it"
        return [Candidate(name, reason) for name in sorted(lost) if f"_{reftype.upper()}_" in name]

    def _verified(self, path: Path) -> str:
        """Give the checksum of a file, refusing it if the manifest says another one."""
        listed, found = read_manifest(self.path).get(path.name), sha256_of(path)
        if listed not in (None, found):
            raise ReferenceFileError(
                complaint(
                    path,
                    "SHA-256",
                    f"{found[:12]}…",
                    f"{listed[:12]}… as {MANIFEST} lists it" if listed else "",
                    "the file was changed or damaged after it was added: put the original back, "
                    f"or take out both the file and its line in {self.path / MANIFEST}",
                )
            )
        return found

    def _nothing_fits(self, question: Question, misfits: list[Candidate]) -> str:
        """Write the message that no reference fits."""
        kind = question.rule.reftype.upper()
        if misfits:
            told = "; ".join(
                f"{candidate.file}: {candidate.reason}" for candidate in misfits[:_SHOWN]
            )
            more = f"; and {len(misfits) - _SHOWN} more" if len(misfits) > _SHOWN else ""
            got = f"{len(misfits)} that cannot be used ({told}{more})"
        else:
            got = f"none of this type in {len(self._files())} reference files"
        skip = (
            f", or leave the step out with --skip {question.rule.step}"
            if question.rule.step
            else ""
        )
        return complaint(
            str(self.path),
            f"{kind} reference",
            got,
            f"one for {question}",
            f"make one with `iris-drs calibrate`, name another folder with --refs{skip}",
        )

    def _publish(self, staged: Path, final: Path) -> None:
        """Move a staged file to its name and list it in the manifest."""
        sha256 = sha256_of(staged)
        with _locked(self.path):
            sums = read_manifest(self.path)
            present = sha256_of(final) if final.exists() else sha256
            if {present, sums.get(final.name, sha256)} != {sha256}:
                raise ReferenceFileError(
                    complaint(
                        final,
                        "content",
                        "another one",
                        "the one the store has",
                        "give it a new REFVER",
                    )
                )
            if not final.exists():
                _flush(staged)
                staged.replace(final)
            if final.name not in sums:
                manifest = staged.with_name(MANIFEST)
                manifest.write_text(format_manifest({**sums, final.name: sha256}), "utf-8")
                _flush(manifest)
                manifest.replace(self.path / MANIFEST)


def find_store(
    explicit: str | Path | None = None,
    data_dir: str | Path | None = None,
    *,
    context: str = CONTEXT,
) -> Store:
    """Find the store to use.

    It is the one named, else ``$IRIS_REFS``, else ``refs`` in or beside the folder of the data.

    Parameters
    ----------
    explicit : str or Path, optional
        The folder that was named (``--refs``).
    data_dir : str or Path, optional
        Folder of the data.
    context : str, optional
        Rules to choose by.

    Returns
    -------
    Store
        The first that is there.

    Raises
    ------
    ReferenceFileError
        If the named folder or ``$IRIS_REFS`` is not there, or if there is none of them; lists where
        it was looked for.
    """
    if explicit is not None:
        return Store(explicit, context=context)
    named = os.environ.get("IRIS_REFS")
    if named:
        if not Path(named).is_dir():
            raise ReferenceFileError(
                complaint(
                    "$IRIS_REFS",
                    "folder",
                    f"nothing at {named}",
                    "a folder of reference files",
                    "correct it",
                )
            )
        return Store(named, context=context)
    beside: list[Path] = []
    if data_dir is not None:
        folder = Path(data_dir).resolve()
        beside = [folder / "refs", folder.parent / "refs"]
    for place in beside:
        if place.is_dir():
            return Store(place, context=context)
    looked = ", ".join(
        ["--refs (not given)", "$IRIS_REFS (not set)", *(str(place) for place in beside)]
    )
    raise MissingReferenceError(
        complaint(
            "reference files",
            "folder",
            f"none at {looked}",
            "a folder of reference files",
            "make one with `iris-drs calibrate`, or name one with --refs",
        )
    )


def _stage(
    source: str | Path | Callable[[Path], object], header: Mapping[str, Any] | None, folder: Path
) -> Path:
    """Copy or write a file into a folder of its own."""
    if callable(source):
        if header is None:
            raise UsageError(
                complaint("Store.add", "header", "none", "the keywords of the file", "give them")
            )
        staged = folder / reference_name(header)
        source(staged)
        if staged.is_file() and reference_name(examine(staged).header) != staged.name:
            raise ReferenceFileError(
                complaint(
                    staged,
                    "header",
                    "keywords of another name",
                    "those given",
                    "write the same keywords",
                )
            )
        return staged
    if not Path(source).is_file():
        raise ReferenceFileError(
            complaint(str(source), "file", "nothing", "a reference file", "name one that is there")
        )
    staged = folder / Path(source).name
    shutil.copyfile(source, staged)
    return staged


@contextmanager
def _writing(folder: Path) -> Iterator[None]:
    """Turn what the file system refuses into one line."""
    try:
        yield
    except OSError as error:
        raise ReferenceFileError(
            complaint(
                str(error.filename or folder),
                "writing",
                error.strerror or error,
                "a folder that can be written",
                "make room or name another folder",
            )
        ) from error


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Keep other processes from changing the manifest at the same time."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _flush(path: Path) -> None:
    """Bring a file to the disk before it gets its name."""
    with path.open("rb") as stream:
        os.fsync(stream.fileno())
