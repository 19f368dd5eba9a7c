"""The benchmark of a night, at its short form: its rows exist, are judged, and add up."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
pytestmark = [
    pytest.mark.night,
    pytest.mark.skipif((os.cpu_count() or 1) < 2, reason="two worker processes are timed"),
]


def run(script, *options):
    return subprocess.run(
        [sys.executable, str(BENCHMARKS / script), *map(str, options)],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture(scope="module")
def result(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bench")
    target = folder / "night.json"
    options = ("--quick", "--folder", folder, "--disk", folder / "disk", "--json", target)
    done = run("night.py", *options, "--report")
    assert done.returncode == 0, done.stderr
    left = {path.name for path in folder.iterdir()}
    return json.loads(target.read_text()), done.stdout, left


def row(content, words):
    found = [row for row in content["rows"] if words in row["what"]]
    assert len(found) == 1, words
    return found[0]


def test_three_rows_are_judged(result):
    content, table, _ = result
    judged = [row for row in content["rows"] if row["limit"] is not None]
    assert [row["limit"] for row in judged] == [15.0, 6.0, 0.1]
    assert all(row["goal"] == "req 30" and not row["at_least"] for row in judged)
    for line in judged:
        assert line["passed"] == (line["value"] <= line["limit"])
    assert table.count("req 30") == 3


def test_products_agree_with_the_light_put_in(result):
    assert row(result[0], "pulls against the light")["passed"]


def test_memory_is_that_of_several_processes(result):
    """Two workers with all imports are more than 0.3 GB; at 1024 x 1024 nothing is as large as 4 GB."""
    assert 0.3 < row(result[0], "sum of PSS")["value"] < 4


def test_the_second_way_writes_level_1_to_a_disk(result):
    content, _, _ = result
    assert row(content, "L1 written too, fsynced on")["value"] > 0
    assert row(content, "night, write L1")["ours"].startswith("0.00 CPU 0.00 wall; disk")


def test_every_second_belongs_to_a_stage(result):
    (figures,) = result[0]["timings"].values()
    for way in ("memory", "disk"):
        for cpu, stages in zip(figures[way]["cpu"], figures[way]["stages"], strict=True):
            for total, spent in zip(cpu, stages, strict=True):
                assert sum(seconds for _, seconds in spent.values()) == pytest.approx(
                    total, rel=0.01
                )
        wanted = {"check", "load", "references", "fit", "dark", "flat", "sky", "wcs", "photom"}
        assert wanted < set(figures[way]["stages"][0][0])


def test_nothing_is_left_but_the_night(result):
    assert result[2] == {"night", "disk", "night.json"}


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    own = tmp_path / "mine" / "thesis.txt"
    own.parent.mkdir()
    own.write_text("all of it")
    done = run("fullnight.py", own.parent, "--size", "1024", "--reads", "2")
    assert done.returncode == 1
    assert "expected a benchmark night or nothing" in done.stderr
    assert own.read_text() == "all of it"


def test_the_peak_counts_the_memory_of_children(monkeypatch):
    monkeypatch.syspath_prepend(str(BENCHMARKS))
    from procs import PeakMemory

    hog = "import time; data = bytearray(300_000_000); data[::4096] = b'x' * len(data[::4096]); time.sleep(1)"
    with PeakMemory() as idle:
        time.sleep(0.2)
    with PeakMemory() as busy:
        subprocess.run([sys.executable, "-c", hog], check=True)
    assert busy.peak - idle.peak == pytest.approx(3.1e8, rel=0.1)
    assert busy.samples > 2
