"""Checksums of members: written into associations, compared when they are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from liger_iris_pipeline.associations.members import MemberFinder
from liger_iris_pipeline.errors import AssociationError, complaint
from liger_iris_pipeline.models.digest import sha256_of

if TYPE_CHECKING:
    from liger_iris_pipeline.associations.association import Association, Member

__all__ = ["add_checksums"]


def add_checksums(
    association: Association,
    *,
    known: Mapping[Path, str] | None = None,
    finder: MemberFinder | None = None,
) -> Association:
    """Write down the files of all members and their checksums.

    Parameters
    ----------
    association : Association
        Its members are names in its folder.
    known : mapping of Path to str, optional
        Checksums that need not be computed again, by the path of the file.
    finder : MemberFinder, optional
        One for many associations of the same folder, so that it is searched only once.

    Returns
    -------
    Association
        The same with ``sha256`` of each member (of the file named, or of the first of a stem) and ``reads`` where
        a member stands for several files or is a raw read.

    Raises
    ------
    AssociationError
        If a member is not there or cannot be read.
    """
    finder = finder or MemberFinder(association.folder)
    products = tuple(
        replace(
            product,
            members=tuple(_with_checksums(m, finder, known or {}) for m in product.members),
        )
        for product in association.products
    )
    return replace(association, products=products)


def _with_checksums(member: Member, finder: MemberFinder, known: Mapping[Path, str]) -> Member:
    """Write down the files of one member."""
    files = finder.files(member.expname)
    sums = [(path.name, known.get(path) or _sum(path)) for path in files]
    named = finder.named(member.expname)
    if len(files) == 1 and named[0].name == Path(member.expname).name:
        return replace(member, sha256=sums[0][1], reads=())
    sha256 = dict(sums)[named[0].name] if len(named) == 1 else None
    return replace(member, sha256=sha256, reads=tuple(sums))


def _sum(path: Path) -> str:
    """Compute a checksum; say which file cannot be read."""
    try:
        return sha256_of(path)
    except OSError as error:
        raise AssociationError(
            complaint(path, "file", error, "a file that can be read", "put it back or leave it out")
        ) from error
