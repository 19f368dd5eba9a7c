"""Errors of aperture sums against a double loop over all pairs of pixels."""

import numpy as np
import pytest

from liger_iris_pipeline.algorithms.mosaic import aperture_error
from oracles.mosaic import aperture_sigma

KERNEL = np.array([[0.05, 0.2, 0.03], [0.25, 1.0, 0.25], [0.03, 0.2, 0.05]])


@pytest.mark.parametrize("kernel", [np.ones((1, 1)), KERNEL])
@pytest.mark.parametrize(("y", "x", "radius"), [(6.0, 6.0, 3.0), (5.3, 6.7, 2.2), (0.4, 11.0, 2.5)])
def test_double_loop(kernel, y, x, radius):
    var = np.random.default_rng(1).uniform(0.5, 2, (12, 13))
    expected = aperture_sigma(var, kernel, y, x, radius)
    assert aperture_error(var, kernel, y, x, radius) == pytest.approx(expected, rel=3e-3)


def test_scalars_and_arrays():
    var = np.ones((20, 20), dtype=">f4")
    one = aperture_error(var, KERNEL, 10, 10, 3.0)
    assert isinstance(one, float)
    many = aperture_error(var, KERNEL, [[10, 5]], [[10, 6]], 3.0)
    assert many.shape == (1, 2)
    assert many[0, 0] == pytest.approx(one)


def test_no_variance_no_error():
    var = np.ones((20, 20))
    var[10, 10] = np.nan
    assert np.isnan(aperture_error(var, KERNEL, 10, 10, 3.0))
    assert np.isfinite(aperture_error(var, KERNEL, 3, 3, 3.0))
    assert np.isnan(aperture_error(var, KERNEL, 100, 3, 3.0))
    assert np.isnan(aperture_error(var, KERNEL, np.nan, 3, 3.0))
