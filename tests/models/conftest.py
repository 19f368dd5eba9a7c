"""Raw files and frames of a few pixels."""

import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from astropy.io import fits

from liger_iris_pipeline import models
from liger_iris_pipeline.kinds import Frame

NY, NX, NREAD = 12, 16, 4
RESET = 1_790_000_000_000_000
FRAME_US = 1_750_000


def make_header(ramp: int = 1, read: int = 1, **changes: Any) -> dict[str, Any]:
    """Keywords of one read; a value of None leaves a keyword out."""
    reset = RESET + ramp * 100_000_000
    header = {
        "TELESCOP": "TMT",
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "DET_ID": "IMG1",
        "OBS_ID": "2026B-P001-001",
        "EXP_NO": 1,
        "RAMP_NO": ramp,
        "READ_NO": read,
        "NUMRAMPS": 1,
        "NUMREADS": NREAD,
        "SAMPMODE": "UTR",
        "RST_TIME": reset,
        "READTIME": reset + read * FRAME_US,
        "FRM_TIME": FRAME_US,
        "GAIN": 3.0,
        "READNOIS": 9.0,
        "SATURATE": 60000.0,
        "DETSIZE1": NX,
        "DETSIZE2": NY,
        "NOUTPUTS": 4,
        "REFPIX": 4,
        "SUBARRAY": "FULL",
        "IMTYPE": "SCI",
        "FILTER": "Kbb",
        "INSTMODE": "IMG",
        "OBJECT": "M 92",
        "DATE-OBS": "2026-11-23T08:30:00.000",
        "MJD-OBS": 61367.3541667,
        "BUNIT": "DN",
        "AOSTREHL": round(0.5 + 0.01 * read, 3),
        **changes,
    }
    return {key: value for key, value in header.items() if value is not None}


def make_counts(seed: int = 1, nread: int = NREAD, shape: tuple[int, int] = (NY, NX)) -> np.ndarray:
    """Counts over the whole range of 16 bits, both ends included."""
    counts = np.random.default_rng(seed).integers(0, 65536, (nread, *shape), dtype=np.uint16)
    counts[:, 0, :2] = 0, 65535
    return counts


def write_read(path: Path, counts: np.ndarray, header: dict[str, Any], **options: Any) -> Path:
    """Write one raw file."""
    hdu = fits.PrimaryHDU(counts)
    hdu.header.update(header)
    hdu.writeto(path, **options)
    return path


def write_ramp(folder: Path, ramp: int = 1, nread: int = NREAD, **changes: Any) -> list[Path]:
    """Write the reads of a ramp."""
    counts = make_counts(seed=ramp, nread=nread)
    return [
        write_read(folder / f"r{ramp}-{i:02d}.fits", plane, make_header(ramp, i, **changes))
        for i, plane in enumerate(counts, 1)
    ]


def write_cube(path: Path, counts: np.ndarray, *, table: bool, **changes: Any) -> Path:
    """Write a ramp as a cube, with TIMES or with TFRAME."""
    header = make_header(READ_NO=None, READTIME=None, **changes)
    primary = fits.PrimaryHDU(counts)
    primary.header.update(header)
    hdus = fits.HDUList([primary])
    if table:
        numbers = np.arange(1, len(counts) + 1)
        columns = [
            fits.Column("READ_NO", "J", array=numbers),
            fits.Column("READTIME", "K", array=header["RST_TIME"] + numbers * FRAME_US),
        ]
        hdus.append(fits.BinTableHDU.from_columns(columns, name="TIMES"))
    else:
        primary.header["TFRAME"] = FRAME_US / 1e6
    hdus.writeto(path)
    return path


def patch_card(path: Path, keyword: str, card: bytes) -> None:
    """Replace the first card of a keyword by raw bytes."""
    data = bytearray(path.read_bytes())
    at = data.index(keyword.ljust(8).encode())
    assert at % 80 == 0
    data[at : at + 80] = card.ljust(80)
    path.write_bytes(data)


def make_frame(shape: tuple[int, int] = (NY, NX), seed: int = 1) -> Frame:
    """A frame in which no two planes are alike."""
    rng = np.random.default_rng(seed)
    planes = rng.uniform(1, 100, (4, *shape)).astype(np.float32)
    planes[0, 1, 1] = np.nan
    dq = rng.integers(0, 1 << 32, shape, dtype=np.uint32)
    return Frame(planes[0], planes[1], planes[2], dq, planes[3])


def make_frame_model(**changes: Any) -> Any:
    """A level 1 frame with everything in it that a frame can have."""
    model = models.ImagerFrameModel.from_header(make_header(**changes))
    model.set_frame(make_frame())
    model.meta.data_level = 1
    model.chi2 = np.ones((NY, NX), np.float32)
    events = np.zeros(
        2,
        [
            ("ramp", "i4"),
            ("read", "i4"),
            ("y", "i4"),
            ("x", "i4"),
            ("kind", "U10"),
            ("amplitude", "f4"),
            ("sigma", "f4"),
        ],
    )
    events[0] = (1, 2, 3, 4, "JUMP", -55.5, 6.5)
    events[1] = (1, 3, 5, 6, "SATURATION", 0, 0)
    model.events = events
    model.add_receipt(("ramp", "0.1", '{"mode": "utr"}', "a", "b", 1.25, "COMPLETE", ""))
    model.add_calibrations([("gain", "gain", "g.fits", "0" * 64, "0001", "iris_0001")])
    model.add_inputs([("r1.fits", "1" * 64), ("r2.fits", "2" * 64)])
    return model


@pytest.fixture(scope="session")
def make() -> SimpleNamespace:
    """Makers of headers, counts, frames and files."""
    return SimpleNamespace(
        header=make_header,
        counts=make_counts,
        read=write_read,
        ramp=write_ramp,
        cube=write_cube,
        patch=patch_card,
        frame=make_frame,
        frame_model=make_frame_model,
        shape=(NY, NX),
        nread=NREAD,
        frame_us=FRAME_US,
    )


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> None:
    """Use a C library of the source tree where none is installed."""
    built = Path(__file__).parents[2] / "build" / "dev" / "libiris_readout.so"
    if "IRIS_READOUT_LIBRARY" not in os.environ and built.exists():
        monkeypatch.setenv("IRIS_READOUT_LIBRARY", str(built))


@pytest.fixture
def set_keys() -> Callable[..., Callable[[Path], None]]:
    """Changer of keywords in a file; None removes one."""

    def make_change(**keys: Any) -> Callable[[Path], None]:
        def change(path: Path) -> None:
            with fits.open(path, mode="update") as hdus:
                for key, value in keys.items():
                    if value is None:
                        hdus[0].header.remove(key)
                    else:
                        hdus[0].header[key] = value

        return change

    return make_change
