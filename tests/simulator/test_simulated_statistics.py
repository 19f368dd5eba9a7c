"""The written reads against the truth, by arithmetic of our own."""

import numpy as np
import pytest
from astropy.io import fits

SCIENCE = np.s_[4:-4, 4:-4]


def ramp(night, imtype, detector, exp_no, ramp_no=1):
    """Reads (nread, ny, nx) float64 and times (nread,) of one ramp, ordered by READ_NO."""
    reads = {}
    for path in night.folder.glob(f"*_{detector}_{imtype}_LVL0_{exp_no:04d}-{ramp_no:02d}-*.fits"):
        with fits.open(path) as hdus:
            header = hdus[0].header
            time = (header["READTIME"] - header["RST_TIME"]) * 1e-6
            reads[header["READ_NO"]] = (time, hdus[0].data.astype(float))
    order = sorted(reads)
    return np.array([reads[k][1] for k in order]), np.array([reads[k][0] for k in order])


def level(read, noutputs=4):
    """Take the mean of the reference pixels of each output and column parity off a read."""
    out, width = read.copy(), read.shape[1] // noutputs
    for o in range(noutputs):
        for parity in (0, 1):
            columns = np.arange(o * width + parity, (o + 1) * width, 2)
            rows = np.r_[0:4, read.shape[0] - 4 : read.shape[0]]
            out[:, columns] -= read[np.ix_(rows, columns)].mean()
    return out


def test_photon_transfer_gives_the_gain(straight, straight_truth):
    maps = straight_truth.maps("IMG2")
    good = (maps["BAD"] == 0)[SCIENCE]
    gain = maps["GAIN"][SCIENCE][good].mean()
    steps = []
    for number in (1, 2):
        reads, _ = ramp(straight, "FLAT", "IMG2", number)
        steps.append((level(reads[-1]) - level(reads[0]))[SCIENCE][good])
    noise = np.var(steps[0] - steps[1]) / 2 - 2 * (9.0 / gain) ** 2
    measured = np.mean(steps) / noise
    assert measured == pytest.approx(gain, rel=3 * np.sqrt(2 / good.sum()))


def test_read_noise_from_differences(straight, straight_truth):
    maps = straight_truth.maps("IMG2")
    good = (maps["BAD"] == 0)[SCIENCE]
    reads, _ = ramp(straight, "DARK", "IMG2", 1)
    difference = (level(reads[3]) - level(reads[2]))[SCIENCE] * maps["GAIN"][SCIENCE]
    expected = np.sqrt(np.mean(2 * maps["READNOISE"][SCIENCE][good] ** 2))
    assert difference[good].std() == pytest.approx(expected, rel=0.02)
    reference = (maps["BAD"] > 0) & (maps["FLAT"] == 0)
    edge = ((reads[3] - reads[2]) * maps["GAIN"])[:, 4:40:2][reference[:, 4:40:2]]
    assert edge.std() == pytest.approx(np.sqrt(2) * 9.0, rel=0.15)  # border reads noise, no light


def test_reset_noise_between_ramps(straight, straight_truth):
    maps = straight_truth.maps("IMG2")
    good = (maps["BAD"] == 0)[SCIENCE]
    first, second = (ramp(straight, "DARK", "IMG2", 1, k)[0][0] for k in (1, 2))
    step = (level(first) - level(second))[SCIENCE][good] * maps["GAIN"][SCIENCE][good]
    assert step.std() == pytest.approx(np.sqrt(2) * np.hypot(50.0, 9.0), rel=0.02)


def test_pedestal_is_relative_to_the_reference_pixels(straight, straight_truth):
    maps = straight_truth.maps("IMG2")
    good = (maps["BAD"] == 0)[SCIENCE]
    reads, _ = ramp(straight, "DARK", "IMG2", 1)
    offset = (level(reads[0]) - maps["PEDESTAL"])[SCIENCE][good]
    assert abs(offset.mean()) < 3.0


def test_output_levels_drift(straight):
    reads, _ = ramp(straight, "DARK", "IMG2", 2)
    border = reads[:, :4].reshape(len(reads), 4, 4, 40).mean(axis=(1, 3))
    assert np.ptp(border, axis=0).min() > 1.0
    science = np.median(reads[:, 4:-4].reshape(len(reads), 120, 4, 40), axis=(1, 3))
    assert np.allclose(np.diff(science, axis=0), np.diff(border, axis=0), atol=2.0)


def rate_of(night, maps, imtype, exp_no):
    """Rate (ny, nx) of an exposure of IMG2 before its flat, from last minus first reads [e-/s]."""
    frames = []
    for k in (1, 2):
        reads, times = ramp(night, imtype, "IMG2", exp_no, k)
        step = (level(reads[-1]) - level(reads[0])) / (times[-1] - times[0])
        good = np.where(maps["BAD"] == 0, maps["FLAT"], np.nan)
        frames.append((step * maps["GAIN"] - maps["DARK"]) / good)
    return np.mean(frames, axis=0)


def test_stars_in_the_reads(straight, straight_truth):
    t, obs = straight_truth, "2026B-P001-001"
    rate = rate_of(straight, t.maps("IMG2"), "SCI", 1)
    light = t.rate(obs, 1, "IMG2")
    good = np.isfinite(rate)
    y, x = np.indices(rate.shape)
    seen = t.select(t.positions, obs, 1, "IMG2")
    seen = seen[seen["seen"]]
    assert len(seen) > 0
    for place in seen:
        inside = (np.hypot(y - place["y"], x - place["x"]) < 10) & good
        sigma = np.sqrt(light[inside].sum() / (2 * 15.0)) + 0.02 * inside.sum()
        assert light[inside].sum() > 5000
        assert abs(rate[inside].sum() - light[inside].sum()) < 4 * sigma


def test_sky_in_the_reads(straight, straight_truth):
    throughput = straight_truth.detectors["throughput"][0]
    blank = rate_of(straight, straight_truth.maps("IMG2"), "SKY", 2)
    assert np.nanmean(blank) == pytest.approx(15.0 * throughput, abs=0.1)
    assert np.ptp(straight_truth.rate("2026B-P001-001", 2, "IMG2")[SCIENCE]) < 0.01


def test_cosmic_rays_are_where_the_truth_says(small, small_truth):
    maps = small_truth.maps("IMG1")
    reads, _ = ramp(small, "DARK", "IMG1", 1)
    charge = np.array([level(r) for r in reads]) * maps["GAIN"]
    steps = np.diff(charge, axis=0)
    quiet = (maps["BAD"] == 0)[SCIENCE]
    hits = small_truth.select(small_truth.cosmics, "2026B-P001-101", 1, "IMG1")
    true = np.zeros_like(steps)
    for hit in hits[hits["read"] > 1]:
        true[hit["read"] - 2, hit["y"], hit["x"]] += hit["charge"]
    residual = (steps - true)[:, 4:-4, 4:-4][:, quiet]
    assert np.abs(residual).max() < 7 * np.sqrt(2) * 12.0
    assert residual.std() == pytest.approx(np.sqrt(2) * 9.0, rel=0.03)
    assert np.all(hits["charge"] > 0)
    assert 50 <= hits["charge"].sum() / max(len(hits), 1) <= 5000


def test_number_of_hit_pixels(small, small_truth):
    cosmics = small_truth.cosmics
    nscience = 120 * 152
    seconds = sum(e["nramp"] * {"FLAT": 15.0}.get(e["imtype"], 18.0) for e in small_truth.exposures)
    fraction = len(cosmics) / (nscience * 2 * seconds) * 30.0
    assert 0.005 < fraction < 0.011  # 0.5 to 1 % in a ramp of 30 s


def test_full_pixels_reach_the_saturation_reference(small, small_truth):
    nfull = 0
    for detector in ("IMG1", "IMG3"):
        path = next(small.folder.glob(f"refs/IRIS_{detector}_SATURATION_*.fits"))
        limit = fits.getdata(path, "SCI")
        well = small_truth.maps(detector)["FULLWELL"]
        for number in (1, 2, 3):
            reads, _ = ramp(small, "SCI", detector, number)
            full = small_truth.select(small_truth.full, "2026B-P001-001", number, detector)
            first = np.full(limit.shape, 99)
            first[full["y"], full["x"]] = full["read"]
            true = np.arange(1, len(reads) + 1)[:, None, None] >= first
            over = reads >= limit
            assert np.all(over[true])
            assert np.mean(over & ~true) < 1e-4
            assert np.all(full["charge"] == well[full["y"], full["x"]])
            nfull += len(full)
    assert nfull > 5


def test_nonlinear_by_five_percent(small, small_truth):
    """A flat's later reads fall behind the first ones, by what the true curve says."""
    maps = small_truth.maps("IMG3")
    good = (maps["BAD"] == 0)[SCIENCE]
    path = next(small.folder.glob("refs/IRIS_IMG3_LINEARITY_*.fits"))
    with fits.open(path) as hdus:
        coeffs = hdus["COEFFS"].data.astype(float)
        pedestal = hdus["PEDESTAL"].data
    reads, times = ramp(small, "FLAT", "IMG3", 1)
    x = np.array([level(r) - pedestal for r in reads])
    raw = np.array([np.median(v[SCIENCE][good]) for v in x])
    linear = sum(c * x**k for k, c in enumerate(coeffs))
    straight = np.array([np.median(v[SCIENCE][good]) for v in linear])
    assert (raw[4] - raw[3]) / (raw[1] - raw[0]) < 0.97
    steps = np.diff(straight) / np.diff(times)
    assert np.ptp(steps) / steps.mean() < 0.004
