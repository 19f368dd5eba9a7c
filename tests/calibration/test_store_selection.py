"""Which reference applies: rules, order, and messages where none does."""

import hashlib
import logging
import shutil
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from liger_iris_pipeline.calibration import Store
from liger_iris_pipeline.calibration.selection import natural_order
from liger_iris_pipeline.errors import ReferenceFileError


def test_folder_of_another_program_without_index(tmp_path, reference, exposure) -> None:
    path = reference(tmp_path / "master dark.fits", SAMPMODE="UTR", SUBARRAY="FULL")
    (tmp_path / "README.txt").write_text("not a reference")
    (tmp_path / "old").mkdir()
    chosen = Store(tmp_path).select("DARK", exposure)
    assert (chosen.path, chosen.file, chosen.reftype) == (path, "master dark.fits", "dark")
    assert (chosen.version, chosen.context) == ("0001", "iris_0002")
    assert chosen.header["SAMPMODE"] == "UTR"
    row = chosen.provenance("dark")
    assert row == ("dark", "dark", "master dark.fits", chosen.sha256, "0001", "iris_0002")


def test_compressed_reference_is_found(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "dark.fits.gz")
    assert Store(tmp_path).select("dark", exposure).file == "dark.fits.gz"


@pytest.mark.parametrize(
    ("reftype", "keywords", "fits"),
    [
        ("dark", {"DETECTOR": "IMG2"}, False),
        ("dark", {"DETECTOR": "img1"}, True),
        ("dark", {"INSTRUME": "LIGER"}, False),
        ("dark", {"DETECTOR": None}, False),
        ("dark", {"DETECTOR": "ANY"}, True),
        ("dark", {"SAMPMODE": "CDS"}, False),
        ("dark", {"SAMPMODE": "*"}, True),
        ("dark", {"SUBARRAY": "CUSTOM"}, False),
        ("dark", {"FILTER": "Hbb"}, True),  # a dark does not depend on the filter
        ("flat", {"FILTER": "Kbb"}, True),
        ("flat", {"FILTER": "K"}, False),
        ("flat", {"FILTER": "ANY"}, True),
        ("flat", {"FILTER": None}, True),
        ("flat", {"FILTER": "Kbb", "SAMPMODE": "CDS"}, True),
        ("photom", {"FILTER": "ANY"}, True),
        ("photom", {}, True),
        ("distortion", {"FILTER": "Hbb"}, False),
        ("dark", {"USEAFTER": "2026-11-23T08:30:00Z"}, True),
        ("dark", {"USEAFTER": "2026-11-23T08:30:00.001"}, False),
    ],
)
def test_criteria(tmp_path, reference, exposure, reftype, keywords, fits) -> None:
    reference(tmp_path / "a.fits", **{"REFTYPE": reftype.upper(), **keywords})
    store = Store(tmp_path)
    (candidate,) = store.candidates(reftype, exposure)
    assert (candidate.reason is None) is fits
    if fits:
        assert store.select(reftype, exposure).file == "a.fits"
    else:
        with pytest.raises(ReferenceFileError, match=r"a.fits: "):
            store.select(reftype, exposure)


def test_ifs_keys_and_numbers_written_differently(tmp_path, reference, exposure) -> None:
    wanted = exposure | {
        "DETECTOR": "IFS",
        "INSTMODE": "LENSLET",
        "IFSSCALE": 4.0,
        "GRATING": "K4000",
    }
    keys = {"DETECTOR": "IFS", "REFTYPE": "RECTMAT", "INSTMODE": "LENSLET", "GRATING": "K4000"}
    reference(tmp_path / "nine.fits", IFSSCALE=9, **keys)
    reference(tmp_path / "four.fits", IFSSCALE=4, **keys)
    reference(tmp_path / "slicer.fits", IFSSCALE=4, **(keys | {"INSTMODE": "SLICER"}))
    assert Store(tmp_path).select("rectmat", wanted).file == "four.fits"


def test_read_modes_with_two_names(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "a.fits", SAMPMODE="MCDS")
    assert Store(tmp_path).select("dark", exposure | {"SAMPMODE": "MDS"}).file == "a.fits"


def test_windows(tmp_path, reference, exposure) -> None:
    place = {"SUBSTRT1": 101, "SUBSTRT2": 201, "SUBSIZE1": 64, "SUBSIZE2": 64}
    window = exposure | {"SUBARRAY": "CUSTOM", **place}
    reference(tmp_path / "full.fits", SUBARRAY="FULL", USEAFTER="2026-11-22T22:00:00")
    reference(tmp_path / "other.fits", SUBARRAY="CUSTOM", **(place | {"SUBSTRT1": 1}))
    store = Store(tmp_path)
    assert store.select("dark", window).file == "full.fits"
    reference(tmp_path / "window.fits", SUBARRAY="CUSTOM", **place)
    assert store.select("dark", window).file == "window.fits"  # exact, though older
    assert store.select("dark", exposure).file == "full.fits"
    reasons = dict(store.candidates("dark", exposure))
    assert reasons["window.fits"] == "SUBARRAY: got CUSTOM (101, 201, 64, 64), expected FULL"


def test_exact_match_comes_before_newer_general_one(tmp_path, reference, exposure) -> None:
    kind = {"REFTYPE": "FLAT"}
    reference(tmp_path / "any.fits", FILTER="ANY", USEAFTER="2026-11-22T22:00:00", **kind)
    reference(tmp_path / "kbb.fits", FILTER="Kbb", USEAFTER="2026-01-01", **kind)
    assert Store(tmp_path).select("flat", exposure).file == "kbb.fits"


def test_newest_then_version_then_checksum(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "z_old.fits", USEAFTER="2026-11-01", REFVER="99")
    reference(tmp_path / "a9.fits", USEAFTER="2026-11-20", REFVER="9")
    store = Store(tmp_path)
    assert store.select("dark", exposure).file == "a9.fits"
    reference(tmp_path / "a10.fits", USEAFTER="2026-11-20", REFVER="10")
    assert store.select("dark", exposure).file == "a10.fits"
    paths = [tmp_path / "a10.fits", reference(tmp_path / "b10.fits", value=2.0, REFVER="10")]
    paths = [reference(path, value=value, USEAFTER="2026-11-20", REFVER="10")
             for path, value in zip(paths, (1.0, 2.0), strict=True)]  # fmt: skip
    lowest = min(paths, key=lambda path: hashlib.sha256(path.read_bytes()).hexdigest())
    assert store.select("dark", exposure).file == lowest.name
    reference(tmp_path / "future.fits", USEAFTER="2026-11-24", REFVER="11")
    assert store.select("dark", exposure).file == lowest.name


def test_numeric_version_in_the_header(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "a.fits", REFVER=9)
    reference(tmp_path / "b.fits", REFVER=10)
    assert Store(tmp_path).select("dark", exposure).version == "10"


@given(st.lists(st.integers(0, 10**6), min_size=2, max_size=5))
def test_natural_order_is_the_order_of_numbers(numbers: list[int]) -> None:
    assert sorted(map(str, numbers), key=natural_order) == [str(n) for n in sorted(numbers)]


def test_empty_folder(tmp_path, exposure) -> None:
    with pytest.raises(
        ReferenceFileError, match=r"DARK reference: got none of this type in 0 reference files"
    ):
        Store(tmp_path).select("dark", exposure)


def test_message_says_what_was_asked_what_there_is_and_what_to_do(
    tmp_path, reference, exposure
) -> None:
    for number in range(7):
        reference(tmp_path / f"d{number}.fits", SAMPMODE="CDS", USEAFTER="2027-01-01")
    reference(tmp_path / "near.fits", SAMPMODE="CDS")
    reference(tmp_path / "flat.fits", REFTYPE="FLAT")
    with pytest.raises(ReferenceFileError) as caught:
        Store(tmp_path).select("dark", exposure)
    message = str(caught.value)
    assert "\n" not in message
    wrong = "SAMPMODE: got CDS, expected UTR"
    assert f"8 that cannot be used (near.fits: {wrong}; d0.fits: {wrong}, USEAFTER: " in message
    assert "USEAFTER: got 2027-01-01T00:00:00, expected one not later than the" in message
    assert "and 3 more)" in message
    assert "d4.fits" not in message
    assert "flat.fits" not in message
    assert "expected one for IRIS IMG1 SAMPMODE UTR SUBARRAY FULL on 2026-11-23T08:30:00" in message
    for remedy in ("iris-drs calibrate", "--refs", "--skip dark_subtract"):
        assert remedy in message


@pytest.mark.parametrize("key", ["DETECTOR", "INSTRUME", "DATE-OBS"])
def test_exposure_without_identity_is_refused(tmp_path, reference, exposure, key) -> None:
    reference(tmp_path / "dark.fits")
    del exposure[key]
    with pytest.raises(ReferenceFileError, match=key):
        Store(tmp_path).select("dark", exposure)


def test_exposure_that_does_not_state_its_read_mode(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "utr.fits", SAMPMODE="UTR", SUBARRAY="FULL")
    del exposure["SAMPMODE"], exposure["SUBARRAY"]
    store = Store(tmp_path)
    with pytest.raises(ReferenceFileError, match="SAMPMODE absent SUBARRAY absent"):
        store.select("dark", exposure)
    reference(tmp_path / "all.fits", SUBARRAY="FULL")  # no SUBARRAY in an exposure is a full frame
    assert store.select("dark", exposure).file == "all.fits"


def damage(path: Path, how: str) -> None:
    content = path.read_bytes()
    cut = {"data": len(content) - 3000, "header": 1000, "nothing": 0, "second header": 4000}
    if how == "text":
        path.write_text("this is no FITS file\n")
    else:
        path.write_bytes(content[: cut[how]])


@pytest.mark.parametrize("ending", ["fits", "fits.gz"])
@pytest.mark.parametrize("how", ["data", "header", "second header", "nothing", "text"])
def test_broken_file_does_not_hide_others(
    tmp_path, reference, exposure, how, ending, caplog
) -> None:
    good = reference(tmp_path / "good.fits", USEAFTER="2026-01-01")
    bad = reference(tmp_path / f"newest.{ending}", USEAFTER="2026-11-22")
    if ending == "fits.gz":
        bad.write_bytes(bad.read_bytes()[:-12] if how == "data" else bad.read_bytes()[:50])
        if how == "text":
            bad.write_text("this is no FITS file\n")
        elif how == "nothing":
            bad.write_bytes(b"")
    else:
        damage(bad, how)
    store = Store(tmp_path)
    with caplog.at_level(logging.WARNING):
        assert store.select("dark", exposure).path == good
    assert any(bad.name in record.getMessage() for record in caplog.records)
    reasons = dict(store.candidates("dark", exposure))
    assert reasons["good.fits"] is None
    assert reasons[bad.name]
    good.unlink()
    with pytest.raises(ReferenceFileError, match=f"got 1 that cannot be used .{bad.name}: "):
        store.select("dark", exposure)


@pytest.mark.parametrize(
    ("keywords", "reason"),
    [
        ({"REFTYPE": None}, "has no REFTYPE"),
        ({"USEAFTER": None}, "has no USEAFTER"),
        ({"USEAFTER": "soon"}, "USEAFTER 'soon' is no ISO date"),
    ],
)
def test_reference_without_its_keywords(tmp_path, reference, exposure, keywords, reason) -> None:
    reference(tmp_path / "bad.fits", **keywords)
    reference(tmp_path / "good.fits")
    store = Store(tmp_path)
    assert store.select("dark", exposure).file == "good.fits"
    assert store.candidates("dark", exposure) == [("good.fits", None), ("bad.fits", reason)]


def test_link_to_nothing_is_a_candidate_with_a_reason(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "good.fits")
    (tmp_path / "link.fits").symlink_to(tmp_path / "gone")
    store = Store(tmp_path)
    assert store.select("dark", exposure).file == "good.fits"
    assert "cannot be read" in str(dict(store.candidates("dark", exposure))["link.fits"])


def test_files_added_and_replaced_after_the_store_was_opened(tmp_path, reference, exposure) -> None:
    store = Store(tmp_path)
    reference(tmp_path / "a.fits", REFVER="1")
    assert store.select("dark", exposure).version == "1"
    reference(tmp_path / "a.fits", REFVER="22")
    assert store.select("dark", exposure).version == "22"
    shutil.copy(tmp_path / "a.fits", tmp_path / "b.fits")
    assert store.select("dark", exposure).file == "b.fits"


def test_no_folder(tmp_path) -> None:
    with pytest.raises(ReferenceFileError, match=r"nowhere: folder: got nothing"):
        Store(tmp_path / "nowhere")


def test_folder_that_goes_away(tmp_path, reference, exposure) -> None:
    reference(tmp_path / "refs" / "dark.fits")
    store = Store(tmp_path / "refs")
    shutil.rmtree(tmp_path / "refs")
    with pytest.raises(ReferenceFileError, match="No such file"):
        store.select("dark", exposure)


def test_metadata_and_store_are_left_alone(tmp_path, reference, exposure: dict[str, Any]) -> None:
    path = reference(tmp_path / "dark.fits")
    before, content = dict(exposure), path.read_bytes()
    chosen = Store(tmp_path).select("dark", exposure)
    assert exposure == before
    assert path.read_bytes() == content
    with pytest.raises(AttributeError):
        chosen.file = "other"
