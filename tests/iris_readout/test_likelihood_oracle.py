"""The likelihood fit of tiny ramps against dense covariance matrices, and two and three reads by hand."""

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import (
    fit_likelihood,
    poisson_covariance,
    response,
    response_ramps,
    simulate_reads,
)

GAIN, NOISE = 0.5, 9.0
SHAPE = (4, 6)
FIT = {"gain": GAIN, "read_noise": NOISE, "ref_pixels": 0, "estimator": "likelihood", "nthreads": 1}


def spacings(rng, nread):
    """Times of reads: even, random, growing by a factor, and with one long gap."""
    even = np.arange(1.0, nread + 1) * 1.5
    uneven = np.cumsum(rng.uniform(0.2, 4.0, nread))
    growing = 0.3 * 1.5 ** np.arange(nread)
    gap = np.arange(nread) * 0.7
    gap[(nread + 1) // 2 :] += 30.0
    return {"even": even, "uneven": uneven, "growing": growing, "gap": gap}


def rates(shape):
    """From nothing to photon noise far above the read noise."""
    return np.geomspace(0.01, 3000.0, shape[0] * shape[1]).reshape(shape)


def assert_photon_variance(result, y, x):
    """The photon variance is that of a rate within the error of the estimate, and not of light below 0.

    It is not that of the estimate itself, whose error bars are too small just where it is too low
    (test_likelihood_statistics.py tests what it is for).
    """
    rate, factor = result.rate[y, x], result.photon_factor[y, x]
    sigma = np.sqrt(result.var_read[y, x] + max(rate, 0) * factor)
    assert result.var_photon[y, x] >= 0
    if rate <= 0:
        assert result.var_photon[y, x] == 0
    else:
        assert abs(result.var_photon[y, x] / factor - rate) <= sigma + 3 * factor


def assert_planes(result, y, x, expected):
    """The same fixed point: far nearer than the error of the rate, variances to one in a thousand."""
    variance = expected["var_read"] + expected["var_photon"]
    got = {name: float(getattr(result, name)[y, x]) for name in iris_readout.PLANES}
    assert abs(got["rate"] - expected["rate"]) <= 3e-3 * np.sqrt(variance) + 1e-6 * got["rate"]
    at_rate = got["var_read"] + max(got["rate"], 0) * got["photon_factor"]
    assert at_rate == pytest.approx(variance, rel=3e-3)
    assert_photon_variance(result, y, x)
    assert got["var_read"] == pytest.approx(expected["var_read"], rel=1e-2)
    assert got["photon_factor"] == pytest.approx(expected["photon_factor"], rel=1e-2)
    np.testing.assert_allclose(got["chi2"], expected["chi2"], rtol=3e-3, atol=1e-3)
    assert got["nused"] == expected["nused"]


@pytest.mark.parametrize("spacing", ["even", "uneven", "growing", "gap"])
@pytest.mark.parametrize("nread", [2, 3, 4, 5, 8, 12])
def test_fit_of_any_spacing(nread, spacing):
    rng = np.random.default_rng(nread)
    times = spacings(rng, nread)[spacing]
    reads = simulate_reads(rng, np.minimum(rates(SHAPE), 25000 / times[-1]), times, NOISE, GAIN)
    result = iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=None)
    for y, x in np.ndindex(SHAPE):
        assert_planes(result, y, x, fit_likelihood(reads[:, y, x] * GAIN, times, NOISE))
    assert len(result.events) == 0
    assert np.all(result.dq == 0)


def test_gain_and_noise_of_each_pixel():
    rng = np.random.default_rng(11)
    times = np.cumsum(rng.uniform(0.5, 3.0, 7))
    gain = rng.uniform(0.4, 5.0, SHAPE).astype(np.float32)
    noise = rng.uniform(3.0, 40.0, SHAPE).astype(np.float32)
    reads = simulate_reads(rng, np.minimum(rates(SHAPE), 15000 / times[-1]), times, noise, gain)
    result = iris_readout.fit_ramp(
        reads, times, **{**FIT, "gain": gain, "read_noise": noise}, jump_sigma=None
    )
    for y, x in np.ndindex(SHAPE):
        charge = reads[:, y, x] * float(gain[y, x])
        assert_planes(result, y, x, fit_likelihood(charge, times, float(noise[y, x])))


def test_negative_rates_have_the_weights_of_read_noise_alone():
    rng = np.random.default_rng(12)
    times = np.cumsum(rng.uniform(0.5, 3.0, 6))
    falling = 20000 - 400.0 * times[:, None, None] + rng.normal(0, NOISE / GAIN, (6, *SHAPE))
    reads = np.rint(falling).astype(np.uint16)
    result = iris_readout.fit_ramp(reads, times, **FIT, jump_sigma=None)
    slope = np.polynomial.polynomial.polyfit(times, reads.reshape(6, -1) * GAIN, 1)[1]
    np.testing.assert_allclose(result.rate, slope.reshape(SHAPE), rtol=1e-5)
    np.testing.assert_allclose(
        result.var_read, NOISE**2 / np.sum((times - times.mean()) ** 2), rtol=1e-5
    )
    assert np.all(result.var_photon == 0)
    for y, x in np.ndindex(SHAPE):
        assert_planes(result, y, x, fit_likelihood(reads[:, y, x] * GAIN, times, NOISE))


def test_two_reads_by_hand():
    reads = np.array([[[1000, 1000]], [[1300, 900]]], np.uint16)
    result = iris_readout.fit_ramp(reads, [2.0, 6.0], **FIT)
    np.testing.assert_allclose(result.rate, [[300 * GAIN / 4, -100 * GAIN / 4]], rtol=1e-6)
    np.testing.assert_allclose(result.var_read, 2 * NOISE**2 / 16, rtol=1e-6)
    np.testing.assert_allclose(result.photon_factor, 1 / 4, rtol=1e-6)
    assert_photon_variance(result, 0, 0)
    assert_photon_variance(result, 0, 1)
    assert np.all(np.isnan(result.chi2))
    assert np.all(result.nused == 2)


def test_three_even_reads_by_hand():
    # The two differences have equal variances, r dt + 2 s^2, and covariance -s^2: equal weights.
    reads = np.array([[[1000]], [[1300]], [[1500]]], np.uint16)
    result = iris_readout.fit_ramp(reads, [2.0, 6.0, 10.0], **FIT, jump_sigma=None)
    rate = 250 * GAIN / 4
    np.testing.assert_allclose(result.rate, rate, rtol=1e-6)
    np.testing.assert_allclose(result.var_read, 2 * NOISE**2 / 64, rtol=1e-6)
    np.testing.assert_allclose(result.photon_factor, 1 / 8, rtol=1e-6)
    expected = (100 * GAIN) ** 2 / (2 * rate * 4 + 6 * NOISE**2)
    np.testing.assert_allclose(result.chi2, expected, rtol=1e-5)
    assert np.all(result.nused == 3)


def test_three_uneven_reads_by_hand():
    # Inverse of the 2x2 covariance of the differences, written out.
    t1, t2 = 2.0, 5.0
    reads = np.array([[[1000]], [[1900]], [[4300]]], np.uint16)
    d1, d2 = 900 * GAIN, 2400 * GAIN
    rate = 200.0
    for _ in range(100):
        a, b, c = rate * t1 + 2 * NOISE**2, rate * t2 + 2 * NOISE**2, -(NOISE**2)
        u, v = t1 * b - t2 * c, t2 * a - t1 * c
        rate = (u * d1 + v * d2) / (u * t1 + v * t2)
    u, v = u / (u * t1 + v * t2), v / (u * t1 + v * t2)
    e1, e2 = d1 - rate * t1, d2 - rate * t2
    result = iris_readout.fit_ramp(reads, [1.0, 1 + t1, 1 + t1 + t2], **FIT, jump_sigma=None)
    factor = u * u * t1 + v * v * t2
    var_read = NOISE**2 * (u * u + (u - v) ** 2 + v * v)
    sigma = np.sqrt(var_read + rate * factor)
    assert result.rate[0, 0] == pytest.approx(rate, abs=3e-3 * sigma)
    np.testing.assert_allclose(result.var_read, var_read, rtol=1e-2)
    np.testing.assert_allclose(result.photon_factor, factor, rtol=1e-2)
    squares = (b * e1 * e1 - 2 * c * e1 * e2 + a * e2 * e2) / (a * b - c * c)
    np.testing.assert_allclose(result.chi2, squares, rtol=3e-3)


def test_reads_after_saturation_are_as_if_they_were_not_there():
    rng = np.random.default_rng(13)
    times = np.cumsum(rng.uniform(0.5, 3.0, 9))
    reads = simulate_reads(rng, np.full(SHAPE, 50.0), times, NOISE, GAIN)
    cuts = {(1, 2): 5, (2, 2): 3, (3, 3): 2, (0, 0): 8}
    for (y, x), usable in cuts.items():
        reads[usable:, y, x] = 60000
    result = iris_readout.fit_ramp(reads, times, **FIT, saturation=60000, jump_sigma=None)
    for y, x in np.ndindex(SHAPE):
        usable = cuts.get((y, x), 9)
        expected = fit_likelihood(reads[:usable, y, x] * GAIN, times[:usable], NOISE)
        assert_planes(result, y, x, expected)
        assert bool(result.dq[y, x] & Flag.SATURATED) == ((y, x) in cuts)


@pytest.mark.parametrize("rate", [0.5, 8.0])
def test_variances_are_those_of_the_weights_the_fit_has(rate):
    times = np.array([0.0, 2.0, 3.0, 7.0, 8.0, 9.0, 15.0, 16.0])
    reads = response_ramps(times, rate, gain=0.01, step=20)
    options = {**FIT, "gain": 0.01, "read_noise": 5.0}
    result = iris_readout.fit_ramp(reads, times, **options, jump_sigma=None)
    weights = response(result.rate, gain=0.01, step=20)
    assert np.sum(weights) == pytest.approx(0.0, abs=5e-4 * np.max(np.abs(weights)))
    assert weights @ times == pytest.approx(1.0, rel=1e-3)
    np.testing.assert_allclose(result.var_read[0, -1], 25.0 * weights @ weights, rtol=2e-3)
    factor = weights @ poisson_covariance(times) @ weights
    np.testing.assert_allclose(result.photon_factor[0, -1], factor, rtol=2e-3)
