"""The detector: its true maps, and the reads that light on it makes.

Chain of a read: photons and dark current arrive as Poisson counts between reads; cosmic rays add
charge; the reset left its own noise; a pixel holds no more than its full well; the node's
capacitance bends the signal; read noise, the empty pixel's pedestal and the drifting level of the
output are added; the converter rounds and clips.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from ..dq import Flag
from ..instrument.detectors import DETECTORS
from .cosmics import draw_hits
from .deviates import draw_normal, draw_poisson
from .scene import DetectorPhysics, Format, ReadPattern, Scene
from .seeds import Stream, stream

__all__ = [
    "DetectorTruth",
    "RampKey",
    "Readout",
    "curve_scale",
    "draw_detector",
    "draw_throughput",
    "expose",
    "linear_to_measured",
    "saturation_level",
]

Float32 = npt.NDArray[np.float32]

QUADRATIC, CUBIC = 0.7, 0.3
"""Shares of the missing signal at 90 % of full well that the x^2 and x^3 terms carry."""

_BLOCK = 1 << 15
"""Pixels that are worked on at a time: a few planes of them stay in the processor's cache."""


@dataclass(frozen=True, eq=False)
class DetectorTruth:
    """True maps of one detector; all arrays (ny, nx).

    Attributes
    ----------
    name : str
        Value of DETECTOR.
    index : int
        Place in the list of detectors, part of the random keys.
    nominal_gain : float
        Value of GAIN [e-/DN].
    throughput : float
        Sensitivity relative to the mean of all detectors.
    flat : ndarray float32
        Response, median 1 over the good pixels; 0 on the reference pixels.
    dark : ndarray float32
        Dark current [e-/s].
    gain : ndarray float32
        Conversion gain [e-/DN].
    read_noise : ndarray float32
        Noise of one read [e-].
    full_well : ndarray float32
        Charge that a pixel holds [e-].
    pedestal : ndarray float32
        Level of the empty pixel above the reference level [DN].
    curvature : ndarray float32
        Non-linearity relative to the nominal curve.
    bad : ndarray uint32
        DEAD, HOT, WARM, COLD, TELEGRAPH and reference pixels as DQ bits.
    output_level : ndarray (2, noutputs) float64
        Level of the even and of the odd columns of each output [DN].
    """

    name: str
    index: int
    nominal_gain: float
    throughput: float
    flat: Float32
    dark: Float32
    gain: Float32
    read_noise: Float32
    full_well: Float32
    pedestal: Float32
    curvature: Float32
    bad: npt.NDArray[np.uint32]
    output_level: npt.NDArray[np.float64]


@dataclass(frozen=True)
class RampKey:
    """What a ramp's random numbers hang on.

    Attributes
    ----------
    seed : int
        Seed of the night.
    observation, exposure, detector, ramp : int
        Observation number, EXP_NO, index of the detector, RAMP_NO.
    """

    seed: int
    observation: int
    exposure: int
    detector: int
    ramp: int

    def generator(self, purpose: Stream, *key: int) -> np.random.Generator:
        """Make the generator of one purpose within this ramp."""
        ramp = (self.observation, self.exposure, self.detector, self.ramp)
        return stream(self.seed, purpose, *ramp, *key)


@dataclass(frozen=True, eq=False)
class Readout:
    """One read of a ramp and what is true about it.

    Attributes
    ----------
    number : int
        READ_NO, from 1.
    time : float
        Start of the read since the reset [s].
    counts : ndarray (ny, nx) uint16
        Raw counts [DN].
    full : ndarray (ny, nx) bool
        Pixels at full well.
    """

    number: int
    time: float
    counts: npt.NDArray[np.uint16]
    full: npt.NDArray[np.bool_]


def draw_throughput(scene: Scene, seed: int) -> dict[str, float]:
    """Draw the throughput of every imager detector relative to their mean.

    Parameters
    ----------
    scene : Scene
        The scene.
    seed : int
        Seed of the night.

    Returns
    -------
    dict
        Detector name to throughput; the mean over all imager detectors is 1.
    """
    names = [name for name, facts in DETECTORS.items() if facts.quadrant]
    spread = stream(seed, Stream.THROUGHPUT).uniform(-1.0, 1.0, len(names))
    spread -= spread.mean()
    value = 1.0 + scene.physics.throughput_spread * spread / np.abs(spread).max()
    return dict(zip(names, value.tolist(), strict=True))


def _smooth(layout: Format, rng: np.random.Generator) -> Float32:
    """Draw a smooth surface (ny, nx) between about -1 and 1: a tilt and a bowl."""
    y = np.linspace(-1.0, 1.0, layout.ny, dtype=np.float32)[:, None]
    x = np.linspace(-1.0, 1.0, layout.nx, dtype=np.float32)[None, :]
    a, b = rng.uniform(-0.5, 0.5, 2)
    cy, cx = rng.uniform(-0.3, 0.3, 2)
    bowl = np.float32(0.5) - ((x - np.float32(cx)) ** 2 + (y - np.float32(cy)) ** 2) / 2
    return np.asarray(np.float32(a) * x + np.float32(b) * y + bowl, dtype=np.float32)


def _draw_bad(
    physics: DetectorPhysics, layout: Format, rng: np.random.Generator
) -> npt.NDArray[np.uint32]:
    """Draw the DQ bits (ny, nx) of dead, hot, warm and reference pixels."""
    chance = rng.random(layout.shape, dtype=np.float32)
    edges = np.cumsum([physics.dead_fraction, physics.hot_fraction, physics.warm_fraction])
    kinds = np.array(
        [Flag.DEAD | Flag.DO_NOT_USE, Flag.HOT | Flag.DO_NOT_USE, Flag.WARM, 0], dtype=np.uint32
    )
    bad = kinds[np.searchsorted(edges, chance, side="right")]
    bad[layout.reference] = Flag.REFERENCE_PIXEL | Flag.NON_SCIENCE | Flag.DO_NOT_USE
    return bad


def _draw_defects(
    physics: DetectorPhysics,
    layout: Format,
    bad: npt.NDArray[np.uint32],
    flat: Float32,
    rng: np.random.Generator,
) -> tuple[npt.NDArray[np.uint32], Float32]:
    """Make some good pixels cold, and let some jump between two levels."""
    chance = rng.random(layout.shape, dtype=np.float32)
    response = rng.uniform(0.05, 0.45, layout.shape).astype(np.float32)
    good = bad == 0
    cold = good & (chance < physics.cold_fraction)
    jumping = good & (chance > 1.0 - physics.telegraph_fraction)
    bits = (
        bad
        | np.where(cold, np.uint32(Flag.COLD), 0)
        | np.where(jumping, np.uint32(Flag.TELEGRAPH), 0)
    )
    return bits.astype(np.uint32), np.where(cold, flat * response, flat)


def _draw_dark(
    physics: DetectorPhysics, layout: Format, bad: npt.NDArray[np.uint32], rng: np.random.Generator
) -> Float32:
    """Draw the dark current (ny, nx) [e-/s]."""
    width = max(layout.shape) / 8.0
    y, x = np.arange(layout.ny)[:, None] / width, np.arange(layout.nx)[None, :] / width
    dark = (physics.dark_current + physics.glow * np.exp(-y) * np.exp(-x)).astype(np.float32)
    decades = rng.random(layout.shape, dtype=np.float32)
    hot, warm = (bad & Flag.HOT) > 0, (bad & Flag.WARM) > 0
    dark[hot] = 2.0 * 100.0 ** decades[hot]
    dark[warm] = 0.2 * 10.0 ** decades[warm]
    dark[layout.reference] = 0.0
    return dark


def _scatter(sigma: float, layout: Format, rng: np.random.Generator) -> Float32:
    """Draw normal deviations (ny, nx) of a sigma, cut at 3 sigma."""
    normal = rng.standard_normal(layout.shape, dtype=np.float32)
    return np.float32(sigma) * np.clip(normal, -3.0, 3.0)


def _draw_flat(
    physics: DetectorPhysics, layout: Format, bad: npt.NDArray[np.uint32], rng: np.random.Generator
) -> Float32:
    """Draw the response (ny, nx): pixel flat times illumination, median 1 over the good pixels."""
    smooth = 1.0 + np.float32(physics.illumination) * _smooth(layout, rng)
    flat = (1.0 + _scatter(physics.flat_scatter, layout, rng)) * smooth
    flat /= np.median(flat[bad == 0])
    flat[(bad & Flag.DEAD) > 0] *= 0.02
    flat[layout.reference] = 0.0
    return np.asarray(flat, dtype=np.float32)


def draw_detector(scene: Scene, name: str, seed: int) -> DetectorTruth:
    """Draw the true maps of one detector, ``IMG1`` to ``IMG4``, from the seed of the night."""
    physics, layout = scene.physics, scene.format
    index = list(DETECTORS).index(name)
    rng = stream(seed, Stream.DETECTOR, index)

    def scatter(sigma: float) -> Float32:
        """Draw relative deviations of every pixel."""
        return _scatter(sigma, layout, rng)

    bad = _draw_bad(physics, layout, rng)
    nominal = physics.nominal_gain[index]
    gain = nominal * (1.0 + physics.gain_offset * float(np.clip(rng.standard_normal(), -3.0, 3.0)))
    pedestal = physics.pedestal + physics.pedestal_scatter * scatter(1.0)
    reference = layout.reference
    # reference pixels stand at the level itself, with a scatter that their average nearly removes
    pedestal[reference] = (pedestal[reference] - physics.pedestal) / 10.0
    level = rng.normal(physics.bias, physics.output_scatter, layout.noutputs)
    odd = rng.normal(0.0, physics.odd_even, layout.noutputs)
    flat = _draw_flat(physics, layout, bad, rng)
    dark = _draw_dark(physics, layout, bad, rng)
    if physics.cold_fraction or physics.telegraph_fraction:
        bad, flat = _draw_defects(physics, layout, bad, flat, stream(seed, Stream.DEFECTS, index))
    return DetectorTruth(
        name=name,
        index=index,
        nominal_gain=nominal,
        throughput=draw_throughput(scene, seed)[name],
        flat=flat,
        dark=dark,
        gain=(np.float32(gain) * (1.0 + scatter(physics.gain_scatter))).astype(np.float32),
        read_noise=np.float32(physics.read_noise) * (1.0 + scatter(physics.read_noise_scatter)),
        full_well=np.float32(physics.full_well) * (1.0 + scatter(physics.full_well_scatter)),
        pedestal=pedestal.astype(np.float32),
        curvature=1.0 + scatter(physics.nonlinearity_scatter),
        bad=bad,
        output_level=np.stack([level, level + odd]),
    )


def curve_scale(physics: DetectorPhysics, nominal_gain: float) -> tuple[float, float]:
    """Give the nominal coefficients (c2, c3) of ``linear = x + c2 x^2 + c3 x^3`` [1/DN, 1/DN^2].

    At 90 % of full well the measured signal x misses the part ``nonlinearity`` of the linear one.
    """
    missing = physics.nonlinearity
    x90 = (1.0 - missing) * 0.9 * physics.full_well / nominal_gain
    excess = missing / (1.0 - missing)
    return QUADRATIC * excess / x90, CUBIC * excess / x90**2


def linear_to_measured(linear: Float32, curvature: Float32, scale: tuple[float, float]) -> Float32:
    """Bend a linear signal: solve ``linear = x + s (c2 x^2 + c3 x^3)`` for x.

    Parameters
    ----------
    linear : ndarray (ny, nx) float32
        Charge over gain [DN].
    curvature : ndarray (ny, nx) float32
        Factor s of the pixel.
    scale : (float, float)
        Nominal (c2, c3), from :func:`curve_scale`.

    Returns
    -------
    ndarray (ny, nx) float32
        Signal as the converter sees it, good to 0.01 DN [DN].

    Notes
    -----
    Three steps of Newton's method from x = linear. The polynomial of the linearity reference is
    exact by construction; what is wrong with a reference is what :class:`ReferenceErrors` put
    there.
    """
    c2, c3 = np.float32(scale[0]), np.float32(scale[1])
    measured = np.empty_like(linear)
    for rows in _blocks(linear.shape):
        a, b = curvature[rows] * c2, curvature[rows] * c3
        target = linear[rows]
        x = target.copy()
        for _ in range(3):
            bx = b * x
            slope = 1.0 + x * (2.0 * a + 3.0 * bx)
            x -= (x * (1.0 + x * (a + bx)) - target) / slope
        measured[rows] = x
    return measured


def saturation_level(truth: DetectorTruth, scene: Scene) -> Float32:
    """Give the mean raw level of a full pixel (ny, nx) [DN], before drift and noise."""
    scale = curve_scale(scene.physics, truth.nominal_gain)
    bent = linear_to_measured(truth.full_well / truth.gain, truth.curvature, scale)
    return bent + truth.pedestal + _spread_levels(truth.output_level, scene.format)


def _spread_levels(level: npt.NDArray[np.float64], layout: Format) -> Float32:
    """Spread levels (2, noutputs) of even and odd columns over a row (1, nx) [DN]."""
    column = np.arange(layout.nx)
    output = column // (layout.nx // layout.noutputs)
    return level[column % 2, output].astype(np.float32)[None, :]


def _blocks(shape: tuple[int, ...]) -> Iterator[slice]:
    """Give the rows of an array a block at a time."""
    step = max(1, _BLOCK // max(1, math.prod(shape[1:])))
    for start in range(0, shape[0], step):
        yield slice(start, start + step)


class _Telegraph:
    """The upper level of the telegraph pixels, read after read."""

    def __init__(self, truth: DetectorTruth, physics: DetectorPhysics, key: RampKey) -> None:
        self.where = (truth.bad & Flag.TELEGRAPH) > 0
        self.step = np.float32(physics.telegraph_step) / truth.gain
        self.chance, self.key = physics.telegraph_chance, key
        self.up = np.zeros(truth.bad.shape, np.bool_)

    def read(self, number: int) -> Float32:
        """Let levels change and give what is added to a read (ny, nx) [DN]."""
        rng = self.key.generator(Stream.TELEGRAPH, number)
        chance = rng.random(self.up.shape)
        self.up = chance < 0.5 if number == 1 else self.up ^ (chance < self.chance)
        return np.where(self.where & self.up, self.step, np.float32(0.0))


def _coupled(charge: Float32, part: float, layout: Format) -> Float32:
    """Share charge with the four neighbours; beyond the light-sensitive pixels it is as at their edge."""
    inner = np.pad(charge[layout.science], 1, mode="edge")
    around = inner[:-2, 1:-1] + inner[2:, 1:-1] + inner[1:-1, :-2] + inner[1:-1, 2:]
    seen = charge.copy()
    seen[layout.science] += np.float32(part) * (around - 4.0 * charge[layout.science])
    return seen


def _row_noise(sigma: float, layout: Format, rng: np.random.Generator) -> Float32:
    """Draw noise (ny, 1) of a rms [DN] with a 1/f spectrum, common to all outputs."""
    frequency = np.fft.rfftfreq(4 * layout.ny)[1:]
    phases = rng.standard_normal((2, frequency.size))
    spectrum = np.concatenate([[0.0], (phases[0] + 1j * phases[1]) / np.sqrt(frequency)])
    rows = np.fft.irfft(spectrum, 4 * layout.ny)
    rows *= sigma / np.sqrt(np.sum(1.0 / frequency) * 4.0 / (4 * layout.ny) ** 2)
    return rows[: layout.ny, None].astype(np.float32)


def expose(
    truth: DetectorTruth,
    scene: Scene,
    rate: Float32,
    pattern: ReadPattern,
    key: RampKey,
    *,
    release: Callable[[float, float], Float32] | None = None,
) -> tuple[npt.NDArray[np.void], Iterator[Readout]]:
    """Expose one ramp.

    Parameters
    ----------
    truth : DetectorTruth
        The detector.
    scene : Scene
        Its physics.
    rate : ndarray (ny, nx) float32
        Light and dark current: expected charge per second [e-/s].
    pattern : ReadPattern
        When to read.
    key : RampKey
        What the random numbers hang on.
    release : callable, optional
        Mean rate (ny, nx) [e-/s] that comes on top between two times since the reset [s].

    Returns
    -------
    hits : ndarray of cosmics.HIT
        Pixels that cosmic rays hit.
    reads : iterator of Readout
        The reads in order, one in memory at a time.
    """
    hits = draw_hits(scene.physics, scene.format, pattern.times, key.generator(Stream.RAMP, 0))

    def between(begin: float, end: float) -> Float32:
        """Give the expected rate between two times."""
        return rate if release is None else rate + release(begin, end)

    return hits, _reads(truth, scene, between, pattern, hits, key)


def _reads(
    truth: DetectorTruth,
    scene: Scene,
    rate: Callable[[float, float], Float32],
    pattern: ReadPattern,
    hits: npt.NDArray[np.void],
    key: RampKey,
) -> Iterator[Readout]:
    """Yield the reads of a ramp with the given cosmic-ray hits."""
    physics, layout = scene.physics, scene.format
    rng = key.generator(Stream.RAMP, 1)
    charge = np.float32(physics.ktc_noise) * rng.standard_normal(layout.shape, dtype=np.float32)
    charge[layout.reference] = 0.0
    level = truth.output_level.copy()
    before = 0.0
    telegraph = _Telegraph(truth, physics, key)
    for number, time in enumerate(pattern.times, start=1):
        rng = key.generator(Stream.READ, number)
        arriving = rate(before, float(time))
        for rows in _blocks(charge.shape):
            charge[rows] += draw_poisson(
                arriving[rows] * (float(time) - before), rng, quick=scene.quick
            )
        new = hits[hits["read"] == number]
        charge[new["y"], new["x"]] += new["charge"]
        np.minimum(charge, truth.full_well, out=charge)
        nstep = (float(time) - before) / pattern.frame_time
        level += rng.normal(0.0, physics.drift * np.sqrt(nstep), layout.noutputs)
        level[1] += rng.normal(0.0, physics.column_drift * np.sqrt(nstep), layout.noutputs)
        seen = _coupled(charge, physics.ipc, layout) if physics.ipc else charge
        added = []
        if physics.telegraph_fraction:
            added.append(telegraph.read(number))
        if physics.row_noise:
            added.append(_row_noise(physics.row_noise, layout, key.generator(Stream.ROWS, number)))
        counts = _digitise(truth, scene, seen, _spread_levels(level, layout), added, rng)
        yield Readout(number, float(time), counts, charge >= truth.full_well)
        before = float(time)


def _digitise(
    truth: DetectorTruth,
    scene: Scene,
    charge: Float32,
    level: Float32,
    added: list[Float32],
    rng: np.random.Generator,
) -> npt.NDArray[np.uint16]:
    """Turn charge (ny, nx) [e-] into counts: curve, pedestal, level (1, nx), noise, what is added [DN]."""
    scale = curve_scale(scene.physics, truth.nominal_gain)
    counts = np.empty(charge.shape, np.uint16)
    for rows in _blocks(charge.shape):
        gain = truth.gain[rows]
        raw = linear_to_measured(charge[rows] / gain, truth.curvature[rows], scale)
        raw += truth.pedestal[rows]
        raw += level
        raw += truth.read_noise[rows] / gain * draw_normal(raw.shape, rng, quick=scene.quick)
        for plane in added:
            raw += plane[rows]
        counts[rows] = np.clip(np.rint(raw, out=raw), 0, 65535, out=raw)
    return counts
