"""Associations on disk: read, checked, resolved, written."""

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline.associations import (
    EXPTYPES,
    Association,
    Member,
    Product,
    generate,
    load,
)
from liger_iris_pipeline.errors import AssociationError, DiskError
from liger_iris_pipeline.models.reads import group_exposures, scan_reads


def save(folder: Path, members: Any, name: str = "product", **content: Any) -> Path:
    """Write an association of one product."""
    path = folder / "asn.json"
    whole = {
        "asn_id": "a1",
        "asn_type": "level2",
        "asn_pool": "none",
        "products": [{"name": name, "members": members}],
        **content,
    }
    path.write_text(json.dumps({key: value for key, value in whole.items() if value is not None}))
    return path


def member(path: Path | str, exptype: str = "science", **other: Any) -> dict[str, Any]:
    return {"expname": path.name if isinstance(path, Path) else path, "exptype": exptype, **other}


def write_product(path: Path, **keywords: Any) -> Path:
    hdu = fits.PrimaryHDU()
    hdu.header.update({"DATALVL": 1, "OBS_ID": "2026B-P001-001", "DETECTOR": "IMG1", **keywords})
    hdu.writeto(path)
    return path


@pytest.mark.parametrize("form", ["file", "last file", "stem", "stem without level"])
def test_a_member_stands_for_all_reads_of_its_exposure(tmp_path, write, form) -> None:
    reads = write(tmp_path, 1, reads=3)
    write(tmp_path, 2)
    write(tmp_path, 1, DETECTOR="IMG2")
    stem = reads[0].name.removesuffix("-01-0001.fits")
    names = {
        "file": reads[0].name,
        "last file": reads[2].name,
        "stem": stem,
        "stem without level": stem.replace("_LVL0", ""),
    }
    association = load(save(tmp_path, [member(names[form], group_id=7)]))
    assert association.files("science") == reads
    assert association.files("sky") == []
    assert association.members[0].group_id == "7"


def test_reads_belong_together_by_header_not_by_name(tmp_path, write) -> None:
    reads = write(tmp_path, 1, reads=3)
    write(tmp_path, 2)
    odd = [path.rename(tmp_path / f"frame_{i}.fits") for i, path in enumerate(reads)]
    association = load(save(tmp_path, [member("frame_1.fits")]))
    assert association.files() == odd
    assert load(save(tmp_path, [member("frame_1")])).files() == odd


def test_windows_of_one_exposure_are_two_members(tmp_path, write) -> None:
    size = {"SUBARRAY": "CUSTOM", "SUBSTRT2": 1, "SUBSIZE1": 8, "SUBSIZE2": 8}
    first = write(tmp_path, 1, SUBARRID=1, SUBSTRT1=1, **size)
    second = write(tmp_path, 1, SUBARRID=2, SUBSTRT1=9, **size)
    association = load(save(tmp_path, [member(first[0]), member(second[1])]))
    assert association.files() == first + second


def test_read_that_cannot_be_read_is_not_left_out(tmp_path, write) -> None:
    reads = write(tmp_path, 1, reads=3)
    reads[1].write_bytes(b"SIMPLE  =")
    (tmp_path / "other.fits").write_bytes(b"")
    assert load(save(tmp_path, [member(reads[0])])).files() == reads


def test_members_become_raw_exposures(tmp_path, write) -> None:
    reads = write(tmp_path, 1, reads=3) + write(tmp_path, 2, reads=3)
    write(tmp_path, 3)
    association = load(save(tmp_path, [member(reads[4]), member(reads[0], "background")]))
    exposures = association.raw_exposures()
    found = [read.path for exposure in exposures for ramp in exposure.ramps for read in ramp]
    assert sorted(found) == reads
    assert len(exposures) == 2


def test_generated_associations_lead_back_to_their_exposures(tmp_path, write) -> None:
    raw = tmp_path / "raw"
    reads = [path for number in (1, 2, 3) for path in write(raw, number)]
    exposures, _ = group_exposures(scan_reads(reads).reads)
    (level3,) = generate(exposures, kinds=["level3"], folder=raw)
    path = level3.write(tmp_path / "asn.json")
    assert [item.resolve() for item in load(path).files("science")] == reads
    assert [e.key for e in load(path).raw_exposures()] == [e.key for e in exposures]


def test_products_stand_for_themselves(tmp_path, write) -> None:
    reads = write(tmp_path, 1)
    stem = "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001"
    frame = write_product(tmp_path / f"{stem}.fits", EXP_NO=1)
    association = load(save(tmp_path, [member(frame)]))
    assert association.files("science") == [frame]
    assert load(save(tmp_path, [member(stem)])).files() == [frame]
    assert load(save(tmp_path, [member(reads[0])])).files() == reads


def test_names_are_relative_to_the_file(tmp_path, write, monkeypatch) -> None:
    reads = write(tmp_path / "raw")
    (tmp_path / "asn").mkdir()
    path = save(tmp_path / "asn", [member(f"../raw/{reads[0].name}")])
    monkeypatch.chdir(tmp_path)
    found = load(path.relative_to(tmp_path)).files()
    assert [item.resolve() for item in found] == reads


def test_background_is_sky_unless_it_is_a_dither(tmp_path, write) -> None:
    science, dither, sky, blank = (
        write(tmp_path, n, reads=1, IMTYPE=imtype)[0]
        for n, imtype in enumerate(["SCI", "SCI", "SKY", "SKY"], start=1)
    )
    association = load(
        save(
            tmp_path,
            [
                member(science),
                member(dither, "background"),
                member(sky, "background"),
                member(blank, "sky"),
            ],
        )
    )
    assert association.files("science") == [science]
    assert association.files("background") == [dither]
    assert association.files("sky") == [sky, blank]


@pytest.mark.parametrize("exptype", EXPTYPES)
def test_every_role_is_read(tmp_path, write, exptype) -> None:
    (path,) = write(tmp_path, reads=1)
    assert load(save(tmp_path, [member(path, exptype)])).members[0].exptype == exptype


def test_checksum_is_verified(tmp_path, write) -> None:
    (path,) = write(tmp_path, reads=1)
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert load(save(tmp_path, [member(path, sha256=digest.upper())])).members[0].sha256 == digest
    with pytest.raises(AssociationError, match=rf"sha256: got {digest[:12]}…, expected 00000"):
        load(save(tmp_path, [member(path, sha256="0" * 64)]))
    reads = write(tmp_path, 2)
    stem = reads[0].name.removesuffix("-01-0001.fits")
    with pytest.raises(AssociationError, match="got one checksum for 2 files"):
        load(save(tmp_path, [member(stem, sha256=digest)]))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"asn_type": None}, r"asn\.json: file: asn_type: got nothing, expected a text"),
        ({"asn_id": 5}, r"file: asn_id: got 5, expected a text"),
        ({"products": None}, r"file: products: got nothing, expected a list"),
        ({"products": []}, r"file: products: got an empty list"),
        ({"products": {"name": "x"}}, r"file: products: got a JSON dict"),
        ({"products": ["x"]}, r"product 1: got a JSON str, expected an object"),
        ({"products": [{"members": []}]}, r"product 1: name: got nothing"),
        ({"products": [{"name": "x", "members": []}]}, r"product x: members: got an empty list"),
        ({"products": [{"name": "x"}]}, r"product x: members: got nothing"),
        ({"products": [{"name": "x", "members": [3]}]}, r"product x, member 1: got a JSON int"),
        (
            {"products": [{"name": "x", "members": [{"exptype": "sky"}]}]},
            r"product x, member 1: expname: got nothing",
        ),
    ],
)
def test_content_that_is_no_association(tmp_path, content, message) -> None:
    with pytest.raises(AssociationError, match=message):
        load(save(tmp_path, [member("a.fits")], **content))


@pytest.mark.parametrize("text", ["", "{", "[]", "\ufeffnot json"])
def test_files_that_are_no_association(tmp_path, text) -> None:
    path = tmp_path / "asn.json"
    path.write_text(text)
    with pytest.raises(AssociationError, match=r"asn\.json: file: got"):
        load(path)
    with pytest.raises(AssociationError, match=r"gone\.json: file: got .*No such file"):
        load(tmp_path / "gone.json")


@pytest.mark.parametrize("name", ["../up", "a/b", "a\\b", "/abs", ".."])
def test_product_name_with_a_path_is_refused(tmp_path, write, name) -> None:
    (path,) = write(tmp_path, reads=1)
    with pytest.raises(AssociationError, match=r"product 1: name: got .* without path separators"):
        load(save(tmp_path, [member(path)], name=name))


def test_unknown_role_is_refused_by_name(tmp_path, write) -> None:
    (path,) = write(tmp_path, reads=1)
    with pytest.raises(
        AssociationError, match=r"member 1 \(.*\): exptype: got 'Science', expected"
    ):
        load(save(tmp_path, [member(path, "Science")]))


@pytest.mark.parametrize("name", ["gone.fits", "2026B-P001-001_IRIS_IMG1_SCI_LVL0_0009", "no/x"])
def test_missing_member_is_refused_by_name(tmp_path, write, name) -> None:
    write(tmp_path)
    with pytest.raises(AssociationError, match=f"product: member: got {name}, which is not in"):
        load(save(tmp_path, [member(name)]))


def test_member_that_goes_away_after_loading(tmp_path, write) -> None:
    (path,) = write(tmp_path, reads=1)
    association = load(save(tmp_path, [member(path)]))
    path.unlink()
    with pytest.raises(AssociationError, match=r"member: got nothing of that name in"):
        association.files()


def test_duplicate_members_are_refused(tmp_path, write) -> None:
    reads = write(tmp_path)
    with pytest.raises(AssociationError, match=r"expname: got .* more than once"):
        load(save(tmp_path, [member(reads[0]), member(reads[0], "sky")]))
    with pytest.raises(AssociationError, match=r"got .*0001.fits and .*0002.fits, one exposure"):
        load(save(tmp_path, [member(reads[0]), member(reads[1])]))
    odd = [reads[0].rename(tmp_path / "framea.fits"), reads[1].rename(tmp_path / "frameb.fits")]
    association = load(save(tmp_path, [member(path) for path in odd]))
    with pytest.raises(AssociationError, match=r"framea.fits and frameb.fits, which are one"):
        association.files()
    twice = {"name": "x", "members": [member("framea.fits")]}
    with pytest.raises(AssociationError, match="product: got x more than once"):
        load(save(tmp_path, [], products=[twice, twice]))


def test_two_products_may_share_a_sky(tmp_path, write) -> None:
    paths = [write(tmp_path, n, reads=1)[0] for n in (1, 2, 3)]
    products = [
        {"name": f"p{n}", "members": [member(paths[n]), member(paths[2], "sky")]} for n in (0, 1)
    ]
    association = load(save(tmp_path, [], products=products))
    assert association.files() == [paths[0], paths[2], paths[1]]


def test_what_is_written_can_be_read(tmp_path) -> None:
    association = Association(
        "id",
        "level2",
        (Product("p", (Member("a.fits", "science", "g_0001"), Member("b.fits", "sky"))),),
        folder=tmp_path,
    )
    for name in ("a", "b"):
        fits.PrimaryHDU(np.zeros((2, 2), np.uint16)).writeto(tmp_path / f"{name}.fits")
    path = association.write(tmp_path / "asn.json")
    assert load(path) == association
    assert association.write(path) == path  # the same again does no harm
    content = json.loads(path.read_text())
    assert content["products"][0]["members"][1] == {"expname": "b.fits", "exptype": "sky"}
    other = Association("other", "level2", association.products, folder=tmp_path)
    with pytest.raises(AssociationError, match=r"asn\.json: file: got another association"):
        other.write(path)
    assert load(other.write(path, overwrite=True)).asn_id == "other"
    with pytest.raises(DiskError, match="No such file"):
        association.write(tmp_path / "gone" / "asn.json")
    assert sorted(item.name for item in tmp_path.iterdir()) == ["a.fits", "asn.json", "b.fits"]


def test_names_follow_the_file_to_another_folder(tmp_path, write, exposure) -> None:
    reads = write(tmp_path / "raw", 1)
    (association,) = generate([exposure(1)], kinds=["level2"], folder=tmp_path / "raw")
    (tmp_path / "out" / "associations").mkdir(parents=True)
    path = association.write(tmp_path / "out" / "associations" / "x.json")
    again = load(path)
    assert again.members[0].expname == f"../../raw/{reads[0].name}"
    assert [item.resolve() for item in again.files("science")] == reads
    assert again.products[0].name == association.products[0].name
