"""What the commands do with stores, references and associations that cannot be used: status and the whole line."""

import json
import re
import shutil

import numpy as np
import pytest
from astropy.io import fits
from bench import Bench, Case, check

from liger_iris_pipeline.calibration.index import INDEX
from liger_iris_pipeline.cli.main import main

DARK = "IRIS_IMG1_DARK_20261013T220000_0001.fits"
FLAT = "IRIS_IMG1_FLAT_20261013T220000_0001.fits"
STEM = "2026B-P001-001_IRIS_IMG1_SCI"


@pytest.fixture
def bench(night, refs, products, tmp_path):
    return Bench(tmp_path, night, refs, products)


def managed(bench):
    """Give the bench the store as it was made, with its contexts, instead of a plain folder."""
    shutil.rmtree(bench.store)
    shutil.copytree(bench.refs, bench.store, symlinks=True)


def changed(path, old, new):
    """Change the bytes of a file that may not be written."""
    content = path.read_bytes()
    assert old in content
    path.unlink()
    path.write_bytes(content.replace(old, new, 1))


def older(bench):
    """A dark taken 40 days before the reads; the rules let it serve for 30."""
    path = bench.reference("DARK")
    taken = fits.getval(bench.reads[0], "MJD-OBS") - 40.0
    with fits.open(path, mode="update") as hdus:
        for key in ("CHECKSUM", "DATASUM"):
            hdus[0].header.remove(key, ignore_missing=True)
        hdus[0].header.update({"MJD-OBS": taken, "MJD-END": taken, "USEAFTER": "2026-09-01"})


def rules_are_no_yaml(bench):
    managed(bench)
    changed(bench.store / "rules" / "dark_0002.yaml", b"match: [", b"match: [[")


def rules_are_gone(bench):
    managed(bench)
    (bench.store / "rules" / "dark_0002.yaml").unlink()


def context_is_gone(bench):
    managed(bench)
    current = (bench.store / "contexts" / "CURRENT").read_text().strip()
    (bench.store / "contexts" / f"{current}.yaml").unlink()


def store_is_a_file(bench):
    shutil.rmtree(bench.store)
    bench.store.write_text("not a folder")


def override(reftype, kind):
    return lambda b: [*b.command(), "--override", f"{reftype}={b.reference(kind)}"]


def add_other_bytes(bench):
    """A file of a name that the store has, with another pixel."""
    managed(bench)
    other = bench.root / DARK
    with fits.open(bench.store / DARK) as hdus:
        hdus["SCI"].data[50, 50] += 1.0
        hdus.writeto(other)
    return ["calib", "add", str(other), "--refs", str(bench.store)]


def nothing_but_nan(kind):
    """A reference without a number in it."""

    def spoil(bench):
        path = bench.reference(kind)
        with fits.open(path, mode="update") as hdus:
            for name in ("SCI", "ERR"):
                hdus[name].data[:] = np.nan

    return spoil


def add_nothing_but_nan(bench):
    managed(bench)
    other = bench.root / "IRIS_IMG1_DARK_20261013T220000_0002.fits"
    with fits.open(bench.store / DARK) as hdus:
        hdus[0].header["REFVER"] = "0002"
        hdus["SCI"].data[:] = np.nan
        hdus.writeto(other)
    return ["calib", "add", str(other), "--refs", str(bench.store)]


def association(*products):
    """Reduce by an association of these products, each a list of members of the bench's exposure."""

    def spoil(bench):
        name = f"raw/{bench.reads[0].name}"
        made = [
            {
                "name": f"{STEM}_LVL2_{number:04d}",
                "members": [{"expname": name, "exptype": kind} for kind in kinds],
            }
            for number, kinds in enumerate(products, 1)
        ]
        content = {"asn_id": "a1", "asn_type": "level2", "asn_pool": "none", "products": made}
        path = bench.root / "asn.json"
        path.write_text(json.dumps(content))
        return ["reduce", str(path), "--out", str(bench.out), "--refs", str(bench.store)]

    return spoil


def empty_file(bench):
    (bench.root / "asn.json").write_text("")
    asn = str(bench.root / "asn.json")
    return ["reduce", asn, "--out", str(bench.out), "--refs", str(bench.store)]


def line(text):
    """Give the whole line as a pattern, in which ``<…>`` stands for what differs from run to run."""
    parts = re.split(r"<\w+>", text)
    return rf"\Airis-drs: {'.+'.join(map(re.escape, parts))}\Z"


WANTED = "IRIS IMG1 SAMPMODE UTR SUBARRAY FULL on 2026-10-14T10:00:00"
NEED_DARK = (
    "make one with `iris-drs calibrate`, name another folder with --refs, or leave the step out with --skip "
    "dark_subtract"
)
EMPTY = "members: got an empty list, expected a list with at least one entry; fill it"
TWICE = f"expname: got raw/{STEM}_LVL0_0001-01-0001.fits more than once, expected each once; take one out"
TYPES = (
    "adc, dark, distortion, dq, flat, fluxcal, gain, ipc, linearity, persistence, photom, psf, readnoise, rectmat, "
    "refpix, saturation, skyflat, supersky, telluric, trace, wavesol"
)
NO_NUMBER = "SCI: got no finite value, expected one at least; make it anew or choose another"
NO_POSITIVE = (
    "SCI: got no finite value above 0, expected one at least; make it anew or choose another"
)

TABLE = [
    Case(
        "a dark older than its largest age",
        older,
        line(
            f"<store>: DARK reference: got 1 that cannot be used ({DARK}: age: got 40.0 d, expected at most 30 d "
            f"before the exposure), expected one for {WANTED}; {NEED_DARK}"
        ),
    ),
    Case(
        "a rules file that is no YAML",
        rules_are_no_yaml,
        line(
            "dark_0002.yaml: SHA-256: got <sum>…, expected <sum>… as the context says; rules never change: put the "
            "original back, or choose another context"
        ),
    ),
    Case(
        "a rules file that is gone",
        rules_are_gone,
        line(
            "dark_0002.yaml: file: got No such file or directory, expected a readable file; put the original back, or "
            "choose another context"
        ),
    ),
    Case(
        "a context that is gone",
        context_is_gone,
        line(
            "<store>/contexts/iris_0010.yaml: file: got nothing, expected the context that CURRENT names; put it back, "
            "or choose another with --context"
        ),
    ),
    Case(
        "a store that is a file",
        store_is_a_file,
        line(
            "<store>: folder: got a file, expected a folder of reference files; name it with --refs"
        ),
    ),
    Case(
        "an override of another type",
        override("dark", "FLAT"),
        line(
            f"{FLAT}: REFTYPE: got FLAT, expected DARK; name another with --override_dark (--override dark=FILE)"
        ),
    ),
    Case(
        "an override of a type that there is not",
        override("drak", "DARK"),
        line(
            f"--override: value: got drak=<path>/{DARK}, expected TYPE=FILE with a type of {TYPES}; correct it"
        ),
        2,
    ),
    Case(
        "a name entered again with other bytes",
        add_other_bytes,
        line(
            f"{DARK}: content: got another one, expected the one the store has; give it a new REFVER"
        ),
    ),
    Case("a dark of nothing but NaN", nothing_but_nan("DARK"), line(f"{DARK}: {NO_NUMBER}")),
    Case("a flat of nothing but NaN", nothing_but_nan("FLAT"), line(f"{FLAT}: {NO_NUMBER}")),
    Case(
        "a gain of nothing but NaN",
        nothing_but_nan("GAIN"),
        line(f"IRIS_IMG1_GAIN_20260101T000000_0001.fits: {NO_POSITIVE}"),
    ),
    Case(
        "a read noise of nothing but NaN",
        nothing_but_nan("READNOISE"),
        line(f"IRIS_IMG1_READNOISE_20260101T000000_0001.fits: {NO_POSITIVE}"),
    ),
    Case(
        "an association of nothing",
        association(),
        line(
            "asn.json: file: products: got an empty list, expected a list with at least one entry; fill it"
        ),
    ),
    Case(
        "a product of nothing",
        association([]),
        line(f"asn.json: product {STEM}_LVL2_0001: {EMPTY}"),
    ),
    Case(
        "an association that is an empty file",
        empty_file,
        line(
            "asn.json: file: got Expecting value: line 1 column 1 (char 0), expected an association in JSON; name "
            "another or repair it"
        ),
    ),
    Case(
        "a member twice",
        association(["science", "science"]),
        line(f"asn.json: product {STEM}_LVL2_0001: {TWICE}"),
    ),
    Case(
        "a member in two roles",
        association(["science", "sky"]),
        line(f"asn.json: product {STEM}_LVL2_0001: {TWICE}"),
    ),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input(case, bench, capsys, monkeypatch):
    check(case, bench, capsys, monkeypatch)


def test_a_reference_that_is_not_certified_is_a_candidate_with_its_reason(bench, capsys):
    arguments = add_nothing_but_nan(bench)
    before = bench.state()
    assert main(arguments) == 1
    message = line(
        "IRIS_IMG1_DARK_20261013T220000_0002.fits: SCI: got a median of nan electron/s, expected below 10 electron/s; "
        "make it anew"
    )
    assert re.search(message, capsys.readouterr().err.rstrip("\n"))
    after = bench.state()
    name = "store/candidates/IRIS_IMG1_DARK_20261013T220000_0002.fits"
    assert set(after) - set(before) == {"store/candidates", name, f"{name}.why"}
    assert {one: after[one] for one in before} == before


INDEX_FAULTS = {
    "removed": lambda path: path.unlink(),
    "no database": lambda path: path.write_bytes(b"not a database" * 100),
    "cut": lambda path: path.write_bytes(path.read_bytes()[:5000]),
}


@pytest.mark.parametrize("fault", INDEX_FAULTS)
def test_an_index_that_is_broken_is_made_anew_and_nothing_said(fault, bench, capsys):
    managed(bench)
    asking = ["calib", "verify", "--refs", str(bench.store)]
    assert main(asking) == 0
    whole = capsys.readouterr().out
    index = bench.store / INDEX
    before = index.read_bytes()
    INDEX_FAULTS[fault](index)
    assert main(asking) == 0
    said = capsys.readouterr()
    assert said.out == whole
    assert said.err == ""
    assert len(index.read_bytes()) == len(before)
