"""Files with any change of a card or of bytes: every command ends as it should, and harms nothing."""

import hashlib
import json
import shutil
import warnings

import pytest
from astropy.io import fits
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.cli.main import main

STEM = "2026B-P001-001_IRIS_IMG1_SCI"
CARD = 80

TEXTS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40)
VALUES = st.one_of(
    TEXTS,
    st.sampled_from(["NaN", "-1", "0", "1E400", "T", "'  '", "99999999999999999999", "2147483648"]),
    st.integers(-(2**40), 2**40).map(str),
    st.floats().map(repr),
)
CARDS = st.tuples(st.just("card"), st.floats(0, 1), VALUES)
BYTES = st.tuples(st.just("bytes"), st.floats(0, 1), st.binary(min_size=1, max_size=200))
CUTS = st.tuples(st.just("cut"), st.floats(0, 1), st.just(b""))
CHANGES = st.one_of(
    st.lists(CARDS, min_size=1, max_size=2),
    st.lists(st.one_of(CARDS, BYTES, CUTS), min_size=1, max_size=3),
)


def header_cards(content):
    """Places of all cards with a value in the headers of a FITS file, as far as they are found by their form."""
    return [
        at
        for at in range(0, min(len(content), 60 * 2880), CARD)
        if content[at + 8 : at + 10] == b"= " and content[at : at + 8].isascii()
    ]


def changed(content, changes):
    """Change the value of a card, some bytes, or the length."""
    for kind, where, what in changes:
        if kind == "cut":
            content = content[: int(where * len(content))]
        elif kind == "bytes":
            at = int(where * len(content))
            content = content[:at] + what + content[at + len(what) :]
        elif places := header_cards(content):
            at = places[int(where * (len(places) - 1))] + 10
            card = what.encode("ascii").ljust(CARD - 10)[: CARD - 10]
            content = content[:at] + card + content[at + CARD - 10 :]
    return content


def copy_without_sums(path, folder):
    """Copy a file without its sums, so that a change is not seen at once."""
    with fits.open(path) as hdus:
        for hdu in hdus:
            for key in ("CHECKSUM", "DATASUM"):
                hdu.header.remove(key, ignore_missing=True)
        hdus.writeto(folder / path.name)


class Place:
    """A folder for one run: files to work on, and room for what is made."""

    def __init__(self, root):
        self.root, self.out = root, root / "out"
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()

    def state(self):
        return {
            path.relative_to(self.root): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.root.rglob("*")
            if path.is_file() and not path.name.startswith("index.sqlite")
        }


def run(place, arguments, capsys):
    """Run a command in-process and hold it to what commands do with bad input."""
    before = place.state()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            status = main([str(word) for word in arguments])
        except SystemExit as stop:
            status = stop.code
    said = capsys.readouterr().err
    after = place.state()
    assert status in (0, 1, 2), said
    assert "Traceback" not in said
    assert {name: after.get(name) for name in before} == before
    if status:
        new = {name.parts[0] for name in set(after) - set(before)}
        assert new <= {"candidates"}, new  # what is not certified is kept with its reason
        assert [line for line in said.splitlines() if line.startswith(("iris-drs: ", "usage: "))]


@pytest.fixture(scope="module")
def originals(night, refs, products, tmp_path_factory):
    """Folder with one of each kind of file."""
    folder = tmp_path_factory.mktemp("originals")
    read = next(night.glob(f"{STEM}_LVL0_0001-01-0001.fits"))
    for path in (read, next(refs.glob("*_DARK_*.fits")), products / f"{STEM}_LVL1_0001.fits"):
        copy_without_sums(path, folder)
    member = {"expname": read.name, "exptype": "science"}
    asn = {
        "asn_id": "a",
        "asn_type": "level2",
        "products": [{"name": f"{STEM}_LVL2_0001", "members": [member]}],
    }
    (folder / "asn.json").write_text(json.dumps(asn))
    return folder


def commands(name, path, place, refs):
    """Words of every command that takes such a file."""
    out = ["--out", place.out]
    if name == "asn.json":
        return [["associate", path], ["reduce", path, *out, "--refs", refs]]
    if "_DARK_" in name:
        return [
            ["info", path],
            ["calib", "add", path, "--refs", place.root],
            ["calib", "list", "--refs", place.root],
            ["show", path, "--in", "png", *out],
        ]
    if "_LVL0_" in name:
        return [
            ["info", path],
            ["show", path, "--in", "png", *out],
            ["associate", place.root],
            ["calib", "select", path, "--refs", refs],
            ["calib", "explain", path, "dark", "--refs", refs],
            ["calibrate", place.root, *out, "--refs", refs],
            ["reduce", path, *out, "--refs", refs],
        ]
    return [
        ["info", path],
        ["info", path, "--json"],
        ["diff", path, path],
        ["show", path, "--in", "png", *out],
        ["calib", "select", path, "--refs", refs],
        ["replay", path, "--into", place.out],
    ]


@pytest.mark.parametrize("kind", ["_LVL0_", "_DARK_", "_LVL1_", "asn.json"])
@settings(
    phases=[Phase.generate],
    max_examples=150,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(changes=CHANGES, which=st.integers(0, 6))
def test_any_change_ends_in_a_status_and_harms_nothing(
    kind, originals, refs, capsys, changes, which
):
    (original,) = (path for path in originals.iterdir() if kind in path.name)
    place = Place(originals.with_name(f"{originals.name}-place"))
    path = place.root / original.name
    path.write_bytes(changed(original.read_bytes(), changes))
    choices = commands(original.name, path, place, refs)
    run(place, choices[which % len(choices)], capsys)
