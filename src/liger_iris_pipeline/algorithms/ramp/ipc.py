"""Coupling of neighbouring pixels, from hot pixels in the dark."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import scipy

from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["Coupling", "fit_ipc_kernel"]

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]

BRIGHT = 50.0
"""A hot pixel is that many sigmas above its surroundings at least: 1 % of it is half a sigma."""
ALONE = 7
"""Box in which a hot pixel is the only one [pixel]."""
OTHERS = 0.05
"""A second pixel above this part of it is another hot one, not its neighbour by coupling."""
CLIP = 5.0
"""Neighbours that many sigmas from the kernel do not count: they are warm themselves."""


@dataclass(frozen=True, eq=False)
class Coupling:
    """Kernel of the interpixel capacitance.

    Attributes
    ----------
    kernel, error : ndarray (3, 3) float64
        Part of the charge of the middle pixel that each pixel shows, sum 1, and its error.
    count : int
        Hot pixels it rests on.
    """

    kernel: Float64
    error: Float64
    count: int


def fit_ipc_kernel(dark: npt.ArrayLike, error: npt.ArrayLike, good: npt.ArrayLike) -> Coupling:
    """Measure what isolated hot pixels give to their neighbours.

    Parameters
    ----------
    dark, error : array_like (ny, nx)
        Dark signal and its one-sigma error [any unit], of one readout scale.
    good : array_like (ny, nx) bool
        Pixels that work; hot ones are good here.

    Returns
    -------
    Coupling
        The kernel.

    Raises
    ------
    InputError
        If there is no isolated hot pixel.

    Notes
    -----
    For each hot pixel the 3 x 3 pixels above their surroundings are p_j, and Q their sum: the
    charge, which coupling does not change. The kernel is the weighted least-squares solution of
    p_j = k_j Q. The surroundings are the median of the box without its 3 x 3 middle.
    """
    image, sigma = np.asarray(dark, np.float64), np.asarray(error, np.float64)
    usable = np.asarray(good, np.bool_) & np.isfinite(image) & (sigma > 0)
    stamps, noise = _stamps(image, sigma, usable)
    if not len(stamps):
        raise InputError(
            complaint(
                "coupling",
                "hot pixels",
                "none that stands alone",
                f"some {BRIGHT:g} sigmas above their surroundings",
                "take longer darks",
            )
        )
    charge = stamps.sum(axis=(1, 2))[:, None, None]
    keep = np.ones(stamps.shape, np.bool_)
    for _ in range(3):
        weight = keep / noise**2
        power = (weight * charge**2).sum(axis=0)
        kernel = (weight * charge * stamps).sum(axis=0) / power
        keep = np.abs(stamps - kernel * charge) <= CLIP * noise * np.sqrt(1.0 + 9.0 * kernel**2)
        keep &= keep.any(axis=0)
    total = float(kernel.sum())
    return Coupling(kernel / total, 1.0 / np.sqrt(power) / total, len(stamps))


def _stamps(image: Float64, sigma: Float64, usable: Bool) -> tuple[Float64, Float64]:
    """Cut out hot pixels that stand alone: stamps (n, 3, 3) above their surroundings, and errors."""
    known = np.where(usable, image, np.nanmedian(np.where(usable, image, np.nan)))
    candidates = known - np.median(known) > BRIGHT * sigma
    candidates &= known == scipy.ndimage.maximum_filter(known, ALONE)
    half = ALONE // 2
    stamps, noise = [], []
    for y, x in zip(*np.nonzero(candidates & usable), strict=True):
        box = np.s_[y - half : y + half + 1, x - half : x + half + 1]
        inside = half <= y < image.shape[0] - half and half <= x < image.shape[1] - half
        if not inside or not usable[box].all():
            continue
        ring = np.ones((ALONE, ALONE), np.bool_)
        ring[half - 1 : half + 2, half - 1 : half + 2] = False
        part = image[box] - np.median(image[box][ring])
        part_of = np.sort(part.ravel())[-2] / part[half, half]
        if part_of > OTHERS or part[half, half] <= BRIGHT * sigma[y, x]:
            continue
        stamps.append(part[half - 1 : half + 2, half - 1 : half + 2])
        noise.append(sigma[y - 1 : y + 2, x - 1 : x + 2])
    return np.array(stamps).reshape(-1, 3, 3), np.array(noise).reshape(-1, 3, 3)
