"""The rows of the masters made from frames hold for perfect masters, and fall short for spoiled ones."""

import math

import numpy as np
import pytest

from liger_iris_pipeline.acceptance import makers_frame
from liger_iris_pipeline.acceptance.table import Measured
from liger_iris_pipeline.dq import Flag

SIZE, SIGMA = 512, 0.1
LIMIT = 0.0015
KINDS = {"dead": Flag.DEAD, "hot": Flag.HOT, "cold": Flag.COLD, "telegraph": Flag.TELEGRAPH}


def night():
    """Truth with 1200 bad pixels of a kind, and masters with errors as they are stated."""
    rng = np.random.default_rng(3)
    shape = (SIZE, SIZE)
    y, x = np.indices(shape)
    bad = np.zeros(shape, np.uint32)
    for k, flag in enumerate(KINDS.values()):
        bad[(rng.permutation(SIZE * SIZE).reshape(shape) < 1200) & (bad == 0)] = flag
        assert k < 4
    glow = np.exp(-(y + x) / 64.0)
    dark, flat = 0.02 + glow, np.ones(shape)
    dark[bad == Flag.HOT], flat[bad == Flag.DEAD], flat[bad == Flag.COLD] = 50.0, 0.02, 0.3
    truth = {"DARK": dark, "FLAT": flat, "BAD": bad}
    ones = np.ones(shape)
    masters = {
        "DARK": {
            "SCI": dark + rng.normal(0, SIGMA, shape),
            "ERR": SIGMA * ones,
            "GLOW": glow - np.median(glow),
        },
        "FLAT": {"SCI": flat * (1 + rng.normal(0, LIMIT, shape)), "ERR": LIMIT * flat},
        "DQ": {"DQ": bad.copy()},
    }
    return masters, truth


def judged(spoil=lambda _: None):
    masters, truth = night()
    spoil(masters)
    good = truth["BAD"] == 0
    figures = makers_frame._dark_figures(masters["DARK"], truth, good)
    figures |= makers_frame._flat_figures(masters["FLAT"], truth, good, LIMIT)
    figures |= makers_frame._bad_pixel_figures(masters, truth, good)
    cell = makers_frame.MakersCell(SIZE, 1)
    return makers_frame._judge([Measured(cell, figures, int(good.sum()))])


def test_perfect_masters_hold_every_row():
    rows = judged()
    assert len(rows) == 15
    assert all(row.passed for row in rows), [row.name for row in rows if not row.passed]


def lose(flag):
    def spoil(masters):
        dq = masters["DQ"]["DQ"]
        y, x = np.nonzero(dq == flag)
        dq[y[:60], x[:60]] = 0  # 5 %

    return spoil


def invent(flag):
    def spoil(masters):
        masters["DQ"]["DQ"][100:106, 100:106] = flag  # 36 of 2.6e5

    return spoil


def scaled(master, plane, factor):
    def spoil(masters):
        masters[master][plane] = masters[master][plane] * factor

    return spoil


@pytest.mark.parametrize(
    ("spoil", "text"),
    [
        (scaled("DARK", "ERR", 0.95), "dark rate: pull, sigma"),
        (scaled("DARK", "GLOW", 0.9), "dark: glow in its corner"),
        (scaled("FLAT", "SCI", 1.002), "flat: the same over the photon limit"),
        *((lose(flag), f"{name} pixels found") for name, flag in list(KINDS.items())[:3]),
        *((invent(flag), f"good pixels taken for {name}") for name, flag in KINDS.items()),
    ],
)
def test_spoiled_masters_fall_short(spoil, text):
    (row,) = (row for row in judged(spoil) if row.name.startswith(text))
    assert not row.passed


def test_a_night_that_broke_falls_short_in_every_judged_row():
    rows = makers_frame._judge([Measured(makers_frame.MakersCell(8, 1), error="no room")])
    assert not any(row.passed for row in rows)
    assert all("no room" in row.detail for row in rows)


def test_the_error_of_a_figure_is_a_third_of_its_tolerance_at_most():
    (group,) = makers_frame.groups(quick=True, seed=1)
    (cell,) = group.cells
    pixels = (cell.size - 8) ** 2
    assert 1 / math.sqrt(2 * 0.98 * pixels) <= 0.02 / 3
    assert 0.98 * pixels >= 1e5
    for name in ("dead", "hot", "cold"):
        count = getattr(cell.scene().physics, f"{name}_fraction") * pixels
        assert math.sqrt(0.99 * 0.01 / count) <= 0.01 / 3
