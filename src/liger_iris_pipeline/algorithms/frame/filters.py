"""Filters of whole planes in float32, band by band so that temporary arrays stay in cache."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.planes import row_bands
from liger_iris_pipeline.kinds import Float32

__all__ = ["BINOMIAL", "binned", "binomial", "dilated", "smoothed", "spread_out"]

Bool = npt.NDArray[np.bool_]

TRUNCATE = 4.0
"""Where a Gaussian ends [sigma]."""

BINOMIAL = 256
"""Sum of the weights of :func:`binomial`."""


def smoothed(plane: npt.NDArray[np.floating], sigma: float) -> Float32:
    """Convolve a plane with a Gaussian.

    Parameters
    ----------
    plane : ndarray (ny, nx)
        Finite values.
    sigma : float
        Width [pixel], above 0.

    Returns
    -------
    ndarray (ny, nx) float32
        Smoothed plane; it is taken to be mirrored at its edges, whose pixels are repeated.
    """
    reach = max(1, int(TRUNCATE * sigma + 0.5))
    kernel = np.exp(-0.5 * (np.arange(reach + 1) / sigma) ** 2)
    kernel /= kernel[0] + 2.0 * kernel[1:].sum()
    weights = kernel.astype(np.float32)
    ny, nx = plane.shape
    rows, columns = (np.pad(np.arange(n), reach, mode="symmetric") for n in (ny, nx))
    out = np.empty((ny, nx), np.float32)
    for band in row_bands((ny, nx)):
        height = band.stop - band.start
        inside = band.start >= reach and band.stop + reach <= ny
        around = slice(band.start - reach, band.stop + reach)
        part = plane[around if inside else rows[band.start : band.stop + 2 * reach]]
        wide = np.empty((height, nx + 2 * reach), np.float32)
        middle = wide[:, reach : reach + nx]
        _weigh([part[k : k + height] for k in range(2 * reach + 1)], weights, middle)
        wide[:, :reach] = middle[:, columns[:reach]]
        wide[:, reach + nx :] = middle[:, columns[reach + nx :]]
        _weigh([wide[:, k : k + nx] for k in range(2 * reach + 1)], weights, out[band])
    return out


def binomial(plane: npt.NDArray[np.generic], dtype: npt.DTypeLike = np.float32) -> npt.NDArray[Any]:
    """Sum a plane around each pixel with weights 1 4 6 4 1 along rows and columns, a Gaussian of sigma 1.

    Parameters
    ----------
    plane : ndarray (ny, nx)
        Values; True counts as 1.
    dtype : data type, optional
        Of the sums; uint16 holds those of a mask.

    Returns
    -------
    ndarray (ny, nx)
        Sums, of `BINOMIAL` times the mean value; the plane is taken to be mirrored as by :func:`smoothed`.

    Notes
    -----
    Four sums of neighbours make the weights: eight additions a pixel, a third of what a Gaussian takes.
    """
    ny, nx = plane.shape
    rows, columns = (np.pad(np.arange(n), 2, mode="symmetric") for n in (ny, nx))
    out = np.empty((ny, nx), dtype)
    for band in row_bands((ny, nx)):
        inside = band.start >= 2 and band.stop + 2 <= ny
        around = slice(band.start - 2, band.stop + 2)
        part = np.empty((band.stop - band.start + 4, nx + 4), dtype)
        part[:, 2:-2] = plane[around if inside else rows[band.start : band.stop + 4]]
        part[:, :2], part[:, -2:] = part[:, 2 + columns[:2]], part[:, 2 + columns[-2:]]
        for _ in range(4):
            part = part[1:] + part[:-1]
        for _ in range(3):
            part = part[:, 1:] + part[:, :-1]
        np.add(part[:, 1:], part[:, :-1], out=out[band])
    return out


def _weigh(shifted: Sequence[npt.NDArray[np.floating]], weights: Float32, out: Float32) -> None:
    """Sum planes with a symmetric kernel, whose half from the middle on is given."""
    reach = len(weights) - 1
    pair = np.empty(out.shape, np.float32)
    np.multiply(shifted[reach], weights[0], out=out)
    for k in range(1, reach + 1):
        np.add(shifted[reach - k], shifted[reach + k], out=pair)
        pair *= weights[k]
        out += pair


def binned(plane: npt.NDArray[np.generic], size: int) -> Float32:
    """Sum a plane over square cells.

    Parameters
    ----------
    plane : ndarray (ny, nx)
        Values; True counts as 1.
    size : int
        Side of a cell [pixel].

    Returns
    -------
    ndarray (ceil(ny / size), ceil(nx / size)) float32
        Sums; cells at the far edges may hold fewer pixels.
    """
    ny, nx = plane.shape
    out = np.zeros((-(-ny // size), -(-nx // size)), np.float32)
    for band in row_bands((len(out), nx)):
        part = plane[band.start * size : band.stop * size]
        lines = np.zeros((band.stop - band.start, nx), np.float32)
        for k in range(size):
            row = part[k::size]
            lines[: len(row)] += row
        for k in range(size):
            column = lines[:, k::size]
            out[band, : column.shape[1]] += column
    return out


def spread_out(cells: npt.NDArray[np.bool_], size: int, shape: tuple[int, ...]) -> Bool:
    """Give every pixel the value of its cell, the reverse of :func:`binned`.

    Parameters
    ----------
    cells : ndarray (my, mx) bool
        Values of the cells.
    size : int
        Side of a cell [pixel].
    shape : tuple of int
        Shape (ny, nx) of the plane.

    Returns
    -------
    ndarray (ny, nx) bool
        Values of the pixels.
    """
    if size == 1:
        return cells.copy()
    columns = np.repeat(cells, size, axis=1)[:, : shape[1]]
    return np.repeat(columns, size, axis=0)[: shape[0]]


def dilated(mask: Bool, reach: int) -> Bool:
    """Widen a mask by a diamond.

    Parameters
    ----------
    mask : ndarray (ny, nx) bool
        The mask.
    reach : int
        Half of the diamond's diagonal [pixel].

    Returns
    -------
    ndarray (ny, nx) bool
        True within `reach` steps along rows and columns.
    """
    ny, nx = mask.shape
    out = np.empty((ny, nx), dtype=bool)
    for band in row_bands((ny, nx // 4)):  # bytes take a quarter of the place
        start, stop = max(band.start - reach, 0), min(band.stop + reach, ny)
        wide = mask[start:stop]
        for _ in range(reach):
            old, wide = wide, wide.copy()
            wide[1:] |= old[:-1]
            wide[:-1] |= old[1:]
            wide[:, 1:] |= old[:, :-1]
            wide[:, :-1] |= old[:, 1:]
        out[band] = wide[band.start - start : band.stop - start]
    return out
