"""The kinds of array that flow through the system: one noun, one frozen dataclass each.

Arrays are in C order, slow axis first. A kind checks its shapes and dtypes once, when it is made; algorithms
take kinds and return new ones and never write into an argument.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Float32", "Frame", "Mosaic", "Ramp", "UInt32"]

Float32 = npt.NDArray[np.float32]
UInt32 = npt.NDArray[np.uint32]

_PIECE = 1 << 17  # pixels that are added up at a time, in cache


def _check(owner: str, name: str, array: Any, shape: tuple[int, ...], dtype: type) -> None:
    """Raise unless `array` has the given shape and native dtype."""
    if not isinstance(array, np.ndarray):
        raise TypeError(
            f"{owner}.{name}: got {type(array).__name__}, expected a NumPy array; convert it with numpy.asarray"
        )
    if array.dtype != np.dtype(dtype):
        raise TypeError(
            f"{owner}.{name}: got dtype {array.dtype}, expected native {np.dtype(dtype)}; convert it with .astype"
        )
    if array.shape != shape:
        raise ValueError(
            f"{owner}.{name}: got shape {array.shape}, expected {shape}; all planes of a {owner} have one shape"
        )


def _root_of_sum(first: Float32, second: Float32, third: Float32 | None) -> Float32:
    """Give the root of the sum of variances (ny, nx), a few rows at a time."""
    root = np.empty(first.shape, np.float32)
    step = max(1, _PIECE // max(1, first.shape[1]))
    for top in range(0, first.shape[0], step):
        rows = slice(top, top + step)
        part = np.add(first[rows], second[rows], out=root[rows])
        if third is not None:
            part += third[rows]
        np.sqrt(part, out=part)
    return root


@dataclass(frozen=True, eq=False)
class Ramp:
    """Raw reads between two resets.

    Attributes
    ----------
    counts : ndarray (nread, ny, nx) uint16
        Raw counts [DN].
    time : ndarray (nread,) float64
        Start of each read since the reset [s], rising.
    """

    counts: npt.NDArray[np.uint16]
    time: npt.NDArray[np.float64]

    def __post_init__(self) -> None:
        if not isinstance(self.counts, np.ndarray) or self.counts.ndim != 3:
            raise ValueError("Ramp.counts: expected an array (nread, ny, nx)")
        _check("Ramp", "counts", self.counts, self.counts.shape, np.uint16)
        _check("Ramp", "time", self.time, self.counts.shape[:1], np.float64)
        if not np.all(np.diff(self.time) > 0):
            raise ValueError(
                "Ramp.time: got times that do not rise, expected rising seconds since the reset; sort the reads"
            )


@dataclass(frozen=True, eq=False)
class Frame:
    """Two-dimensional rate image of one detector.

    Attributes
    ----------
    rate : ndarray (ny, nx) float32
        Rate [e-/s]; NaN where no rate could be had.
    var_read, var_photon : ndarray (ny, nx) float32
        Variance from read noise and from photon counting [(e-/s)^2].
    dq : ndarray (ny, nx) uint32
        Data-quality bits, see :class:`liger_iris_pipeline.dq.Flag`.
    var_flat : ndarray (ny, nx) float32, optional
        Variance from the flat [(e-/s)^2]; None before flat-fielding.
    """

    rate: Float32
    var_read: Float32
    var_photon: Float32
    dq: UInt32
    var_flat: Float32 | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.rate, np.ndarray) or self.rate.ndim != 2:
            raise ValueError("Frame.rate: expected an array (ny, nx)")
        shape = self.rate.shape
        for name in ("rate", "var_read", "var_photon"):
            _check("Frame", name, getattr(self, name), shape, np.float32)
        _check("Frame", "dq", self.dq, shape, np.uint32)
        if self.var_flat is not None:
            _check("Frame", "var_flat", self.var_flat, shape, np.float32)

    @property
    def variance(self) -> Float32:
        """Total variance (ny, nx) [(e-/s)^2]."""
        total = self.var_read + self.var_photon
        if self.var_flat is not None:
            total += self.var_flat
        return total

    @property
    def error(self) -> Float32:
        """One-sigma error (ny, nx) [e-/s]."""
        return _root_of_sum(self.var_read, self.var_photon, self.var_flat)


@dataclass(frozen=True, eq=False)
class Mosaic:
    """Frames of several dithers and detectors on one grid.

    Attributes
    ----------
    flux : ndarray (ny, nx) float32
        Surface brightness per native pixel area [e-/s]; NaN where nothing was used.
    var_read, var_photon, var_flat : ndarray (ny, nx) float32
        Variance by origin [(e-/s)^2].
    dq : ndarray (ny, nx) uint32
        OR of the bits of the inputs that were used; DO_NOT_USE where none was.
    weight : ndarray (ny, nx) float32
        Sum of the weights [(s/e-)^2].
    coverage : ndarray (nplane, ny, nx) int32
        Which input contributed: bit i % 32 of plane i // 32 belongs to input i.
    noise_kernel : ndarray (k, k) float64
        Correlation of a pixel with its neighbours, 1 at the centre.
    """

    flux: Float32
    var_read: Float32
    var_photon: Float32
    var_flat: Float32
    dq: UInt32
    weight: Float32
    coverage: npt.NDArray[np.int32]
    noise_kernel: npt.NDArray[np.float64] = field(repr=False)

    def __post_init__(self) -> None:
        shape = self.flux.shape
        for name in ("flux", "var_read", "var_photon", "var_flat", "weight"):
            _check("Mosaic", name, getattr(self, name), shape, np.float32)
        _check("Mosaic", "dq", self.dq, shape, np.uint32)

    @property
    def variance(self) -> Float32:
        """Total variance (ny, nx) [(e-/s)^2]."""
        return self.var_read + self.var_photon + self.var_flat

    @property
    def error(self) -> Float32:
        """One-sigma error of one pixel (ny, nx) [e-/s]."""
        return _root_of_sum(self.var_read, self.var_photon, self.var_flat)
