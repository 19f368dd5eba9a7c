"""Raw files: every form they come in, and every way they can be wrong."""

import gzip
import hashlib
import re
import shutil
import time
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.errors import IrisError, ReadError
from liger_iris_pipeline.instrument.detectors import DETECTORS
from liger_iris_pipeline.instrument.filters import FILTERS
from liger_iris_pipeline.models.naming import product_name
from liger_iris_pipeline.models.reads import (
    group_exposures,
    identity,
    is_usable_nominal,
    scan_reads,
)


def grouped(files, **options):
    """Scan and group files without a warning."""
    scan = scan_reads(files, **options)
    exposures, notes = group_exposures(scan.reads)
    assert (*scan.warnings, *notes) == ()
    return exposures


@pytest.fixture
def files(tmp_path, make):
    return make.ramp(tmp_path)


# --- forms ----------------------------------------------------------------------------------------


def test_one_file_per_read(files, make):
    (exposure,) = grouped(files)
    assert exposure.key == ("2026B-P001-001", "IMG1", 1, "")
    assert exposure.files == tuple(files)
    assert exposure.shape == make.shape
    for number, (read, counts) in enumerate(zip(exposure.reads, make.counts(), strict=True), 1):
        loaded = read.load()
        assert loaded.dtype == np.dtype("=u2")
        assert loaded.flags.writeable
        assert np.array_equal(loaded, counts)
        assert (read.ramp_no, read.read_no, read.index) == (1, number, None)
        assert read.time == pytest.approx(number * make.frame_us / 1e6, abs=1e-9)
        assert read.sha256 == hashlib.sha256(read.path.read_bytes()).hexdigest()
        assert read.header["AOSTREHL"] == round(0.5 + 0.01 * number, 3)


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("table", [True, False], ids=["TIMES", "TFRAME"])
def test_a_ramp_as_a_cube(tmp_path, make, table, packed):
    cube = make.cube(tmp_path / ("c.fits.gz" if packed else "c.fits"), make.counts(), table=table)
    (exposure,) = grouped([cube])
    assert [read.index for read in exposure.reads] == [0, 1, 2, 3]
    assert np.array_equal([read.load() for read in exposure.reads], make.counts())
    times = np.arange(1, make.nread + 1) * make.frame_us / 1e6
    assert [read.time for read in exposure.reads] == pytest.approx(times, abs=1e-9)
    assert exposure.header["READ_O_S"] == 1
    assert exposure.header["READ_O_E"] == make.nread
    assert ("READTE_E" in exposure.header) == table
    assert [read.header["READ_NO"] for read in exposure.reads] == [1, 2, 3, 4]


def test_reads_packed_reads_and_cubes_mix(tmp_path, make):
    reads = make.ramp(tmp_path, ramp=2, NUMRAMPS=2)
    for path in reads[::2]:
        path.with_name(f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))
    mixed = [p.with_name(f"{p.name}.gz") if i % 2 == 0 else p for i, p in enumerate(reads)]
    cube = make.cube(tmp_path / "cube.fits", make.counts(seed=1), table=True, NUMRAMPS=2)
    (exposure,) = grouped([*reversed(mixed), cube])
    assert [[read.read_no for read in ramp] for ramp in exposure.ramps] == [[1, 2, 3, 4]] * 2
    assert np.array_equal([read.load() for read in exposure.ramps[0]], make.counts(seed=1))
    assert np.array_equal([read.load() for read in exposure.ramps[1]], make.counts(seed=2))


def test_order_is_the_number_never_the_name(files):
    names = [path.with_name(f"{9 - i}.fits") for i, path in enumerate(files)]
    for old, new in zip(files, names, strict=True):
        old.rename(new)
    (exposure,) = grouped(sorted(names))
    assert [read.path for read in exposure.reads] == names


def test_detectors_exposures_and_windows_are_kept_apart(tmp_path, make):
    window = {"SUBARRAY": "CUSTOM", "DETSIZE1": 64, "DETSIZE2": 64, "REFPIX": 0}
    kinds = {
        "a": {"DETECTOR": "IMG2", "DET_ID": "IMG2"},
        "b": {"DETECTOR": "IMG2", "DET_ID": None, "EXP_NO": 2},
        "c": {"OBS_ID": "2026B-P001-002"},
        "d": {**window, "SUBARRID": 1},
        "e": {**window, "SUBARRID": 2, "SUBSTRT1": 9},
        "f": {**window, "SUBSTRT1": 5, "SUBSTRT2": 3},
        "g": {},
    }
    paths = []
    for name, changes in kinds.items():
        (tmp_path / name).mkdir()
        paths += make.ramp(tmp_path / name, **changes)
    exposures = grouped(paths)
    assert len(exposures) == len(kinds)
    names = {product_name(exposure.header, 1) for exposure in exposures}
    assert len(names) == len(kinds)
    assert "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001_X5Y3.fits" in names


def test_an_exposure_says_what_it_is(files, make):
    (exposure,) = grouped(files)
    assert (exposure.imtype, exposure.filter, exposure.detector) == ("SCI", "Kbb", "IMG1")
    assert exposure.stem == "2026B-P001-001_IRIS_IMG1_SCI_0001"
    assert exposure.name == files[0].name
    assert exposure.date_obs == "2026-11-23T08:30:00.000"
    assert exposure.mjd_obs == make.header()["MJD-OBS"]
    assert not exposure.is_aborted
    parameters = exposure.get_crds_parameters()
    assert parameters["DETECTOR"] == "IMG1"
    assert parameters["DATE-OBS"] == exposure.date_obs
    assert None not in parameters.values()


def test_headers_are_merged_by_the_library_or_by_what_is_given(files):
    scan = scan_reads(files)
    exposure = group_exposures(scan.reads)[0][0]
    assert (exposure.header["AOSTRL_S"], exposure.header["AOSTRL_E"]) == (0.51, 0.54)
    assert exposure.header["OBJECT"] == "M 92"
    seen = []

    def merge(headers):
        seen.extend(headers)
        return headers[0]

    exposure = group_exposures(scan.reads, merge=merge)[0][0]
    assert seen == []
    assert exposure.header["READ_NO"] == 1
    assert exposure.header is exposure.header
    assert len(seen) == len(files)
    assert all(len(cards) % 80 == 0 for cards in seen)


def test_exposures_come_in_the_order_of_time(tmp_path, make):
    paths = []
    for number, ramp in ((1, 7), (2, 3), (3, 5)):
        paths += make.ramp(tmp_path, ramp=ramp, EXP_NO=number)
    assert [exposure.key[2] for exposure in grouped(paths)] == [2, 3, 1]


# --- one file that is wrong -----------------------------------------------------------------------


def truncate(path):
    path.write_bytes(path.read_bytes()[:-100])


def cut_into_header(path):
    path.write_bytes(path.read_bytes()[:1000])


def flip_a_pixel(path):
    data = bytearray(path.read_bytes())
    data[-2800] ^= 1
    path.write_bytes(data)


def rewrite(dtype=None, shape=None, checksum=False, **keys):
    def change(path):
        counts, header = fits.getdata(path), fits.getheader(path)
        if shape is not None:
            counts = np.zeros(shape, counts.dtype)
        hdu = fits.PrimaryHDU(counts.astype(dtype or counts.dtype))
        for key in ("BITPIX", "NAXIS", "NAXIS1", "NAXIS2", "BZERO", "BSCALE", "SIMPLE", "EXTEND"):
            header.remove(key, ignore_missing=True)
        hdu.header.update(header)
        hdu.header.update(keys)
        hdu.writeto(path, overwrite=True, checksum=checksum)

    return change


def sums_then(change):
    def both(path):
        rewrite(checksum=True)(path)
        change(path)

    return both


def card(keyword, text):
    def change(path):
        data = bytearray(path.read_bytes())
        at = data.index(keyword.ljust(8).encode())
        data[at : at + 80] = text.ljust(80)
        path.write_bytes(data)

    return change


def pack_and_cut(path):
    path.write_bytes(gzip.compress(path.read_bytes())[:-9])


def keys(**changes):
    return rewrite(**changes)


def without(keyword):
    return lambda path: fits.delval(path, keyword)


KNOWN_FILTERS = " ".join(["dark", "through", *FILTERS])
WRONG = {
    "truncated data": (
        truncate,
        r"PRIMARY: got a file of \d+ bytes: it is truncated, expected at least \d+; copy it again",
    ),
    "truncated header": (
        cut_into_header,
        "PRIMARY: got a header that ends early: the file is truncated, expected an END card",
    ),
    "packed and truncated": (
        pack_and_cut,
        r"file: got a broken gzip file \(.*\), expected a whole one",
    ),
    "empty": (
        lambda p: p.write_bytes(b""),
        "PRIMARY: got an empty file, expected FITS; copy it again",
    ),
    "not FITS": (
        lambda p: p.write_bytes(b"P6 " * 2000),
        "PRIMARY: got a file that does not begin with SIMPLE, expected FITS; give FITS files only",
    ),
    "missing": (
        Path.unlink,
        "file: got 'No such file or directory', expected a readable FITS file",
    ),
    "a folder": (lambda p: (p.unlink(), p.mkdir()), "file: got something that is not a plain file"),
    "data changed": (
        sums_then(flip_a_pixel),
        r"DATASUM: got \d+, expected \d+, the sum of the data of PRIMARY; the data have changed",
    ),
    "int16": (
        rewrite("i2"),
        r"BITPIX: got int16 pixels, expected unsigned 16-bit \(BITPIX 16, BZERO 32768\)",
    ),
    "int32": (rewrite("i4"), "BITPIX: got int32 pixels"),
    "uint32": (rewrite("u4"), "BITPIX: got uint32 pixels"),
    "uint8": (rewrite("u1"), "BITPIX: got uint8 pixels"),
    "float32": (rewrite("f4"), "BITPIX: got float32 pixels"),
    "float64": (rewrite("f8"), "BITPIX: got float64 pixels"),
    "scaled": (
        card("BSCALE", b"BSCALE  =                  2.0"),
        r"BITPIX: got scaled \(BSCALE 2.0\) pixels",
    ),
    "no image": (
        lambda p: fits.PrimaryHDU().writeto(p, overwrite=True),
        r"NAXIS: got 0, expected 2 \(one read\) or 3",
    ),
    "4 axes": (rewrite(shape=(1, 2, 12, 16)), "NAXIS: got 4, expected 2"),
    "another shape": (
        rewrite(shape=(12, 32), DETSIZE1=32),
        r"NAXIS: got shape \(12, 32\), expected \(12, 16\) as in r1-01.fits; leave the file out",
    ),
    "another readout": (
        keys(NOUTPUTS=8),
        r"SUBSTRT1/2, DETSIZE1/2, REFPIX, NOUTPUTS: got Geometry\(.*noutputs=8\)",
    ),
    "broken structure": (
        card("NAXIS1", b"NAXIS1  =                   -5"),
        "PRIMARY: got NAXIS1 -5, expected a count",
    ),
    "broken BITPIX": (
        card("BITPIX", b"BITPIX  =                   17"),
        "PRIMARY: got BITPIX 17, expected 8, 16, 32, 64, -32 or -64",
    ),
    **{
        f"no {key}": (without(key), f"{key}: got nothing, expected")
        for key in ("OBS_ID", "DETECTOR", "EXP_NO", "RAMP_NO", "READ_NO", "READTIME", "RST_TIME")
    },
    "EXP_NO a text": (keys(EXP_NO="1"), "EXP_NO: got '1', expected an integer of at least 0"),
    "READ_NO 0": (keys(READ_NO=0), "READ_NO: got 0, expected an integer of at least 1"),
    "RAMP_NO T": (keys(RAMP_NO=True), "RAMP_NO: got True, expected an integer of at least 1"),
    "READTIME 1.5": (keys(READTIME=1.5), "READTIME: got 1.5, expected an integer"),
    "OBS_ID a number": (keys(OBS_ID=7), "OBS_ID: got 7, expected a text in quotes"),
    "READTIME before RST_TIME": (
        keys(READTIME=5),
        r"READTIME: got 5, expected no less than RST_TIME \d+",
    ),
    "unknown DETECTOR": (
        keys(DETECTOR="IMG9"),
        "|".join(
            [
                f"DETECTOR: got 'IMG9', expected one of {' '.join(DETECTORS)}; mend",
                "DET_ID: got 'IMG1', expected 'IMG9' as in DETECTOR",
            ]
        ),
    ),
    "unknown detector alone": (
        keys(DETECTOR="IMG9", DET_ID="IMG9"),
        f"DETECTOR: got 'IMG9', expected one of {' '.join(DETECTORS)}; mend",
    ),
    "DET_ID another": (keys(DET_ID="IMG2"), "DET_ID: got 'IMG2', expected 'IMG1' as in DETECTOR"),
    "unknown IMTYPE": (
        keys(IMTYPE="SCIENCE"),
        "IMTYPE: got 'SCIENCE', expected one of SCI SKY DARK FLAT ARC LAMPSCAN PINHOLE "
        "STD TELLURIC BIAS; mend",
    ),
    "unknown FILTER": (keys(FILTER="Q"), f"FILTER: got 'Q', expected one of {KNOWN_FILTERS}; mend"),
    "unknown SAMPMODE": (keys(SAMPMODE="MCD"), "SAMPMODE: got 'MCD', expected one of CDS MDS UTR"),
    "unknown INSTMODE": (
        keys(INSTMODE="XXX"),
        "INSTMODE: got 'XXX', expected one of IMG SLICER LENSLET",
    ),
    "window outside": (
        keys(SUBARRAY="CUSTOM", SUBSTRT1=2),
        "SUBSTRT1: got a window from 2 to 17, expected one inside the 16 pixels of DETSIZE1",
    ),
    "window of another size": (keys(SUBSIZE2=13), "SUBSIZE2: got 13, expected 12 as NAXIS2"),
    "FULL but a window": (
        keys(DETSIZE2=64),
        "SUBARRAY: got FULL with 12 pixels along axis 2, expected 64 as DETSIZE2",
    ),
    "window unnameable": (
        keys(SUBARRAY="A/B", SUBARRID="A/B"),
        "window: got .*expected one that can be named",
    ),
    "NOUTPUTS": (keys(NOUTPUTS=5), "NOUTPUTS: got 5, expected a divisor of the 16 columns"),
    "REFPIX": (keys(REFPIX=6), "REFPIX: got 6, expected a border that leaves pixels inside"),
    "too large": (keys(EXP_NO=1 << 63), r"EXP_NO: got \d+, expected an integer"),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_file_that_cannot_be_used_ends_the_scan_and_can_be_left_out(files, name):
    change, message = WRONG[name]
    change(files[1])
    with pytest.raises(ReadError, match=f"^r1-02.fits: ({message})") as caught:
        scan_reads(files)
    assert "\n" not in str(caught.value)
    scan = scan_reads(files, skip_bad=True)
    assert [read.read_no for read in scan.reads] == [1, 3, 4]
    assert [item.path for item in scan.skipped] == [files[1]]
    assert scan.skipped[0].reason == str(caught.value)
    assert scan.warnings == (f"{caught.value}; left out",)


def test_an_odd_shape_is_the_odd_one_wherever_it_stands(files):
    rewrite(shape=(12, 32), DETSIZE1=32)(files[0])
    with pytest.raises(ReadError, match=r"^r1-01.fits: NAXIS: got shape \(12, 32\), expected"):
        scan_reads(files)


def test_if_no_read_is_left_there_is_nothing_to_go_on_with(files):
    for path in files:
        truncate(path)
    with pytest.raises(ReadError, match=r"^r1-01.fits: reads: got no read that can be used"):
        scan_reads(files, skip_bad=True)


def test_no_files_are_no_reads():
    scan = scan_reads([])
    assert (scan.reads, scan.warnings, scan.skipped) == ((), (), ())
    assert group_exposures([]) == ([], ())


CUBES = {
    "rows": (
        lambda h: h["TIMES"].data[:-1],
        "TIMES: got 3 rows, expected one for each of the 4 reads",
    ),
    "READ_NO 0": (
        lambda h: change_column(h["TIMES"].data, "READ_NO", [0, 1, 2, 3]),
        "TIMES: got READ_NO 0, expected at least 1",
    ),
    "before the reset": (
        lambda h: change_column(h["TIMES"].data, "READTIME", [1, 2, 3, 4]),
        "READTIME: got 1, expected no less than RST_TIME",
    ),
    "no column": (
        lambda h: np.array(h["TIMES"].data)[["READ_NO"]],
        "TIMES: got .*expected integer columns READ_NO and READTIME",
    ),
}


def change_column(table, name, values):
    table[name] = values
    return table


@pytest.mark.parametrize("name", CUBES)
def test_a_times_table_that_is_wrong(tmp_path, make, name):
    change, message = CUBES[name]
    path = make.cube(tmp_path / "c.fits", make.counts(), table=True)
    with fits.open(path) as hdus:
        rows = np.array(change(hdus))
        primary = fits.PrimaryHDU(hdus[0].data, hdus[0].header)
        table = fits.BinTableHDU(rows, name="TIMES")
        fits.HDUList([primary, table]).writeto(tmp_path / "d.fits")
    with pytest.raises(ReadError, match=f"^d.fits: {message}"):
        scan_reads([tmp_path / "d.fits"])


@pytest.mark.parametrize(
    ("value", "got"),
    [(None, "no value and no TIMES table"), (0, "0"), ("x", "'x'"), (-1.5, "-1.5")],
)
def test_a_cube_without_times(tmp_path, make, set_keys, value, got):
    path = make.cube(tmp_path / "c.fits", make.counts(), table=False)
    set_keys(TFRAME=value)(path)
    message = f"^c.fits: TFRAME: got {got}, expected the seconds between reads"
    with pytest.raises(ReadError, match=message):
        scan_reads([path])


def test_times_of_a_cube_can_begin_anywhere(tmp_path, make):
    """The numbers of a cube are those of its table, not of its planes."""
    path = make.cube(tmp_path / "c.fits", make.counts(), table=True)
    with fits.open(path, mode="update") as hdus:
        hdus["TIMES"].data["READ_NO"] = [4, 3, 2, 1]
        hdus["TIMES"].data["READTIME"] = hdus["TIMES"].data["READTIME"][::-1].copy()
    (exposure,) = grouped([path])
    assert [read.index for read in exposure.reads] == [3, 2, 1, 0]
    assert np.array_equal([read.load() for read in exposure.reads], make.counts()[::-1])


# --- odd, but usable ------------------------------------------------------------------------------

ODD = {
    "CHECKSUM": (
        sums_then(card("OBJECT", b"OBJECT  = 'M 13'")),
        "CHECKSUM: got a header of PRIMARY that does not match it, expected an unchanged "
        "one; the data are used",
    ),
    "bytes at the end": (
        lambda p: p.write_bytes(p.read_bytes() + b"junk" * 11),
        "end: got 44 bytes after the last HDU, expected none; they are ignored",
    ),
    "HIERARCH": (
        card("OBJECT", b"HIERARCH ESO TEL NAME = 'x'"),
        "header: got HIERARCH cards, expected plain FITS cards; they are kept as they are",
    ),
    "lower case": (
        card("OBJECT", b"object  = 'x'"),
        "header: got lower-case keywords, expected plain FITS cards; they are kept in upper case",
    ),
    "not ASCII": (
        card("OBJECT", b"OBJECT  = '\xe9toile'"),
        "header: got bytes that are not text, expected plain FITS cards; such cards are "
        "left out of products",
    ),
    "no IMTYPE": (without("IMTYPE"), "IMTYPE: got nothing, expected the kind of exposure"),
}


@pytest.mark.parametrize("name", ODD)
def test_what_is_odd_is_used_with_a_warning(files, make, name):
    change, message = ODD[name]
    change(files[1])
    scan = scan_reads(files)
    assert len(scan.warnings) == 1
    assert scan.warnings[0].startswith(f"r1-02.fits: {message}")
    (exposure,), notes = group_exposures(scan.reads)
    assert notes == ()
    assert np.array_equal([read.load() for read in exposure.reads], make.counts())
    assert exposure.header["OBS_ID"] == "2026B-P001-001"


def test_right_checksums_are_silent(files, make):
    for path in files:
        rewrite(checksum=True)(path)
        assert "DATASUM" in fits.getheader(path)
    grouped(files)


def test_checksums_of_a_cube_and_its_table(tmp_path, make):
    path = make.cube(tmp_path / "c.fits", make.counts(), table=True)
    with fits.open(path, mode="update", checksum=True) as hdus:
        for hdu in hdus:
            hdu.add_checksum()
    grouped([path])
    data = bytearray(path.read_bytes())
    data[-2880] ^= 4
    path.write_bytes(data)
    with pytest.raises(ReadError, match=r"^c.fits: DATASUM: .*the sum of the data of TIMES"):
        scan_reads([path])


def test_a_packed_copy_of_a_read_is_used_once(files, make):
    copy = files[2].with_name("copy.fits.gz")
    copy.write_bytes(gzip.compress(files[2].read_bytes()))
    again = Path(shutil.copy(files[0], files[0].with_name("again.fits")))
    scan = scan_reads([*files, copy, again])
    assert [read.path for read in scan.reads] == files
    assert scan.warnings == (
        "copy.fits.gz: READ_NO: got the same read as in r1-03.fits, expected each read "
        "once; it is used once",
        "again.fits: READ_NO: got the same read as in r1-01.fits, expected each read "
        "once; it is used once",
    )


@pytest.mark.parametrize("change", [flip_a_pixel, keys(READTIME=1_790_000_200_000_000)])
@pytest.mark.parametrize("skip_bad", [False, True])
def test_two_different_reads_of_one_identity_are_refused(files, change, skip_bad):
    other = Path(shutil.copy(files[2], files[2].with_name("other.fits")))
    change(other)
    message = (
        "^other.fits: READ_NO: got another read 3 of ramp 1 than in r1-03.fits, expected one; "
    )
    with pytest.raises(ReadError, match=message):
        scan_reads([*files, other], skip_bad=skip_bad)


# --- ramps ----------------------------------------------------------------------------------------


def test_an_aborted_ramp_is_used_with_a_warning(files):
    (exposure,), notes = group_exposures(scan_reads(files[:3]).reads)
    assert exposure.is_aborted
    assert notes == (
        "r1-01.fits: NUMREADS: got 3 reads in ramp 1, expected 4; the ramp was aborted "
        "and is used as it is",
    )


def test_missing_ramps_are_named(tmp_path, make):
    files = make.ramp(tmp_path, NUMRAMPS=3)
    (exposure,), notes = group_exposures(scan_reads(files).reads)
    assert exposure.is_aborted
    assert notes == (
        "r1-01.fits: NUMRAMPS: got 1 ramps, expected 3; those that are there are used",
    )


def test_one_read_makes_no_ramp(files):
    scan = scan_reads(files[1:2])
    message = "^r1-02.fits: READ_NO: got one read in ramp 1, expected at least two; add the others"
    with pytest.raises(ReadError, match=message):
        group_exposures(scan.reads)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            keys(READTIME=1_790_000_101_750_000),
            "READTIME: got 1.750000 s after the reset, expected more than the 1.750000 s of read 1",
        ),
        (
            keys(RST_TIME=1_790_000_100_000_001),
            r"RST_TIME: got 1790000100000001, expected 1790000100000000 as in r1-01.fits, of "
            r"the same ramp",
        ),
    ],
)
def test_times_rise_from_one_reset(files, change, message):
    change(files[1])
    with pytest.raises(ReadError, match=f"^r1-02.fits: {message}"):
        group_exposures(scan_reads(files).reads)


def test_a_file_that_changes_after_the_scan_is_noticed(files):
    read = scan_reads(files).reads[0]
    truncate(files[0])
    with pytest.raises(
        ReadError, match=r"^r1-01.fits: file: got \d+ bytes, expected the file as it"
    ):
        read.load()
    files[0].unlink()
    with pytest.raises(ReadError, match="No such file"):
        read.load()


# --- identity -------------------------------------------------------------------------------------


def test_identity_from_the_header_alone(files, tmp_path, make):
    assert identity(files[0]) == scan_reads(files[:1]).reads[0].exposure_key
    assert identity(make.cube(tmp_path / "c.fits", make.counts(), table=True)) == identity(files[1])
    assert identity(make.frame_model().save(tmp_path / "product.fits")) is None
    assert identity(tmp_path / "none.fits") is None
    truncate(files[1])
    assert identity(files[1]) == identity(files[0])


@pytest.mark.parametrize(
    ("value", "usable"),
    [(3.0, True), (2, True), (0, False), (-1.0, False), ("3", False), (True, False), (None, False)],
)
def test_nominal_values(value, usable):
    assert is_usable_nominal({"GAIN": value}, "GAIN") == usable
    assert not is_usable_nominal({}, "GAIN")
    assert not is_usable_nominal({"GAIN": float("inf")}, "GAIN")


# --- whatever comes -------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def whole(tmp_path_factory, make):
    folder = tmp_path_factory.mktemp("whole")
    cube = make.cube(folder / "c.fits", make.counts(), table=True)
    with fits.open(cube, mode="update") as hdus:
        for hdu in hdus:
            hdu.add_checksum()
    return cube.read_bytes()


def outcome(path):
    """Scan and group: reads, or an error of ours."""
    said = None
    try:
        reads = scan_reads([path]).reads
        group_exposures(reads)
        for read in reads:
            read.load()
    except IrisError as error:
        said = str(error)
    else:
        return reads
    assert re.fullmatch(r"x\.fits: .+: got .+, expected .+; .+", said)
    return None


ONE_FILE = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}


@given(st.integers(0, 1 << 20))
@settings(max_examples=80, **ONE_FILE)
def test_a_file_cut_anywhere_is_never_used(tmp_path, whole, at):
    (tmp_path / "x.fits").write_bytes(whole[: at % len(whole)])
    found = outcome(tmp_path / "x.fits")
    assert found is None


@given(st.integers(0, 1 << 20), st.binary(min_size=1, max_size=40))
@settings(max_examples=150, **ONE_FILE)
@example(at=80 * 3, patch=b"NAXIS1  =  99999999999999999999")
def test_any_change_of_bytes_gives_reads_or_an_error_of_ours(tmp_path, whole, at, patch):
    at %= len(whole)
    (tmp_path / "x.fits").write_bytes(whole[:at] + patch + whole[at + len(patch) :])
    outcome(tmp_path / "x.fits")


# --- speed ----------------------------------------------------------------------------------------


def test_a_night_of_tiny_files_is_scanned_in_seconds(tmp_path, make):
    """700 files with checksums, whole, hashed and grouped; the requirement is 4 s."""
    pattern = make.ramp(tmp_path)
    for path in pattern:
        rewrite(checksum=True)(path)
    packed = [path.read_bytes() for path in pattern]
    files = []
    for number in range(175):
        for index, data in enumerate(packed):
            at = data.index(b"EXP_NO  ")
            path = tmp_path / f"{number}-{index}.fits"
            card_ = f"EXP_NO  = {number:>20d}".ljust(80).encode()
            path.write_bytes(data[:at] + card_ + data[at + 80 :])
            files.append(path)
    begin = time.perf_counter()
    scan = scan_reads(files)
    exposures, _ = group_exposures(scan.reads)
    assert time.perf_counter() - begin < 4.0
    assert len(exposures) == 175


def large_files(folder, make):
    """Two reads that are gone through in several pieces, the last of them short."""
    shape = (701, 515)
    counts = make.counts(nread=2, shape=shape)
    keys = {"DETSIZE1": 515, "DETSIZE2": 701, "NOUTPUTS": 5, "NUMREADS": 2}
    headers = [make.header(1, number, **keys) for number in (1, 2)]
    return counts, [
        make.read(folder / f"large-{i}.fits", plane, header, checksum=True)
        for i, (plane, header) in enumerate(zip(counts, headers, strict=True))
    ]


@pytest.mark.parametrize("tail", [b"", b"left by a copy"])
def test_a_file_of_many_pieces_is_hashed_summed_and_loaded_whole(tmp_path, make, tail):
    counts, paths = large_files(tmp_path, make)
    for path in paths:
        path.write_bytes(path.read_bytes() + tail)
    scan = scan_reads(paths)
    assert len(scan.warnings) == (2 if tail else 0)
    out = np.zeros(counts.shape[1:], np.uint16)
    for read, plane, path in zip(scan.reads, counts, paths, strict=True):
        assert read.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
        assert np.array_equal(read.load(), plane)
        assert read.load(out=out) is out
        assert np.array_equal(out, plane)
        assert np.array_equal(read.load(slice(300, 700)), plane[300:700])


@pytest.mark.parametrize("at", [-6000, 400_000])
def test_one_bit_in_any_piece_is_noticed(tmp_path, make, at):
    _, paths = large_files(tmp_path, make)
    content = bytearray(paths[1].read_bytes())
    content[at] ^= 0x10
    paths[1].write_bytes(content)
    with pytest.raises(ReadError, match=r"large-1.fits: DATASUM"):
        scan_reads(paths)
