"""Associations: which exposures belong together, and in which role; JSON on disk."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from liger_iris_pipeline.associations.members import MemberFinder, level_of, stem_of
from liger_iris_pipeline.errors import AssociationError, complaint
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


@dataclass(frozen=True)
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
    """

    expname: str
    exptype: str
    group_id: str | None = None
    sha256: str | None = None


@dataclass(frozen=True)
class Product:
    """What is to be made, and from what.

    Attributes
    ----------
    name : str
        File name without ending.
    members : tuple of Member
        The member that names the product first.
    """

    name: str
    members: tuple[Member, ...]


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
    """

    asn_id: str
    asn_type: str
    products: tuple[Product, ...]
    asn_pool: str = "none"
    folder: Path = field(default=Path(), compare=False)

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
                for path in finder.files(member.expname):
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
            If another association has that name, or the file cannot be written.
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
        except (OSError, UnicodeDecodeError) as error:
            raise AssociationError(
                complaint(path, "file", error, "a file that can be written", "name another folder")
            ) from error
        finally:
            staged.unlink(missing_ok=True)
        return path

    def _content(self, folder: Path) -> dict[str, Any]:
        """Give what is written to a file in a folder."""
        moved = self.folder.resolve() != folder.resolve()
        products = []
        for product in self.products:
            members = []
            for member in product.members:
                name = member.expname
                if moved:
                    target = self.folder.resolve() / name
                    name = Path(os.path.relpath(target, folder.resolve())).as_posix()
                entry = {"expname": name, "exptype": member.exptype, "group_id": member.group_id}
                entry["sha256"] = member.sha256
                members.append({key: value for key, value in entry.items() if value is not None})
            products.append({"name": product.name, "members": members})
        return {
            "asn_id": self.asn_id,
            "asn_type": self.asn_type,
            "asn_pool": self.asn_pool,
            "products": products,
        }


def _one_exposure(product: Product, first: str, second: str) -> str:
    """Write the message that two members are one exposure."""
    return complaint(
        f"product {product.name}",
        "member",
        f"{first} and {second}, which are one exposure",
        "each exposure once",
        "take one out",
    )


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
    content = where.mapping(content, "file")
    products = tuple(
        _read_product(where, item, number)
        for number, item in enumerate(where.sequence(content, "products", "file"), start=1)
    )
    where.no_twice("product", (product.name for product in products))
    association = Association(
        asn_id=where.text(content, "asn_id", "file", default=path.stem),
        asn_type=where.text(content, "asn_type", "file"),
        products=products,
        asn_pool=where.text(content, "asn_pool", "file", default="none"),
        folder=path.parent,
    )
    _check_members(where, association)
    return association


def _read_product(where: _Place, item: object, number: int) -> Product:
    """Check one product."""
    part = f"product {number}"
    content = where.mapping(item, part)
    name = where.text(content, "name", part)
    if any(mark in name for mark in ("/", "\\", "\0")) or name in (".", ".."):
        raise where.error(f"{part}: name", repr(name), "a name without path separators", "rename")
    members = tuple(
        _read_member(where, entry, f"product {name}, member {count}")
        for count, entry in enumerate(where.sequence(content, "members", f"product {name}"), 1)
    )
    where.no_twice(f"product {name}: expname", (member.expname for member in members))
    return Product(name, members)


def _read_member(where: _Place, item: object, part: str) -> Member:
    """Check one member."""
    content = where.mapping(item, part)
    expname = where.text(content, "expname", part)
    exptype = where.text(content, "exptype", part)
    if exptype not in EXPTYPES:
        raise where.error(
            f"{part} ({expname}): exptype", repr(exptype), f"one of {' '.join(EXPTYPES)}", "correct"
        )
    group_id = content.get("group_id")
    sha256 = where.text(content, "sha256", part) if content.get("sha256") is not None else None
    return Member(
        expname, exptype, None if group_id is None else str(group_id), sha256 and sha256.lower()
    )


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
    with named[0].open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != member.sha256:
        raise where.error(
            f"member {member.expname}: sha256",
            f"{found[:12]}…",
            f"{member.sha256}",
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

    def no_twice(self, part: str, names: Iterable[str]) -> None:
        """Refuse a name that comes twice."""
        twice = sorted(name for name, count in Counter(names).items() if count > 1)
        if twice:
            raise self.error(part, f"{twice[0]} more than once", "each once", "take one out")


def _kind(value: object) -> str:
    """Name the type of a JSON value."""
    return "nothing" if value is None else f"a JSON {type(value).__name__}"
