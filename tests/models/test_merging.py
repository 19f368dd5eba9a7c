"""Headers of reads and frames merged: the truth is what was put in, and all of it must be found again."""

from types import SimpleNamespace

import numpy as np
import pytest
from astropy.io import fits
from astropy.time import Time
from hypothesis import given
from hypothesis import strategies as st

from iris_readout import merge_headers
from liger_iris_pipeline import models
from liger_iris_pipeline.models.cards import parse_cards
from liger_iris_pipeline.models.merging import (
    column_name,
    merge_frames,
    span_names,
    telemetry_table,
    time_cards,
)

RESET = 1_791_972_000_000_000


def read(number, cards, ramp=1, clock=None):
    """A read with a header of some cards."""
    header = fits.Header([("RAMP_NO", ramp), ("READ_NO", number), *cards])
    text = header.tostring(endcard=False, padding=False).encode("ascii")
    return SimpleNamespace(
        ramp_no=ramp,
        read_no=number,
        time=3.0 * number,
        clock=clock,
        header=parse_cards(text),
        cards=text,
    )


def test_what_varies_is_a_column_and_what_does_not_is_none():
    reads = [
        read(n, [("FILTER", "Jbb"), ("AOSTREHL", 0.5 + n / 8), ("COUNTER", 7 * n)]) for n in (1, 2)
    ]
    table = telemetry_table(reads)
    assert table.dtype.names == ("ramp", "read", "seconds", "aostrehl", "counter")
    assert table["ramp"].tolist() == [1, 1]
    assert table["read"].tolist() == [1, 2]
    assert table["seconds"].tolist() == [3.0, 6.0]
    assert table["aostrehl"].tolist() == [0.625, 0.75]
    assert table["counter"].tolist() == [7, 14]
    assert table["counter"].dtype == np.int64


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((1, 2.5), [1.0, 2.5]),
        ((1, None), [1.0, np.nan]),
        ((True, False), [b"T", b"F"]),
        (("'IDLE'", "BUSY"), [b"'IDLE'", b"BUSY"]),
        (("0.1,0.2", "0.1,0.3"), [b"0.1,0.2", b"0.1,0.3"]),
        (("UNKNOWN", 3), [b"UNKNOWN", b"3"]),
        (("x" * 100, "y"), [b"x" * 100, b"y"]),
        ((1 << 62, (1 << 62) + 1), [1 << 62, (1 << 62) + 1]),
    ],
    ids=["mixed", "missing", "logical", "quoted", "arrays", "text-or-number", "long", "large"],
)
def test_columns_take_every_kind_of_value(values, expected):
    reads = [
        read(n, [] if value is None else [("TELEM", value)]) for n, value in enumerate(values, 1)
    ]
    column = telemetry_table(reads)["telem"]
    np.testing.assert_array_equal(column, expected)


def test_names_of_columns_are_unique():
    reads = [read(n, [("SECONDS", n), ("A-B", 2 * n), ("A_B", 3 * n)]) for n in (1, 2)]
    table = telemetry_table(reads)
    assert table.dtype.names == ("ramp", "read", "seconds", "seconds_", "a_b", "a_b_")
    assert table["a_b_"].tolist() == [3, 6]


def test_long_names_are_columns_too():
    reads = [read(n, [("HIERARCH ESO AO Strehl", n / 4)]) for n in (1, 2)]
    assert telemetry_table(reads)["eso_ao_strehl"].tolist() == [0.25, 0.5]


VALUES = st.one_of(
    st.integers(-(10**9), 10**9),
    st.floats(-1e6, 1e6, allow_nan=False).map(lambda x: round(x, 6)),
    st.text("abc XYZ'", max_size=8),
    st.booleans(),
    st.none(),
)


@given(
    st.lists(st.lists(VALUES, min_size=3, max_size=3), min_size=2, max_size=5).filter(
        lambda rows: len(rows) > 1
    )
)
def test_every_value_of_every_read_is_found_again(rows):
    """Oracle: look each value up in the merged header if it stands alone, else in its column."""
    keys = ("ALPHA", "BETA", "GAMMA")
    reads = [
        read(n, [(key, v) for key, v in zip(keys, row, strict=True) if v is not None])
        for n, row in enumerate(rows, 1)
    ]
    merged = parse_cards(merge_headers([r.cards for r in reads]))
    table = telemetry_table(reads)
    for at, own in enumerate(reads):
        for key in keys:
            value = own.header.get(key)
            if column_name(key) not in table.dtype.names:
                assert merged.get(key) == value
                continue
            found = table[column_name(key)][at]
            if value is None:
                assert found in (b"",) or np.isnan(found)
            elif isinstance(found, bytes):
                assert found.decode() == {True: "T", False: "F"}.get(value, str(value)) or float(
                    found
                ) == float(value)
            else:
                assert found == value


def test_times_are_those_of_the_reads():
    reads = [
        read(n, [("FRM_TIME", 3_000_000)], clock=(RESET, RESET + 3_000_001 * n)) for n in (1, 2, 3)
    ]
    cards = {key: value for key, value, _ in time_cards(reads)}
    end = RESET + 9_000_003 + 3_000_000
    truth = {"BEG": RESET, "AVG": (RESET + end) // 2, "END": end}
    for name, moment in truth.items():
        second, rest = divmod(moment, 10**6)
        expected = Time(second, rest / 1e6, format="unix", scale="utc")
        # 1e-9 d = 86 us; dates to 1 ms
        assert abs(Time(cards[f"MJD-{name}"], format="mjd") - expected).sec < 50e-6
        assert abs(Time(cards[f"DATE-{name}"], format="isot") - expected).sec < 0.6e-3


def test_reads_without_a_clock_have_no_times():
    assert time_cards([read(1, [])]) == []
    assert time_cards([]) == []


# --- frames ---------------------------------------------------------------------------------------


def frame(number, airmass, span=None, **others):
    cards = [("EXP_NO", number), ("AIRMASS", airmass), ("FILTER", "Jbb"), *others.items()]
    if span:
        cards += zip(span_names("AIRMASS"), span, strict=True)
    return fits.Header(cards)


def test_a_mosaic_spans_its_frames():
    headers = [frame(n, 1.0 + n / 10, (1.0 + n / 10 - 0.02, 1.0 + n / 10 + 0.02)) for n in (1, 2)]
    header, members = merge_frames(headers, ["a.fits", "b.fits"])
    start, end = span_names("AIRMASS")
    assert (start, end) == ("AIRMAS_S", "AIRMAS_E")
    assert header[start] == pytest.approx(1.08)
    assert header["AIRMASS"] == pytest.approx(1.2)
    assert header[end] == pytest.approx(1.22)
    assert header["FILTER"] == "Jbb"
    assert header["EXP_NO"] == 1
    assert members["file"].tolist() == [b"a.fits", b"b.fits"]
    assert members["exp_no"].tolist() == [1, 2]
    assert members["airmas_s"].tolist() == pytest.approx([1.08, 1.18])


def test_one_frame_stays_what_it_is():
    own = frame(3, 1.3, (1.2, 1.4), DTOTOFF1=0.5)
    header, members = merge_frames([own], ["a.fits"])
    for key in ("EXP_NO", "AIRMASS", "AIRMAS_S", "AIRMAS_E", "FILTER"):
        assert header[key] == own[key]
    assert members["dtotoff1"].tolist() == [0.5]


def test_texts_that_vary_and_what_describes_a_frame_are_in_the_table_only():
    headers = [frame(n, 1.0, DET_ID=f"IMG{n}", GUIDNAME=f"star {n}", REFPIX=4) for n in (1, 2)]
    header, members = merge_frames(headers, ["a.fits", "b.fits"])
    assert not {"DET_ID", "GUIDNAME", "REFPIX"} & set(header)
    assert members["det_id"].tolist() == [b"IMG1", b"IMG2"]
    assert members["guidname"].tolist() == [b"star 1", b"star 2"]
    assert members["refpix"].tolist() == [4, 4]


def test_times_of_a_mosaic_reach_from_the_first_frame_to_the_last():
    keys = ("MJD-OBS", "MJD-AVG", "MJD-END")
    headers = [
        frame(n, 1.0, **dict(zip(keys, (10.0 * n, 10.0 * n + 1, 10.0 * n + 2), strict=True)))
        for n in (1, 2, 3)
    ]
    header, _ = merge_frames(headers, ["a", "b", "c"])
    assert [header[key] for key in keys] == [10.0, 21.0, 32.0]


def test_inputs_are_unchanged():
    headers = [frame(n, 1.0 + n, (0.9, 1.1)) for n in (1, 2)]
    before = [header.tostring() for header in headers]
    merge_frames(headers, ["a", "b"])
    assert [header.tostring() for header in headers] == before


def test_telemetry_survives_saving_with_its_units(tmp_path):
    model = models.ImagerFrameModel()
    model.data = np.zeros((4, 5), np.float32)
    model.telemetry = telemetry_table(
        [read(n, [("ODGWIMS1", 0.01 * n), ("STATE", "AB"[n - 1])]) for n in (1, 2)]
    )
    model.save(tmp_path / "a.fits")
    with models.open(tmp_path / "a.fits") as again:
        again.save(tmp_path / "b.fits")
    for name in ("a.fits", "b.fits"):
        with fits.open(tmp_path / name) as hdus:
            table = hdus["TELEMETRY"]
            units = {column.name: column.unit for column in table.columns}
            assert units["seconds"] == "s"
            assert units["odgwims1"] == "arcsec"
            assert table.data["odgwims1"].tolist() == [0.01, 0.02]
            assert table.data["state"].tolist() == ["A", "B"]
