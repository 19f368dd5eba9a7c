"""The order of the night: which exposures are taken, when, and where the telescope points."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime

import numpy as np

from ..instrument.filters import DARK
from .projection import deproject
from .scene import ReadPattern, Scene

__all__ = [
    "INSTRUMENT",
    "LATITUDE",
    "Exposure",
    "iso",
    "local_sidereal_time",
    "mjd",
    "plan_night",
    "read_name",
    "semester",
]

INSTRUMENT = "IRIS"
LATITUDE, LONGITUDE = 19.8283, -155.4783
"""Site on Mauna Kea, degrees north and east."""

_SCIENCE, _DARKS, _FLATS = 1, 101, 102
_SETUP = 5_000_000
_US = 1_000_000


@dataclass(frozen=True)
class Exposure:
    """One exposure of all detectors.

    Attributes
    ----------
    observation : int
        Number of the observation, last part of OBS_ID.
    obs_id : str
        OBS_ID.
    number : int
        EXP_NO, from 1.
    imtype, object_name, filter_name : str
        IMTYPE, OBJECT, FILTER.
    base : (float, float)
        RA and Dec of the observation [degree].
    offset : (float, float)
        DTOTOFF1 and DTOTOFF2, east and north [arcsec].
    position_angle : float
        PA [degree].
    start : int
        First reset, microseconds UTC since 1970-01-01.
    pattern : ReadPattern
        When each ramp is read.
    nramp : int
        NUMRAMPS.
    lamp : float
        Illumination of a pixel of flat 1 by the calibration lamp [e-/s].
    """

    observation: int
    obs_id: str
    number: int
    imtype: str
    object_name: str
    filter_name: str
    base: tuple[float, float]
    offset: tuple[float, float]
    position_angle: float
    start: int
    pattern: ReadPattern
    nramp: int
    lamp: float

    @property
    def axis(self) -> tuple[float, float]:
        """RA and Dec of the imager's axis [degree]."""
        ra, dec = deproject(*self.offset, *self.base)
        return float(ra), float(dec)

    @property
    def on_sky(self) -> bool:
        """Whether sky light reaches the detectors."""
        return self.imtype in ("SCI", "SKY")

    def reset(self, ramp: int) -> int:
        """Give the time of the reset that opens a ramp (from 1), microseconds since 1970."""
        one = self.pattern.ramp_time + 2.0 * self.pattern.frame_time
        return self.start + round((ramp - 1) * one * _US)

    @property
    def end(self) -> int:
        """End of the last read, microseconds since 1970."""
        return self.reset(self.nramp) + round(
            (self.pattern.ramp_time + self.pattern.frame_time) * _US
        )


def iso(us: int) -> str:
    """Write microseconds since 1970 as ISO 8601 UTC, to the microsecond."""
    whole, part = divmod(us, _US)
    return f"{datetime.fromtimestamp(whole, UTC):%Y-%m-%dT%H:%M:%S}.{part:06d}"


def mjd(us: int) -> float:
    """Turn microseconds since 1970 into a modified Julian date."""
    return 40587.0 + us / 86400e6


def semester(night: str) -> str:
    """Name the semester of a date YYYY-MM-DD; January belongs to the year before's B."""
    year, month = int(night[:4]), int(night[5:7])
    if month == 1:
        return f"{year - 1}B"
    return f"{year}{'A' if month < 8 else 'B'}"


def local_sidereal_time(us: int) -> float:
    """Give the mean sidereal time at the site [degree].

    Meeus 1998, Astronomical Algorithms, eq. 12.4.
    """
    return float(np.mod(280.46061837 + 360.98564736629 * (mjd(us) - 51544.5) + LONGITUDE, 360.0))


def read_name(exposure: Exposure, detector: str, ramp: int, read: int) -> str:
    """Name the file of one read."""
    stem = f"{exposure.obs_id}_{INSTRUMENT}_{detector}_{exposure.imtype}_LVL0"
    return f"{stem}_{exposure.number:04d}-{ramp:02d}-{read:04d}.fits"


def _calibrations(scene: Scene, imtype: str, first: int) -> list[Exposure]:
    """List the darks or flats, telescope parked at the zenith."""
    plan, start = scene.calibration, first
    flat_pattern = ReadPattern(frame_time=scene.pattern.frame_time, nframe=plan.flat_nframe)
    is_flat = imtype == "FLAT"
    pattern = flat_pattern if is_flat else scene.pattern
    lamp = plan.flat_level * scene.physics.full_well / pattern.ramp_time if is_flat else 0.0
    observation = _FLATS if is_flat else _DARKS
    exposures: list[Exposure] = []
    for number in range(1, (plan.flats if is_flat else plan.darks) + 1):
        exposures.append(
            Exposure(
                observation=observation,
                obs_id=f"{semester(scene.night)}-P001-{observation:03d}",
                number=number,
                imtype=imtype,
                object_name=imtype,
                filter_name=scene.filter_name if is_flat else DARK,
                base=(local_sidereal_time(first), LATITUDE),
                offset=(0.0, 0.0),
                position_angle=0.0,
                start=start,
                pattern=pattern,
                nramp=1 if is_flat else scene.nramp,
                lamp=lamp,
            )
        )
        start = exposures[-1].end + _SETUP
    return exposures


def plan_night(scene: Scene) -> tuple[Exposure, ...]:
    """List the exposures of a night in order of time.

    Flats and darks in the afternoon, then the science with its sky.

    Parameters
    ----------
    scene : Scene
        The scene.

    Returns
    -------
    tuple of Exposure
        All exposures.
    """
    midnight = round(datetime.fromisoformat(scene.night).replace(tzinfo=UTC).timestamp()) * _US
    hour = 3600 * _US
    exposures = _calibrations(scene, "FLAT", midnight + 3 * hour)
    exposures += _calibrations(scene, "DARK", midnight + 4 * hour)
    start = midnight + 10 * hour
    targets = [("SCI", offset) for offset in scene.dithers]
    targets += [("SKY", offset) for offset in scene.sky_offsets]
    for number, (imtype, offset) in enumerate(targets, start=1):
        exposures.append(
            Exposure(
                observation=_SCIENCE,
                obs_id=f"{semester(scene.night)}-P001-{_SCIENCE:03d}",
                number=number,
                imtype=imtype,
                object_name=scene.object_name,
                filter_name=scene.filter_name,
                base=(scene.ra, scene.dec),
                offset=offset,
                position_angle=scene.position_angle,
                start=start,
                pattern=scene.pattern,
                nramp=scene.nramp,
                lamp=0.0,
            )
        )
        start = exposures[-1].end + 12 * _SETUP
    return tuple(exposures)
