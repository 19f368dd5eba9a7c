"""References given by hand: in every step and pipeline, as file and as model; and steps that may fail."""

import importlib
import inspect
import warnings

import headers
import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline import models
from liger_iris_pipeline.errors import MissingReferenceError, ReferenceFileError, UsageError
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline
from liger_iris_pipeline.pipelines.inputs import overrides_for, parse_overrides
from liger_iris_pipeline.pipelines.level1 import Level1Step
from liger_iris_pipeline.pipelines.registry import get_steps
from liger_iris_pipeline.steps.dark_subtract import DarkSubtractStep
from liger_iris_pipeline.steps.photom import PhotomStep

SHAPE = (16, 16)
HEADER = {**headers.HEADER, "DETSIZE1": 16, "DETSIZE2": 16, "REFPIX": 0}
CLASSES = [
    getattr(importlib.import_module(path.rpartition(".")[0]), path.rpartition(".")[2])
    for path, _, _ in get_steps()
]


def types_of(step):
    return step.types_of_references() if hasattr(step, "step_defs") else step.reference_file_types


def frame_model(name="frame.fits"):
    ones = np.ones(SHAPE, np.float32)
    model = models.ImagerFrameModel.from_header(HEADER)
    model.set_frame(Frame(10 * ones, 0.5 * ones, 0.5 * ones, np.zeros(SHAPE, np.uint32)))
    model.meta.data_level = 1
    model.meta.filename = name
    return model


def reference(cls, value):
    ones = np.ones(SHAPE, np.float32)
    header = {"INSTRUME": "IRIS", "DETECTOR": "IMG1", "USEAFTER": "2026-01-01T00:00:00"}
    model = cls.from_header({**header, "REFVER": "7", "REFTYPE": cls.reftype, "FILTER": "ANY"})
    model.data, model.err = value * ones, 0.01 * ones
    model.dq = np.zeros(SHAPE, np.uint32)
    return model


@pytest.fixture
def given(tmp_path):
    """A dark of 2 and a flat of 0.5: as models, and as files."""
    found = {"dark": reference(models.DarkModel, 2.0), "flat": reference(models.FlatModel, 0.5)}
    files = {kind: tmp_path / f"own_{kind}.fits" for kind in found}
    for kind, model in found.items():
        model.save(files[kind])
    return found, files


@pytest.mark.parametrize("step", CLASSES, ids=lambda step: step.class_alias)
def test_every_step_takes_overrides_of_what_it_uses(step):
    for kind in types_of(step):
        made = step(**{f"override_{kind}": "some.fits"})
        assert made.get_ref_override(kind).endswith("some.fits")
        model = models.DarkModel()
        assert step(**{f"override_{kind}": model}).get_ref_override(kind) is model
        for name, inner in getattr(step, "step_defs", {}).items():
            if kind in inner.reference_file_types:
                part = getattr(step(**{f"override_{kind}": model}), name)
                assert part.get_ref_override(kind) is model
    assert inspect.isclass(step)


@pytest.mark.parametrize("form", ["model", "file"])
def test_overrides_of_a_pipeline_reach_its_steps(tmp_path, given, form):
    found, files = given
    chosen = found if form == "model" else {kind: str(path) for kind, path in files.items()}
    (tmp_path / "empty").mkdir()
    pipeline = ImagerLevel2Pipeline(
        override_dark=chosen["dark"], override_flat=chosen["flat"], refs=str(tmp_path / "empty")
    )
    pipeline.iris_sky_subtract.skip = True
    for _ in range(2):  # a model that was used once can be used again
        result = pipeline.run(frame_model())
        np.testing.assert_array_equal(result.data, np.float32((10 - 2) / 0.5))
    rows = {row["type"]: row for row in result.calibration_rows()}
    for kind, model in found.items():
        row = rows[kind.upper() if kind.upper() in rows else kind]
        assert row["context"] == "override"
        assert len(row["sha256"]) == 64
        assert row["file"] == ("in memory" if form == "model" else files[kind].name)
        assert row["version"] == "7"
        assert model.data[0, 0] == np.float32({"dark": 2.0, "flat": 0.5}[kind])
    assert result.meta.ref_file.context is None


def test_a_steps_own_override_wins_and_na_does_without(tmp_path, given):
    _, files = given
    steps = {"iris_dark_subtract": {"override_dark": "N/A"}, "iris_sky_subtract": {"skip": True}}
    pipeline = ImagerLevel2Pipeline(
        override_dark=str(files["dark"]),
        override_flat=str(files["flat"]),
        refs=str(tmp_path),
        steps=steps,
    )
    result = pipeline.run(frame_model())
    np.testing.assert_array_equal(result.data, np.float32(20))
    reasons = {row["step"]: row["reason"] for row in result.receipt_rows()}
    assert reasons["iris_dark_subtract"] == "the dark reference was overridden with N/A"
    assert ("dark", "N/A") in {(r["type"], r["file"]) for r in result.calibration_rows()}


@pytest.mark.parametrize("form", ["model", "file"])
def test_a_reference_of_another_type_is_refused(given, form):
    found, files = given
    flat = found["flat"] if form == "model" else str(files["flat"])
    message = r"REFTYPE: got FLAT, expected DARK; name another with --override_dark"
    with pytest.raises(ReferenceFileError, match=message):
        DarkSubtractStep(override_dark=flat).run(frame_model())


def test_the_hash_of_a_model_is_that_of_its_pixels(given, tmp_path):
    found, _ = given
    sums = []
    for value in (2.0, 2.0, 3.0):
        step = DarkSubtractStep(override_dark=reference(models.DarkModel, value))
        (row,) = step.run(frame_model()).calibration_rows()
        sums.append(row["sha256"])
    assert sums[0] == sums[1] != sums[2]
    assert found["dark"].data[0, 0] == 2.0


def test_overrides_of_the_command_line_are_understood(tmp_path):
    file = tmp_path / "x.fits"
    file.touch()
    texts = [f"DARK={file}", "photom=N/A"]
    assert parse_overrides(texts) == {"dark": str(file), "photom": "N/A"}
    given = {"dark": 1, "gain": 2}
    assert overrides_for(Level1Step, given) == {"override_gain": 2}
    assert overrides_for(ImagerLevel2Pipeline, given) == {"override_dark": 1}
    for text, message in {
        "dark": "--override: value: got dark, expected TYPE=FILE",
        "colour=x": "--override: value: got colour=x, expected TYPE=FILE with a type of",
        "dark=none.fits": "--override: dark: got nothing at none.fits, expected a file",
    }.items():
        with pytest.raises(UsageError, match=message):
            parse_overrides([text])
    with pytest.raises(UsageError, match="--override: dark: got two files"):
        parse_overrides([texts[0], texts[0]])


def photom(folder, zero_point):
    primary = fits.PrimaryHDU()
    header = {"INSTRUME": "IRIS", "DETECTOR": "IMG1", "REFTYPE": "PHOTOM", "REFVER": "1"}
    primary.header.update({**header, "USEAFTER": "2026-01-01T00:00:00"})
    columns = [("FILTER", "S8"), ("ZPAB", "f8"), ("ZPVEGA", "f8"), ("ERR", "f8")]
    table = np.array([("Jbb", zero_point, 26.1, 0.01)], columns)
    path = folder / "IRIS_IMG1_PHOTOM_20260101T000000_1.fits"
    fits.HDUList([primary, fits.BinTableHDU(table, name="PHOTOM")]).writeto(path)
    return path


def test_a_step_the_pixels_do_not_depend_on_may_fail(tmp_path):
    path = photom(tmp_path, np.nan)
    before = frame_model()
    result = PhotomStep(refs=str(tmp_path)).run(before)
    assert result.header_mapping()["S_PHOTOM"] == "FAILED"
    (row,) = result.receipt_rows()
    assert row["status"] == "FAILED"
    assert row["reason"].startswith(f"{path.name}: ZPAB: got nan, expected a magnitude")
    assert result.meta.photometry.zero_point_ab is None
    np.testing.assert_array_equal(result.data, before.data)


def test_what_the_user_named_himself_is_not_passed_over(tmp_path):
    path = photom(tmp_path, np.nan)
    with pytest.raises(ReferenceFileError, match="ZPAB: got nan"):
        PhotomStep(override_photom=str(path)).run(frame_model())
    with pytest.raises(ReferenceFileError, match="ZPAB: got nan"):
        PhotomStep(refs=str(tmp_path), require="photom").run(frame_model())
    (tmp_path / "none").mkdir()
    with pytest.raises(MissingReferenceError):
        DarkSubtractStep(refs=str(tmp_path / "none")).run(frame_model())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = PhotomStep(refs=str(tmp_path / "none")).run(frame_model())
    assert result.header_mapping()["S_PHOTOM"] == "SKIPPED"
