"""Keywords of a file without opening its pixels."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from liger_iris_pipeline.errors import ProductError
from liger_iris_pipeline.models.cards import parse_cards
from liger_iris_pipeline.models.fitsfile import Fault, read_header

__all__ = ["SELECTION", "read_metadata"]

SELECTION = (
    "TELESCOP",
    "INSTRUME",
    "DETECTOR",
    "INSTMODE",
    "FILTER",
    "IFSSCALE",
    "IFSRES",
    "GRATING",
    "IMTYPE",
    "SAMPMODE",
    "NOUTPUTS",
    "REFPIX",
    "SUBARRAY",
    "SUBARRID",
    "SUBSTRT1",
    "SUBSTRT2",
    "SUBSIZE1",
    "SUBSIZE2",
    "DETSIZE1",
    "DETSIZE2",
    "DATE-OBS",
    "MJD-OBS",
    "OBS_ID",
    "EXP_NO",
)
"""Keywords that the selection of references can ask for."""


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Read the keywords of a PRIMARY header, and nothing else of the file.

    Parameters
    ----------
    path : path
        ``.fits`` or ``.fits.gz``: raw read, product or reference.

    Returns
    -------
    dict of str to bool, int, float, str or None
        Values by upper-case keyword, the structural ones included; None for a card without a value.

    Raises
    ------
    ProductError
        If the file cannot be read or is not FITS.
    """
    try:
        return parse_cards(read_header(Path(path)))
    except Fault as fault:
        raise fault.as_error(Path(path), ProductError) from fault
