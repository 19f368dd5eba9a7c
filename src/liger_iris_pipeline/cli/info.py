"""``iris-drs info``: what a file is, how it was made and from what."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from astropy.io import fits

from liger_iris_pipeline.errors import ProductError, complaint

__all__ = ["describe"]

SHOWN = (
    ("what", ("DATAMODL", "DATALVL", "REFTYPE", "IMTYPE", "OBJECT")),
    ("instrument", ("TELESCOP", "INSTRUME", "DETECTOR", "INSTMODE", "FILTER")),
    ("identity", ("OBS_ID", "EXP_NO", "RAMP_NO", "READ_NO", "USEAFTER", "REFVER")),
    ("exposure", ("DATE-OBS", "SAMPMODE", "NUMREADS", "NUMRAMPS", "EXPTIME", "RAMPTIME")),
    ("pointing", ("RA", "DEC", "PA", "DTOTOFF1", "DTOTOFF2", "DITHNO", "AIRMASS")),
    ("calibration", ("SKYMODE", "SKYLEVEL", "MAGZERO", "MAGZVEGA", "PIXAR_R", "DRSVER")),
)


def describe(path: Path) -> str:
    """Describe a FITS file in a few lines.

    Parameters
    ----------
    path : Path
        Any FITS file of the system.

    Returns
    -------
    str
        Keywords by subject, HDUs, steps with their status, references and inputs.

    Raises
    ------
    ProductError
        If it is no FITS file.
    """
    try:
        with fits.open(path, memmap=False) as hdus:
            lines = [
                path.name,
                *_keywords(hdus[0].header, hdus["SCI"].header if "SCI" in hdus else {}),
                *_planes(hdus),
            ]
            for name, write in (
                ("RECEIPT", _receipt),
                ("CALIBRATIONS", _calibrations),
                ("INPUTS", _inputs),
            ):
                if name in hdus:
                    lines += write(hdus[name].data)
    except (OSError, TypeError, ValueError) as error:
        raise ProductError(
            complaint(path, "file", str(error), "a FITS file", "check the path and the file")
        ) from error
    return "\n".join(lines)


def _keywords(primary: Any, science: Any) -> list[str]:
    """List the keywords that say most, a line per subject."""
    lines = []
    for subject, keywords in SHOWN:
        values = {key: primary.get(key, science.get(key)) for key in keywords}
        shown = "  ".join(
            f"{key} {value}" for key, value in values.items() if value not in (None, "")
        )
        if shown:
            lines.append(f"  {subject:12s}{shown}")
    return lines


def _planes(hdus: Any) -> list[str]:
    """List the HDUs with pixels."""
    planes = []
    for hdu in hdus:
        if hdu.is_image and hdu.header["NAXIS"]:
            shape = "x".join(
                str(hdu.header[f"NAXIS{axis}"]) for axis in range(hdu.header["NAXIS"], 0, -1)
            )
            planes.append(f"{hdu.name or 'PRIMARY'} {shape} {hdu.header.get('BUNIT', '')}".strip())
    return [f"  {'planes':12s}{'; '.join(planes)}"] if planes else []


def _receipt(table: Any) -> list[str]:
    """List the steps with status, seconds and reason."""
    return ["  steps"] + [
        f"    {row['step']:24s} {row['status']:9s} {row['seconds']:8.3f} s  {row['reason']}".rstrip()
        for row in table
    ]


def _calibrations(table: Any) -> list[str]:
    """List the references."""
    return ["  references"] + [
        f"    {row['role']:24s} {row['file']}  {row['sha256'][:12]}".rstrip() for row in table
    ]


def _inputs(table: Any) -> list[str]:
    """Count the inputs and name the first and last."""
    if len(table) <= 2:
        return ["  inputs"] + [f"    {row['file']}" for row in table]
    return ["  inputs", f"    {len(table)} files, {table['file'][0]} to {table['file'][-1]}"]
