"""The engine: what goes with what, whatever the order of arrival."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.associations import Engine, generate, load_rules
from liger_iris_pipeline.errors import AssociationError, ProductError
from oracles import associations as oracle

NIGHT = 61367.0
MINUTE = 1 / 1440
IFS = {"DETECTOR": "IFS", "INSTMODE": "SLICER", "IFSSCALE": 25, "GRATING": "K4000"}
STARE = {"DTOTOFF1": 0.0, "DITHNO": 1}


def number(member):
    return int(member.expname.split("_LVL0_")[1][:4])


def members(association, exptype):
    return [number(m) for m in association.members if m.exptype == exptype]


def level2(exposures, **options):
    """Associations of science exposures by their number."""
    engine = Engine(**options)
    engine.extend(exposures)
    return {number(a.members[0]): a for a in engine.associations(["level2"])}


def at(minutes):
    return {"MJD-OBS": NIGHT + minutes * MINUTE}


def told(changes):
    return [(change.kind, change.association.asn_type, change.version) for change in changes]


# --- sky -----------------------------------------------------------------------------------------


def test_sky_of_the_same_observation_is_preferred_on_each_side(exposure):
    other = {"OBS_ID": "2026B-P009-001", "IMTYPE": "SKY"}
    night = [
        exposure(1, **at(60)),
        exposure(2, IMTYPE="SKY", **at(45)),
        exposure(3, **other, **at(59)),
        exposure(4, **other, **at(61)),
    ]
    (association,) = level2(night).values()
    assert members(association, "sky") == [2, 4]  # its own before; of another, as it has none after
    assert association.degraded == ()
    (association,) = level2([*night, exposure(5, IMTYPE="SKY", **at(80))]).values()
    assert members(association, "sky") == [2, 5]


@pytest.mark.parametrize(("minutes", "used"), [(28.8, True), (28.81, False)])
def test_the_window_is_two_hundredths_of_a_day(exposure, minutes, used):
    for sign in (-1, 1):
        sky = exposure(2, IMTYPE="SKY", OBS_ID="2026B-P009-001", **at(100 + sign * minutes))
        (association,) = level2([exposure(1, **at(100)), sky]).values()
        assert bool(members(association, "sky")) == used


def test_time_is_that_of_the_middle_of_an_exposure(exposure):
    sky = exposure(2, IMTYPE="SKY", OBS_ID="2026B-P009-001", EXPTIME=3600.0, **at(0))
    (association,) = level2([exposure(1, EXPTIME=600.0, **at(50)), sky]).values()
    sky_member = association.members[1]
    assert sky_member.exptype == "sky"
    assert sky_member.dt_s == pytest.approx((30 - 55) * 60)
    ended = exposure(1, EXPTIME=600.0, **{"MJD-END": NIGHT + 40 * MINUTE}, **at(20))
    (association,) = level2([ended, sky]).values()
    assert association.members[1].dt_s == pytest.approx(0, abs=1e-3)
    nonsense = exposure(1, EXPTIME=600.0, **{"MJD-END": NIGHT - 3}, **at(30))
    (association,) = level2([nonsense, sky]).values()
    assert association.members[1].dt_s == pytest.approx(0, abs=1e-3)


def test_a_sky_of_the_same_time_counts_as_after(exposure):
    sky = exposure(2, IMTYPE="SKY", **at(0))
    (association,) = level2([exposure(1, **at(0)), sky]).values()
    assert members(association, "sky") == [2]
    assert association.degraded[0].startswith("no_sky_before: ")
    (association,) = level2([exposure(1, **at(0)), sky], past_only=True).values()
    assert members(association, "sky") == []


def test_a_sky_far_away_is_better_than_none_if_it_is_its_own(exposure):
    sky = exposure(2, IMTYPE="SKY", **at(100))
    (association,) = level2([exposure(1, **at(0)), sky]).values()
    assert members(association, "sky") == [2]
    assert association.degraded == (
        "sky_far: no SKY exposure of IMG1 Kbb within 0.02 d, the nearest of its observation 0.0694 d away",
    )
    near = exposure(3, IMTYPE="SKY", OBS_ID="2026B-P009-001", **at(5))
    (association,) = level2([exposure(1, **at(0)), sky, near]).values()
    assert members(association, "sky") == [3]
    yesterday = exposure(2, IMTYPE="SKY", **at(-1440 * 0.6))
    (association,) = level2([exposure(1, **at(0)), yesterday]).values()
    assert members(association, "sky") == []


@pytest.mark.parametrize("mode", ["SLICER", "LENSLET"])
def test_spectrograph_takes_sky_of_its_scale(exposure, mode):
    ifs = IFS | {"INSTMODE": mode}
    other = ifs | {"IMTYPE": "SKY", "IFSSCALE": 50}
    same = ifs | {"IMTYPE": "SKY", "IFSSCALE": 25.0}  # a number is a number
    night = [exposure(2, **ifs), exposure(1, **other), exposure(3, **same), exposure(4, **other)]
    (association,) = level2(night).values()
    assert association.asn_rule == f"ifs-{mode.lower()}2"
    assert members(association, "sky") == [3]


# --- what is missing -----------------------------------------------------------------------------


def test_degraded_says_what_is_missing(exposure):
    (association,) = level2([exposure(1)]).values()
    assert association.degraded == (
        "no_sky: no SKY exposure of IMG1 Kbb within 0.02 d and fewer than 2 other dithers",
    )
    (association,) = level2([exposure(1, IMTYPE="SKY"), exposure(2)]).values()
    assert association.degraded == (
        "no_sky_after: no SKY exposure of IMG1 Kbb within 0.02 d after it",
    )
    (association,) = level2([exposure(1, IMTYPE="SKY"), exposure(2)], past_only=True).values()
    assert association.degraded == ()
    assert all(not a.degraded for a in level2([exposure(n) for n in (1, 2, 3)]).values())


def test_degraded_names_missing_detectors(exposure):
    three = [exposure(n, DETECTOR=f"IMG{d}") for n in (1, 2) for d in (1, 2, 3)]
    (mosaic,) = generate(three, kinds=["image3"])
    assert mosaic.degraded == ("detectors: IMG4 missing",)
    (mosaic,) = generate([*three, exposure(2, DETECTOR="IMG4")], kinds=["image3"])
    assert mosaic.degraded == ("detectors: IMG4 missing in 1 of 2 exposures (2026B-P001-001_0001)",)
    (mosaic,) = generate([exposure(n) for n in (1, 2)], kinds=["image3"])
    assert mosaic.degraded == ()  # one detector alone is meant to be alone


def test_degraded_counts_calibrations(exposure):
    (dark,) = generate([exposure(1, IMTYPE="DARK")], kinds=["dark"])
    assert dark.degraded == ("few: 1 exposure, expected at least 3",)
    (dark,) = generate([exposure(n, IMTYPE="DARK") for n in (1, 2, 3)], kinds=["dark"])
    assert dark.degraded == ()


# --- calibrations --------------------------------------------------------------------------------


def test_calibrations_go_by_what_they_were_taken_for(exposure):
    purposes = ["", "LAMPOFF", "LINEARITY", "PERSISTENCE", ""]
    night = [
        exposure(n, IMTYPE="FLAT", CALTYPE=purpose or None) for n, purpose in enumerate(purposes, 1)
    ]
    night += [
        exposure(6, IMTYPE="DARK", CALTYPE="PERSISTENCE"),
        exposure(7, IMTYPE="DARK", CALTYPE="LONG"),
        exposure(8, IMTYPE="DARK"),
    ]
    night += [
        exposure(n, IMTYPE=imtype, **IFS)
        for n, imtype in enumerate(["ARC", "LAMPSCAN", "PINHOLE", "TELLURIC"], 9)
    ]
    night += [exposure(13, IMTYPE="STD"), exposure(14, IMTYPE="BIAS")]
    engine = Engine()
    engine.extend(night)
    found = {a.asn_type: [number(m) for m in a.members] for a in engine.associations()}
    assert found == {
        "dark": [7, 8],
        "flat": [1, 2, 5],
        "lampoff": [2],
        "gain": [1, 3, 5, 8],
        "linearity": [3, 8],
        "persistence": [4, 6, 7, 8],
        "bias": [14],
        "arc": [9],
        "rectmat": [10, 11],
        "standard": [13],
        "telluric": [12],
    }
    roles = [m.exptype for a in engine.associations(["persistence"]) for m in a.members]
    assert roles == ["flat", "dark", "dark", "dark"]
    names = [a.products[0].name for a in engine.associations()]
    assert len(set(names)) == len(names)


def test_darks_alone_make_no_gain(exposure):
    engine = Engine(load_rules().choose(["gain"]))
    assert engine.register(exposure(1, IMTYPE="DARK")) == []
    assert engine.close("2026B-P001-001") == []
    assert engine.expire(NIGHT + 1) == []
    assert engine.associations() == []
    assert told(engine.register(exposure(2, IMTYPE="FLAT"))) == [
        ("new", "gain", 1),
        ("degraded", "gain", 1),
    ]
    assert told(engine.register(exposure(3, IMTYPE="DARK"))) == [("updated", "gain", 2)]
    (found,) = engine.associations()
    assert [m.exptype for m in found.members] == ["flat", "dark", "dark"]
    assert found.products[0].name.endswith("_FLAT_LVL3_0002_gain")


# --- arrival -------------------------------------------------------------------------------------


def test_an_arrival_tells_what_it_changes(exposure):
    engine = Engine(load_rules().choose(["level2", "level3"]))
    assert told(engine.register(exposure(2))) == [("new", "level2", 1), ("new", "level3", 1)]
    assert engine.register(exposure(2)) == []
    before = exposure(1, IMTYPE="SKY")
    assert told(engine.register(before)) == [("updated", "level2", 2)]
    after = exposure(3, IMTYPE="SKY")
    assert told(engine.register(after)) == [("updated", "level2", 3), ("ready", "level2", 3)]
    assert told(engine.register(exposure(9, IMTYPE="SKY", OBJECT="other"))) == [
        ("updated", "level2", 4)
    ]
    assert engine.register(exposure(10, FILTER="Hbb", IMTYPE="SKY")) == []
    assert told(engine.close("2026B-P001-001")) == [("ready", "level3", 1)]
    assert engine.close("2026B-P001-001") == []
    late = engine.register(exposure(11, **STARE))
    assert ("updated", "level3", 2) in told(late)


def test_an_earlier_exposure_gives_a_set_another_name(exposure):
    engine = Engine(load_rules().choose(["image3"]))
    engine.register(exposure(2))
    changes = engine.register(exposure(1))
    assert told(changes) == [("superseded", "level3", 1), ("new", "level3", 2)]
    names = [change.association.products[0].name[-4:] for change in changes]
    assert names == ["0002", "0001"]


def test_what_never_comes_leaves_a_degraded_product(exposure):
    engine = Engine(load_rules().choose(["level2", "image3"]))
    engine.register(exposure(1, EXPTIME=60.0, **at(0)))
    engine.register(exposure(2, EXPTIME=60.0, DETECTOR="IMG2", **at(0)))
    assert engine.expire(NIGHT + 2.9 * MINUTE) == []
    assert told(engine.expire(NIGHT + 3.1 * MINUTE)) == [("degraded", "level3", 2)]
    assert engine.expire(NIGHT + 29 * MINUTE) == []
    assert told(engine.expire(NIGHT + 30 * MINUTE)) == [("degraded", "level2", 1)] * 2
    assert engine.expire(NIGHT + 60 * MINUTE) == []
    sky = exposure(3, IMTYPE="SKY", **at(5))
    assert told(engine.register(sky)) == [("updated", "level2", 2)]


def test_real_time_does_not_wait_for_a_later_sky(exposure):
    engine = Engine(load_rules().choose(["level2"]), past_only=True)
    assert told(engine.register(exposure(1))) == [("new", "level2", 1), ("degraded", "level2", 1)]
    engine.register(exposure(2, IMTYPE="SKY"))
    assert told(engine.register(exposure(3))) == [("new", "level2", 1), ("ready", "level2", 1)]


def test_what_was_there_before_is_told_when_it_changes(exposure):
    engine = Engine(load_rules().choose(["level2"]))
    engine.extend([exposure(1), exposure(50, FILTER="Hbb")])
    engine.extend([exposure(2)])
    changes = engine.register(exposure(3, IMTYPE="SKY"))
    assert [(c.kind, number(c.association.members[0])) for c in changes] == [
        ("new", 1),
        ("new", 2),
    ]


def test_an_exposure_that_cannot_be_named_is_not_taken_in(exposure):
    engine = Engine()
    engine.register(exposure(1))
    with pytest.raises(ProductError, match="INSTRUME: got nothing"):
        engine.register(exposure(2, INSTRUME=None))
    with pytest.raises(AssociationError, match="EXP_NO: got '2'"):
        engine.register(exposure(2, EXP_NO="2"))
    twin = exposure(1)
    twin = type(twin)("copy.fits", twin.stem, twin.header)
    with pytest.raises(AssociationError, match=r"LVL2_0001: product: got one name for .* copy"):
        engine.register(twin)
    assert len(engine.associations()) == 2


def test_associations_know_rule_programme_and_target(exposure):
    level2_, level3_ = generate([exposure(1)], folder="raw")
    assert (level2_.asn_rule, level3_.asn_rule) == ("image2", "image3")
    assert (level2_.level, level3_.level) == (2, 3)
    assert (level2_.program, level2_.target, level2_.folder) == ("2026B-P001", "M92", Path("raw"))
    assert level2_.version_id != level3_.version_id or level2_.members == level3_.members


# --- properties ----------------------------------------------------------------------------------

grid = st.integers(0, 40).map(lambda step: NIGHT + 0.005 * step)
night_of_headers = st.lists(
    st.fixed_dictionaries(
        {
            "IMTYPE": st.sampled_from(["SCI", "SCI", "SCI", "SKY"]),
            "OBS_ID": st.sampled_from(["2026B-P001-001", "2026B-P001-002"]),
            "OBJECT": st.sampled_from(["A", "A", "A", "B"]),
            "FILTER": st.sampled_from(["Kbb", "Kbb", "Hbb"]),
            "SUBARRAY": st.sampled_from(["FULL", "FULL", "FULL", "CUSTOM"]),
            "MJD-OBS": grid,
            "EXPTIME": st.sampled_from([0.0, 0.0, 432.0]),
            "DTOTOFF1": st.sampled_from([None, 0.0, 0.03, 0.06, 2.0]),
            "DITHNO": st.sampled_from([None, 1, 2]),
        }
    ),
    max_size=40,
)


def written(engine):
    """Everything that is written, without the folder."""
    return [
        (a, a.degraded, a.version_id, [m.dt_s for m in a.members]) for a in engine.associations()
    ]


@settings(max_examples=150, deadline=None, derandomize=True)
@given(night_of_headers, st.randoms(use_true_random=False), st.booleans(), st.integers(0, 40))
def test_engine_agrees_with_the_rules_spelled_out(exposure, headers, shuffle, past_only, first):
    night = [exposure(n, SUBARRID=None, **header) for n, header in enumerate(headers, 1)]
    at_once = Engine(past_only=past_only)
    at_once.extend(night)
    expected = oracle.level2(night, past_only=past_only)
    found = {}
    for association in at_once.associations(["level2"]):
        science, *others = association.members
        missing = association.degraded[0].partition(":")[0] if association.degraded else ""
        found[science.expname] = ({(m.expname, m.exptype) for m in others}, missing)
    assert found == expected

    shuffle.shuffle(night)
    arriving = Engine(past_only=past_only)
    arriving.extend(night[:first])
    latest = {}
    for one in night[first:]:
        for change in arriving.register(one):
            if change.kind == "superseded":
                del latest[change.association.products[0].name]
            else:
                latest[change.association.products[0].name] = change.association
    assert written(arriving) == written(at_once)
    if first == 0:
        assert latest == {a.products[0].name: a for a in at_once.associations()}


@settings(max_examples=20, deadline=None, derandomize=True)
@given(st.integers(40, 70), st.integers(1, 50), st.randoms(use_true_random=False))
def test_fields_of_many_places_agree_with_the_rules_spelled_out(exposure, count, places, shuffle):
    night = [
        exposure(n, DTOTOFF1=0.5 * (n * 7 % places), IMTYPE="SCI" if n % 9 else "SKY", **at(40 * n))
        for n in range(1, count)
    ]
    expected = oracle.level2(night)
    shuffle.shuffle(night)
    engine = Engine()
    for one in night:
        engine.register(one)
    found = {
        a.members[0].expname: {(m.expname, m.exptype) for m in a.members[1:]}
        for a in engine.associations(["level2"])
    }
    assert found == {name: members for name, (members, _) in expected.items()}
