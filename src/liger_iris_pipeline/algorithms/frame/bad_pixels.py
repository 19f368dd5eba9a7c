"""Bad pixels: found in darks and flats, and entered into frames.

References
----------
Rauscher et al. 2014, PASP 126, 739, doi:10.1086/677681: populations of bad pixels of HgCdTe arrays.
Bacon et al. 2005, Proc. SPIE 5902, 590202, doi:10.1117/12.619548: random telegraph noise in them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from liger_iris_pipeline.algorithms.frame.combine import MEMORY_LIMIT, Bands, as_bands
from liger_iris_pipeline.algorithms.frame.planes import reference_pixels, reference_planes
from liger_iris_pipeline.algorithms.frame.surface import block_surface, smooth_surface
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import ReferenceFileError, complaint
from liger_iris_pipeline.kinds import Float32, Frame, UInt32

__all__ = [
    "BadPixelLimits",
    "beyond",
    "dark_flags",
    "find_bad_pixels",
    "find_telegraph",
    "flag_bad_pixels",
    "flat_flags",
]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
Planes = tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]

MARGIN = 2.5
"""A pixel is beyond a limit if it measures so many sigma beyond: of pixels that are 5 sigma beyond
all but 0.6 % do (one-sided tail at 2.5 sigma)."""

LEAST_LIMIT = 1.3
"""A limit nearer to a good pixel than so many sigma is moved out to there: good pixels then pass
for bad only at 3.8 sigma, one in 14 000."""

TELEGRAPH_PROBABILITY = 1e-6
"""Chance with which a quiet pixel may pass for a telegraph pixel, by each of the two tests."""

FEWEST_FRAMES = 4
"""With fewer darks a pixel that changes its level cannot be told from one that was hit."""

TELEGRAPH_BYTES = 64
"""Per pixel of a dark: rates, variances and flags of a band, and what the two tests make of them."""

KINDS = np.uint32(
    Flag.DO_NOT_USE | Flag.DEAD | Flag.HOT | Flag.WARM | Flag.LOW_QE | Flag.COLD | Flag.TELEGRAPH
)
"""Bits that say what is wrong with a pixel of the detector."""


@dataclass(frozen=True)
class BadPixelLimits:
    """From where on a pixel is bad.

    Attributes
    ----------
    hot, warm : float
        Dark rate above the glow and dark current around [e-/s]; a hot pixel is not used.
    dead, cold, low : float
        Response relative to the pixels around; a dead pixel is not used.
    """

    hot: float = 1.0
    warm: float = 0.1
    dead: float = 0.05
    cold: float = 0.5
    low: float = 0.8


def beyond(excess: npt.ArrayLike, err: npt.ArrayLike, limit: float) -> Bool:
    """Tell which pixels lie beyond a limit, so that good ones hardly ever do.

    Parameters
    ----------
    excess : array_like
        How far a pixel is from a good one, positive on the bad side.
    err : array_like
        Its one-sigma error, in the same unit.
    limit : float
        Largest excess that is allowed, > 0.

    Returns
    -------
    ndarray of bool
        ``excess > max(limit, 1.3 err) + 2.5 err``; False where that is not a number.
    """
    distance, sigma = np.asarray(excess, np.float64), np.asarray(err, np.float64)
    with np.errstate(invalid="ignore"):
        return np.asarray(distance > np.maximum(limit, LEAST_LIMIT * sigma) + MARGIN * sigma)


def dark_flags(
    rate: npt.ArrayLike, err: npt.ArrayLike, dq: UInt32, limits: BadPixelLimits | None = None
) -> UInt32:
    """Flag hot and warm pixels of a dark.

    Parameters
    ----------
    rate, err : array_like (ny, nx)
        Dark rate and its error [e-/s].
    dq : ndarray (ny, nx) uint32
        Data-quality bits; reference pixels are left alone.
    limits : BadPixelLimits, optional
        What is hot and warm.

    Returns
    -------
    ndarray (ny, nx) uint32
        HOT with DO_NOT_USE, or WARM; the given bits are not in it.
    """
    limits = limits or BadPixelLimits()
    value, sigma = np.asarray(rate, np.float64), np.asarray(err, np.float64)
    known = np.isfinite(value) & np.isfinite(sigma) & ~reference_pixels(dq)
    excess = np.where(known, value - smooth_surface(value, known), np.nan)
    hot = beyond(excess, sigma, limits.hot)
    warm = beyond(excess, sigma, limits.warm) & ~hot
    return _bits((hot, Flag.HOT | Flag.DO_NOT_USE), (warm, Flag.WARM))


def flat_flags(
    flat: npt.ArrayLike, err: npt.ArrayLike, dq: UInt32, limits: BadPixelLimits | None = None
) -> UInt32:
    """Flag dead and cold pixels of a flat.

    Parameters
    ----------
    flat, err : array_like (ny, nx)
        Response and its error, of any normalisation.
    dq : ndarray (ny, nx) uint32
        Data-quality bits; pixels not to be used do not count for the response around.
    limits : BadPixelLimits, optional
        What is dead, cold and of low response.

    Returns
    -------
    ndarray (ny, nx) uint32
        DEAD with DO_NOT_USE, or LOW_QE, that with COLD where the response is lower still; the
        given bits are not in it.
    """
    limits = limits or BadPixelLimits()
    value, sigma = np.asarray(flat, np.float64), np.asarray(err, np.float64)
    border = reference_pixels(dq)
    known = np.isfinite(value) & np.isfinite(sigma) & ~border
    around = block_surface(value, known & ((dq & np.uint32(Flag.DO_NOT_USE)) == 0))
    with np.errstate(invalid="ignore", divide="ignore"):
        usable = known & (around > 0)
        missing = np.where(usable, 1.0 - value / around, np.nan)
        sigma = np.where(usable, sigma / around, np.nan)
    dead = beyond(missing, sigma, 1.0 - limits.dead)
    cold = beyond(missing, sigma, 1.0 - limits.cold) & ~dead
    low = beyond(missing, sigma, 1.0 - limits.low) & ~dead
    return _bits((dead, Flag.DEAD | Flag.DO_NOT_USE), (cold, Flag.COLD), (low, Flag.LOW_QE))


def find_telegraph(frames: Sequence[Frame] | Bands, *, memory_limit: int = MEMORY_LIMIT) -> Bool:
    """Find pixels that change their level between or within darks.

    Parameters
    ----------
    frames : sequence of Frame, or Bands
        Dark frames of one detector and read mode.
    memory_limit : int, optional
        Bytes that bands of all frames take together, at least one row of each; the result does
        not depend on it.

    Returns
    -------
    ndarray (ny, nx) bool
        True on telegraph pixels; False everywhere with fewer than four frames.

    Raises
    ------
    InputError
        Without frames, or if they differ in shape.

    Notes
    -----
    A pixel is one if either test says so with a chance below 1e-6. Between frames: chi-square of
    the rates about their median, the farthest left out, so that one hit is no evidence. Within
    frames: more frames with a jump (JUMP_DET) than hits at the mean rate make.
    """
    bands = as_bands(frames)
    ny, nx = bands.shape
    found: Bool = np.zeros((ny, nx), dtype=bool)
    if len(bands) < FEWEST_FRAMES:
        return found
    height = max(1, int(memory_limit // (len(bands) * nx * TELEGRAPH_BYTES)))
    parts = [slice(start, min(start + height, ny)) for start in range(0, ny, height)]
    jumps = sum(
        np.count_nonzero(bands.rows(i, rows).dq & np.uint32(Flag.JUMP_DET))
        for rows in parts
        for i in range(len(bands))
    )
    share = jumps / (len(bands) * ny * nx)
    for rows in parts:
        part = [bands.rows(i, rows) for i in range(len(bands))]
        dq = np.stack([f.dq for f in part])
        rate = np.stack([f.rate for f in part]).astype(np.float64)
        variance = np.stack([f.var_read + f.var_photon for f in part])
        found[rows] = _scattered(rate, variance, dq) | _jumping(dq, share)
    return found


def find_bad_pixels(
    dark: Planes,
    flat: Planes,
    *,
    telegraph: Bool | None = None,
    limits: BadPixelLimits | None = None,
) -> UInt32:
    """Combine what a dark and a flat say into a map of bad pixels.

    Parameters
    ----------
    dark, flat : tuple of array_like (ny, nx)
        Value, error and flags of a dark [e-/s] and of a flat.
    telegraph : ndarray (ny, nx) bool, optional
        Telegraph pixels.
    limits : BadPixelLimits, optional
        From where on a pixel is bad.

    Returns
    -------
    ndarray (ny, nx) uint32
        HOT, DEAD and reference pixels with DO_NOT_USE; WARM, COLD, LOW_QE, TELEGRAPH without.
        A pixel without a dark or without a flat carries UNRELIABLE_DARK or UNRELIABLE_FLAT with
        DO_NOT_USE.

    Raises
    ------
    ReferenceFileError
        If the planes differ in shape.
    """
    shape = np.shape(dark[0])
    rate, rate_err, dark_dq = reference_planes("dark", shape, dark)
    response, response_err, flat_dq = reference_planes("flat", shape, flat)
    border = reference_pixels(dark_dq | flat_dq)
    # what a pixel is flagged for in the other reference must not hide it here
    structure = np.where(border, np.uint32(Flag.REFERENCE_PIXEL), np.uint32(0))
    bad = dark_flags(rate, rate_err, structure, limits)
    bad |= flat_flags(response, response_err, structure | (flat_dq & Flag.DO_NOT_USE), limits)
    # where nothing could be measured, what was known before still holds
    bad |= np.where(np.isfinite(rate), 0, dark_dq & KINDS)
    bad |= np.where(np.isfinite(response), 0, flat_dq & KINDS)
    no_dark, no_flat = ~np.isfinite(rate) & ~border, ~np.isfinite(response) & ~border
    bad |= _bits(
        (no_dark, Flag.UNRELIABLE_DARK | Flag.DO_NOT_USE),
        (no_flat, Flag.UNRELIABLE_FLAT | Flag.DO_NOT_USE),
        (border, Flag.REFERENCE_PIXEL | Flag.NON_SCIENCE | Flag.DO_NOT_USE),
    )
    if telegraph is not None:
        bad |= _bits((telegraph & ~border, Flag.TELEGRAPH))
    return bad


def flag_bad_pixels(frame: Frame, dq: npt.ArrayLike) -> Frame:
    """OR the flags of known bad pixels into a frame.

    Parameters
    ----------
    frame : Frame
        Rate image.
    dq : array_like (ny, nx) uint32
        Data-quality bits of the detector.

    Returns
    -------
    Frame
        The same values with the union of the flags.

    Raises
    ------
    ReferenceFileError
        If the flags have another shape than the frame.
    """
    if np.shape(dq) != frame.dq.shape:
        raise ReferenceFileError(
            complaint(
                "dq",
                "DQ",
                f"shape {np.shape(dq)}",
                f"the frame's {frame.dq.shape}",
                "choose a dq of the same detector size, or cut out the frame's subarray",
            )
        )
    return replace(frame, dq=frame.dq | np.asarray(dq, dtype=np.uint32))


def _bits(*parts: tuple[Bool, int]) -> UInt32:
    """Set bits where masks are true."""
    out = np.zeros(parts[0][0].shape, dtype=np.uint32)
    for mask, bits in parts:
        out[mask] |= np.uint32(bits)
    return out


def _scattered(rate: Float64, variance: Float32, dq: UInt32) -> Bool:
    """Tell pixels whose rates scatter more than their errors allow, even without the farthest."""
    used = ((dq & np.uint32(Flag.DO_NOT_USE)) == 0) & np.isfinite(rate) & np.isfinite(variance)
    used &= variance > 0
    count = used.sum(axis=0)
    centre = _median(np.where(used, rate, np.nan), count)
    typical = _median(np.where(used, variance, np.nan), count)
    with np.errstate(invalid="ignore", divide="ignore"):
        square = np.where(used, (rate - centre) ** 2 / typical, 0.0)
    total = square.sum(axis=0) - square.max(axis=0)
    freedom = np.maximum(count - 2, 1)
    enough = count >= FEWEST_FRAMES
    return np.asarray(enough & (total > scipy.stats.chi2.isf(TELEGRAPH_PROBABILITY, freedom)))


def _median(values: Float64 | Float32, count: npt.NDArray[np.intp]) -> Float64:
    """Median over the first axis of what is not NaN; 0 where there is nothing."""
    ordered = np.sort(values, axis=0)  # NaN last
    low = np.take_along_axis(ordered, np.maximum((count - 1) // 2, 0)[None], axis=0)[0]
    high = np.take_along_axis(ordered, np.minimum(count // 2, len(values) - 1)[None], axis=0)[0]
    return np.where(count > 0, 0.5 * (low + high), 0.0).astype(np.float64)


def _jumping(dq: UInt32, share: float) -> Bool:
    """Tell pixels with a jump in more frames than chance allows."""
    jumps = ((dq & np.uint32(Flag.JUMP_DET)) > 0).sum(axis=0)
    least = scipy.stats.binom.isf(TELEGRAPH_PROBABILITY, len(dq), min(share, 0.5))
    return np.asarray(jumps > max(float(least), 2.0))
