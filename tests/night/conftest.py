"""One small night, reduced once, that the end-to-end tests share."""

import shutil

import pytest

from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    Format,
    ReadPattern,
    Scene,
    StarField,
    simulate,
)

SCENE = Scene(
    format=Format(128, 128, 4, 4),
    stars=StarField(count=70, faintest=500.0, brightest=30_000.0),
    dithers=((0.0, 0.0), (0.1013, -0.0871), (-0.0729, 0.0917)),
    calibration=CalibrationPlan(darks=3, flats=3),
    pattern=ReadPattern(nframe=5),
    detectors=("IMG1",),
)


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """Folder of a small night; it is only read."""
    return simulate(SCENE, tmp_path_factory.mktemp("night") / "raw", seed=3).folder


@pytest.fixture(scope="session")
def refs(night, tmp_path_factory):
    """Store with the night's masters."""
    out = tmp_path_factory.mktemp("store") / "refs"
    assert main(["calibrate", str(night), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def products(night, refs, tmp_path_factory):
    """Products of the night."""
    out = tmp_path_factory.mktemp("products") / "out"
    assert main(["reduce", str(night), "--out", str(out), "--refs", str(refs)]) == 0
    return out


@pytest.fixture
def exposure(night, tmp_path):
    """Fresh copies of the reads of one science exposure."""
    folder = tmp_path / "raw"
    folder.mkdir()
    for path in sorted(night.glob("*_IMG1_SCI_LVL0_0001-01-*.fits")):
        shutil.copy(path, folder)
    return folder
