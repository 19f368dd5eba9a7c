"""A smooth surface through the good pixels of an image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
from scipy import ndimage

__all__ = ["block_surface"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


def block_surface(values: npt.ArrayLike, good: Bool, *, block: int = 64) -> Float64:
    """Interpolate between medians of blocks of good pixels.

    Parameters
    ----------
    values : array_like (ny, nx)
        Image, of any unit.
    good : ndarray (ny, nx) bool
        Pixels that count.
    block : int, optional
        Side of a block [pixel].

    Returns
    -------
    ndarray (ny, nx) float64
        Bilinear surface through the medians at the block centres, constant beyond the outermost
        centres; NaN everywhere if there is no good pixel. A block with less than a tenth of its
        pixels good takes the value of the nearest block that has enough, if any has.
    """
    image = np.where(good, np.asarray(values, dtype=np.float64), np.nan)
    ny, nx = image.shape
    grid, fraction = _block_medians(image, block)
    solid = fraction >= min(0.1, float(fraction.max(initial=0.0)))
    solid &= fraction > 0
    if not solid.any():
        return np.full((ny, nx), np.nan)
    nearest = ndimage.distance_transform_edt(~solid, return_distances=False, return_indices=True)
    filled = grid[tuple(nearest)]
    return np.asarray(_linear(ny, block) @ filled @ _linear(nx, block).T)


def _edges(size: int, block: int) -> list[tuple[int, int]]:
    """Cut `size` pixels into blocks of nearly equal length."""
    count = max(1, round(size / block))
    cuts = np.linspace(0, size, count + 1).round().astype(int).tolist()
    return list(pairwise(cuts))


def _block_medians(image: Float64, block: int) -> tuple[Float64, Float64]:
    """Median and fraction of finite pixels in each block."""
    rows, columns = _edges(image.shape[0], block), _edges(image.shape[1], block)
    grid = np.full((len(rows), len(columns)), np.nan)
    fraction = np.zeros(grid.shape)
    for j, (y0, y1) in enumerate(rows):
        for i, (x0, x1) in enumerate(columns):
            cell = image[y0:y1, x0:x1]
            finite = cell[np.isfinite(cell)]
            if finite.size:
                grid[j, i] = np.median(finite)
                fraction[j, i] = finite.size / cell.size
    return grid, fraction


def _linear(size: int, block: int) -> Float64:
    """Matrix (size, nblock) of linear interpolation between block centres."""
    centres = np.array([(a + b - 1) / 2 for a, b in _edges(size, block)])
    return np.stack(
        [np.interp(np.arange(size), centres, unit) for unit in np.eye(len(centres))], axis=1
    )
