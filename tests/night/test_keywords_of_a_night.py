"""No keyword is lost between the reads and the mosaic, and every one is in a schema."""

import json

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline import models
from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.models.merging import column_name, span_names

STRUCTURE = {
    "SIMPLE",
    "BITPIX",
    "NAXIS",
    "NAXIS1",
    "NAXIS2",
    "EXTEND",
    "BZERO",
    "BSCALE",
    "CHECKSUM",
    "DATASUM",
}


def raw_headers(night):
    return [fits.getheader(p) for p in sorted(night.glob("*_IMG1_SCI_LVL0_0001-01-*.fits"))]


def found_in(path):
    """Keywords of a product: PRIMARY, TELEMETRY, MEMBERS."""
    with fits.open(path) as hdus:
        columns = [
            name
            for hdu in ("TELEMETRY", "MEMBERS")
            if hdu in hdus
            for name in hdus[hdu].columns.names
        ]
        return set(hdus[0].header), set(columns)


@pytest.mark.parametrize("level", [1, 2, 3])
def test_no_keyword_is_lost(night, products, level):
    headers = raw_headers(night)
    (path,) = products.glob(f"*_LVL{level}_0001.fits")
    keywords, columns = found_in(path)
    for key in {key for header in headers for key in header} - STRUCTURE:
        assert key in keywords or column_name(key) in columns, key


def test_no_value_is_lost(night, products):
    """What varies between the reads of an exposure is in TELEMETRY, value by value."""
    headers = raw_headers(night)
    (path,) = products.glob("*_LVL2_0001.fits")
    with fits.open(path) as hdus:
        table, primary = hdus["TELEMETRY"].data, hdus[0].header
        assert table["read"].tolist() == [header["READ_NO"] for header in headers]
        for key in set(headers[0]) - STRUCTURE - {"RAMP_NO", "READ_NO", "BUNIT", "FILENAME"}:
            values = [header[key] for header in headers]
            if len(set(values)) == 1:
                assert primary[key] == values[0], key
                continue
            assert table[column_name(key)].tolist() == values
            start, end = span_names(key)
            assert [primary[name] for name in (start, key, end)] == [
                values[0],
                values[len(values) // 2],
                values[-1],
            ]


def test_members_have_what_varies_between_the_frames(products):
    second = sorted(products.glob("*_LVL2_*.fits"))
    (path,) = products.glob("*_LVL3_*.fits")
    headers = [fits.getheader(p) for p in second]
    with fits.open(path) as hdus:
        table = hdus["MEMBERS"].data
        assert table["file"].tolist() == [p.name for p in second]
        for key in ("DETECTOR", "DTOTOFF1", "DITHNO", "AIRMASS", "AOSTREHL", "REFPIX"):
            np.testing.assert_array_equal(
                table[column_name(key)], [header[key] for header in headers]
            )
        primary = hdus[0].header
    assert primary["AIRMAS_S"] == headers[0]["AIRMASS"]
    assert primary["AIRMASS"] == headers[1]["AIRMASS"]
    assert primary["AIRMAS_E"] == headers[2]["AIRMASS"]
    assert primary["AOSTRL_S"] == headers[0]["AOSTRL_S"]
    assert primary["AOSTRL_E"] == headers[2]["AOSTRL_E"]
    assert primary["MJD-BEG"] == headers[0]["MJD-BEG"]
    assert primary["EXPTIME"] == pytest.approx(sum(header["EXPTIME"] for header in headers))


def test_every_card_is_in_a_schema(night, products):
    """A keyword of the simulator or of a product that no schema has would have no unit and no meaning."""
    known = {keyword.name for keyword in models.dictionary()} | STRUCTURE
    known |= {name for key in list(known) for name in span_names(key)} | {"BUNIT", "ORIGIN"}
    files = [next(night.glob("*_SCI_LVL0_*.fits")), *products.glob("*.fits")]
    for path in files:
        assert set(fits.getheader(path)) - known == set(), path.name


def test_info_as_json(products, capsys):
    (path,) = products.glob("*_LVL2_0001.fits")
    assert main(["info", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["file"] == path.name
    (airmass,) = [item for item in said["keywords"]["pointing"] if item["keyword"] == "AIRMASS"]
    assert airmass["value"] == fits.getval(path, "AIRMASS")
    assert airmass["meaning"] == "airmass"
    (strehl,) = [i for i in said["keywords"]["adaptive optics"] if i["keyword"] == "AOSTREHL"]
    values = fits.getdata(path, "TELEMETRY")["aostrehl"]
    assert (strehl["start"], strehl["end"]) == (values[0], values[-1])
    assert said["telemetry"]["aostrehl"]["mean"] == pytest.approx(values.mean())
    assert said["telemetry"]["odgwims1"]["unit"] == "arcsec"
    dark = next(row for row in said["references"] if row["role"] == "dark")
    assert 0 < dark["age_days"] < 1
    assert dark["context"]
    assert all(row["status"] in ("COMPLETE", "SKIPPED") for row in said["steps"])
    assert "in no schema" not in said["keywords"]


def test_info_for_a_reader(products, night, refs, capsys):
    (path,) = products.glob("*_LVL2_0001.fits")
    assert main(["info", str(path)]) == 0
    text = capsys.readouterr().out
    for part in ("AIRMASS", "Strehl ratio", "d old", "iris_dark_subtract", "COMPLETE", "arcsec"):
        assert part in text
    for other in (next(night.glob("*.fits")), next(refs.glob("*_DARK_*.fits"))):
        assert main(["info", str(other)]) == 0
        assert capsys.readouterr().out.startswith(other.name)
