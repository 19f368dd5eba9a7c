"""Frames and mosaics on disk: what goes in comes out, and nothing else is touched."""

import io
import json
import os
import stat
from dataclasses import replace
from pathlib import Path

import asdf
import numpy as np
import pytest
from asdf.exceptions import ValidationError
from astropy.io import fits
from astropy.wcs import WCS
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from stpipe.datamodel import AbstractDataModel

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.frame.wcs import TanWcs
from liger_iris_pipeline.errors import DiskError, ProductError
from liger_iris_pipeline.kinds import Frame, Mosaic

PLANES = ("data", "err", "dq", "var_poisson", "var_rnoise", "var_flat", "chi2")
TAN = TanWcs((3.5, -7.25), (250.423, 36.461), ((-1.1e-6, 2e-8), (2e-8, 1.1e-6)))
STRUCTURE = {"SIMPLE", "XTENSION", "BITPIX", "NAXIS", "EXTEND", "PCOUNT", "GCOUNT", "EXTVER"}


def assert_same_frame(one, other):
    for name in PLANES:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name), err_msg=name)
        assert getattr(other, name).dtype == getattr(one, name).dtype
        assert getattr(other, name).dtype.isnative
    for rows in ("receipt_rows", "calibration_rows", "input_rows"):
        assert getattr(one, rows)() == getattr(other, rows)()
    np.testing.assert_array_equal(one.events["kind"], other.events["kind"])
    np.testing.assert_array_equal(one.events["amplitude"], other.events["amplitude"])


def primary_cards(path):
    return {
        card.keyword: (card.value, card.comment)
        for card in fits.getheader(path).cards
        if card.keyword not in ("FILENAME", "DATE")
    }


# --- round trips ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.fits", "a.fits.gz"])
@pytest.mark.parametrize("checksum", [False, True])
def test_a_frame_comes_back(tmp_path, make, name, checksum):
    model = make.frame_model()
    path = model.save(tmp_path / name, checksum=checksum)
    assert path == str(tmp_path / name)
    found = models.open(path)
    assert type(found) is models.ImagerFrameModel
    assert_same_frame(model, found)
    assert found.meta.filename == name
    frame, expected = found.to_frame(), make.frame()
    for plane in ("rate", "var_read", "var_photon", "dq", "var_flat"):
        np.testing.assert_array_equal(getattr(frame, plane), getattr(expected, plane))
    np.testing.assert_array_equal(found.err, expected.error)


def expected_error(frame):
    """ERR of a frame, from its planes."""
    total = frame.var_read + frame.var_photon
    return np.sqrt(total if frame.var_flat is None else total + frame.var_flat)


@pytest.mark.parametrize("shape", [(3, 5), (1, 300_000), (700, 401)])
@pytest.mark.parametrize("has_flat", [False, True])
def test_errors_are_the_root_of_the_sum_whatever_the_shape(shape, has_flat):
    rng = np.random.default_rng(3)
    planes = [rng.exponential(size=(shape[0], 2 * shape[1])).astype(np.float32) for _ in range(4)]
    planes[1][0, :4] = np.nan, np.inf, 0.0, 1e-42
    rate, read, photon, flat = (plane[:, ::2] for plane in planes)  # not contiguous
    dq = np.zeros(shape, np.uint32)
    frame = Frame(rate, read, photon, dq, flat if has_flat else None)
    np.testing.assert_array_equal(
        frame.error.view(np.uint32), expected_error(frame).view(np.uint32)
    )


def test_err_is_that_of_the_last_frame_set(tmp_path, make):
    """It is computed late: however a model is asked, copied or shared, it is there and right."""
    frame = make.frame()
    louder = replace(frame, var_read=frame.var_read * 3 + 1, var_flat=None)

    def changed():
        model = make.frame_model()
        model.set_frame(louder)
        return model

    expected = expected_error(louder)
    np.testing.assert_array_equal(changed().err, expected)
    np.testing.assert_array_equal(changed().copy().err, expected)
    np.testing.assert_array_equal(models.open(changed()).err, expected)
    shared = changed()
    other = models.open(shared)
    other.set_frame(frame)
    np.testing.assert_array_equal(shared.err, expected_error(frame))
    np.testing.assert_array_equal(other.err, expected_error(frame))
    model = changed()
    path = model.save(tmp_path / "a.fits")
    np.testing.assert_array_equal(fits.getdata(path, "ERR"), expected)
    np.testing.assert_array_equal(model.err, expected)


def test_err_is_that_of_the_frame_though_planes_are_replaced(make):
    frame = make.frame()
    model = make.frame_model()
    model.set_frame(frame)
    model.var_rnoise = None
    model.var_poisson = frame.var_photon * 2
    np.testing.assert_array_equal(model.err, expected_error(frame))


def test_copies_of_a_frame_copy_each_plane_once(make):
    model = make.frame_model()
    model.set_frame(make.frame())
    other = model.copy()
    assert not np.shares_memory(other.data, model.data)
    other.var_rnoise[:] = 0
    np.testing.assert_array_equal(model.err, expected_error(make.frame()))


def test_a_model_with_err_put_off_is_valid(make):
    model = models.ImagerFrameModel()
    model.set_frame(make.frame())
    model.validate()
    model.set_frame(make.frame())
    other = models.IFSFrameModel(model)  # validates itself
    np.testing.assert_array_equal(other.err, expected_error(make.frame()))


def test_an_err_that_was_set_stays(tmp_path, make):
    model = make.frame_model()
    model.set_frame(make.frame())
    own = np.full(model.shape, 7, np.float32)
    model.err = own
    path = model.save(tmp_path / "a.fits")
    np.testing.assert_array_equal(fits.getdata(path, "ERR"), own)
    np.testing.assert_array_equal(model.err, own)


def test_nothing_is_written_of_how_err_is_computed(tmp_path, make):
    model = make.frame_model()
    model.set_frame(make.frame())
    with fits.open(model.save(tmp_path / "a.fits")) as hdus:
        tree = asdf.open(io.BytesIO(hdus["ASDF"].data.tobytes())).tree
    assert "err" in tree
    assert [name for name in tree if name.startswith("err_")] == []


def test_hdus_are_those_of_the_contract(tmp_path, make):
    path = make.frame_model().save(tmp_path / "a.fits")
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus] == [
            "PRIMARY",
            "SCI",
            "ERR",
            "DQ",
            "VAR_POISSON",
            "VAR_RNOISE",
            "VAR_FLAT",
            "CHI2",
            "EVENTS",
            "RECEIPT",
            "CALIBRATIONS",
            "INPUTS",
            "ASDF",
        ]
        units = {hdu.name: hdu.header.get("BUNIT") for hdu in hdus}
        assert units["SCI"] == units["ERR"] == "electron/s"
        assert units["VAR_FLAT"] == units["VAR_RNOISE"] == units["VAR_POISSON"] == "electron2/s2"
        assert [hdus[name].data.dtype.str for name in ("SCI", "DQ", "CHI2")] == [
            ">f4",
            "<u4",
            ">f4",
        ]
        assert hdus["EVENTS"].columns.names == [
            "ramp",
            "read",
            "y",
            "x",
            "kind",
            "amplitude",
            "sigma",
        ]
        assert hdus["EVENTS"].columns["amplitude"].unit == "electron"
        assert hdus["RECEIPT"].columns.names == [
            "step",
            "version",
            "parameters",
            "start",
            "end",
            "seconds",
            "status",
            "reason",
        ]
        assert hdus["CALIBRATIONS"].columns.names == [
            "role",
            "type",
            "file",
            "sha256",
            "version",
            "context",
            "member",
            "flag",
        ]
        assert hdus["INPUTS"].columns.names == ["file", "sha256", "role"]
        header = hdus[0].header
        assert (header["DATAMODL"], header["DATALVL"]) == ("ImagerFrameModel", 1)
        assert header["FILENAME"] == "a.fits"
        assert header["BUNIT"] == "electron/s"
        assert header.comments["DETECTOR"] == "detector"
        assert "" not in header


def test_a_frame_without_optional_parts(tmp_path, make):
    model = models.ImagerFrameModel.from_header(make.header())
    model.set_frame(make.frame())
    model.var_flat = None
    found = models.open(model.save(tmp_path / "a.fits"))
    assert found.chi2 is None
    assert found.events is None
    assert found.to_frame().var_flat is None
    assert found.receipt_rows() == found.calibration_rows() == []


def test_the_same_file_twice_differs_in_date_and_name_alone(tmp_path, make):
    path = make.frame_model().save(tmp_path / "a.fits")
    again = models.open(path).save(tmp_path / "b.fits")
    assert primary_cards(again) == primary_cards(path)
    with fits.open(path) as one, fits.open(again) as other:
        assert [hdu.name for hdu in one] == [hdu.name for hdu in other]
        for name in ("SCI", "DQ", "EVENTS", "RECEIPT"):
            assert one[name].header == other[name].header


EXTRA = [
    ("MYKEY", 3, "an integer"),
    ("MYFLOAT", 0.1 + 0.2, "17 digits"),
    ("MYFLAG", False, ""),
    ("MYTEXT", "it's / odd", "a text"),
    ("MYLONG", "x" * 150, ""),
    ("MYINT64", 1_790_000_000_000_000, ""),
    ("HIERARCH ESO DET CHIP NAME", "H4RG", "long name"),
    ("READTE_S", 7, "start"),
    ("COMMENT", "a remark", ""),
    ("COMMENT", "another remark", ""),
    ("HISTORY", "once upon a time", ""),
]


def test_no_keyword_is_lost(tmp_path, make):
    """What the telescope writes survives from level to level, with ASDF and without."""
    header = fits.Header([*make.header().items(), *EXTRA])
    model = models.ImagerFrameModel.from_header(header)
    model.set_frame(make.frame())
    path = model.save(tmp_path / "0.fits")
    for number in range(1, 4):
        if number == 2:
            with fits.open(path, mode="update") as hdus:
                del hdus["ASDF"]
        with models.open(path) as opened:
            path = opened.save(tmp_path / f"{number}.fits")
    found = fits.getheader(path)
    for key, value, comment in EXTRA[:8]:
        bare = key.removeprefix("HIERARCH ")
        assert found[bare] == value
        assert type(found[bare]) is type(value)
        assert found.comments[bare] == comment
    assert list(found["COMMENT"]) == ["a remark", "another remark"]
    assert list(found["HISTORY"]) == ["once upon a time"]
    for key, value in make.header(BUNIT="electron/s").items():
        assert found[key] == value
        assert found.count(key) == 1


VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**62), 2**62),
    st.floats(-1e300, 1e300).map(lambda value: float(f"{value:.10g}")),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=120).map(str.rstrip),
)


@given(st.dictionaries(st.from_regex(r"\AX[A-Z0-9]{1,7}\Z"), VALUES, max_size=5))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_unknown_keywords_of_any_value_survive(tmp_path, make, values):
    model = models.ImagerFrameModel.from_header({**make.header(), **values})
    model.set_frame(make.frame())
    model.save(tmp_path / "a.fits", overwrite=True)
    models.open(tmp_path / "a.fits").save(tmp_path / "b.fits", overwrite=True)
    found = models.read_metadata(tmp_path / "b.fits")
    assert {key: found[key] for key in values} == values
    assert models.open(tmp_path / "b.fits").header_mapping().items() >= values.items()


def test_keywords_without_a_value(tmp_path, make):
    """Legal FITS: an unknown one stays as an empty text, a known one has no value."""
    model = models.ImagerFrameModel.from_header({**make.header(), "MYNULL": None, "AIRMASS": None})
    assert model.meta.pointing.airmass is None
    model.set_frame(make.frame())
    found = models.open(model.save(tmp_path / "a.fits"))
    assert found.header_mapping()["MYNULL"] == ""
    assert "AIRMASS" not in found.header_mapping()


def test_unknown_hdus_survive(tmp_path, make):
    path = make.frame_model().save(tmp_path / "a.fits")
    with fits.open(path, mode="append") as hdus:
        hdus.append(fits.ImageHDU(np.arange(6, dtype=np.int16).reshape(2, 3), name="MINE"))
    again = models.open(path).save(tmp_path / "b.fits")
    np.testing.assert_array_equal(fits.getdata(again, "MINE"), [[0, 1, 2], [3, 4, 5]])


def test_a_file_without_asdf_opens_the_same(tmp_path, make):
    """The C command writes none, and a CHECKSUM that must not outlive its HDU."""
    model = make.frame_model()
    path = model.save(tmp_path / "a.fits", checksum=True)
    with fits.open(path) as hdus:
        del hdus["ASDF"]
        hdus.writeto(tmp_path / "b.fits", checksum=True)
    found = models.open(tmp_path / "b.fits")
    assert_same_frame(model, found)
    again = found.save(tmp_path / "c.fits")
    assert "CHECKSUM" not in fits.getheader(again)
    assert "DATASUM" not in fits.getheader(again, "SCI")
    assert_same_frame(model, models.open(again))


def test_edits_of_other_programs_count(tmp_path, make):
    path = make.frame_model().save(tmp_path / "a.fits")
    with fits.open(path, mode="update") as hdus:
        hdus[0].header["OBJECT"] = "M 13"
        hdus[0].header["MYKEY"] = 5
        hdus["SCI"].data[0, 0] = 42.0
    found = models.open(path)
    assert found.meta.observation.object == "M 13"
    assert found.header_mapping()["MYKEY"] == 5
    assert found.data[0, 0] == 42.0


# --- tables ---------------------------------------------------------------------------------------

TEXTS = st.text(max_size=300)


@given(st.lists(st.tuples(TEXTS, TEXTS), min_size=1, max_size=4))
@settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_text_of_any_length_survives(tmp_path, make, rows):
    model = models.ImagerFrameModel.from_header(make.header())
    model.set_frame(make.frame())
    for reason, parameters in rows:
        model.add_receipt(("s", "v", json.dumps(parameters), "a", "b", 0.1, "COMPLETE", reason))
    model.save(tmp_path / "a.fits", overwrite=True)
    found = models.open(tmp_path / "a.fits").copy()
    found.save(tmp_path / "a.fits", overwrite=True)
    found = models.open(tmp_path / "a.fits").receipt_rows()
    assert [json.loads(row["parameters"]) for row in found] == [row[1] for row in rows]
    for row, (reason, _) in zip(found, rows, strict=True):
        if reason.isascii() and reason.isprintable():
            assert row["reason"] == reason.rstrip()
        assert row["reason"].isascii()


def test_empty_tables_and_texts_survive(tmp_path, make):
    model = make.frame_model()
    model.events = model.events[:0]
    model.add_calibrations([("", "", "", "", "", "")])
    found = models.open(model.save(tmp_path / "a.fits"))
    assert len(found.events) == 0
    assert found.calibration_rows()[1] == dict.fromkeys(found.calibration_rows()[0], "")


def test_rows_are_added_and_tables_are_emptied(make):
    model = make.frame_model()
    model.add_receipt(("dark", "0.1", "{}", "a", "b", 2, "SKIPPED", "no reference"))
    assert [row["step"] for row in model.receipt_rows()] == ["ramp", "dark"]
    model.add_inputs([])
    assert len(model.input_rows()) == 2
    model.inputs = None
    assert model.input_rows() == []
    model.add_inputs(iter([("c.fits", "3" * 64)]))
    assert model.input_rows() == [{"file": "c.fits", "sha256": "3" * 64, "role": ""}]


def test_columns_of_another_program_survive(tmp_path, make):
    model = make.frame_model()
    own = np.array(model.events)
    kinds = [("COLOUR", "U9"), ("n", "u2"), ("good", "?"), ("pair", "f4", (2,))]
    events = np.zeros(2, [*own.dtype.descr, *kinds])
    for name in own.dtype.names:
        events[name] = own[name]
    events["COLOUR"], events["n"], events["good"] = ["red", "ultramarine"[:9]], [1, 65535], [1, 0]
    events["pair"] = [[1, 2], [3, 4]]
    model.events = events
    path = model.save(tmp_path / "a.fits")
    for number in range(2):
        found = models.open(path)
        assert list(found.events["COLOUR"]) == ["red", "ultramari"]
        assert found.events["n"].tolist() == [1, 65535]
        assert found.events["good"].tolist() == [1, 0]
        np.testing.assert_array_equal(found.events["pair"], [[1, 2], [3, 4]])
        assert list(found.events["kind"]) == ["JUMP", "SATURATION"]
        path = found.save(tmp_path / f"{number}.fits")
    found.events = own
    assert found.events.dtype.names == own.dtype.names


def test_a_table_of_other_columns_is_refused(make):
    model = make.frame_model()
    with pytest.raises(
        ProductError, match=r"^EVENTS: table: got columns: got a, expected also ramp"
    ):
        model.events = np.zeros(2, [("a", "i4")])
    with pytest.raises(
        ProductError, match=r"^INPUTS: table: got row .*got 1 values, expected 2 to 3"
    ):
        model.add_inputs([("only a name",)])


# --- metadata -------------------------------------------------------------------------------------


def test_metadata_by_name(make):
    model = make.frame_model()
    meta = model.meta
    assert (meta.instrument.detector, meta.instrument.filter) == ("IMG1", "Kbb")
    assert (meta.observation.obs_id, meta.observation.exposure_number) == ("2026B-P001-001", 1)
    assert (meta.exposure.sampling_mode, meta.exposure.nreads) == ("UTR", make.nread)
    assert (meta.subarray.name, meta.subarray.ref_pixels) == ("FULL", 4)
    assert (meta.telescope, meta.model_type) == ("TMT", "ImagerFrameModel")
    header = model.header_mapping()
    assert header["AOSTREHL"] == 0.51
    assert model.primary_header()["OBJECT"] == "M 92"
    assert header.items() >= make.header(BUNIT="electron/s").items()


def test_a_model_is_what_stpipe_takes(make):
    model = make.frame_model()
    assert isinstance(model, AbstractDataModel)
    parameters = model.get_crds_parameters()
    assert parameters["DETECTOR"] == "IMG1"
    assert parameters["SAMPMODE"] == "UTR"
    assert type(parameters) is dict


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("instrument.filter", "Q"),
        ("instrument.detector", "IMG7"),
        ("observation.image_type", "SCIENCE"),
        ("exposure.sampling_mode", "XXX"),
        ("cal_step.dark", "DONE"),
        ("sky.mode", "MEDIAN"),
        ("data_level", 4),
        ("observation.exposure_number", "1"),
    ],
)
def test_wrong_metadata_raise_and_change_nothing(make, path, value):
    model = make.frame_model()
    *parents, name = path.split(".")
    node = model.meta
    for parent in parents:
        node = getattr(node, parent)
    before = getattr(node, name)
    with pytest.raises(ValidationError):
        setattr(node, name, value)
    assert getattr(node, name) == before


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"FILTER": "Q"},
            "^header: FILTER: got 'Q', expected one of dark through Zbb .*mend the header",
        ),
        ({"EXP_NO": "x"}, "^header: EXP_NO: got 'x', expected an integer"),
        ({"EXPTIME": True}, "^header: EXPTIME: got True, expected a number"),
        ({"OBJECT": 5}, "^header: OBJECT: got 5, expected a text"),
    ],
)
def test_a_raw_header_that_cannot_be(make, changes, message):
    with pytest.raises(ProductError, match=message):
        models.ImagerFrameModel.from_header(make.header(**changes))


def test_sky_and_zero_point_stand_where_viewers_look(tmp_path, make):
    model = make.frame_model()
    model.meta.sky.mode, model.meta.sky.level, model.meta.sky.subtracted = "DITHERS", 12.5, True
    model.meta.photometry.zero_point_ab = 27.1
    model.meta.photometry.zero_point_vega = 25.3
    path = model.save(tmp_path / "a.fits")
    for number in range(3):
        primary, science = fits.getheader(path), fits.getheader(path, "SCI")
        for key, value in (("SKYMODE", "DITHERS"), ("MAGZERO", 27.1), ("MAGZVEGA", 25.3)):
            assert primary[key] == science[key] == value
            assert science.count(key) == 1
        assert (science["SKYLEVEL"], science["SKYSUB"]) == (12.5, True)
        assert "SKYLEVEL" not in primary
        found = models.open(path)
        assert found.meta.sky.level == 12.5
        assert found.meta.sky.subtracted is True
        path = found.save(tmp_path / f"{number}.fits")


def test_a_changed_value_is_mirrored_too(tmp_path, make):
    model = make.frame_model()
    model.meta.photometry.zero_point_ab = 27.1
    found = models.open(model.save(tmp_path / "a.fits"))
    found.meta.photometry.zero_point_ab = 28.0
    assert fits.getheader(found.save(tmp_path / "b.fits"), "SCI")["MAGZERO"] == 28.0


# --- world coordinates ----------------------------------------------------------------------------


def test_both_forms_of_the_wcs_agree(tmp_path, make):
    model = make.frame_model()
    model.set_wcs(TAN)
    path = model.save(tmp_path / "a.fits")
    again = models.open(path).save(tmp_path / "b.fits")
    x, y = np.array([0.0, 7.0, 15.0]), np.array([0.0, 3.0, 11.0])
    for name in (path, again):
        with models.open(name) as found:
            ra, dec = found.meta.wcs(x, y)
            assert found.wcs_header() == {key: value for key, value, _ in TAN.header_cards()}
        sky = WCS(fits.getheader(name, "SCI")).pixel_to_world(x, y)
        np.testing.assert_allclose(sky.ra.deg, ra, rtol=0, atol=1e-10)
        np.testing.assert_allclose(sky.dec.deg, dec, rtol=0, atol=1e-10)


def test_a_new_wcs_replaces_the_cards_of_the_old(make):
    model = make.frame_model()
    model.set_extra_cards("SCI", [("MYKEY", 1, ""), ("A_ORDER", 3, ""), ("CROTA2", 1.0, "")])
    model.set_wcs(TAN)
    other = TanWcs((1.0, 1.0), (10.0, 20.0), TAN.cd)
    model.set_wcs(other.gwcs(model.shape), other.header_cards())
    keys = [card[0] for card in model.extra_cards("SCI")]
    assert keys == ["MYKEY", *(card[0] for card in other.header_cards())]
    assert model.meta.wcs(0, 0) == pytest.approx((10.0, 20.0), abs=1e-10)
    with pytest.raises(ValueError, match="expected its FITS cards too"):
        model.set_wcs(other.gwcs(model.shape))


# --- arrays ---------------------------------------------------------------------------------------


def test_arrays_of_any_byte_order_are_native_inside(tmp_path, make):
    model = make.frame_model()
    for name in PLANES:
        array = getattr(model, name)
        setattr(model, name, array.astype(array.dtype.newbyteorder(">")))
    found = models.open(model.save(tmp_path / "a.fits"))
    for name in PLANES:
        assert getattr(found, name).dtype.isnative
        np.testing.assert_array_equal(getattr(found, name), getattr(model, name))
    assert found.events["x"].dtype.isnative
    found.to_frame()


def test_to_frame_names_what_is_missing(tmp_path, make):
    model = make.frame_model()
    model.var_rnoise = None
    found = models.open(model.save(tmp_path / "a.fits"))
    with pytest.raises(ProductError, match=r"^a.fits: VAR_RNOISE: got nothing, expected a plane"):
        found.to_frame()


def test_planes_of_two_shapes_are_not_saved(tmp_path, make):
    model = make.frame_model()
    model.chi2 = np.ones((3, 3), np.float32)
    message = r"^a.fits: CHI2: got shape \(3, 3\), expected \(12, 16\) as the other planes"
    with pytest.raises(ProductError, match=message):
        model.save(tmp_path / "a.fits")
    assert list(tmp_path.iterdir()) == []


def test_a_copy_shares_nothing(make):
    model = make.frame_model()
    other = model.copy()
    other.data[:] = 0
    other.meta.instrument.filter = "J"
    assert model.data.any()
    assert model.meta.instrument.filter == "Kbb"
    assert other.receipt_rows() == model.receipt_rows()


def test_a_model_opens_as_itself(make):
    model = make.frame_model()
    with models.open(model) as other:
        assert other.data is model.data
        assert other.meta.instrument.filter == "Kbb"
    assert model.data is not None


def test_mosaics_come_back(tmp_path, make):
    rng = np.random.default_rng(3)
    planes = rng.uniform(0, 1, (5, 9, 11)).astype(np.float32)
    planes[0, 0, 0] = np.nan
    mosaic = Mosaic(
        *planes[:4],
        dq=rng.integers(0, 1 << 32, (9, 11), dtype=np.uint32),
        weight=planes[4],
        coverage=rng.integers(-(1 << 31), 1 << 31, (2, 9, 11)).astype(np.int32),
        noise_kernel=np.array([[0.1, 0.2, 0.1], [0.2, 1.0, 0.2], [0.1, 0.2, 0.1]]),
    )
    model = models.ImagerMosaicModel.from_header(make.header(DETECTOR="MULTIPLE", DET_ID=None))
    model.set_mosaic(mosaic)
    model.set_wcs(TAN)
    model.meta.photometry.pixel_area_ratio = 1.0
    path = model.save(tmp_path / "m.fits")
    found = models.open(path)
    assert type(found) is models.ImagerMosaicModel
    for name, expected in vars(mosaic).items():
        np.testing.assert_array_equal(getattr(found.to_mosaic(), name), expected, err_msg=name)
        assert getattr(found.to_mosaic(), name).dtype == expected.dtype
    np.testing.assert_array_equal(found.err, mosaic.error)
    with fits.open(path) as hdus:
        assert [hdu.name for hdu in hdus[:10]] == [
            "PRIMARY",
            "SCI",
            "ERR",
            "DQ",
            "VAR_POISSON",
            "VAR_RNOISE",
            "VAR_FLAT",
            "WHT",
            "CTX",
            "NOISEKERN",
        ]
        assert hdus["SCI"].header["PIXAR_R"] == hdus[0].header["PIXAR_R"] == 1.0


def test_raw_reads_as_models(tmp_path, make):
    path = make.ramp(tmp_path)[1]
    model = models.open(path)
    assert type(model) is models.RampReadModel
    np.testing.assert_array_equal(model.data, make.counts()[1])
    assert model.meta.observation.read_number == 2
    again = model.save(tmp_path / "again.fits")
    with fits.open(again, uint=True) as hdus:
        assert len(hdus) == 1
        np.testing.assert_array_equal(hdus[0].data, make.counts()[1])
        assert hdus[0].header["BITPIX"] == 16
        assert hdus[0].header["BZERO"] == 32768
        assert hdus[0].header["AOSTREHL"] == 0.52
    assert (
        models.reads.scan_reads([again]).reads[0].key
        == models.reads.scan_reads([path]).reads[0].key
    )


def test_cubes_as_models(tmp_path, make):
    model = models.open(make.cube(tmp_path / "c.fits", make.counts(), table=True))
    np.testing.assert_array_equal(model.data, make.counts())
    assert list(model.times["READ_NO"]) == [1, 2, 3, 4]
    again = model.save(tmp_path / "again.fits")
    reads = models.reads.scan_reads([again]).reads
    np.testing.assert_array_equal([read.load() for read in reads], make.counts())


# --- saving ---------------------------------------------------------------------------------------


def test_an_existing_file_is_replaced_only_on_request(tmp_path, make):
    path = tmp_path / "a.fits"
    path.write_bytes(b"mine")
    message = "^a.fits: file: got one that exists, expected a new name; use --overwrite"
    with pytest.raises(ProductError, match=message):
        make.frame_model().save(path)
    assert path.read_bytes() == b"mine"
    make.frame_model().save(path, overwrite=True)
    assert models.read_metadata(path)["FILENAME"] == "a.fits"


def test_a_file_that_appears_meanwhile_is_not_replaced(tmp_path, make, monkeypatch):
    path = tmp_path / "a.fits"
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (path.write_bytes(b"theirs"), sync(handle)))
    with pytest.raises(ProductError, match="got one that exists"):
        make.frame_model().save(path)
    assert path.read_bytes() == b"theirs"
    assert [item.name for item in tmp_path.iterdir()] == ["a.fits"]


def test_without_hard_links_the_name_is_given_by_rename(tmp_path, make, monkeypatch):
    def refuse(*_):
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr(Path, "hardlink_to", refuse)
    make.frame_model().save(tmp_path / "a.fits")
    assert [item.name for item in tmp_path.iterdir()] == ["a.fits"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_a_failure_leaves_nothing_behind(tmp_path, make, monkeypatch, overwrite):
    path = tmp_path / "a.fits"
    if overwrite:
        path.write_bytes(b"old")

    def full(handle):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    message = "^a.fits: disk: got 'No space left on device', expected room and permission to write"
    with pytest.raises(DiskError, match=message):
        make.frame_model().save(path, overwrite=overwrite)
    assert [item.name for item in tmp_path.iterdir()] == (["a.fits"] if overwrite else [])
    assert not overwrite or path.read_bytes() == b"old"


def test_no_temporary_name_gets_into_a_file(tmp_path, make):
    path = Path(make.frame_model().save(tmp_path / "a.fits"))
    assert [item.name for item in tmp_path.iterdir()] == ["a.fits"]
    assert str(tmp_path).encode() not in path.read_bytes()
    assert b".part" not in path.read_bytes()
    assert stat.S_IMODE(path.stat().st_mode) & 0o400


def test_packed_files_hold_no_name_and_no_time(tmp_path, make):
    path = Path(make.frame_model().save(tmp_path / "a.fits.gz"))
    assert path.read_bytes()[3] & 0x08 == 0


def test_where_and_how_a_path_is_given(tmp_path, make):
    model = make.frame_model()
    (tmp_path / "sub").mkdir()
    assert model.save("x.fits", dir_path=tmp_path / "sub") == str(tmp_path / "sub" / "x.fits")
    assert model.save(lambda name: str(tmp_path / f"new_{name}")) == str(tmp_path / "new_x.fits")
    model.to_fits(tmp_path / "y.fits")
    with pytest.raises(ProductError, match=r"^a.asdf: file name: got .asdf, expected .fits"):
        model.save(tmp_path / "a.asdf")
    with pytest.raises(DiskError, match=r"^a.fits: disk: got 'No such file or directory'"):
        model.save(tmp_path / "nowhere" / "a.fits")


def test_what_does_not_fit_the_schema_is_not_saved(tmp_path, make):
    model = make.frame_model()
    model._instance["meta"]["instrument"]["filter"] = "Q"
    with pytest.raises(ProductError, match=r"^a.fits: metadata: got 'Q' is not one of"):
        model.save(tmp_path / "a.fits")
    assert list(tmp_path.iterdir()) == []


def test_the_asdf_extension_is_readable_without_us(tmp_path, make):
    model = make.frame_model()
    model.set_wcs(TAN)
    path = model.save(tmp_path / "a.fits")
    with fits.open(path) as hdus:
        content = hdus["ASDF"].data["ASDF_METADATA"][0].tobytes()
    (tmp_path / "a.asdf").write_bytes(content)
    with asdf.open(tmp_path / "a.asdf") as tree:
        assert tree["meta"]["instrument"]["detector"] == "IMG1"
        assert tree["meta"]["wcs"].bounding_box is not None
