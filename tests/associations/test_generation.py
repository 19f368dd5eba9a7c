"""Associations from headers alone."""

import dataclasses
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.associations import Association, generate
from liger_iris_pipeline.errors import AssociationError

IMAGER = ("IMG1", "IMG2", "IMG3", "IMG4")


def by_type(associations: list[Association], kind: str) -> list[Association]:
    return [a for a in associations if a.asn_type == kind]


def members(association: Association, exptype: str) -> list[int]:
    """Exposure numbers of the members in a role."""
    return [
        int(m.expname.split("_LVL0_")[1][:4]) for m in association.members if m.exptype == exptype
    ]


def test_empty_folder() -> None:
    assert generate([]) == []


def test_one_exposure_only(exposure) -> None:
    only = exposure(1)
    level2, level3 = generate([only])
    assert (level2.asn_type, level3.asn_type) == ("level2", "level3")
    assert level2.products[0].name == "2026B-P001-001_IRIS_IMG1_SCI_LVL2_0001"
    assert level3.products[0].name == "2026B-P001-001_IRIS_IMG1_SCI_LVL3_0001"
    for association in (level2, level3):
        (member,) = association.members
        assert (member.expname, member.exptype) == (only.name, "science")
        assert member.group_id == "2026B-P001-001_0001"


def test_night_of_four_detectors_and_dithers(exposure) -> None:
    night = [exposure(n, DETECTOR=d) for n in range(1, 6) for d in IMAGER]
    found = generate(night)
    level2, (level3,) = by_type(found, "level2"), by_type(found, "level3")
    assert len(level2) == 20
    for association in level2:
        science = association.members[0]
        assert science.exptype == "science"
        assert len(members(association, "background")) == 4
        detector = science.expname.split("_")[2]
        assert all(m.expname.split("_")[2] == detector for m in association.members)
    assert level3.products[0].name == "2026B-P001-001_IRIS_MULTIPLE_SCI_LVL3_0001"
    assert len(level3.members) == 20
    groups = [m.group_id for m in level3.members]
    assert len(set(groups)) == 5
    assert all(groups.count(group) == 4 for group in groups)


def test_two_filters(exposure) -> None:
    night = [exposure(n, FILTER="Kbb" if n % 2 else "Hbb") for n in range(1, 9)]
    found = generate(night)
    assert members(by_type(found, "level2")[0], "background") == [3, 5, 7]
    assert [members(a, "science") for a in by_type(found, "level3")] == [[1, 3, 5, 7], [2, 4, 6, 8]]


def test_two_observations_interleaved(exposure) -> None:
    night = [
        exposure(n, OBS_ID=f"2026B-P00{p}-001", **{"MJD-OBS": 61367 + (2 * n + p) / 1440})
        for n in (1, 2, 3)
        for p in (1, 2)
    ]
    night += [exposure(9, OBS_ID="2026B-P002-001", IMTYPE="SKY")]
    found = generate(night)
    level3 = by_type(found, "level3")
    assert [a.products[0].name.split("_")[0] for a in level3] == [
        "2026B-P001-001",
        "2026B-P002-001",
    ]
    for association in by_type(found, "level2"):
        programs = {m.expname[:14] for m in association.members}
        assert len(programs) == 1
        sky = members(association, "sky")
        assert sky == ([9] if "2026B-P002-001" in programs else [])


def test_sky_before_and_after(exposure) -> None:
    roles = "KSSKSSSSSSK"
    night = [
        exposure(n, IMTYPE="SKY" if r == "K" else "SCI", DTOTOFF1=60.0 if r == "K" else 0.5 * n)
        for n, r in enumerate(roles, start=1)
    ]
    level2 = by_type(generate(night), "level2")
    assert all(members(a, "sky") == [1, 4, 11] for a in level2 if members(a, "science")[0] > 4)
    assert all(members(a, "background") == [] for a in level2)


def test_only_the_nearest_skies_of_many(exposure) -> None:
    roles = "KKKKKSKKKKK"
    night = [exposure(n, IMTYPE="SKY" if r == "K" else "SCI") for n, r in enumerate(roles, 1)]
    (level2,) = by_type(generate(night), "level2")
    assert members(level2, "sky") == [3, 4, 5, 7, 8, 9]


@pytest.mark.parametrize(
    "other",
    [
        {"DETECTOR": "IMG2"},
        {"FILTER": "Hbb"},
        {"SAMPMODE": "CDS"},
        {"SUBARRAY": "CUSTOM", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 8, "SUBSIZE2": 8},
        {"DETECTOR": "IFS", "INSTMODE": "LENSLET"},
    ],
)
def test_sky_of_another_setup_is_not_used(exposure, other) -> None:
    found = generate([exposure(1), exposure(2, IMTYPE="SKY", **other)])
    assert [m.exptype for m in by_type(found, "level2")[0].members] == ["science"]


def test_two_dithers_are_too_few_for_a_sky(exposure) -> None:
    for association in by_type(generate([exposure(1), exposure(2)]), "level2"):
        assert len(association.members) == 1


def test_only_the_nearest_of_many_dithers(exposure) -> None:
    level2 = by_type(generate([exposure(n) for n in range(1, 31)]), "level2")
    assert members(level2[0], "background") == list(range(2, 14))
    assert members(level2[14], "background") == [*range(9, 15), *range(16, 22)]


def test_exposures_of_one_position_are_not_each_others_sky(exposure) -> None:
    night = [exposure(n, DTOTOFF1=0.01 * (n % 2), DITHNO=n) for n in range(1, 7)]
    assert all(len(a.members) == 1 for a in by_type(generate(night), "level2"))
    nowhere = [exposure(n, DTOTOFF1=None, DTOTOFF2=None, DITHNO=None) for n in range(1, 7)]
    assert all(len(a.members) == 1 for a in by_type(generate(nowhere), "level2"))
    numbered = [exposure(n, DTOTOFF1=None, DTOTOFF2=None) for n in range(1, 7)]
    assert all(len(a.members) == 6 for a in by_type(generate(numbered), "level2"))


def test_position_angle_does_not_part_a_mosaic(exposure) -> None:
    found = generate([exposure(n, PA=10.0 * n) for n in range(1, 5)])
    (level3,) = by_type(found, "level3")
    assert members(level3, "science") == [1, 2, 3, 4]
    assert members(by_type(found, "level2")[0], "background") == [2, 3, 4]


def test_windows_of_one_exposure_do_not_collide(exposure) -> None:
    size = {"SUBARRAY": "CUSTOM", "SUBSTRT2": 1, "SUBSIZE1": 8, "SUBSIZE2": 8}
    night = [exposure(n, SUBARRID=w, SUBSTRT1=8 * w, **size) for n in (1, 2, 3) for w in (1, 2)]
    found = generate(night)
    level2 = by_type(found, "level2")
    assert len({a.products[0].name for a in level2}) == 6
    for association in level2:
        windows = {m.expname.removesuffix(".fits")[-1] for m in association.members}
        assert len(windows) == 1
        assert len(association.members) == 3
    assert len(by_type(found, "level3")) == 1


def test_darks_and_flats(exposure) -> None:
    dark = {"IMTYPE": "DARK", "FILTER": "dark"}
    night = [exposure(n, DETECTOR=d, **dark) for n in (1, 2) for d in ("IMG1", "IMG2")]
    night += [exposure(n, SAMPMODE="CDS", **dark) for n in (3, 4)]
    night += [exposure(n, IMTYPE="FLAT", FILTER=f) for n, f in ((5, "Kbb"), (6, "Hbb"), (7, "Kbb"))]
    found = generate(night)
    assert [members(a, "dark") for a in by_type(found, "dark")] == [[1, 2], [1, 2], [3, 4]]
    assert [members(a, "flat") for a in by_type(found, "flat")] == [[5, 7], [6]]
    assert [a.asn_type for a in generate(night, kinds=["flat"])] == ["flat", "flat"]
    names = [a.products[0].name for a in found]
    assert names[0] == "2026B-P001-001_IRIS_IMG1_DARK_LVL3_0001"
    assert len(set(names)) == len(names)


def test_spectrograph_makes_cubes(exposure) -> None:
    ifs = {"DETECTOR": "IFS", "INSTMODE": "SLICER", "IFSSCALE": 25, "GRATING": "K4000"}
    level2, level3 = generate([exposure(1, **ifs)])
    assert level2.products[0].name == "2026B-P001-001_IRIS_IFS_SCI_LVL2_0001_cube"
    assert level3.products[0].name == "2026B-P001-001_IRIS_IFS_SCI_LVL3_0001_cube"


def test_other_roles_are_known_but_not_associated(exposure) -> None:
    others = ["ARC", "LAMPSCAN", "PINHOLE", "STD", "TELLURIC", "BIAS"]
    assert generate([exposure(n, IMTYPE=t) for n, t in enumerate(others, start=1)]) == []


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"IMTYPE": "SELFIE"}, r"IMTYPE: got 'SELFIE', expected one of SCI SKY DARK"),
        ({"IMTYPE": None}, r"IMTYPE: got nothing"),
        ({"OBS_ID": None}, r"OBS_ID: got nothing"),
        ({"MJD-OBS": None}, r"MJD-OBS, DATE-OBS: got no date"),
    ],
)
def test_headers_that_cannot_be_used(exposure, keywords, message) -> None:
    with pytest.raises(AssociationError, match=message):
        generate([exposure(1), exposure(2, **keywords)])


def test_one_name_for_two_exposures_is_refused(exposure) -> None:
    first = exposure(1)
    again = dataclasses.replace(first, name="other.fits")
    with pytest.raises(AssociationError, match="LVL2_0001: product: got one name for"):
        generate([first, again])


def test_date_serves_where_mjd_is_missing(exposure) -> None:
    times = ["2026-11-23T08:02:00", "2026-11-23T08:01:00Z", "2026-11-23T08:00:00.5"]
    night = [
        exposure(n, **{"MJD-OBS": None, "DATE-OBS": time}) for n, time in enumerate(times, start=1)
    ]
    (level3,) = by_type(generate(night), "level3")
    assert members(level3, "science") == [3, 2, 1]


keywords = st.fixed_dictionaries(
    {
        "IMTYPE": st.sampled_from(["SCI", "SCI", "SKY", "DARK", "FLAT", "ARC"]),
        "FILTER": st.sampled_from(["Kbb", "Hbb"]),
        "OBJECT": st.sampled_from(["A", "B"]),
        "DETECTOR": st.sampled_from(["IMG1", "IMG2"]),
        "MJD-OBS": st.sampled_from([61367.1, 61367.2, 61367.3]),
        "DTOTOFF1": st.sampled_from([0.0, 1.0, 2.0]),
    }
)


@settings(max_examples=50, deadline=None)
@given(st.lists(keywords, max_size=12), st.randoms(use_true_random=False))
def test_order_of_the_exposures_does_not_matter(
    exposure, night: list[dict[str, Any]], shuffle: random.Random
) -> None:
    exposures = [exposure(n, **header) for n, header in enumerate(night, start=1)]
    expected = generate(exposures)
    shuffle.shuffle(exposures)
    assert generate(exposures) == expected
    science = sorted(e.name for e in exposures if e.header["IMTYPE"] == "SCI")
    assert sorted(a.members[0].expname for a in by_type(expected, "level2")) == science
    in_mosaics = [m.expname for a in by_type(expected, "level3") for m in a.members]
    assert sorted(in_mosaics) == science
    for association in expected:
        names = [m.expname for m in association.members]
        assert len(set(names)) == len(names)
        assert all(m.group_id for m in association.members)
