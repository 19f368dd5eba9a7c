"""Makers of frames need no more memory for more frames, and what they make does not depend on it."""

import tracemalloc
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from liger_iris_pipeline import models
from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.pipelines.make_badpix import CreateBadPixelPipeline
from liger_iris_pipeline.pipelines.make_dark import CreateDarkPipeline
from liger_iris_pipeline.pipelines.make_photom import CreatePhotomPipeline
from liger_iris_pipeline.pipelines.make_supersky import CreateSuperskyPipeline

SIZE = 256
FRAME_BYTES = 16 * SIZE * SIZE
"""Rate, two variances and flags."""

RATES = {"DARK": 0.05, "FLAT": 300.0, "SKY": 20.0, "STD": 20.0}
HEADER = {
    "TELESCOP": "TMT",
    "INSTRUME": "IRIS",
    "DETECTOR": "IMG1",
    "OBS_ID": "2026B-P001-001",
    "FILTER": "Kbb",
    "SAMPMODE": "UTR",
    "SUBARRAY": "FULL",
    "DATE-OBS": "2026-11-23T08:30:00.000",
    "MJD-OBS": 61367.35,
    "CTYPE1": "RA---TAN",
    "CTYPE2": "DEC--TAN",
    "CRVAL1": 180.0,
    "CRVAL2": 10.0,
    "CRPIX1": SIZE / 2,
    "CRPIX2": SIZE / 2,
    "CD1_1": -0.004 / 3600,
    "CD1_2": 0.0,
    "CD2_1": 0.0,
    "CD2_2": 0.004 / 3600,
}


@pytest.fixture(scope="module")
def frames(tmp_path_factory) -> Callable[[str, int], list[str]]:
    """Frames of a kind with noise of their own, a star in the middle of standards."""
    folder = tmp_path_factory.mktemp("frames")
    y, x = np.indices((SIZE, SIZE)) - (SIZE / 2 - 1)
    star = np.exp(-(x**2 + y**2) / (2 * 2.0**2)) * 5000.0

    def make(kind: str, number: int) -> Path:
        path = folder / f"{kind}{number}.fits"
        if not path.exists():
            rng = np.random.default_rng(number + 100 * sorted(RATES).index(kind))
            rate = rng.normal(RATES[kind], 0.1, (SIZE, SIZE)) + (star if kind == "STD" else 0)
            variance = np.full(rate.shape, 0.01, np.float32)
            dq = np.zeros(rate.shape, np.uint32)
            cards = {**HEADER, "IMTYPE": kind, "EXP_NO": number}
            model = models.ImagerFrameModel.from_header(cards)
            model.set_frame(Frame(rate.astype(np.float32), variance, 0 * variance, dq))
            model.save(str(path))
            model.close()
        return path

    return lambda kind, count: [str(make(kind, number)) for number in range(count)]


@pytest.fixture(scope="module")
def standards(tmp_path_factory) -> str:
    path = tmp_path_factory.mktemp("standards") / "standards.ecsv"
    row = [(180.0, 10.0, "Kbb", 15.0, 13.0, 0.01)]
    Table(rows=row, names=["ra", "dec", "filter", "mag_ab", "mag_vega", "err"]).write(path)
    return str(path)


MAKERS = {
    "dark": (CreateDarkPipeline, ("DARK",)),
    "dq": (CreateBadPixelPipeline, ("DARK", "FLAT")),
    "photom": (CreatePhotomPipeline, ("STD",)),
    "supersky": (CreateSuperskyPipeline, ("SKY",)),
}


def run(name: str, inputs: list[str], standards: str, memory: int):
    cls, _ = MAKERS[name]
    options = {f"override_{kind}": "N/A" for kind in cls.reference_file_types}
    options |= {"standards": standards} if name == "photom" else {}
    return cls(memory_limit=memory, **options).run(*inputs)


def peak(name: str, inputs: list[str], standards: str, memory: int = 1) -> int:
    tracemalloc.start()
    try:
        run(name, inputs, standards, memory).close()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", MAKERS)
def test_three_times_the_frames_need_the_same_memory(name, frames, standards):
    counts = (2, 6) if name == "photom" else (4, 12)
    few, many = ([p for kind in MAKERS[name][1] for p in frames(kind, n)] for n in counts)
    run(name, few, standards, memory=1).close()  # what is imported or kept once
    more = peak(name, many, standards) - peak(name, few, standards)
    # headers, receipts and inputs of the frames are kept; their planes would be 4 to 16 frames
    assert more < 0.5 * FRAME_BYTES


def test_frames_that_are_kept_would_be_seen(frames, standards):
    few, many = (peak("dark", frames("DARK", n), standards, memory=512) for n in (4, 12))
    assert many - few > 7 * FRAME_BYTES


@pytest.mark.parametrize("name", MAKERS)
def test_little_memory_gives_the_same_bits(name, frames, standards):
    inputs = [p for kind in MAKERS[name][1] for p in frames(kind, 4)]
    with run(name, inputs, standards, 1) as one, run(name, inputs, standards, 512) as other:
        for plane in one.planes():
            if plane.hdu not in ("RECEIPT", "INPUTS", "CALIBRATIONS", "SOFTWARE"):
                first, second = (getattr(m, plane.attribute) for m in (one, other))
                assert first is None or first.tobytes() == second.tobytes(), plane.hdu


def test_the_command_hands_its_memory_to_the_makers(night, refs, tmp_path, capsys):
    command = ["calibrate", str(night), "--out", str(tmp_path / "a"), "--types", "dark"]
    assert main([*command, "--refs", str(refs), "--memory", "1"]) == 0
    (path,) = (tmp_path / "a").glob("*_DARK_*.fits")
    rows = {row["step"]: row["parameters"] for row in fits.getdata(path, "RECEIPT")}
    assert '"memory_limit": 1' in rows["iris_create_dark"]
    (before,) = refs.glob("*_DARK_*_0001.fits")
    np.testing.assert_array_equal(fits.getdata(path, "SCI"), fits.getdata(before, "SCI"))
    capsys.readouterr()
    assert main([*command, "--memory", "0"]) == 2
    expected = "iris-drs: --memory: MB: got 0, expected 1 or more; give more, or leave it out\n"
    assert capsys.readouterr().err == expected
