"""What a reference has to be to be entered, and what keeps one from being used."""

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline.calibration import Reference, Store
from liger_iris_pipeline.errors import CertificationError, MissingReferenceError, ReferenceFileError

HEADER = {
    "INSTRUME": "IRIS",
    "DETECTOR": "IMG1",
    "REFTYPE": "FLAT",
    "REFVER": "0001",
    "USEAFTER": "2026-11-20T22:00:00",
}
DETECTOR = {"DETSIZE1": 8, "DETSIZE2": 8}


def write(path, planes=None, checksum=False, **keywords):
    primary = fits.PrimaryHDU()
    primary.header.update({**HEADER, **keywords})
    planes = {"SCI": np.ones((8, 8), np.float32)} if planes is None else planes
    hdus = [
        fits.BinTableHDU(data, name=name) if data.dtype.names else fits.ImageHDU(data, name=name)
        for name, data in planes.items()
    ]
    fits.HDUList([primary, *hdus]).writeto(path, checksum=checksum, overwrite=True)
    return path


def plane(value):
    return {"SCI": np.full((8, 8), value, np.float32)}


def line(c0, c1, limit):
    coeffs = np.stack([np.full((8, 8), value, np.float32) for value in (c0, c1)])
    return {"COEFFS": coeffs, "LIMIT": np.full((8, 8), limit, np.float32)}


def zero_points(*values):
    rows = [("Kbb", value, value - 1.8, 0.01) for value in values]
    kinds = [("FILTER", "S4"), ("ZPAB", "f8"), ("ZPVEGA", "f8"), ("ERR", "f8")]
    return {"PHOTOM": np.array(rows, dtype=kinds)}


HALF_BAD = {**plane(1.0), "DQ": np.ones((8, 8), np.uint32)}
HALF_BAD["DQ"][:3] = 0


@pytest.mark.parametrize(
    ("planes", "keywords", "message"),
    [
        (
            None,
            {"FILTER": "Qbb"},
            "FILTER: got 'Qbb', expected ANY or one of .* Kbb, .*; mend the header",
        ),
        (None, {"DETECTOR": "IMG9"}, "DETECTOR: got 'IMG9', expected ANY or one of IFS, IMG1"),
        (None, {"GOODUNTL": "soon"}, "GOODUNTL: got 'soon', expected an ISO date"),
        (None, {"MJD-OBS": "soon"}, "MJD-OBS: got 'soon', expected a modified Julian date"),
        (None, {"DETSIZE1": 8, "DETSIZE2": 9}, "shape: got 8×8 pixels, expected 9×8 pixels"),
        (
            None,
            {"SUBARRAY": "CUSTOM", "SUBSIZE1": 9, "SUBSIZE2": 4},
            "shape: got 8×8 pixels, expected 4×9 pixels",
        ),
        ({}, {}, "no image"),
        ({"ERR": np.ones((8, 8), np.float32)}, {"REFTYPE": "DQ"}, "DQ: got no such HDU"),
        (
            {**plane(1.0), "ERR": np.ones((8, 9), np.float32)},
            {},
            r"ERR: got shape \(8, 9\), expected \(8, 8\)",
        ),
        (plane(1.03), {}, "SCI: got a median of 1.03, expected 1 ± 0.02; normalise it"),
        (plane(np.nan), {}, "SCI: got 100.0% of the good pixels outside, median nan"),
        (HALF_BAD, {}, "DQ: got DO_NOT_USE in 62% of the pixels, expected at most half"),
        (plane(30.0), {"REFTYPE": "DARK"}, "SCI: got a median of 30 electron/s"),
        (plane(50.0), {"REFTYPE": "GAIN"}, "SCI: got 100.0% of the good pixels outside, median 50"),
        (plane(0.0), {"REFTYPE": "READNOISE"}, "expected 0.1 to 200 electron"),
        (plane(70000.0), {"REFTYPE": "SATURATION"}, "expected 1 to 65535 DN"),
        (line(1.0, 1.0, 9.0), {"REFTYPE": "LINEARITY"}, "COEFFS: got a constant term in 100.0%"),
        (line(0.0, -1.0, 9.0), {"REFTYPE": "LINEARITY"}, "a slope that is not positive"),
        (line(0.0, 1.0, 0.0), {"REFTYPE": "LINEARITY"}, "LIMIT: got values that are not positive"),
        (zero_points(27.0, 2.7), {"REFTYPE": "PHOTOM"}, "ZPAB: got 27, 2.7, expected 15 to 40"),
    ],
)
def test_what_is_not_fit_is_refused_with_its_reason(tmp_path, planes, keywords, message):
    store = Store(tmp_path / "refs", create=True)
    with pytest.raises(CertificationError, match=message):
        store.add(write(tmp_path / "a.fits", planes, **keywords))
    assert store.references() == []


@pytest.mark.parametrize(
    ("planes", "keywords"),
    [
        (None, {"FILTER": "kbb"}),
        (None, {"FILTER": "ANY", "DETSIZE1": 8, "DETSIZE2": 8, "SUBARRAY": "FULL"}),
        (plane(2.5), {"REFTYPE": "GAIN"}),
        (line(0.0, 1.0, 9.0), {"REFTYPE": "LINEARITY"}),
        (zero_points(27.0), {"REFTYPE": "PHOTOM"}),
        ({"ANYTHING": np.ones(3)}, {"REFTYPE": "PSF"}),
    ],
)
def test_what_is_fit_is_entered(tmp_path, planes, keywords):
    store = Store(tmp_path / "refs", create=True)
    added = store.add(write(tmp_path / "a.fits", planes, **keywords))
    assert store.references()[0].sha256 == added.sha256


def test_sums_are_verified_on_entry(tmp_path, caplog):
    path = write(tmp_path / "a.fits", checksum=True)
    good = path.read_bytes()
    store = Store(tmp_path / "refs", create=True)
    path.write_bytes(good[:-2880] + bytes([good[-2880] ^ 1]) + good[-2879:])
    with pytest.raises(CertificationError, match=r"DATASUM: got .* the data have changed"):
        store.add(path)
    path.write_bytes(good.replace(b"'0001    '", b"'0002    '"))
    store.add(path)  # only the header was changed: said, not refused
    assert "CHECKSUM" in caplog.text


@pytest.mark.parametrize(
    ("keywords", "shape", "message"),
    [
        (
            {},
            (8, 4),
            "mine.fits: shape: got 8×4 pixels, expected 8×8 pixels, the size of the detector; "
            "make a flat that fits with `iris-drs calibrate`, or choose another with --override flat=FILE",
        ),
        ({"FILTER": "Jbb"}, (8, 8), "mine.fits: FILTER: got Jbb, expected Kbb; make a flat"),
        (
            {"MJD-OBS": 61314.0},
            (8, 8),
            "mine.fits: age: got 53.4 d, expected at most 30 d before the exposure; make a flat",
        ),
        ({"USEAFTER": "2027-01-01"}, (8, 8), "mine.fits: USEAFTER: got 2027-01-01T00:00:00"),
    ],
)
def test_a_reference_that_does_not_fit_is_refused_in_a_sentence(
    tmp_path, exposure, keywords, shape, message, caplog
):
    path = write(tmp_path / "mine.fits", {"SCI": np.ones(shape, np.float32)}, **keywords)
    store, wanted = Store(tmp_path), exposure | DETECTOR
    (said,) = store.check(path, wanted)
    assert said.startswith(message)
    with pytest.raises(MissingReferenceError, match=r"mine.fits: \w+: got ") as caught:
        store.select("flat", wanted)
    assert said.partition("; ")[0] in str(caught.value)
    good = write(tmp_path / "good.fits", USEAFTER="2026-01-01")
    assert store.select("flat", wanted).path == good  # the next best one is taken
    assert store.check(good, wanted) == []


def test_a_changed_byte_is_refused_in_a_sentence(tmp_path, exposure):
    path = write(tmp_path / "mine.fits", checksum=True)
    content = bytearray(path.read_bytes())
    content[-2880] ^= 1
    path.write_bytes(content)
    (said,) = Store(tmp_path).check(path, exposure)
    assert said.startswith("mine.fits: DATASUM: got ")
    assert "put the original back" in said
    with pytest.raises(ReferenceFileError, match=r"mine.fits: DATASUM: .* changed or damaged"):
        Store(tmp_path).select("flat", exposure)


def test_check_knows_what_a_store_entered(tmp_path, exposure):
    store = Store(tmp_path / "refs", create=True)
    added = store.add(write(tmp_path / "a.fits"))
    assert store.check(added, exposure) == []
    added.path.unlink()
    write(added.path, plane(1.01))
    (said,) = store.check(added, exposure)
    assert "SHA-256: got" in said
    told = store.explain("flat", exposure)
    assert told.chosen is None
    assert told.candidates[0].criterion == "SHA-256"
    (tmp_path / "refs" / "broken.fits").write_text("no")
    assert "broken.fits: file: got one that" in store.check(store.path / "broken.fits", exposure)[0]


def test_a_window_takes_the_window_or_the_detector(tmp_path, exposure):
    window = {"SUBARRAY": "CUSTOM", "SUBSTRT1": 1, "SUBSTRT2": 1, "SUBSIZE1": 4, "SUBSIZE2": 2}
    wanted = exposure | DETECTOR | window
    write(tmp_path / "full.fits", SUBARRAY="FULL")
    assert Store(tmp_path).select("flat", wanted).file == "full.fits"
    write(tmp_path / "window.fits", {"SCI": np.ones((2, 4), np.float32)}, **window)
    assert Store(tmp_path).select("flat", wanted).file == "window.fits"


def test_an_override_is_of_its_type(tmp_path):
    path = write(tmp_path / "a.fits")
    assert Reference.from_file(path, "override", reftype="flat").reftype == "flat"
    with pytest.raises(ReferenceFileError, match=r"a.fits: REFTYPE: got FLAT, expected DARK"):
        Reference.from_file(path, "override", reftype="dark")
