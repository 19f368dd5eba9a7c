"""A small night through `iris-drs`: files, provenance, flags and errors of the products."""

import hashlib
import json

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from liger_iris_pipeline import models
from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.pipelines.make_supersky import CreateSuperskyPipeline


def frames(products, level):
    return sorted(p for p in products.glob(f"*_LVL{level}_*.fits") if "_cat" not in p.name)


def test_every_level_has_its_products(products):
    assert [len(frames(products, level)) for level in (1, 2, 3)] == [3, 3, 1]
    (mosaic,) = frames(products, 3)
    assert mosaic.with_name(f"{mosaic.stem}_cat.ecsv").exists()
    assert mosaic.with_name(f"{mosaic.stem}_preview.png").exists()
    assert len(list((products / "associations").glob("*.json"))) == 4
    assert not [p for p in products.rglob("*") if p.name.startswith(".")]


STATUS = {
    1: ("S_DQINIT", "S_REFPIX", "S_SATUR", "S_LINEAR", "S_JUMP", "S_RAMP", "S_GAIN"),
    2: ("S_RAMP", "S_DQINIT", "S_DARK", "S_FLAT", "S_SKY", "S_WCS", "S_PHOTOM"),
    3: ("S_COMBIN",),
}


@pytest.mark.parametrize("level", [1, 2, 3])
def test_products_say_how_they_were_made(products, level):
    for path in frames(products, level):
        with fits.open(path) as hdus:
            assert hdus[0].header["DATALVL"] == level
            assert {hdus[0].header[key] for key in STATUS[level]} == {"COMPLETE"}
            assert hdus["SCI"].header["BUNIT"] == "electron/s"
            for name in ("RECEIPT", "CALIBRATIONS", "INPUTS"):
                assert len(hdus[name].data) > 0
            for row in hdus["RECEIPT"].data:
                assert isinstance(json.loads(row["parameters"]), dict)
                assert row["status"] in ("COMPLETE", "SKIPPED")
            assert all(len(row["sha256"]) == 64 for row in hdus["INPUTS"].data)


def test_level_1_names_every_read_with_its_checksum(products, night):
    for path in frames(products, 1):
        with fits.open(path) as hdus:
            rows = {row["file"]: row["sha256"] for row in hdus["INPUTS"].data}
        reads = night.glob(path.stem.replace("_LVL1_", "_LVL0_") + "-*.fits")
        assert rows == {p.name: hashlib.sha256(p.read_bytes()).hexdigest() for p in reads}
        assert len(rows) == 5


@pytest.mark.parametrize("level", [2, 3])
def test_products_of_products_name_them_with_their_checksums(products, level):
    for path in frames(products, level):
        with fits.open(path) as hdus:
            rows = {row["file"]: row["sha256"] for row in hdus["INPUTS"].data}
        assert set(rows) == {p.name for p in frames(products, level - 1)}
        for name, sha256 in rows.items():
            assert hashlib.sha256((products / name).read_bytes()).hexdigest() == sha256


def test_level_1_has_its_error_budget(products):
    for path in frames(products, 1):
        with fits.open(path) as hdus:
            good = (hdus["DQ"].data & 1) == 0
            total = hdus["VAR_POISSON"].data.astype(float) + hdus["VAR_RNOISE"].data
            np.testing.assert_allclose(hdus["ERR"].data[good] ** 2, total[good], rtol=1e-5)


def test_level_2_keeps_every_flag_and_its_error_budget(products):
    for first, second in zip(frames(products, 1), frames(products, 2), strict=True):
        with fits.open(first) as one, fits.open(second) as two:
            assert not np.any(one["DQ"].data & ~two["DQ"].data)
            good = (two["DQ"].data & 1) == 0
            total = sum(
                two[name].data.astype(float) for name in ("VAR_POISSON", "VAR_RNOISE", "VAR_FLAT")
            )
            np.testing.assert_allclose(two["ERR"].data[good] ** 2, total[good], rtol=1e-5)
            assert two["SCI"].header["SKYSUB"] is True
            assert two["SCI"].header["CTYPE1"].startswith("RA---TAN")
            assert two[0].header["SKYMODE"] == "DITHERS"
            assert two[0].header["MAGZERO"] == two["SCI"].header["MAGZERO"]
            assert {
                two[0].header[key]
                for key in ("S_DQINIT", "S_DARK", "S_FLAT", "S_SKY", "S_WCS", "S_PHOTOM")
            } == {"COMPLETE"}


def test_the_bright_stars_are_in_the_catalogue_at_their_places(products, night):
    from liger_iris_pipeline.simulator import truth

    known = truth.load(night / "truth")
    seen = np.unique(known.positions["id"][known.positions["seen"].astype(bool)])
    stars = known.stars[np.isin(known.stars["id"], seen) & (known.stars["snr"] > 20)]
    assert stars.size >= 5
    (path,) = products.glob("*_cat.ecsv")
    table = Table.read(path, format="ascii.ecsv")
    scale = 3600 / 0.004
    east = (
        (np.asarray(table["ra"])[:, None] - stars["ra"]) * np.cos(np.radians(stars["dec"])) * scale
    )
    north = (np.asarray(table["dec"])[:, None] - stars["dec"]) * scale
    distance = np.hypot(east, north)
    nearest, row = distance.min(axis=0), distance.argmin(axis=0)
    found = nearest < 0.3
    assert np.count_nonzero(found) >= stars.size - 1  # one may lie on the edge
    ratio = np.asarray(table["flux"])[row[found]] / stars["flux"][found]
    assert abs(np.median(ratio) - 1) < 0.05  # few stars: the correction has an error of its own


def test_what_exists_is_replaced_only_on_request(products, night, refs, capsys):
    before = {p.name: p.stat().st_mtime_ns for p in frames(products, 1)}
    assert main(["reduce", str(night), "--out", str(products), "--refs", str(refs)]) == 1
    message = capsys.readouterr().err
    assert "--overwrite" in message
    assert "Traceback" not in message
    assert {p.name: p.stat().st_mtime_ns for p in frames(products, 1)} == before


def test_steps_are_left_out_on_purpose_and_products_replaced_on_request(exposure, refs, tmp_path):
    out = tmp_path / "out"
    command = [
        "reduce",
        str(exposure),
        "--out",
        str(out),
        "--refs",
        str(refs),
        "--skip",
        "dark_subtract,sky_subtract",
    ]
    assert main(command) == 0
    with fits.open(frames(out, 2)[0]) as hdus:
        assert hdus[0].header["S_DARK"] == hdus[0].header["S_SKY"] == "SKIPPED"
        reasons = {row["step"]: row["reason"] for row in hdus["RECEIPT"].data}
    assert "request" in reasons["iris_dark_subtract"]
    made = {p: p.stat().st_ino for p in out.rglob("*.fits")}
    assert main(command) == 1
    assert {p: p.stat().st_ino for p in out.rglob("*.fits")} == made
    assert main([*command, "--overwrite"]) == 0
    again = {p: p.stat().st_ino for p in out.rglob("*.fits")}
    assert set(again) == set(made)
    assert all(again[path] != made[path] for path in made)


def test_info_and_show(products, tmp_path, capsys):
    (mosaic,) = frames(products, 3)
    assert main(["info", str(mosaic)]) == 0
    text = capsys.readouterr().out
    assert "ImagerMosaicModel" in text
    assert "iris_combine" in text
    picture = tmp_path / "m.png"
    assert main(["show", str(mosaic), "--in", "png", "--out", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")


class _Apart(CreateSuperskyPipeline):
    """A maker that hands out what it would combine."""

    def make(self, items):
        with self.opened(items[0]) as model:
            self.both = self.reduced(model), self.reduced_apart(model)
        return {}


def test_errors_that_frames_share_are_kept_apart(products, refs):
    maker = _Apart(refs=str(refs))
    maker.run(str(frames(products, 1)[0])).close()
    whole, apart = maker.both
    np.testing.assert_array_equal(apart.frame.rate, whole.rate)
    np.testing.assert_array_equal(apart.frame.dq, whole.dq)
    good = (whole.dq & 1) == 0
    total = apart.frame.var_read.astype(float) + apart.dark_err**2
    np.testing.assert_allclose(total[good], whole.var_read[good], rtol=1e-5)
    shared = (apart.flat_err * whole.rate) ** 2
    np.testing.assert_allclose(shared[good], whole.var_flat[good], rtol=1e-4)
    assert np.all(apart.dark_err[good] > 0)
    with models.open(next(refs.glob("*_FLAT_*"))) as flat:
        np.testing.assert_allclose(apart.flat_err[good], (flat.err / flat.data)[good], rtol=1e-6)
