"""Frames on disk that are read by bands of rows."""

import gzip
import shutil
import tempfile

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline.errors import ProductError
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.models import ImagerFrameModel
from liger_iris_pipeline.models.bands import FrameBands, ScratchBands

SHAPE = (9, 7)


def make_frame(seed, shape=SHAPE):
    rng = np.random.default_rng(seed)
    rate, read, photon = rng.normal(5, 1, (3, *shape)).astype(np.float32)
    dq = rng.integers(0, 2**32, shape, dtype=np.uint64).astype(np.uint32)
    return Frame(rate, np.abs(read), np.abs(photon), dq)


def save(path, frame):
    model = ImagerFrameModel.from_header({"OBS_ID": "2026B-P001-001", "DETECTOR": "IMG1"})
    model.set_frame(frame)
    model.save(str(path))
    model.close()
    return path


@pytest.fixture(name="paths")
def fixture_paths(tmp_path):
    return [save(tmp_path / f"frame{n}.fits", make_frame(n)) for n in range(3)]


def assert_same(got, frame, rows):
    for name in ("rate", "var_read", "var_photon", "dq"):
        plane = getattr(got, name)
        assert plane.dtype.isnative
        np.testing.assert_array_equal(plane, getattr(frame, name)[rows])


def test_bands_are_the_rows_that_were_saved(paths):
    with FrameBands(paths) as bands:
        assert (len(bands), bands.shape) == (3, SHAPE)
        for rows in (slice(0, 4), slice(4, 8), slice(8, 100), slice(None)):
            for n in (2, 0, 1):
                assert_same(bands.rows(n, rows), make_frame(n), rows)


def test_packed_files_are_read_too(paths, tmp_path):
    packed = tmp_path / "frame9.fits.gz"
    with paths[1].open("rb") as source, gzip.open(packed, "wb") as target:
        shutil.copyfileobj(source, target)
    before = sorted(tmp_path.iterdir())
    with FrameBands([paths[0], packed]) as bands:
        assert_same(bands.rows(1, slice(3, 5)), make_frame(1), slice(3, 5))
    assert sorted(tmp_path.iterdir()) == before


def test_no_files_are_refused():
    with pytest.raises(ProductError, match="frames: files: got none, expected at least one frame"):
        FrameBands([])


def test_frames_of_another_size_are_refused(paths, tmp_path):
    other = save(tmp_path / "small.fits", make_frame(0, (4, 7)))
    match = r"small\.fits: SCI: got shape \(4, 7\), expected \(9, 7\) as in frame0\.fits"
    with pytest.raises(ProductError, match=match):
        FrameBands([paths[0], other])


def test_a_file_that_is_missing_or_no_fits_is_refused(paths, tmp_path):
    with pytest.raises(ProductError, match=r"none\.fits: file: got 'No such file"):
        FrameBands([tmp_path / "none.fits"])
    text = tmp_path / "text.fits"
    text.write_text("not a frame")
    with pytest.raises(ProductError, match=r"text\.fits: PRIMARY: got a file that does not begin"):
        FrameBands([text])
    broken = tmp_path / "broken.fits.gz"
    broken.write_bytes(gzip.compress(paths[0].read_bytes())[:-400])
    with pytest.raises(ProductError, match=r"broken\.fits\.gz: file: got"):
        FrameBands([broken])


@pytest.mark.parametrize(
    ("spoil", "match"),
    [
        (lambda hdus: hdus.pop("VAR_RNOISE"), "VAR_RNOISE: got nothing, expected a plane"),
        (lambda hdus: narrow(hdus["SCI"]), "SCI: got BITPIX -64, BZERO 0, 2 axes, expected"),
        (lambda hdus: signed(hdus["DQ"]), "DQ: got BITPIX 32, BZERO 0, 2 axes, expected BITPIX 32"),
        (lambda hdus: cut(hdus["DQ"]), r"DQ: got shape \(3, 7\), expected \(9, 7\) as SCI"),
        (lambda hdus: pack(hdus), "SCI: got a compressed image, expected plain"),
    ],
)
def test_planes_that_cannot_be_read_by_rows_are_refused(paths, tmp_path, spoil, match):
    with fits.open(paths[0]) as hdus:
        spoil(hdus)
        hdus.writeto(tmp_path / "spoiled.fits")
    with pytest.raises(ProductError, match=rf"spoiled\.fits: {match}"):
        FrameBands([tmp_path / "spoiled.fits"])


def narrow(hdu):
    hdu.data = hdu.data.astype(np.float64)


def signed(hdu):
    hdu.data = (hdu.data & 1).astype(np.int32)


def cut(hdu):
    hdu.data = hdu.data[:3]


def pack(hdus):
    hdus["SCI"] = fits.CompImageHDU(hdus["SCI"].data, name="SCI", compression_type="GZIP_1")


def test_a_file_that_changes_under_the_reader_is_refused(paths):
    with FrameBands(paths) as bands:
        paths[1].write_bytes(paths[1].read_bytes()[:3000])
        with pytest.raises(ProductError, match=r"frame1\.fits: file: got 0 bytes of SCI"):
            bands.rows(1, slice(0, 2))
        paths[2].unlink()
        with pytest.raises(ProductError, match=r"frame2\.fits: file: got No such file"):
            bands.rows(2, slice(0, 2))


def test_scratch_frames_are_those_that_were_put_in(tmp_path, monkeypatch):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with ScratchBands() as bands:
        for n in range(3):
            bands.add(make_frame(n))
        assert (len(bands), bands.shape) == (3, SHAPE)
        for rows in (slice(0, 4), slice(8, 100), slice(None)):
            for n in (2, 0, 1):
                assert_same(bands.rows(n, rows), make_frame(n), rows)
        assert list(tmp_path.iterdir()) == []  # it has no name
        match = r"frame 4: SCI: got shape \(4, 7\), expected \(9, 7\) as the first"
        with pytest.raises(ProductError, match=match):
            bands.add(make_frame(0, (4, 7)))
        assert len(bands) == 3
