"""Combination of frames on one grid by drizzling.

References
----------
Fruchter & Hook 2002, PASP 114, 144, doi:10.1086/338393, equations (3) to (5).
Casertano et al. 2000, AJ 120, 2747, doi:10.1086/316851, appendix A (correlated noise).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from drizzle.resample import Drizzle

from liger_iris_pipeline.algorithms.frame.wcs import TanWcs
from liger_iris_pipeline.algorithms.mosaic.noise import NoiseSample, correlation, sample_noise
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint
from liger_iris_pipeline.kinds import Float32, Frame, Mosaic, UInt32

__all__ = ["Drizzler"]

Float64 = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class _Input:
    """Planes of a frame that can be drizzled: no NaN, weight 0 where not to be used."""

    rate: Float32
    var_read: Float32
    var_photon: Float32
    sigma_flat: Float32
    dq: UInt32
    weight: Float32


class Drizzler:
    """Add frames one by one to a mosaic; only output planes are kept in memory.

    Parameters
    ----------
    grid : TanWcs
        Projection of the output grid, kept as the attribute ``grid``.
    shape : tuple of int
        Shape (ny, nx) of the output grid.
    pixfrac : float, optional
        Side of the drop in units of an input pixel, in (0, 1].
    seed : int, optional
        Seed of the positions at which the noise correlation is sampled.

    Notes
    -----
    The value of an output pixel is sum(a w d) / sum(a w) over input pixels d with weight w and
    overlap a, hence its variance is sum(a^2 w^2 var) / sum(a w)^2. The error of a flat is common
    to the frames that were divided by it: its sigma adds linearly within one flat and in
    quadrature between different ones.
    """

    def __init__(
        self, grid: TanWcs, shape: tuple[int, int], *, pixfrac: float = 1.0, seed: int = 0
    ) -> None:
        self.grid = grid
        self._shape = shape
        self._pixfrac = pixfrac
        self._seed = seed
        self._main = Drizzle(out_shape=shape, fillval="NAN", fillval2="NAN")
        self._flats: dict[str, Drizzle] = {}
        self._samples: list[NoiseSample] = []

    def add(
        self,
        frame: Frame,
        pixmap: Float64,
        weight: npt.ArrayLike,
        *,
        scale: float = 1.0,
        flat_id: str = "",
    ) -> None:
        """Add one frame.

        Parameters
        ----------
        frame : Frame
            Reduced frame [e-/s].
        pixmap : ndarray (ny, nx, 2) float64
            0-based output coordinates (x, y) of every pixel centre.
        weight : array_like (ny, nx)
            Weight of every pixel of the frame as it is [(s/e-)^2]; see
            :func:`~liger_iris_pipeline.algorithms.mosaic.weights.frame_weight`.
        scale : float, optional
            Factor on the flux, to match zero points. Variances are scaled by its square, the
            weight by its inverse square.
        flat_id : str, optional
            Name of the flat; frames with the same one share its error.

        Raises
        ------
        InputError
            If shapes do not agree or `scale` is not positive.
        """
        self._check(frame, pixmap, np.shape(weight), scale)
        planes = _prepare(frame, pixmap, np.asarray(weight, dtype=np.float32), scale)
        common = {
            "exptime": 1.0,
            "pixmap": pixmap,
            "weight_map": planes.weight,
            "pixfrac": self._pixfrac,
            "pixel_scale_ratio": 1.0,
            "in_units": "cps",
        }
        variances = [planes.var_read, planes.var_photon]
        self._main.add_image(planes.rate, data2=variances, dq=planes.dq, **common)
        if flat_id not in self._flats:
            self._flats[flat_id] = Drizzle(out_shape=self._shape, fillval="0.0", disable_ctx=True)
        self._flats[flat_id].add_image(planes.sigma_flat, **common)
        noise = planes.weight * np.sqrt(planes.var_read + planes.var_photon)
        self._samples.append(
            sample_noise(
                pixmap,
                noise,
                pixfrac=self._pixfrac,
                generator=np.random.default_rng([self._seed, len(self._samples)]),
            )
        )

    def finish(self) -> Mosaic:
        """Combine what was added.

        Returns
        -------
        Mosaic
            ``coverage`` has one bit per frame in the order of the calls of :meth:`add`;
            ``noise_kernel`` is the mean correlation over the mosaic.

        Raises
        ------
        InputError
            If no frame was added.
        """
        if not self._samples:
            raise InputError(
                complaint("mosaic", "frames", "none", "at least one", "add the frames first")
            )
        main = self._main
        weight = main.out_wht
        used = weight > 0
        dq = np.where(used, main.out_dq, np.uint32(Flag.DO_NOT_USE)).astype(np.uint32)
        var_read, var_photon = (np.where(used, v, np.nan) for v in main.out_img2)
        sigma = weight * np.sqrt(var_read + var_photon)
        return Mosaic(
            flux=np.where(used, main.out_img, np.float32(np.nan)).astype(np.float32),
            var_read=var_read.astype(np.float32),
            var_photon=var_photon.astype(np.float32),
            var_flat=self._flat_variance(used),
            dq=dq,
            weight=weight.copy(),
            coverage=main.out_ctx.reshape(-1, *self._shape).copy(),
            noise_kernel=correlation(self._samples, sigma),
        )

    def _flat_variance(self, used: npt.NDArray[np.bool_]) -> Float32:
        """Variance of the flats, (sum over one flat of a w sigma)^2 / (sum of a w)^2, summed."""
        total = np.zeros(self._shape)
        for flat in self._flats.values():
            total += (flat.out_img.astype(np.float64) * flat.out_wht) ** 2
        weight = np.where(used, self._main.out_wht, np.nan).astype(np.float64)
        return np.asarray(total / weight**2, dtype=np.float32)

    def _check(self, frame: Frame, pixmap: Float64, weight: tuple[int, ...], scale: float) -> None:
        """Refuse planes that do not fit together."""
        shape = frame.rate.shape
        if pixmap.shape != (*shape, 2) or weight != shape:
            raise InputError(
                complaint(
                    "mosaic",
                    "pixmap, weight",
                    f"shapes {pixmap.shape}, {weight}",
                    f"{(*shape, 2)}, {shape}",
                    "make both from this frame",
                )
            )
        if not (np.isfinite(scale) and scale > 0):
            remedy = "take the ratio of the zero points' fluxes"
            raise InputError(complaint("mosaic", "scale", scale, "a positive number", remedy))


def _prepare(frame: Frame, pixmap: Float64, weight: Float32, scale: float) -> _Input:
    """Scale a frame's planes; give weight 0 and finite values to what is not to be used."""
    var_flat = np.zeros_like(frame.rate) if frame.var_flat is None else frame.var_flat
    planes = (frame.rate, frame.var_read, frame.var_photon, var_flat)
    used = ((frame.dq & np.uint32(Flag.DO_NOT_USE)) == 0) & np.isfinite(weight) & (weight > 0)
    for plane in planes:
        used &= np.isfinite(plane)
    used &= np.isfinite(pixmap).all(axis=2)
    rate, var_read, var_photon, var_flat = (
        np.where(used, plane, np.float32(0)) for plane in planes
    )
    square = np.float32(scale**2)
    return _Input(
        rate=rate * np.float32(scale),
        var_read=var_read * square,
        var_photon=var_photon * square,
        sigma_flat=np.sqrt(var_flat) * np.float32(scale),
        dq=frame.dq & ~np.uint32(Flag.DO_NOT_USE),
        weight=np.where(used, weight / square, np.float32(0)),
    )
