"""Exposures as headers, and raw files of a few bytes."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

MJD = 61367.3


@dataclass(frozen=True)
class Exposure:
    """What generate() asks of an exposure."""

    name: str
    stem: str
    header: dict[str, Any] = field(hash=False)


def make_header(number: int = 1, **keywords: Any) -> dict[str, Any]:
    """Keywords of an exposure one minute after the one before; a keyword of None is left out."""
    header = {
        "TELESCOP": "TMT",
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "DET_ID": "IMG1",
        "OBS_ID": "2026B-P001-001",
        "EXP_NO": number,
        "IMTYPE": "SCI",
        "OBJECT": "M92",
        "FILTER": "Kbb",
        "INSTMODE": "IMG",
        "SAMPMODE": "UTR",
        "SUBARRAY": "FULL",
        "MJD-OBS": MJD + number / 1440,
        "DTOTOFF1": 0.5 * number,
        "DTOTOFF2": 0.0,
        "DITHNO": number,
        "NUMRAMPS": 1,
        "NUMREADS": 2,
        "GAIN": 2.0,
        "READNOIS": 10.0,
        "DETSIZE1": 64,
        "DETSIZE2": 64,
        "SUBSTRT1": 1,
        "SUBSTRT2": 1,
        "SUBSIZE1": 64,
        "SUBSIZE2": 64,
        "NOUTPUTS": 1,
        "REFPIX": 0,
        **keywords,
    }
    return {key: value for key, value in header.items() if value is not None}


def make_exposure(number: int = 1, **keywords: Any) -> Exposure:
    """Make an exposure as a file of its own."""
    header = make_header(number, **keywords)
    window = f"_{header['SUBARRID']}" if "SUBARRID" in header else ""
    stem = (
        f"{header.get('OBS_ID')}_IRIS_{header.get('DETECTOR')}_{header.get('IMTYPE')}"
        f"_LVL0_{number:04d}"
    )
    return Exposure(f"{stem}-01-0001{window}.fits", stem + window, header)


def write_reads(folder: Path, number: int = 1, reads: int = 2, **keywords: Any) -> list[Path]:
    """Write the raw reads of an exposure, named as the detector controller does."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    reset = 1_795_000_000_000_000 + 60_000_000 * number  # microseconds since 1970
    for read in range(1, reads + 1):
        times = {"RST_TIME": reset, "READTIME": reset + 1_000_000 * read, "FRM_TIME": 900_000}
        identity = {"RAMP_NO": 1, "READ_NO": read, "NUMREADS": reads}
        exposure = make_exposure(number, **{**times, **identity, **keywords})
        path = folder / exposure.name.replace("-01-0001", f"-01-{read:04d}")
        shape = exposure.header["SUBSIZE2"], exposure.header["SUBSIZE1"]
        hdu = fits.PrimaryHDU(np.full(shape, 100 + read, np.uint16))
        hdu.header.update(exposure.header)
        hdu.writeto(path)
        paths.append(path)
    return paths


@pytest.fixture(scope="session")
def exposure() -> Callable[..., Exposure]:
    """Maker of exposures."""
    return make_exposure


@pytest.fixture
def write() -> Callable[..., list[Path]]:
    """Writer of raw reads."""
    return write_reads
