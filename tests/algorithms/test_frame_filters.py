"""Filters of planes against SciPy's and against loops."""

import numpy as np
import pytest
from scipy import ndimage

from liger_iris_pipeline.algorithms.frame.filters import binned, dilated, smoothed, spread_out
from liger_iris_pipeline.algorithms.frame.sources import SAMPLE, sample
from liger_iris_pipeline.algorithms.frame.surface import (
    block_factors,
    block_surface,
    surface_rows,
)


@pytest.mark.parametrize("shape", [(1, 9), (3, 5), (37, 64), (64, 37), (300, 200), (9, 40_000)])
@pytest.mark.parametrize("sigma", [0.5, 1.0, 1.98, 4.0])
def test_smoothing_is_that_of_scipy(shape, sigma):
    plane = np.random.default_rng(1).normal(3.0, 1.0, shape).astype(np.float32)
    expected = ndimage.gaussian_filter(plane.astype(np.float64), sigma)
    found = smoothed(plane, sigma)
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=0, atol=2e-6)


def test_smoothing_keeps_a_constant_and_takes_masks_and_views():
    np.testing.assert_allclose(smoothed(np.full((50, 60), 7.0), 2.0), 7.0, rtol=1e-6)
    plane = np.random.default_rng(2).random((80, 90)) < 0.5
    expected = ndimage.gaussian_filter(plane.astype(float), 1.0)
    np.testing.assert_allclose(smoothed(plane.astype(">f4"), 1.0), expected, atol=1e-6)
    np.testing.assert_allclose(smoothed(plane.T.astype(np.float32), 1.0), expected.T, atol=1e-6)


@pytest.mark.parametrize("size", [1, 2, 4, 6])
@pytest.mark.parametrize("shape", [(12, 24), (13, 25), (5, 3)])
def test_cells_hold_the_sums_of_their_pixels_and_give_them_back(shape, size):
    plane = np.random.default_rng(3).integers(0, 9, shape).astype(np.float32)
    cells = binned(plane, size)
    assert cells.shape == (-(-shape[0] // size), -(-shape[1] // size))
    for (j, i), value in np.ndenumerate(cells):
        assert value == plane[j * size : (j + 1) * size, i * size : (i + 1) * size].sum()
    back = spread_out(cells > 40, size, shape)
    for (j, i), value in np.ndenumerate(back):
        assert value == (cells[j // size, i // size] > 40)


def test_a_mask_is_widened_as_scipy_does_and_stays_as_it_was():
    mask = np.random.default_rng(4).random((40, 50)) < 0.02
    before = mask.copy()
    np.testing.assert_array_equal(dilated(mask, 2), ndimage.binary_dilation(mask, iterations=2))
    np.testing.assert_array_equal(mask, before)


def test_rows_of_a_surface_are_those_of_the_whole():
    random = np.random.default_rng(5)
    values, good = random.normal(5, 1, (300, 200)), random.random((300, 200)) < 0.9
    whole = block_surface(values, good, block=64)
    left, right = block_factors(values, good, block=64)
    for rows in (slice(0, 5), slice(90, 170), slice(299, 300)):
        np.testing.assert_allclose(surface_rows(left, right, rows), whole[rows], rtol=1e-6)


def test_a_sample_is_all_there_is_or_knows_the_distribution():
    random = np.random.default_rng(6)
    small, use = random.normal(0, 1, (100, 100)), random.random((100, 100)) < 0.5
    np.testing.assert_array_equal(np.sort(sample(small, use)), np.sort(small[use]))
    large = random.normal(0, 1, (2500, 2000)).astype(np.float32)
    large[:, ::2] += 1  # columns of two amplifiers, read in turn
    some = sample(large, np.ones(large.shape, bool))
    assert some.size <= SAMPLE
    error = 1.25 * large.std() / np.sqrt(some.size)
    assert abs(np.median(some) - np.median(large)) < 4 * error
    lone = np.zeros(large.shape, bool)
    lone[1:700, 1:-1] = True
    lone[::3] = False
    assert sample(large, lone).size > 0
