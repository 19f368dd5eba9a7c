"""The fit of tiny ramps against dense matrices."""

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import fit_pixel, simulate_reads

GAIN, NOISE = 0.5, 9.0
SHAPE = (4, 6)
OLS = {
    "gain": GAIN,
    "read_noise": NOISE,
    "ref_pixels": 0,
    "estimator": "ols",
    "keep_reads": True,
}


def ramps(seed, nread):
    """Ramps of uneven times; half of the pixels are hit, some of them twice."""
    rng = np.random.default_rng(seed)
    times = np.cumsum(rng.uniform(0.5, 3.0, nread)) - 0.4
    reads = simulate_reads(rng, rng.uniform(0.0, 200.0, SHAPE), times, NOISE, GAIN).astype(int)
    for y, x in np.argwhere(rng.random(SHAPE) < 0.5):
        for _ in range(rng.integers(1, 3)):
            reads[rng.integers(1, nread) :, y, x] += rng.choice([-1, 1, 1, 1]) * rng.integers(
                150, 900
            )
    return np.clip(reads, 1, 65000).astype(np.uint16), times


def assert_planes(result, y, x, expected, nread):
    """The library works in single precision: the rate to 1e-5 of its error, the rest to 1e-5."""
    sigma = np.sqrt(expected["var_read"] + expected["var_photon"])
    np.testing.assert_allclose(result.rate[y, x], expected["rate"], rtol=1e-6, atol=1e-5 * sigma)
    for name in ("var_read", "var_photon", "photon_factor", "chi2"):
        got = getattr(result, name)[y, x]
        np.testing.assert_allclose(got, expected[name], rtol=1e-5, atol=1e-5, err_msg=name)
    assert result.nused[y, x] == expected["nused"]
    assert bool(result.dq[y, x] & Flag.JUMP_DET) == bool(expected["jumps"])


@pytest.mark.parametrize("nread", [2, 3, 4, 5, 8, 13])
@pytest.mark.parametrize("threshold", [None, 3.0, 4.5])
def test_slope_and_jumps(nread, threshold):
    for seed in range(3):
        reads, times = ramps(seed, nread)
        result = iris_readout.fit_ramp(reads, times, **OLS, jump_sigma=threshold)
        for y, x in np.ndindex(SHAPE):
            expected = fit_pixel(reads[:, y, x] * GAIN, times, NOISE, "utr", threshold)
            assert_planes(result, y, x, expected, nread)
            events = result.events[(result.events["y"] == y) & (result.events["x"] == x)]
            assert list(events["read"]) == [k + 1 for k, _, _ in expected["jumps"]]
            np.testing.assert_allclose(
                events["amplitude"], [a for _, a, _ in expected["jumps"]], 3e-5
            )
            np.testing.assert_allclose(events["sigma"], [s for _, _, s in expected["jumps"]], 1e-5)


@pytest.mark.parametrize(
    ("mode", "nfowler"), [("cds", 1), ("mcds", 1), ("mcds", 2), ("mcds", 3), ("mcds", 50)]
)
@pytest.mark.parametrize("nread", [2, 5, 8])
def test_differences_of_means(mode, nfowler, nread):
    reads, times = ramps(7, nread)
    result = iris_readout.fit_ramp(
        reads, times, mode=mode, nfowler=nfowler, gain=GAIN, read_noise=NOISE, ref_pixels=0
    )
    for y, x in np.ndindex(SHAPE):
        expected = fit_pixel(reads[:, y, x] * GAIN, times, NOISE, mode, nfowler=nfowler)
        assert_planes(result, y, x, expected, nread)
    assert len(result.events) == 0


def test_reads_after_saturation_are_as_if_they_were_not_there():
    reads, times = ramps(3, 9)
    reads[5:, 1, 2] = 65535
    reads[3:, 2, 2] = 60000
    result = iris_readout.fit_ramp(reads, times, **OLS, saturation=60000, jump_sigma=3.0)
    for (y, x), nusable in {(1, 2): 5, (2, 2): 3}.items():
        expected = fit_pixel(reads[:nusable, y, x] * GAIN, times[:nusable], NOISE, "utr", 3.0)
        assert_planes(result, y, x, expected, nusable)
        assert result.dq[y, x] & Flag.SATURATED


def test_linearity_polynomial_is_numpys():
    reads, times = ramps(4, 6)
    coeffs = np.array([12.0, 1.01, 2e-6, -3e-12], np.float32)
    pedestal = 500.0
    linear = np.polynomial.Polynomial(coeffs.astype(float))(reads - pedestal)
    planes = np.broadcast_to(coeffs[:, None, None], (4, *SHAPE))
    result = iris_readout.fit_ramp(
        reads,
        times,
        **OLS,
        jump_sigma=None,
        linearity=(planes, None, np.full(SHAPE, pedestal, np.float32)),
    )
    for y, x in np.ndindex(SHAPE):
        expected = fit_pixel(linear[:, y, x] * GAIN, times, NOISE)
        assert_planes(result, y, x, expected, 6)
