"""Levels of the reference rows, taken off raw reads as the readout library takes them off."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["correct_read", "reference_levels"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

CLIP = 4.0
"""Values that many robust sigmas from the median do not count; 6e-5 of Gaussian ones."""
SIGMA_PER_MAD = 1.4826
"""Sigma of a Gaussian over its median absolute deviation."""
CLOSEST = 2.0
"""Digitisation can hide a noise below 1 DN: nothing nearer than this is clipped [DN]."""
FULL_SCALE = 65535


def reference_levels(
    read: npt.ArrayLike, *, border: int, noutputs: int, good: npt.ArrayLike | None = None
) -> Float32:
    """Measure the level of every column on the reference rows of a read.

    Parameters
    ----------
    read : array_like (ny, nx) uint16
        Raw counts, or only the `border` lowest and the `border` highest rows of a read [DN].
    border : int
        Width of the reference border [pixel]; 0: there is none, and the levels are 0.
    noutputs : int
        Vertical output stripes; divides nx.
    good : array_like (ny, nx) bool, optional
        False where a reference pixel is broken.

    Returns
    -------
    ndarray (nx,) float32
        Level of the output and column parity of each column [DN].

    Raises
    ------
    InputError
        If there are fewer rows than the border has, or nx is no multiple of `noutputs`.

    Notes
    -----
    The definition is that of ``iris_readout``: the mean of the reference pixels of an output and a
    column parity within `CLIP` robust sigmas of their median. Where a parity has no usable pixel,
    both parities stand in, then the whole detector, else the level is 0. Counts at either end of
    the converter carry no level.
    """
    counts = np.asarray(read)
    ny, nx = counts.shape
    if border == 0:
        return np.zeros(nx, np.float32)
    if ny < 2 * border or nx % noutputs:
        got, expected = (ny, nx), f"{2 * border} rows, and columns for {noutputs} outputs"
        raise InputError(
            complaint("reference rows", "shape", got, expected, "check REFPIX and NOUTPUTS")
        )
    rows = np.r_[0:border, ny - border : ny]
    values = counts[rows].astype(np.float64)
    usable = (values > 0) & (values < FULL_SCALE)
    if good is not None:
        usable &= np.asarray(good, np.bool_)[rows]
    column = np.arange(nx)
    output = column // (nx // noutputs)
    levels = np.zeros(nx)
    for number in range(noutputs):
        for parity in (0, 1):
            mine = (output == number) & (column % 2 == parity)
            levels[mine] = _level(values, usable, mine, output == number)
    return levels.astype(np.float32)


def _level(values: Float64, usable: Bool, mine: Bool, output: Bool) -> float:
    """Give the level of columns, of their output, or of all."""
    for columns in (mine, output, np.ones_like(mine)):
        found = values[:, columns][usable[:, columns]]
        if found.size:
            return _clipped_mean(found)
    return 0.0


def _clipped_mean(values: Float64) -> float:
    """Average the values near their median."""
    distance = np.abs(values - np.median(values))
    middle = np.partition(distance, (distance.size - 1) // 2)[(distance.size - 1) // 2]
    near = distance <= max(CLIP * SIGMA_PER_MAD * middle, CLOSEST)
    return float(values[near].mean())


def correct_read(
    read: npt.ArrayLike, *, border: int, noutputs: int, good: npt.ArrayLike | None = None
) -> Float32:
    """Take the levels of the reference rows off a read.

    Parameters
    ----------
    read, border, noutputs, good
        As for :func:`reference_levels`.

    Returns
    -------
    ndarray (ny, nx) float32
        Counts above the reference level [DN].
    """
    levels = reference_levels(read, border=border, noutputs=noutputs, good=good)
    return np.asarray(read, np.float32) - levels
