"""What the commands do with bad input, row by row: status, one line, nothing touched and nothing left."""

import gzip
import json
import os
import shutil

import numpy as np
import pytest
from astropy.io import fits
from bench import Bench, Case, check


@pytest.fixture
def bench(night, refs, products, tmp_path):
    return Bench(tmp_path, night, refs, products)


def edited(at=1, **cards):
    return lambda bench: bench.edit(at, **cards)


def dropped(*keys):
    return lambda bench: bench.edit(drop=keys)


# --- headers of reads -----------------------------------------------------------------------------


def gain_is_no_number(bench):
    bench.without("GAIN")
    for at in range(len(bench.reads)):
        bench.edit(at, GAIN=12345.0)
        bench.patch(b"GAIN    =              12345.0", b"GAIN    =                  NaN", at)


def no_read_noise(bench):
    bench.without("READNOISE")
    bench.edit_all(READNOIS=0.0)


def gain_missing(bench):
    bench.without("GAIN")
    for at in range(len(bench.reads)):
        bench.edit(at, drop=("GAIN",))


def times_do_not_rise(bench):
    bench.edit(2, READTIME=fits.getval(bench.reads[1], "READTIME"))


HEADERS = [
    Case("no OBS_ID", dropped("OBS_ID"), r"0002\.fits: OBS_ID: got nothing"),
    Case("no DETECTOR", dropped("DETECTOR"), r"DETECTOR: got nothing"),
    Case("no EXP_NO", dropped("EXP_NO"), r"EXP_NO: got nothing, expected an integer"),
    Case("no READ_NO", dropped("READ_NO"), r"READ_NO: got nothing"),
    Case("no READTIME", dropped("READTIME"), r"READTIME: got nothing"),
    Case("EXP_NO is a text", edited(EXP_NO="one"), r"EXP_NO: got 'one', expected an integer"),
    Case("READ_NO 0", edited(READ_NO=0), r"READ_NO: got 0, expected an integer of at least 1"),
    Case("unknown DETECTOR", edited(DETECTOR="IMG9"), r"'IMG9', expected one of IMG1 IMG2 IMG3"),
    Case("unknown IMTYPE", edited(IMTYPE="SCIENCE"), r"'SCIENCE', expected one of SCI SKY DARK"),
    Case("unknown FILTER", edited(FILTER="Q"), r"FILTER: got 'Q', expected one of .*Jbb"),
    Case("unknown SAMPMODE", edited(SAMPMODE="UP"), r"SAMPMODE: got 'UP', expected one of CDS"),
    Case("another DET_ID", edited(DET_ID="IMG2"), r"DET_ID: got 'IMG2', expected 'IMG1'"),
    Case(
        "read before the reset", edited(READTIME=1), r"READTIME: got 1, expected no less than RST"
    ),
    Case(
        "times do not rise", times_do_not_rise, r"0003\.fits: READTIME: got .* expected more than"
    ),
    Case("another reset", edited(RST_TIME=1_700_000_000_000_000), r"RST_TIME: got 17"),
    Case("GAIN is no number", gain_is_no_number, r"GAIN: got NaN, expected a positive number"),
    Case("no GAIN", gain_missing, r"GAIN: got nothing, expected a positive number"),
    Case("READNOIS 0", no_read_noise, r"READNOIS: got 0"),
    Case(
        "window outside the detector",
        edited(SUBARRAY="CUSTOM", SUBSTRT1=100),
        r"SUBSTRT1: got a window from 100 to 227, expected one inside the 128 pixels",
    ),
    Case("NOUTPUTS does not divide", edited(NOUTPUTS=5), r"NOUTPUTS: got 5, expected a divisor"),
    Case("border too wide", edited(REFPIX=64), r"REFPIX: got 64"),
]


# --- pixels and files -----------------------------------------------------------------------------


def cut_to(size):
    def spoil(bench):
        path = bench.reads[1]
        path.write_bytes(path.read_bytes()[:size])

    return spoil


def not_fits(bench):
    bench.reads[1].write_text("a letter to the observatory\n" * 200)


def cut_gzip(bench):
    path = bench.reads[1]
    packed = gzip.compress(path.read_bytes())
    path.unlink()
    path.with_name(f"{path.name}.gz").write_bytes(packed[: len(packed) // 2])


def one_byte_changed(bench):
    path = bench.reads[1]
    content = bytearray(path.read_bytes())
    content[9000] ^= 0x55
    path.write_bytes(bytes(content))


def only_one_read(bench):
    for path in bench.reads[1:]:
        path.unlink()


def two_of_one_identity(bench):
    bench.edit(1, READ_NO=1)


def copied(bench):
    shutil.copy(bench.reads[0], bench.raw / "again.fits")


def more_bytes(bench):
    path = bench.reads[1]
    path.write_bytes(path.read_bytes() + b"more")


def wrong_checksum(bench):
    bench.patch(b"/ [Celsius] air temperature", b"/ [Celsius] air, warm      ")


def lower_case(bench):
    bench.edit(1, ODD=1)
    bench.patch(b"ODD     =", b"odd     =")


def not_ascii(bench):
    bench.edit(1, ODD="o")
    bench.patch(b"ODD     = 'o", b"ODD     = '\xf6")


def long_name(bench):
    with fits.open(bench.reads[1], mode="update") as hdus:
        for key in ("CHECKSUM", "DATASUM"):
            del hdus[0].header[key]
        hdus[0].header["HIERARCH ESO INS TEMP"] = 77.0


def folder_as_file(bench):
    (bench.raw / "read.fits").mkdir()


def dangling_link(bench):
    (bench.raw / "read.fits").symlink_to(bench.root / "nowhere.fits")


def link_to_itself(bench):
    (bench.raw / "read.fits").symlink_to(bench.raw / "read.fits")


def aborted(bench):
    bench.reads[-1].unlink()


FILES = [
    Case("data cut", cut_to(20_000), r"0002\.fits: .*truncated"),
    Case("header cut", cut_to(1000), r"0002\.fits: .*got"),
    Case("empty", cut_to(0), r"0002\.fits: .*empty"),
    Case("not FITS", not_fits, r"0002\.fits: .*expected FITS"),
    Case("gzip cut", cut_gzip, r"0002\.fits\.gz: "),
    Case("one byte changed", one_byte_changed, r"0002\.fits: DATASUM: got"),
    Case("signed pixels", lambda b: b.rewrite(lambda d: d.astype(np.int16)), r"int16 pixels"),
    Case("float pixels", lambda b: b.rewrite(lambda d: d.astype(np.float32)), r"float32 pixels"),
    Case("another shape", lambda b: b.rewrite(lambda d: d[:64]), r"NAXIS2|SUBSIZE2"),
    Case("one read only", only_one_read, r"one read in ramp 1, expected at least two"),
    Case("two of one identity", two_of_one_identity, r"READ_NO: got another read 1"),
    Case("a folder called like a read", folder_as_file, r"read\.fits: file: got something"),
    Case("a dangling link", dangling_link, r"read\.fits: file: got 'No such file"),
    Case("a link to itself", link_to_itself, r"read\.fits: file: got 'Too many levels"),
    Case("only CHECKSUM wrong", wrong_checksum, r"warning: .*0002\.fits: CHECKSUM", 0),
    Case("bytes after the end", more_bytes, r"4 bytes after the last HDU", 0),
    Case("the same read twice", copied, r"the same read as in .*it is used once", 0),
    Case("lower-case keyword", lower_case, r"lower-case keywords", 0),
    Case("letters that are not ASCII", not_ascii, r"bytes that are not text", 0),
    Case("a HIERARCH card", long_name, r"HIERARCH cards", 0),
    Case("an aborted ramp", aborted, r"NUMREADS: got 4 reads", 0),
]


# --- references -----------------------------------------------------------------------------------


def reference_card(kind, **cards):
    def spoil(bench):
        with fits.open(bench.reference(kind), mode="update") as hdus:
            for key in ("CHECKSUM", "DATASUM"):
                hdus[0].header.remove(key, ignore_missing=True)
            hdus[0].header.update(cards)
        (bench.store / "SHA256SUMS").unlink(missing_ok=True)

    return spoil


def narrow_flat(bench):
    path = bench.reference("FLAT")
    with fits.open(path) as hdus:
        parts = [fits.ImageHDU(h.data[:50], name=h.name) for h in hdus[1:] if h.is_image]
        whole = fits.HDUList([fits.PrimaryHDU(header=hdus[0].header), *parts])
        whole.writeto(bench.root / "narrow.fits")
    path.unlink()
    (bench.root / "narrow.fits").rename(bench.store / path.name)
    (bench.store / "SHA256SUMS").unlink(missing_ok=True)


def replaced(kind, change):
    """Replace the bytes of a reference."""

    def spoil(bench):
        path = bench.reference(kind)
        content = change(path.read_bytes())
        path.unlink()
        path.write_bytes(content)

    return spoil


def damaged(bench):
    """A dark that states its sums, of which then a pixel changes."""
    path = bench.reference("DARK")
    with fits.open(path) as hdus:
        hdus.writeto(path, overwrite=True, checksum=True)
        start = hdus["SCI"].fileinfo()["datLoc"]
    content = bytearray(path.read_bytes())
    content[start + 5000] ^= 0x10
    path.write_bytes(content)


def no_store(bench):
    return [*bench.command()[:-1], str(bench.root / "nowhere")]


def required(bench):
    bench.without("PHOTOM")
    return [*bench.command(), "--require", "photom"]


REFERENCES = [
    Case("no dark", lambda b: b.without("DARK"), r"DARK reference.*IMG1"),
    Case("no flat of this filter", reference_card("FLAT", FILTER="Hbb"), r"FILTER.*Hbb"),
    Case("a flat of another size", narrow_flat, r"_FLAT_.*50"),
    Case("USEAFTER is no date", reference_card("DARK", USEAFTER="soon"), r"USEAFTER.*soon"),
    Case("valid from tomorrow", reference_card("DARK", USEAFTER="2099-01-01T00:00:00"), r"2099"),
    Case("a byte of the dark changed", damaged, r"_DARK_.*DATASUM: got"),
    Case("a dark cut short", replaced("DARK", lambda c: c[: len(c) // 2]), r"_DARK_"),
    Case("a dark that is not FITS", replaced("DARK", lambda c: b"dark"), r"_DARK_"),
    Case("no such store", no_store, r"nowhere"),
    Case("a required reference is missing", required, r"PHOTOM reference"),
]


# --- associations ---------------------------------------------------------------------------------


def associated(**changes):
    """Reduce by an association of the bench's exposure, with something changed."""

    def spoil(bench):
        member = {"expname": f"raw/{bench.reads[0].name}", "exptype": "science", "group_id": "1"}
        product = {"name": "2026B-P001-001_IRIS_IMG1_SCI_LVL2_0001", "members": [member]}
        content = {"asn_id": "a1", "asn_type": "level2", "asn_pool": "none", "products": [product]}
        change = changes.get("member", {})
        member |= change(bench) if callable(change) else change
        product |= changes.get("product", {})
        product["members"] *= changes.get("times", 1)
        content |= changes.get("content", {})
        path = bench.root / "asn.json"
        path.write_text(changes.get("text") or json.dumps(content))
        return ["reduce", str(path), "--out", str(bench.out), "--refs", str(bench.store)]

    return spoil


def products_associated(kind, count):
    """Reduce by an association of products of one level."""

    def spoil(bench):
        paths = sorted(bench.products.glob(f"*_LVL{1 if kind == 'level2' else 2}_*.fits"))[:count]
        for path in paths:
            shutil.copy(path, bench.root)
        if kind == "level3":
            with fits.open(bench.root / paths[-1].name, mode="update") as hdus:
                hdus[0].header["FILTER"] = "Hbb"
        members = [{"expname": path.name, "exptype": "science"} for path in paths]
        content = {
            "asn_id": "a1",
            "asn_type": kind,
            "products": [{"name": "2026B-P001-001_x", "members": members}],
        }
        (bench.root / "asn.json").write_text(json.dumps(content))
        asn = str(bench.root / "asn.json")
        return ["reduce", asn, "--out", str(bench.out), "--refs", str(bench.store)]

    return spoil


ASSOCIATIONS = [
    Case("no JSON", associated(text="{'asn_id': 'a1',"), r"asn\.json: .*JSON"),
    Case("a list", associated(text="[1, 2]"), r"asn\.json: "),
    Case("a missing member", associated(member={"expname": "raw/gone.fits"}), r"gone\.fits"),
    Case("an unknown exptype", associated(member={"exptype": "moon"}), r"moon.*expected.*science"),
    Case("a name with a path", associated(product={"name": "../x"}), r"\.\./x"),
    Case("no members", associated(product={"members": []}), r"members"),
    Case("no products", associated(content={"products": []}), r"products"),
    Case("wrong checksum", associated(member={"sha256": "0" * 64}), r"sha256|SHA-256"),
    Case("two science frames of level 2", products_associated("level2", 2), r"got 2 members"),
    Case("two filters in a mosaic", products_associated("level3", 2), r"FILTER: got Hbb"),
]


# --- places ---------------------------------------------------------------------------------------


def out_is_a_file(bench):
    bench.out.write_text("notes")


def product_exists(bench):
    bench.out.mkdir()
    (bench.out / "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001.fits").write_text("of somebody else")


def product_is_an_input(bench):
    bench.reads[0].rename(bench.raw / "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001.fits")
    return ["reduce", str(bench.raw), "--out", str(bench.raw), "--refs", str(bench.store)]


def folder_among_files(bench):
    return ["reduce", str(bench.raw), str(bench.reads[0]), "--out", str(bench.out)]


def renamed(name):
    def spoil(bench):
        bench.raw = bench.raw.rename(bench.root / name)
        first = bench.reads[0]
        first.rename(first.with_name(f"{name} {first.name}"))

    return spoil


def loop_of_folders(bench):
    (bench.raw / "loop").symlink_to(bench.raw)


def empty_folder(bench):
    for path in bench.reads:
        path.unlink()


def nothing_there(bench):
    return ["reduce", str(bench.root / "gone"), "--out", str(bench.out)]


def pipe(bench):
    os.mkfifo(bench.raw / "pipe.fits")


PLACES = [
    Case("--out is a file", out_is_a_file, r"--out: got a file, expected a folder", 2),
    Case("a product exists", product_exists, r"file: got one that exists .*--overwrite"),
    Case("a product named like an input", product_is_an_input, r"the name of an input"),
    Case("a folder among files", folder_among_files, r"inputs: got a folder among others", 2),
    Case("an empty folder", empty_folder, r"got no raw FITS file"),
    Case("a folder that is not there", nothing_there, r"gone: path: got nothing there"),
    Case("a pipe called like a read", pipe, r"pipe\.fits: file: got something that is not a plain"),
    Case("names with blanks", renamed("my first night"), r"", 0),
    Case("names with other letters", renamed("нічь-über"), r"", 0),
    Case("a name with a line end", renamed("two\nlines"), r"", 0),
    Case("a folder that links to itself", loop_of_folders, r"", 0),
]


# --- other commands -------------------------------------------------------------------------------


def command(*words):
    """Run another command; ``{raw}`` and so on are folders of the bench."""

    def spoil(bench):
        (bench.root / "text.fits").write_text("not a FITS file")
        table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=[1])], name="ROWS")
        table.writeto(bench.root / "table.fits")
        (bench.root / "cut.fits").write_bytes(bench.reads[0].read_bytes()[:9000])
        places = {"raw": bench.raw, "out": bench.out, "store": bench.store, "root": bench.root}
        return [word.format(**places) for word in words]

    return spoil


OTHERS = [
    Case("info of a text", command("info", "{root}/text.fits"), r"text\.fits: .*expected FITS"),
    Case("info of a cut file", command("info", "{root}/cut.fits"), r"cut\.fits: .*truncated"),
    Case("info of nothing", command("info", "{root}/gone.fits"), r"gone\.fits"),
    Case("info of a folder", command("info", "{raw}"), r"raw: "),
    Case("info without a file", command("info"), r"info: FILE: got nothing", 2),
    Case("show a text", command("show", "{root}/text.fits"), r"text\.fits"),
    Case("show a table", command("show", "{root}/table.fits"), r"table\.fits: .*no image"),
    Case("show a cut file", command("show", "{root}/cut.fits"), r"cut\.fits"),
    Case("show nothing", command("show", "{root}/gone.fits"), r"gone\.fits: file: got nothing", 2),
    Case(
        "show into a folder that is not there",
        command("show", "{store}/nothing", "--out", "{root}/a/b.png"),
        r"nothing",
        2,
    ),
    Case("calibrate science", command("calibrate", "{raw}", "--out", "{out}"), r"no dark and no"),
    Case("calibrate nothing", command("calibrate", "{root}/gone", "--out", "{out}"), r"gone"),
    Case(
        "calibrate into a file",
        command("calibrate", "{raw}", "--out", "{root}/text.fits"),
        r"IMTYPE: got no dark|text\.fits",
    ),
    Case("reduce products", command("reduce", "{store}", "--out", "{out}"), r"no raw FITS file"),
    Case(
        "an unknown step",
        command("reduce", "{raw}", "--out", "{out}", "--skip", "drak"),
        r"--skip: step: got drak, expected one of .*dark_subtract",
        2,
    ),
    Case(
        "an unknown type",
        command("reduce", "{raw}", "--out", "{out}", "--require", "linaerity"),
        r"--require: type: got linaerity, expected one of .*linearity",
        2,
    ),
]

TABLE = [*HEADERS, *FILES, *REFERENCES, *ASSOCIATIONS, *PLACES, *OTHERS]


def test_the_table_is_long_enough():
    assert len(TABLE) >= 58
    assert len({case.name for case in TABLE}) == len(TABLE)


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.name.replace(" ", "-"))
def test_bad_input(case, bench, capsys, monkeypatch):
    check(case, bench, capsys, monkeypatch)
