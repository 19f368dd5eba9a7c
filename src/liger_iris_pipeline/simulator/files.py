"""Files appear by rename: a reader never sees half of one."""

from __future__ import annotations

from pathlib import Path

from astropy.io import fits

__all__ = ["write"]


def write(path: Path, hdus: fits.HDUList) -> Path:
    """Write a FITS file under a temporary name in its folder, then rename it.

    Parameters
    ----------
    path : Path
        Final name.
    hdus : astropy.io.fits.HDUList
        What to write.

    Returns
    -------
    Path
        The final name.
    """
    temporary = path.with_name(f".{path.name}.part")
    try:
        hdus.writeto(temporary, overwrite=True, output_verify="exception")
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)
    return path
