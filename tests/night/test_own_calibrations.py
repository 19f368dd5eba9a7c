"""A tiny night without any reference: calibrated by its own exposures alone, then reduced."""

import hashlib
import re

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.pipelines.calibrate import Wishes
from liger_iris_pipeline.pipelines.replay import replay
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    DetectorPhysics,
    Format,
    ReadPattern,
    Scene,
    StarField,
    simulate,
    truth,
)

PLAN = CalibrationPlan(darks=4, flats=6, lamp_off=1, ramps=4, standards=1)
SCENE = Scene(
    format=Format(96, 96, 4, 4),
    stars=StarField(count=70, faintest=500.0, brightest=30_000.0),
    dithers=((0.0, 0.0), (0.1013, -0.0871), (-0.0729, 0.0917)),
    sky_offsets=((30.0, 0.0), (30.3, 0.4), (29.6, -0.3)),
    calibration=PLAN,
    physics=DetectorPhysics(cold_fraction=0.001),
    pattern=ReadPattern(nframe=5),
    detectors=("IMG1",),
    references=False,
)
MADE = ["SATURATION", "LINEARITY", "GAIN", "READNOISE", "DARK", "FLAT", "DQ", "PHOTOM"]


@pytest.fixture(scope="module")
def night(tmp_path_factory):
    return simulate(SCENE, tmp_path_factory.mktemp("own") / "raw", seed=7).folder


@pytest.fixture(scope="module")
def store(night, tmp_path_factory):
    out = tmp_path_factory.mktemp("own_store") / "refs"
    standards = night / "truth" / "standards.ecsv"
    arguments = ["calibrate", str(night), "--out", str(out), "--no-refs"]
    assert main([*arguments, "--standards", str(standards)]) == 0
    return out


@pytest.fixture(scope="module")
def masters(store):
    return {path.name.split("_")[2]: path for path in sorted(store.glob("IRIS_*.fits"))}


@pytest.fixture(scope="module")
def maps(night):
    return truth.load(night / "truth").maps("IMG1")


def planes(path):
    with fits.open(path) as hdus:
        return {hdu.name: hdu.data for hdu in hdus[1:] if isinstance(hdu, fits.ImageHDU)}


def test_every_master_that_the_exposures_allow_is_made(masters):
    assert set(MADE) <= set(masters)
    assert "SUPERSKY" not in masters  # only when asked for
    assert "PERSISTENCE" not in masters  # no exposures for it


def test_masters_name_their_raw_reads_with_roles_and_each_reference_once(masters, night):
    for name in MADE:
        with fits.open(masters[name]) as hdus:
            inputs = hdus["INPUTS"].data
            for row in inputs:
                path = night / row["file"]
                if row["role"] == "standards":
                    path = night / "truth" / row["file"]
                assert row["sha256"] == hashlib.sha256(path.read_bytes()).hexdigest()
            assert len(set(inputs["file"])) == len(inputs)
            header = hdus[0].header
            assert header["REFTYPE"] == name
            assert header["NCOMBINE"] > 0
            assert header["MJD-OBS"] > 60000
            assert header["OBS_ID"].startswith("2026B-P001-1")
            if "CALIBRATIONS" in hdus:
                rows = [tuple(row) for row in hdus["CALIBRATIONS"].data]
                assert len(set(rows)) == len(rows)
            steps = list(hdus["RECEIPT"].data["step"])
            assert len(set(steps)) == len(steps)
    roles = {name: set(fits.getdata(masters[name], "INPUTS")["role"]) for name in MADE}
    assert roles["DARK"] == {"dark"}
    assert roles["FLAT"] == {"flat"}
    assert roles["DQ"] == {"dark", "flat"}
    assert roles["PHOTOM"] == {"standard", "standards"}


def test_dark_and_flat_are_the_detectors(masters, maps):
    good = maps["BAD"] == 0
    dark, flat = planes(masters["DARK"]), planes(masters["FLAT"])
    pull = (dark["SCI"] - maps["DARK"])[good] / dark["ERR"][good]
    # a read noise from 4 darks of 4 differences is itself uncertain: a pull is Student's t of 16
    assert 0.97 < pull.std() < np.sqrt(16 / 14) + 0.03
    assert np.abs(dark["GLOW"]).max() < 0.3
    # the flat takes up what the gain of a channel is off, as science frames do
    gain = planes(masters["GAIN"])["SCI"]
    expected = maps["FLAT"][good] * gain[good] / maps["GAIN"][good]
    residual = flat["SCI"][good] / (expected / np.median(expected)) - 1
    # 6 flats of 44000 electrons between first and last read; the curve of a pixel comes from 4
    # ramps of 50000 electrons at this level, and half as much again for its three numbers
    limit = np.hypot(1 / np.sqrt(6 * 44000), 1.5 / np.sqrt(4 * 50000))
    assert np.sqrt(np.mean(residual**2)) < 1.2 * limit
    np.testing.assert_allclose(flat["PIXEL"] * flat["ILLUM"], flat["SCI"], rtol=1e-6)


def test_bad_pixels_are_found_and_good_ones_kept(masters, maps):
    found = planes(masters["DQ"])["DQ"]
    for flag in (Flag.DEAD, Flag.HOT, Flag.COLD):
        true = (maps["BAD"] & flag) > 0
        far = true if flag is not Flag.HOT else true & (maps["DARK"] > 4.0)
        assert np.all(found[far] & flag)
        assert np.sum((found & flag)[maps["BAD"] == 0] > 0) <= 1  # 7600 good ones at 1e-4
    border = (maps["BAD"] & Flag.REFERENCE_PIXEL) > 0
    assert np.array_equal((found & Flag.REFERENCE_PIXEL) > 0, border)


def test_the_zero_point_is_that_of_the_standards(masters, night):
    row = fits.getdata(masters["PHOTOM"], "PHOTOM")[0]
    detector = truth.load(night / "truth").detectors[0]
    # the gain of the channels is off by 1 %, their mean by half of it
    error = np.hypot(row["ERR"], 0.005)
    assert abs(row["ZPAB"] - detector["zero_point_ab"]) < 3 * error
    assert row["ZPAB"] - row["ZPVEGA"] == pytest.approx(SCENE.ab_minus_vega, abs=1e-6)
    assert 0 < row["ERR"] < 0.02


def test_the_night_is_reduced_with_nothing_skipped(night, store, tmp_path):
    out = tmp_path / "out"
    assert main(["reduce", str(night), "--out", str(out), "--refs", str(store)]) == 0
    for path in out.glob("*_SCI_LVL2_*.fits"):
        header = fits.getheader(path)
        for step in ("DQINIT", "SATUR", "LINEAR", "RAMP", "DARK", "FLAT", "SKY", "PHOTOM"):
            assert header[f"S_{step}"] == "COMPLETE", step
        assert 30 < header["MAGZERO"] < 33


@pytest.mark.parametrize("name", ["DARK", "FLAT", "DQ", "PHOTOM"])
def test_masters_can_be_made_again_from_their_reads(name, masters, night, store):
    replayed = replay(masters[name], find_in=[night, night / "truth", store])
    assert replayed.identical, replayed.changes
    assert replayed.changes == ()


def test_types_and_frames_and_superskies_on_request(night, store, tmp_path, capsys):
    frames = tmp_path / "frames"
    arguments = ["calibrate", str(night), "--out", str(tmp_path / "refs"), "--refs", str(store)]
    assert main([*arguments, "--types", "supersky", "--keep-frames", str(frames)]) == 0
    (made,) = (line for line in capsys.readouterr().out.splitlines() if line)
    assert "_SUPERSKY_" in made
    assert len(list(frames.glob("*_SKY_LVL1_*.fits"))) == 3
    pattern = planes(made)
    inner = (pattern["DQ"] & Flag.DO_NOT_USE) == 0
    assert np.median(pattern["SCI"][inner]) == pytest.approx(1.0, abs=1e-5)
    # the sky is even: 5 sigma of the pattern's own error
    assert np.abs(pattern["SCI"] - 1)[inner].max() < 5 * pattern["ERR"][inner].max()
    left = {path.name.split("_")[2] for path in (tmp_path / "refs").glob("IRIS_*.fits")}
    assert set(MADE) < left


@pytest.mark.parametrize(
    ("options", "status", "message"),
    [
        (["--types", "darks"], 2, "--types: type: got darks, expected one of saturation"),
        (["--no-refs", "--refs", "."], 2, "--no-refs: option: got --refs too"),
        (["--types", "photom", "--standards", "no.ecsv"], 1, "no.ecsv: table: got .*No such file"),
    ],
)
def test_wrong_wishes_are_refused(options, status, message, night, tmp_path, capsys):
    out = tmp_path / "refs"
    assert main(["calibrate", str(night), "--out", str(out), *options]) == status
    error = capsys.readouterr().err
    assert error.count("iris-drs: ") == 1
    assert re.search(message, error), error
    assert not out.exists()


def test_what_is_made_where_nothing_is_said():
    assert Wishes().chosen() == ("dark", "flat")
    assert Wishes(types=("flat", "gain")).chosen() == ("gain", "flat")
    assert Wishes(own=True).chosen()[0] == "saturation"
    assert "supersky" not in Wishes(own=True).chosen()
