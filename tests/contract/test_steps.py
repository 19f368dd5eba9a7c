"""What every step must do: leave the caller's model alone, lose no flag, say what it did."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

import headers
import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline import models
from liger_iris_pipeline.errors import MissingReferenceError
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.models.comparison import compare
from liger_iris_pipeline.pipelines.registry import get_steps

SHAPE = (64, 64)
STEPS = {alias: path for path, alias, _ in get_steps()}
FRAME_STEPS = {
    "iris_dq_init": "S_DQINIT",
    "iris_dark_subtract": "S_DARK",
    "iris_flat_field": "S_FLAT",
    "iris_sky_subtract": "S_SKY",
    "iris_assign_wcs": "S_WCS",
    "iris_photom": "S_PHOTOM",
}
HEADER = {**headers.HEADER, "DETSIZE1": 64, "DETSIZE2": 64, "REFPIX": 4}


def step_class(alias):
    module, _, name = STEPS[alias].rpartition(".")
    return getattr(importlib.import_module(module), name)


@pytest.fixture
def frame_model():
    random = np.random.default_rng(1)
    dq = np.zeros(SHAPE, np.uint32)
    dq[10, 10], dq[20, 20] = 4, 1 | 2
    rate = random.normal(10.0, 1.0, SHAPE).astype(np.float32)
    ones = np.ones(SHAPE, np.float32)
    model = models.ImagerFrameModel.from_header(HEADER)
    model.set_frame(Frame(rate, 0.5 * ones, 0.5 * ones, dq))
    model.meta.data_level = 1
    model.meta.filename = "frame.fits"
    return model


@pytest.fixture
def store(tmp_path):
    folder = tmp_path / "refs"
    folder.mkdir()
    ones, flags = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.uint32)
    flags[30, 30] = 1 | 1 << 10
    images = {
        "DARK": {"SCI": 0.1 * ones, "ERR": 0.01 * ones, "DQ": flags},
        "FLAT": {"SCI": ones, "ERR": 0.001 * ones, "DQ": flags},
        "DQ": {"DQ": flags},
    }
    for kind, planes in images.items():
        hdus = [fits.ImageHDU(plane, name=name) for name, plane in planes.items()]
        write(folder, kind, hdus)
    table = np.array(
        [("Jbb", 27.0, 26.1, 0.01)],
        [("FILTER", "S8"), ("ZPAB", "f8"), ("ZPVEGA", "f8"), ("ERR", "f8")],
    )
    write(folder, "PHOTOM", [fits.BinTableHDU(table, name="PHOTOM")])
    return folder


def write(folder, kind, hdus):
    primary = fits.PrimaryHDU()
    primary.header.update(
        {
            "INSTRUME": "IRIS",
            "DETECTOR": "IMG1",
            "REFTYPE": kind,
            "REFVER": "1",
            "USEAFTER": "2026-01-01T00:00:00",
        }
    )
    primary.header["FILTER"] = "ANY"
    fits.HDUList([primary, *hdus]).writeto(folder / f"IRIS_IMG1_{kind}_20260101T000000_1.fits")


def test_aliases_are_the_contracts():
    assert {"iris_level1", "iris_imager_level2", "iris_imager_level3", *FRAME_STEPS} <= set(STEPS)
    assert len(STEPS) == len(get_steps())
    assert all(alias.startswith("iris_") for alias in STEPS)


@pytest.mark.parametrize("alias", FRAME_STEPS)
def test_a_step_alone_leaves_the_callers_model_alone(frame_model, store, alias):
    before = {
        name: getattr(frame_model, name).copy()
        for name in ("data", "err", "dq", "var_poisson", "var_rnoise")
    }
    result = step_class(alias)(refs=str(store)).run(frame_model)
    for name, array in before.items():
        np.testing.assert_array_equal(getattr(frame_model, name), array)
    assert frame_model.receipt is None
    assert not np.any(before["dq"] & ~result.dq)
    assert result.header_mapping()[FRAME_STEPS[alias]] == "COMPLETE"
    (row,) = result.receipt_rows()
    assert row["step"] == alias
    assert isinstance(json.loads(row["parameters"]), dict)


@pytest.mark.parametrize("alias", ["iris_dark_subtract", "iris_flat_field"])
def test_a_needed_reference_must_be_there(frame_model, tmp_path, alias):
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(MissingReferenceError, match="IMG1"):
        step_class(alias)(refs=str(empty)).run(frame_model)


@pytest.mark.parametrize("alias", ["iris_dq_init", "iris_photom"])
def test_an_optional_reference_may_be_absent_unless_it_is_required(frame_model, tmp_path, alias):
    empty = tmp_path / "empty"
    empty.mkdir()
    kind = step_class(alias).reference_file_types[0]
    result = step_class(alias)(refs=str(empty)).run(frame_model)
    assert result.header_mapping()[FRAME_STEPS[alias]] == "SKIPPED"
    assert kind in result.receipt_rows()[0]["reason"]
    with pytest.raises(MissingReferenceError):
        step_class(alias)(refs=str(empty), require=kind).run(frame_model)


def test_a_product_is_the_same_with_references_kept_open(frame_model, store, tmp_path):
    path = tmp_path / "frame.fits"
    frame_model.save(path)
    cache = models.ModelCache(1 << 20)
    for k, kept in enumerate((None, cache, cache)):
        pipeline = step_class("iris_imager_level2")(refs=str(store))
        pipeline.kept = kept
        result = pipeline.run(str(path))
        result.save(tmp_path / f"{k}.fits")
    assert cache.nbytes >= 7 * 4 * SHAPE[0] * SHAPE[1]  # dark, flat and flags
    with models.open(tmp_path / "0.fits") as plain:
        rows, planes = (
            plain.calibration_rows(),
            {p.attribute: getattr(plain, p.attribute) for p in plain.planes()},
        )
        for k in (1, 2):
            assert compare(tmp_path / "0.fits", tmp_path / f"{k}.fits").same
            with models.open(tmp_path / f"{k}.fits") as other:
                assert other.calibration_rows() == rows
                for name in ("data", "err", "dq", "var_poisson", "var_rnoise", "var_flat"):
                    assert planes[name].tobytes() == getattr(other, name).tobytes()


def test_a_step_that_writes_into_a_kept_reference_fails(frame_model, store):
    step = step_class("iris_dark_subtract")(refs=str(store))
    step.kept = models.ModelCache(1 << 20)
    step.run(frame_model)
    dark = step.find_reference(frame_model, "dark")
    with pytest.raises(ValueError, match="read-only"):
        dark.data += 1


def test_a_reference_of_a_wrong_shape_is_refused_by_name(frame_model, store):
    path = next(store.glob("*_DARK_*"))
    with fits.open(path) as hdus:
        planes = [fits.ImageHDU(h.data[:60], name=h.name) for h in hdus[1:]]
    path.unlink()
    write(store, "DARK", planes)
    with pytest.raises(Exception, match=r"DARK_20260101T000000_1\.fits: shape: got"):
        step_class("iris_dark_subtract")(refs=str(store)).run(frame_model)


def strun(folder, *arguments):
    program = Path(sys.executable).with_name("strun")
    command = [program, *map(str, arguments)]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)


def test_strun_takes_parameters_configuration_overrides_and_skip(frame_model, store, tmp_path):
    frame_model.save(tmp_path / "frame.fits")
    config = tmp_path / "sky.cfg"
    config.write_text(
        'name = "sky"\nclass = "liger_iris_pipeline.steps.sky_subtract.SkySubtractStep"\nmode = "constant"\n'
    )
    done = strun(tmp_path, config, "frame.fits")
    assert done.returncode == 0, done.stderr[-2000:]
    with fits.open(tmp_path / "frame_sky_subtract.fits") as hdus:
        assert json.loads(hdus["RECEIPT"].data["parameters"][0])["mode"] == "constant"
    dark = next(store.glob("*_DARK_*"))
    options = (
        "--refs",
        store,
        "--steps.iris_dark_subtract.skip=true",
        "--steps.iris_sky_subtract.mode=constant",
    )
    done = strun(
        tmp_path,
        "iris_imager_level2",
        "frame.fits",
        *options,
        "--steps.iris_flat_field.override_flat",
        next(store.glob("*_FLAT_*")),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    with fits.open(tmp_path / "2026B-P001-001_IRIS_IMG1_SCI_LVL2_0001.fits") as hdus:
        assert hdus[0].header["S_DARK"] == "SKIPPED"
        reasons = {row["step"]: row["reason"] for row in hdus["RECEIPT"].data}
        assert reasons["iris_dark_subtract"]
        assert reasons["iris_flat_field"] == ""
        assert hdus[0].header["S_FLAT"] == "COMPLETE"
        contexts = {row["role"]: row["context"] for row in hdus["CALIBRATIONS"].data}
        assert contexts["flat"] == "override"
        assert hdus[0].header["MAGZERO"] == 27.0
    assert dark.exists()


def test_the_command_line_of_stpipe_reaches_steps_without_a_warning(
    frame_model, store, tmp_path, monkeypatch
):
    from stpipe import _cmdline

    monkeypatch.chdir(tmp_path)
    frame_model.save(tmp_path / "frame.fits")
    (tmp_path / "level2.cfg").write_text(
        'name = "level2"\n'
        'class = "liger_iris_pipeline.pipelines.imager_level2.ImagerLevel2Pipeline"\n'
        f'refs = "{store}"\n'
        "[steps]\n[[iris_photom]]\nskip = True\n"
    )
    _cmdline.step_from_cmdline(
        ["level2.cfg", "frame.fits", "--steps.iris_sky_subtract.mode=constant"]
    )
    with fits.open(tmp_path / "2026B-P001-001_IRIS_IMG1_SCI_LVL2_0001.fits") as hdus:
        assert hdus[0].header["S_PHOTOM"] == "SKIPPED"
        assert hdus[0].header["S_SKY"] == "COMPLETE"
        rows = {row["step"]: row for row in hdus["RECEIPT"].data}
        assert json.loads(rows["iris_sky_subtract"]["parameters"])["mode"] == "constant"
        assert rows["iris_photom"]["reason"]
