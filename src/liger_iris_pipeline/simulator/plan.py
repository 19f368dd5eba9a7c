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
    "standard_field",
]

INSTRUMENT = "IRIS"
LATITUDE, LONGITUDE = 19.8283, -155.4783
"""Site on Mauna Kea, degrees north and east."""

_SCIENCE, _DARKS, _FLATS = 1, 101, 102
_LAMP_OFF, _LINEARITY, _LONG, _AFTERGLOW, _STANDARDS = 103, 104, 105, 106, 107
_BRIGHT = 0.8
"""Charge of the light before the afterglows, as a part of full well."""
_HOUR = 3600.0
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
    purpose : str
        CALTYPE; empty where the card is left out.
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
    purpose: str = ""

    @property
    def axis(self) -> tuple[float, float]:
        """RA and Dec of the imager's axis [degree]."""
        ra, dec = deproject(*self.offset, *self.base)
        return float(ra), float(dec)

    @property
    def on_sky(self) -> bool:
        """Whether sky light reaches the detectors."""
        return self.imtype in ("SCI", "SKY", "STD")

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


@dataclass(frozen=True)
class _Block:
    """Calibration exposures of one kind, telescope parked at the zenith."""

    observation: int
    imtype: str
    pattern: ReadPattern
    lamps: tuple[float, ...]
    purpose: str = ""
    nramp: int = 1

    def exposures(self, scene: Scene, first: int, number: int = 1) -> list[Exposure]:
        """List them one after the other."""
        found: list[Exposure] = []
        start = first
        for lamp in self.lamps:
            found.append(
                Exposure(
                    observation=self.observation,
                    obs_id=f"{semester(scene.night)}-P001-{self.observation:03d}",
                    number=number + len(found),
                    imtype=self.imtype,
                    object_name=self.imtype,
                    filter_name=scene.filter_name if self.imtype == "FLAT" else DARK,
                    base=(local_sidereal_time(first), LATITUDE),
                    offset=(0.0, 0.0),
                    position_angle=0.0,
                    start=start,
                    pattern=self.pattern,
                    nramp=self.nramp,
                    lamp=lamp,
                    purpose=self.purpose,
                )
            )
            start = found[-1].end + _SETUP
        return found


def _calibrations(scene: Scene, midnight: int) -> list[Exposure]:
    """List the calibration exposures, each kind at its hour; long darks before any light."""
    plan, well = scene.calibration, scene.physics.full_well
    frame = scene.pattern.frame_time
    flat = ReadPattern(frame_time=frame, nframe=plan.flat_nframe)
    ramp = ReadPattern(frame_time=frame, nframe=plan.ramp_nframe)
    long = ReadPattern(frame_time=frame, nframe=plan.long_nframe)
    lamp = plan.flat_level * well / flat.ramp_time
    steps = tuple(
        level * well / ramp.ramp_time for level in plan.ramp_levels for _ in range(plan.ramps)
    )
    dark = scene.pattern
    blocks = (
        (-0.5, _Block(_LONG, "DARK", long, (0.0,) * plan.long_darks, "LONG")),
        (1.5, _Block(_LINEARITY, "FLAT", ramp, steps, "LINEARITY")),
        (3.0, _Block(_FLATS, "FLAT", flat, (lamp,) * plan.flats)),
        (3.8, _Block(_LAMP_OFF, "FLAT", flat, (0.0,) * plan.lamp_off, "LAMPOFF")),
        (4.0, _Block(_DARKS, "DARK", dark, (0.0,) * plan.darks, nramp=scene.nramp)),
    )
    found = [
        exposure
        for hour, block in blocks
        for exposure in block.exposures(scene, midnight + round(hour * _HOUR * _US))
    ]
    found += _afterglows(scene, midnight)
    return sorted(found, key=lambda exposure: exposure.start)


def _afterglows(scene: Scene, first: int) -> list[Exposure]:
    """List a bright exposure and the darks after it, at growing intervals over an hour."""
    count = scene.calibration.afterglows
    if not count:
        return []
    flat = ReadPattern(frame_time=scene.pattern.frame_time, nframe=scene.calibration.flat_nframe)
    lamp = _BRIGHT * scene.physics.full_well / flat.ramp_time
    found = _Block(_AFTERGLOW, "FLAT", flat, (lamp,), "PERSISTENCE").exposures(scene, first)
    dark = _Block(_AFTERGLOW, "DARK", scene.pattern, (0.0,), "PERSISTENCE")
    out = found[0].end
    for wait in np.geomspace(_SETUP / _US, _HOUR, count):
        start = max(out + round(wait * _US), found[-1].end + _SETUP)
        found += dark.exposures(scene, start, len(found) + 1)
    return found


def _standards(scene: Scene, first: int) -> list[Exposure]:
    """List the exposures of the standard stars, each at another dither."""
    found: list[Exposure] = []
    dithers = scene.dithers or ((0.0, 0.0),)
    start = first
    for number in range(1, scene.calibration.standards + 1):
        east, north = dithers[(number - 1) % len(dithers)]
        found.append(
            Exposure(
                observation=_STANDARDS,
                obs_id=f"{semester(scene.night)}-P001-{_STANDARDS:03d}",
                number=number,
                imtype="STD",
                object_name="STANDARDS",
                filter_name=scene.filter_name,
                base=standard_field(scene),
                offset=(east, north),
                position_angle=scene.position_angle,
                start=start,
                pattern=scene.pattern,
                nramp=1,
                lamp=0.0,
            )
        )
        start = found[-1].end + 12 * _SETUP
    return found


def standard_field(scene: Scene) -> tuple[float, float]:
    """Give RA and Dec of the field of standard stars, a degree from the science [degree]."""
    return (scene.ra + 1.0) % 360.0, scene.dec


def plan_night(scene: Scene) -> tuple[Exposure, ...]:
    """List the exposures of a night in order of time.

    Calibrations in the afternoon, standard stars, then the science with its sky.

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
    exposures = _calibrations(scene, midnight)
    exposures += _standards(scene, midnight + 9 * hour)
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
