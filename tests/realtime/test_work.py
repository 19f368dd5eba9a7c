"""What a worker makes of files in any order: the frame that the step makes of all reads at once."""

import numpy as np
import pytest

from liger_iris_pipeline import models
from liger_iris_pipeline.errors import InputError, ReadError
from liger_iris_pipeline.pipelines.level1 import Level1Step
from liger_iris_pipeline.realtime.work import Recipe, Workshop

KEY = ("2026B-P001-001", "IMG1", 1, "")


@pytest.fixture
def ramp(reads):
    return next(paths for name, paths in reads.items() if "IMG1_SCI" in name)


@pytest.fixture
def workshop(tmp_path, refs):
    return Workshop(Recipe(tmp_path / "out", refs))


@pytest.fixture(autouse=True)
def out(tmp_path):
    (tmp_path / "out").mkdir()


@pytest.mark.parametrize("order", [(0, 1, 2, 3), (3, 2, 1, 0), (1, 0, 3, 2), (2, 3, 0, 1)])
def test_the_order_of_arrival_does_not_matter(workshop, ramp, refs, order):
    for at in order:
        found, notes = workshop.take(KEY, ramp[at])
        assert (found, notes) == ([(1, at + 1)], [])
    path, _ = workshop.close(KEY, [])
    expected = Level1Step(refs=str(refs)).run(*map(str, ramp))
    with models.open(path) as made:
        for plane in ("data", "err", "dq", "var_rnoise", "var_poisson", "chi2"):
            assert np.array_equal(getattr(made, plane), getattr(expected, plane), equal_nan=True)
        rows = [(row["step"], row["parameters"]) for row in made.receipt_rows()]
    assert rows == [(row["step"], row["parameters"]) for row in expected.receipt_rows()]


def test_a_missing_read_is_done_without(workshop, ramp, refs):
    for at in (3, 0, 1):
        workshop.take(KEY, ramp[at])
    path, _ = workshop.close(KEY, [(ramp[2], "it is broken")])
    expected = Level1Step(refs=str(refs)).run(*(str(ramp[at]) for at in (0, 1, 3)))
    with models.open(path) as made:
        assert np.array_equal(made.data, expected.data, equal_nan=True)
        ingest = made.receipt_rows()[0]
    assert "it is broken" in ingest["reason"]


def test_a_copy_is_used_once(workshop, ramp, tmp_path):
    workshop.take(KEY, ramp[0])
    copy = tmp_path / "copy.fits"
    copy.write_bytes(ramp[0].read_bytes())
    found, (note,) = workshop.take(KEY, copy)
    assert found == []
    assert note.startswith("copy.fits: READ_NO: got the same read as in ")


def test_of_two_copies_the_first_by_name_counts_whichever_came_first(
    workshop, ramp, tmp_path, refs
):
    copy = tmp_path / "zz.fits"
    copy.write_bytes(ramp[0].read_bytes())
    for path in (copy, *ramp):
        workshop.take(KEY, path)
    path, _ = workshop.close(KEY, [])
    with models.open(path) as made:
        assert [row["file"] for row in made.input_rows()] == [path.name for path in ramp]


def changed(path, folder, keyword, value):
    """Write a copy with another value, its checksums left out."""
    from astropy.io import fits

    with fits.open(path, do_not_scale_image_data=True) as hdus:
        for name in ("CHECKSUM", "DATASUM"):
            del hdus[0].header[name]
        hdus[0].header[keyword] = value
        made = folder / f"{keyword}-{path.name}"
        hdus.writeto(made)
    return made


@pytest.mark.parametrize(
    ("keyword", "value", "said"),
    [
        ("READTIME", 0, "READTIME"),
        ("RST_TIME", 5, "RST_TIME"),
        ("REFPIX", 2, "REFPIX"),
        ("OBJECT", "other pixels are needed", ""),
    ],
)
def test_a_file_at_odds_with_the_others_is_refused_alone(
    workshop, ramp, tmp_path, keyword, value, said
):
    for path in ramp[:2]:
        workshop.take(KEY, path)
    odd = changed(ramp[2], tmp_path, keyword, value)
    if not said:
        assert workshop.take(KEY, odd)[0] == [(1, 3)]
        return
    with pytest.raises(ReadError, match=said):
        workshop.take(KEY, odd)
    assert workshop.take(KEY, ramp[2])[0] == [(1, 3)]
    workshop.take(KEY, ramp[3])
    path, _ = workshop.close(KEY, [])
    with models.open(path) as made:
        assert len(made.input_rows()) == 4


def test_what_is_wrong_with_the_exposure_is_said_at_its_end(tmp_path, ramp):
    workshop = Workshop(Recipe(tmp_path / "out"))
    for path in ramp:
        bad = changed(path, tmp_path, "GAIN", -1.0)
        assert workshop.take(KEY, bad)[0]
    with pytest.raises(InputError, match="GAIN: got "):
        workshop.close(KEY, [])
    assert list((tmp_path / "out").iterdir()) == []


def test_keywords_that_change_on_the_way_are_heeded(tmp_path, ramp):
    """A fit that was begun by the header of the first read is done again if the others say otherwise."""
    workshop = Workshop(Recipe(tmp_path / "out"))
    files = [
        changed(path, tmp_path, "SATURATE", 30000.0 if at else 200.0)
        for at, path in enumerate(ramp)
    ]
    for path in files:
        workshop.take(KEY, path)
    path, _ = workshop.close(KEY, [])
    expected = Level1Step().run(*map(str, files))
    with models.open(path) as made:
        assert np.array_equal(made.data, expected.data, equal_nan=True)
        assert np.array_equal(made.dq, expected.dq)


def test_a_block_keeps_its_calibrations(tmp_path, ramp, refs, workshop):
    import json

    for path in ramp:
        workshop.take(KEY, path)
    (block,) = (tmp_path / "out" / "blocks").glob("*.json")
    before = json.loads(block.read_text())
    chosen = {one["reftype"] for one in before["choices"] if one["sha256"]}
    assert {"dark", "flat"} <= chosen
    again = Workshop(Recipe(tmp_path / "out", refs))
    for path in ramp:
        again.take(KEY, path)
    assert json.loads(block.read_text()) == before
