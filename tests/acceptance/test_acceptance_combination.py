"""The rows of the combination hold for the library as it is, and fall short for spoiled ones."""

import dataclasses

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.acceptance import combination
from liger_iris_pipeline.acceptance.table import Figure, Measured, stream

CELL = combination.ClipCell(9, 64, 2.0, 3)


def judged():
    group = combination.groups(quick=True)[0]
    return {r.name: r for r in group.judge([combination.measure_clip(CELL, stream(1, "c"))])}


def test_the_library_holds_every_row():
    rows = judged()
    assert set(rows) == {"largest difference from astropy.sigma_clip", "clip decisions that differ"}
    assert all(row.passed for row in rows.values()), rows


@pytest.mark.parametrize(
    ("spoil", "name"),
    [
        (lambda r: {"value": r.value + np.float32(0.001)}, "largest difference"),
        (lambda r: {"value": r.value * np.float32(np.nan)}, "largest difference"),
        (lambda r: {"used": ~r.used}, "clip decisions"),
    ],
)
def test_a_spoiled_library_falls_short(monkeypatch, spoil, name):
    good = iris_readout.stack

    def spoiled(*args, **options):
        result = good(*args, **options)
        return dataclasses.replace(result, **spoil(result))

    monkeypatch.setattr(combination.iris_readout, "stack", spoiled)
    short = [row.name for row in judged().values() if not row.passed]
    assert [one for one in short if one.startswith(name)]


def test_memory_rows():
    cells = [combination.MemoryCell(n, 256, 64) for n in (10, 40)]
    group = combination.groups(quick=False)[1]

    def rows(peaks, settings):
        measured = [
            Measured(cell, {"peak": Figure(peak), "setting": Figure(setting)})
            for cell, peak, setting in zip(cells, peaks, settings, strict=True)
        ]
        return [row.passed for row in group.judge(measured)]

    assert rows((200, 208), (0.8, 0.9)) == [True, True]
    assert rows((200, 240), (0.8, 1.3)) == [False, False]
    assert not group.judge([Measured(cell, error="no disk") for cell in cells])[0].passed


def test_a_combination_on_disk_says_its_memory():
    measured = combination.measure_memory(combination.MemoryCell(6, 256, 1), stream(1, "m"))
    assert measured.error == ""
    # the planes of the result alone take 14 bytes a pixel
    assert measured.figures["peak"].value > 14 * 256**2 / combination.MEGA
    assert np.isfinite(measured.figures["setting"].value)
