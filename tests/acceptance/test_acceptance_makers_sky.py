"""The rows of zero points and superskies hold for masters as they should be, and fall short for others."""

import numpy as np
import pytest

from liger_iris_pipeline.acceptance import makers_sky
from liger_iris_pipeline.acceptance.table import Measured

LIMIT = 0.006
SIZE = 4 * makers_sky.BOX + 2 * makers_sky.BORDER


def judged(figures, error=""):
    zero_points, supersky = makers_sky.groups(quick=False, seed=1)
    group = zero_points if "worst" in figures else supersky
    rows = group.judge([Measured(group.cells[0], figures, 1, error=error)])
    return {row.name: row for row in rows}


def residual(sigma, offset):
    """Pixels with independent errors, and a border that says nothing."""
    plane = np.random.default_rng(8).normal(offset, sigma, (SIZE, SIZE))
    outside = np.ones(plane.shape, bool)
    outside[makers_sky.BORDER : -makers_sky.BORDER, makers_sky.BORDER : -makers_sky.BORDER] = False
    plane[outside] = 5.0
    return plane


@pytest.mark.parametrize(
    ("shift", "scale", "passed"), [(0.0, 1.0, True), (0.05, 1.0, False), (0.0, 0.3, False)]
)
def test_zero_points_are_judged_by_their_errors(shift, scale, passed):
    error = np.full(4, 0.01)
    difference = np.array([0.012, -0.008, 0.004, -0.011]) + shift
    figures = makers_sky.zero_point_figures(difference, scale * error)
    rows = judged(figures)
    assert rows["zero point: worst difference over its error"].passed is passed
    assert figures["difference"].value == pytest.approx(np.abs(difference).max())


@pytest.mark.parametrize(
    ("sigma", "offset", "passed"),
    [(0.7, 0.0, True), (1.5, 0.0, False), (0.7, 2e-4, False)],
)
def test_superskies_are_judged_by_the_photons(sigma, offset, passed):
    err = np.full((SIZE, SIZE), LIMIT / makers_sky.BOX)
    # a pattern is smooth over more pixels than a box has: 0.7 of what its photons allow, medians included
    figures = makers_sky.supersky_figures(residual(sigma * LIMIT, offset), err, LIMIT)
    rows = judged(figures)
    assert rows["supersky: means of 64² pixels over the photon limit"].passed is passed
    assert figures["pull"].value == pytest.approx(figures["limit"].value)


def test_the_photon_limit_counts_skies_and_flats():
    scene = makers_sky.SuperskyCell(1).scene()
    skies = 5 * 1000.0 * 27.0  # e- between the reads at 3 s and at 30 s
    flats = 8 * 0.55 * scene.physics.full_well * 4 / 5
    limit = makers_sky._photon_limit(scene, 1000.0)
    assert limit**2 == pytest.approx(1 / skies + 1 / flats)


def test_a_night_that_broke_falls_short():
    for figures in ({"worst": None}, {}):
        assert not any(row.passed for row in judged(figures, error="no room").values())


def test_the_short_form_has_one_detector_and_no_supersky():
    (group,) = makers_sky.groups(quick=True, seed=1)
    assert [len(cell.detectors) for cell in group.cells] == [1]
