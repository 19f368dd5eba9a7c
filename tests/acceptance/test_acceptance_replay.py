"""Rows of the group `replay`: products that are perfect pass, spoiled ones fall short."""

import pytest

from liger_iris_pipeline.acceptance import replay as module
from liger_iris_pipeline.acceptance.table import Figure, Measured
from liger_iris_pipeline.errors import ReplayError
from liger_iris_pipeline.models.comparison import Change
from liger_iris_pipeline.pipelines import replay as work

CELL = module.ReplayCell(1, ("IMG1",), 128)


def judged(identical, unnamed, error=""):
    figures = {"identical": Figure(identical), "unnamed": Figure(unnamed)}
    return module._judge([Measured(CELL, figures, 9, error=error)])


def test_all_products_and_all_changes_are_asked_for():
    assert [row.passed for row in judged(1.0, 0)] == [True, True]
    assert [row.passed for row in judged(8 / 9, 0, "x: pixels SCI")] == [False, True]
    assert [row.passed for row in judged(1.0, 1, "not named: reference")] == [True, False]
    assert "9 products of 1 detectors of 128² pixels" in judged(1.0, 0)[0].detail
    assert judged(1.0, 1, "not named: reference")[1].detail == "not named: reference"


def test_a_night_that_could_not_be_made_falls_short():
    rows = module._judge([Measured(CELL, error="no night")])
    assert [row.passed for row in rows] == [False, False]
    assert rows[0].detail == "no night"


def test_the_short_form_has_one_detector():
    (quick,), (full,) = (module.groups(quick=form, seed=1) for form in (True, False))
    assert (quick.cells[0].size, len(quick.cells[0].detectors)) == (128, 1)
    assert len(full.cells[0].detectors) == 4


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        ((), ""),
        ((Change("plane", "SCI", "", "1 of 4 differ"),), "pixels SCI: 1 of 4 differ"),
        (ReplayError("a.fits: input: got nothing"), "a.fits: input: got nothing"),
    ],
    ids=["as it was", "other pixels", "refused"],
)
def test_what_is_not_as_it_was_is_said(monkeypatch, tmp_path, outcome, expected):
    def replay(product, *, find_in=()):
        if isinstance(outcome, Exception):
            raise outcome
        return work.Replayed(product, None, outcome, not outcome, ("SCI",))

    monkeypatch.setattr(work, "replay", replay)
    assert module._difference(tmp_path / "a.fits", tmp_path) == expected
    assert module._is_named(tmp_path / "p.fits", "a.fits") is isinstance(outcome, Exception)
