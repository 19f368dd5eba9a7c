"""Associations of JWST are read and kept; ours are what its programs expect."""

import copy
import json

import pytest

from liger_iris_pipeline.associations import Association, Member, Product, generate, load
from liger_iris_pipeline.errors import AssociationError

LEVEL2 = {
    "asn_type": "image2",
    "asn_rule": "candidate_Asn_Lv2Image",
    "version_id": None,
    "code_version": "1.2.2",
    "degraded_status": "No known degraded exposures in association.",
    "program": "99009",
    "constraints": "Constraints:\n    detector: {'nrca3'}",
    "asn_id": "o001",
    "target": "1",
    "asn_pool": "pool_004",
    "products": [
        {
            "name": "jw_00001",
            "members": [
                {"expname": "a_rate.fits", "exptype": "science", "exposerr": "null"},
                {"expname": "b_rate.fits", "exptype": "Background", "exposerr": "null"},
                {"expname": "c_rate.fits", "exptype": "imprint", "exposerr": "null"},
            ],
        }
    ],
}
LEVEL3 = {
    "asn_rule": "DMS_Level3_Base",
    "products": [{"members": [{"expname": "a_cal.fits", "exptype": "science"}]}],
}
TEXTS = ("asn_type", "asn_rule", "asn_pool", "program", "asn_id", "target")


def faults(content, needed):
    """What JWST's own schema would find wrong: keys that must be there, and types."""
    found = [key for key in needed if key not in content]
    found += [key for key in TEXTS if not isinstance(content.get(key, ""), str)]
    found += ["version_id"] * (not isinstance(content.get("version_id"), str | None))
    for product in content["products"]:
        found += ["name"] * (not isinstance(product.get("name"), str))
        for member in product["members"]:
            keys = ("expname", "exptype")
            found += [key for key in keys if not isinstance(member.get(key), str)]
    return found


def save(folder, content):
    path = folder / "jw.json"
    path.write_text(json.dumps(content))
    return path


@pytest.fixture
def folder(tmp_path, write):
    for number, name in enumerate(["a_rate", "b_rate", "a_cal"], 1):
        write(tmp_path, number, reads=1)[0].rename(tmp_path / f"{name}.fits")
    return tmp_path


def test_an_association_of_jwst_is_read(folder, caplog) -> None:
    found = load(save(folder, LEVEL2))
    assert [(m.expname, m.exptype) for m in found.members] == [
        ("a_rate.fits", "science"),
        ("b_rate.fits", "background"),
    ]
    assert (found.level, found.program, found.target) == (2, "99009", "1")
    (said,) = caplog.messages
    assert "member 3 (c_rate.fits): exptype: got imprint, expected a role we use" in said


def test_what_another_program_wrote_is_kept(folder) -> None:
    found = load(save(folder, LEVEL2))
    (folder / "out").mkdir()
    content = json.loads(found.write(folder / "out" / "jw.json").read_text())
    for key in ("asn_type", "asn_rule", "code_version", "degraded_status", "constraints", "asn_id"):
        assert content[key] == LEVEL2[key]
    members = content["products"][0]["members"]
    assert [m["expname"] for m in members] == [f"../{x}_rate.fits" for x in "abc"]
    assert [m["exposerr"] for m in members] == ["null"] * 3
    assert members[2]["exptype"] == "imprint"
    assert not faults(content, ("asn_type", "asn_rule", "asn_pool", "products"))


def test_level_three_needs_only_products(folder) -> None:
    found = load(save(folder, LEVEL3))
    assert (found.asn_id, found.asn_type, found.level) == ("jw", "level3", 3)
    assert found.products[0].name == "jw_1"
    nulls = LEVEL3 | {"asn_type": None, "asn_pool": None, "target": None}
    assert load(save(folder, nulls)).asn_type == "level3"


def test_roles_are_only_left_out_where_jwst_wrote_them(folder) -> None:
    ours = copy.deepcopy(LEVEL2) | {"asn_rule": "image2"}
    with pytest.raises(AssociationError, match=r"exptype: got 'Background', expected one of"):
        load(save(folder, ours))
    nothing = copy.deepcopy(LEVEL2)
    nothing["products"][0]["members"] = LEVEL2["products"][0]["members"][2:]
    with pytest.raises(AssociationError, match=r"product jw_00001: members: got none of a role"):
        load(save(folder, nothing))


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("degraded", "no_sky", r"file: degraded: got a JSON str, expected a list of texts"),
        ("degraded", [1], r"file: degraded: got a JSON list, expected a list of texts"),
        ("calibrations", ["x"], r"calibrations: got a JSON list, expected an object"),
        ("program", 5, r"file: program: got 5, expected a text"),
        ("asn_rule", 5, r"file: asn_rule: got 5, expected a text"),
    ],
)
def test_keys_of_the_wrong_type_are_named(folder, key, value, message) -> None:
    with pytest.raises(AssociationError, match=message):
        load(save(folder, LEVEL2 | {key: value}))


def test_a_time_that_is_none_is_named(folder) -> None:
    content = copy.deepcopy(LEVEL2)
    content["products"][0]["members"][0]["dt_s"] = "soon"
    with pytest.raises(AssociationError, match=r"\(a_rate\.fits\): dt_s: got 'soon', expected sec"):
        load(save(folder, content))


def test_ours_are_what_jwst_expects(tmp_path, exposure) -> None:
    night = [exposure(n, IMTYPE="SKY" if n == 2 else "SCI") for n in (1, 2, 3)]
    found = generate(night, folder=tmp_path)
    assert len(found) == 3
    for association in found:
        content = json.loads(association.write(tmp_path / f"{association.asn_id}.json").read_text())
        assert not faults(content, (*TEXTS, "version_id", "products"))
        assert len(content["products"]) == 1
        members = content["products"][0]["members"]
        assert members[0]["exptype"] == "science"  # the first one names the parameters of stpipe
        assert all(member["group_id"] for member in members)
        assert content["degraded"] == list(association.degraded)


def test_everything_survives_a_round_trip(folder) -> None:
    association = Association(
        "a",
        "level2",
        (Product("p", (Member("a_rate.fits", "science", "g", dt_s=-1.5, extra=(("x", 1),)),)),),
        "pool",
        folder,
        "image2",
        ("no_sky: none",),
        "2026B-P001",
        "M92",
        {"block": "b", "references": {"dark": "0" * 64}},
        (("code_version", "9"),),
    )
    assert load(association.write(folder / "asn.json")) == association
