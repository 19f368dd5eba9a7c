"""Reference files: the truth with stated errors, as a laboratory would deliver them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from . import files
from .detector import DetectorTruth, curve_scale, linear_to_measured, saturation_level
from .plan import INSTRUMENT
from .scene import Scene
from .seeds import Stream, stream

__all__ = ["ERROR", "USEAFTER", "VERSION", "write_references", "zero_point"]

VERSION = "0001"
USEAFTER = "2026-01-01T00:00:00"
"""Valid from here on; a scene whose night is earlier gets the first of January of its year."""

ERROR = np.dtype(
    [
        ("detector", "U4"),
        ("reftype", "U10"),
        ("scope", "U8"),
        ("quantity", "U32"),
        ("sigma", "f8"),
        ("drawn", "f8"),
    ]
)
"""One error put into a reference: scope ``pixel`` (drawn NaN, the files hold it) or ``detector``
(drawn: its value)."""

Float32 = npt.NDArray[np.float32]
Planes = list[tuple[str, npt.NDArray[np.generic], str]]


@dataclass(frozen=True)
class _Fault:
    """An error put into a reference file; the fields are those of `ERROR`."""

    scope: str
    quantity: str
    sigma: float
    drawn: float = float("nan")


def zero_point(scene: Scene, throughput: float) -> float:
    """Give the AB magnitude of 1 e-/s on a detector of a relative throughput."""
    return float(scene.zero_point + 2.5 * np.log10(throughput))


def _header(truth: DetectorTruth, scene: Scene, reftype: str, faults: list[_Fault]) -> fits.Header:
    """Write the PRIMARY header of a reference."""
    header = fits.Header(
        [
            ("TELESCOP", "TMT", "telescope"),
            ("INSTRUME", INSTRUMENT, "instrument"),
            ("DETECTOR", truth.name, "detector"),
            ("REFTYPE", reftype, "reference type"),
            ("REFVER", VERSION, "version"),
            ("USEAFTER", f"{scene.night[:4]}{USEAFTER[4:]}", "valid from, UTC"),
            ("INSTMODE", "IMG" if reftype == "PHOTOM" else "ANY", "instrument mode"),
            ("FILTER", scene.filter_name if reftype == "PHOTOM" else "ANY", "filter"),
            ("SAMPMODE", "ANY", "sampling mode"),
            ("SUBARRAY", "ANY" if reftype == "PHOTOM" else "FULL", "window"),
            ("NOUTPUTS", scene.format.noutputs, "readout channels"),
            ("ORIGIN", "IRIS simulator", "truth with the errors below"),
        ]
    )
    for i, fault in enumerate(faults, start=1):
        header[f"ERRNAM{i}"] = (f"{fault.quantity}, per {fault.scope}", "error put in")
        header[f"ERRSIG{i}"] = (fault.sigma, "its sigma")
        if np.isfinite(fault.drawn):
            header[f"ERRVAL{i}"] = (fault.drawn, "its value")
    return header


def _dq(truth: DetectorTruth) -> tuple[str, npt.NDArray[np.generic], str]:
    """Give an empty DQ plane."""
    return "DQ", np.zeros_like(truth.bad), ""


def _gain(
    truth: DetectorTruth, scene: Scene, rng: np.random.Generator
) -> tuple[Planes, list[_Fault]]:
    """Gain with an error per pixel and one per detector."""
    errors = scene.errors
    common = errors.gain_detector * float(rng.standard_normal())
    pixel = errors.gain_pixel * rng.standard_normal(truth.gain.shape)
    gain = (truth.gain * (1.0 + common) * (1.0 + pixel)).astype(np.float32)
    err = (gain * np.hypot(errors.gain_pixel, errors.gain_detector)).astype(np.float32)
    return [("SCI", gain, "electron/DN"), ("ERR", err, "electron/DN"), _dq(truth)], [
        _Fault("pixel", "relative gain", errors.gain_pixel),
        _Fault("detector", "relative gain", errors.gain_detector, common),
    ]


def _read_noise(
    truth: DetectorTruth, scene: Scene, rng: np.random.Generator
) -> tuple[Planes, list[_Fault]]:
    """Read noise with an error per pixel."""
    sigma = scene.errors.read_noise
    noise = truth.read_noise * (1.0 + sigma * rng.standard_normal(truth.gain.shape))
    noise = noise.astype(np.float32)
    err = (sigma * noise).astype(np.float32)
    return [("SCI", noise, "electron"), ("ERR", err, "electron"), _dq(truth)], [
        _Fault("pixel", "relative read noise", sigma)
    ]


def _saturation(
    truth: DetectorTruth, scene: Scene, rng: np.random.Generator
) -> tuple[Planes, list[_Fault]]:
    """Saturation level, never above the truth."""
    mean = scene.errors.saturation
    short = mean * rng.uniform(0.5, 1.5, truth.gain.shape)
    level = (saturation_level(truth, scene) * (1.0 - short)).astype(np.float32)
    return [("SCI", level, "DN"), _dq(truth)], [_Fault("pixel", "relative level, always low", mean)]


def _linearity(
    truth: DetectorTruth, scene: Scene, rng: np.random.Generator
) -> tuple[Planes, list[_Fault]]:
    """Coefficients of the exact polynomial with a wrong curvature, and a pedestal."""
    errors, missing = scene.errors, scene.physics.nonlinearity
    c2, c3 = curve_scale(scene.physics, truth.nominal_gain)
    excess = missing / (
        1.0 - missing
    )  # linear / measured - 1 at 90 % of full well, for curvature 1
    sigma = errors.linearity * (1.0 + excess) / excess if excess > 0 else 0.0
    curvature = truth.curvature + sigma * rng.standard_normal(truth.gain.shape)
    coeffs = np.zeros((4, *truth.gain.shape), dtype=np.float32)
    coeffs[1], coeffs[2], coeffs[3] = 1.0, curvature * c2, curvature * c3
    full = linear_to_measured(truth.full_well / truth.gain, truth.curvature, (c2, c3))
    limit = (1.01 * full).astype(
        np.float32
    )  # measured up to full well; a full pixel's noise stays below
    pedestal = truth.pedestal + errors.pedestal * rng.standard_normal(truth.gain.shape)
    planes: Planes = [
        ("COEFFS", coeffs, ""),
        ("LIMIT", limit, "DN"),
        ("PEDESTAL", pedestal.astype(np.float32), "DN"),
        _dq(truth),
    ]
    return planes, [
        _Fault("pixel", "relative at 90% of well", errors.linearity),
        _Fault("pixel", "pedestal in DN", errors.pedestal),
    ]


def _photom(
    scene: Scene, truth: DetectorTruth, rng: np.random.Generator
) -> tuple[fits.BinTableHDU, _Fault]:
    """Zero points of the scene's filter."""
    sigma = scene.errors.zero_point
    drawn = sigma * float(rng.standard_normal())
    ab = zero_point(scene, truth.throughput) + drawn
    rows = np.array(
        [(scene.filter_name, ab, ab - scene.ab_minus_vega, sigma)],
        dtype=[("FILTER", "S12"), ("ZPAB", "f8"), ("ZPVEGA", "f8"), ("ERR", "f8")],
    )
    table = fits.BinTableHDU(rows, name="PHOTOM")
    for i in (2, 3, 4):
        table.header[f"TUNIT{i}"] = "mag"
    return table, _Fault("detector", "zero point in mag", sigma, drawn)


def _path(folder: Path, truth: DetectorTruth, scene: Scene, reftype: str) -> Path:
    """Name a reference file."""
    stamp = f"{scene.night[:4]}{USEAFTER[4:]}".replace("-", "").replace(":", "")
    return folder / f"{INSTRUMENT}_{truth.name}_{reftype}_{stamp}_{VERSION}.fits"


def write_references(
    folder: Path, truth: DetectorTruth, scene: Scene, seed: int
) -> tuple[list[Path], npt.NDArray[np.void]]:
    """Write the reference files of one detector.

    Parameters
    ----------
    folder : Path
        Where to write; must exist.
    truth : DetectorTruth
        The detector.
    scene : Scene
        The scene, with the errors to put in.
    seed : int
        Seed of the night.

    Returns
    -------
    paths : list of Path
        DQ, GAIN, READNOISE, SATURATION, LINEARITY and PHOTOM.
    errors : ndarray of `ERROR`
        What was put in.
    """
    rng = stream(seed, Stream.REFERENCE, truth.index)
    made: list[tuple[str, Planes, list[_Fault]]] = [("DQ", [("DQ", truth.bad, "")], [])]
    made.append(("GAIN", *_gain(truth, scene, rng)))
    made.append(("READNOISE", *_read_noise(truth, scene, rng)))
    made.append(("SATURATION", *_saturation(truth, scene, rng)))
    made.append(("LINEARITY", *_linearity(truth, scene, rng)))
    paths: list[Path] = []
    rows: list[tuple[object, ...]] = []
    for reftype, planes, faults in made:
        hdus = fits.HDUList([fits.PrimaryHDU(header=_header(truth, scene, reftype, faults))])
        for name, array, unit in planes:
            hdu = fits.ImageHDU(array, name=name)
            if unit:
                hdu.header["BUNIT"] = unit
            hdus.append(hdu)
        paths.append(files.write(_path(folder, truth, scene, reftype), hdus))
        rows += [(truth.name, reftype, f.scope, f.quantity, f.sigma, f.drawn) for f in faults]
    table, fault = _photom(scene, truth, rng)
    primary = fits.PrimaryHDU(header=_header(truth, scene, "PHOTOM", [fault]))
    paths.append(files.write(_path(folder, truth, scene, "PHOTOM"), fits.HDUList([primary, table])))
    rows.append((truth.name, "PHOTOM", fault.scope, fault.quantity, fault.sigma, fault.drawn))
    return paths, np.array(rows, dtype=ERROR)
