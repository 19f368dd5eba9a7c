"""The quick choice among many references is that of a slow, obvious one."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.calibration.catalogue import Catalogue, best_of
from liger_iris_pipeline.calibration.item import Item
from liger_iris_pipeline.calibration.rulesfile import Rule, TimeRule
from liger_iris_pipeline.calibration.selection import Question, judge

NOON = datetime(2026, 11, 20, tzinfo=UTC)
KEYS = ("INSTRUME", "DETECTOR", "FILTER", "SUBARRAY")
EXPOSURE = {
    "INSTRUME": "IRIS",
    "DETECTOR": "IMG1",
    "FILTER": "Kbb",
    "SUBARRAY": "FULL",
    "OBS_ID": "A",
    "DATE-OBS": "2026-11-20T00:00:00",
}


def rule(mode: str = "useafter", limit: float | None = None, **more: Any) -> Rule:
    return Rule("flat", KEYS, TimeRule(mode, "MJD-OBS", limit), "unused", "needed", **more)


def item(name: str, days: float = -1.0, taken: float | None = None, **more: Any) -> Item:
    match = {"INSTRUME": "IRIS", "DETECTOR": "IMG1", "FILTER": "Kbb", "SUBARRAY": "FULL"}
    match |= more.pop("match", {})
    begin = None if taken is None else NOON + timedelta(days=taken)
    more = {"sha256": name, "begin": begin, "end": begin} | more
    return Item(name, "flat", match, NOON + timedelta(days=days), **more)


def names(the_rule: Rule, items: list[Item], mode: str = "offline", **more: Any) -> str | None:
    question = Question.about(the_rule, EXPOSURE | more, mode)
    found = Catalogue(the_rule, items).best(question)
    return best_of(found, lambda one: one.sha256).file if found else None


def slow(the_rule: Rule, items: list[Item], mode: str, exposure: dict[str, Any]) -> str | None:
    """Go through all references one by one, comparing criterion after criterion."""
    question = Question.about(the_rule, exposure, mode)
    left = [(one, judge(question, one)) for one in items]
    left = [(one, verdict) for one, verdict in left if not verdict.failures]
    most = max((verdict.exact for _, verdict in left), default=0)
    fits = [one for one, verdict in left if verdict.exact == most]
    if the_rule.time.mode == "useafter":
        fits = [one for one in fits if one.useafter == max(other.useafter for other in fits)]
        dated = [one for one in fits if one.begin is not None]
        past = [one for one in dated if one.begin <= NOON]
        if past or dated:
            nearest = min(abs(NOON - one.begin) for one in past or dated)
            fits = [one for one in past or dated if abs(NOON - one.begin) == nearest]
    else:
        dates = {one.file: one.begin or one.useafter for one in fits}
        if fits:
            nearest = min(abs(NOON - dates[one.file]) for one in fits)
            fits = [one for one in fits if abs(NOON - dates[one.file]) == nearest]
            fits = [one for one in fits if dates[one.file] <= NOON] or fits
    if "same_obsid" in the_rule.prefer:
        fits = [one for one in fits if one.obs_id == "A"] or fits
    fits = [one for one in fits if one.quality == max(other.quality for other in fits)]
    highest = max((int(one.version) for one in fits), default=0)
    fits = [one for one in fits if int(one.version) == highest]
    return min((one.file for one in fits), default=None)


items_strategy = st.lists(
    st.builds(
        lambda *values: values,
        st.sampled_from(["Kbb", "ANY", "Jbb", ["Kbb", "Hbb"], "*", "N/A", None]),
        st.sampled_from(["FULL", "ANY", "CUSTOM"]),
        st.sampled_from([-40.0, -3.0, -3.0, 0.0, 0.5]),
        st.sampled_from([None, -40.0, -2.0, -1.0, 0.0, 1.0]),
        st.sampled_from(["1", "9", "10"]),
        st.sampled_from(["", "A", "B"]),
        st.sampled_from([0.0, 2.0]),
    ),
    max_size=9,
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(
    items_strategy,
    st.sampled_from(["useafter", "nearest_past", "nearest"]),
    st.sampled_from([None, 30.0]),
    st.sampled_from(["offline", "realtime"]),
    st.randoms(use_true_random=False),
)
def test_the_choice_is_that_of_the_slow_one_in_any_order(drawn, time_mode, limit, mode, shuffle):
    the_rule = rule(time_mode, limit, prefer=("same_obsid", "quality", "newest_version"))
    made = [
        item(
            f"{number}",
            days,
            taken,
            match={"FILTER": filter_, "SUBARRAY": window},
            version=version,
            obs_id=obs_id,
            quality=quality,
        )
        for number, (filter_, window, days, taken, version, obs_id, quality) in enumerate(drawn)
    ]
    expected = slow(the_rule, made, mode, EXPOSURE)
    assert names(the_rule, made, mode) == expected
    shuffle.shuffle(made)
    assert names(the_rule, made, mode) == expected


@pytest.mark.parametrize(
    ("mode", "chosen"),
    [("useafter", "future"), ("nearest_past", "past"), ("nearest", "future")],
)
def test_each_time_rule_has_its_own_nearest(mode, chosen):
    both = [item("past", -9, taken=-2.0), item("future", -1, taken=1.0)]
    assert names(rule(mode), both) == chosen
    assert names(rule(mode), both, "realtime") == "past"  # never the future


def test_dates_that_are_equal_count_as_past_and_the_earlier_of_two_as_near_wins():
    assert names(rule("nearest_past"), [item("now", 0, taken=0.0)]) == "now"
    assert names(rule(), [item("now", 0)]) == "now"
    assert (
        names(rule("nearest"), [item("after", -9, taken=1.0), item("before", -9, taken=-1.0)])
        == "before"
    )


def test_age_is_that_of_the_data_and_without_one_there_is_no_age():
    old, timeless = item("old", -1, taken=-30.1), item("timeless", -300)
    assert names(rule(limit=30), [old]) is None
    assert names(rule(limit=30.2), [old]) == "old"
    assert names(rule(limit=30), [old, timeless]) == "timeless"
    (failure,) = judge(Question.about(rule(limit=30), EXPOSURE), old).failures
    assert str(failure) == "age: got 30.1 d, expected at most 30 d before the exposure"


def test_validity_ends():
    ended = item("ended", good_until=NOON)
    assert names(rule(), [ended]) is None
    (failure,) = judge(Question.about(rule(), EXPOSURE), ended).failures
    assert failure.part == "GOODUNTL"


@pytest.mark.parametrize(
    ("value", "fits"),
    [
        (["Jbb", "Kbb"], True),
        (["Jbb"], False),
        ("N/A", True),
        ("kbb", True),
        ({"range": [1, 2]}, False),
    ],
)
def test_values_that_stand_for_several(value, fits):
    assert names(rule(), [item("one", match={"FILTER": value})]) == ("one" if fits else None)


def test_a_range_of_numbers():
    scale = Rule("trace", ("INSTRUME", "DETECTOR", "IFSSCALE"), TimeRule(), "unused", "unused")
    wide = item("wide", match={"IFSSCALE": {"range": [4, 9]}})
    assert names(scale, [wide], IFSSCALE=9) == "wide"
    assert names(scale, [wide], IFSSCALE=25) is None


def test_windows_of_the_same_place_only():
    place = {"SUBSTRT1": 9, "SUBSTRT2": 5, "SUBSIZE1": 4, "SUBSIZE2": 4}
    window = item("window", match={"SUBARRAY": "CUSTOM", **place})
    vague = item("vague", match={"SUBARRAY": "CUSTOM"})
    assert names(rule(), [window], SUBARRAY="custom", **place) == "window"
    assert names(rule(), [window], SUBARRAY="CUSTOM", **(place | {"SUBSTRT1": 1})) is None
    assert names(rule(), [window]) is None
    assert names(rule(), [vague], SUBARRAY="CUSTOM", **place) == "vague"


def test_a_pair_around_the_exposure():
    the_rule = rule("bracket")
    made = [
        item("early", taken=-4),
        item("before", taken=-1),
        item("after", taken=3),
        item("late", taken=5),
    ]
    sides = Catalogue(the_rule, made).bracket(Question.about(the_rule, EXPOSURE))
    assert [[choice.item.file for choice in side] for side in sides] == [["before"], ["after"]]
    assert names(the_rule, made, "realtime") == "before"
