"""The store of reference files, and which of them applies to an exposure."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from liger_iris_pipeline.calibration import entering
from liger_iris_pipeline.calibration.block import CalibrationSet, Fixed, keys_of
from liger_iris_pipeline.calibration.catalogue import Catalogue, Choice, best_of
from liger_iris_pipeline.calibration.checking import check_reference, verify_store
from liger_iris_pipeline.calibration.content import content_path
from liger_iris_pipeline.calibration.context import (
    CONTEXTS,
    CURRENT,
    Context,
    context_names,
    current_name,
    load_context,
)
from liger_iris_pipeline.calibration.explain import Considered, Explanation, explain_items
from liger_iris_pipeline.calibration.folder import Loose, file_names, forget_large, loose_references
from liger_iris_pipeline.calibration.index import Known, known_references, rebuild
from liger_iris_pipeline.calibration.integrity import (
    MANIFEST,
    fault_in,
    image_shape,
    read_manifest,
    sum_fault,
)
from liger_iris_pipeline.calibration.item import Item
from liger_iris_pipeline.calibration.reference import Reference, examine, name_prefix
from liger_iris_pipeline.calibration.rulebook import CONTEXT, Rulebook, load_rulebook, rulebook_of
from liger_iris_pipeline.calibration.rulesfile import Fallback, Rule
from liger_iris_pipeline.calibration.selection import Mode, Question, judge_shape
from liger_iris_pipeline.errors import (
    ContextError,
    MissingReferenceError,
    ReferenceFileError,
    UsageError,
    complaint,
)
from liger_iris_pipeline.models.digest import sha256_of

__all__ = ["Candidate", "Store", "find_store"]

logger = logging.getLogger(__name__)

_SHOWN = 5  # candidates named in a message
_RELAXED = "CAL_RELAX"
_LOOSE = "+loose"


class Candidate(NamedTuple):
    """A file that was looked at, and why it does not fit; the reason is None if it does."""

    file: str
    reason: str | None


class _View(NamedTuple):
    """Rules in force, and the context that has them; None for a plain folder."""

    rulebook: Rulebook
    context: Context | None


class _Pool(NamedTuple):
    """References to choose among, and what to say of one that comes from there."""

    catalogue: Catalogue
    context: str
    flag: str = ""
    named: str | None = None


class Store:
    """Reference files of a folder.

    Any folder of FITS files whose headers follow the rules for references will do; the rules of
    the package choose among them, and where it holds a manifest ``SHA256SUMS`` the files named
    there are verified when they are used.  A folder that references were entered into (`add`) has
    contexts: the one in force says which references there are, and by which rules they are chosen.
    Other FITS files in it are then used only if no entered one fits.

    Parameters
    ----------
    path : str or Path
        The folder. Sub-folders and hidden files are not looked at.
    context : str, optional
        Rules to choose by: a context of the store, or one of the package. Default: what
        ``contexts/CURRENT`` names, else the newest of the package.
    create : bool, optional
        Make the folder if it is not there.

    Raises
    ------
    ReferenceFileError
        If the folder is not there, or its contexts cannot be used.
    UsageError
        If there is no such context.
    """

    def __init__(
        self, path: str | Path, *, context: str | None = None, create: bool = False
    ) -> None:
        self.path = Path(path)
        self._root = self.path.absolute()
        self._asked = context
        if create:
            with entering.writing(self.path):
                self.path.mkdir(parents=True, exist_ok=True)
        if not self.path.is_dir():
            raise ReferenceFileError(
                complaint(
                    str(self.path),
                    "folder",
                    "a file" if self.path.exists() else "nothing",
                    "a folder of reference files",
                    "name it with --refs",
                )
            )
        self._view()

    def __repr__(self) -> str:
        return f"Store({str(self.path)!r}, context={self.rulebook.context!r})"

    # --- contexts ---------------------------------------------------------------------------------

    @property
    def rulebook(self) -> Rulebook:
        """Rules in force."""
        return self._view().rulebook

    @property
    def context(self) -> str:
        """Name of the context in force."""
        return self.rulebook.context

    @property
    def managed(self) -> bool:
        """Whether references were entered into it, so that it has contexts."""
        return bool(context_names(self._root))

    def contexts(self) -> list[Context]:
        """List the contexts of the store, in the order they were made; none for a plain folder."""
        return [load_context(self._root, name) for name in context_names(self._root)]

    def use(self, context: str) -> None:
        """Put another context of the store in force, for everybody.

        Parameters
        ----------
        context : str
            Its name.

        Raises
        ------
        UsageError
            If the store has none of that name.
        ReferenceFileError
            If it cannot be used or the store cannot be written.
        """
        load_context(self._root, context)
        entering.set_current(self._root, context)

    def _view(self) -> _View:
        """Find the rules in force."""
        name = self._asked or current_name(self._root)
        if name is None:
            return _View(load_rulebook(CONTEXT), None)
        if (self._root / CONTEXTS / f"{name}.yaml").exists():
            context = load_context(self._root, name)
            return _View(_rulebook(context), context)
        if self._asked is None:
            expected = f"the context that {CURRENT} names"
            remedy = "put it back, or choose another with --context"
            where = f"{self.path}/{CONTEXTS}/{name}.yaml"
            raise ContextError(complaint(where, "file", "nothing", expected, remedy))
        try:
            return _View(load_rulebook(name), None)
        except UsageError:
            known = [*context_names(self._root), "those of the package"]
            raise UsageError(
                complaint(str(self.path), "context", name, f"one of {', '.join(known)}", "name one")
            ) from None

    # --- choosing ---------------------------------------------------------------------------------

    def select(
        self,
        reftype: str,
        metadata: Mapping[str, Any],
        *,
        mode: Mode = "offline",
        fixed: CalibrationSet | None = None,
    ) -> Reference:
        """Choose the reference that applies to an exposure.

        The choice never depends on the order in which references were entered or a folder lists
        them: most exact agreements, then nearest by the time rule, then the preferences of the
        rule, then highest REFVER (``10`` is higher than ``9``), then lowest SHA-256.

        Parameters
        ----------
        reftype : str
            Type, upper or lower case.
        metadata : mapping
            PRIMARY keywords of the exposure.
        mode : {"offline", "realtime"}
            In real time only references whose data were taken before the exposure are used.
        fixed : CalibrationSet, optional
            What was chosen for the block of the exposure: it stands.

        Returns
        -------
        Reference
            The file, verified against the checksum the store has of it, if any.

        Raises
        ------
        MissingReferenceError
            If no file fits.
        ReferenceFileError
            If the one that does was changed or damaged.
        """
        view = self._view()
        question = self._ask(view, reftype, metadata, mode)
        if fixed is not None:
            return self._fixed(view, question, fixed)
        found = self._search(view, question)
        if found is None and view.context is None and forget_large(self._root):
            found = self._search(view, question)
        if found is None:
            raise MissingReferenceError(self._nothing_fits(view, question))
        return found

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
        view = self._view()
        told = self._considered(view, self._ask(view, reftype, metadata, "offline"))
        return [Candidate(one.file, one.reason if one.state == "no" else None) for one in told]

    def explain(
        self, reftype: str, metadata: Mapping[str, Any], *, mode: Mode = "offline"
    ) -> Explanation:
        """Say which reference is chosen, and of every other one why it is not.

        Parameters
        ----------
        reftype : str
            Type, upper or lower case.
        metadata : mapping
            PRIMARY keywords of the exposure.
        mode : {"offline", "realtime"}
            As for :meth:`select`.

        Returns
        -------
        Explanation
            All candidates; ``str`` of it is what ``iris-drs calib explain`` prints.

        Raises
        ------
        ReferenceFileError
            If the exposure lacks what a reference is chosen by.
        """
        view = self._view()
        question = self._ask(view, reftype, metadata, mode)
        told = self._considered(view, question)
        try:
            best: Reference | None = self.select(reftype, metadata, mode=mode)
        except ReferenceFileError as error:
            best = None
            if not isinstance(error, MissingReferenceError):
                name = str(error).partition(": ")[0]
                told = [_refused(one, str(error)) if one.file == name else one for one in told]
        if best is not None:
            told = _with_chosen(told, best)
        rule = question.rule
        time = str(replace(rule.time, mode=question.time_mode))
        return Explanation(
            rule.reftype,
            str(question),
            view.rulebook.context,
            time,
            rule.on_missing,
            tuple(told),
        )

    def check(self, reference: Reference | str | Path, metadata: Mapping[str, Any]) -> list[str]:
        """Say in sentences what keeps a reference from being used for an exposure.

        Parameters
        ----------
        reference : Reference, str or Path
            Of this store, or any file.
        metadata : mapping
            PRIMARY keywords of the exposure.

        Returns
        -------
        list of str
            ``FILE: PART: got …, expected …; remedy``, one for the checksum, the shape, every
            keyword, the date and the age that is wrong; empty if it fits.
        """
        path = reference.path if isinstance(reference, Reference) else Path(reference)
        listed = read_manifest(self._root).get(path.name)
        if isinstance(reference, Reference):
            listed = reference.sha256
        elif path.absolute().parent != self._root:
            listed = None
        return check_reference(path, listed, self.rulebook, metadata)

    def resolve(
        self,
        block: Sequence[Mapping[str, Any]],
        types: Iterable[str],
        *,
        name: str = "",
        mode: Mode = "realtime",
    ) -> CalibrationSet:
        """Choose the references of an observing block, once for all its exposures.

        Parameters
        ----------
        block : sequence of mapping
            PRIMARY keywords of its exposures. Of those of one configuration the earliest decides.
        types : iterable of str
            Types that are wanted.
        name : str
            Name of the block.
        mode : {"offline", "realtime"}
            As for :meth:`select`.

        Returns
        -------
        CalibrationSet
            One choice for each type and configuration, also where nothing fits.
        """
        view = self._view()
        choices: list[Fixed] = []
        for reftype in types:
            rule = view.rulebook.rule(reftype)
            firsts: dict[tuple[str, ...], tuple[Question, Mapping[str, Any]]] = {}
            for metadata in block:
                question = self._ask(view, reftype, metadata, mode)
                first = firsts.setdefault(keys_of(rule, metadata), (question, metadata))
                if question.date is not None and question.date < (first[0].date or question.date):
                    firsts[keys_of(rule, metadata)] = (question, metadata)
            for keys, (_, metadata) in firsts.items():
                choices.append(self._fix(rule, keys, metadata, mode))
        return CalibrationSet(name, view.rulebook.context, view.rulebook.sha256, tuple(choices))

    def by_sha256(self, sha256: str) -> Reference:
        """Give the reference of a content, whichever context brought it.

        Parameters
        ----------
        sha256 : str
            Its checksum.

        Returns
        -------
        Reference
            The file.

        Raises
        ------
        MissingReferenceError
            If the store has no such content.
        ReferenceFileError
            If it was changed or damaged.
        """
        names = [name for name, listed in read_manifest(self._root).items() if listed == sha256]
        paths = [self._root / name for name in sorted(names)]
        content = content_path(self._root, sha256)
        for path in (*paths, *([content] if content.exists() else [])):
            if path.exists() and sha256_of(path) == sha256:
                return Reference.from_entry(examine(path), sha256, self.context)
        for name in file_names(self._root):
            if name not in names and sha256_of(self._root / name) == sha256:
                return Reference.from_entry(examine(self._root / name), sha256, self.context)
        raise MissingReferenceError(
            complaint(
                str(self.path),
                "SHA-256",
                f"no reference with {sha256[:12]}…",
                "one",
                "name the folder that has it with --refs",
            )
        )

    # --- entering and keeping ---------------------------------------------------------------------

    def add(
        self,
        source: str | Path | Callable[[Path], object],
        header: Mapping[str, Any] | None = None,
        *,
        night: date | None = None,
    ) -> Reference:
        """Enter a reference file, under the name its header gives it.

        The file is certified: whole, of its schema, with known keywords and plausible values. It
        appears in one instant and complete, in a new context. A name stands for one content for
        ever: the same file again is accepted, another refused.

        Parameters
        ----------
        source : str, Path or callable
            A file, which is copied, or a function that writes one at the path it is given
            (``model.save``).
        header : mapping, optional
            Keywords that name the file, needed with a function.
        night : date, optional
            Night whose context it is added to; else a new version of the context is made.

        Returns
        -------
        Reference
            The file in the store.

        Raises
        ------
        CertificationError
            If the file is not fit; it is kept under ``candidates/`` with the reasons.
        ReferenceFileError
            If the file cannot be read whole, lacks a keyword, would replace another one or cannot
            be written.
        """
        (reference,) = self.add_all([(source, header)], night=night)
        return reference

    def add_all(
        self,
        sources: Sequence[
            str | Path | tuple[str | Path | Callable[[Path], object], Mapping[str, Any] | None]
        ],
        *,
        night: date | None = None,
    ) -> list[Reference]:
        """Enter several reference files with one new context: all of them, or none.

        Parameters
        ----------
        sources : sequence
            Files, or pairs of source and header as :meth:`add` takes them.
        night : date, optional
            As for :meth:`add`.

        Returns
        -------
        list of Reference
            The files in the store.

        Raises
        ------
        ReferenceFileError
            As for :meth:`add`.
        """
        pairs = [one if isinstance(one, tuple) else (one, None) for one in sources]
        entered = entering.enter(self._root, pairs, night)
        view = self._view()
        return [
            Reference.from_entry(
                examine(self._root / name), sha256, view.rulebook.context, view.rulebook.sha256
            )
            for name, sha256 in entered
        ]

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
        names = {*read_manifest(self._root), *file_names(self._root)}
        versions = [
            name.removeprefix(prefix).split(".")[0] for name in names if name.startswith(prefix)
        ]
        highest = max((int(version) for version in versions if version.isdecimal()), default=0)
        return f"{highest + 1:04d}"

    def references(self, reftype: str | None = None) -> list[Item]:
        """List the references there are to choose among, those of the context in force.

        Parameters
        ----------
        reftype : str, optional
            Only of this type.

        Returns
        -------
        list of Item
            By type and name; of a plain folder, what its headers say.
        """
        view = self._view()
        types = [reftype.lower()] if reftype else list(view.rulebook.rules)
        items = [
            item
            for name in types
            for item in (
                self._loose(view, view.rulebook.rule(name)).catalogue.items
                if view.context is None
                else view.context.entries(name)
            )
        ]
        return sorted(items, key=lambda item: (item.reftype, item.file))

    def known(self, reftype: str | None = None) -> list[Known]:
        """List the references that were ever entered, with the context that brought them.

        Parameters
        ----------
        reftype : str, optional
            Only of this type.
        """
        return known_references(self._root, reftype=reftype and reftype.lower())

    def rebuild_index(self) -> int:
        """Make the index anew, and links that are gone; returns the number of references."""
        entering.restore_links(self._root, [known.item for known in self.known()])
        return rebuild(self._root)

    def verify(self) -> list[str]:
        """Compare contexts, contents, names and index with each other, every byte of them.

        Returns
        -------
        list of str
            What is wrong, a line each.
        """
        return verify_store(self._root)

    # --- the rest is private ----------------------------------------------------------------------

    def _ask(self, view: _View, reftype: str, metadata: Mapping[str, Any], mode: Mode) -> Question:
        """Put a question, or say which keyword of the exposure it lacks."""
        question = Question.about(view.rulebook.rule(reftype), metadata, mode)
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

    def _loose(self, view: _View, rule: Rule) -> Loose:
        """Describe the references that lie in the folder without belonging to the context."""
        return loose_references(self._root, rule, managed=view.context is not None)

    def _pools(self, view: _View, rule: Rule) -> Iterator[_Pool]:
        """Give what to choose among: entered references, declared fallbacks, loose files."""
        name = view.rulebook.context
        context = view.context
        first = _catalogue(context, rule.reftype) if context else self._loose(view, rule).catalogue
        yield _Pool(first, name)
        for fallback in rule.fallback:
            yield _fallback(first, name, fallback)
        if view.context is not None:
            yield _Pool(Catalogue(rule, self._not_entered(view, first, rule)), name + _LOOSE)

    def _not_entered(self, view: _View, entered: Catalogue, rule: Rule) -> list[Item]:
        """List the references that lie in a store without having been entered."""
        names = {item.file for item in entered.items}
        return [i for i in self._loose(view, rule).catalogue.items if i.file not in names]

    def _search(self, view: _View, question: Question) -> Reference | None:
        """Choose from the first pool that has something."""
        for pool in self._pools(view, question.rule):
            found = self._choose(view, pool, question.by(pool.catalogue.rule))
            if found is not None:
                if pool.flag:
                    _warn_once(found.path, f"taken by fallback, {pool.flag}")
                elif pool.context.endswith(_LOOSE):
                    how = "taken by its header alone: enter it with `iris-drs calib add`"
                    _warn_once(found.path, how)
                return found
        return None

    def _choose(self, view: _View, pool: _Pool, question: Question) -> Reference | None:
        """Choose from a pool, passing over files that are not whole or of another shape."""
        refused: set[str] = set()
        while True:
            sides = _sides(pool, question, refused)
            items = [best_of(side, self._sha256) for side in sides if side]
            faults = [(item, self._unfit(item, question)) for item in items]
            broken = [(item, fault) for item, fault in faults if fault is not None]
            for item, fault in broken:
                logger.warning("%s %s; the next best one is looked for", item.file, fault)
                refused.add(item.file)
            if not broken:
                break
        if not items:
            return None
        made = [self._made(view, pool, item) for item in items]
        if len(sides) == 1:
            return made[0]
        if len(made) == 1:
            return replace(made[0], flag=_RELAXED)
        return _pair(made, items, question)

    def _unfit(self, item: Item, question: Question) -> str | None:
        """Say what keeps a file that fits by its keywords from being used."""
        path = self._root / item.file
        if not path.exists():
            if item.file in read_manifest(self._root):
                return f"is not there, although {MANIFEST} lists it"
            return "is not there"
        fault = fault_in(path)
        if fault is not None:
            return fault
        misfit = judge_shape(question.rule, image_shape(path), question.metadata)
        return None if misfit is None else str(misfit)

    def _made(self, view: _View, pool: _Pool, item: Item) -> Reference:
        """Make the reference of what was chosen, verified."""
        path = self._root / item.file
        sha256 = self._verified(path, item.sha256)
        return Reference.from_entry(
            examine(path), sha256, pool.context, view.rulebook.sha256, pool.flag
        )

    def _verified(self, path: Path, expected: str) -> str:
        """Give the checksum of a file, refusing it if the store has another one, or its own sums."""
        where = "the context has it"
        if not expected:
            expected, where = read_manifest(self._root).get(path.name, ""), f"{MANIFEST} lists it"
        found = sha256_of(path)
        if expected not in ("", found):
            raise ReferenceFileError(
                complaint(
                    path,
                    "SHA-256",
                    f"{found[:12]}…",
                    f"{expected[:12]}… as {where}",
                    "the file was changed or damaged after it was added: put the original back, "
                    f"or take out both the file and its line in {self.path / MANIFEST}",
                )
            )
        fault = None if expected else sum_fault(path)
        if fault is not None:
            remedy = "the file was changed or damaged: put the original back or make it anew"
            raise ReferenceFileError(f"{path.name}: {fault}; {remedy}")
        return found

    def _sha256(self, item: Item) -> str:
        """Give the checksum of a reference that is there."""
        path = self._root / item.file
        return item.sha256 or (sha256_of(path) if path.exists() else "")

    def _fix(
        self, rule: Rule, keys: tuple[str, ...], metadata: Mapping[str, Any], mode: Mode
    ) -> Fixed:
        """Choose for a block."""
        try:
            found = self.select(rule.reftype, metadata, mode=mode)
        except MissingReferenceError:
            return Fixed(rule.reftype, keys, "", "")
        return Fixed(rule.reftype, keys, found.file, found.sha256, found.flag, found.context)

    def _fixed(self, view: _View, question: Question, fixed: CalibrationSet) -> Reference:
        """Give what was chosen for a block."""
        choice = fixed.find(question.rule, question.metadata)
        if choice is None:
            raise MissingReferenceError(
                complaint(
                    fixed.block or "block",
                    f"{question.rule.reftype.upper()} reference",
                    "no choice",
                    f"one for {question}",
                    "resolve the block anew",
                )
            )
        if not choice.sha256:
            raise MissingReferenceError(self._nothing_fits(view, question))
        path = self._root / choice.file
        if path.is_file() and sha256_of(path) == choice.sha256:
            found = Reference.from_entry(examine(path), choice.sha256, self.context)
        else:  # it has another name by now
            found = self.by_sha256(choice.sha256)
        found = replace(found, file=choice.file, flag=choice.flag)
        context = choice.context or fixed.context
        return replace(found, context=context, context_sha256=fixed.context_sha256)

    def _considered(self, view: _View, question: Question) -> list[Considered]:
        """Judge all files of a type."""
        rule = question.rule
        faults = self._loose(view, rule).faults
        rest: Sequence[Item] = ()
        if view.context is None:
            items = self._loose(view, rule).catalogue.items
        else:
            entered = _catalogue(view.context, rule.reftype)
            items, rest = entered.items, self._not_entered(view, entered, rule)

        def unfit(item: Item) -> str | None:
            return self._unfit(item, question)

        told = explain_items(question, items, faults, unfit)
        told += [
            one._replace(reason=f"not entered: {one.reason}")
            for one in explain_items(question, rest, {}, unfit)
        ]
        told += [Considered(n, "", "no", r, "file") for n, r in self._lost(rule, told)]
        return sorted(told, key=lambda one: (one.state == "no", "REFTYPE" in one.reason))

    def _lost(self, rule: Rule, told: Sequence[Considered]) -> list[tuple[str, str]]:
        """List files of a type, by their names, that the manifest has and the folder lacks."""
        there = {*file_names(self._root), *(one.file for one in told)}
        lost = set(read_manifest(self._root)) - there
        reason = f"is not there, although {MANIFEST} lists it"
        return [(name, reason) for name in sorted(lost) if f"_{rule.reftype.upper()}_" in name]

    def _nothing_fits(self, view: _View, question: Question) -> str:
        """Write the message that no reference fits."""
        rule = question.rule
        misfits = self._considered(view, question)
        if misfits:
            told = "; ".join(f"{one.file}: {one.reason}" for one in misfits[:_SHOWN])
            more = f"; and {len(misfits) - _SHOWN} more" if len(misfits) > _SHOWN else ""
            got = f"{len(misfits)} that cannot be used ({told}{more})"
        else:
            got = f"none of this type in {len(file_names(self._root))} reference files"
        skip = f", or leave the step out with --skip {rule.step}" if rule.step else ""
        return complaint(
            str(self.path),
            f"{rule.reftype.upper()} reference",
            got,
            f"one for {question}",
            f"make one with `iris-drs calibrate`, name another folder with --refs{skip}",
        )


@lru_cache(maxsize=64)
def _rulebook(context: Context) -> Rulebook:
    """Give the rules of a context, once per process."""
    return rulebook_of(context)


@lru_cache(maxsize=128)
def _catalogue(context: Context, reftype: str) -> Catalogue:
    """Put the references of a context in order, once per process."""
    return Catalogue(context.rules_of(reftype)[0].rule, context.entries(reftype))


@lru_cache(maxsize=4096)
def _warn_once(path: Path, how: str) -> None:
    """Say how a reference was come by, once per process."""
    logger.warning("%s: no reference that was entered fits; %s", path.name, how)


def _fallback(catalogue: Catalogue, context: str, fallback: Fallback) -> _Pool:
    """Give what a declared fallback chooses among."""
    if fallback.file is None:
        return _Pool(catalogue.relaxed(fallback.relax), context, fallback.flag)
    return _Pool(catalogue, context, fallback.flag, fallback.file)


def _sides(pool: _Pool, question: Question, refused: set[str]) -> list[list[Choice]]:
    """Find the best of a pool; of a pair, before and after."""
    if pool.named is not None:
        items = [item for item in pool.catalogue.items if item.file == pool.named]
        return [[Choice(item, ()) for item in items if item.file not in refused]]
    if question.time_mode == "bracket":
        return pool.catalogue.bracket(question, refused)
    return [pool.catalogue.best(question, refused)]


def _pair(made: Sequence[Reference], items: Sequence[Item], question: Question) -> Reference:
    """Join the references before and after an exposure."""
    before, after = made
    key = question.rule.time.key
    first, last = (item.taken(key) or item.useafter for item in items)
    share = 1.0
    if question.date is not None and last > first:
        share = (last - question.date) / (last - first)
    return replace(before, partner=after, weight=share)


def _refused(one: Considered, message: str) -> Considered:
    """Say why the one that fits best cannot be used."""
    return one._replace(state="no", reason=message.partition(": ")[2], criterion="SHA-256")


def _with_chosen(told: Sequence[Considered], best: Reference) -> list[Considered]:
    """Put the chosen one first and mark it."""
    chosen = [one for one in told if one.file == best.file]
    others = [one for one in told if one.file != best.file]
    flag = f"{best.flag}: " if best.flag else ""
    return [
        *(
            one._replace(state="chosen", sha256=best.sha256, reason=flag + one.reason)
            for one in chosen
        ),
        *others,
    ]


def find_store(
    explicit: str | Path | None = None,
    data_dir: str | Path | None = None,
    *,
    context: str | None = None,
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
