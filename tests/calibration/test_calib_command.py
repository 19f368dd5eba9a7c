"""`iris-drs calib`: what it prints, and its statuses."""

import json
import subprocess
import sys

import pytest

from liger_iris_pipeline.cli.main import main

FLAT = {"REFTYPE": "FLAT", "FILTER": "Kbb", "SUBARRAY": "FULL"}


@pytest.fixture
def calib(tmp_path, capsys):
    """Run a command on the store and give status and what it printed."""

    def run(action, *arguments):
        status = main(["calib", action, *map(str, arguments), "--refs", str(tmp_path / "refs")])
        said = capsys.readouterr()
        return status, said.out, said.err

    return run


@pytest.fixture
def read(tmp_path, reference, exposure):
    """A file to choose for."""
    return reference(
        tmp_path / "read.fits", **dict.fromkeys(("REFTYPE", "REFVER", "USEAFTER")), **exposure
    )


@pytest.fixture
def filled(tmp_path, reference, calib):
    """A store of five references, made by the command."""
    keywords = [
        {"SAMPMODE": "UTR"},
        {**FLAT, "MJD-OBS": 61366.9, "REFVER": "1"},
        {**FLAT, "MJD-OBS": 61366.9, "REFVER": "2", "value": 1.01},
        {**FLAT, "FILTER": "Jbb", "REFVER": "3"},
        {**FLAT, "MJD-OBS": 61300.0, "USEAFTER": "2026-09-01"},
    ]
    files = [reference(tmp_path / f"{i}.fits", **one) for i, one in enumerate(keywords)]
    status, out, _ = calib("add", *files)
    assert (status, out.splitlines()[-1]) == (0, "context iris_0003")
    return tmp_path / "refs"


def test_explain_shows_every_candidate_and_the_criterion_it_failed(filled, calib, read):
    status, out, _ = calib("explain", read, "flat")
    head, *lines = out.splitlines()
    assert status == 0
    assert head == (
        "flat for IRIS IMG1 FILTER Kbb SUBARRAY FULL on 2026-11-23T08:30:00; "
        "context iris_0003; useafter, at most 30 d"
    )
    told = [(line.split()[:2], line.split(maxsplit=3)[3]) for line in lines]
    assert told == [
        (["chosen", "IRIS_IMG1_FLAT_20261120T220000_2.fits"], "4 of 4 keywords exact, 0.45 d old"),
        (
            ["fits", "IRIS_IMG1_FLAT_20261120T220000_1.fits"],
            "lower version; 4 of 4 keywords exact, 0.45 d old",
        ),
        (
            ["no", "IRIS_IMG1_FLAT_20260901T000000_0001.fits"],
            "age: got 67.4 d, expected at most 30 d before the exposure",
        ),
        (["no", "IRIS_IMG1_FLAT_20261120T220000_3.fits"], "FILTER: got Jbb, expected Kbb"),
    ]
    _, out, _ = calib("explain", read, "gain", "--json")
    assert json.loads(out)["on_missing"] == "degrade"
    _, out, _ = calib("explain", read, "gain")
    assert "none fits: the step is skipped" in out


def test_select_prints_a_line_a_type_and_fails_for_a_needed_one(filled, calib, read):
    status, out, _ = calib("select", read)
    lines = {line.split()[0]: line for line in out.splitlines()}
    assert status == 0
    assert lines["flat"].endswith("0.45 d old  iris_0003")
    assert "none: GAIN reference: got none of this type" in lines["gain"]
    status, _, err = calib("select", read, "gain")
    assert (status, err.count("iris-drs: ")) == (1, 1)
    status, out, _ = calib("select", read, "flat", "--json", "--real-time")
    assert json.loads(out)["flat"]["context"] == "iris_0003"


def test_list_context_and_index(filled, calib, tmp_path, reference):
    status, out, _ = calib("list", "flat")
    assert (status, out.splitlines()[-1]) == (0, "4 references; context iris_0003")
    assert len(json.loads(calib("list", "--json")[1])) == 5
    night = reference(tmp_path / "n.fits", REFVER="0007")
    status, out, _ = calib("add", night, "--night", "20261122")
    assert out.splitlines()[-1] == "context iris_0003+20261122.01"
    status, out, _ = calib("context", "iris_0003+20261122.01", "--diff", "iris_0003")
    assert out.startswith("+ dark")
    assert len(out.splitlines()) == 1
    assert calib("context", "--set", "iris_0003")[0] == 0
    assert "* iris_0003 " in calib("context")[1]
    assert len(calib("context", "iris_0003")[1].splitlines()) == 5
    assert calib("list", "--context", "iris_0002")[1].startswith("0 references")
    assert calib("index")[1] == "6 references\n"
    assert calib("context", "iris_0077")[0] == 2
    assert calib("list", "drak")[0] == 2


def test_verify_names_what_was_changed(filled, calib):
    assert calib("verify")[0] == 0
    path = next(filled.glob("files/*/*"))
    path.chmod(0o644)
    path.write_bytes(path.read_bytes() + b" ")
    status, out, err = calib("verify")
    assert status == 1
    assert "SHA-256: got" in out
    assert "faults, listed above" in err


def test_a_file_that_is_not_fit_is_refused_in_one_line(calib, tmp_path, reference):
    status, _, err = calib("add", reference(tmp_path / "a.fits", value=7.0, **FLAT))
    assert status == 1
    assert err.startswith(
        "iris-drs: IRIS_IMG1_FLAT_20261120T220000_0001.fits: SCI: got a median of 7,"
    )
    assert err.count("\n") == 1


CRDS = """
import socket, sys, types
def refuse(*args, **kwargs):
    raise SystemExit("a socket was opened")
socket.socket.connect = socket.create_connection = refuse
from pathlib import Path
from crds.core import rmap
folder = Path(sys.argv[1])
for path in sorted(folder.iterdir()):
    text = path.read_text()
    header, selector = {}, {}
    mapping = rmap.Mapping.from_string(text, path.name, ignore_checksum=False)
    print(path.name, mapping.header["mapping"])
    try:
        rmap.Mapping.from_string(text.replace("IRIS", "ISIR"), path.name, ignore_checksum=False)
    except Exception as error:
        assert "sha1sum mismatch" in str(error), error
    else:
        raise SystemExit("a changed mapping was taken")
"""


def test_crds_itself_confirms_the_sums_of_the_export(filled, calib, tmp_path):
    status, out, _ = calib("export-crds", "--out", tmp_path / "cache")
    assert status == 0
    assert out.splitlines()[0].endswith("ligeriri_0003.pmap")
    folder = tmp_path / "cache" / "mappings" / "ligeriri"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CRDS, str(folder)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split() == [
        "ligeriri_0003.pmap", "pipeline", "ligeriri_iris_0003.imap", "instrument",
        "ligeriri_iris_dark_0003.rmap", "reference", "ligeriri_iris_flat_0003.rmap", "reference",
    ]  # fmt: skip
    flats = (folder / "ligeriri_iris_flat_0003.rmap").read_text()
    assert "('IMG1', 'KBB', '*') : UseAfter({" in flats
    assert "'2026-11-20 22:00:00' : 'IRIS_IMG1_FLAT_20261120T220000_2.fits'" in flats
    copies = tmp_path / "cache" / "references" / "ligeriri"
    assert len(list(copies.iterdir())) == 5
    status, _, err = calib("export-crds", "--out", tmp_path / "none", "--context", "iris_0002")
    assert status == 1
    assert "got no reference" in err
