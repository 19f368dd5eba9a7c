"""Combine frames of the same scene into one, and into darks and flats.

References
----------
Croux & Rousseeuw 1992, Computational Statistics 1, 411, doi:10.1007/978-3-662-26811-7_58: factors
that make the median absolute deviation unbiased for few values.
Stetson 1987, PASP 99, 191, doi:10.1086/131977: iterated rejection about a robust centre.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
import numpy.typing as npt
import scipy

import iris_readout
from liger_iris_pipeline.algorithms.frame.planes import (
    good_pixels,
    reference_planes,
)
from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.kinds import Float32, Frame, UInt32

__all__ = ["MEMORY_LIMIT", "Bands", "Combined", "as_bands", "combine_bands", "combine_stack"]

Float64 = npt.NDArray[np.float64]

MEMORY_LIMIT = 512 << 20
"""Bytes that bands of frames take at most, whatever the number of frames."""

_BAND_BYTES = 16
"""Per pixel of a band: four planes; the frame that is being read takes as much once more."""

ITERATIONS = 5
"""Largest number of passes of clipping."""

EXCESS_PROBABILITY = 1e-3
"""A scatter less probable than this from the given variances raises the error of a pixel."""


class Combined(NamedTuple):
    """Mean of a stack.

    Attributes
    ----------
    mean, err : ndarray (ny, nx) float32
        Weighted mean and its one-sigma error; NaN where no value was used.
    dq : ndarray (ny, nx) uint32
        OR of the bits of the values used; where none was, of all, with DO_NOT_USE.
    nused : ndarray (ny, nx) uint16
        Number of values used.
    """

    mean: Float32
    err: Float32
    dq: UInt32
    nused: npt.NDArray[np.uint16]


class Bands(Protocol):
    """Frames that are read by bands of rows, such as :class:`liger_iris_pipeline.models.bands.FrameBands`.

    Attributes
    ----------
    shape : tuple of int
        (ny, nx) of every frame.
    """

    @property
    def shape(self) -> tuple[int, int]:
        """(ny, nx) of every frame."""

    def __len__(self) -> int:
        """Give the number of frames."""

    def rows(self, index: int, rows: slice, /) -> Frame:
        """Read some rows of a frame: planes (nrow, nx), rates in e-/s."""


class _InMemory:
    """The same for frames that are there already."""

    def __init__(self, frames: Sequence[Frame]) -> None:
        if not frames or any(f.rate.shape != frames[0].rate.shape for f in frames):
            got = ", ".join(str(f.rate.shape) for f in frames) or "none"
            remedy = "give at least one frame, and frames of one detector and window"
            raise InputError(complaint("stack", "frames", got, "frames of one shape", remedy))
        self._frames = frames
        self.shape: tuple[int, int] = frames[0].rate.shape

    def __len__(self) -> int:
        return len(self._frames)

    def rows(self, index: int, rows: slice, /) -> Frame:
        """Give views (nrow, nx) of some rows of a frame."""
        f = self._frames[index]
        return Frame(f.rate[rows], f.var_read[rows], f.var_photon[rows], f.dq[rows])


def as_bands(frames: Sequence[Frame] | Bands) -> Bands:
    """Give frames that are there already the face of those that are read by bands.

    Parameters
    ----------
    frames : sequence of Frame, or Bands
        Frames (ny, nx).

    Returns
    -------
    Bands
        The same; bands given are handed on.

    Raises
    ------
    InputError
        Without frames in a sequence, or if they differ in shape.
    """
    return _InMemory(frames) if isinstance(frames, Sequence) else frames


def combine_stack(
    rate: npt.ArrayLike,
    var_read: npt.ArrayLike,
    var_photon: npt.ArrayLike,
    dq: npt.ArrayLike,
    *,
    clip: float = 4.0,
    iterations: int = ITERATIONS,
    tile_rows: int = 64,
) -> Combined:
    """Average a stack of frames, leaving out outliers.

    Pixels are independent, so that a caller short of memory may pass bands of rows one by one.

    Parameters
    ----------
    rate : array_like (n, ny, nx)
        Values of one scene, brought to one level.
    var_read, var_photon : array_like (n, ny, nx)
        Their variances from read noise and from photons, in the square of the unit of `rate`.
    dq : array_like (n, ny, nx) uint32
        Data-quality bits; values with DO_NOT_USE, or not finite, are not used.
    clip : float, optional
        Values further than this many robust sigma from the median are left out.
    iterations : int, optional
        Largest number of passes of clipping.
    tile_rows : int, optional
        Rows worked on at once; bounds the scratch memory.

    Returns
    -------
    Combined
        Mean, error, flags and number of values.

    Raises
    ------
    InputError
        If the stack is empty or its planes differ in shape.

    Notes
    -----
    The robust sigma of a pixel is the larger of the root of the median variance and of the
    median absolute deviation with its factor for few values: with three values the deviation
    alone is often near zero by chance, and the given variances alone miss excess noise. With fewer
    than six values the deviation counts up to twice the root of the median variance only. Two
    values or fewer are never clipped. Weights are 1 / `var_read`, equal where that is zero, and
    never hold the photon noise, which is estimated from the value itself and would bias the mean
    low. The error is propagated with these weights; where the scatter of the values used is
    larger than chance allows (probability below 0.001), it is raised to the scatter's.
    """
    planes = _stack(rate, var_read, var_photon, dq)
    out = _empty(planes[0][0].shape)
    for start in range(0, out.mean.shape[0], tile_rows):
        rows = slice(start, start + tile_rows)
        kinds = (np.float32, np.float32, np.float32, np.uint32)
        band = [
            [np.asarray(one[rows], dtype=kind) for one in plane]
            for plane, kind in zip(planes, kinds, strict=True)
        ]
        _combine_rows(band, out, rows, clip=clip, iterations=iterations)
    return out


def combine_bands(
    frames: Sequence[Frame] | Bands,
    *,
    memory_limit: int = MEMORY_LIMIT,
    clip: float = 4.0,
    dark: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike] | None = None,
    levels: Sequence[float] | None = None,
    divide: bool = False,
) -> Combined:
    """Average frames band by band, as :func:`combine_stack` does.

    Parameters
    ----------
    frames : sequence of Frame, or Bands
        Frames of one scene; those of a file are never in memory as a whole.
    memory_limit : int, optional
        Bytes that bands of all frames take together; at least one row is read of each. The planes
        of the result come on top. The result does not depend on it.
    clip : float, optional
        As for :func:`combine_stack`.
    dark : tuple of array_like (ny, nx), optional
        Dark rate and its error [e-/s] and its flags, to be subtracted first.
    levels : sequence of float, optional
        What each frame is divided by after that.
    divide : bool, optional
        Whether to divide each frame by its median instead.

    Returns
    -------
    Combined
        Mean and error (ny, nx), in the unit of the frames or, divided, as a ratio; flags and number of values.

    Raises
    ------
    InputError
        Without frames, if they differ in shape, or if one that is to be divided is not lit.
    """
    bands = as_bands(frames)
    offset = _Dark(bands.shape, dark)
    n = len(bands)
    rows = max(1, int(memory_limit // ((n + 1) * bands.shape[1] * _BAND_BYTES)))
    if divide:
        levels = [_level(bands, i, offset, rows * n) for i in range(n)]
    levels = [1.0] * n if levels is None else levels
    common = float(np.mean([1.0 / level for level in levels]))
    out = _empty(bands.shape)
    for part in _parts(bands.shape[0], rows):
        _combine_rows(
            _read_rows(bands, part, offset),
            out,
            part,
            clip=clip,
            iterations=ITERATIONS,
            scales=levels,
        )
        # the dark is common to all frames: its error does not average down
        if offset.err is not None:
            out.err[part] = np.hypot(out.err[part], offset.err[part] * common)
    return out


def _stack(*planes: npt.ArrayLike) -> list[list[npt.NDArray[Any]]]:
    """Check that the planes of a stack agree; they may be lists of planes, which are not copied."""
    listed = [[np.asarray(one) for one in cast("Sequence[npt.ArrayLike]", p)] for p in planes]
    shapes = {one.shape for plane in listed for one in plane}
    counts = {len(plane) for plane in listed}
    shape = min(shapes, key=len, default=())
    if len(counts) != 1 or len(shapes) != 1 or len(shape) != 2 or 0 in shape:
        got = ", ".join(str((len(p), *sorted({one.shape for one in p}))) for p in listed)
        remedy = "give at least one frame, and frames of one size"
        raise InputError(complaint("stack", "planes", got, "equal shapes (n, ny, nx)", remedy))
    return listed


def _empty(shape: tuple[int, ...]) -> Combined:
    return Combined(
        np.empty(shape, np.float32),
        np.empty(shape, np.float32),
        np.empty(shape, np.uint32),
        np.empty(shape, np.uint16),
    )


def _parts(ny: int, rows: int) -> Iterator[slice]:
    """Cut a plane into bands."""
    return (slice(start, min(start + rows, ny)) for start in range(0, ny, rows))


def _read_rows(bands: Bands, part: slice, dark: _Dark) -> list[list[npt.NDArray[Any]]]:
    """Read a band of all frames, sorted by plane."""
    frames = [dark.subtracted(bands.rows(i, part), part) for i in range(len(bands))]
    return [[frame[plane] for frame in frames] for plane in range(4)]


def _combine_rows(
    planes: Sequence[Sequence[npt.NDArray[Any]]],
    out: Combined,
    rows: slice,
    *,
    clip: float,
    iterations: int,
    scales: Sequence[float] | None = None,
) -> None:
    """Combine a band of rate, variances and flags into the same rows of the result."""
    rate, var_read, var_photon, dq = planes
    iris_readout.stack(
        rate,
        var_read=var_read,
        var_photon=var_photon,
        dq=dq,
        rule="robust",
        clip=clip,
        iterations=iterations,
        scales=scales,
        excess=_excess(len(rate)),
        out=iris_readout.StackResult(out.mean[rows], out.err[rows], out.dq[rows], out.nused[rows]),
    )
    # a variance below zero is no error: the pixel says so by NaN
    np.sqrt(out.err[rows], out=out.err[rows])


@functools.cache
def _excess(n: int) -> Float64:
    """Give the largest scatter that chance allows, over the expected one, by number of values."""
    freedom = np.maximum(np.arange(n + 1) - 1, 1)
    limits: Float64 = np.asarray(scipy.stats.chi2.isf(EXCESS_PROBABILITY, freedom)) / freedom
    limits.flags.writeable = False
    return limits


class _Dark:
    """A dark that is subtracted from bands, or none."""

    def __init__(self, shape: tuple[int, int], planes: Any) -> None:
        self.err: Float64 | None = None
        if planes is not None:
            self.rate, self.err, self.dq = reference_planes("dark", shape, planes)

    def subtracted(self, frame: Frame, rows: slice) -> tuple[Float32, Float32, Float32, UInt32]:
        """Give the planes (nrow, nx) of a band less the same rows of the dark [e-/s]."""
        rate, dq = frame.rate, frame.dq
        if self.err is not None:
            rate = (rate - self.rate[rows]).astype(np.float32)
            dq = dq | self.dq[rows]
        return rate, frame.var_read, frame.var_photon, dq


def _level(bands: Bands, index: int, dark: _Dark, rows: int) -> float:
    """Median of a flat frame over its good pixels."""

    def values() -> Iterator[Float32]:
        for part in _parts(bands.shape[0], rows):
            frame = Frame(*dark.subtracted(bands.rows(index, part), part))
            yield frame.rate[good_pixels(frame)]

    level = _middle(values)
    if not level > 0:
        remedy = "leave out frames without light"
        raise InputError(complaint("flat", "SCI", f"a median of {level:g}", "light", remedy))
    return level


def _middle(values: Callable[[], Iterator[Float32]]) -> float:
    """Give the exact median of finite values that come in bands, in two passes over them.

    The bits of a float, the sign put right, sort as the float does: the first pass counts their
    upper halves, the second the lower halves of those that hold the middle.
    """
    half, size = np.uint32(16), 1 << 16
    upper = np.zeros(size, np.int64)
    for band in values():
        upper += np.bincount(_sortable(band) >> half, minlength=size)
    ends = np.cumsum(upper)
    total = int(ends[-1])
    if total == 0:
        return float("nan")
    ranks = ((total - 1) // 2, total // 2)
    bins = [int(np.searchsorted(ends, rank, side="right")) for rank in ranks]
    lower = {one: np.zeros(size, np.int64) for one in bins}
    for band in values():
        keys = _sortable(band)
        for one, counts in lower.items():
            counts += np.bincount(keys[keys >> half == one] & np.uint32(size - 1), minlength=size)
    middle = 0.0
    for rank, one in zip(ranks, bins, strict=True):
        inside = rank - (ends[one] - upper[one])
        key = one * size + int(np.searchsorted(np.cumsum(lower[one]), inside, side="right"))
        bits = key ^ _SIGN if key & _SIGN else ~key & 0xFFFFFFFF
        middle += 0.5 * float(np.array(bits, np.uint32).view(np.float32))
    return middle


_SIGN = 1 << 31


def _sortable(values: Float32) -> UInt32:
    """Give integers that sort as the values do."""
    bits = values.view(np.uint32)
    return np.where(bits >> np.uint32(31), ~bits, bits | np.uint32(_SIGN)).astype(np.uint32)
