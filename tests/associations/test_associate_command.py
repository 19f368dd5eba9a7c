"""``iris-drs associate`` on folders of small reads."""

import hashlib
import json

import pytest

from liger_iris_pipeline.associations import load
from liger_iris_pipeline.cli.main import main

STEM = "2026B-P001-001_IRIS_IMG1_SCI"


@pytest.fixture
def raw(tmp_path, write):
    """One science exposure between skies, three darks."""
    folder = tmp_path / "raw"
    for number, imtype in enumerate(["SKY", "SCI", "SKY", "DARK", "DARK", "DARK"], 1):
        write(folder, number, IMTYPE=imtype, FILTER="dark" if imtype == "DARK" else "Kbb")
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def test_a_folder_is_associated_and_not_written_to(raw, tmp_path, capsys, monkeypatch) -> None:
    before = contents(raw)
    monkeypatch.chdir(tmp_path)
    assert main(["associate", str(raw)]) == 0
    out = tmp_path / "associations"
    assert contents(raw) == before
    assert sorted(path.name for path in out.iterdir()) == [
        "2026B-P001-001_IRIS_IMG1_DARK_LVL3_0004.json",
        f"{STEM}_LVL2_0002.json",
        f"{STEM}_LVL3_0002.json",
    ]
    said = capsys.readouterr().out.splitlines()
    assert said[0].endswith("_DARK_LVL3_0004.json  dark  dark 3")
    assert said[1].endswith(f"{STEM}_LVL2_0002.json  level2  science 1, sky 2")
    found = load(out / f"{STEM}_LVL2_0002.json")
    assert found.asn_pool == "raw"
    for member in found.members:
        for name, digest in member.reads:
            assert digest == hashlib.sha256(before[name]).hexdigest()
    assert [m.dt_s for m in found.members] == [None, -60.0, 60.0]
    assert main(["associate", str(raw)]) == 0  # the same again changes nothing


def test_kinds_rules_and_what_goes_with_nothing(raw, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    assert main(["associate", str(raw), "--out", str(out), "--kinds", "image2", "--past-only"]) == 0
    assert [path.name for path in out.iterdir()] == [f"{STEM}_LVL2_0002.json"]
    said = capsys.readouterr().out
    assert "level2  science 1, sky 1\n" in said
    assert "in none: 4 of 6 exposures, such as 2026B-P001-001_IRIS_IMG1_SKY_LVL0_0003" in said
    rules = tmp_path / "rules.yaml"
    rules.write_text(
        "name: mine\nrules: {all: {type: everything, when: {IMTYPE: [SCI, SKY, DARK]}, one_per: INSTRUME}}\n"
    )
    out = tmp_path / "mine"
    assert main(["associate", str(raw), "--out", str(out), "--rules", str(rules)]) == 0
    assert "everything  sky 2, science 1, dark 3" in capsys.readouterr().out


def test_degraded_is_said(raw, tmp_path, capsys) -> None:
    for path in raw.glob("*_SKY_*"):
        path.unlink()
    out = tmp_path / "out"
    assert main(["associate", str(raw), "--out", str(out), "--kinds", "level2"]) == 0
    note = "no_sky: no SKY exposure of IMG1 Kbb within 0.02 d and fewer than 2 other dithers"
    assert f"degraded: {note}" in capsys.readouterr().out
    assert json.loads((out / f"{STEM}_LVL2_0002.json").read_text())["degraded"] == [note]


def test_associations_are_not_replaced_and_none_is_left_half_made(raw, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    out.mkdir()
    old = out / f"{STEM}_LVL3_0002.json"
    old.write_text("{}")
    assert main(["associate", str(raw), "--out", str(out)]) == 1
    assert f"{old.name}: file: got another association" in capsys.readouterr().err
    assert contents(out) == {old.name: b"{}"}
    assert main(["associate", str(raw), "--out", str(out), "--overwrite"]) == 0
    assert len(contents(out)) == 3


def test_reduce_takes_an_association_with_reads(raw, tmp_path) -> None:
    out = tmp_path / "out"
    assert main(["associate", str(raw), "--out", str(out), "--kinds", "level2"]) == 0
    association = load(out / f"{STEM}_LVL2_0002.json")
    exposures = association.raw_exposures()
    assert [exposure.imtype for exposure in exposures] == ["SKY", "SCI", "SKY"]
    assert [len(exposure.reads) for exposure in exposures] == [2, 2, 2]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["--kinds", "mosaic"], 2, "kind: got mosaic, expected one of dark, flat"),
        (["--rules", "gone.yaml"], 1, "gone.yaml: file: got"),
    ],
)
def test_wrong_usage(raw, tmp_path, capsys, arguments, status, message) -> None:
    out = tmp_path / "out"
    assert main(["associate", str(raw), "--out", str(out), *arguments]) == status
    assert message in capsys.readouterr().err
    assert not out.exists()


def test_a_folder_that_is_not_there_or_a_file_in_the_way(raw, tmp_path, capsys) -> None:
    assert main(["associate", str(tmp_path / "gone")]) == 1
    assert "path: got nothing there" in capsys.readouterr().err
    (tmp_path / "file").write_text("")
    assert main(["associate", str(raw), "--out", str(tmp_path / "file")]) == 1
    assert "file" in capsys.readouterr().err
