"""Comparison of products: every kind of difference, against loops over pixels."""

import math

import numpy as np
import pytest
from astropy.io import fits
from hypothesis import given, settings
from hypothesis import strategies as st

from liger_iris_pipeline.errors import ProductError
from liger_iris_pipeline.models.comparison import Change, _plane, compare
from liger_iris_pipeline.models.provenance import canonical, parameter_hash

SHAPE = (5, 7)


def table(extname, /, **columns):
    hdu = fits.BinTableHDU(np.rec.fromarrays(list(columns.values()), names=list(columns)))
    hdu.name = extname
    return hdu


def product(path, *, scale=1.0, mode="auto", sha="a" * 64, version="1", **header):
    rng = np.random.default_rng(5)
    primary = fits.PrimaryHDU()
    primary.header.update({"OBJECT": "M 92", "DATE": path.name, **header})
    science = (rng.normal(10, 1, SHAPE) * scale).astype(np.float32)
    planes = [("SCI", science), ("ERR", np.full(SHAPE, 0.5, np.float32))]
    hdus = [primary, *(fits.ImageHDU(plane, name=name) for name, plane in planes)]
    text = {"version": [version] * 2, "start": [path.name] * 2, "end": [""] * 2}
    status = {"status": ["COMPLETE", "SKIPPED"], "reason": ["", "no photom reference"]}
    parameters = [canonical({"mode": mode, "clip": 3.0}), "{}"]
    steps = ["sky", "photom"]
    hdus.append(table("RECEIPT", step=steps, parameters=parameters, **text, **status))
    hdus.append(table("INPUTS", file=["a.fits"], sha256=[sha], role=["science"]))
    row = {"role": ["dark"], "type": ["dark"], "file": ["d.fits"], "sha256": [sha]}
    hdus.append(table("CALIBRATIONS", **row, version=["1"], context=["iris_0001"]))
    hdus.append(table("SOFTWARE", name=["numpy"], version=[version]))
    hdus.append(table("EVENTS", y=[1, 2], amplitude=[np.nan, 2.0 * scale]))
    fits.HDUList(hdus).writeto(path)
    return path


def test_a_product_is_the_same_as_itself_made_at_another_time(tmp_path):
    found = compare(product(tmp_path / "a.fits"), product(tmp_path / "b.fits"))
    assert found.same
    assert found.changes == ()
    assert [str(plane) for plane in found.planes] == ["35 equal", "35 equal"]


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"OBJECT": "M 3"}, [Change("header", "OBJECT", "'M 92'", "'M 3'")]),
        ({"EXTRA": 3}, [Change("header", "EXTRA", "'nothing'", "3")]),
        ({"CAL_CTX": "iris_0002"}, [Change("context", "CAL_CTX", "'nothing'", "'iris_0002'")]),
        ({"mode": "constant"}, [Change("parameter", "sky.mode", "'auto'", "'constant'")]),
        (
            {"version": "2"},
            [Change("software", "numpy", "1", "2"), Change("version", "of the steps", "1", "2")],
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, dict) else "",
)
def test_every_difference_is_named(tmp_path, change, expected):
    found = compare(product(tmp_path / "a.fits"), product(tmp_path / "b.fits", **change))
    assert list(found.changes) == expected


def test_other_files_are_named(tmp_path):
    found = compare(product(tmp_path / "a.fits"), product(tmp_path / "b.fits", sha="b" * 64))
    (own,), (reference,) = found.inputs, found.references
    assert own[:2] == ("input", "a.fits")
    assert own.recorded == f"SHA-256 {'a' * 12}… as science"
    assert reference == Change(
        "reference", "dark", f"d.fits SHA-256 {'a' * 12}…", f"d.fits SHA-256 {'b' * 12}…"
    )


def test_other_steps_and_status_are_named(tmp_path):
    a, b = product(tmp_path / "a.fits"), product(tmp_path / "b.fits")
    with fits.open(b, memmap=False) as hdus:
        hdus["RECEIPT"].data["step"][0] = "sk"
        hdus["RECEIPT"].data["status"][1] = "FAILED"
        hdus.writeto(b, overwrite=True)
    assert compare(a, b).parameters == (
        Change("status", "sky", "run", "not run"),
        Change("status", "photom", "SKIPPED (no photom reference)", "FAILED (no photom reference)"),
        Change("status", "sk", "not run", "run"),
    )


def test_pixels_are_measured(tmp_path):
    a, b = product(tmp_path / "a.fits"), product(tmp_path / "b.fits", scale=1.5)
    with fits.open(a) as one, fits.open(b) as two:
        first, second = one["SCI"].data.tolist(), two["SCI"].data.tolist()
    deltas = {
        (y, x): abs(second[y][x] - first[y][x]) for y in range(SHAPE[0]) for x in range(SHAPE[1])
    }
    place = max(deltas, key=deltas.get)
    found = compare(a, b)
    plane = found.planes[0]
    assert (plane.name, plane.ndiff, plane.nnan, plane.where) == ("SCI", 35, 0, place)
    assert plane.max_abs == pytest.approx(deltas[place], rel=1e-12)
    assert plane.max_sigma == pytest.approx(deltas[place] / 0.5, rel=1e-12)
    squares = sum(value**2 for value in deltas.values())
    assert plane.rms == pytest.approx(math.sqrt(squares / 35), rel=1e-12)
    assert found.tables == (Change("table", "EVENTS", "2 rows", "1 differ in amplitude"),)
    assert compare(a, b, planes=["err"]).planes[0].ndiff == 0
    assert found.to_json()["planes"][1]["max_abs"] is None


def test_a_plane_that_is_missing_or_has_another_shape_differs():
    one, two = {"A": np.zeros((2, 3)), "B": np.zeros(2)}, {"A": np.zeros((3, 2))}
    assert _plane("A", one, two).remark == "shape (2, 3) and (3, 2)"
    assert _plane("B", one, two).remark == "the plane is not in the second"
    assert _plane("B", two, one).remark == "the plane is not in the first"


@given(st.lists(st.sampled_from([0.0, 1.0, -1.0, math.nan, math.inf]), min_size=24, max_size=24))
@settings(max_examples=60)
def test_counts_are_those_of_a_loop(values):
    a = np.array(values[:12], np.float32).reshape(3, 4)
    b = np.array(values[12:], np.float32).reshape(3, 4)
    pairs = list(zip(a.ravel().tolist(), b.ravel().tolist(), strict=True))
    unequal = [(x, y) for x, y in pairs if x != y and not (math.isnan(x) and math.isnan(y))]
    with np.errstate(invalid="ignore"):
        found = _plane("SCI", {"SCI": a}, {"SCI": b})
        back = _plane("SCI", {"SCI": b}, {"SCI": a})
    assert found.ndiff == back.ndiff == len(unequal)
    assert found.nnan == sum(math.isnan(x) or math.isnan(y) for x, y in unequal)
    finite = [abs(x - y) for x, y in unequal if math.isfinite(x - y)]
    assert found.max_abs == max(finite) if finite else math.isnan(found.max_abs)


def test_what_cannot_be_compared_is_refused(tmp_path):
    a = product(tmp_path / "a.fits")
    text = tmp_path / "b.fits"
    text.write_text("none")
    with pytest.raises(ProductError, match=r"b\.fits: file: got .*, expected a FITS product"):
        compare(a, text)
    with pytest.raises(ProductError, match=r"a\.fits: planes: got COLOUR, expected some of SCI"):
        compare(a, a, planes=["colour"])


def test_catalogues_are_compared_by_their_rows(tmp_path):
    a, b = tmp_path / "a_cat.ecsv", tmp_path / "b_cat.ecsv"
    a.write_text("# made yesterday\nid x\n1 2\n2 3\n")
    b.write_text("# made today\nid x\n1 2\n2 3\n")
    assert compare(a, b).same
    b.write_text("id x\n1 2\n2 4\n")
    assert compare(a, b).tables == (Change("table", "catalogue", "2 rows", "2 rows, 1 differ"),)


@given(st.permutations(["a", "b", "c"]))
def test_the_hash_depends_on_what_decides_over_pixels(names):
    def row(**parameters):
        return {"step": "s", "status": "COMPLETE", "parameters": canonical(parameters)}

    ordered = {name: ord(name) for name in names}
    plain = parameter_hash([row(a=97, b=98, c=99)])
    assert parameter_hash([row(**ordered, threads=7, isa="avx2")]) == plain
    assert len(plain) == 16
    assert parameter_hash([row(**{**ordered, "a": 1})]) != plain
    assert parameter_hash([{**row(**ordered), "status": "SKIPPED"}]) != plain
    assert parameter_hash([{**row(**ordered), "step": "t"}]) != plain
