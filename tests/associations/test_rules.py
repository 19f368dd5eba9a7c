"""Rules in YAML: read, chosen, refused."""

import copy
from typing import Any

import pytest
import yaml

from liger_iris_pipeline.associations import KINDS, generate, load_rules
from liger_iris_pipeline.associations.engine import Engine
from liger_iris_pipeline.associations.items import ROLES
from liger_iris_pipeline.associations.rules import parse_rules
from liger_iris_pipeline.errors import AssociationError, UsageError

SMALL: dict[str, Any] = {
    "name": "small_0001",
    "rules": {
        "pair": {
            "type": "level2",
            "level": 2,
            "when": {"IMTYPE": "SCI", "IFSSCALE": [4, 9.0]},
            "one_per": "exposure",
            "companions": [
                {
                    "role": "sky",
                    "when": {"IMTYPE": "SKY"},
                    "same": [["DETECTOR", "FILTER"], "window"],
                    "pick": "around",
                    "each_side": 1,
                    "within_d": 0.5,
                }
            ],
        }
    },
}


def changed(path: str, value: Any) -> Any:
    """Give the small rules with one value changed; `...` takes it out."""
    content = copy.deepcopy(SMALL)
    at: Any = content
    *way, last = path.split(".")
    for step in way:
        at = at[int(step)] if step.isdigit() else at[step]
    if value is ...:
        del at[last]
    else:
        at[last] = value
    return content


def test_shipped_rules_cover_every_exposure() -> None:
    rules = load_rules()
    assert rules.name == "iris_0001"
    taken = {value for rule in rules.rules for _, values in rule.condition.when for value in values}
    served = {
        value
        for rule in rules.rules
        for companion in rule.companions
        for _, values in companion.condition.when
        for value in values
    }
    assert set(ROLES) <= taken | served
    assert set(KINDS) <= set(rules.kinds)
    assert {"image2", "ifs-slicer2", "ifs-lenslet2", "image3", "rectmat"} <= {
        rule.name for rule in rules.rules
    }


def test_kinds_are_types_or_rules() -> None:
    rules = load_rules()
    assert [rule.name for rule in rules.choose(["image3", "dark"]).rules] == ["dark", "image3"]
    assert {rule.asn_type for rule in rules.choose(["level2"]).rules} == {"level2"}
    assert rules.choose(None) is rules
    with pytest.raises(UsageError, match=r"iris_0001: kind: got mosaic, expected one of dark, "):
        rules.choose(["mosaic"])
    with pytest.raises(UsageError, match="kind: got mosaic"):
        generate([], kinds=["mosaic"])


def test_rules_of_a_file(tmp_path, exposure) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    engine = Engine(load_rules(path))
    engine.extend(
        [
            exposure(1, IMTYPE="SKY"),
            exposure(2, IMTYPE="SKY"),
            exposure(3, IFSSCALE=9),
            exposure(4, IFSSCALE=25),
        ]
    )
    (found,) = engine.associations()
    assert found.asn_rule == "pair"
    assert [m.exptype for m in found.members] == ["science", "sky"]
    assert "_LVL0_0002" in found.members[1].expname


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("name", ..., r"file: name: got nothing, expected a text"),
        ("rules", {}, r"file: rules: got \{\}, expected a mapping with at least one entry"),
        ("idle_s", -1, r"file: idle_s: got -1, expected a number from 0"),
        ("colour", "red", r"file: colour: got it, expected a field of the format"),
        ("rules.pair", [], r"rules\.pair: got \[\], expected a mapping"),
        ("rules.pair.type", 5, r"rules\.pair: type: got 5, expected a text"),
        ("rules.pair.when", ..., r"rules\.pair: when: got nothing, expected a mapping"),
        ("rules.pair.when.IMTYPE", [], r"when: IMTYPE: got \[\], expected a text, a number or"),
        ("rules.pair.when.IMTYPE", True, r"when: IMTYPE: got True, expected .*; quote it"),
        ("rules.pair.unless", "SKY", r"rules\.pair: unless: got 'SKY', expected a mapping"),
        ("rules.pair.one_per", ..., r"rules\.pair: one_per: got nothing, expected keywords"),
        ("rules.pair.one_per", [], r"rules\.pair: one_per: got nothing, expected keywords"),
        ("rules.pair.one_per", [7], r"rules\.pair: one_per: got \[7\], expected keywords"),
        ("rules.pair.one_per", ["OBS_ID"], r"companions: got some of a set, expected only with"),
        ("rules.pair.also", {"when": {"IMTYPE": "SKY"}}, r"also: got some for one exposure"),
        ("rules.pair.also", {"when": {"A": 1}, "x": 1}, r"rules\.pair\.also: x: got it, expected"),
        ("rules.pair.companions", {}, r"rules\.pair: companions: got \{\}, expected a list"),
        ("rules.pair.companions.0.role", "star", r"companions\[0\]: role: got star, expected one"),
        ("rules.pair.companions.0.pick", "any", r"pick: got any, expected around or nearest"),
        ("rules.pair.companions.0.each_side", ..., r"each_side: got nothing, expected a number"),
        ("rules.pair.companions.0.most", 3, r"companions\[0\]: most: got it, expected a field"),
        ("rules.pair.companions.0.instead_of", "dark", r"instead_of: got dark, expected a role be"),
    ],
)
def test_rules_that_contradict_the_format(path, value, message) -> None:
    with pytest.raises(AssociationError, match=rf"small\.yaml: .*{message}"):
        parse_rules(changed(path, value), "small.yaml")


def test_rules_that_are_not_there(tmp_path) -> None:
    with pytest.raises(UsageError, match=r"rules: name: got 'iris_9', expected one of iris_0001"):
        load_rules("iris_9")
    with pytest.raises(AssociationError, match=r"gone\.yaml: file: got .*No such file"):
        load_rules(tmp_path / "gone.yaml")
    broken = tmp_path / "broken.yaml"
    broken.write_text("rules: [")
    with pytest.raises(AssociationError, match=r"broken\.yaml: file: got .*, expected rules in"):
        load_rules(broken)
