"""Bad input of `calib`, `associate`, `replay` and `diff`, row by row as in the table of the other commands."""

import json
import shutil

import pytest
from astropy.io import fits
from bench import Bench, Case, check


@pytest.fixture
def bench(night, refs, products, tmp_path):
    return Bench(tmp_path, night, refs, products)


def product(bench, level=1):
    return next(bench.products.glob(f"*_LVL{level}_0001.fits"))


def command(*words):
    """Run a command; ``{raw}`` and so on are places of the bench."""

    def spoil(bench):
        (bench.root / "text.fits").write_text("not a FITS file")
        places = {
            "raw": bench.raw,
            "read": bench.reads[0],
            "out": bench.out,
            "store": bench.store,
            "root": bench.root,
            "l1": product(bench),
            "l3": product(bench, 3),
        }
        return [word.format(**places) for word in words]

    return spoil


def without_inputs(bench):
    """A product that does not say what it was made from."""
    with fits.open(product(bench)) as hdus:
        kept = [hdu.copy() for hdu in hdus if hdu.name not in ("INPUTS", "ASDF")]
        fits.HDUList(kept).writeto(bench.root / "a.fits")
    return ["replay", str(bench.root / "a.fits"), "--into", str(bench.out)]


def far_away(bench):
    """A product where no search begins that ends at the night it was made from."""
    place = bench.root / "far" / "away" / "a.fits"
    place.parent.mkdir(parents=True)
    shutil.copy(product(bench), place)
    return str(place)


def far_from_its_reads(bench):
    """A product whose reads are nowhere to be found."""
    for path in bench.reads:
        path.unlink()
    return ["replay", far_away(bench), "--into", str(bench.out)]


def read_changed(bench):
    """A read that has another byte than when the product was made."""
    path = bench.reads[1]
    content = bytearray(path.read_bytes())
    content[9000] ^= 0x55
    path.write_bytes(bytes(content))
    found_in = ["--find-in", str(bench.raw), "--into", str(bench.out)]
    return ["replay", far_away(bench), *found_in]


def broken_json(bench):
    (bench.root / "asn.json").write_text(json.dumps({"asn_type": "level2"}))
    return ["associate", str(bench.root / "asn.json")]


TABLE = [
    Case("replay a read", command("replay", "{read}", "--into", "{out}"), r"0001\.fits: "),
    Case("replay a text", command("replay", "{root}/text.fits", "--into", "{out}"), r"text\.fits"),
    Case("replay nothing", command("replay", "{root}/gone.fits", "--into", "{out}"), r"gone\.fits"),
    Case("replay without INPUTS", without_inputs, r"a\.fits: INPUTS"),
    Case("replay without its reads", far_from_its_reads, r"input: got nothing.*--find-in"),
    Case("replay with a changed read", read_changed, r"SHA-256: got .*expected"),
    Case("diff with nothing", command("diff", "{l1}", "{root}/gone.fits"), r"gone\.fits"),
    Case("diff with a text", command("diff", "{l1}", "{root}/text.fits"), r"text\.fits"),
    Case("associate nothing", command("associate", "{root}/gone"), r"gone"),
    Case("associate products only", command("associate", "{store}"), r"no raw FITS"),
    Case("associate an association", broken_json, r"asn\.json"),
    Case("add a product", command("calib", "add", "{l1}", "--refs", "{store}"), r"REFTYPE"),
    Case("add a text", command("calib", "add", "{root}/text.fits", "--refs", "{store}"), r"text"),
    Case("add nothing", command("calib", "add", "{root}/gone.fits", "--refs", "{store}"), r"gone"),
    Case(
        "explain an unknown type",
        command("calib", "explain", "{read}", "drak", "--refs", "{store}"),
        r"drak.*expected one of .*dark",
        2,
    ),
    Case(
        "select for a text",
        command("calib", "select", "{root}/text.fits", "--refs", "{store}"),
        r"text\.fits",
    ),
    Case(
        "an unknown context",
        command("calib", "context", "iris_9999", "--refs", "{store}"),
        r"iris_9999",
        2,
    ),
    Case("list no store", command("calib", "list", "--refs", "{root}/gone"), r"gone"),
]


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input(case, bench, capsys, monkeypatch):
    check(case, bench, capsys, monkeypatch)
