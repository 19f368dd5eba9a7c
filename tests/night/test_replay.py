"""`iris-drs replay`: products of a small night made again, and what changed since named."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline import models
from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.errors import ProductError, ReplayError, UsageError
from liger_iris_pipeline.pipelines import replay as module
from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline
from liger_iris_pipeline.pipelines.level1 import Level1Step
from liger_iris_pipeline.pipelines.replay import replay

STEM = "2026B-P001-001_IRIS_IMG1_SCI"
MADE = {
    "level1": f"out/{STEM}_LVL1_0001.fits",
    "level2": f"out/{STEM}_LVL2_0002.fits",
    "level3": f"out/{STEM}_LVL3_0001.fits",
    "catalogue": f"out/{STEM}_LVL3_0001_cat.ecsv",
    "dark": "refs/IRIS_IMG1_DARK_20261013T220000_0001.fits",
    "flat": "refs/IRIS_IMG1_FLAT_20261013T220000_0001.fits",
}
PLANES = ("SCI", "ERR", "DQ", "VAR_POISSON", "VAR_RNOISE")


@pytest.fixture(scope="module")
def archive(night, refs, products, tmp_path_factory):
    """Everything of the night, moved to a folder with a space in its name; it is only read."""
    home = tmp_path_factory.mktemp("archive") / "other place"
    shutil.copytree(night, home / "raw")
    shutil.copytree(refs, home / "refs")
    shutil.copytree(products, home / "out")
    return home


@pytest.fixture
def alone(archive, tmp_path, monkeypatch):
    """Another working folder, without a store."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("IRIS_REFS", raising=False)
    return archive


def copied(archive, tmp_path, *names):
    """Copy files into one folder."""
    home = tmp_path / "own"
    home.mkdir()
    for name in names:
        for path in archive.glob(name):
            shutil.copy(path, home)
    return home


def said(found, kind):
    return {change.what: change for change in found.changes if change.kind == kind}


def edit(path, hdu, change):
    with fits.open(path, memmap=False) as hdus:
        change(hdus[hdu])
        hdus.writeto(path, overwrite=True, checksum=True)


@pytest.mark.parametrize("product", MADE)
def test_products_are_made_again_bit_for_bit(alone, product):
    found = replay(alone / MADE[product], find_in=[alone])
    assert found.changes == ()
    assert found.identical
    assert found.made is None
    if product.startswith("level"):
        assert set(PLANES) <= set(found.planes)


def test_inputs_are_found_beside_the_product_and_whatever_they_are_called(alone, tmp_path):
    home = copied(alone, tmp_path, f"out/{STEM}_LVL1_0001.fits", f"raw/{STEM}_LVL0_0001-*")
    for count, path in enumerate(sorted(home.glob("*_LVL0_*"))):
        path.rename(home / f"x{count}.fits")
    store = shutil.copytree(alone / "refs", tmp_path / "refs")
    (found,) = [replay(home / f"{STEM}_LVL1_0001.fits", into=tmp_path / "new")]
    assert found.changes == ()
    assert found.made == tmp_path / "new" / f"{STEM}_LVL1_0001.fits"
    with fits.open(found.made) as new, fits.open(alone / MADE["level1"]) as old:
        for name in PLANES:
            assert new[name].data.tobytes() == old[name].data.tobytes()
        assert list(new["INPUTS"].data["file"]) == list(old["INPUTS"].data["file"])
    assert store.is_dir()
    with pytest.raises(ProductError, match="--overwrite or another --into"):
        replay(home / f"{STEM}_LVL1_0001.fits", into=tmp_path / "new")


def test_another_parameter_is_named(alone):
    change = {"iris_sky_subtract.mode": "constant"}
    found = replay(alone / MADE["level2"], find_in=[alone], change=change)
    assert not found.identical
    assert said(found, "parameter")["iris_sky_subtract.mode"][2:] == ("'auto'", "'constant'")
    assert "differ" in said(found, "plane")["SCI"].now
    assert set(said(found, "plane")) >= {"SCI", "VAR_POISSON"}


def test_a_parameter_that_is_not_known_is_refused(alone):
    with pytest.raises(UsageError, match=r"--set: parameter: got iris_sky_subtract\.colour"):
        replay(alone / MADE["level2"], find_in=[alone], change={"iris_sky_subtract.colour": 1})
    with pytest.raises(UsageError, match=r"expected one of .*iris_imager_level2"):
        replay(alone / MADE["level2"], find_in=[alone], change={"iris_x.mode": 1})


def test_one_pixel_of_one_read_is_named(alone, tmp_path):
    home = copied(alone, tmp_path, f"out/{STEM}_LVL1_0001.fits", f"raw/{STEM}_LVL0_0001-*")
    read = home / f"{STEM}_LVL0_0001-01-0004.fits"

    def change(hdu):
        hdu.data[40, 50] += 300

    edit(read, 0, change)
    product = home / f"{STEM}_LVL1_0001.fits"
    with pytest.raises(ReplayError, match=rf"{read.name}: SHA-256: got .*changed since"):
        replay(product, find_in=[alone / "refs"])
    found = replay(product, find_in=[alone / "refs"], anyway=True)
    assert not found.identical
    assert list(said(found, "input")) == [read.name]
    plane = said(found, "plane")["SCI"].now
    assert plane.startswith("1 of 16384 differ")
    assert "(40, 50)" in plane


def test_one_pixel_of_a_reference_is_named(alone, tmp_path):
    home = copied(alone, tmp_path, "out/*_LVL[12]_*.fits", "refs/*.fits")
    dark = home / Path(MADE["dark"]).name

    def change(hdu):
        hdu.data[40, 50] += 1

    edit(dark, "SCI", change)
    product = home / Path(MADE["level2"]).name
    with pytest.raises(ReplayError, match=rf"{dark.name}: SHA-256: got .*changed since"):
        replay(product)
    found = replay(product, anyway=True)
    assert list(said(found, "reference")) == [dark.name]
    assert not found.identical


def test_an_input_that_is_gone_is_named(alone, tmp_path):
    home = copied(alone, tmp_path, f"out/{STEM}_LVL2_0001.fits", "refs/*.fits")
    message = rf"{STEM}_LVL1_0001\.fits: input: got nothing with SHA-256 .*--find-in"
    with pytest.raises(ReplayError, match=message):
        replay(home / f"{STEM}_LVL2_0001.fits")


def test_another_version_is_named(alone, monkeypatch):
    rows = [("liger_iris_pipeline", "9.9"), ("numpy", "0.1")]
    others = [row for row in module.software_rows() if row[0] not in dict(rows)]
    monkeypatch.setattr(module, "software_rows", lambda: [*rows, *others])
    found = replay(alone / MADE["level1"], find_in=[alone])
    assert found.identical
    assert said(found, "version")["of the steps"].now == "9.9"
    assert said(found, "software")["numpy"].now == "0.1"
    assert set(said(found, "software")) == {"liger_iris_pipeline", "numpy"}


def test_a_receipt_that_was_edited_is_named(alone, tmp_path):
    home = copied(alone, tmp_path, f"out/{STEM}_LVL1_0001.fits")

    def change(hdu):
        for row in hdu.data:
            if row["step"] == "iris_level1":
                row["parameters"] = row["parameters"].replace(
                    '"estimator": "likelihood"', '"estimator": "ols"'
                )

    edit(home / f"{STEM}_LVL1_0001.fits", "RECEIPT", change)
    found = replay(home / f"{STEM}_LVL1_0001.fits", find_in=[alone])
    assert not found.identical
    assert "RECEIPT as a whole (PARHASH)" in said(found, "parameter")
    assert said(found, "parameter")["iris_level1.estimator"][2:] == ("'likelihood'", "'ols'")


@pytest.mark.parametrize(
    "options",
    [
        {"drop_reads": [3], "jump_sigma": 0.0, "isa": "baseline"},
        {"estimator": "ols", "side_rows": 0, "chi2": False, "events": False},
        {"mode": "cds", "gain": 2.0, "read_noise": 7.5, "saturation": 40_000.0},
        {"weight_keyword": "AOSTREHL", "weight_rule": "threshold", "weight_part": 0.9},
        {"guide_windows": "20 30 8 6; 60 70 4 4", "guide_margin": 2, "saturation_grow": 1},
    ],
    ids=lambda options: " ".join(options),
)
def test_every_way_to_fit_ramps_is_repeated(alone, tmp_path, options):
    reads = sorted((alone / "raw").glob(f"{STEM}_LVL0_0001-*"))[:4]  # an aborted ramp
    step = Level1Step(**options, refs=str(alone / "refs"))
    step.run(*map(str, reads)).save(tmp_path / "own.fits")
    found = replay(tmp_path / "own.fits", find_in=[alone])
    assert found.changes == ()


def test_reads_that_were_left_out_stay_so(alone, tmp_path):
    home = copied(alone, tmp_path, f"raw/{STEM}_LVL0_0001-*")
    bad = home / f"{STEM}_LVL0_0001-01-0002.fits"
    bad.write_bytes(bad.read_bytes()[:9000])
    out = tmp_path / "out"
    command = ["reduce", str(home), "--out", str(out), "--refs", str(alone / "refs")]
    assert main([*command, "--skip-bad-reads", "--skip", "sky_subtract,dq_init"]) == 0
    with fits.open(out / f"{STEM}_LVL1_0001.fits") as hdus:
        (row,) = [row for row in hdus["RECEIPT"].data if row["step"] == "ingest"]
    assert json.loads(row["parameters"]) == {
        "ramps": 1,
        "reads": 4,
        "skip_bad_reads": True,
        "skipped": [bad.name],
    }
    assert row["reason"].startswith(f"left out {bad.name}: ")
    for level in (1, 2, 3):
        product = out / f"{STEM}_LVL{level}_0001.fits"
        assert replay(product, find_in=[home, alone / "refs"]).changes == ()


def test_frames_of_the_command_are_made_again(alone, tmp_path):
    built = Path(__file__).parents[2] / "build" / "c" / "tools" / "iris-readout"
    names = [os.environ.get("IRIS_READOUT_COMMAND"), shutil.which("iris-readout"), str(built)]
    command = next((name for name in names if name and Path(name).exists()), None)
    if command is None:
        pytest.skip("iris-readout is not built: set IRIS_READOUT_COMMAND or put it on PATH")
    reads = sorted((alone / "raw").glob(f"{STEM}_LVL0_0001-*"))
    gain = next((alone / "refs").glob("*_GAIN_*"))
    options = ["--gain", gain, "--guide-window", "20,30,8,6", "--drop", "2", "--saturation", "4e4"]
    product = tmp_path / "L1.fits"
    subprocess.run([command, "-o", product, *options, *reads], check=True, capture_output=True)
    found = replay(product, find_in=[alone])
    assert found.changes == ()
    assert found.identical
    step = Level1Step(
        override_gain=str(gain),
        guide_windows="20 30 8 6",
        drop_reads=[2],
        saturation=4e4,
        refs=str(tmp_path),
    )
    with models.open(product) as own:
        theirs = {row["step"]: row for row in own.receipt_rows()}
    ours = {row["step"]: row for row in step.run(*map(str, reads)).receipt_rows()}
    assert set(ours) - set(theirs) == {"iris_level1"}
    for name, row in theirs.items():
        for part in ("parameters", "status", "reason", "version"):
            assert ours[name][part] == row[part], name


def test_a_reference_in_memory_must_be_given_again(alone, tmp_path):
    with models.open(alone / MADE["dark"]) as dark:
        pipeline = ImagerLevel2Pipeline(override_dark=dark, refs=str(alone / "refs"))
        pipeline.run(str(alone / MADE["level1"])).save(tmp_path / "own.fits")
    with pytest.raises(ReplayError, match=r"got a model that was in memory.*--override dark=FILE"):
        replay(tmp_path / "own.fits", find_in=[alone])
    given = {"dark": str(alone / MADE["dark"])}
    found = replay(tmp_path / "own.fits", find_in=[alone], overrides=given)
    assert found.identical
    assert "DARK" in {what.upper() for what in said(found, "reference")}


def test_what_is_no_product_is_refused(alone, tmp_path):
    read = next((alone / "raw").glob("*.fits"))
    with pytest.raises(ReplayError, match=r"DATALVL: got a raw read, expected a product"):
        replay(read)
    with pytest.raises(ReplayError, match="got nothing, expected a product"):
        replay(tmp_path / "none.fits")
    gain = next((alone / "refs").glob("*_GAIN_*"))
    with pytest.raises(ReplayError, match="RECEIPT: got no rows"):
        replay(gain)
    with pytest.raises(UsageError, match="--find-in: folder: got nothing"):
        replay(alone / MADE["level1"], find_in=[tmp_path / "none"])
    with pytest.raises(UsageError, match="got that of the product, expected another"):
        replay(alone / MADE["level1"], into=alone / "out")


def test_the_commands_say_what_there_is_to_say(alone, tmp_path, capsys):
    product, where = str(alone / MADE["level2"]), ["--find-in", str(alone)]
    assert main(["replay", product, *where]) == 0
    assert capsys.readouterr().out.startswith(f"{STEM}_LVL2_0002.fits: identical: SCI ERR DQ")
    new = tmp_path / "new"
    other = ["--set", "iris_sky_subtract.mode=constant", "--into", str(new)]
    assert main(["replay", product, *where, *other]) == 1
    lines = capsys.readouterr().out.splitlines()
    expected = "changed: parameter iris_sky_subtract.mode: recorded 'auto', now 'constant'"
    assert f"{STEM}_LVL2_0002.fits: {expected}" in lines
    assert any(": changed: pixels SCI: " in line for line in lines)
    assert main(["diff", product, product]) == 0
    assert capsys.readouterr().out.endswith("the same\n")
    assert main(["diff", product, str(new / f"{STEM}_LVL2_0002.fits")]) == 1
    out = capsys.readouterr().out
    assert "parameter iris_sky_subtract.mode: 'auto' | 'constant'" in out
    assert main(["diff", product, str(new / f"{STEM}_LVL2_0002.fits"), "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["planes"][0]["name"] == "SCI"
    assert main(["replay", product, "--set", "mode"]) == 2
    assert "STEP.PARAMETER=VALUE" in capsys.readouterr().err


def test_records_are_complete(alone):
    for name in ("level1", "level2", "level3", "dark", "flat"):
        with fits.open(alone / MADE[name]) as hdus:
            header = hdus[0].header
            assert len(header["PARHASH"]) == 16
            assert {"numpy", "python", "iris_readout"} <= set(hdus["SOFTWARE"].data["name"])
            roles = set(hdus["INPUTS"].data["role"])
            rows = [tuple(row) for row in hdus["CALIBRATIONS"].data]
            assert len(rows) == len(set(rows)) > 0
            assert header["CAL_CTX"].startswith("iris_")
            if name in ("level2", "level3", "flat"):
                assert header["R_DARK"] == f"cal://{Path(MADE['dark']).name}"
            assert header["R_GAIN"].startswith("cal://IRIS_IMG1_GAIN")
        wanted = {"dark": {"dark"}, "flat": {"flat"}, "level2": {"science", "background"}}
        assert roles == wanted.get(name, {"science"})
    with fits.open(alone / MADE["dark"]) as hdus:
        assert len(hdus["INPUTS"].data) == 15  # 3 exposures of 5 reads
        assert all("_LVL0_" in row["file"] for row in hdus["INPUTS"].data)
        assert "iris_level1" in set(hdus["RECEIPT"].data["step"])
    text = (alone / MADE["catalogue"]).read_text()
    assert "parameter_hash" in text
    assert np.char.count(text, f"{STEM}_LVL2_0001.fits") == 1
