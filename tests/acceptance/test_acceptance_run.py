"""The run: cells in processes of their own, files, exit status."""

import json
import math

import numpy as np
import pytest

from liger_iris_pipeline.acceptance import catalogue, readout
from liger_iris_pipeline.acceptance.run import run_groups, write_report
from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, at_most, worst
from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.errors import UsageError


def measure(cell, rng):
    """Give the cell and a random number; -1 goes wrong."""
    if cell < 0:
        raise ValueError("no such cell\nand more")
    return Measured(cell, {"value": Figure(cell), "random": Figure(rng.random())}, 1)


def judge(measured):
    return [worst("largest", measured, "value", at_most(2))]


def group(name, *cells, notes=()):
    return Group(name, "about", cells, measure, judge, notes=notes)


def run(*groups, only="", seed=1, workers=1):
    return run_groups(
        groups, seed=seed, form="quick", progress=lambda *_: None, only=only, workers=workers
    )


def randoms(report, name):
    return next(
        [m.figures["random"].value for m in cells] for g, cells in report.groups if g.name == name
    )


def test_cells_come_back_in_order_whatever_else_is_measured():
    both = run(group("first", 0, 1, 2), group("second", 1, 3), workers=2)
    assert [m.cell for m in both.groups[0][1]] == [0, 1, 2]
    assert [row.passed for row in both.rows] == [True, False]
    assert [row.group for row in both.rows] == ["first", "second"]
    assert not both.passed
    alone = run(group("first", 0, 1, 2), group("second", 1, 3), only="FIRST")
    assert [g.name for g, _ in alone.groups] == ["first"]
    assert randoms(alone, "first") == randoms(both, "first")
    assert len(set(randoms(both, "first"))) == 3


def test_a_cell_that_goes_wrong_falls_short_and_stops_no_other():
    report = run(group("first", 0, -1), group("second", 1))
    assert [row.passed for row in report.rows] == [False, True]
    assert math.isnan(report.rows[0].figure)
    assert report.rows[0].detail == "-1: ValueError: no such cell"


def test_nothing_measured_is_no_pass():
    report = run(group("empty", notes=("left out for a reason",)))
    assert not report.passed
    assert report.notes == ["left out for a reason"]


def test_a_name_that_no_group_has_is_refused():
    with pytest.raises(UsageError, match="--only: got nothing such, expected part of one of first"):
        run(group("first", 0), only="nothing such")


def test_files_hold_every_row_and_replace_those_before(tmp_path):
    out = tmp_path / "new" / "folder"
    write_report(run(group("first", 5)), out)
    paths = write_report(run(group("first", 0, -1), group("second", 1)), out)
    assert sorted(out.iterdir()) == sorted(paths)
    content = json.loads(paths[0].read_text())
    assert content["passed"] is False
    assert content["seed"] == 1
    assert {"liger-iris-pipeline", "iris_readout", "numpy"} <= set(content["versions"])
    assert [row["pass"] for row in content["rows"]] == [False, True]
    assert content["rows"][0]["figure"] is None
    assert content["rows"][1] | {"seconds": 0} == {
        "group": "second",
        "name": "largest",
        "figure": 1.0,
        "error": 0.0,
        "unit": "",
        "limit": "≤ 2",
        "low": None,
        "high": 2.0,
        "pass": True,
        "n": 1,
        "seconds": 0,
        "detail": "1",
    }
    assert content["cells"]["first"][1]["error"] == "ValueError: no such cell"
    assert paths[1].read_text().startswith("<!doctype html>")


@pytest.mark.parametrize(("cell", "status"), [(1, 0), (3, 1)])
def test_the_command_ends_with_status_1_where_a_row_falls_short(
    cell, status, tmp_path, monkeypatch, capsys
):
    monkeypatch.setattr(catalogue, "all_groups", lambda **_: [group("first", cell)])
    assert main(["acceptance", "--quick", "--out", str(tmp_path)]) == status
    printed = capsys.readouterr()
    assert "largest" in printed.out
    assert ("FAIL" in printed.out) is bool(status)
    assert ("got a figure beyond its limit" in printed.err) is bool(status)
    assert (tmp_path / "acceptance.json").is_file()


def test_the_quick_form_has_every_group_of_the_readout_library():
    quick, full = (readout.groups(quick=form) for form in (True, False))
    assert [g.name for g in quick] == [g.name for g in full]
    assert all(len(q.cells) <= len(f.cells) for q, f in zip(quick, full, strict=True))
    names = [g.name for g in catalogue.all_groups(quick=False, seed=1)]
    assert names[: len(full)] == [g.name for g in full]
    assert {"calibrations: frames", "night", "night, own calibrations"} <= set(names)
    assert len(set(names)) == len(names)


def test_real_ramps_that_are_not_there_are_left_out_with_a_note(tmp_path, monkeypatch):
    monkeypatch.setenv("IRIS_SHARED_DATA", str(tmp_path))
    real = readout.real.real()
    assert real.cells == ()
    assert [note.partition(":")[0] for note in real.notes] == ["WFC3", "NIRSpec"]
    assert np.all(["IRIS_SHARED_DATA" in note for note in real.notes])
