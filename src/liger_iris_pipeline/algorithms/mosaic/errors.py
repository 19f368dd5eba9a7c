"""Errors of sums over correlated pixels.

References
----------
Casertano et al. 2000, AJ 120, 2747, doi:10.1086/316851, appendix A.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["aperture_error", "weighted_error"]

Float64 = npt.NDArray[np.float64]


def weighted_error(var: npt.ArrayLike, kernel: npt.ArrayLike, weight: npt.ArrayLike) -> float:
    """Give the error of a weighted sum of pixels.

    Parameters
    ----------
    var : array_like (ny, nx)
        Variance of every pixel.
    kernel : array_like (k, k)
        Correlation of neighbouring pixels, 1 at the centre; k odd.
    weight : array_like (ny, nx)
        Factor of every pixel in the sum.

    Returns
    -------
    float
        sqrt(a' C a) with C_ij = kernel(i - j) sqrt(var_i var_j), in the unit of sqrt(`var`); NaN
        if a pixel with a factor other than 0 has no variance.
    """
    factor = np.asarray(weight, dtype=np.float64)
    variance = np.asarray(var, dtype=np.float64)
    used = factor != 0
    if not np.all(np.isfinite(variance[used]) & (variance[used] >= 0)):
        return float("nan")
    b = np.where(used, factor * np.sqrt(np.where(used, variance, 0.0)), 0.0)
    rho = np.asarray(kernel, dtype=np.float64)
    hy, hx = rho.shape[0] // 2, rho.shape[1] // 2
    ny, nx = b.shape
    padded = np.pad(b, ((hy, hy), (hx, hx)))
    total = 0.0
    for dy, dx in zip(*np.nonzero(rho), strict=True):
        total += rho[dy, dx] * float(np.sum(b * padded[dy : dy + ny, dx : dx + nx]))
    return float(np.sqrt(max(total, 0.0)))


def aperture_error(
    var: npt.ArrayLike,
    kernel: npt.ArrayLike,
    y: npt.ArrayLike,
    x: npt.ArrayLike,
    radius: float,
) -> Float64 | float:
    """Give the error of the sum over a circular aperture.

    Parameters
    ----------
    var : array_like (ny, nx)
        Variance of every pixel.
    kernel : array_like (k, k)
        Correlation of neighbouring pixels, 1 at the centre; k odd.
    y, x : array_like
        0-based centre or centres.
    radius : float
        Radius [pixel].

    Returns
    -------
    float or ndarray
        One-sigma error of the sum of pixels weighted by their exact overlap with the circle, in
        the unit of sqrt(`var`); one for each centre. Pixels beyond the image do not count; NaN if
        the aperture holds a pixel without variance or lies outside of the image.
    """
    from photutils.aperture import CircularAperture  # here: half a second that frames need not pay

    image = np.asarray(var)
    rows, columns = np.broadcast_arrays(np.asarray(y, float), np.asarray(x, float))
    errors = np.full(rows.shape, np.nan)
    for index in np.ndindex(rows.shape):
        centre = (float(columns[index]), float(rows[index]))
        if not np.all(np.isfinite(centre)):
            continue
        mask = CircularAperture(centre, radius).to_mask(method="exact")
        large, small = mask.get_overlap_slices(image.shape)
        if large is not None:
            errors[index] = weighted_error(image[large], kernel, mask.data[small])
    return errors if errors.ndim else float(errors)
