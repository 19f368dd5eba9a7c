"""Images as astropy has them, written without a second copy."""

from __future__ import annotations

from typing import Any

from astropy.io import fits

from liger_iris_pipeline.models.fitsfile import stored_pixels

__all__ = ["PlaneHDU"]


class PlaneHDU(fits.ImageHDU):  # type: ignore[misc]
    """Image extension whose pixels are brought into the order of FITS some at a time.

    Notes
    -----
    ``astropy.io.fits.ImageHDU`` swaps the bytes of the whole array in place, writes it and swaps them back, or makes
    a copy of unsigned and of read-only pixels. The bytes written are the same.
    """

    def _writedata_internal(self, fileobj: Any) -> int:
        """Write the pixels and give their number of bytes; astropy calls it and pads them."""
        if self.data is None:
            return 0
        for piece in stored_pixels(self.data):
            fileobj.writearray(piece)
        return int(self.data.nbytes)
