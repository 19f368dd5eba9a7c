"""Correlation of the noise of neighbouring pixels of a mosaic.

References
----------
Casertano et al. 2000, AJ 120, 2747, doi:10.1086/316851, appendix A (correlated noise of drizzling).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from drizzle.resample import Drizzle

from liger_iris_pipeline.kinds import Float32

__all__ = ["NoiseSample", "correlation", "sample_noise"]

Float64 = npt.NDArray[np.float64]

SIDE = 96
"""At most this many samples along each side of a frame: 9216 phases, 0.001 per element."""


@dataclass(frozen=True, eq=False)
class NoiseSample:
    """Imprint of single input pixels' noise on the output grid.

    Attributes
    ----------
    imprint : ndarray (nsample, size, size) float32
        Overlap x weight x sigma in a window of output pixels.
    corner : ndarray (nsample, 2) int64
        Output pixel (y, x) of the first pixel of each window.
    share : float
        Input pixels that one sample stands for.
    """

    imprint: Float32
    corner: npt.NDArray[np.int64]
    share: float


def sample_noise(
    pixmap: Float64,
    noise: npt.NDArray[np.floating],
    *,
    pixfrac: float,
    generator: np.random.Generator,
) -> NoiseSample:
    """Drizzle single pixels, spread over a frame, each into a window of its own.

    Parameters
    ----------
    pixmap : ndarray (ny, nx, 2) float64
        Output coordinates (x, y) of every pixel centre.
    noise : ndarray (ny, nx)
        Weight x sigma of every pixel; 0 where it is not used.
    pixfrac : float
        Side of the drop in units of an input pixel.
    generator : numpy.random.Generator
        Source of the positions: one at random in each cell of a grid over the frame.

    Returns
    -------
    NoiseSample
        Empty if no pixel is used.

    Notes
    -----
    Every sample is drizzled with its true neighbourhood of the pixel map, moved by whole pixels to
    an isolated place of a scratch image, so that overlaps are those of the mosaic itself.
    """
    y, x, share = _positions(noise.shape, generator)
    block = _neighbourhood(pixmap, y, x)
    inside = np.isfinite(block).all(axis=(1, 2, 3)) & (noise[y, x] > 0)
    y, x, block = y[inside], x[inside], block[inside]
    # half a pixel's diagonal in output pixels, and half an output pixel more
    step = np.linalg.norm(np.diff(block, axis=1), axis=-1).max(initial=1.0)
    half = math.ceil(step / math.sqrt(2.0) + 0.5)
    size = 2 * half + 1
    if not y.size:
        empty = np.zeros((0, size, size), dtype=np.float32)
        return NoiseSample(empty, np.zeros((0, 2), dtype=np.int64), share)
    corner = np.floor(block[:, 1, 1, ::-1] + 0.5).astype(np.int64) - half
    imprint = _imprint(block, corner, noise[y, x], size=size, pixfrac=pixfrac)
    return NoiseSample(imprint, corner, share)


def correlation(samples: Sequence[NoiseSample], sigma: npt.NDArray[np.floating]) -> Float64:
    """Average the correlation of neighbouring pixels over a mosaic.

    Parameters
    ----------
    samples : sequence of NoiseSample
        One for each frame.
    sigma : ndarray (ny, nx)
        Total weight x one-sigma error of every output pixel; NaN where there is none.

    Returns
    -------
    ndarray (k, k) float64
        Correlation by offset, symmetric about the central 1.

    Notes
    -----
    Output pixels o and o + d share input pixels i. With n_i(o) = a_i(o) w_i sigma_i / (W sigma)(o)
    their correlation is sum_i n_i(o) n_i(o + d), and its mean over o is the sum over i and o of
    these products, divided by the same sum at d = 0. Samples of the input pixels suffice for both
    sums; nothing is drawn but their positions.
    """
    half = max(s.imprint.shape[1] for s in samples) // 2
    kernel = np.zeros((2 * half + 1, 2 * half + 1))
    for sample in samples:
        relative = _relative(sample, sigma)
        size = relative.shape[1]
        for dy, dx in _half_plane(size):
            a = relative[:, : size - dy, max(0, -dx) : size - max(0, dx)]
            b = relative[:, dy:, max(0, dx) : size - max(0, -dx)]
            total = sample.share * float(np.sum(a * b))
            kernel[half + dy, half + dx] += total
            if dy or dx:
                kernel[half - dy, half - dx] += total
    if kernel[half, half] == 0.0:
        kernel[half, half] = 1.0
    return np.asarray(kernel / kernel[half, half])


def _half_plane(size: int) -> list[tuple[int, int]]:
    """Offsets (dy, dx) inside a kernel of `size` pixels, one of each pair of opposite ones."""
    half = size // 2
    return [(dy, dx) for dy in range(half + 1) for dx in range(-half, half + 1) if dy or dx >= 0]


def _positions(
    shape: tuple[int, ...], generator: np.random.Generator
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64], float]:
    """One pixel at random in each cell of a grid over a frame."""
    count = tuple(min(n, SIDE) for n in shape)
    edges = [np.linspace(0, n, c + 1).astype(int) for n, c in zip(shape, count, strict=True)]
    low = np.stack(np.meshgrid(edges[0][:-1], edges[1][:-1], indexing="ij"), -1).reshape(-1, 2)
    high = np.stack(np.meshgrid(edges[0][1:], edges[1][1:], indexing="ij"), -1).reshape(-1, 2)
    place = generator.integers(low, high)
    share = float(np.prod(shape)) / max(1, len(place))
    return place[:, 0], place[:, 1], share


def _neighbourhood(pixmap: Float64, y: npt.NDArray[np.int64], x: npt.NDArray[np.int64]) -> Float64:
    """Pixel map (n, 3, 3, 2) around pixels, continued linearly beyond the edge of the frame."""
    ny, nx = pixmap.shape[:2]
    row = y[:, None, None] + np.array([[-1], [0], [1]])
    column = x[:, None, None] + np.array([-1, 0, 1])
    j, i = np.clip(row, 0, ny - 1), np.clip(column, 0, nx - 1)
    # the pixel as far inside as the wanted one lies outside; itself for those inside
    inner_j, inner_i = np.clip(2 * j - row, 0, ny - 1), np.clip(2 * i - column, 0, nx - 1)
    return np.asarray(3.0 * pixmap[j, i] - pixmap[inner_j, i] - pixmap[j, inner_i])


def _imprint(
    block: Float64,
    corner: npt.NDArray[np.int64],
    noise: npt.NDArray[np.floating],
    *,
    size: int,
    pixfrac: float,
) -> Float32:
    """Drizzle the central pixel of every 3 x 3 block into its own window of a scratch image."""
    count = len(block)
    side = math.ceil(math.sqrt(count))
    row, column = np.divmod(np.arange(count), side)
    window = np.stack([column, row], axis=-1) * size
    moved = block + (window - corner[:, ::-1])[:, None, None, :]
    pixmap = np.full((side * 3, side * 3, 2), np.nan)
    tiles = pixmap.reshape(side, 3, side, 3, 2).transpose(0, 2, 1, 3, 4)
    tiles[row, column] = moved
    weight = np.zeros((side * 3, side * 3), dtype=np.float32)
    weight[row * 3 + 1, column * 3 + 1] = noise
    scratch = Drizzle(out_shape=(side * size, side * size), fillval="0.0", disable_ctx=True)
    scratch.add_image(
        np.ones_like(weight),
        exptime=1.0,
        pixmap=pixmap,
        weight_map=weight,
        pixfrac=pixfrac,
        pixel_scale_ratio=1.0,
        in_units="cps",
    )
    windows = scratch.out_wht.reshape(side, size, side, size).transpose(0, 2, 1, 3)
    return np.asarray(windows[row, column], dtype=np.float32)


def _relative(sample: NoiseSample, sigma: npt.NDArray[np.floating]) -> Float64:
    """Imprints in units of the output noise; 0 outside of the mosaic."""
    size = sample.imprint.shape[1]
    y = sample.corner[:, 0, None, None] + np.arange(size)[:, None]
    x = sample.corner[:, 1, None, None] + np.arange(size)
    y, x = np.broadcast_arrays(y, x)
    ny, nx = sigma.shape
    inside = (y >= 0) & (y < ny) & (x >= 0) & (x < nx)
    under = sigma[np.clip(y, 0, ny - 1), np.clip(x, 0, nx - 1)].astype(np.float64)
    inside &= under > 0
    return np.where(inside, sample.imprint, 0.0) / np.where(inside, under, 1.0)
