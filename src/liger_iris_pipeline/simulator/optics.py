"""Light on the detector: the point-spread function and the image of a star field.

The core is band-limited (cutoff D / wavelength = 0.46 cycles per pixel in J) and the halo is
smooth, so a sum of shifted exponentials times the transfer function gives the pixel-integrated
image of all stars at any sub-pixel place without interpolation or truncated stamps.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy.special import gamma, j1, kv

from .scene import PointSpread

__all__ = ["MARGIN", "aperture_sums", "halo_width", "point_spread_image", "star_image", "transfer"]

Floats = npt.NDArray[np.float64]

MARGIN = 128
"""Stars are seen up to this far outside a tile [pixel]; less than 1e-4 of their light lies
beyond."""

_TILE = 512


def halo_width(psf: PointSpread) -> float:
    """Give the scale length alpha of the Moffat halo ``(1 + (r / alpha)^2)^-beta`` [pixel]."""
    return float(psf.halo_fwhm / 2.0 / np.sqrt(2.0 ** (1.0 / psf.halo_beta) - 1.0))


def _airy(r: Floats, psf: PointSpread, pixel_scale: float) -> Floats:
    """Diffraction pattern of an annular aperture, 1 at its centre, at radii r [pixel]."""
    v = np.pi * r * (pixel_scale / 206264.806) * psf.diameter / (psf.wavelength * 1e-6)
    v = np.maximum(v, 1e-9)
    e = psf.obscuration
    amplitude = 2.0 * j1(v) / v - e**2 * 2.0 * j1(e * v) / (e * v)
    return np.asarray((amplitude / (1.0 - e**2)) ** 2)


def transfer(psf: PointSpread, pixel_scale: float, n: int) -> Floats:
    """Give the optical transfer function with jitter and pixel.

    Parameters
    ----------
    psf : PointSpread
        The point-spread function.
    pixel_scale : float
        Size of a pixel [arcsec].
    n : int
        Size of the square grid [pixel].

    Returns
    -------
    ndarray (n, n // 2 + 1) float64
        Transfer function on the grid of ``numpy.fft.rfft2``; 1 at zero frequency (total light 1),
        real because the image is symmetric.

    Notes
    -----
    Moffat halo: ``2 / Gamma(b - 1) (k a / 2)^(b - 1) K_(b-1)(k a)`` with k = 2 pi f.
    """
    axis = np.fft.fftfreq(n, 1.0 / n)
    r = np.hypot(axis[:, None], axis[None, :])
    core = _airy(r, psf, pixel_scale) * np.exp(-0.5 * (r / psf.core_taper) ** 2)
    core_transfer = np.fft.rfft2(core / core.sum()).real
    fy, fx = np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None, :]
    f = np.hypot(fy, fx)
    k = np.maximum(2.0 * np.pi * f * halo_width(psf), 1e-9)
    order = psf.halo_beta - 1.0
    halo_transfer = 2.0 / gamma(order) * (k / 2.0) ** order * kv(order, k)
    halo_transfer[0, 0] = 1.0
    motion = np.exp(-2.0 * (np.pi * psf.jitter * f) ** 2)
    total = psf.core_fraction * core_transfer * motion + (1.0 - psf.core_fraction) * halo_transfer
    return np.asarray(total * np.sinc(fy) * np.sinc(fx))


def _tile(x: Floats, y: Floats, flux: Floats, response: Floats) -> Floats:
    """Image (n, n) of stars at (x, y) on the periodic grid of a transfer function."""
    n = response.shape[0]
    rows = np.exp(-2j * np.pi * np.outer(np.fft.fftfreq(n), y)) * flux
    columns = np.exp(-2j * np.pi * np.outer(x, np.fft.rfftfreq(n)))
    return np.fft.irfft2((rows @ columns) * response, s=(n, n))


def star_image(
    x: Floats,
    y: Floats,
    flux: Floats,
    shape: tuple[int, int],
    psf: PointSpread,
    pixel_scale: float,
) -> npt.NDArray[np.float32]:
    """Draw the pixel-integrated image of stars, tile by tile.

    Parameters
    ----------
    x, y : ndarray (nstar,) float64
        0-based pixel coordinates; may lie outside.
    flux : ndarray (nstar,) float64
        Total light [e-/s].
    shape : (int, int)
        Size ``(ny, nx)`` of the image.
    psf : PointSpread
        The point-spread function.
    pixel_scale : float
        Size of a pixel [arcsec].

    Returns
    -------
    ndarray (ny, nx) float32
        Image [e-/s per pixel].
    """
    edge = min(_TILE, max(shape))
    response = transfer(psf, pixel_scale, edge + 2 * MARGIN)
    image = np.zeros(shape, dtype=np.float32)
    for y0 in range(0, shape[0], edge):
        for x0 in range(0, shape[1], edge):
            u, v = x - x0 + MARGIN, y - y0 + MARGIN
            near = (u > 0) & (u < edge + 2 * MARGIN) & (v > 0) & (v < edge + 2 * MARGIN)
            if near.any():
                part = image[y0 : y0 + edge, x0 : x0 + edge]
                drawn = _tile(u[near], v[near], flux[near], response)
                part += drawn[MARGIN:, MARGIN:][: part.shape[0], : part.shape[1]]
    return np.maximum(image, 0.0)


def point_spread_image(psf: PointSpread, pixel_scale: float, radius: int = 128) -> Floats:
    """Give the pixel-integrated image of a star of total light 1 on the centre of a pixel.

    Parameters
    ----------
    psf : PointSpread
        The point-spread function.
    pixel_scale : float
        Size of a pixel [arcsec].
    radius : int
        Half the size of the image [pixel].

    Returns
    -------
    ndarray (2 radius + 1, 2 radius + 1) float64
        Light per pixel.
    """
    response = transfer(psf, pixel_scale, 4 * radius)
    image = np.fft.fftshift(np.fft.irfft2(response, s=(4 * radius, 4 * radius)))
    cut = slice(radius, 3 * radius + 1)
    return np.asarray(image[cut, cut])


def aperture_sums(psf: PointSpread, pixel_scale: float, radii: Floats) -> tuple[Floats, Floats]:
    """Give the light inside circles around a star.

    Parameters
    ----------
    psf : PointSpread
        The point-spread function.
    pixel_scale : float
        Size of a pixel [arcsec].
    radii : ndarray (n,) float64
        Radii, > 0 and < 200 [pixel].

    Returns
    -------
    energy, aperture : ndarray (n,) float64
        Encircled energy of the pixel-convolved image; and the sum in a circle of pixels weighted by
        their overlap with it, averaged over all sub-pixel places of the star (one more convolution
        with the pixel).

    Notes
    -----
    Parseval with the transform of a disc, ``r J1(2 pi f r) / f``.
    """
    n = 512
    response = transfer(psf, pixel_scale, n)
    fy, fx = np.fft.fftfreq(n)[:, None], np.fft.rfftfreq(n)[None, :]
    f = np.hypot(fy, fx)
    twice = np.where((fx == 0) | (fx == 0.5), 1.0, 2.0)  # half plane: the other half is its mirror
    pixel = np.sinc(fy) * np.sinc(fx)
    energy, aperture = np.empty(len(radii)), np.empty(len(radii))
    for i, radius in enumerate(radii):
        disc = radius * j1(2.0 * np.pi * f * radius) / np.maximum(f, 1e-12)
        disc[0, 0] = np.pi * radius**2
        weighted = twice * disc * response / n**2
        energy[i], aperture[i] = weighted.sum(), (weighted * pixel).sum()
    return energy, aperture
