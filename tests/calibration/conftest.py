"""Small reference files and the exposure they are wanted for."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from astropy.io import fits


def write_reference(path: Path, value: float = 1.0, **keywords: Any) -> Path:
    """Write a reference of one small plane; a keyword of None is left out."""
    header = {
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "REFTYPE": "DARK",
        "REFVER": "0001",
        "USEAFTER": "2026-11-20T22:00:00",
        **keywords,
    }
    primary = fits.PrimaryHDU()
    for key, item in header.items():
        if item is not None:
            primary.header[key] = item
    plane = fits.ImageHDU(np.full((64, 64), value, np.float32), name="SCI")
    path.parent.mkdir(parents=True, exist_ok=True)
    fits.HDUList([primary, plane]).writeto(path, overwrite=True)
    return path


@pytest.fixture
def reference() -> Callable[..., Path]:
    """Writer of reference files."""
    return write_reference


@pytest.fixture
def exposure() -> dict[str, Any]:
    """Keywords of a full-frame exposure."""
    return {
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "FILTER": "Kbb",
        "INSTMODE": "IMG",
        "SAMPMODE": "UTR",
        "SUBARRAY": "FULL",
        "DATE-OBS": "2026-11-23T08:30:00.000",
    }
