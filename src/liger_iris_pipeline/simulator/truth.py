"""The truth file: what was put into a night, for tests and acceptance to compare with.

``truth/truth.fits`` holds the tables, ``truth/IRIS_IMGn_truth.fits`` the maps of a detector, and
``truth/…_rate.fits`` the light on a detector in one exposure. ``truth.fits`` is written last.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from ..errors import ProductError, complaint
from . import files
from .detector import DetectorTruth
from .optics import aperture_sums, point_spread_image
from .plan import INSTRUMENT, Exposure, iso
from .references import zero_point
from .scene import Scene
from .tables import Table, as_table

__all__ = [
    "EVENT",
    "MAPS",
    "Truth",
    "load",
    "rate_name",
    "write_maps",
    "write_rate",
    "write_tables",
]

EVENT = np.dtype(
    [
        ("exposure", "i2"),
        ("detector", "i2"),
        ("ramp", "i2"),
        ("read", "i2"),
        ("y", "i2"),
        ("x", "i2"),
        ("charge", "f4"),
    ]
)
"""A pixel hit by a cosmic ray, or full: row of EXPOSURES, row of DETECTORS, RAMP_NO, first read
that contains it (from 1), 0-based pixel, charge [e-] (full well for a full pixel)."""

MAPS = ("FLAT", "DARK", "GAIN", "READNOISE", "FULLWELL", "PEDESTAL", "CURVATURE", "BAD")
"""Planes of a detector's map file; FLAT has median 1 over the good pixels, BAD are DQ bits, for
units see :class:`liger_iris_pipeline.simulator.detector.DetectorTruth`."""

_TABLES = ("STARS", "POSITIONS", "EXPOSURES", "DETECTORS", "ERRORS", "PSF", "COSMICS", "FULL")


@dataclass(frozen=True, eq=False)
class Truth:
    """Everything that was put into a night. Tables are structured arrays.

    Attributes
    ----------
    folder : Path
        Folder of the truth.
    seed : int
        Seed of the night.
    configuration : dict
        The scene, as nested dictionaries.
    stars : ndarray
        ``id ra dec flux mag_ab snr isolated``: degrees, e-/s at the mean sensitivity, AB mag,
        expected signal to noise in an aperture of radius 5 pixels in one frame, no neighbour above
        10 % within 20 pixels.
    positions : ndarray
        ``id exposure detector x y seen``: 0-based pixel on the full array, for stars on or within
        128 pixels of a detector; `exposure` and `detector` are rows of those tables; `seen`: on
        light-sensitive pixels.
    exposures : ndarray
        ``obs_id exp_no imtype filter ra dec east north pa date_obs nramp nread``; ra and dec of the
        axis.
    detectors : ndarray
        ``detector throughput zero_point_ab zero_point_vega sky gain read_noise``; sky in e-/s as a
        pixel of flat 1 sees it on the axis, gain and read noise as means over the light-sensitive
        pixels.
    errors : ndarray
        Errors of the reference files, see :data:`liger_iris_pipeline.simulator.references.ERROR`.
    psf : ndarray
        ``radius energy aperture``, see :func:`liger_iris_pipeline.simulator.optics.aperture_sums`.
    psf_image : ndarray (257, 257) float32
        Star of total light 1 on the centre of a pixel.
    cosmics, full : ndarray
        See `EVENT`.
    """

    folder: Path
    seed: int
    configuration: dict[str, Any]
    stars: Table
    positions: Table
    exposures: Table
    detectors: Table
    errors: Table
    psf: Table
    psf_image: npt.NDArray[np.float32]
    cosmics: Table
    full: Table

    def exposure_index(self, obs_id: str, exp_no: int) -> int:
        """Give the row of an exposure.

        Parameters
        ----------
        obs_id : str
            OBS_ID.
        exp_no : int
            EXP_NO.

        Returns
        -------
        int
            Row of `exposures`.

        Raises
        ------
        ProductError
            If the night has no such exposure.
        """
        rows = np.flatnonzero(
            (self.exposures["obs_id"] == obs_id) & (self.exposures["exp_no"] == exp_no)
        )
        if len(rows) != 1:
            raise ProductError(
                complaint(
                    self.folder / "truth.fits",
                    "EXPOSURES",
                    f"OBS_ID {obs_id}, EXP_NO {exp_no}",
                    "an exposure of this night",
                    "compare data and truth of one night",
                )
            )
        return int(rows[0])

    def detector_index(self, detector: str) -> int:
        """Give the row of a detector in `detectors`; ProductError if there is none."""
        rows = np.flatnonzero(self.detectors["detector"] == detector)
        if len(rows) != 1:
            raise ProductError(
                complaint(
                    self.folder / "truth.fits",
                    "DETECTORS",
                    detector,
                    f"one of {', '.join(self.detectors['detector'])}",
                    "compare data and truth of one night",
                )
            )
        return int(rows[0])

    def select(self, table: Table, obs_id: str, exp_no: int, detector: str) -> Table:
        """Give the rows of `positions`, `cosmics` or `full` of one exposure of one detector."""
        exposure, index = self.exposure_index(obs_id, exp_no), self.detector_index(detector)
        rows: Table = table[(table["exposure"] == exposure) & (table["detector"] == index)]
        return rows

    def rate(self, obs_id: str, exp_no: int, detector: str) -> npt.NDArray[np.float32]:
        """Read the expected light (ny, nx) [e-/s] of a science or sky exposure.

        Stars and sky times the throughput of the detector, before its flat; without dark current; 0
        on the reference pixels.
        """
        row = self.exposures[self.exposure_index(obs_id, exp_no)]
        name = rate_name(obs_id, detector, str(row["imtype"]), exp_no)
        return np.asarray(fits.getdata(self.folder / name, "RATE"), dtype=np.float32)

    def maps(self, detector: str) -> dict[str, npt.NDArray[Any]]:
        """Read the maps (ny, nx) of a detector, keys `MAPS`."""
        with fits.open(self.folder / f"{INSTRUMENT}_{detector}_truth.fits") as hdus:
            return {name: np.array(hdus[name].data) for name in MAPS}


def rate_name(obs_id: str, detector: str, imtype: str, exp_no: int) -> str:
    """Name the file of the light on a detector in one exposure."""
    return f"{obs_id}_{INSTRUMENT}_{detector}_{imtype}_{exp_no:04d}_rate.fits"


def write_maps(folder: Path, truth: DetectorTruth) -> Path:
    """Write the maps of a detector.

    Parameters
    ----------
    folder : Path
        Folder of the truth; must exist.
    truth : DetectorTruth
        The detector.

    Returns
    -------
    Path
        The file.
    """
    planes = (
        truth.flat,
        truth.dark,
        truth.gain,
        truth.read_noise,
        truth.full_well,
        truth.pedestal,
        truth.curvature,
        truth.bad,
    )
    hdus = fits.HDUList([fits.PrimaryHDU()])
    hdus[0].header["DETECTOR"] = truth.name
    units = ("", "electron/s", "electron/DN", "electron", "electron", "DN", "", "")
    for name, plane, unit in zip(MAPS, planes, units, strict=True):
        hdu = fits.ImageHDU(plane, name=name)
        if unit:
            hdu.header["BUNIT"] = unit
        hdus.append(hdu)
    return files.write(folder / f"{INSTRUMENT}_{truth.name}_truth.fits", hdus)


def write_rate(
    folder: Path, exposure: Exposure, detector: str, light: npt.NDArray[np.float32]
) -> Path:
    """Write the expected light (ny, nx) [e-/s] of one exposure on one detector."""
    hdu = fits.ImageHDU(light, name="RATE")
    hdu.header["BUNIT"] = "electron/s"
    name = rate_name(exposure.obs_id, detector, exposure.imtype, exposure.number)
    return files.write(folder / name, fits.HDUList([fits.PrimaryHDU(), hdu]))


def _exposures(plan: tuple[Exposure, ...]) -> Table:
    """Table of the exposures."""
    return as_table(
        {
            "obs_id": np.array([e.obs_id for e in plan]),
            "exp_no": np.array([e.number for e in plan]),
            "imtype": np.array([e.imtype for e in plan]),
            "filter": np.array([e.filter_name for e in plan]),
            "ra": np.array([e.axis[0] for e in plan]),
            "dec": np.array([e.axis[1] for e in plan]),
            "east": np.array([e.offset[0] for e in plan]),
            "north": np.array([e.offset[1] for e in plan]),
            "pa": np.array([e.position_angle for e in plan]),
            "date_obs": np.array([iso(e.start) for e in plan]),
            "nramp": np.array([e.nramp for e in plan]),
            "nread": np.array([e.pattern.nread for e in plan]),
        }
    )


def _detectors(scene: Scene, facts: list[dict[str, Any]]) -> Table:
    """Table of the detectors from one dictionary each (detector, throughput, gain, read_noise)."""
    throughput = np.array([f["throughput"] for f in facts])
    point = np.array([zero_point(scene, value) for value in throughput])
    return as_table(
        {
            "detector": np.array([f["detector"] for f in facts]),
            "throughput": throughput,
            "zero_point_ab": point,
            "zero_point_vega": point - scene.ab_minus_vega,
            "sky": scene.sky * throughput,
            "gain": np.array([f["gain"] for f in facts]),
            "read_noise": np.array([f["read_noise"] for f in facts]),
        }
    )


def _psf(scene: Scene, pixel_scale: float) -> Table:
    """Table of the light inside circles."""
    radii = np.concatenate([np.arange(1, 41) * 0.5, np.arange(21, 61), np.arange(65, 129, 5)])
    energy, aperture = aperture_sums(scene.psf, pixel_scale, radii)
    return as_table({"radius": radii, "energy": energy, "aperture": aperture})


def write_tables(
    folder: Path,
    scene: Scene,
    seed: int,
    plan: tuple[Exposure, ...],
    detectors: list[dict[str, Any]],
    tables: dict[str, Table],
    *,
    pixel_scale: float,
) -> Path:
    """Write ``truth.fits``.

    Parameters
    ----------
    folder, scene, seed
        Folder of the truth, the scene, the seed of the night.
    plan : tuple of Exposure
        The exposures in order.
    detectors : list of dict
        ``detector throughput gain read_noise`` of each detector.
    tables : dict
        STARS, POSITIONS, ERRORS, COSMICS and FULL.
    pixel_scale : float
        Size of a pixel [arcsec].

    Returns
    -------
    Path
        The file.
    """
    parts = tables | {
        "EXPOSURES": _exposures(plan),
        "DETECTORS": _detectors(scene, detectors),
        "PSF": _psf(scene, pixel_scale),
    }
    primary = fits.PrimaryHDU()
    primary.header["SEED"] = (seed, "seed of the night")
    primary.header["OBJECT"] = (scene.object_name, "target")
    image = point_spread_image(scene.psf, pixel_scale).astype(np.float32)
    hdus = fits.HDUList([primary])
    hdus += [fits.BinTableHDU(parts[name], name=name) for name in _TABLES]
    hdus.append(fits.ImageHDU(image, name="PSFIMAGE"))
    configuration = as_table(
        {
            "name": np.array(list(asdict(scene))),
            "value": np.array([json.dumps(value) for value in asdict(scene).values()]),
        }
    )
    hdus.append(fits.BinTableHDU(configuration, name="CONFIGURATION"))
    return files.write(folder / "truth.fits", hdus)


def load(path: Path) -> Truth:
    """Read the truth of a night.

    Parameters
    ----------
    path : Path
        The night's folder, its ``truth`` folder, or ``truth.fits``.

    Returns
    -------
    Truth
        The tables; planes are read when asked for.

    Raises
    ------
    ProductError
        If there is no truth.
    """
    path = Path(path)
    candidates = (path, path / "truth.fits", path / "truth" / "truth.fits")
    found = next((p for p in candidates if p.is_file()), None)
    if found is None:
        raise ProductError(
            complaint(path, "truth.fits", "no such file", "the truth of a night", "simulate it")
        )
    with fits.open(found) as hdus:
        tables = {name.lower(): _read_table(hdus[name].data) for name in _TABLES}
        rows = hdus["CONFIGURATION"].data
        return Truth(
            folder=found.parent,
            seed=int(hdus[0].header["SEED"]),
            configuration={r["name"]: json.loads(r["value"]) for r in rows},
            psf_image=np.asarray(hdus["PSFIMAGE"].data, dtype=np.float32),
            **tables,
        )


def _read_table(data: fits.FITS_rec) -> Table:
    """Copy a FITS table into a plain structured array."""
    return as_table({name: np.asarray(data[name]) for name in data.names})
