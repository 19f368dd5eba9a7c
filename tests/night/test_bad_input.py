"""What `iris-drs reduce` does with bad input: status, one line, nothing half written."""

import gzip
import shutil

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline.cli.main import main


def reads(folder):
    return sorted(folder.glob("*.fits"))


def truncate(folder):
    path = reads(folder)[1]
    path.write_bytes(path.read_bytes()[:10_000])
    return path.name


def no_identity(folder):
    path = reads(folder)[1]
    with fits.open(path, mode="update") as hdus:
        del hdus[0].header["OBS_ID"], hdus[0].header["CHECKSUM"], hdus[0].header["DATASUM"]
    return "OBS_ID"


def wrong_shape(folder):
    path = reads(folder)[1]
    with fits.open(path) as hdus:
        header, data = hdus[0].header.copy(), hdus[0].data[:64]
    del header["CHECKSUM"], header["DATASUM"]
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    return path.name


def two_of_one_identity(folder):
    first, second = reads(folder)[:2]
    with fits.open(second) as hdus:
        header, data = hdus[0].header.copy(), hdus[0].data.copy()
    with fits.open(first) as hdus:
        header["READ_NO"] = hdus[0].header["READ_NO"]
    del header["CHECKSUM"], header["DATASUM"]
    fits.PrimaryHDU(data, header).writeto(folder / "other.fits")
    return "READ_NO"


def one_read_only(folder):
    for path in reads(folder)[1:]:
        path.unlink()
    return "one read"


def empty(folder):
    for path in reads(folder):
        path.unlink()
    return "no raw FITS file"


def float_pixels(folder):
    path = reads(folder)[1]
    with fits.open(path) as hdus:
        header, data = hdus[0].header.copy(), hdus[0].data.astype(np.float32)
    for key in ("CHECKSUM", "DATASUM", "BZERO", "BSCALE"):
        header.remove(key, ignore_missing=True)
    fits.PrimaryHDU(data, header).writeto(path, overwrite=True)
    return path.name


def times_that_do_not_rise(folder):
    with fits.open(reads(folder)[0]) as hdus:
        first = hdus[0].header["READTIME"]
    with fits.open(reads(folder)[2], mode="update") as hdus:
        hdus[0].header["READTIME"] = first
        del hdus[0].header["CHECKSUM"], hdus[0].header["DATASUM"]
    return "READTIME"


FAULTS = (
    truncate,
    no_identity,
    wrong_shape,
    two_of_one_identity,
    one_read_only,
    empty,
    float_pixels,
    times_that_do_not_rise,
)


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda f: f.__name__)
def test_bad_reads_end_the_run_before_anything_is_written(exposure, refs, tmp_path, capsys, spoil):
    named = spoil(exposure)
    before = {p.name: p.read_bytes() for p in exposure.iterdir()}
    out = tmp_path / "out"
    assert main(["reduce", str(exposure), "--out", str(out), "--refs", str(refs)]) == 1
    lines = [line for line in capsys.readouterr().err.splitlines() if line.startswith("iris-drs: ")]
    assert len(lines) == 1
    for part in (named, ": got ", ", expected ", "; "):
        assert part in lines[0]
    assert not out.exists()
    assert {p.name: p.read_bytes() for p in exposure.iterdir()} == before


@pytest.mark.parametrize(
    "spoil", [truncate, no_identity, wrong_shape, float_pixels], ids=lambda f: f.__name__
)
def test_bad_reads_are_left_out_on_request(exposure, refs, tmp_path, capsys, spoil):
    spoil(exposure)
    out = tmp_path / "out"
    command = ["reduce", str(exposure), "--out", str(out), "--refs", str(refs), "--skip-bad-reads"]
    assert main(command) == 0
    assert "warning: " in capsys.readouterr().err
    with fits.open(next(out.glob("*_LVL1_*.fits"))) as hdus:
        assert len(hdus["INPUTS"].data) == 4


@pytest.mark.parametrize("kind", ["dark", "flat"])
def test_a_needed_reference_that_is_missing_is_named(exposure, refs, tmp_path, capsys, kind):
    poor = tmp_path / "poor"
    poor.mkdir()
    for path in refs.glob("*.fits"):
        if f"_{kind.upper()}_" not in path.name:
            shutil.copy(path, poor)
    out = tmp_path / "out"
    assert main(["reduce", str(exposure), "--out", str(out), "--refs", str(poor)]) == 1
    message = capsys.readouterr().err
    assert f"{kind.upper()} reference" in message
    assert "IMG1" in message
    assert not out.exists()


def test_an_aborted_ramp_is_reduced_with_a_warning(exposure, refs, tmp_path, capsys):
    reads(exposure)[-1].unlink()
    assert main(["reduce", str(exposure), "--out", str(tmp_path / "out"), "--refs", str(refs)]) == 0
    assert "NUMREADS" in capsys.readouterr().err


def planes(out):
    with fits.open(next(out.glob("*_LVL1_*.fits"))) as hdus:
        return [hdus[name].data.copy() for name in ("SCI", "ERR", "DQ")]


def as_gzip(folder, target):
    for path in reads(folder):
        (target / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes()))


def as_cube_with_times(folder, target):
    header, counts, times = cube_parts(folder)
    table = fits.BinTableHDU.from_columns(
        [
            fits.Column("READ_NO", "J", array=np.arange(1, len(times) + 1)),
            fits.Column("READTIME", "K", array=times),
        ],
        name="TIMES",
    )
    fits.HDUList([fits.PrimaryHDU(counts, header), table]).writeto(target / "cube.fits")


def as_cube_with_tframe(folder, target):
    header, counts, _ = cube_parts(folder)
    header["TFRAME"] = 3.0
    del header["READTIME"]
    fits.PrimaryHDU(counts, header).writeto(target / "cube.fits")


def cube_parts(folder):
    with fits.open(reads(folder)[0]) as hdus:
        header = hdus[0].header.copy()
    for key in ("CHECKSUM", "DATASUM", "READ_NO"):
        del header[key]
    counts = np.stack([fits.getdata(path) for path in reads(folder)])
    times = np.array([fits.getheader(path)["READTIME"] for path in reads(folder)])
    return header, counts, times


@pytest.mark.parametrize(
    "form", [as_gzip, as_cube_with_times, as_cube_with_tframe], ids=lambda f: f.__name__
)
def test_other_forms_of_a_ramp_give_the_same_planes(exposure, refs, tmp_path, form):
    target = tmp_path / "other"
    target.mkdir()
    form(exposure, target)
    results = []
    for folder in (exposure, target):
        out = tmp_path / f"out-{folder.name}"
        assert main(["reduce", str(folder), "--out", str(out), "--refs", str(refs)]) == 0
        results.append(planes(out))
    for one, other in zip(*results, strict=True):
        np.testing.assert_array_equal(one, other)


def test_wrong_usage_has_status_2(exposure, refs, tmp_path, capsys):
    command = [
        "reduce",
        str(exposure),
        "--out",
        str(tmp_path / "o"),
        "--refs",
        str(refs),
        "--skip",
        "drak",
    ]
    assert main(command) == 2
    assert "one of" in capsys.readouterr().err
    with pytest.raises(SystemExit) as stop:
        main(["reduce"])
    assert stop.value.code == 2
