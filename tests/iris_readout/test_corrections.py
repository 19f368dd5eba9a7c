"""Saturation that spreads, and counts made linear by polynomials of high order."""

import numpy as np
import pytest
from scipy.optimize import brentq

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import simulate_reads

SHAPE = (12, 14)
TIMES = np.cumsum([0.5, 1.5, 1.0, 1.5, 2.5, 1.5, 1.5])
BASE = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 0, "nthreads": 1}
ESTIMATORS = [{"estimator": "likelihood"}, {"estimator": "ols"}]
PLANES = ("rate", "var_read", "var_photon", "photon_factor", "chi2", "nused")


def ramp(seed=1, rate=40.0):
    return simulate_reads(np.random.default_rng(seed), np.full(SHAPE, rate), TIMES, 10.0, 2.0)


def reach(y, x, grow):
    box = np.zeros(SHAPE, bool)
    box[max(y - grow, 0) : y + grow + 1, max(x - grow, 0) : x + grow + 1] = True
    return box


@pytest.mark.parametrize("options", ESTIMATORS, ids=str)
@pytest.mark.parametrize("grow", [1, 2, 3])
def test_neighbours_of_saturated_pixels_are_cut_at_the_same_read(grow, options):
    reads = ramp()
    cuts = {(0, 0): 5, (5, 6): 3, (6, 8): 4, (11, 13): 2}
    for (y, x), usable in cuts.items():
        reads[usable:, y, x] = 65535
    usable = np.full(SHAPE, len(TIMES))
    for (y, x), first in cuts.items():
        usable[reach(y, x, grow)] = np.minimum(usable[reach(y, x, grow)], first)
    result = iris_readout.fit_ramp(reads, TIMES, **BASE, **options, saturation_grow=grow)
    saturated = np.zeros(SHAPE, bool)
    saturated[tuple(zip(*cuts, strict=True))] = True
    np.testing.assert_array_equal((result.dq & Flag.SATURATED) != 0, saturated)
    near = (usable < len(TIMES)) & ~saturated
    np.testing.assert_array_equal((result.dq & Flag.CHARGELOSS)[~saturated] != 0, near[~saturated])
    for nread in range(2, len(TIMES) + 1):
        expected = iris_readout.fit_ramp(reads[:nread], TIMES[:nread], **BASE, **options)
        these = usable == nread
        for name in PLANES:
            np.testing.assert_allclose(
                getattr(result, name)[these], getattr(expected, name)[these], 1e-5, err_msg=name
            )
    saturations = result.events[result.events["kind"] == "SATURATION"]
    assert len(saturations) == len(cuts)


def test_growth_of_saturation_in_the_first_reads_leaves_no_rate():
    reads = ramp()
    reads[1:, 5, 5] = 65535
    result = iris_readout.fit_ramp(reads, TIMES, **BASE, estimator="likelihood", saturation_grow=1)
    box = reach(5, 5, 1)
    assert np.all(np.isnan(result.rate[box]))
    assert np.all((result.dq[box] & Flag.DO_NOT_USE) != 0)
    assert np.all(result.nused[box] == 0)
    box[5, 5] = False
    assert np.all(result.dq[box] == Flag.CHARGELOSS | Flag.DO_NOT_USE)
    assert np.all(np.isfinite(result.rate[~reach(5, 5, 1)]))


def test_no_growth_without_being_asked():
    reads = ramp()
    reads[3:, 5, 5] = 65535
    result = iris_readout.fit_ramp(reads, TIMES, **BASE, estimator="likelihood")
    assert np.count_nonzero(result.dq) == 1
    assert result.dq[5, 5] == Flag.SATURATED


def polynomials(shape, order, seed=3):
    """Coefficients (order + 1, ny, nx): a few per cent at 50000 DN, another curve for each pixel."""
    rng = np.random.default_rng(seed)
    coeffs = np.zeros((order + 1, *shape))
    coeffs[0] = rng.uniform(-5, 5, shape)
    coeffs[1] = rng.uniform(0.98, 1.02, shape)
    for k in range(2, order + 1):
        coeffs[k] = rng.uniform(0.0, 0.06, shape) / 50000.0 ** (k - 1)
    return coeffs.astype(np.float32)


def measured(linear, coeffs):
    """Counts above the pedestal whose polynomial is `linear`, by bracketing the root of each."""
    counts = np.empty(linear.shape)
    for index in np.ndindex(linear.shape):
        polynomial = np.polynomial.Polynomial(coeffs[(slice(None), *index[1:])].astype(float))
        counts[index] = brentq(lambda x, p=polynomial, i=index: p(x) - linear[i], -1e4, 1e5)
    return counts


@pytest.mark.parametrize("options", [*ESTIMATORS, {"mode": "cds"}], ids=str)
@pytest.mark.parametrize("order", [1, 2, 4, 5, 7])
def test_nonlinear_counts_give_the_true_rate(order, options):
    shape, gain = (3, 4), 2.0
    times = np.arange(1.0, 11.0)
    rate = np.linspace(500.0, 9000.0, 12).reshape(shape)
    coeffs = polynomials(shape, order)
    pedestal = np.linspace(1000, 1800, 12).reshape(shape).astype(np.float32)
    counts = measured(rate * times[:, None, None] / gain, coeffs) + pedestal
    assert counts.max() < 65000
    result = iris_readout.fit_ramp(
        np.rint(counts).astype(np.uint16),
        times,
        **BASE,
        **options,
        linearity=(coeffs, np.full(shape, 62000, np.float32), pedestal),
    )
    # rounding to whole counts: 0.3 DN rms in each read, 0.6 e- over nine seconds
    np.testing.assert_allclose(result.rate, rate, rtol=2e-5, atol=0.4)
    assert np.all(result.dq == 0)
    plain = iris_readout.fit_ramp(
        np.rint(counts).astype(np.uint16), times, **BASE, **options, jump_sigma=None
    )
    if order > 1:
        assert np.max(np.abs(plain.rate - rate)) > 50


@pytest.mark.parametrize("order", [5, 7])
def test_coefficients_one_by_one_against_numpy(order):
    shape = (2, 3)
    rng = np.random.default_rng(order)
    reads = np.sort(rng.integers(2000, 60000, (2, *shape)), axis=0).astype(np.uint16)
    coeffs = polynomials(shape, order, seed=order)
    pedestal = rng.uniform(0, 2000, shape).astype(np.float32)
    linear = np.empty(reads.shape)
    for index in np.ndindex(reads.shape):
        polynomial = np.polynomial.Polynomial(coeffs[(slice(None), *index[1:])].astype(float))
        linear[index] = polynomial(float(reads[index]) - float(pedestal[index[1:]]))
    result = iris_readout.fit_ramp(
        reads, [0.0, 4.0], **BASE, mode="cds", linearity=(coeffs, None, pedestal)
    )
    np.testing.assert_allclose(result.rate, 2.0 * (linear[1] - linear[0]) / 4.0, atol=0.02)


@pytest.mark.parametrize("options", ESTIMATORS, ids=str)
def test_reads_beyond_the_limit_are_cut_off(options):
    reads = ramp(rate=2000.0)
    pedestal = np.full(SHAPE, 1000, np.float32)
    coeffs = np.zeros((2, *SHAPE), np.float32)
    coeffs[1] = 1.0
    limit = np.linspace(500, 12000, reads[0].size).reshape(SHAPE).astype(np.float32)
    result = iris_readout.fit_ramp(
        reads, TIMES, **BASE, **options, linearity=(coeffs, limit, pedestal)
    )
    beyond = reads.astype(float) - 1000 > limit
    usable = np.where(beyond.any(axis=0), beyond.argmax(axis=0), len(TIMES))
    np.testing.assert_array_equal(result.nused, np.where(usable < 2, 0, usable))
    np.testing.assert_array_equal((result.dq & Flag.NONLINEAR) != 0, beyond.any(axis=0))
    assert {2, 3, 4, 5, 6} <= set(usable.ravel())
    for nread in range(2, len(TIMES) + 1):
        expected = iris_readout.fit_ramp(reads[:nread], TIMES[:nread], **BASE, **options)
        these = usable == nread
        sigma = np.sqrt(expected.var_read)
        assert np.all(np.abs(result.rate - expected.rate)[these] < 1e-3 * sigma[these])
