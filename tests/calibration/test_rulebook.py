"""The rules that are shipped, and those that are refused."""

import copy

import pytest

from liger_iris_pipeline.calibration import CONTEXT, load_rulebook
from liger_iris_pipeline.calibration.rulebook import parse_rulebook
from liger_iris_pipeline.errors import ReferenceFileError, UsageError

TYPES = (  # the reference types of the data products document
    "dq dark flat gain readnoise saturation linearity refpix distortion photom skyflat supersky "
    "trace rectmat wavesol adc telluric fluxcal psf ipc persistence"
)


def test_every_type_has_a_rule() -> None:
    assert set(load_rulebook().rules) == set(TYPES.split())


def test_what_each_level_needs() -> None:
    book = load_rulebook()
    assert book.types(1) == ()
    assert set(book.types(2)) == {"dark", "flat"}
    assert set(book.types(1, "optional")) == {
        "dq", "gain", "readnoise", "saturation", "linearity", "refpix",
    }  # fmt: skip
    assert {"photom", "distortion"} <= set(book.types(2, "optional"))


def test_keys_of_the_kinds_of_types() -> None:
    rules = load_rulebook().rules
    assert {"SAMPMODE", "SUBARRAY"} <= set(rules["dark"].match)
    assert "FILTER" not in rules["dark"].match
    assert all("FILTER" in rules[name].match for name in ("flat", "distortion", "photom"))
    assert {"INSTMODE", "IFSSCALE", "GRATING", "FILTER"} <= set(rules["rectmat"].match)


def test_type_is_found_in_either_case() -> None:
    assert load_rulebook().rule("DARK") is load_rulebook().rule("dark")


def test_unknown_type_and_context_are_refused_by_name() -> None:
    with pytest.raises(ReferenceFileError, match=r"got 'drak', expected one of .*dark"):
        load_rulebook().rule("drak")
    with pytest.raises(UsageError, match=rf"got iris_9999, expected one of iris_0001, {CONTEXT}"):
        load_rulebook("iris_9999")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"time": "nearest"}, "time 'nearest'"),
        ({"level1": "maybe"}, "level1 'maybe'"),
        ({"colour": "blue"}, "unknown colour"),
        ({"match": ["FILTER"]}, "INSTRUME, DETECTOR"),
    ],
)
def test_faulty_rules_are_refused(change: dict[str, object], message: str) -> None:
    rule = {
        "match": ["INSTRUME", "DETECTOR"],
        "time": "newest_on_or_before",
        "level1": "unused",
        "level2": "needed",
    }
    content = {"context": "x", "types": {"dark": copy.deepcopy(rule)}}
    assert parse_rulebook(content, "x").rule("dark").level2 == "needed"
    content["types"]["dark"] |= change
    with pytest.raises(ReferenceFileError, match=message):
        parse_rulebook(content, "x")


def test_file_name_and_context_agree() -> None:
    with pytest.raises(ReferenceFileError, match=r"y.yaml: context: got x, expected y"):
        parse_rulebook({"context": "x", "types": {}}, "y")
