"""Slow, obvious versions of the ramp fit: dense matrices, one pixel at a time; and ramps with known truth."""

from itertools import pairwise

import numpy as np


def simulate_reads(rng, rate, times, noise, gain=0.5, start=1000.0):
    """Raw counts (nread, ny, nx) uint16 of Poisson charge at `rate` (ny, nx) e-/s, seen with noise [e- rms]."""
    steps = np.diff(times, prepend=0.0)
    charge = np.cumsum([rng.poisson(np.maximum(rate, 0) * step) for step in steps], axis=0)
    counts = start + (charge + rng.normal(0.0, noise, charge.shape)) / gain
    return np.rint(np.clip(counts, 1, 65534)).astype(np.uint16)


def segments(nread, jumps):
    """Lists of reads between jumps; a jump is the first read that contains it."""
    edges = [0, *sorted(jumps), nread]
    return [list(range(a, b)) for a, b in pairwise(edges)]


def slope_weights(times, jumps):
    """Weight of each read in the slope of a least-squares fit with an offset per segment."""
    design = np.zeros((len(times), 1 + len(jumps) + 1))
    design[:, 0] = times
    for column, reads in enumerate(segments(len(times), jumps), 1):
        design[reads, column] = 1.0
    return np.linalg.pinv(design)[0]


def difference_weights(times, nfowler):
    """Weight of each read in (mean of the last - mean of the first) / time between them."""
    n = min(nfowler, len(times) // 2)
    weights = np.zeros(len(times))
    weights[:n] -= 1.0 / n
    weights[-n:] += 1.0 / n
    return weights / (weights @ times)


def poisson_covariance(times):
    """Covariance of the charge in the reads at 1 e-/s."""
    return np.minimum.outer(times, times)


def differences(nread, jumps):
    """Matrix from reads to the differences that contain no jump."""
    rows = []
    for read in range(1, nread):
        if read not in jumps:
            row = np.zeros(nread)
            row[read], row[read - 1] = 1.0, -1.0
            rows.append(row)
    return np.array(rows)


def chi_square(charge, times, noise, jumps, rate):
    """Generalised chi-square per degree of freedom of the differences about the best constant rate."""
    to_differences = differences(len(times), jumps)
    if len(to_differences) < 2:
        return np.nan
    covariance = noise**2 * np.eye(len(times)) + max(rate, 0.0) * poisson_covariance(times)
    inverse = np.linalg.inv(to_differences @ covariance @ to_differences.T)
    d, t = to_differences @ charge, to_differences @ times
    residual = d - t * (t @ inverse @ d) / (t @ inverse @ t)
    return residual @ inverse @ residual / (len(d) - 1)


def significance(charge, times, noise, jumps, read):
    """Excess of the difference before `read` over the rate of the others, and over its error."""
    others = differences(len(times), {*jumps, read})
    step = np.zeros(len(times))
    step[read], step[read - 1] = 1.0, -1.0
    elapsed = np.sum(others @ times)
    rate = np.sum(others @ charge) / elapsed
    contrast = step - (step @ times) / elapsed * others.sum(axis=0)
    variance = noise**2 * contrast @ contrast
    variance += max(rate, 0.0) * contrast @ poisson_covariance(times) @ contrast
    return contrast @ charge, contrast @ charge / np.sqrt(variance)


def find_jumps(charge, times, noise, threshold):
    """Reads that first contain a jump."""
    jumps = set()
    while True:
        usable = [k for k in range(1, len(times)) if k not in jumps]
        if len(usable) < 2:
            return jumps
        found = {k: significance(charge, times, noise, jumps, k) for k in usable}
        if len(usable) == 2:
            worst = max(usable, key=lambda k: found[k][0])
        else:
            worst = max(usable, key=lambda k: abs(found[k][1]))
        if abs(found[worst][1]) <= threshold:
            return jumps
        jumps.add(worst)


def fit_pixel(charge, times, noise, mode="utr", threshold=None, nfowler=1):
    """Rate, variances, chi-square, reads used and jumps of one pixel."""
    charge, times = np.asarray(charge, float), np.asarray(times, float)
    jumps = set()
    if mode == "utr":
        if threshold is not None:
            jumps = find_jumps(charge, times, noise, threshold)
        weights = slope_weights(times, jumps)
        nused = sum(len(s) for s in segments(len(times), jumps) if len(s) > 1)
    else:
        nfowler = 1 if mode == "cds" else nfowler
        weights = difference_weights(times, nfowler)
        nused = 2 * min(nfowler, len(times) // 2)
    rate = weights @ charge
    factor = weights @ poisson_covariance(times) @ weights
    return {
        "rate": rate,
        "var_read": noise**2 * weights @ weights,
        "var_photon": max(rate, 0.0) * factor,
        "photon_factor": factor,
        "chi2": chi_square(charge, times, noise, jumps, rate) if mode == "utr" else np.nan,
        "nused": nused,
        "jumps": [(k, *significance(charge, times, noise, jumps, k)) for k in sorted(jumps)],
    }
