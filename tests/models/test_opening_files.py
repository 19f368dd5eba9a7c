"""Files of every kind are opened as what they are; broken ones are named."""

import logging
import re
import subprocess
import sys

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from liger_iris_pipeline import models
from liger_iris_pipeline.errors import IrisError, ProductError

SHAPE = (6, 8)
F4 = np.arange(48, dtype=np.float32).reshape(SHAPE)
DQ = np.arange(48, dtype=np.uint32).reshape(SHAPE) + (1 << 31)
COEFFS = np.stack([F4 * 0, F4 * 0 + 1, F4 * 1e-6])
PHOTOM = np.array(
    [("Kbb", 27.1, 25.2, 0.01), ("Br_Gamma", 24.0, 22.0, 0.02)],
    dtype=[("FILTER", "S8"), ("ZPAB", "f8"), ("ZPVEGA", "f8"), ("ERR", "f8")],
)
REFERENCES = {
    "DQ": (models.DQModel, {"DQ": DQ}),
    "DARK": (models.DarkModel, {"SCI": F4, "ERR": F4 + 1, "DQ": DQ}),
    "FLAT": (models.FlatModel, {"SCI": F4, "ERR": F4 + 1, "DQ": DQ}),
    "GAIN": (models.GainModel, {"SCI": F4, "ERR": F4 + 1, "DQ": DQ}),
    "READNOISE": (models.ReadNoiseModel, {"SCI": F4, "ERR": F4 + 1, "DQ": DQ}),
    "SATURATION": (models.SaturationModel, {"SCI": F4, "DQ": DQ}),
    "LINEARITY": (
        models.LinearityModel,
        {"COEFFS": COEFFS, "LIMIT": F4, "PEDESTAL": F4 + 2, "DQ": DQ},
    ),
    "PHOTOM": (models.PhotomModel, {"PHOTOM": PHOTOM}),
}
OPTIONAL = {"ERR", "DQ", "LIMIT", "PEDESTAL"}
ATTRIBUTES = {
    "SCI": "data",
    "ERR": "err",
    "DQ": "dq",
    "COEFFS": "coeffs",
    "LIMIT": "limit",
    "PEDESTAL": "pedestal",
    "PHOTOM": "phot_table",
}


def write_reference(path, reftype, arrays, **changes):
    """Write a reference as another program does: plain astropy, no ASDF, no DATAMODL."""
    header = {
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "REFTYPE": reftype,
        "REFVER": "0001",
        "USEAFTER": "2026-01-01T00:00:00",
        "FILTER": "ANY",
        "SAMPMODE": "ANY",
        "SUBARRAY": "FULL",
        "MYKEY": 5,
        **changes,
    }
    primary = fits.PrimaryHDU()
    primary.header.update({key: value for key, value in header.items() if value is not None})
    kinds = [
        fits.BinTableHDU(a, name=n) if a.dtype.names else fits.ImageHDU(a, name=n)
        for n, a in arrays.items()
    ]
    fits.HDUList([primary, *kinds]).writeto(path)
    return path


def assert_holds(model, arrays):
    for hdu, expected in arrays.items():
        found = getattr(model, ATTRIBUTES[hdu])
        if expected.dtype.names is None:
            assert found.dtype == expected.dtype
            np.testing.assert_array_equal(found, expected)
        else:
            assert list(found["FILTER"]) == ["Kbb", "Br_Gamma"]
            np.testing.assert_array_equal(found["ZPVEGA"], expected["ZPVEGA"])


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("reftype", REFERENCES)
def test_references_of_other_programs(tmp_path, reftype, packed):
    kind, arrays = REFERENCES[reftype]
    path = write_reference(tmp_path / f"r.fits{'.gz' if packed else ''}", reftype, arrays)
    model = models.open(path)
    assert type(model) is kind
    assert_holds(model, arrays)
    assert model.meta.reference.type == reftype
    assert model.meta.reference.version == "0001"
    assert model.meta.instrument.filter == "ANY"
    again = model.save(tmp_path / "again.fits")
    assert models.read_metadata(again)["MYKEY"] == 5
    assert models.read_metadata(again)["DATAMODL"] == kind.__name__
    assert_holds(models.open(again), arrays)


@pytest.mark.parametrize("reftype", sorted(set(REFERENCES) - {"DQ", "PHOTOM"}))
def test_optional_planes_of_references_may_be_absent(tmp_path, reftype):
    kind, arrays = REFERENCES[reftype]
    present = {name: array for name, array in arrays.items() if name not in OPTIONAL}
    model = models.open(write_reference(tmp_path / "r.fits", reftype, present))
    assert type(model) is kind
    for name in set(arrays) - set(present):
        assert getattr(model, ATTRIBUTES[name]) is None


@pytest.mark.parametrize("reftype", REFERENCES)
def test_our_own_references_have_the_hdus_of_the_contract(tmp_path, reftype):
    kind, arrays = REFERENCES[reftype]
    model = kind()
    for name, array in arrays.items():
        setattr(model, ATTRIBUTES[name], array)
    model.meta.instrument.detector = "IMG1"
    model.meta.reference.useafter = "2026-01-01T00:00:00"
    path = model.save(tmp_path / "r.fits")
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == ["PRIMARY", *arrays, "ASDF"]
        assert hdus[0].header["REFTYPE"] == reftype
        units = {hdu.name: hdu.header.get("BUNIT") for hdu in hdus if "BUNIT" in hdu.header}
    expected = {
        "DARK": {"SCI": "electron/s", "ERR": "electron/s"},
        "GAIN": {"SCI": "electron/DN", "ERR": "electron/DN"},
        "READNOISE": {"SCI": "electron", "ERR": "electron"},
        "SATURATION": {"SCI": "DN"},
        "LINEARITY": {"LIMIT": "DN", "PEDESTAL": "DN"},
    }
    assert units == expected.get(reftype, {})
    assert_holds(models.open(path), arrays)


def test_only_the_planes_asked_for_are_read(tmp_path):
    _, arrays = REFERENCES["LINEARITY"]
    path = write_reference(tmp_path / "r.fits", "LINEARITY", arrays)
    model = models.open(path, planes=("coeffs", "limit"))
    assert_holds(model, {name: arrays[name] for name in ("COEFFS", "LIMIT")})
    assert model.pedestal is None
    assert model.dq is None
    assert model.meta.reference.type == "LINEARITY"
    own = model.save(tmp_path / "own.fits")
    assert models.open(own, planes=("limit",)).coeffs is None
    with pytest.raises(ProductError, match=r"^LinearityModel: planes: got slope, expected some of"):
        models.open(path, planes=("slope",))


def test_other_number_types_are_converted(tmp_path):
    arrays = {"SCI": F4.astype(np.float64), "DQ": np.ones(SHAPE, np.uint8)}
    model = models.open(write_reference(tmp_path / "r.fits", "DARK", arrays))
    assert model.data.dtype == np.float32
    assert model.dq.dtype == np.uint32
    np.testing.assert_array_equal(model.data, F4)


def test_a_zero_point_table_may_have_more_columns(tmp_path):
    rows = np.array([("J", 1.0, 2.0, 3.0, 4.0)], [*PHOTOM.dtype.descr, ("COLOUR", "f8")])
    model = models.open(write_reference(tmp_path / "r.fits", "PHOTOM", {"PHOTOM": rows}))
    assert [(row["FILTER"], row["ZPAB"]) for row in model.phot_table] == [("J", 1.0)]
    again = models.open(model.save(tmp_path / "again.fits"))
    assert again.phot_table["COLOUR"].tolist() == [4.0]


def test_columns_in_another_order_and_case(tmp_path):
    names = ["err", "zpvega", "zpab", "filter"]
    rows = np.empty(2, [(name, PHOTOM.dtype[name.upper()]) for name in names])
    for name in names:
        rows[name] = PHOTOM[name.upper()]
    model = models.open(write_reference(tmp_path / "r.fits", "PHOTOM", {"PHOTOM": rows}))
    assert_holds(model, {"PHOTOM": PHOTOM})
    assert_holds(models.open(model.save(tmp_path / "again.fits")), {"PHOTOM": PHOTOM})


# --- refused --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("reftype", "arrays", "changes", "message"),
    [
        (
            "DARK",
            {"DQ": DQ},
            {},
            "SCI: got no such HDU, expected it in a DarkModel; reduce or copy",
        ),
        ("DQ", {"SCI": F4}, {}, "DQ: got no such HDU, expected it in a DQModel"),
        (
            "DARK",
            {"SCI": F4, "ERR": F4[:3]},
            {},
            r"ERR: got shape \(3, 8\), expected \(6, 8\) as SCI",
        ),
        (
            "LINEARITY",
            {"COEFFS": COEFFS, "LIMIT": F4[:, :4]},
            {},
            r"LIMIT: got shape \(6, 4\), expected",
        ),
        (
            "LINEARITY",
            {"COEFFS": F4},
            {},
            r"COEFFS: got shape \(6, 8\), expected 3 axes with pixels",
        ),
        ("DARK", {"SCI": F4, "DQ": F4}, {}, "DQ: got float32 pixels, expected uint32"),
        ("DARK", {"SCI": PHOTOM}, {}, "SCI: got a table, expected an image"),
        ("PHOTOM", {"PHOTOM": F4}, {}, "PHOTOM: got an image, expected a binary table"),
        (
            "PHOTOM",
            {"PHOTOM": PHOTOM[["FILTER", "ZPAB"]]},
            {},
            "table: got columns: .*expected also ZPVEGA, ERR",
        ),
        ("MASK", {"SCI": F4}, {}, "REFTYPE: got 'MASK', expected one of DQ DARK FLAT GAIN"),
        (
            "DARK",
            {"SCI": F4},
            {"USEAFTER": 2026},
            "USEAFTER: got 2026, expected a text; mend the header",
        ),
        (
            None,
            {"SCI": F4},
            {"DATAMODL": "CubeModel"},
            "DATAMODL: got 'CubeModel', expected one of RampReadModel ImagerFrameModel",
        ),
        (None, {"SCI": F4}, {}, "DATAMODL: got nothing, expected one of"),
        (
            None,
            {"DQ": DQ},
            {"DATAMODL": "ImagerFrameModel", "FILTER": "J"},
            "SCI: got no such HDU, expected it in a ImagerFrameModel",
        ),
        (
            None,
            {"SCI": F4},
            {"DATAMODL": "ImagerFrameModel"},
            "FILTER: got 'ANY', expected one of dark through",
        ),
        (
            None,
            {"SCI": F4},
            {"DATAMODL": "ImagerFrameModel", "FILTER": "J", "SAMPMODE": "UTR", "DATALVL": 7},
            "DATALVL: got 7, expected one of 0 1 2 3",
        ),
    ],
)
def test_files_that_cannot_be_opened(tmp_path, reftype, arrays, changes, message):
    path = write_reference(tmp_path / "r.fits", reftype, arrays, **changes)
    with pytest.raises(ProductError, match=f"^(r.fits|PHOTOM): {message}") as caught:
        models.open(path)
    assert "\n" not in str(caught.value)


def test_truncated_files_are_refused_whatever_the_end(tmp_path, make):
    path = tmp_path / "a.fits"
    make.frame_model().save(path)
    data = path.read_bytes()
    for end in (len(data) - 1, len(data) - 2880, len(data) // 2, 3000, 2880 * 3 + 7):
        path.write_bytes(data[:end])
        with pytest.raises(ProductError, match=r"^a\.fits: .*truncated"):
            models.open(path)


def test_odd_files_are_opened_with_a_warning(tmp_path, make, caplog):
    path = tmp_path / "a.fits"
    make.frame_model().save(path)
    make.patch(path, "OBJECT", b"object  = 'M 92'")
    path.write_bytes(path.read_bytes() + b"junk")
    with caplog.at_level(logging.WARNING), models.open(path) as model:
        assert model.meta.instrument.detector == "IMG1"
        again = model.save(tmp_path / "b.fits")
    assert [record.getMessage() for record in caplog.records] == [
        "a.fits: header: got lower-case keywords, expected plain FITS cards; they are "
        "kept as far as FITS can",
        "a.fits: end: got 4 bytes after the last HDU, expected none; they are ignored",
    ]
    assert models.read_metadata(again)["OBJECT"] == "M 92"


def test_good_files_are_opened_in_silence(tmp_path, make, caplog):
    with caplog.at_level(logging.DEBUG, "liger_iris_pipeline"):
        models.open(make.frame_model().save(tmp_path / "a.fits")).close()
    assert caplog.records == []


# --- whatever comes -------------------------------------------------------------------------------

ONE_FILE = {"suppress_health_check": [HealthCheck.function_scoped_fixture], "deadline": None}


@pytest.fixture(scope="module", params=["frame", "frame without ASDF", "LINEARITY", "PHOTOM"])
def whole(request, tmp_path_factory, make):
    folder = tmp_path_factory.mktemp("whole")
    path = folder / "a.fits"
    if request.param in REFERENCES:
        write_reference(path, request.param, REFERENCES[request.param][1])
    else:
        make.frame_model().save(path)
        if "without" in request.param:
            with fits.open(path, mode="update") as hdus:
                del hdus["ASDF"]
    return path.read_bytes()


def outcome(path):
    said = None
    try:
        models.read_metadata(path)
        with models.open(path) as model:
            return model.header_mapping()
    except IrisError as error:
        said = str(error)
    assert re.fullmatch(r".+: .+: got .+, expected .+; .+", said)
    return None


@given(st.integers(0, 1 << 24))
@settings(max_examples=25, **ONE_FILE)
def test_a_file_cut_anywhere_is_refused(tmp_path, whole, at):
    (tmp_path / "x.fits").write_bytes(whole[: at % len(whole)])
    at_end_of_hdu = outcome(tmp_path / "x.fits")
    assert at_end_of_hdu is None or at % len(whole) % 2880 == 0


@given(st.integers(0, 1 << 24), st.binary(min_size=1, max_size=30), st.booleans())
@settings(max_examples=40, **ONE_FILE)
def test_any_change_of_bytes_opens_or_gives_an_error_of_ours(tmp_path, whole, at, patch, in_header):
    at %= 2880 * 2 if in_header else len(whole)
    (tmp_path / "x.fits").write_bytes(whole[:at] + patch + whole[at + len(patch) :])
    outcome(tmp_path / "x.fits")


def test_planes_of_a_tile_compressed_file(tmp_path, make):
    """Archives compress products with fpack."""
    path = make.frame_model().save(tmp_path / "a.fits")
    with fits.open(path) as hdus:
        packed = fits.HDUList([hdus[0]])
        for hdu in hdus[1:]:
            if hdu.name in ("SCI", "DQ", "VAR_POISSON", "VAR_RNOISE", "VAR_FLAT"):
                kind = {"compression_type": "GZIP_2", "quantize_level": 0}
                hdu = fits.CompImageHDU(hdu.data, hdu.header, name=hdu.name, **kind)
                packed.append(hdu)
        packed.writeto(tmp_path / "b.fits")
    frame = models.open(tmp_path / "b.fits").to_frame()
    np.testing.assert_array_equal(frame.rate, make.frame().rate)
    np.testing.assert_array_equal(frame.dq, make.frame().dq)


def test_what_other_programs_import_stays_light():
    """ASDF asks for our schemas in every process; that must not load astropy or stdatamodels."""
    code = (
        "import sys; from liger_iris_pipeline.models.resources import get_resource_mappings; "
        "import liger_iris_pipeline.models.naming; get_resource_mappings(); "
        "print(*{'astropy', 'stdatamodels', 'stpipe'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
