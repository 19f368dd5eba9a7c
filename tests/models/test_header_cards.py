"""The quick header parser, against astropy as the slow and independent one."""

import gzip
import time

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline import models
from liger_iris_pipeline.errors import ProductError
from liger_iris_pipeline.models.cards import oddities, parse_cards, set_integer

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=150)
VALUES = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63),
    st.floats(allow_nan=False, allow_infinity=False),
    WORDS.map(str.rstrip),
    st.none(),
)
KEYS = st.text("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-", min_size=1, max_size=8).filter(
    lambda key: key not in ("END", "CONTINUE", "COMMENT", "HISTORY", "HIERARCH")
)


def as_bytes(header):
    return header.tostring(endcard=False, padding=False).encode("ascii")


@given(st.dictionaries(KEYS, VALUES, max_size=8), st.text("abc /", max_size=20))
@settings(max_examples=150, deadline=None)
def test_values_are_those_astropy_reads(values, comment):
    header = fits.Header()
    for key, value in values.items():
        header[key] = value if isinstance(value, str) and len(value) > 50 else (value, comment)
    text = as_bytes(header)
    expected = {
        key: None if isinstance(value, fits.card.Undefined) else value
        for key, value in fits.Header.fromstring(text.decode()).items()
    }
    assert parse_cards(text) == expected


@pytest.mark.parametrize(
    ("card", "expected"),
    [
        (b"A       = 1.5D-3", {"A": 0.0015}),
        (b"A       = .5", {"A": 0.5}),
        (b"A       =                    T / yes", {"A": True}),
        (b"A       = 'it''s / not a comment' / x", {"A": "it's / not a comment"}),
        (b"A       = 'no end", {"A": "no end"}),
        (b"A       = ''", {"A": ""}),
        (b"A       =", {"A": None}),
        (b"A       =  / only a comment", {"A": None}),
        (b"A       = (1.0, 2.0)", {"A": "(1.0, 2.0)"}),
        (b"A       = 1_000", {"A": "1_000"}),
        (b"A       = nan", {"A": "nan"}),
        (b"lower   = 3", {"LOWER": 3}),
        (b"HIERARCH ESO DET NAME = 'x'", {"ESO DET NAME": "x"}),
        (b"HIERARCH no value", {}),
        (b"COMMENT = 3", {}),
        (b"HISTORY of this file", {}),
        (b"A       = 'caf\xe9'", {"A": "café"}),
    ],
)
def test_odd_cards(card, expected):
    assert parse_cards(card.ljust(80)) == expected


def test_the_first_of_two_cards_of_one_name_counts():
    assert parse_cards(b"A       = 1".ljust(80) + b"A       = 2".ljust(80)) == {"A": 1}


def test_nothing_after_end_is_read():
    assert parse_cards(b"END".ljust(80) + b"A       = 2".ljust(80)) == {}


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_any_bytes_are_parsed_without_an_error(data):
    assert isinstance(parse_cards(data), dict)
    assert isinstance(oddities(data), list)


def test_oddities_are_named():
    cards = b"HIERARCH A B = 1".ljust(80) + b"low     = 1".ljust(80) + b"A       = '\xff'".ljust(80)
    found = ["HIERARCH cards", "lower-case keywords", "bytes that are not text"]
    assert oddities(cards) == found
    assert oddities(b"A       = 'lower-case value' / and comment".ljust(80)) == []


def test_an_integer_is_set_in_place_or_added():
    cards = b"READ_NO =  7 / x".ljust(80) + b"B       = 1".ljust(80)
    assert parse_cards(set_integer(cards, "READ_NO", 12)) == {"READ_NO": 12, "B": 1}
    assert parse_cards(set_integer(cards, "C", -3)) == {"READ_NO": 7, "B": 1, "C": -3}
    assert len(set_integer(cards, "C", -3)) == 240


def test_metadata_of_plain_and_packed_files(tmp_path, make):
    path = make.read(tmp_path / "a.fits", make.counts()[0], make.header())
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(path.read_bytes()))
    found = models.read_metadata(path)
    assert {key: found[key] for key in make.header()} == make.header()
    assert models.read_metadata(packed) == found
    assert models.read_metadata(str(path)) == found


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"^a\.fits: PRIMARY: got an empty file, expected FITS; copy it again$"),
        (b"hello" * 1000, r"^a\.fits: PRIMARY: got a file that does not begin with SIMPLE"),
        (b"SIMPLE  =                    T".ljust(100), r"truncated, expected an END card"),
        (b"SIMPLE  =                    T".ljust(2880), r"truncated, expected an END card"),
        (b"\x1f\x8b" + bytes(50), r"^a\.fits: file: got .*gzip|compression"),
        (None, r"^a\.fits: file: got 'No such file or directory', expected a readable FITS file"),
    ],
)
def test_metadata_of_a_file_that_is_none(tmp_path, content, message):
    path = tmp_path / "a.fits"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ProductError, match=message):
        models.read_metadata(path)
    with pytest.raises(ProductError, match=message):
        models.open(path)


def test_metadata_take_a_fraction_of_opening(tmp_path, make):
    """Selecting references for a night must not read its pixels."""
    model = models.ImagerFrameModel.from_header(make.header())
    shape = (2048, 2048)
    model.set_frame(make.frame(shape))
    path = model.save(tmp_path / "big.fits")
    models.read_metadata(path)
    begin = time.perf_counter()
    for _ in range(20):
        assert models.read_metadata(path)["DETECTOR"] == "IMG1"
    metadata = (time.perf_counter() - begin) / 20
    begin = time.perf_counter()
    with models.open(path) as opened:
        assert opened.data.shape == shape
        assert np.isnan(opened.data[1, 1])
    assert time.perf_counter() - begin > 20 * metadata
