"""Filters of planes against SciPy's and against loops."""

import numpy as np
import pytest
from scipy import ndimage

from liger_iris_pipeline.algorithms.frame import sources
from liger_iris_pipeline.algorithms.frame.filters import (
    binned,
    binomial,
    dilated,
    smoothed,
    spread_out,
)
from liger_iris_pipeline.algorithms.frame.sources import SAMPLE, core, low_mode, sample
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


@pytest.mark.parametrize("shape", [(1, 9), (3, 5), (37, 64), (300, 200), (9, 40_000)])
def test_binomial_sums_are_those_of_a_convolution(shape):
    random = np.random.default_rng(7)
    plane, mask = random.integers(-99, 99, shape).astype(np.float32), random.random(shape) < 0.5
    kernel = np.outer([1, 4, 6, 4, 1], [1, 4, 6, 4, 1])
    for values, dtype in (
        (plane, np.float32),
        (mask, np.uint16),
        (np.ones(shape, bool), np.uint16),
    ):
        found = binomial(values, dtype)
        assert found.dtype == dtype
        np.testing.assert_array_equal(found, ndimage.convolve(values.astype(int), kernel))


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


def slow_core(values):
    kept = [float(v) for v in values]
    for _ in range(10):
        centre = np.median(kept)
        low = [centre - v for v in kept if v < centre]
        rest = [v for v in kept if v <= centre + 3 * 1.4826 * np.median(low)] if low else kept
        if len(rest) == len(kept):
            break
        kept = rest
    centre = np.median(kept)
    low = [centre - float(v) for v in values if v < centre]
    return centre, 1.4826 * np.median(low) if low else 0.0


@pytest.mark.parametrize("size", [1, 2, 3, 10, 1001])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_core_and_low_mode_are_what_cutting_again_and_again_gives(size, dtype):
    random = np.random.default_rng(size)
    values = np.where(random.random(size) < 0.3, random.exponential(20, size), 0)
    values = (values + random.normal(5, 1, size)).astype(dtype)
    before = values.copy()
    for some in (values, np.full(size, 3, dtype), np.round(values)):
        np.testing.assert_allclose(core(some), slow_core(some), rtol=1e-6, atol=1e-6)
        assert low_mode(some) == core(some)[0]
    np.testing.assert_array_equal(values, before)


@pytest.mark.parametrize("above", [0.0, 0.3, 2.0, 100.0])
def test_blocks_leave_out_what_is_far_above_their_median(above):
    random = np.random.default_rng(8)
    image = (random.normal(5, 1, (61, 60)) + random.exponential(2, (61, 60))).astype(np.float32)
    good = random.random(image.shape) < 0.7
    for low in (slice(0, 30), slice(30, 61)):  # an odd and an even number of rows
        for size in (60, 1, 2, 3):  # pixels in a block
            part, use = image[low, :size], good[low, :size]
            left, right = block_factors(part, use, block=100, above=above)
            values = part[use]
            kept = values[values <= np.median(values) + np.float32(above)]
            np.testing.assert_allclose(left @ right, np.median(kept), rtol=1e-6)


def test_seams_are_as_wide_as_the_nearest_detection_says():
    random = np.random.default_rng(9)
    found = ndimage.binary_dilation(random.random((90, 80)) < 0.004, iterations=2)
    found |= np.hypot(*(np.indices(found.shape) - 60)) < 9
    mask = sources._seam(found, grow=2.5, growth=1.1)
    labels, count = ndimage.label(found, structure=np.ones((3, 3)))
    width = [2.5 + 1.1 * np.sqrt((labels == k).sum() / np.pi) for k in range(1, count + 1)]
    y, x = np.nonzero(found)
    for (j, i), inside in np.ndenumerate(mask):
        away = 2 * np.hypot(y // 2 - j // 2, x // 2 - i // 2)  # in cells of 2 pixels
        nearest = labels[y, x][away == away.min()]
        assert inside == (away.min() <= max(width[k - 1] for k in nearest))


@pytest.mark.parametrize("radius", [1, 5, 12, 18, 25, 60, 150])
def test_seams_of_all_sizes_are_right_to_the_cell_they_are_drawn_in(radius):
    away = np.hypot(*(np.indices((4 * radius + 40, 4 * radius + 60)) - (2 * radius + 17)))
    found = away < radius
    width = 3.0 + np.sqrt(found.sum() / np.pi)
    gap = ndimage.distance_transform_edt(~found)
    size = 2
    while width > sources.REACH * size:
        size *= 2
    slack = np.sqrt(2) * (size - 1) + 0.5 * (size - 2)
    mask = sources._seam(found, grow=3.0, growth=1.0)
    assert mask[gap <= width - slack].all()
    assert not mask[gap > width + slack].any()
    assert abs(mask.sum() / (gap <= width).sum() - 1) < 0.1


def test_nothing_found_has_no_seam():
    assert not sources._seam(np.zeros((7, 9), bool), grow=3.0, growth=1.0).any()
