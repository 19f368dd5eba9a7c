"""Files: names, headers, references, truth, reproducibility, errors."""

import hashlib
import re
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline.errors import ProductError, UsageError
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    Format,
    ReadPattern,
    Scene,
    named_scene,
    simulate,
    truth,
)
from liger_iris_pipeline.simulator.files import write
from liger_iris_pipeline.simulator.plan import plan_night, semester
from liger_iris_pipeline.simulator.seeds import Stream, stream
from liger_iris_pipeline.simulator.stars import draw_stars

KEYWORDS = {
    str: """TELESCOP INSTRUME DETECTOR OBS_ID SAMPMODE DET_ID SUBARRAY IMTYPE OBJECT RADESYS
        DATE-OBS DATE-END TIMESYS FILTER INSTMODE PROGTITL PROGPI SEMID PROGNUM OBSNUM CHECKSUM
        DATASUM BUNIT""",
    int: """EXP_NO RAMP_NO READ_NO NUMRAMPS NUMREADS NFOWLER READTIME RST_TIME FRM_TIME DETSIZE1
        DETSIZE2 NOUTPUTS REFPIX SUBARRID SUBSTRT1 SUBSTRT2 SUBSIZE1 SUBSIZE2 DITHNO""",
    float: """GAIN READNOIS SATURATE RA DEC EQUINOX MJD-OBS MJD-END EXPTIME RAMPTIME PA INROTANG
        AIRMASS PARANG EL AZ HA DTOTOFF1 DTOTOFF2 TMPTMP PRESSURE HUMIDITY IMGDISWV ODGWIMS1 LGSR0
        AOSTREHL""",
}


def digests(folder):
    return {
        p.relative_to(folder): hashlib.sha256(p.read_bytes()).hexdigest()
        for p in sorted(folder.rglob("*"))
        if p.is_file()
    }


def test_names_and_headers(small):
    assert len(small.reads) == 2 * (3 * 6 + 3 * 6 + 2 * 5)
    identities = set()
    for path in small.reads:
        with fits.open(path, checksum=True) as hdus:
            header, data = hdus[0].header, hdus[0].data
            assert data.dtype == np.uint16
            assert data.shape == (128, 160)
        for kind, names in KEYWORDS.items():
            for name in names.split():
                assert type(header[name]) is kind, name
        assert path.name == (
            f"{header['OBS_ID']}_IRIS_{header['DETECTOR']}_{header['IMTYPE']}_LVL0"
            f"_{header['EXP_NO']:04d}-{header['RAMP_NO']:02d}-{header['READ_NO']:04d}.fits"
        )
        assert re.fullmatch(r"2026B-P\d{3}-\d{3}", header["OBS_ID"])
        assert header["READTIME"] - header["RST_TIME"] == 3_000_000 * header["READ_NO"]
        identities.add(
            tuple(header[k] for k in ("OBS_ID", "DET_ID", "EXP_NO", "RAMP_NO", "READ_NO"))
        )
    assert len(identities) == len(small.reads)
    assert not list(small.folder.rglob("*.part"))


def test_header_times_and_filters(small):
    by_type = {}
    for path in small.reads:
        header = fits.getheader(path)
        by_type.setdefault(header["IMTYPE"], []).append(header)
    assert {h["FILTER"] for h in by_type["DARK"]} == {"dark"}
    assert {h["FILTER"] for h in by_type["FLAT"] + by_type["SCI"]} == {"Jbb"}
    assert {h["RAMPTIME"] for h in by_type["SCI"] + by_type["DARK"]} == {18.0}
    for header in by_type["SCI"]:
        assert header["EXPTIME"] == 18.0
        assert 40587 + header["RST_TIME"] / 86400e6 == pytest.approx(header["MJD-OBS"], abs=1e-9)
        assert (header["MJD-END"] - header["MJD-OBS"]) * 86400 == pytest.approx(21.0, abs=1e-3)
        assert 0.5 < header["AOSTREHL"] < 0.7
        assert header["DATE-OBS"].startswith("2026-10-14T10:")
    assert len({h["AOSTREHL"] for h in by_type["SCI"] if h["EXP_NO"] == 1}) == 6


def test_nominal_saturation_is_on_the_safe_side(small):
    for detector in ("IMG1", "IMG3"):
        limit = fits.getdata(next(small.folder.glob(f"refs/*_{detector}_SATURATION_*")), "SCI")
        nominal = fits.getheader(next(small.folder.glob(f"*_{detector}_SCI_*")))["SATURATE"]
        assert nominal < limit[4:-4, 4:-4].min()


@pytest.mark.parametrize("detector", ["IMG1", "IMG3"])
def test_references_are_the_truth_with_the_stated_errors(small, small_truth, detector):
    maps = small_truth.maps(detector)
    opened = {}
    for path in small.references:
        if f"_{detector}_" not in path.name:
            continue
        assert re.fullmatch(r"IRIS_IMG\d_[A-Z]+_20260101T000000_0001\.fits", path.name)
        with fits.open(path) as hdus:
            header = hdus[0].header
            assert header["REFTYPE"] == path.name.split("_")[2]
            assert header["DETECTOR"] == detector
            assert header["USEAFTER"] == "2026-01-01T00:00:00"
            assert {"INSTRUME", "REFVER", "FILTER", "INSTMODE", "SUBARRAY"} <= set(header)
            opened[header["REFTYPE"]] = {h.name: h.data.copy() for h in hdus[1:]}
    assert set(opened) == {"DQ", "GAIN", "READNOISE", "SATURATION", "LINEARITY", "PHOTOM"}
    assert opened["DQ"]["DQ"].dtype == np.uint32
    assert np.array_equal(opened["DQ"]["DQ"], maps["BAD"])
    drawn = {(r["reftype"], r["scope"]): r for r in small_truth.errors if r["detector"] == detector}
    gain = opened["GAIN"]["SCI"] / maps["GAIN"] - 1
    assert gain.mean() == pytest.approx(drawn["GAIN", "detector"]["drawn"], abs=5e-5)
    assert gain.std() == pytest.approx(0.001, rel=0.05)
    noise = opened["READNOISE"]["SCI"] / maps["READNOISE"] - 1
    assert noise.std() == pytest.approx(0.01, rel=0.05)
    coeffs = opened["LINEARITY"]["COEFFS"].astype(float)
    assert coeffs.shape == (4, 128, 160)
    x = 0.855 * 100_000 / {"IMG1": 3.04, "IMG3": 2.35}[detector]
    error = (coeffs[2] * x + coeffs[3] * x**2) / (maps["CURVATURE"] / 19.0) - 1
    error *= maps["CURVATURE"] / 19.0 * 0.95  # relative error of the corrected signal
    assert error.std() == pytest.approx(0.002, rel=0.05)
    assert abs(error.mean()) < 1e-4
    assert (opened["LINEARITY"]["PEDESTAL"] - maps["PEDESTAL"]).std() == pytest.approx(2, rel=0.05)
    row = opened["PHOTOM"]["PHOTOM"][0]
    fact = small_truth.detectors[small_truth.detector_index(detector)]
    assert row["FILTER"] == "Jbb"
    point = fact["zero_point_ab"] + drawn["PHOTOM", "detector"]["drawn"]
    assert row["ZPAB"] == pytest.approx(point)


def test_truth_tables_agree_with_each_other(small, small_truth):
    t = small_truth
    assert t.seed == 11
    assert t.configuration["position_angle"] == 37.0
    assert len(t.exposures) == 8
    assert np.all(np.diff(t.stars["flux"]) <= 0)
    assert t.stars["mag_ab"] == pytest.approx(31.26 - 2.5 * np.log10(t.stars["flux"]))
    assert np.all(np.diff(t.psf["energy"]) > 0)
    row = t.detectors[1]
    light = t.rate("2026B-P001-001", 1, "IMG3")
    assert light[4:-4, 4:-4].min() == pytest.approx(15.0 * row["throughput"], rel=0.2)
    assert row["sky"] == pytest.approx(15.0 * row["throughput"])
    gap = 10.0 ** (0.4 * (row["zero_point_ab"] - 31.26))
    assert gap == pytest.approx(row["throughput"])
    seen = t.select(t.positions, "2026B-P001-001", 1, "IMG3")
    seen = seen[seen["seen"]]
    assert np.all((seen["x"] > 3.5) & (seen["x"] < 155.5) & (seen["y"] > 3.5) & (seen["y"] < 123.5))


def test_equal_seeds_give_equal_files_whatever_the_workers(quick, tmp_path):
    one = simulate(quick, tmp_path / "one", seed=3)
    two = simulate(quick, tmp_path / "two", seed=3, workers=2)
    other = simulate(quick, tmp_path / "other", seed=4)
    same, again = digests(one.folder), digests(two.folder)
    assert same == again
    different = digests(other.folder)
    assert same.keys() == different.keys()
    assert not [name for name in same if same[name] == different[name]]


def test_a_read_depends_on_its_own_exposure_only(quick, tmp_path):
    whole = simulate(quick, tmp_path / "whole", seed=3)
    bare = replace(quick, calibration=CalibrationPlan(0, 0), detectors=("IMG3",))
    alone = simulate(bare, tmp_path / "alone", seed=3)
    assert len(alone.reads) == 6
    for path in alone.reads:
        assert path.read_bytes() == (whole.folder / path.name).read_bytes()


def test_progress_counts_reads(quick, tmp_path):
    calls = []
    simulate(
        quick, tmp_path / "n", seed=1, progress=lambda done, total: calls.append((done, total))
    )
    assert calls == [(i, 18) for i in range(1, 19)]


def test_sky_and_two_ramps(straight, straight_truth):
    kinds = straight_truth.exposures["imtype"].tolist()
    assert kinds == ["FLAT"] * 2 + ["DARK"] * 3 + ["SCI", "SKY"]
    names = [p.name for p in straight.reads if "_SKY_" in p.name]
    assert len(names) == 12
    assert "2026B-P001-001_IRIS_IMG2_SKY_LVL0_0002-02-0006.fits" in names
    header = fits.getheader(straight.folder / names[-1])
    assert (header["NUMRAMPS"], header["EXPTIME"], header["DTOTOFF1"]) == (2, 36.0, 30.0)


def test_the_named_scene_has_enough_stars():
    scene = named_scene("imager", "tiny")
    stars = draw_stars(scene, stream(1, Stream.STARS))
    assert np.sum(stars["isolated"]) >= 600
    assert stars["snr"].min() < 11
    assert stars["snr"].max() > 1000
    east = (stars["ra"] - scene.ra) * np.cos(np.radians(scene.dec)) * 3600
    north = (stars["dec"] - scene.dec) * 3600
    for i in range(len(stars["id"])):  # slow version of the isolation
        near = np.hypot(east - east[i], north - north[i]) <= 0.08
        near[i] = False
        assert stars["isolated"][i] == (not np.any(stars["flux"][near] >= 0.1 * stars["flux"][i]))
    plan = plan_night(scene)
    kinds = [e.imtype for e in plan]
    assert kinds.count("DARK") >= 8
    assert kinds.count("FLAT") >= 8
    offsets = np.array([e.offset for e in plan if e.imtype == "SCI"]) / 0.004
    gaps = [np.hypot(*(a - b)) for i, a in enumerate(offsets) for b in offsets[:i]]
    assert len(offsets) >= 5
    assert min(gaps) > 40


@pytest.mark.parametrize(
    ("night", "name"),
    [
        ("2026-01-31", "2025B"),
        ("2026-02-01", "2026A"),
        ("2026-07-31", "2026A"),
        ("2026-08-01", "2026B"),
    ],
)
def test_semesters(night, name):
    assert semester(night) == name


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (
            lambda out: simulate("spectrum", out, seed=1),
            "SCENE: got spectrum, expected one of imager",
        ),
        (
            lambda out: simulate("imager", out, seed=1, size="huge"),
            "--size: got huge, expected one of",
        ),
        (lambda out: simulate("imager", out, seed=-1), "--seed: got -1, expected a whole number"),
        (
            lambda out: simulate(replace(Scene(), detectors=("IFS",)), out, seed=1),
            "detectors: got IFS",
        ),
        (lambda out: simulate(replace(Scene(), detectors=()), out, seed=1), "detectors: got none"),
        (lambda _: ReadPattern("DCDS"), "sampling: got DCDS, expected UTR, CDS or MDS"),
        (lambda _: ReadPattern("MDS", nframe=3, nfowler=2), "nframe: got 3, expected at least 4"),
        (lambda _: Format(noutputs=7), "noutputs: got 7, expected one of"),
    ],
)
def test_wrong_usage(tmp_path, call, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        call(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / "mine.fits").write_text("mine")
    with pytest.raises(UsageError, match="expected a new or empty folder"):
        simulate("imager", tmp_path, seed=1)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.fits"]


def test_missing_truth(tmp_path, small_truth):
    with pytest.raises(ProductError, match=r"truth.fits: got no such file"):
        truth.load(tmp_path)
    with pytest.raises(ProductError, match="expected an exposure of this night"):
        small_truth.rate("2026B-P001-001", 9, "IMG1")
    with pytest.raises(ProductError, match="DETECTORS: got IMG2, expected one of IMG1, IMG3"):
        small_truth.detector_index("IMG2")


def test_a_failed_write_leaves_nothing(tmp_path):
    class Broken(fits.PrimaryHDU):
        def _writeto(self, *args, **kwargs):
            raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        write(tmp_path / "a.fits", fits.HDUList([Broken()]))
    assert not list(tmp_path.iterdir())


def test_no_dithers_no_stars_to_speak_of(quick, tmp_path):
    scene = replace(
        quick, dithers=(), calibration=CalibrationPlan(darks=1, flats=1), detectors=("IMG4",)
    )
    night = simulate(scene, tmp_path / "n", seed=1)
    assert len(night.reads) == 3 + 5
    assert len(truth.load(night.folder).positions) == 0


def test_nested_defaults_are_not_shared():
    assert Scene() == Scene()
    assert Scene().stars is not Scene().stars
