"""Makers of detector constants on raw files: what they take, what they leave, what they say of it."""

import importlib
import json

import numpy as np
import pytest

from liger_iris_pipeline import models
from liger_iris_pipeline.calibration import Store
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import ProductError
from liger_iris_pipeline.pipelines.inputs import raw_exposures, raw_files
from liger_iris_pipeline.pipelines.make_gain import CreateGainPipeline
from liger_iris_pipeline.pipelines.make_linearity import CreateLinearityPipeline
from liger_iris_pipeline.pipelines.make_saturation import CreateSaturationPipeline
from liger_iris_pipeline.pipelines.raw_bands import RawBands, same_light
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    DetectorPhysics,
    Format,
    ReadPattern,
    Scene,
    simulate,
    truth,
)

SCENE = Scene(
    format=Format(96, 96, 4, 4),
    dithers=(),
    detectors=("IMG1",),
    references=False,
    pattern=ReadPattern(nframe=6),
    physics=DetectorPhysics(persistence=0.01, hot_fraction=0.004),
    calibration=CalibrationPlan(
        darks=4, flats=4, lamp_off=1, ramps=6, long_darks=3, long_nframe=8, afterglows=6
    ),
)
NAMES = {
    "saturation": "Saturation",
    "linearity": "Linearity",
    "gain": "Gain",
    "readnoise": "ReadNoise",
    "refpix": "Refpix",
    "ipc": "IPC",
    "persistence": "Persistence",
}


def maker(name, **options):
    module = importlib.import_module(f"liger_iris_pipeline.pipelines.make_{name}")
    return getattr(module, f"Create{NAMES[name]}Pipeline")(**options)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return simulate(SCENE, tmp_path_factory.mktemp("ramps") / "night", seed=4).folder


@pytest.fixture(scope="module")
def exposures(folder):
    return raw_exposures(raw_files([folder]), skip_bad_reads=False)


@pytest.fixture(scope="module")
def made(exposures, tmp_path_factory):
    """All references, made in order and read back."""
    store, paths = Store(tmp_path_factory.mktemp("refs")), {}
    for name in NAMES:
        step = maker(name, refs=str(store.path))
        model = step.run(*step.inputs(exposures))
        paths[name] = store.add(model.save, model.header_mapping()).path
    return paths


def test_each_takes_what_it_needs(exposures):
    counts = {name: len(maker(name).inputs(exposures)) for name in NAMES}
    expected = {"saturation": 6, "linearity": 10, "gain": 14, "readnoise": 7, "refpix": 7}
    assert counts == expected | {"ipc": 7, "persistence": 10}
    plain = [e for e in exposures if e.imtype == "DARK" and "CALTYPE" not in e.first.header]
    assert {name: len(maker(name).inputs(plain)) for name in NAMES} == dict.fromkeys(NAMES, 0) | {
        "readnoise": 4,
        "refpix": 4,
        "ipc": 4,
    }
    with pytest.raises(ProductError, match="flat: got no members, expected at least one"):
        CreateSaturationPipeline().run(*plain)


def test_references_are_near_the_truth_and_flagged(made, folder):
    maps = truth.load(folder).maps("IMG1")
    good = maps["BAD"] == 0
    with models.open(made["gain"]) as gain:
        ratio = gain.data[good] / maps["GAIN"][good] - 1
        assert abs(np.median(ratio)) < 4 * np.median(gain.err / gain.data)
        assert not gain.dq.any()
    with models.open(made["readnoise"]) as noise:
        assert np.median(noise.data[good] / maps["READNOISE"][good]) == pytest.approx(1, abs=0.04)
        assert (noise.dq[~good & (maps["BAD"] & Flag.REFERENCE_PIXEL > 0)] & Flag.DO_NOT_USE).all()
    with models.open(made["linearity"]) as linearity:
        assert linearity.coeffs.shape == (4, 96, 96)
        away = (linearity.pedestal - maps["PEDESTAL"])[good]
        assert np.std(away) < 1.3 * 50.0 / 3.04 / np.sqrt(4)
        assert (linearity.limit[good] > 0).all()
    with models.open(made["persistence"]) as traps:
        assert list(traps.traps["pole"]) == [1, 2, 3, 4, 5]
        assert traps.traps["amplitude"].sum() == pytest.approx(0.01, rel=0.5)
    with models.open(made["ipc"]) as ipc:
        assert ipc.kernel.shape == (3, 3)
        assert np.abs(ipc.kernel - np.eye(3)[1][:, None] * np.eye(3)[1]).max() < 0.02
    with models.open(made["refpix"]) as refpix:
        assert refpix.left.shape == refpix.right.shape == (4, 87)


def test_references_say_what_they_were_made_from(made, exposures):
    for name, path in made.items():
        with models.open(path) as model:
            assert type(model).__name__.lower() == f"{name}model"
            taken = maker(name).inputs(exposures)
            rows = {(r["file"], r["sha256"], r["role"]) for r in model.input_rows()}
            role = {"DARK": "dark", "FLAT": "flat"}
            assert rows == {(r.path.name, r.sha256, role[e.imtype]) for e in taken for r in e.reads}
            (receipt,) = model.receipt_rows()
            assert receipt["step"] == f"iris_create_{name}"
            assert json.loads(receipt["parameters"])["version"] == "0001"
            used = [row["type"] for row in model.calibration_rows()]
            assert len(used) == len(set(used))
            header = model.header_mapping()
            assert header["NCOMBINE"] == len(taken)
            assert header["MJD-OBS"] < header["MJD-END"]
    with models.open(made["gain"]) as gain:
        assert [row["file"] for row in gain.calibration_rows()] == [made["linearity"].name]


def test_the_next_one_has_the_next_version(made, exposures):
    step = maker("saturation", refs=str(made["gain"].parent))
    model = step.run(*step.inputs(exposures))
    assert model.meta.filename.endswith("_0002.fits")
    assert json.loads(model.receipt_rows()[0]["parameters"])["version"] == "0002"


def test_little_memory_gives_the_same_levels(made, exposures):
    step = CreateSaturationPipeline(refs=str(made["gain"].parent), memory_limit=1)
    flats = step.inputs(exposures)
    assert len(list(RawBands(flats[0], 1).bands(60))) > 1
    with models.open(made["saturation"]) as whole:
        known = whole.dq == 0
        difference = (step.run(*flats).data - whole.data)[known]
    assert np.abs(difference).max() < 20  # the typical scatter of an output is that of a band
    assert np.median(np.abs(difference)) < 2


def test_bands_are_the_reads(exposures):
    flats = CreateSaturationPipeline().inputs(exposures)
    bands = RawBands(flats[0])
    whole = bands.raw(flats[0].ramps, slice(None))
    assert np.array_equal(whole[0, 3], flats[0].ramps[0][3].load())
    assert np.array_equal(bands.raw(flats[0].ramps, slice(7, 9)), whole[:, :, 7:9])
    corrected = bands.corrected(flats[0].ramps, slice(0, 4))
    assert abs(np.median(corrected)) < 5


def test_flats_of_different_light_are_kept_apart(exposures):
    lit = [e for e in exposures if e.imtype == "FLAT"]
    sets = same_light([e for e in lit if "CALTYPE" not in e.first.header or "LAMP" in e.stem])
    assert [len(one.ramps) for one in sets] == [4]
    every = same_light(lit)
    assert sorted(len(one.ramps) for one in every) == [1, 1, 4, 6]


def test_without_references_the_header_serves(exposures, tmp_path, caplog):
    Store(tmp_path / "empty", create=True)
    for cls in (CreateLinearityPipeline, CreateGainPipeline):
        step = cls(refs=str(tmp_path / "empty"))
        model = step.run(*step.inputs(exposures))
        assert model.calibration_rows() == []
    assert "no saturation reference" in caplog.text
    assert "no linearity reference" in caplog.text
    assert 2.5 < float(np.median(model.data)) < 3.6
