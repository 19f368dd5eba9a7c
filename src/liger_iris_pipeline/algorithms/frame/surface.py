"""A smooth surface through the good pixels of an image."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import numpy.typing as npt
import scipy

__all__ = ["block_factors", "block_surface", "smooth_surface", "surface_error", "surface_rows"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]
_Places = tuple[Float64, Float64]
"""Rows and columns, from the middle of the image [pixel]."""


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
    left, right = block_factors(values, good, block=block)
    return np.asarray(left @ right)


def block_factors(
    values: npt.ArrayLike, good: Bool, *, block: int = 64, above: float | None = None
) -> tuple[Float64, Float64]:
    """Give the surface of :func:`block_surface` as a product, for those who need it row by row.

    Parameters
    ----------
    values, good, block
        As for :func:`block_surface`.
    above : float, optional
        Values more than this above the median of their block are left out, and the median is taken anew.

    Returns
    -------
    left : ndarray (ny, n) float64
        Weights of the rows of blocks.
    right : ndarray (n, nx) float64
        Surface along those; ``left @ right`` is the whole surface.
    """
    image = np.asarray(values)
    ny, nx = image.shape
    grid, fraction = _block_medians(image, good, block, above)
    solid = fraction >= min(0.1, float(fraction.max(initial=0.0)))
    solid &= fraction > 0
    left, across = _linear(ny, block), _linear(nx, block).T
    if not solid.any():
        return left, np.full((left.shape[1], nx), np.nan)
    nearest = scipy.ndimage.distance_transform_edt(
        ~solid, return_distances=False, return_indices=True
    )
    return left, np.asarray(grid[tuple(nearest)] @ across)


def surface_rows(left: Float64, right: Float64, rows: slice) -> npt.NDArray[np.float32]:
    """Give rows of a surface.

    Parameters
    ----------
    left, right : ndarray
        Of :func:`block_factors`.
    rows : slice
        The rows.

    Returns
    -------
    ndarray (n, nx) float32
        Those rows.
    """
    used = np.flatnonzero(left[rows].any(axis=0))
    weights, lines = left[rows, used].astype(np.float32), right[used].astype(np.float32)
    total = weights[:, :1] * lines[0]
    for k in range(1, len(used)):
        total += weights[:, k : k + 1] * lines[k]
    return np.asarray(total)


def _edges(size: int, block: int) -> list[tuple[int, int]]:
    """Cut `size` pixels into blocks of nearly equal length."""
    count = max(1, round(size / block))
    cuts = np.linspace(0, size, count + 1).round().astype(int).tolist()
    return list(pairwise(cuts))


def _block_medians(
    image: npt.NDArray[np.generic], good: Bool, block: int, above: float | None = None
) -> tuple[Float64, Float64]:
    """Median and fraction of the good, finite pixels in each block that are not too far above it."""
    rows, columns = _edges(image.shape[0], block), _edges(image.shape[1], block)
    grid = np.full((len(rows), len(columns)), np.nan)
    fraction = np.zeros(grid.shape)
    for j, (y0, y1) in enumerate(rows):
        for i, (x0, x1) in enumerate(columns):
            cell = image[y0:y1, x0:x1][good[y0:y1, x0:x1]]
            cell = cell[np.isfinite(cell)]
            if cell.size:
                grid[j, i], count = _median(cell), cell.size
                if above is not None:
                    grid[j, i], count = _low_median(cell, float(grid[j, i]) + above)
                fraction[j, i] = count / ((y1 - y0) * (x1 - x0))
    return grid, fraction


def _median(values: npt.NDArray[np.generic]) -> float:
    """Median of finite values, which are put into another order; the mean of the middle two is taken in float64."""
    values.partition(values.size // 2)
    return _middle(values, values.size)


def _middle(values: npt.NDArray[np.generic], count: int) -> float:
    """Median of the `count` lowest values, which are partitioned in their middle."""
    middle = count // 2
    high = float(values[middle])
    return high if count % 2 else 0.5 * (float(values[:middle].max()) + high)


def _low_median(values: npt.NDArray[np.generic], limit: float) -> tuple[float, int]:
    """Median and number of the values up to a limit no lower than the median; they went through `_median`."""
    count = int(np.count_nonzero(np.less_equal(values, limit)))
    if count < values.size:
        # all values of the lower half come first already
        lower = values[: values.size // 2 + 1]
        lower.partition(count // 2)
        return _middle(lower, count), count
    return _middle(values, count), count


def _linear(size: int, block: int) -> Float64:
    """Matrix (size, nblock) of linear interpolation between block centres."""
    centres = np.array([(a + b - 1) / 2 for a, b in _edges(size, block)])
    return np.stack(
        [np.interp(np.arange(size), centres, unit) for unit in np.eye(len(centres))], axis=1
    )


def smooth_surface(
    values: npt.ArrayLike, good: Bool, *, block: int = 8, width: float = 1.0
) -> Float64:
    """Fit local planes to medians of blocks of good pixels.

    Unlike a mean or a median this follows a slope up to the edge of the image.

    Parameters
    ----------
    values : array_like (ny, nx)
        Image, of any unit.
    good : ndarray (ny, nx) bool
        Pixels that count.
    block : int, optional
        Side of a block [pixel].
    width : float, optional
        Sigma of the Gaussian that weighs the blocks around [block].

    Returns
    -------
    ndarray (ny, nx) float64
        Surface, linear between and beyond the block centres; NaN everywhere if there is no good
        pixel.

    References
    ----------
    Cleveland 1979, J. Am. Stat. Assoc. 74, 829, doi:10.1080/01621459.1979.10481038: local
    regression. Tukey 1977, Exploratory Data Analysis, chapter 16: a second pass over the residuals.
    """
    image = np.where(good, np.asarray(values, dtype=np.float64), np.nan)
    grid, fraction = _block_medians(image, good, block)
    if not np.any(fraction > 0):
        return np.full(image.shape, np.nan)
    at = _centroids(np.isfinite(image), block), _middles(image.shape, block)
    plane = _fitted(np.nan_to_num(grid), fraction, width, at)
    return np.asarray(
        _linear_beyond(image.shape[0], block) @ plane @ _linear_beyond(image.shape[1], block).T
    )


def surface_error(err: npt.ArrayLike, good: Bool, *, block: int = 8, width: float = 1.0) -> Float64:
    """Give the error of what :func:`smooth_surface` makes of pixels with independent errors.

    Parameters
    ----------
    err : array_like (ny, nx)
        One-sigma error of the pixels.
    good : ndarray (ny, nx) bool
        Pixels that count.
    block, width : optional
        As for :func:`smooth_surface`.

    Returns
    -------
    ndarray (ny, nx) float64
        One-sigma error of the surface; NaN everywhere if there is no good pixel.

    Notes
    -----
    The surface is linear in the medians of the blocks, whose variance is pi / 2 that of a mean.
    The variance of each node is the mean square over 64 sets of signs that are orthogonal within
    any 8 by 8 blocks, beyond which blocks do not share in a node.
    """
    image = np.where(good, np.asarray(err, dtype=np.float64), np.nan)
    grid, fraction = _block_medians(image, good, block)
    if not np.any(fraction > 0):
        return np.full(image.shape, np.nan)
    at = _centroids(np.isfinite(image), block), _middles(image.shape, block)
    count = np.maximum(fraction * block**2, 1.0)
    sigma = np.sqrt(np.pi / 2 / count) * np.nan_to_num(grid)
    rows, columns = np.indices(grid.shape)
    signs = scipy.linalg.hadamard(64)[:, rows % 8 * 8 + columns % 8]
    square = np.mean([_fitted(sigma * s, fraction, width, at) ** 2 for s in signs], axis=0)
    matrices = (_linear_beyond(size, block) for size in image.shape)
    # an error between nodes is no smaller than theirs, and positive beyond them
    left, right = (np.clip(m, 0.0, 1.0) for m in matrices)
    return np.asarray(np.sqrt(left @ square @ right.T))


def _fitted(nodes: Float64, weight: Float64, width: float, at: tuple[_Places, _Places]) -> Float64:
    """Fit local planes, and once more what they leave of a bend."""
    plane, at_places = _local_planes(nodes, weight, width, at)
    return plane + _local_planes(nodes - at_places, weight, width, at)[0]


def _centroids(good: Bool, block: int) -> _Places:
    """Mean row and column of the good pixels of each block, from the middle of the image [pixel]."""
    starts = [[a for a, _ in _edges(size, block)] for size in good.shape]

    def total(part: npt.NDArray[np.floating]) -> Float64:
        rows = np.add.reduceat(part, starts[0], axis=0, dtype=np.float64)
        return np.asarray(np.add.reduceat(rows, starts[1], axis=1))

    count = np.maximum(total(good.astype(np.float32)), 1.0)
    y, x = (np.arange(size, dtype=np.float64) - (size - 1) / 2 for size in good.shape)
    return total(good * y[:, None]) / count, total(good * x) / count


def _middles(shape: tuple[int, ...], block: int) -> _Places:
    """Row and column of the middle of each block, from the middle of the image [pixel]."""
    rows, columns = (
        np.array([(a + b - 1) / 2 for a, b in _edges(size, block)]) - (size - 1) / 2
        for size in shape
    )
    return rows[:, None], columns[None, :]


def _local_planes(
    grid: Float64, weight: Float64, width: float, at: tuple[_Places, _Places]
) -> tuple[Float64, Float64]:
    """Planes through the nodes around, which lie at the first places: values at the second and first."""
    total = scipy.ndimage.gaussian_filter(weight, width, mode="constant", truncate=6.0)
    total = np.where(total > 0, total, 1.0)

    def mean(part: Float64) -> Float64:
        smooth = scipy.ndimage.gaussian_filter(weight * part, width, mode="constant", truncate=6.0)
        return np.asarray(smooth / total)

    (y, x), (middle_y, middle_x) = at
    my, mx, mz = mean(y), mean(x), mean(grid)
    yy, xx, xy = mean(y * y) - my**2, mean(x * x) - mx**2, mean(x * y) - mx * my
    yz, xz = mean(y * grid) - my * mz, mean(x * grid) - mx * mz
    # a ridge of a tenth of a pixel keeps single nodes and lines of nodes solvable
    yy, xx = yy + 1e-2, xx + 1e-2
    determinant = yy * xx - xy**2
    slope_y, slope_x = (yz * xx - xz * xy) / determinant, (xz * yy - yz * xy) / determinant

    def plane(at_y: Float64, at_x: Float64) -> Float64:
        return np.asarray(mz + slope_y * (at_y - my) + slope_x * (at_x - mx))

    return plane(middle_y, middle_x), plane(y, x)


def _linear_beyond(size: int, block: int) -> Float64:
    """Matrix (size, nblock) of linear interpolation between block centres, and beyond them."""
    centres = np.array([(a + b - 1) / 2 for a, b in _edges(size, block)])
    if len(centres) == 1:
        return np.ones((size, 1))
    pixel = np.arange(size)
    left = np.clip(np.searchsorted(centres, pixel) - 1, 0, len(centres) - 2)
    part = (pixel - centres[left]) / (centres[left + 1] - centres[left])
    matrix = np.zeros((size, len(centres)))
    matrix[pixel, left], matrix[pixel, left + 1] = 1.0 - part, part
    return matrix
