"""``iris-drs calib``: look after the reference files, and say why one is chosen."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Mapping
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from liger_iris_pipeline.cli.options import Commands
from liger_iris_pipeline.errors import IrisError, ReferenceFileError, UsageError, complaint

if TYPE_CHECKING:
    from liger_iris_pipeline.calibration import Reference, Store
    from liger_iris_pipeline.calibration.selection import Mode

__all__ = ["add"]

_SHA = 12  # digits shown


def add(commands: Commands, common: argparse.ArgumentParser) -> None:
    """Describe ``calib``."""
    parser = commands.add_parser("calib", help="look after reference files; say why one is chosen")
    actions = parser.add_subparsers(dest="action", required=True, metavar="ACTION")
    shared = argparse.ArgumentParser(add_help=False, parents=[common])
    shared.add_argument(
        "--refs", type=Path, metavar="DIR", help="the store [$IRIS_REFS, else refs/ nearby]"
    )
    shared.add_argument("--context", metavar="NAME", help="choose by this context")
    shared.add_argument("--json", action="store_true", help="print JSON")

    def action(name: str, run: Callable[[argparse.Namespace], None], about: str) -> Any:
        made = actions.add_parser(name, parents=[shared], help=about)
        made.set_defaults(run=run)
        return made

    entering = action("add", _add, "certify files and enter them, with a new context")
    entering.add_argument("files", type=Path, nargs="+", metavar="FILE")
    entering.add_argument("--night", type=_night, metavar="YYYYMMDD", help="into a night's context")
    listing = action("list", _list, "list the references")
    listing.add_argument("type", nargs="?", metavar="TYPE")
    for name, run, about, many in (
        ("select", _select, "say which references a file gets", "*"),
        ("explain", _explain, "say of every candidate why it is chosen or not", None),
    ):
        asking = action(name, run, about)
        asking.add_argument("file", type=Path, metavar="FILE", help="raw read or product")
        asking.add_argument("type", nargs=many, metavar="TYPE", help="such as dark")
        asking.add_argument("--real-time", action="store_true", help="use past references only")
    action("verify", _verify, "read every byte, and compare it with what was entered")
    contexts = action("context", _context, "show contexts, compare them, or put one in force")
    contexts.add_argument("name", nargs="?", metavar="NAME")
    contexts.add_argument("--diff", metavar="OTHER", help="say what NAME has and OTHER has not")
    contexts.add_argument("--set", metavar="NAME", help="put a context in force")
    action("index", _index, "make the index anew, and names that are gone")
    export = action("export-crds", _export, "write the context as CRDS mappings")
    export.add_argument("--out", type=Path, required=True, metavar="DIR")
    export.add_argument("--observatory", default="ligeriri", metavar="NAME", help="[%(default)s]")


def _night(text: str) -> date:
    """Read a night."""
    return datetime.strptime(text, "%Y%m%d").replace(tzinfo=UTC).date()


def _store(options: argparse.Namespace, near: Path | None = None) -> Store:
    """Find the store that is meant."""
    from liger_iris_pipeline.calibration import find_store

    folder = Path() if near is None else near.parent
    return find_store(options.refs, folder, context=options.context)


def _check_type(store: Store, reftype: str) -> None:
    """Refuse a type that the store's context does not have."""
    try:
        store.rulebook.rule(reftype)
    except ReferenceFileError as error:
        raise UsageError(str(error)) from error


def _mode(options: argparse.Namespace) -> Mode:
    """Give the mode that was asked for."""
    return "realtime" if options.real_time else "offline"


def _add(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.calibration import Store

    if options.refs is not None:
        Store(options.refs, create=True)  # an empty one, so that the first file has a place
    store = _store(options)
    made = store.add_all(list(options.files), night=options.night)
    if options.json:
        print(json.dumps([_as_json(one) for one in made]))
        return
    for one in made:
        print(f"{one.file}  {one.sha256[:_SHA]}")
    print(f"context {store.context}")


def _as_json(reference: Reference) -> dict[str, Any]:
    """Give a reference as plain data."""
    return {
        "type": reference.reftype,
        "file": reference.file,
        "sha256": reference.sha256,
        "version": reference.version,
        "context": reference.context,
        "context_sha256": reference.context_sha256,
        "flag": reference.flag,
    }


def _list(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.calibration.item import item_to_fields

    store = _store(options)
    if options.type is not None:
        _check_type(store, options.type)
    items = store.references(options.type)
    if options.json:
        print(json.dumps([{"type": item.reftype, **item_to_fields(item)} for item in items]))
        return
    for item in items:
        keys = " ".join(f"{key}={value}" for key, value in item.match.items())
        print(f"{item.reftype:11} {item.file}  {item.sha256[:_SHA] or '-':{_SHA}}  {keys}")
    print(f"{len(items)} references; context {store.context}")


def _select(options: argparse.Namespace) -> None:
    from liger_iris_pipeline import models

    metadata = models.read_metadata(options.file)
    store = _store(options, options.file)
    book = store.rulebook
    needed = {*book.types(1), *book.types(2)}
    types = options.type or [
        name for name, rule in book.rules.items() if {"needed", "optional"} & _needs(rule)
    ]
    found: dict[str, Reference | IrisError] = {}
    for reftype in types:
        _check_type(store, reftype)
        try:
            found[reftype] = store.select(reftype, metadata, mode=_mode(options))
        except ReferenceFileError as error:
            if options.debug:
                raise
            found[reftype] = error
    if options.json:
        print(json.dumps({name: _found_as_json(one) for name, one in found.items()}))
    else:
        for name, one in found.items():
            print(_line(name, one, metadata))
    wanted = options.type or needed
    missing = [name for name, one in found.items() if isinstance(one, IrisError) and name in wanted]
    if missing:
        raise found[missing[0]]  # type: ignore[misc] # a missing one is the error itself


def _needs(rule: Any) -> set[str]:
    """Give what the levels do with a type."""
    return {rule.level1, rule.level2}


def _found_as_json(found: Reference | IrisError) -> dict[str, Any]:
    """Give an answer as plain data."""
    return {"missing": str(found)} if isinstance(found, IrisError) else _as_json(found)


def _line(name: str, found: Reference | IrisError, metadata: Mapping[str, Any]) -> str:
    """Say in a line which reference was chosen."""
    from liger_iris_pipeline.calibration import exposure_date
    from liger_iris_pipeline.calibration.dates import DAY

    if isinstance(found, IrisError):
        said = str(found).partition(": ")[2].partition(" (")[0].partition(", expected")[0]
        return f"{name:11} none: {said}"
    taken, date_ = exposure_date(found.header), exposure_date(metadata)
    age = "age unknown" if taken is None or date_ is None else f"{(date_ - taken) / DAY:.2f} d old"
    parts = [f"{name:11} {found.file}", found.sha256[:_SHA], age, found.context, found.flag]
    return "  ".join(part for part in parts if part)


def _explain(options: argparse.Namespace) -> None:
    from liger_iris_pipeline import models

    metadata = models.read_metadata(options.file)
    store = _store(options, options.file)
    _check_type(store, options.type)
    told = store.explain(options.type, metadata, mode=_mode(options))
    print(json.dumps(told.to_json()) if options.json else told)


def _verify(options: argparse.Namespace) -> None:
    store = _store(options)
    faults = store.verify()
    if options.json:
        print(json.dumps(faults))
    elif faults:
        print("\n".join(faults))
    else:
        print(f"{store.path}: all is as it was entered; context {store.context}")
    if faults:
        got = f"{len(faults)} faults, listed above"
        raise ReferenceFileError(
            complaint(str(store.path), "store", got, "none", "see each line for what to do")
        )


def _context(options: argparse.Namespace) -> None:
    store = _store(options)
    if options.set is not None:
        store.use(options.set)
        print(f"context {options.set}")
        return
    contexts = {one.name: one for one in store.contexts()}
    if options.name is None and options.diff is None:
        rows = [
            {
                "name": one.name,
                "sha256": one.sha256,
                "parent": one.parent,
                "created": one.created,
                "current": one.name == store.context,
            }
            for one in contexts.values()
        ]
        if options.json:
            print(json.dumps(rows))
            return
        for row in rows:
            mark = "*" if row["current"] else " "
            print(f"{mark} {row['name']}  {str(row['sha256'])[:_SHA]}  {row['created']}")
        if not rows:
            print(f"{store.path} is a plain folder; rules {store.context} of the package")
        return
    _show_context(options, contexts, options.name or store.context)


def _show_context(options: argparse.Namespace, contexts: Mapping[str, Any], name: str) -> None:
    """Print the references of a context, or in what it differs from another one."""
    unknown = [one for one in (name, options.diff) if one is not None and one not in contexts]
    if unknown:
        known = ", ".join(contexts) or "none"
        raise UsageError(complaint("calib", "context", unknown[0], f"one of {known}", "name one"))
    mine = _names(contexts[name])
    if options.diff is None:
        print("\n".join(f"{kind:11} {file}  {sha[:_SHA]}" for kind, file, sha in sorted(mine)))
        return
    other = _names(contexts[options.diff])
    for mark, only in (("+", mine - other), ("-", other - mine)):
        for kind, file, sha in sorted(only):
            print(f"{mark} {kind:11} {file}  {sha[:_SHA]}")
    for kind in contexts[name].types:
        rules = [contexts[one].rules_of(kind)[0].rule for one in (name, options.diff)]
        if rules[0] != rules[1]:
            print(f"~ {kind:11} another rule")


def _names(context: Any) -> set[tuple[str, str, str]]:
    """List type, name and checksum of the references of a context."""
    return {
        (kind, item.file, item.sha256) for kind in context.types for item in context.entries(kind)
    }


def _index(options: argparse.Namespace) -> None:
    store = _store(options)
    print(f"{store.rebuild_index()} references")


def _export(options: argparse.Namespace) -> None:
    from liger_iris_pipeline.calibration.crds_export import export_crds

    store = _store(options)
    for path in export_crds(store, options.out, observatory=options.observatory):
        print(path)
