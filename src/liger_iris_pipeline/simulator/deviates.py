"""Random deviates: as NumPy draws them, or the quick way, for detectors of many pixels."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

__all__ = ["NORMAL_FROM", "draw_normal", "draw_poisson"]

Float32 = npt.NDArray[np.float32]

NORMAL_FROM = 10.0
"""Mean from which on a quick Poisson deviate is made of a normal one."""

_MOST = 100
"""No deviate of a mean below `NORMAL_FROM` comes near this: the chance is 1e-62."""


def draw_normal(
    shape: tuple[int, ...], rng: np.random.Generator, *, quick: bool = False
) -> Float32:
    """Draw normal deviates of mean 0 and variance 1.

    Parameters
    ----------
    shape : tuple of int
        Shape of the array.
    rng : numpy.random.Generator
        Source of randomness.
    quick : bool, optional
        Half the time: by Box and Muller's method, up to 6.7 sigma.

    Returns
    -------
    ndarray of `shape`, float32
        Deviates.
    """
    if not quick:
        return rng.standard_normal(shape, dtype=np.float32)
    half = -(-math.prod(shape) // 2)
    uniform = rng.integers(0, 1 << 32, 2 * half, dtype=np.uint32).astype(np.float32)
    radius, angle = uniform[:half], uniform[half:]
    radius += np.float32(0.5)
    radius *= np.float32(2.0**-32)
    np.log(radius, out=radius)
    radius *= np.float32(-2.0)
    np.sqrt(radius, out=radius)
    angle *= np.float32(2.0 * np.pi * 2.0**-32)
    sine = np.sin(angle)
    np.cos(angle, out=angle)
    angle *= radius
    radius *= sine
    return uniform[: math.prod(shape)].reshape(shape)


def draw_poisson(mean: Float32, rng: np.random.Generator, *, quick: bool = False) -> Float32:
    """Draw Poisson deviates.

    Parameters
    ----------
    mean : ndarray (ny, nx) float32
        Expected numbers, >= 0.
    rng : numpy.random.Generator
        Source of randomness.
    quick : bool, optional
        A quarter of the time: by inversion; from `NORMAL_FROM` on by an expansion that is one off for
        one deviate in some thousands there and for fewer of larger means.

    Returns
    -------
    ndarray (ny, nx) float32
        Whole numbers.

    References
    ----------
    Giles 2016, ACM Trans. Math. Softw. 42, 7, doi:10.1145/2699466, eq. (4): with w normal,
    floor(m + w m^1/2 + (1/3 + w^2/6) - (w/36 + w^3/72) m^-1/2 + (-8/405 + 7 w^2/810 + w^4/270) / m).
    """
    if not quick:
        return rng.poisson(mean).astype(np.float32)
    small = np.flatnonzero(mean < NORMAL_FROM)
    if small.size == mean.size:
        return _by_search(mean.ravel(), rng).reshape(mean.shape)
    counts = _by_expansion(np.maximum(mean, np.float32(NORMAL_FROM)), rng)
    counts.ravel()[small] = _by_search(mean.ravel()[small], rng)
    return counts


def _by_expansion(mean: Float32, rng: np.random.Generator) -> Float32:
    """Draw deviates (ny, nx) of large means from normal ones."""
    w = draw_normal(mean.shape, rng, quick=True)
    w2 = w * w
    root = np.sqrt(mean)
    third = (w2 * np.float32(1 / 270) + np.float32(7 / 810)) * w2 - np.float32(8 / 405)
    second = w * (w2 * np.float32(1 / 72) + np.float32(1 / 36))
    counts = mean + (np.float32(1 / 3) + w2 * np.float32(1 / 6))
    counts += root * w
    counts -= second / root
    counts += third / mean
    return np.asarray(np.maximum(np.floor(counts, out=counts), 0.0, out=counts))


def _by_search(mean: Float32, rng: np.random.Generator) -> Float32:
    """Draw deviates (n,) of small means: count how many terms of the sum a uniform one is above."""
    counts = np.zeros(mean.size, np.float32)
    rest = rng.random(mean.size)
    average = mean.astype(np.float64)
    term = np.exp(-average)
    where = np.flatnonzero(rest >= term)
    rest, term, average = rest[where], term[where], average[where]
    for number in range(1, _MOST):
        if not where.size:
            break
        counts[where] = number
        rest -= term
        term *= average / number
        above = rest >= term
        where, rest, term, average = where[above], rest[above], term[above], average[above]
    return counts
