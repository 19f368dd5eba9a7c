"""Slow, obvious versions of what is done to frames: plain loops over Python numbers."""

import math
import statistics

DO_NOT_USE = 1


def combine_pixel(values, reads, photons, flags, clip=4.0):
    """Mean, variance, flags and number used of one pixel of a stack."""
    factors = {2: 1.196, 3: 1.495, 4: 1.363, 5: 1.206, 6: 1.2, 7: 1.14, 8: 1.129, 9: 1.107}
    kept = [
        i
        for i in range(len(values))
        if not flags[i] & DO_NOT_USE
        and all(math.isfinite(v) for v in (values[i], reads[i], photons[i]))
    ]
    for _ in range(5):
        if len(kept) < 3:
            break
        n = len(kept)
        centre = statistics.median(values[i] for i in kept)
        mad = statistics.median(abs(values[i] - centre) for i in kept)
        robust = 1.4826 * mad * factors.get(n, n / (n - 0.8))
        expected = math.sqrt(statistics.median(reads[i] + photons[i] for i in kept))
        if n < 6:
            robust = min(robust, 2 * expected)
        limit = clip * max(robust, expected)
        fewer = [i for i in kept if abs(values[i] - centre) <= limit]
        if len(fewer) == n:
            break
        kept = fewer
    if not kept:
        every = DO_NOT_USE
        for f in flags:
            every |= f
        return math.nan, math.nan, every, 0
    weights = {i: 1.0 / reads[i] for i in kept}
    total = sum(weights.values())
    mean = sum(weights[i] * values[i] for i in kept) / total
    variance = sum(weights[i] ** 2 * (reads[i] + photons[i]) for i in kept) / total**2
    bits = 0
    for i in kept:
        bits |= flags[i]
    return mean, variance, bits, len(kept)


def gnomonic(ra, dec, ra0, dec0):
    """Standard coordinates (xi, eta) [deg] by spherical trigonometry (Smart 1931, eq. XII.12)."""
    a, d, a0, d0 = (math.radians(v) for v in (ra, dec, ra0, dec0))
    cosine = math.sin(d0) * math.sin(d) + math.cos(d0) * math.cos(d) * math.cos(a - a0)
    xi = math.cos(d) * math.sin(a - a0) / cosine
    eta = (math.cos(d0) * math.sin(d) - math.sin(d0) * math.cos(d) * math.cos(a - a0)) / cosine
    return math.degrees(xi), math.degrees(eta)
