"""Members carry the checksums of all their reads."""

import hashlib
import json
from dataclasses import replace

import pytest

from liger_iris_pipeline.associations import (
    Association,
    Member,
    MemberFinder,
    Product,
    add_checksums,
    load,
)
from liger_iris_pipeline.errors import AssociationError


def sha256(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def make(folder, *members):
    return Association("a", "level2", (Product("p", tuple(members)),), folder=folder)


def test_every_read_of_a_member_is_written_down(tmp_path, write) -> None:
    reads = write(tmp_path / "raw", 1, reads=3)
    sky = write(tmp_path / "raw", 2, reads=2, IMTYPE="SKY")
    stem = sky[0].name.removesuffix("-01-0001.fits")
    given = make(tmp_path / "raw", Member(reads[1].name, "science"), Member(stem, "sky"))
    found = add_checksums(given)
    science, companion = found.members
    assert science.sha256 == sha256(reads[1])
    assert science.reads == tuple((path.name, sha256(path)) for path in reads)
    assert companion.sha256 is None  # a stem is no file
    assert companion.reads == tuple((path.name, sha256(path)) for path in sky)
    assert given.members[0].sha256 is None
    path = found.write(tmp_path / "asn.json")
    again = load(path)
    assert [m.reads for m in again.members] == [m.reads for m in found.members]
    assert [p.resolve() for p in again.files()] == reads + sky
    assert again.version_id == found.version_id  # whatever the folder
    assert again.write(path) == path


def test_known_checksums_are_not_computed(tmp_path, write) -> None:
    reads = write(tmp_path, 1, reads=2)
    known = {path: f"{number}" * 64 for number, path in enumerate(reads)}
    found = add_checksums(
        make(tmp_path, Member(reads[0].name, "science")), known=known, finder=MemberFinder(tmp_path)
    )
    assert [digest for _, digest in found.members[0].reads] == ["0" * 64, "1" * 64]


def test_a_product_is_one_file(tmp_path, write) -> None:
    (single,) = write(tmp_path, 1, reads=1)
    found = add_checksums(make(tmp_path, Member(single.name, "science")))
    assert (found.members[0].sha256, found.members[0].reads) == (sha256(single), ())


def test_a_changed_or_lost_read_is_named(tmp_path, write) -> None:
    reads = write(tmp_path, 1, reads=3)
    found = add_checksums(make(tmp_path, Member(reads[0].name, "science")))
    path = found.write(tmp_path / "asn.json")
    kept = reads[1].read_bytes()
    reads[1].write_bytes(kept[:-1] + b"\1")
    with pytest.raises(
        AssociationError, match=rf"member {reads[1].name}: sha256: got .*, expected"
    ):
        load(path)
    reads[1].unlink()
    with pytest.raises(AssociationError, match=rf"reads: got {reads[1].name}, which is not in"):
        load(path)
    reads[1].write_bytes(kept)
    assert load(path).files() == reads


def test_a_read_that_came_later_does_not_change_an_association(tmp_path, write) -> None:
    reads = write(tmp_path, 1, reads=3)
    later = reads.pop()
    aside = later.rename(tmp_path / "aside.tmp")
    path = add_checksums(make(tmp_path, Member(reads[0].name, "science"))).write(
        tmp_path / "a.json"
    )
    aside.rename(later)
    assert load(path).files() == reads
    assert load(path).raw_exposures()[0].files == tuple(reads)


def test_a_member_that_cannot_be_read_is_named(tmp_path, write, monkeypatch) -> None:
    (path,) = write(tmp_path, reads=1)
    with pytest.raises(AssociationError, match=r"gone\.fits: member: got nothing of that name"):
        add_checksums(make(tmp_path, Member("gone.fits", "science")))

    def refuse(path):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("liger_iris_pipeline.associations.checksums.sha256_of", refuse)
    with pytest.raises(AssociationError, match=r"file: got .*Permission denied, expected a file"):
        add_checksums(make(tmp_path, Member(path.name, "science")))


@pytest.mark.parametrize(
    ("reads", "message"),
    [
        ("x", r"reads: got a JSON str, expected a list"),
        ([], r"reads: got an empty list"),
        ([1], r"reads: got a JSON int, expected an object"),
        ([{"name": "a.fits"}], r"reads: sha256: got nothing"),
        ([{"name": "../a.fits", "sha256": "0"}], r"reads: name: got '\.\./a\.fits', expected a na"),
        ([{"name": "a.fits", "sha256": "0"}] * 2, r"reads: got a\.fits more than once"),
    ],
)
def test_reads_that_are_no_reads(tmp_path, reads, message) -> None:
    path = tmp_path / "asn.json"
    member = {"expname": "a.fits", "exptype": "science", "reads": reads}
    products = [{"name": "p", "members": [member]}]
    path.write_text(json.dumps({"asn_type": "level2", "products": products}))
    with pytest.raises(AssociationError, match=message):
        load(path)


def test_version_changes_with_members_roles_and_checksums() -> None:
    one = make("", Member("a", "science"), Member("b", "sky"))
    turned = make("", Member("b", "sky"), Member("a", "science"))
    assert one.version_id == turned.version_id
    assert len(one.version_id) == 16
    others = [
        make("", Member("a", "science")),
        make("", Member("a", "science"), Member("b", "background")),
        make("", Member("a", "science"), Member("b", "sky", sha256="0" * 64)),
    ]
    assert len({one.version_id, *(other.version_id for other in others)}) == 4
    assert replace(one, asn_id="other", degraded=("x: y",)).version_id == one.version_id
