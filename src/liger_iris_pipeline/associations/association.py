"""Associations: which exposures belong together, and in which role; JSON on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liger_iris_pipeline.associations.members import MemberFinder, level_of, stem_of
from liger_iris_pipeline.errors import AssociationError, complaint, disk_error
from liger_iris_pipeline.models.digest import sha256_of
from liger_iris_pipeline.models.reads import RawExposure, group_exposures, scan_reads

__all__ = ["EXPTYPES", "Association", "Member", "Product", "load"]

logger = logging.getLogger(__name__)

EXPTYPES = (
    "science",
    "sky",
    "dark",
    "flat",
    "arc",
    "lampscan",
    "pinhole",
    "standard",
    "telluric",
    "bias",
    "background",
)
"""Roles a member can have; ``background`` is a sky, from a sky frame or another dither."""

Extra = tuple[tuple[str, Any], ...]

_JWST = re.compile(r"(?:Asn_Lv|DMS_?Level)(\d)")
"""Names of the rules of JWST and the level in them."""

_OWN = frozenset(
    {
        "asn_id",
        "asn_type",
        "asn_rule",
        "asn_pool",
        "program",
        "target",
        "version_id",
        "degraded",
        "calibrations",
        "products",
    }
)
_OWN_OF_PRODUCT = frozenset({"name", "members"})
_OWN_OF_MEMBER = frozenset({"expname", "exptype", "group_id", "sha256", "dt_s", "reads"})


@dataclass(frozen=True, slots=True)
class Member:
    """An exposure or product and its role.

    Attributes
    ----------
    expname : str
        Name relative to the association's folder of any of the exposure's files, or its stem.
    exptype : str
        One of :data:`EXPTYPES`.
    group_id : str or None
        The same for all detectors of one exposure.
    sha256 : str or None
        Checksum of the file named, lower-case hexadecimal.
    dt_s : float or None
        Time from the middle of the exposure that the product is made of to that of this one [s].
    reads : tuple of (str, str)
        Name and checksum of each of its files, beside the one named; empty if they were not written down.
    extra : tuple of (str, object)
        What another program says of it besides.
    """

    expname: str
    exptype: str
    group_id: str | None = None
    sha256: str | None = None
    dt_s: float | None = None
    reads: tuple[tuple[str, str], ...] = ()
    extra: Extra = field(default=(), hash=False)


@dataclass(frozen=True)
class Product:
    """What is to be made, and from what.

    Attributes
    ----------
    name : str
        File name without ending.
    members : tuple of Member
        The member that names the product first.
    others : tuple of mapping
        Members of roles that we do not use, as another program wrote them.
    extra : tuple of (str, object)
        What another program says of it besides.
    """

    name: str
    members: tuple[Member, ...]
    others: tuple[Mapping[str, Any], ...] = field(default=(), hash=False)
    extra: Extra = field(default=(), hash=False)


@dataclass(frozen=True)
class Association:
    """Exposures that belong together.

    Attributes
    ----------
    asn_id : str
        Name of the association.
    asn_type : str
        ``level2``, ``level3``, ``dark``, ``flat``, or what another program writes.
    products : tuple of Product
        At least one; our own associations have exactly one.
    asn_pool : str
        Where the exposures were taken from.
    folder : Path
        What the names of members are relative to.
    asn_rule : str
        Rule by which it was made.
    degraded : tuple of str
        What is missing, ``what: why`` each; empty if nothing is.
    program, target : str
        Programme and object; may be empty.
    calibrations : mapping or None
        The references that were fixed for it.
    extra : tuple of (str, object)
        What another program says of it besides.
    """

    asn_id: str
    asn_type: str
    products: tuple[Product, ...]
    asn_pool: str = "none"
    folder: Path = field(default=Path(), compare=False)
    asn_rule: str = "none"
    degraded: tuple[str, ...] = ()
    program: str = ""
    target: str = ""
    calibrations: Mapping[str, Any] | None = field(default=None, hash=False)
    extra: Extra = field(default=(), hash=False)

    @property
    def version_id(self) -> str:
        """Sixteen digits that change with the members, their roles and checksums, not with folders."""
        members = sorted((Path(m.expname).name, m.exptype, m.sha256 or "") for m in self.members)
        return hashlib.sha256(json.dumps(members).encode()).hexdigest()[:16]

    @property
    def level(self) -> int | None:
        """Level of the product; None where neither type nor rule says."""
        found = re.fullmatch(r"level(\d)", self.asn_type) or _JWST.search(self.asn_rule)
        return int(found[1]) if found else None

    @property
    def members(self) -> tuple[Member, ...]:
        """Members of all products."""
        return tuple(member for product in self.products for member in product.members)

    def files(self, exptype: str | None = None) -> list[Path]:
        """List the files of the members in one role.

        Parameters
        ----------
        exptype : str, optional
            Role; all members without it. A ``background`` member counts as ``sky`` if it is a sky
            frame (IMTYPE SKY), as ``background`` if it is another dither of the field.

        Returns
        -------
        list of Path
            In the order of the members; all reads of a raw exposure.

        Raises
        ------
        AssociationError
            If a member is not there, or two members are one exposure.
        """
        finder = MemberFinder(self.folder)
        found: dict[Path, None] = {}
        for product in self.products:
            owner: dict[Path, str] = {}
            for member in product.members:
                if exptype not in (None, _role(member, finder)):
                    continue
                for path in _files(member, finder):
                    if path in owner:
                        raise AssociationError(_one_exposure(product, owner[path], member.expname))
                    owner[path] = member.expname
                    found[path] = None
        return list(found)

    def raw_exposures(self, *, skip_bad: bool = False) -> list[RawExposure]:
        """Group the raw reads of all members into exposures.

        Parameters
        ----------
        skip_bad : bool
            Go on without reads that cannot be used.

        Returns
        -------
        list of RawExposure
            As :func:`liger_iris_pipeline.models.reads.group_exposures` orders them.

        Raises
        ------
        AssociationError
            If a member is not there.
        ReadError
            If a read cannot be used.
        """
        scan = scan_reads(sorted(set(self.files())), skip_bad=skip_bad)
        exposures, notes = group_exposures(scan.reads)
        for note in (*scan.warnings, *notes):
            logger.warning("%s", note)
        return list(exposures)

    def write(self, path: str | Path, *, overwrite: bool = False) -> Path:
        """Write the association as JSON, complete in one instant.

        Parameters
        ----------
        path : str or Path
            The file. Names of members are written relative to its folder.
        overwrite : bool
            Replace another association of that name.

        Returns
        -------
        Path
            The file.

        Raises
        ------
        AssociationError
            If another association has that name.
        DiskError
            If the file cannot be written.
        """
        path = Path(path)
        text = json.dumps(self._content(path.parent), indent=2) + "\n"
        staged = path.with_name(f".{path.name}.{os.getpid()}")
        try:
            if path.exists() and not overwrite and path.read_text("utf-8") != text:
                raise AssociationError(
                    complaint(path, "file", "another association", "none", "use --overwrite")
                )
            staged.write_text(text, "utf-8")
            staged.replace(path)
        except OSError as error:
            raise disk_error(error, path) from error
        except UnicodeDecodeError as error:
            raise AssociationError(
                complaint(path, "file", error, "a file that can be written", "name another folder")
            ) from error
        finally:
            staged.unlink(missing_ok=True)
        return path

    def _content(self, folder: Path) -> dict[str, Any]:
        """Give what is written to a file in a folder."""
        moved = self.folder.resolve() != folder.resolve()

        def place(name: str) -> str:
            if not moved:
                return name
            return Path(os.path.relpath(self.folder.resolve() / name, folder.resolve())).as_posix()

        head = {
            "asn_id": self.asn_id,
            "asn_type": self.asn_type,
            "asn_rule": self.asn_rule,
            "asn_pool": self.asn_pool,
            "program": self.program or None,
            "target": self.target or None,
            "version_id": self.version_id,
            "degraded": list(self.degraded),
            "calibrations": self.calibrations,
        }
        return {
            **{key: value for key, value in head.items() if value is not None},
            **dict(self.extra),
            "products": [_product_content(product, place) for product in self.products],
        }


def _product_content(product: Product, place: Callable[[str], str]) -> dict[str, Any]:
    """Give what is written of a product."""
    members = []
    for member in product.members:
        entry = {
            "expname": place(member.expname),
            "exptype": member.exptype,
            "group_id": member.group_id,
            "sha256": member.sha256,
            "dt_s": member.dt_s,
            "reads": [{"name": name, "sha256": sha256} for name, sha256 in member.reads] or None,
            **dict(member.extra),
        }
        members.append({key: value for key, value in entry.items() if value is not None})
    members += [{**other, "expname": place(other["expname"])} for other in product.others]
    return {"name": product.name, **dict(product.extra), "members": members}


def _one_exposure(product: Product, first: str, second: str) -> str:
    """Write the message that two members are one exposure."""
    return complaint(
        f"product {product.name}",
        "member",
        f"{first} and {second}, which are one exposure",
        "each exposure once",
        "take one out",
    )


def _files(member: Member, finder: MemberFinder) -> tuple[Path, ...]:
    """Find the files of a member: those written down, else all of its exposure."""
    if not member.reads:
        return finder.files(member.expname)
    folder = (finder.folder / member.expname).parent
    return tuple(folder / name for name, _ in member.reads)


def _role(member: Member, finder: MemberFinder) -> str:
    """Tell sky frames among the background members."""
    if member.exptype != "background":
        return member.exptype
    finder.files(member.expname)
    sky = str(finder.header(member.expname).get("IMTYPE")).strip().upper() == "SKY"
    return "sky" if sky else "background"


def load(path: str | Path) -> Association:
    """Read an association and check it.

    Parameters
    ----------
    path : str or Path
        JSON file; the names of its members are relative to its folder.

    Returns
    -------
    Association
        With `folder` set.

    Raises
    ------
    AssociationError
        If the file is no association, or names a role that is not known, a member that is not
        there, one exposure twice, a product whose name is a path, or a checksum that is wrong.
    """
    path = Path(path)
    try:
        content = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise AssociationError(
            complaint(path, "file", error, "an association in JSON", "name another or repair it")
        ) from error
    where = _Place(path)
    content = dict(where.mapping(content, "file"))
    rule = where.text_or_none(content, "asn_rule", "file") or "none"
    jwst = _JWST.search(rule)
    if jwst and content.get("asn_type") is None:
        content["asn_type"] = f"level{jwst[1]}"
    products = tuple(
        _read_product(where, item, number, is_jwst=jwst is not None)
        for number, item in enumerate(where.sequence(content, "products", "file"), start=1)
    )
    where.no_twice("product", (product.name for product in products))
    calibrations = content.get("calibrations")
    association = Association(
        asn_id=where.text_or_none(content, "asn_id", "file") or path.stem,
        asn_type=where.text(content, "asn_type", "file"),
        products=products,
        asn_pool=where.text_or_none(content, "asn_pool", "file") or "none",
        folder=path.parent,
        asn_rule=rule,
        degraded=_read_degraded(where, content),
        program=where.text_or_none(content, "program", "file") or "",
        target=where.text_or_none(content, "target", "file") or "",
        calibrations=calibrations and where.mapping(calibrations, "calibrations"),
        extra=_rest(content, _OWN),
    )
    _check_members(where, association)
    return association


def _read_degraded(where: _Place, content: Mapping[str, Any]) -> tuple[str, ...]:
    """Check the list of what is missing."""
    notes = content.get("degraded") or []
    if not isinstance(notes, list) or not all(isinstance(note, str) for note in notes):
        raise where.error("file: degraded", _kind(notes), "a list of texts", "correct it")
    return tuple(notes)


def _read_product(where: _Place, item: object, number: int, *, is_jwst: bool) -> Product:
    """Check one product."""
    part = f"product {number}"
    content = where.mapping(item, part)
    default = f"{where.path.stem}_{number}" if is_jwst else None
    name = where.text(content, "name", part, default=default)
    if any(mark in name for mark in ("/", "\\", "\0")) or name in (".", ".."):
        raise where.error(f"{part}: name", repr(name), "a name without path separators", "rename")
    used, others = [], []
    for count, entry in enumerate(where.sequence(content, "members", f"product {name}"), 1):
        at = f"product {name}, member {count}"
        if is_jwst and _is_left_out(where, entry, at):
            others.append(entry)
        else:
            used.append(_read_member(where, entry, at, is_jwst=is_jwst))
    if not used:
        raise where.error(
            f"product {name}: members", "none of a role we use", "at least one", "add it"
        )
    where.no_twice(f"product {name}: expname", (member.expname for member in used))
    return Product(name, tuple(used), tuple(others), _rest(content, _OWN_OF_PRODUCT))


def _rest(content: Mapping[str, Any], own: frozenset[str]) -> Extra:
    """Keep what is not ours."""
    return tuple((key, value) for key, value in content.items() if key not in own)


def _is_left_out(where: _Place, item: object, part: str) -> bool:
    """Say whether a member has a role of JWST that we do not use, with a warning."""
    content = where.mapping(item, part)
    expname = where.text(content, "expname", part)
    exptype = where.text(content, "exptype", part)
    if exptype.lower() in EXPTYPES:
        return False
    logger.warning(
        "%s",
        complaint(
            where.path, f"{part} ({expname}): exptype", exptype, "a role we use", "it is left out"
        ),
    )
    return True


def _read_member(where: _Place, item: object, part: str, *, is_jwst: bool) -> Member:
    """Check one member."""
    content = where.mapping(item, part)
    expname = where.text(content, "expname", part)
    exptype = where.text(content, "exptype", part)
    exptype = exptype.lower() if is_jwst else exptype
    if exptype not in EXPTYPES:
        raise where.error(
            f"{part} ({expname}): exptype", repr(exptype), f"one of {' '.join(EXPTYPES)}", "correct"
        )
    group_id = content.get("group_id")
    sha256 = where.text_or_none(content, "sha256", part)
    dt_s = content.get("dt_s")
    if dt_s is not None and (isinstance(dt_s, bool) or not isinstance(dt_s, int | float)):
        raise where.error(f"{part} ({expname}): dt_s", repr(dt_s), "seconds", "correct it")
    return Member(
        expname,
        exptype,
        None if group_id is None else str(group_id),
        sha256 and sha256.lower(),
        dt_s,
        _read_reads(where, content, f"{part} ({expname})"),
        _rest(content, _OWN_OF_MEMBER),
    )


def _read_reads(
    where: _Place, content: Mapping[str, Any], part: str
) -> tuple[tuple[str, str], ...]:
    """Check the files that were written down for a member."""
    if content.get("reads") is None:
        return ()
    found = []
    for item in where.sequence(content, "reads", part):
        entry = where.mapping(item, f"{part}: reads")
        name = where.text(entry, "name", f"{part}: reads")
        if Path(name).name != name or "\\" in name:
            raise where.error(
                f"{part}: reads: name", repr(name), "a name without path", "correct it"
            )
        found.append((name, where.text(entry, "sha256", f"{part}: reads").lower()))
    where.no_twice(f"{part}: reads", (name for name, _ in found))
    return tuple(found)


def _check_members(where: _Place, association: Association) -> None:
    """Check that members are there, are different exposures and have not changed."""
    finder = MemberFinder(association.folder)
    for product in association.products:
        exposures: dict[Any, str] = {}
        for member in product.members:
            part = f"product {product.name}: member"
            named = finder.named(member.expname)
            if not named:
                raise where.error(
                    part,
                    f"{member.expname}, which is not in {association.folder}",
                    "a file, or the stem of an exposure",
                    "correct expname or add the file",
                )
            exposure = (named[0].parent, stem_of(named[0].name), level_of(named[0].name))
            other = exposures.setdefault(exposure, member.expname)
            if other != member.expname:
                raise where.error(
                    part, f"{other} and {member.expname}, one exposure", "each once", "take one out"
                )
            _check_reads(where, member, named[0].parent)
            if member.sha256 is not None:
                _check_sha256(where, member, named)


def _check_sha256(where: _Place, member: Member, named: tuple[Path, ...]) -> None:
    """Compare the checksum of a member with its file."""
    if len(named) > 1:
        raise where.error(
            f"member {member.expname}: sha256",
            f"one checksum for {len(named)} files",
            "the name of the file it belongs to as expname",
            "name the file",
        )
    _compare(where, member.expname, named[0], member.sha256 or "")


def _check_reads(where: _Place, member: Member, folder: Path) -> None:
    """Compare the files that were written down for a member with those that are there."""
    for name, sha256 in member.reads:
        if not (folder / name).is_file():
            raise where.error(
                f"member {member.expname}: reads",
                f"{name}, which is not in {folder}",
                "every read that was associated",
                "put it back or make the association anew",
            )
        _compare(where, name, folder / name, sha256)


def _compare(where: _Place, name: str, path: Path, sha256: str) -> None:
    """Refuse a file that has another checksum than was written down."""
    try:
        found = sha256_of(path)
    except OSError as error:
        raise where.error(f"member {name}: file", error, "a file", "make it readable") from error
    if found != sha256:
        raise where.error(
            f"member {name}: sha256",
            f"{found[:12]}…",
            sha256,
            "the file is not the one that was associated: put it back or make the association anew",
        )


@dataclass(frozen=True)
class _Place:
    """The file being read; gives values of the right type or says what is wrong with them."""

    path: Path

    def error(self, part: str, got: object, expected: str, remedy: str) -> AssociationError:
        """Make the error for a part of the file."""
        return AssociationError(complaint(self.path, part, got, expected, remedy))

    def mapping(self, value: object, part: str) -> Mapping[str, Any]:
        """Give a JSON object."""
        if not isinstance(value, dict):
            raise self.error(part, _kind(value), "an object in braces", "write it as one")
        return value

    def sequence(self, content: Mapping[str, Any], key: str, part: str) -> list[Any]:
        """Give a JSON list that is not empty."""
        value = content.get(key)
        if not isinstance(value, list) or not value:
            got = "an empty list" if value == [] else _kind(value)
            raise self.error(f"{part}: {key}", got, "a list with at least one entry", "fill it")
        return value

    def text(
        self, content: Mapping[str, Any], key: str, part: str, default: str | None = None
    ) -> str:
        """Give a text that is not blank."""
        value = content.get(key, default)
        if not isinstance(value, str) or not value.strip():
            got = repr(value) if value is not None else "nothing"
            raise self.error(f"{part}: {key}", got, "a text", "add it")
        return value

    def text_or_none(self, content: Mapping[str, Any], key: str, part: str) -> str | None:
        """Give a text that is not blank; None where it is absent or null."""
        return None if content.get(key) is None else self.text(content, key, part)

    def no_twice(self, part: str, names: Iterable[str]) -> None:
        """Refuse a name that comes twice."""
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise self.error(part, f"{twice[0]} more than once", "each once", "take one out")


def _kind(value: object) -> str:
    """Name the type of a JSON value."""
    return "nothing" if value is None else f"a JSON {type(value).__name__}"
