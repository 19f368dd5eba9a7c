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


def read_covariance(times, noise, rate):
    """Covariance of the reads: noise of each, and the charge that two of them have in common."""
    return noise**2 * np.eye(len(times)) + max(rate, 0.0) * poisson_covariance(times)


def segment_design(times, breaks):
    """Columns: time, then the offset of each run of reads; a break is the first read of a run."""
    runs = segments(len(times), breaks)
    design = np.zeros((len(times), 1 + len(runs)))
    design[:, 0] = times
    for column, reads in enumerate(runs, 1):
        design[reads, column] = 1.0
    return design


def weights_at(times, noise, breaks, rate):
    """Weight of each read in every parameter of `segment_design`, best at a known rate."""
    design = segment_design(times, breaks)
    inverse = np.linalg.inv(read_covariance(times, noise, rate))
    return np.linalg.solve(design.T @ inverse @ design, design.T @ inverse)


def chi_square_at(charge, times, noise, breaks, rate):
    """Quadratic form of the residuals of the best fit, with the covariance of a known rate."""
    residual = charge - segment_design(times, breaks) @ (
        weights_at(times, noise, breaks, rate) @ charge
    )
    return residual @ np.linalg.solve(read_covariance(times, noise, rate), residual)


def common_rate(charge, times, noise, breaks=()):
    """Rate that is its own best estimate: the covariance is that of the rate which it gives."""
    rate = (charge[-1] - charge[0]) / (times[-1] - times[0])
    for _ in range(200):
        before, rate = rate, weights_at(times, noise, breaks, rate)[0] @ charge
        if abs(rate - before) <= 1e-9 * abs(rate):
            break
    return rate


def fit_likelihood(charge, times, noise, breaks=()):
    """Rate of one pixel with the full covariance of its reads, variances, chi-square and reads used."""
    charge, times = np.asarray(charge, float), np.asarray(times, float)
    rate = common_rate(charge, times, noise, breaks)
    weights = weights_at(times, noise, breaks, rate)[0]
    factor = weights @ poisson_covariance(times) @ weights
    freedom = len(times) - 2 - len(set(breaks))
    squares = chi_square_at(charge, times, noise, breaks, rate)
    return {
        "rate": rate,
        "var_read": noise**2 * weights @ weights,
        "var_photon": max(rate, 0.0) * factor,
        "photon_factor": factor,
        "chi2": squares / freedom if freedom > 0 else np.nan,
        "nused": sum(len(s) for s in segments(len(times), breaks) if len(s) > 1),
        "weights": weights,
    }


def improvement(charge, times, noise, breaks, read, rate):
    """Change of chi-square when the difference before `read` is left out, with one covariance for both."""
    before = chi_square_at(charge, times, noise, breaks, rate)
    return before - chi_square_at(charge, times, noise, {*breaks, read}, rate)


def omission(charge, times, noise, breaks, read):
    """What leaving out the difference before `read` gives: step, its sigmas, change of chi-square."""
    more = {*breaks, read}
    rate = common_rate(charge, times, noise, more)
    contrast = np.zeros(2 + len(more))
    after = 1 + sorted({0, *more}).index(read)
    contrast[after], contrast[after - 1] = 1.0, -1.0
    step = contrast @ weights_at(times, noise, more, rate)
    variance = step @ read_covariance(times, noise, rate) @ step
    gain = improvement(charge, times, noise, breaks, read, rate)
    return step @ charge, step @ charge / np.sqrt(variance), gain


def excess(charge, times, noise, breaks, read, threshold):
    """How far a difference lies above its threshold [sigma] by the rule of docs/decisions/0006."""
    all_rate = common_rate(charge, times, noise, breaks)
    rest_rate = common_rate(charge, times, noise, {*breaks, read})
    apart = abs(all_rate - rest_rate)
    bright = np.clip(min(all_rate, rest_rate) / apart, 0.0, 1.0) if apart > 0 else 1.0
    rate = rest_rate if rest_rate <= all_rate else bright * rest_rate + (1 - bright) * all_rate
    gain = improvement(charge, times, noise, breaks, read, rate)
    ratio = gain / improvement(charge, times, noise, breaks, read, all_rate)
    surplus = np.log(np.cosh(bright * threshold**3 * 0.5 * np.log(ratio) / np.sqrt(gain)))
    raised = threshold**2 * (1 + min(2 * 1.2 * surplus / threshold**2, 0.025))
    return np.sqrt(gain) - np.sqrt(raised)


def find_likelihood_jumps(charge, times, noise, threshold):
    """Reads that first contain a jump, and how clear the least clear decision was [sigma].

    It is not clear at all (0) which of two jumps comes first where that depends on the rate of the
    covariance: that without the suspect, or that of all differences.
    """
    charge, times = np.asarray(charge, float), np.asarray(times, float)
    breaks, margin = set(), np.inf
    while True:
        usable = [k for k in range(1, len(times)) if k not in breaks]
        if len(usable) < 2:
            return breaks, margin
        found = {k: omission(charge, times, noise, breaks, k) for k in usable}
        if len(usable) == 2:  # either may be left out: chi-square cannot tell which is the jump
            worst = max(usable, key=lambda k: found[k][0])
        else:
            worst = max(usable, key=lambda k: found[k][2])
            order = sorted((np.sqrt(found[k][2]) for k in usable), reverse=True)
            rate = common_rate(charge, times, noise, breaks)
            gains = {k: improvement(charge, times, noise, breaks, k, rate) for k in usable}
            if order[0] > threshold:
                clear = max(gains, key=gains.get) == worst
                margin = min(margin, order[0] - order[1]) if clear else 0.0
        beyond = excess(charge, times, noise, breaks, worst, threshold)
        margin = min(margin, abs(beyond))
        if beyond <= 0:
            return breaks, margin
        breaks.add(worst)


def response_ramps(times, rate, gain, step):
    """Straight ramps (nread, 1, 2 nread + 1) whose pixel k has read k raised by `step` DN, nread + k lowered.

    On a straight ramp the weights of a fit do not change to first order, whatever they depend on, so that
    `response` of the fitted rates gives the weight of every read.
    """
    nread = len(times)
    counts = np.rint(2000 + rate * np.asarray(times) / gain).astype(int)
    reads = np.repeat(counts[:, None], 2 * nread + 1, axis=1)
    reads[range(nread), range(nread)] += step
    reads[range(nread), range(nread, 2 * nread)] -= step
    return reads[:, None, :].astype(np.uint16)


def response(rates, gain, step):
    """Weight of every read [1/s] from the rates of `response_ramps`."""
    rates = np.asarray(rates, float).ravel()
    nread = len(rates) // 2
    return (rates[:nread] - rates[nread : 2 * nread]) / (2 * step * gain)
