"""Files kept open: the same content, no second reading, no writing, bounded memory."""

import os

import numpy as np
import pytest

from liger_iris_pipeline import models
from liger_iris_pipeline.models import ModelCache

SHAPE = (32, 48)
SIZE = 3 * 4 * SHAPE[0] * SHAPE[1]


def write(path, value):
    model = models.DarkModel.from_header(
        {"INSTRUME": "IRIS", "DETECTOR": "IMG1", "REFTYPE": "DARK"}
    )
    model.data = np.full(SHAPE, value, np.float32)
    model.err = np.full(SHAPE, 0.5, np.float32)
    model.dq = np.full(SHAPE, 4, np.uint32)
    model.save(path, overwrite=True)
    return path


@pytest.fixture
def dark(tmp_path):
    return write(tmp_path / "dark.fits", 1.5)


def test_what_is_kept_is_what_the_file_holds(dark):
    cache = ModelCache(10 * SIZE)
    for _ in range(3):
        with models.open(dark) as plain, cache.open(dark) as kept:
            assert type(kept) is type(plain)
            assert kept.header_mapping() == plain.header_mapping()
            assert kept.meta.filename == plain.meta.filename
            for name in ("data", "err", "dq"):
                array = getattr(kept, name)
                assert array.dtype == getattr(plain, name).dtype
                np.testing.assert_array_equal(array, getattr(plain, name))


def test_a_file_is_read_once_while_it_stays_as_it_is(dark):
    cache = ModelCache(10 * SIZE)
    with cache.open(dark) as first:
        plane = first.data
    assert np.shares_memory(plane, cache.open(dark).data)
    write(dark, 2.5)
    assert cache.open(dark).data[0, 0] == 2.5
    assert plane[0, 0] == 1.5
    status = dark.stat()
    os.utime(dark, ns=(status.st_atime_ns, status.st_mtime_ns + 1))
    assert not np.shares_memory(cache.open(dark).data, plane)
    assert cache.nbytes == SIZE


def test_writing_into_a_kept_array_fails(dark):
    model = ModelCache(10 * SIZE).open(dark)
    with pytest.raises(ValueError, match="read-only"):
        model.data[0, 0] = 0
    with pytest.raises(ValueError, match="read-only"):
        model.dq |= np.uint32(1)


def test_memory_is_bounded_and_the_last_used_stays(tmp_path):
    paths = [write(tmp_path / f"dark{k}.fits", k) for k in range(3)]
    cache = ModelCache(2 * SIZE)
    cache.open(paths[0])
    cache.open(paths[1])
    cache.open(paths[0])
    cache.open(paths[2])
    assert [path in cache for path in paths] == [True, False, True]
    assert cache.nbytes == 2 * SIZE
    small = ModelCache(SIZE - 1)
    assert small.open(paths[1]).data[0, 0] == 1
    assert paths[1] not in small
    assert small.nbytes == 0
    cache.clear()
    assert cache.nbytes == 0
    assert paths[0] not in cache
