"""Simulated ramps whose truth is known.

Rates are lognormal (median 20 e-/s), reads 1.5 s apart, pedestal 1000 DN, read noise 10 e-, gain
1 e-/DN; one pixel in a hundred is hit once by 200 e- and more. The detector bends: counts are made
with the inverse of a per-pixel polynomial, so that the linearity correction has something to do.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["SPACING", "Detector", "Ramp", "complain", "ols_sigma", "simulate", "stream"]

#: Time between reads [s], read noise [e-], pedestal [DN].
SPACING, READ_NOISE, PEDESTAL = 1.5, 10.0, 1000.0
MEDIAN_RATE, HIT_FRACTION = 20.0, 0.01
#: Rows that are simulated; they are repeated down the detector. No cache holds a row of all reads
#: times this, and no branch predictor learns it.
TILE_ROWS = 128

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class Detector:
    """Reference maps, each (ny, nx) float32.

    Attributes
    ----------
    coeffs : ndarray (5, ny, nx) float32
        Linearity polynomial, ascending powers of DN.
    limit, pedestal, saturation : ndarray (ny, nx) float32
        Limit of the polynomial, its zero point, raw saturation level [DN].
    gain : ndarray (ny, nx) float32
        Gain [e-/DN].
    read_noise : ndarray (ny, nx) float32
        Noise of a single read [e-].
    """

    coeffs: Array
    limit: Array
    pedestal: Array
    saturation: Array
    gain: Array
    read_noise: Array

    def options(self) -> dict[str, Any]:
        """Return the keywords of iris_readout for a fit with all maps."""
        return {
            "gain": self.gain,
            "read_noise": self.read_noise,
            "saturation": self.saturation,
            "linearity": (self.coeffs, self.limit, self.pedestal),
        }

    def linearise(self, reads: Array, rows: int) -> Array:
        """Return the first rows as linear charge [e-], float32, for peers that do not linearise."""
        x = reads[:, :rows].astype(np.float32) - self.pedestal[:rows]
        return _polynomial(self.coeffs[:, :rows], x)

    @property
    def nbytes(self) -> int:
        """Size of all maps [bytes]."""
        return sum(getattr(self, field.name).nbytes for field in dataclasses.fields(self))


@dataclasses.dataclass(frozen=True, eq=False)
class Ramp:
    """One simulated ramp.

    Attributes
    ----------
    reads : ndarray (nread, ny, nx) uint16
        Raw counts [DN].
    times : ndarray (nread,) float64
        Seconds since the reset.
    rate : ndarray (ny, nx) float32
        True rate [e-/s].
    hit : ndarray (ny, nx) bool
        Pixels with a cosmic-ray hit.
    saturated : ndarray (ny, nx) bool
        Pixels with a saturated read.
    detector : Detector
        Reference maps.
    """

    reads: npt.NDArray[np.uint16]
    times: npt.NDArray[np.float64]
    rate: npt.NDArray[np.float32]
    hit: npt.NDArray[np.bool_]
    saturated: npt.NDArray[np.bool_]
    detector: Detector


def simulate(
    random: np.random.Generator, nread: int, shape: tuple[int, int], *, hits: bool = True
) -> Ramp:
    """Simulate a ramp.

    Parameters
    ----------
    random : numpy.random.Generator
        Source of all random numbers.
    nread : int
        Number of reads.
    shape : tuple of int
        (ny, nx).
    hits : bool
        With cosmic-ray hits.

    Returns
    -------
    Ramp
        Reads and truth.
    """
    rows = min(shape[0], TILE_ROWS)
    tile = (rows, shape[1])
    rate = random.lognormal(np.log(MEDIAN_RATE), 1.0, tile).astype(np.float32)
    detector = _detector(random, tile)
    hit_at = np.where(random.random(tile) < HIT_FRACTION, random.integers(1, nread, tile), nread)
    if not hits:
        hit_at[:] = nread
    reads = np.empty((nread, *shape), np.uint16)
    for number, counts in enumerate(_reads(random, rate, detector, hit_at, nread)):
        reads[number] = _repeat(counts, shape)
    saturated = np.any(reads[:, :rows] >= detector.saturation, axis=0)
    maps = {f.name: _repeat(getattr(detector, f.name), shape) for f in dataclasses.fields(detector)}
    return Ramp(
        reads,
        np.arange(1, nread + 1, dtype=np.float64) * SPACING,
        _repeat(rate, shape),
        _repeat(hit_at < nread, shape),
        _repeat(np.asarray(saturated), shape),
        Detector(**maps),
    )


def stream(
    random: np.random.Generator, nread: int, shape: tuple[int, int], border: int = 4
) -> tuple[Detector, Iterator[tuple[npt.NDArray[np.uint16], float]]]:
    """Simulate a ramp whose reads come one by one, with a border of reference pixels.

    Parameters
    ----------
    random : numpy.random.Generator
        Source of all random numbers.
    nread : int
        Number of reads.
    shape : tuple of int
        (ny, nx).
    border : int
        Width of the border that sees no light.

    Returns
    -------
    detector : Detector
        Reference maps; the pedestal is 0, since the reference correction takes it away.
    reads : iterator of tuple
        Each read (ny, nx) uint16, in one buffer that is used again, and its time [s].
    """
    tile = (min(shape[0], TILE_ROWS // 2), shape[1])
    rate = random.lognormal(np.log(MEDIAN_RATE), 1.0, tile).astype(np.float32)
    rate[:, :border] = rate[:, -border:] = 0
    detector = _detector(random, tile)
    maps = {f.name: _repeat(getattr(detector, f.name), shape) for f in dataclasses.fields(detector)}
    maps["pedestal"] = np.zeros(shape, np.float32)
    hit_at = np.where(random.random(tile) < HIT_FRACTION, random.integers(1, nread, tile), nread)

    def reads() -> Iterator[tuple[npt.NDArray[np.uint16], float]]:
        buffer = np.empty(shape, np.uint16)
        dark = np.rint(random.normal(PEDESTAL, READ_NOISE, (border, shape[1]))).astype(np.uint16)
        for number, counts in enumerate(_reads(random, rate, detector, hit_at, nread), 1):
            _repeat(counts, shape, buffer)
            buffer[:border] = buffer[-border:] = dark
            yield buffer, SPACING * number

    return Detector(**maps), reads()


def ols_sigma(rate: Array, nread: int) -> Array:
    """Return the error of an ordinary least-squares slope of evenly spaced reads [e-/s].

    The photon term is that of equally weighted reads with shared photon counts, 6 (n^2 + 1) / (5 n (n^2 - 1)).
    """
    n = float(nread)
    read = 12 * READ_NOISE**2 / (n * (n**2 - 1) * SPACING**2)
    photon = 1.2 * (n**2 + 1) / (n * (n**2 - 1) * SPACING)
    return np.sqrt(read + photon * rate)


def complain(
    ramp: Ramp, rate: Array, sigma: Array | None, *, hits_removed: bool = False, widest: float = 1.1
) -> str | None:
    """Compare a rate image, or its first rows, with the truth.

    Parameters
    ----------
    ramp : Ramp
        What was fitted.
    rate, sigma : ndarray (rows, nx)
        The answer [e-/s] and its error; without an error that of least squares is used.
    hits_removed : bool
        Whether the method is to get pixels with a hit right.
    widest : float
        Largest scatter of the pulls that passes; the smallest is 0.9.

    Returns
    -------
    str or None
        What is wrong with it.
    """
    rows = len(rate)
    truth, hit = ramp.rate[:rows], ramp.hit[:rows]
    finite = np.isfinite(rate).mean()
    if finite < 0.99:
        return f"only {finite:.1%} of the rates are finite"
    if sigma is None:
        sigma = ols_sigma(truth, len(ramp.times))
    pull = (rate - truth) / sigma
    quiet = ~hit & ~ramp.saturated[:rows]
    middle, width = _spread(pull[quiet])
    if abs(middle) > 0.1 or not 0.9 < width < widest:
        return f"pulls of quiet pixels are {middle:.2f} +- {width:.2f}, expected 0 +- 1"
    if hits_removed:
        middle, width = _spread(pull[hit & ~ramp.saturated[:rows]])
        if abs(middle) > 0.3 or not 0.8 < width < 1.4:
            return f"pulls of hit pixels are {middle:.2f} +- {width:.2f}, expected 0 +- 1"
    return None


def _spread(values: Array) -> tuple[float, float]:
    """Return the median and 1.4826 times the median absolute deviation."""
    middle = float(np.nanmedian(values))
    return middle, 1.4826 * float(np.nanmedian(np.abs(values - middle)))


def _detector(random: np.random.Generator, shape: tuple[int, int]) -> Detector:
    """Return maps with a scatter of 10 % in the coefficients: 5 % non-linear at full well."""
    scatter = random.normal(1.0, 0.1, (3, *shape)).astype(np.float32)
    coeffs = np.empty((5, *shape), np.float32)
    coeffs[0], coeffs[1] = 0.0, 1.0
    coeffs[2:] = scatter * np.array([6e-7, 2e-12, 1e-17], np.float32)[:, None, None]
    return Detector(
        coeffs=coeffs,
        limit=np.full(shape, 63000, np.float32),
        pedestal=np.full(shape, PEDESTAL, np.float32),
        saturation=random.normal(60000, 500, shape).astype(np.float32),
        gain=np.ones(shape, np.float32),
        read_noise=np.full(shape, READ_NOISE, np.float32),
    )


def _polynomial(coeffs: Array, x: Array) -> Array:
    result = np.zeros_like(x)
    for plane in coeffs[::-1]:
        result *= x
        result += plane
    return result


def _bend(coeffs: Array, y: Array) -> Array:
    """Return x with polynomial(x) = y; the slope is 1 to 1.1, so that few steps are enough."""
    x = y.copy()
    for _ in range(4):
        x -= _polynomial(coeffs, x) - y
    return x


def _reads(
    random: np.random.Generator, rate: Array, detector: Detector, hit_at: Array, nread: int
) -> Iterator[npt.NDArray[np.uint16]]:
    charge = np.zeros(rate.shape, np.float32)
    amplitude = (200 + random.exponential(1500, rate.shape)).astype(np.float32)
    for number in range(nread):
        charge += random.poisson(rate * SPACING)
        charge += amplitude * (hit_at == number)
        counts = _bend(detector.coeffs, charge) + detector.pedestal
        counts += READ_NOISE * random.standard_normal(rate.shape, np.float32)
        yield np.rint(counts).clip(1, 65535).astype(np.uint16)


def _repeat(tile: Array, shape: tuple[int, int], out: Array | None = None) -> Array:
    """Repeat the rows of a tile (..., rows, nx) down to (..., ny, nx)."""
    if out is None:
        out = np.empty((*tile.shape[:-2], *shape), tile.dtype)
    rows = tile.shape[-2]
    for start in range(0, shape[0], rows):
        part = out[..., start : start + rows, :]
        part[...] = tile[..., : part.shape[-2], :]
    return out
