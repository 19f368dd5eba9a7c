"""The rows of the reference store, in a small form."""

import numpy as np

from liger_iris_pipeline.acceptance import store


def test_a_small_store_gives_rows_that_hold():
    (group,) = store.groups(quick=True, seed=1)
    cell = store.StoreCell(60, 12)
    measured = group.measure(cell, np.random.default_rng(5))
    rows = {row.name: row for row in group.judge([measured])}
    counted = [row for name, row in rows.items() if "choices" in name or "unfit" in name]
    assert [row.passed for row in counted] == [True, True]
    assert any("selection among 60 references" in name for name in rows)


def test_a_cell_that_broke_makes_rows_that_fall_short():
    (group,) = store.groups(quick=True, seed=1)
    broken = store.Measured(group.cells[0], error="no room")
    assert not any(row.passed for row in group.judge([broken]))
