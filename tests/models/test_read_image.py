"""Pixels go straight between files and native arrays: the same bits as astropy has."""

import io

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline import models
from liger_iris_pipeline.models.fitsfile import Fault, open_stream, read_image, survey
from liger_iris_pipeline.models.images import PlaneHDU

KINDS = ("u1", "i2", "u2", "i4", "u4", "i8", "u8", "f4", "f8")
SCALED = {
    "int8": {"BZERO": -128},
    "BSCALE": {"BSCALE": 2.5},
    "BZERO": {"BZERO": 3},
    "half the range of another type": {"BZERO": 1 << 31},
    "BLANK": {"BLANK": 7},
    "BLANK of unsigned": {"BLANK": 7, "BZERO": 32768},
}


def random_pixels(kind, shape):
    """Any bits at all: extremes, infinities and NaN of every payload are among them."""
    rng = np.random.default_rng(5)
    raw = rng.integers(0, 256, int(np.prod(shape)) * np.dtype(kind).itemsize, dtype=np.uint8)
    pixels = raw.view(kind).reshape(shape)
    if pixels.dtype.kind in "iu":
        limits = np.iinfo(kind)
        pixels.flat[:2] = limits.min, limits.max
    return pixels


def write(path, hdus):
    fits.HDUList([fits.PrimaryHDU(), *hdus]).writeto(path)
    return path


def read(path, number=1):
    stream, size = open_stream(path)
    with stream:
        return read_image(stream, survey(stream, size).hdus[number])


def bits(array):
    return np.ascontiguousarray(array, array.dtype.newbyteorder(">")).tobytes()


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("shape", [(5, 7), (3, 4, 5), (600, 901), (1,)])
@pytest.mark.parametrize("kind", KINDS)
def test_pixels_of_every_type_are_those_of_astropy(tmp_path, kind, shape, packed):
    pixels = random_pixels(kind, shape)
    path = write(tmp_path / f"a.fits{packed}", [fits.ImageHDU(pixels, name="SCI")])
    found = read(path)
    with fits.open(path, memmap=False) as hdus:
        expected = hdus["SCI"].data
        assert (found.dtype, found.shape) == (expected.dtype.newbyteorder("="), expected.shape)
        assert bits(found) == bits(expected) == bits(pixels)
    assert found.dtype.isnative
    assert found.flags.writeable
    assert found.flags.c_contiguous


@pytest.mark.parametrize("cards", SCALED.values(), ids=SCALED)
def test_scaled_pixels_are_left_to_astropy(tmp_path, cards):
    image = fits.ImageHDU(np.zeros((4, 6), np.uint8 if cards == SCALED["int8"] else np.int16))
    path = write(tmp_path / "a.fits", [image])
    for keyword, value in cards.items():
        fits.setval(path, keyword, value=value, ext=1)
    assert read(path) is None


def test_what_is_no_plain_image_is_left_to_astropy(tmp_path):
    table = fits.BinTableHDU(np.zeros(3, [("A", "f4")]))
    packed = fits.CompImageHDU(random_pixels("i2", (40, 40)))
    path = write(tmp_path / "a.fits", [table, packed, fits.ImageHDU()])
    assert [read(path, number) for number in range(4)] == [None] * 4


def test_a_file_that_becomes_shorter_is_a_fault(tmp_path):
    path = write(tmp_path / "a.fits", [fits.ImageHDU(np.zeros((900, 900)))])
    data = path.read_bytes()
    image = survey(io.BytesIO(data), len(data)).hdus[1]
    with pytest.raises(Fault, match="a file that stays as it is"):
        read_image(io.BytesIO(data[: len(data) // 2]), image)


@pytest.mark.parametrize("packed", ["", ".gz"])
@pytest.mark.parametrize("kind", ["u1", "i2", "u2", "i4", "u4", "f4", "f8", "BSCALE", "int8"])
def test_planes_of_a_model_are_those_of_astropy(tmp_path, kind, packed):
    """Whatever type they have on disk, they come as astropy and a cast would give them."""
    pixels = (
        random_pixels("i2", (30, 40)) % 100 if kind in SCALED else random_pixels(kind, (30, 40))
    )
    if kind in ("f4", "f8"):
        pixels = np.nan_to_num(pixels, nan=-3.5, posinf=1e9, neginf=-1e9).clip(-1e30, 1e30)
    science = fits.ImageHDU(pixels.astype("u1") if kind == "int8" else pixels, name="SCI")
    flags = fits.ImageHDU(random_pixels("u4", (30, 40)), name="DQ")
    path = write(tmp_path / f"dark.fits{packed}", [science, flags])
    fits.setval(path, "REFTYPE", value="DARK")
    for keyword, value in SCALED.get(kind, {}).items():
        fits.setval(path, keyword, value=value, ext=1)
    with models.open(path) as model, fits.open(path, memmap=False) as hdus:
        for found, name, dtype in ((model.data, "SCI", "f4"), (model.dq, "DQ", "u4")):
            assert found.dtype == np.dtype(dtype)
            assert found.flags.writeable
            assert bits(found) == bits(hdus[name].data.astype(dtype))


def test_planes_of_one_name_are_not_mixed_up(tmp_path):
    first, second = random_pixels("u4", (2, 30, 40))
    images = [fits.ImageHDU(data, name="DQ", ver=ver) for ver, data in ((1, first), (2, second))]
    path = write(tmp_path / "dq.fits", images)
    fits.setval(path, "REFTYPE", value="DQ")
    with models.open(path) as model:
        np.testing.assert_array_equal(model.dq, first)


@pytest.mark.parametrize("name", [".fits", ".fits.gz"])
@pytest.mark.parametrize("shape", [(5, 7), (600, 901)])
@pytest.mark.parametrize("kind", KINDS)
def test_files_are_those_of_astropy_byte_for_byte(tmp_path, kind, shape, name):
    pixels = random_pixels(kind, shape)
    for state in ("writable", "read-only", "big-endian", "every other"):
        own = pixels.copy()
        own = own.astype(own.dtype.newbyteorder(">")) if state == "big-endian" else own
        own = np.repeat(own, 2, axis=-1)[..., ::2] if state == "every other" else own
        own.flags.writeable = state != "read-only"
        contents = []
        for image in (PlaneHDU(own, name="SCI"), fits.ImageHDU(pixels.copy(), name="SCI")):
            image.add_checksum(when="2026-01-01")
            path = tmp_path / f"{type(image).__name__}{name}"
            fits.HDUList([fits.PrimaryHDU(), image]).writeto(path, overwrite=True)
            stream, _ = open_stream(path)
            contents.append(stream.read())
            stream.close()
        assert contents[0] == contents[1], state
        assert bits(own) == bits(pixels)


def test_models_are_written_without_a_second_copy(tmp_path):
    """The pixels of a model stay as they are while they are written."""
    model = models.ImagerFrameModel()
    model.data = random_pixels("f4", (300, 400))
    model.dq = random_pixels("u4", (300, 400))
    expected = bits(model.data), bits(model.dq)
    model.data.flags.writeable = model.dq.flags.writeable = False
    path = model.save(tmp_path / "a.fits")
    with fits.open(path, memmap=False) as hdus:
        assert (bits(hdus["SCI"].data), bits(hdus["DQ"].data)) == expected
        assert hdus["DQ"].header["BZERO"] == 1 << 31
