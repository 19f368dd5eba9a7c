"""What `iris-drs reduce` does with bad input: status, one line, nothing half written."""

import gzip
import json
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


def spoil_pixels(folder):
    path = reads(folder)[1]
    content = bytearray(path.read_bytes())
    content[9000] ^= 0x55
    path.write_bytes(bytes(content))
    return "DATASUM"


def unknown_detector(folder):
    path = reads(folder)[1]
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["DETECTOR"] = "IMG9"
        del hdus[0].header["CHECKSUM"], hdus[0].header["DATASUM"]
    return "DETECTOR: got 'IMG9', expected one of IMG1 IMG2"


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


def the_complaint(capsys):
    """The one line a failed command says."""
    said = capsys.readouterr().err
    assert "Traceback" not in said
    (line,) = [line for line in said.splitlines() if line.startswith("iris-drs: ")]
    assert said.endswith(f"{line}\n")
    return line


FAULTS = (
    truncate,
    no_identity,
    wrong_shape,
    two_of_one_identity,
    one_read_only,
    empty,
    float_pixels,
    spoil_pixels,
    unknown_detector,
    times_that_do_not_rise,
)


@pytest.mark.parametrize("spoil", FAULTS, ids=lambda f: f.__name__)
def test_bad_reads_end_the_run_before_anything_is_written(exposure, refs, tmp_path, capsys, spoil):
    named = spoil(exposure)
    before = {p.name: p.read_bytes() for p in exposure.iterdir()}
    out = tmp_path / "out"
    assert main(["reduce", str(exposure), "--out", str(out), "--refs", str(refs)]) == 1
    line = the_complaint(capsys)
    for part in (named, ": got ", ", expected ", "; "):
        assert part in line
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
        (ramp,) = [row for row in hdus["RECEIPT"].data if row["step"] == "ramp"]
        parameters = json.loads(ramp["parameters"])
    assert parameters["reads"] == [4]
    assert parameters["aborted"] is True


@pytest.mark.parametrize("kind", ["dark", "flat"])
def test_a_needed_reference_that_is_missing_is_named(exposure, refs, tmp_path, capsys, kind):
    poor = tmp_path / "poor"
    poor.mkdir()
    for path in refs.glob("*.fits"):
        if f"_{kind.upper()}_" not in path.name:
            shutil.copy(path, poor)
    out = tmp_path / "out"
    assert main(["reduce", str(exposure), "--out", str(out), "--refs", str(poor)]) == 1
    message = the_complaint(capsys)
    assert f"{kind.upper()} reference" in message
    assert "IMG1" in message
    assert not out.exists()


def narrow_dark(store, folder):
    (path,) = store.glob("*_DARK_*.fits")
    with fits.open(path) as hdus:
        planes = [fits.ImageHDU(hdu.data[:50], name=hdu.name) for hdu in hdus[1:] if hdu.is_image]
        fits.HDUList([fits.PrimaryHDU(header=hdus[0].header), *planes]).writeto(
            path, overwrite=True
        )
    return path.name


def no_gain(store, folder):
    for path in store.glob("*_GAIN_*.fits"):
        path.unlink()
    for path in reads(folder):
        with fits.open(path, mode="update") as hdus:
            hdus[0].header["GAIN"] = -1.0
            del hdus[0].header["CHECKSUM"], hdus[0].header["DATASUM"]
    return "GAIN"


@pytest.mark.parametrize("spoil", [narrow_dark, no_gain], ids=lambda f: f.__name__)
@pytest.mark.parametrize("there", [False, True], ids=["new-folder", "folder-in-use"])
def test_nothing_new_is_left_when_a_run_fails_half_way(
    exposure, refs, tmp_path, capsys, spoil, there
):
    store, out = tmp_path / "store", tmp_path / "out"
    store.mkdir()
    for path in refs.glob("*.fits"):
        shutil.copy(path, store)
    named = spoil(store, exposure)
    if there:
        out.mkdir()
        (out / "notes.txt").write_text("of somebody else")
    assert main(["reduce", str(exposure), "--out", str(out), "--refs", str(store)]) == 1
    assert named in the_complaint(capsys)
    assert [path.name for path in out.rglob("*")] == (["notes.txt"] if there else [])
    assert out.exists() == there


def test_an_aborted_ramp_is_reduced_with_a_warning(exposure, refs, tmp_path, capsys):
    reads(exposure)[-1].unlink()
    assert main(["reduce", str(exposure), "--out", str(tmp_path / "out"), "--refs", str(refs)]) == 0
    assert "NUMREADS" in capsys.readouterr().err


def planes(path):
    with fits.open(path) as hdus:
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


@pytest.fixture(scope="module")
def usual_planes(products):
    (path,) = products.glob("*_LVL1_0001.fits")
    return planes(path)


@pytest.mark.parametrize(
    "form", [as_gzip, as_cube_with_times, as_cube_with_tframe], ids=lambda f: f.__name__
)
def test_other_forms_of_a_ramp_give_the_same_planes(exposure, refs, usual_planes, tmp_path, form):
    target, out = tmp_path / "other", tmp_path / "out"
    target.mkdir()
    form(exposure, target)
    assert main(["reduce", str(target), "--out", str(out), "--refs", str(refs)]) == 0
    (path,) = out.glob("*_LVL1_*.fits")
    for one, other in zip(usual_planes, planes(path), strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize(
    ("options", "named"),
    [
        (["--skip", "drak"], "drak"),
        (["--require", "linaerity"], "linaerity"),
        (["--out", "{file}"], "a folder"),
    ],
    ids=["unknown-step", "unknown-type", "out-is-a-file"],
)
def test_wrong_usage_has_status_2(exposure, refs, tmp_path, capsys, options, named):
    file, out = tmp_path / "file", tmp_path / "out"
    file.write_text("not a folder")
    command = ["reduce", str(exposure), "--out", str(out), "--refs", str(refs)]
    assert main([*command, *(option.format(file=file) for option in options)]) == 2
    line = the_complaint(capsys)
    for part in (named, ": got ", ", expected ", "; "):
        assert part in line
    assert not out.exists()
    assert file.read_text() == "not a folder"


@pytest.mark.parametrize("command", [[], ["reduce"], ["reduce", "x"], ["redcue", "x"]])
def test_a_command_line_that_cannot_be_read_has_status_2(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main(command)
    assert stop.value.code == 2
    assert "usage: iris-drs" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "nowhere.json", "nowhere.fits"])
def test_an_input_that_is_not_there_is_named(refs, tmp_path, capsys, name):
    out = tmp_path / "out"
    command = ["reduce", str(tmp_path / name), "--out", str(out), "--refs", str(refs)]
    assert main(command) == 1
    assert name in the_complaint(capsys)
    assert not out.exists()


def test_a_store_that_is_not_there_is_named(exposure, tmp_path, capsys):
    out = tmp_path / "out"
    command = ["reduce", str(exposure), "--out", str(out), "--refs", str(tmp_path / "norefs")]
    assert main(command) == 1
    assert "norefs" in the_complaint(capsys)
    assert not out.exists()


def test_every_read_that_is_left_out_is_named(exposure, refs, tmp_path, capsys):
    """Two files with one fault had one warning: the second was taken for a repetition."""
    broken = reads(exposure)[1:3]
    for path in broken:
        path.write_bytes(path.read_bytes()[:10_000])
    command = ["reduce", str(exposure), "--out", str(tmp_path / "out"), "--refs", str(refs)]
    assert main([*command, "--skip-bad-reads"]) == 0
    said = capsys.readouterr().err
    assert all(path.name in said for path in broken)
