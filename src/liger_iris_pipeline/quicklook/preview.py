"""Preview pictures of reads, frames and mosaics: zscale limits, asinh stretch, north or +y up."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from astropy.io.fits.verify import VerifyError
from astropy.visualization import AsinhStretch, ZScaleInterval
from PIL import Image

from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.models.fitsfile import Fault, open_stream, survey

__all__ = ["draw_mosaics", "picture", "write_preview"]

MAX_SIDE = 1024
NO_DATA = np.array([38, 50, 76], np.uint8)
"""Colour of pixels without a value: a dark blue no grey level has."""


def _shrink(image: npt.NDArray[Any], factor: int) -> npt.NDArray[np.float64]:
    """Average blocks of factor x factor pixels, leaving NaN out."""
    if factor == 1:
        return image.astype(np.float64)
    ny, nx = (size // factor * factor for size in image.shape)
    blocks = image[:ny, :nx].astype(np.float64).reshape(ny // factor, factor, nx // factor, factor)
    good = np.isfinite(blocks)
    count = good.sum(axis=(1, 3))
    total = np.where(good, blocks, 0.0).sum(axis=(1, 3))
    return np.where(count > 0, total / np.maximum(count, 1), np.nan)


def picture(image: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
    """Turn an image into an RGB picture of at most 1024 pixels on a side.

    Parameters
    ----------
    image : ndarray (ny, nx)
        Any real values; not finite ones are drawn dark blue.

    Returns
    -------
    ndarray (my, mx, 3) uint8
        Row 0 is the top of the picture, that is the largest y.
    """
    small = _shrink(image, max(1, -(-max(image.shape) // MAX_SIDE)))
    good = np.isfinite(small)
    if not good.any():
        return np.broadcast_to(NO_DATA, (*small.shape, 3)).copy()
    low, high = ZScaleInterval().get_limits(small[good])
    if not high > low:
        low, high = low - 0.5, low + 0.5
    # Stretch far beyond zscale's upper limit, so that star cores keep some shape.
    top = low + 8.0 * (high - low)
    scaled = np.clip((np.where(good, small, low) - low) / (top - low), 0.0, 1.0)
    grey = np.rint(255.0 * AsinhStretch(0.08)(scaled)).astype(np.uint8)
    colour = np.repeat(grey[..., None], 3, axis=2)
    colour[~good] = NO_DATA
    return colour[::-1]


def _image_of(path: Path) -> npt.NDArray[Any]:
    """Find the picture in a FITS file: SCI, else the first HDU with pixels; a cube's last read minus its first."""
    try:
        stream, size = open_stream(path)
        with stream:
            survey(stream, size)
        with fits.open(path, memmap=False) as hdus:
            hdu = (
                hdus["SCI"]
                if "SCI" in hdus
                else next((h for h in hdus if h.is_image and h.header["NAXIS"] >= 2), None)
            )
            data = None if hdu is None else hdu.data
            flags = hdus["DQ"].data if "DQ" in hdus else None
    except Fault as fault:
        raise fault.as_error(path, ProductError) from fault
    except (OSError, TypeError, ValueError, VerifyError) as error:
        said = " ".join(str(error).split())
        raise ProductError(
            complaint(path, "file", said, "a FITS file", "check the path")
        ) from error
    if data is None:
        raise ProductError(
            complaint(path, "HDU", "no image", "an HDU with pixels", "choose another file")
        )
    if data.ndim == 3:
        data = data[-1].astype(np.float64) - data[0] if data.shape[0] > 1 else data[0]
    if data.ndim != 2:
        raise ProductError(
            complaint(path, "image", f"{data.ndim} axes", "2 or 3", "choose another file")
        )
    if flags is not None and flags.shape == data.shape and flags.dtype.kind in "iu":
        data = np.where(flags & 1, np.nan, data)
    return data


def write_preview(path: Path, output: Path) -> Path:
    """Draw a FITS file's image as PNG.

    Parameters
    ----------
    path : Path
        Read, frame, mosaic or reference file.
    output : Path
        Picture to write; it appears by rename.

    Returns
    -------
    Path
        `output`.

    Raises
    ------
    ProductError
        If the file holds no image.
    """
    pixels = picture(_image_of(path))
    partial = output.with_name(f".{output.name}.partial")
    try:
        Image.fromarray(pixels, "RGB").save(partial, format="PNG")
        partial.replace(output)
    finally:
        partial.unlink(missing_ok=True)
    return output


def draw_mosaics(products: Iterable[Path]) -> list[Path]:
    """Draw a preview beside every mosaic among products.

    Parameters
    ----------
    products : iterable of Path
        Products of a reduction.

    Returns
    -------
    list of Path
        Pictures, ``NAME_preview.png``.
    """
    mosaics = [path for path in products if "_LVL3_" in path.name and path.suffix == ".fits"]
    return [write_preview(path, path.with_name(f"{path.stem}_preview.png")) for path in mosaics]
