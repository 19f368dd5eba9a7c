"""Estimate the sky of a frame and subtract it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import scipy

from liger_iris_pipeline.algorithms.frame.combine import Combined, combine_stack
from liger_iris_pipeline.algorithms.frame.filters import binned
from liger_iris_pipeline.algorithms.frame.planes import good_pixels, reference_pixels, row_bands
from liger_iris_pipeline.algorithms.frame.sources import core, low_mode, sample, source_mask
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.kinds import Float32, Frame

__all__ = [
    "MINIMUM_DITHERS",
    "Sky",
    "constant_sky",
    "sky_from_dithers",
    "sky_from_frames",
    "subtract_sky",
]

Bool = npt.NDArray[np.bool_]
Float64 = npt.NDArray[np.float64]

MINIMUM_DITHERS = 3
"""Fewest dithers from which the sky of one is taken."""

CELL = 6
"""Side of the cells over which blank pixels are averaged [pixel]: 36 values make the skewness of
photon noise six times smaller, and a cell is still smaller than the gaps between sources."""

FEWEST_CELLS = 9
"""Fewer cells than this do not make a level."""

HALO = (14.0, 2.75, 150)
"""Scale [pixel], exponent and reach [pixel] of the template of an AO halo (Moffat, FWHM 15)."""


@dataclass(frozen=True, eq=False)
class Sky:
    """Sky of one frame.

    Attributes
    ----------
    level : float
        Sky rate of a median pixel [e-/s].
    model : ndarray (ny, nx) float32
        What to subtract [e-/s]; finite everywhere. One number seen as a plane, which cannot be written to, if the sky
        is constant.
    variance : ndarray (ny, nx) float32
        Its variance [(e-/s)^2], likewise.
    mode : str
        Value of SKYMODE: ``CONSTANT``, ``FRAMES`` or ``DITHERS``.
    """

    level: float
    model: Float32
    variance: Float32
    mode: str


def constant_sky(frame: Frame, *, sources: Bool | None = None) -> Sky:
    """Estimate one sky level for a whole frame.

    Parameters
    ----------
    frame : Frame
        Flat-fielded rate image.
    sources : ndarray (ny, nx) bool, optional
        Pixels with light of sources; found in the frame by default.

    Returns
    -------
    Sky
        Level; the model holds it in every pixel.

    Raises
    ------
    InputError
        If the frame has no good pixel.

    Notes
    -----
    Blank pixels are averaged in cells. What halos leave in them is fitted as a share of the light
    under the mask, spread out by a template halo, together with the level, and cells off the fit
    are cut off again and again. Compared on fields of 150 stars of a power law of fluxes with AO
    halos on 504 x 504 pixels, sky 0.3 to 8 e-/s in 60 s, the bias of the level in per cent was

    ====================================  =====  =====  =====
    sky [e-/s]                              8      1     0.3
    ====================================  =====  =====  =====
    median of all pixels                   1.1    6.1    18
    clipped median outside the mask       0.08   0.45   1.1
    low mode of cell means                0.08   0.39   0.76
    cell means with halo (this function)  0.03   0.08   0.16
    ====================================  =====  =====  =====

    Single pixels are off by up to 0.4 % the other way at 20 electrons, where photon noise is
    skewed; means of cells are not.
    """
    good = good_pixels(frame)
    found = source_mask(frame, good=good) if sources is None else sources
    level, variance = _level(frame, found, good)
    shape = frame.rate.shape
    return Sky(
        level=level,
        model=np.broadcast_to(np.float32(level), shape),
        variance=np.broadcast_to(np.float32(variance), shape),
        mode="CONSTANT",
    )


def sky_from_frames(science: Frame, sky_frames: Sequence[Frame], *, align: bool = True) -> Sky:
    """Estimate the sky of a frame from frames of blank sky.

    Parameters
    ----------
    science : Frame
        Flat-fielded rate image.
    sky_frames : sequence of Frame
        Frames of blank sky, same detector and filter, flat-fielded.
    align : bool, optional
        Shift the sky frames to the sky level of the science frame. Without it their own mean
        level is kept, for targets that leave no blank sky.

    Returns
    -------
    Sky
        Mean of the masked sky frames.

    Raises
    ------
    InputError
        Without sky frames, or if a frame has no good pixel or another shape.
    """
    if not sky_frames:
        remedy = "use the dithers or a constant"
        raise InputError(complaint("sky", "frames", "none", "at least one", remedy))
    masks = [source_mask(f) for f in sky_frames]
    sources = source_mask(science)
    return _masked_mean(science, sky_frames, masks, sources, mode="FRAMES", align=align)


def sky_from_dithers(
    frames: Sequence[Frame], index: int, *, sources: Sequence[Bool] | None = None
) -> Sky:
    """Estimate the sky of one dither from all the others.

    Parameters
    ----------
    frames : sequence of Frame
        Flat-fielded dithers of one detector and filter.
    index : int
        The one whose sky is wanted; it does not enter the pattern, only its level does.
    sources : sequence of ndarray (ny, nx) bool, optional
        Sources in each frame; found by default. A caller that treats all dithers passes them so
        that each frame is searched once.

    Returns
    -------
    Sky
        Clipped mean of the others without their sources, shifted to the level of frame `index`.
        A pixel that no other frame saw free of sources takes the level itself; it is not flagged,
        as a constant sky is as good a sky.

    Raises
    ------
    InputError
        With fewer than three dithers, or if a frame has no good pixel or another shape.

    References
    ----------
    Clement et al. 2012, A&A 535, L13: masked running sky of near-infrared dithers.
    """
    if len(frames) < MINIMUM_DITHERS:
        remedy = "use a constant sky"
        raise InputError(
            complaint("sky", "dithers", len(frames), f"at least {MINIMUM_DITHERS}", remedy)
        )
    masks = [source_mask(f) for f in frames] if sources is None else list(sources)
    others = [i for i in range(len(frames)) if i != index % len(frames)]
    return _masked_mean(
        frames[index],
        [frames[i] for i in others],
        [masks[i] for i in others],
        masks[index],
        mode="DITHERS",
    )


def subtract_sky(frame: Frame, sky: Sky) -> Frame:
    """Subtract a sky.

    Parameters
    ----------
    frame : Frame
        Rate image [e-/s].
    sky : Sky
        Its sky.

    Returns
    -------
    Frame
        Rate less the model; the model's variance is added to ``var_photon``. Reference pixels
        keep their value. The other planes are those of `frame`, not copies.

    Raises
    ------
    InputError
        If the sky has another shape.
    """
    _same_shape(frame, sky.model.shape)
    rate, var_photon = (np.empty(frame.rate.shape, np.float32) for _ in range(2))
    for rows in row_bands(rate.shape):
        np.subtract(frame.rate[rows], sky.model[rows], out=rate[rows])
        np.add(frame.var_photon[rows], sky.variance[rows], out=var_photon[rows])
        border = reference_pixels(frame.dq[rows])
        if border.any():
            np.copyto(rate[rows], frame.rate[rows], where=border)
            np.copyto(var_photon[rows], frame.var_photon[rows], where=border)
    return replace(frame, rate=rate, var_photon=var_photon)


def _same_shape(frame: Frame, shape: tuple[int, ...]) -> None:
    """Refuse a sky of another size."""
    if frame.rate.shape != shape:
        remedy = "take the sky from frames of the same detector and window"
        got, expected = f"shape {shape}", f"the frame's {frame.rate.shape}"
        raise InputError(complaint("sky", "model", got, expected, remedy))


def _level(frame: Frame, sources: Bool, good: Bool) -> tuple[float, float]:
    """Sky level of a frame and its variance."""
    if not good.any():
        remedy = "leave the frame out"
        raise InputError(complaint("sky", "frame", "no good pixel", "some", remedy))
    blank = np.greater(good, sources)
    # too little sky left between the sources: the low side of all pixels is the better guess
    if np.count_nonzero(blank) < max(CELL**2, 0.005 * np.count_nonzero(good)):
        blank = good.copy()
    centre, spread = core(sample(frame.rate, blank))
    if spread > 0:  # unflagged hits and hot pixels must not enter the means of the cells
        _cut(blank, frame.rate, centre, 6.0 * spread)
    count, total = _sums(frame.rate, blank)
    full = _full(count)
    means = (total[full] / count[full]).astype(np.float64)
    if means.size < FEWEST_CELLS:
        values = frame.rate[blank].astype(np.float64)
        return low_mode(values), np.pi / 2 * float(values.var()) / values.size
    level, spread = core(means)
    count, total = _sums(frame.rate, good & sources)
    light = total - np.float32(level) * count
    if not np.any(light > 0):
        return level, np.pi / 2 * spread**2 / means.size
    return _without_halo(means, _scattered(light)[full])


def _cut(use: Bool, values: Float32, centre: float, limit: float) -> None:
    """Take out of `use` what is off the centre by more than the limit."""
    for rows in row_bands(use.shape):
        away = values[rows] - np.float32(centre)
        use[rows] &= np.abs(away, out=away) <= np.float32(limit)


def _sums(values: npt.NDArray[np.floating], use: Bool) -> tuple[Float32, Float32]:
    """Count and add up the values that are used in each cell."""
    shape = tuple(-(-n // CELL) for n in use.shape)
    count, total = np.empty(shape, np.float32), np.empty(shape, np.float32)
    for band in row_bands((shape[0], use.shape[1])):
        rows = slice(band.start * CELL, band.stop * CELL)
        count[band] = binned(use[rows], CELL)
        total[band] = binned(np.where(use[rows], values[rows], np.float32(0)), CELL)
    return count, total


def _full(count: npt.NDArray[np.floating]) -> Bool:
    """Tell which cells are at least half blank; those cut off by the edge are not."""
    return np.asarray(2 * count >= CELL**2)


def _cell_means(image: npt.NDArray[np.floating], blank: Bool) -> Float64:
    """Means of the cells that are at least half blank."""
    count, total = _sums(image, blank)
    full = _full(count)
    return np.asarray(total[full] / count[full], dtype=np.float64)


def _scattered(light: npt.NDArray[np.floating]) -> Float64:
    """Light of sources, summed in cells, spread out by an AO halo: rate of a pixel in each cell."""
    scale, beta, reach = HALO
    reach = -(-reach // CELL) * CELL
    y, x = np.indices((2 * reach + 1, 2 * reach + 1)) - reach
    halo = (1.0 + (x**2 + y**2) / scale**2) ** -beta
    # light from anywhere in a cell to anywhere in another
    shift = CELL - np.abs(np.arange(-CELL + 1, CELL))
    for axis in (0, 1):
        halo = np.apply_along_axis(np.convolve, axis, halo, shift / CELL**2, mode="same")
    kernel = halo[::CELL, ::CELL] / halo.sum()
    return np.asarray(scipy.signal.oaconvolve(light, kernel, mode="same"))


def _without_halo(means: Float64, halo: Float64) -> tuple[float, float]:
    """Level and its variance from means = level + share * halo, clipped on both sides."""
    used = np.ones(means.size, dtype=bool)
    level, share, spread = 0.0, 0.0, 0.0
    for _ in range(20):
        x, y = halo[used], means[used]
        power = float(np.sum((x - x.mean()) ** 2))
        share = float(np.sum((x - x.mean()) * y)) / power if power > 0 else 0.0
        share = min(max(share, 0.0), 1.0)
        level = float(np.mean(y - share * x))
        residual = means - level - share * halo
        spread = 1.4826 * float(np.median(np.abs(residual[used])))
        inside = np.abs(residual) <= 3.0 * spread
        if np.array_equal(inside, used) or np.count_nonzero(inside) < FEWEST_CELLS:
            break
        used = inside
    mean = float(halo[used].mean())
    power = float(np.sum((halo[used] - mean) ** 2))
    lever = mean**2 / power if 0.0 < share < 1.0 else 0.0
    return level, spread**2 * (1.0 / np.count_nonzero(used) + lever)


def _masked_mean(
    science: Frame,
    frames: Sequence[Frame],
    masks: Sequence[Bool],
    sources: Bool,
    *,
    mode: str,
    align: bool = True,
) -> Sky:
    """Clipped mean of frames without their sources, at the level of the science frame."""
    for frame in frames:
        _same_shape(science, frame.rate.shape)
    offsets = [0.0]
    offsets += [
        _difference(f, m, frames[0], masks[0]) for f, m in zip(frames[1:], masks[1:], strict=True)
    ]
    stack = _stack(frames, masks, offsets)
    seen = (stack.nused > 0) & np.isfinite(stack.err)
    if not seen.any():
        return replace(constant_sky(science, sources=sources), mode=mode)
    pattern = np.where(seen, stack.mean, np.float32(np.nan))
    shift, variance = float(np.mean(offsets)), 0.0
    if align:
        rest = replace(science, rate=science.rate - pattern)
        good = good_pixels(rest)
        if good.any():
            shift, variance = _level(rest, sources, good)
    level = float(np.median(pattern[seen])) + shift
    # where only the level is known, the pattern seen elsewhere is the error made
    power = (pattern[seen] + np.float32(shift - level)) ** 2 - stack.err[seen] ** 2
    unseen = np.float32(max(0.0, float(np.mean(power, dtype=np.float64))))
    return Sky(
        level=level,
        model=np.where(seen, pattern + np.float32(shift), np.float32(level)),
        variance=np.where(seen, stack.err**2, unseen) + np.float32(variance),
        mode=mode,
    )


def _difference(frame: Frame, mask: Bool, other: Frame, other_mask: Bool) -> float:
    """Level of a frame above another, from pixels blank in both: a pattern cancels there."""
    both = good_pixels(frame) & good_pixels(other) & ~mask & ~other_mask
    means = _cell_means(np.where(both, frame.rate - other.rate, np.float32(0)), both)
    if means.size < FEWEST_CELLS:
        levels = [_level(f, m, good_pixels(f))[0] for f, m in ((frame, mask), (other, other_mask))]
        return levels[0] - levels[1]
    return float(np.median(means))


def _stack(
    frames: Sequence[Frame], masks: Sequence[Bool], levels: Sequence[float], tile_rows: int = 128
) -> Combined:
    """Combine frames brought to one level, without their sources, band by band."""
    bands = []
    for start in range(0, frames[0].rate.shape[0], tile_rows):
        r = slice(start, start + tile_rows)
        bands.append(
            combine_stack(
                [f.rate[r] - np.float32(v) for f, v in zip(frames, levels, strict=True)],
                [f.var_read[r] for f in frames],
                [f.var_photon[r] for f in frames],
                [
                    f.dq[r] | np.where(m[r], np.uint32(Flag.DO_NOT_USE), np.uint32(0))
                    for f, m in zip(frames, masks, strict=True)
                ],
                clip=3.5,
                tile_rows=tile_rows,
            )
        )
    return Combined(*(np.concatenate(planes) for planes in zip(*bands, strict=True)))
