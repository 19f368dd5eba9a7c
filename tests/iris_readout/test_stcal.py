"""The same ramps through stcal, whose fits and jump test are others' work: agreement, pixel by pixel."""

import numpy as np
import pytest

import iris_readout
from liger_iris_pipeline.dq import Flag
from oracles.ramp import find_likelihood_jumps, simulate_reads

ramp_fit = pytest.importorskip("stcal.ramp_fitting.ramp_fit")
ramp_fit_class = pytest.importorskip("stcal.ramp_fitting.ramp_fit_class")

SEED = 20260308
SHAPE = (20, 40)
GAIN, NOISE = 0.5, 9.0
STEP = 1.5
FLAGS = {
    "GOOD": 0,
    "DO_NOT_USE": 1,
    "SATURATED": 2,
    "JUMP_DET": 4,
    "CHARGELOSS": 128,
    "NO_GAIN_VALUE": 1 << 19,
    "UNRELIABLE_SLOPE": 1 << 24,
    "PERSISTENCE": 32,
}
OURS = {"gain": GAIN, "read_noise": NOISE, "ref_pixels": 0, "snowballs": False}


def ramps(nread, hits=0.0, rates=(-0.3, 2.5)):
    """Ramps with a few read-noises of hit in a share of the pixels."""
    rng = np.random.default_rng([SEED, nread])
    times = np.arange(1, nread + 1) * STEP
    rate = 10 ** rng.uniform(*rates, SHAPE)
    reads = simulate_reads(rng, rate, times, NOISE, GAIN).astype(int)
    for y, x in np.argwhere(rng.random(SHAPE) < hits):
        reads[rng.integers(1, nread) :, y, x] += int(np.exp(rng.uniform(4.0, 7.0)))
    return reads.astype(np.uint16), times


def stcal_fit(reads, algorithm, groupdq=None, threshold=None):
    """Slope [e-/s], variances, chi-square and group flags. The noise asked for is of a difference of two reads."""
    data = ramp_fit_class.RampData()
    data.algorithm = algorithm
    charge = (reads * GAIN).astype(np.float32)[None]
    if groupdq is None:
        groupdq = np.zeros(charge.shape, np.uint8)
    shape = reads.shape[1:]
    data.set_arrays(charge, groupdq.copy(), np.zeros(shape, np.uint32), np.zeros(shape, np.float32))
    data.set_meta("IRIS", frame_time=STEP, group_time=STEP, groupgap=0, nframes=1, drop_frames1=0)
    data.set_dqflags(FLAGS)
    data.start_row, data.num_rows = 0, shape[0]
    data.rejection_threshold = threshold
    noise = np.full(shape, NOISE * np.sqrt(2), np.float32)
    unit = np.ones(shape, np.float32)  # charge is in electrons already
    image, _, _ = ramp_fit.ramp_fit_data(data, False, noise, unit, algorithm, "optimal", "none")
    return image, data.groupdq[0]


def planes(image):
    """Slope and variances of either form in which stcal returns them."""
    if isinstance(image, dict):
        return image["slope"], image["var_poisson"], image["var_rnoise"]
    return image[0], image[2], image[3]


@pytest.mark.parametrize("nread", [5, 10, 20])
def test_likelihood_without_jumps(nread):
    reads, times = ramps(nread)
    image, _ = stcal_fit(reads, "LIKELY", threshold=1000.0)
    slope, var_poisson, var_read = planes(image)
    ours = iris_readout.fit_ramp(reads, times, **OURS, estimator="likelihood", jump_sigma=None)
    sigma = np.sqrt(ours.var_read + ours.var_photon)
    off = np.abs(slope - ours.rate) / sigma
    assert np.max(off) < 0.1
    assert np.median(off) < 0.005
    bright = ours.rate * times[-1] > 100
    np.testing.assert_allclose((var_read + var_poisson)[bright], sigma[bright] ** 2, rtol=0.05)
    freedom = nread - 2
    assert np.median(np.abs(image["chisq"] / freedom - ours.chi2)) < 0.02


@pytest.mark.parametrize("nread", [6, 10, 16])
def test_jumps_of_the_likelihood(nread):
    """The same decisions, but for those near the threshold, where stcal's guess of the rate decides."""
    reads, times = ramps(nread, hits=0.4)
    _, groups = stcal_fit(reads, "LIKELY", threshold=4.5)
    theirs = (groups & FLAGS["JUMP_DET"]) != 0
    ours = iris_readout.fit_ramp(reads, times, **OURS, estimator="likelihood", jump_sigma=4.5)
    mine = np.zeros(reads.shape, bool)
    mine[ours.events["read"] - 1, ours.events["y"], ours.events["x"]] = True
    assert np.count_nonzero(mine) > 100
    differs = np.argwhere(np.any(mine != theirs, axis=0))
    assert len(differs) <= 0.02 * reads[0].size
    for y, x in differs:
        charge = reads[:, y, x] * GAIN
        margin = find_likelihood_jumps(charge, times, NOISE, 4.5)[1]
        assert margin < 0.5, (y, x, margin)
    same = np.all(mine == theirs, axis=0)
    sigma = np.sqrt(ours.var_read + ours.var_photon)
    slope = planes(stcal_fit(reads, "LIKELY", threshold=4.5)[0])[0]
    off = np.abs(slope - ours.rate)[same] / sigma[same]
    assert np.mean(off > 0.1) <= 0.002


def test_least_squares_of_faint_pixels():
    """Below a signal-to-noise of five stcal weights all reads alike, as ordinary least squares does."""
    reads, times = ramps(10, rates=(-2.0, -0.5))
    slope, _, var_read = planes(stcal_fit(reads, "OLS_C")[0])
    ours = iris_readout.fit_ramp(reads, times, **OURS, estimator="ols", jump_sigma=None)
    off = np.abs(slope - ours.rate) / np.sqrt(ours.var_read)
    assert np.mean(off > 0.1) <= 0.002
    np.testing.assert_allclose(np.median(var_read), np.median(ours.var_read), rtol=0.01)


def test_least_squares_with_the_same_jumps():
    """Weighted by signal-to-noise and segment by segment: near the likelihood fit, never better than it."""
    reads, times = ramps(12, hits=0.4)
    ours = iris_readout.fit_ramp(reads, times, **OURS, estimator="likelihood")
    groupdq = np.zeros((1, *reads.shape), np.uint8)
    jumps = ours.events
    groupdq[0, jumps["read"] - 1, jumps["y"], jumps["x"]] = FLAGS["JUMP_DET"]
    slope, _, _ = planes(stcal_fit(reads, "OLS_C", groupdq)[0])
    good = np.isfinite(slope) & ((ours.dq & Flag.DO_NOT_USE) == 0)
    assert np.mean(good) > 0.98
    off = (slope - ours.rate)[good] / np.sqrt(ours.var_read + ours.var_photon)[good]
    assert abs(np.mean(off)) < 0.05
    assert np.std(off) < 0.35
