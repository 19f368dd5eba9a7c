"""The header of a raw read, as the detector controller writes it."""

from __future__ import annotations

import numpy as np
from astropy.io import fits

from .detector import DetectorTruth, saturation_level
from .plan import INSTRUMENT, LATITUDE, Exposure, iso, local_sidereal_time, mjd
from .projection import nominal_cards
from .scene import Scene
from .seeds import Stream, stream

__all__ = ["exposure_header", "nominal_saturation", "read_header"]

_US = 1_000_000
_SAFE = 0.88

Cards = dict[str, tuple[object, str]]


def nominal_saturation(truth: DetectorTruth, scene: Scene) -> float:
    """Give the value of SATURATE [DN]: below the level of every full pixel."""
    level = saturation_level(truth, scene)[scene.format.science]
    return float(np.floor(_SAFE * float(np.median(level)) / 100.0) * 100.0)


def _identity(exposure: Exposure, truth: DetectorTruth, scene: Scene) -> Cards:
    """Cards that say what was exposed."""
    semid, prognum, obsnum = exposure.obs_id.split("-")
    own = {"CALTYPE": (exposure.purpose, "what it was taken for")} if exposure.purpose else {}
    return own | {
        "TELESCOP": ("TMT", "telescope"),
        "INSTRUME": (INSTRUMENT, "instrument"),
        "DETECTOR": (truth.name, "detector"),
        "DET_ID": (truth.name, "detector controller's name of it"),
        "OBS_ID": (exposure.obs_id, "observation"),
        "EXP_NO": (exposure.number, "exposure within the observation"),
        "SEMID": (semid, "semester"),
        "PROGNUM": (prognum, "programme"),
        "OBSNUM": (obsnum, "observation within the programme"),
        "PROGTITL": ("Simulated imager field", "title of the programme"),
        "PROGPI": ("IRIS simulator", "principal investigator"),
        "IMTYPE": (exposure.imtype, "type of exposure"),
        "OBJECT": (exposure.object_name, "target"),
        "FILTER": (exposure.filter_name, "filter"),
        "INSTMODE": ("IMG", "instrument mode"),
        "DATE-OBS": (iso(exposure.start), "start of the exposure, UTC"),
        "DATE-END": (iso(exposure.end), "end of the exposure, UTC"),
        "MJD-OBS": (mjd(exposure.start), "[d] start of the exposure"),
        "MJD-END": (mjd(exposure.end), "[d] end of the exposure"),
        "TIMESYS": ("UTC", "time system"),
        "EXPTIME": (exposure.nramp * exposure.pattern.ramp_time, "[s] sum over ramps"),
        "RAMPTIME": (exposure.pattern.ramp_time, "[s] reset to last read"),
        "NUMRAMPS": (exposure.nramp, "ramps planned"),
        "NUMREADS": (exposure.pattern.nread, "reads per ramp planned"),
        "SAMPMODE": (exposure.pattern.sampling, "sampling mode"),
        "NFOWLER": (exposure.pattern.nfowler, "reads per group of MDS"),
    }


def _readout(exposure: Exposure, truth: DetectorTruth, scene: Scene, saturate: float) -> Cards:
    """Cards that say how the detector was read."""
    layout = scene.format
    return {
        "FRM_TIME": (round(exposure.pattern.frame_time * _US), "[us] time to clock one read"),
        "GAIN": (truth.nominal_gain, "[electron/DN] nominal"),
        "READNOIS": (scene.physics.read_noise, "[electron] nominal, single read"),
        "SATURATE": (saturate, "[DN] nominal raw saturation level"),
        "DETSIZE1": (layout.nx, "[pixel] full detector"),
        "DETSIZE2": (layout.ny, "[pixel] full detector"),
        "NOUTPUTS": (layout.noutputs, "readout channels, vertical stripes"),
        "REFPIX": (layout.border, "[pixel] reference border"),
        "SUBARRAY": ("FULL", "window"),
        "SUBARRID": (0, "number of the window"),
        "SUBSTRT1": (1, "[pixel] first column, 1-based"),
        "SUBSTRT2": (1, "[pixel] first row, 1-based"),
        "SUBSIZE1": (layout.nx, "[pixel] columns"),
        "SUBSIZE2": (layout.ny, "[pixel] rows"),
        "BUNIT": ("DN", "unit of the image"),
    }


def _pointing(exposure: Exposure) -> Cards:
    """Cards that say where the telescope points."""
    ra, dec = exposure.base
    hour = float(np.mod(local_sidereal_time(exposure.start) - ra + 180.0, 360.0) - 180.0)
    if not exposure.on_sky:
        hour = 0.0
    h, d, p = np.radians([hour, dec, LATITUDE])
    el = np.arcsin(np.sin(p) * np.sin(d) + np.cos(p) * np.cos(d) * np.cos(h))
    az = np.arctan2(
        -np.sin(h) * np.cos(d), np.sin(d) * np.cos(p) - np.cos(d) * np.sin(p) * np.cos(h)
    )
    parallactic = np.arctan2(np.sin(h), np.tan(p) * np.cos(d) - np.sin(d) * np.cos(h))
    rotator = np.mod(exposure.position_angle - np.degrees(parallactic + el), 360.0)
    return {
        "RA": (ra, "[deg] base pointing"),
        "DEC": (dec, "[deg] base pointing"),
        "EQUINOX": (2000.0, "[yr] equinox"),
        "RADESYS": ("ICRS", "frame"),
        "PA": (exposure.position_angle, "[deg] position angle of +y, east of north"),
        "INROTANG": (float(rotator), "[deg] instrument rotator"),
        "EL": (float(np.degrees(el)), "[deg] elevation"),
        "AZ": (float(np.degrees(az) % 360.0), "[deg] azimuth, east of north"),
        "HA": (hour, "[deg] hour angle"),
        "PARANG": (float(np.degrees(parallactic)), "[deg] parallactic angle"),
        "AIRMASS": (float(1.0 / np.sin(el)), "1 / sin EL"),
        "DTOTOFF1": (exposure.offset[0], "[arcsec] offset east"),
        "DTOTOFF2": (exposure.offset[1], "[arcsec] offset north"),
        "DITHNO": (exposure.number, "dither number"),
    }


def exposure_header(
    exposure: Exposure, truth: DetectorTruth, scene: Scene, seed: int, *, saturate: float
) -> fits.Header:
    """Write the cards that all reads of one exposure of a detector share.

    Parameters
    ----------
    exposure : Exposure
        The exposure.
    truth : DetectorTruth
        The detector.
    scene : Scene
        The scene.
    seed : int
        Seed of the night.
    saturate : float
        SATURATE, from :func:`nominal_saturation` [DN].

    Returns
    -------
    astropy.io.fits.Header
        Cards without the structural ones.
    """
    rng = stream(seed, Stream.TELEMETRY, exposure.observation, exposure.number)
    cards = _identity(exposure, truth, scene) | _readout(exposure, truth, scene, saturate)
    cards |= _pointing(exposure)
    if scene.nominal_wcs:
        cards |= nominal_cards(exposure.axis, exposure.position_angle, truth.name, scene.format)
    cards |= {
        "TMPTMP": (round(float(rng.normal(2.0, 0.1)), 3), "[Celsius] air temperature"),
        "PRESSURE": (round(float(rng.normal(615.0, 0.2)), 3), "[hPa] air pressure"),
        "HUMIDITY": (round(float(rng.normal(15.0, 0.5)), 3), "[%] relative humidity"),
        "IMGDTEMP": (round(float(rng.normal(77.0, 0.002)), 4), "[K] imager detectors"),
        "IMGDISWV": (scene.psf.wavelength, "[um] reference wavelength of the ADC"),
        "LGSR0": (round(float(rng.normal(0.186, 0.01)), 4), "[m] Fried parameter at 0.5 um"),
    }
    return fits.Header([(key, value, comment) for key, (value, comment) in cards.items()])


def read_header(
    shared: fits.Header, exposure: Exposure, ramp: int, read: int, scene: Scene, seed: int
) -> fits.Header:
    """Add the cards of one read, telemetry included.

    Parameters
    ----------
    shared : astropy.io.fits.Header
        From :func:`exposure_header`; not changed.
    exposure : Exposure
        The exposure.
    ramp, read : int
        RAMP_NO and READ_NO, from 1.
    scene : Scene
        The scene.
    seed : int
        Seed of the night.

    Returns
    -------
    astropy.io.fits.Header
        Cards of the read.
    """
    rng = stream(seed, Stream.TELEMETRY, exposure.observation, exposure.number, ramp, read)
    strehl = float(np.clip(rng.normal(scene.psf.core_fraction, scene.strehl_scatter), 0.0, 1.0))
    reset = exposure.reset(ramp)
    header = shared.copy()
    header.extend(
        [
            ("RAMP_NO", ramp, "ramp within the exposure"),
            ("READ_NO", read, "read within the ramp"),
            ("RST_TIME", reset, "[us] reset that opened the ramp, UTC since 1970"),
            (
                "READTIME",
                reset + round(float(exposure.pattern.times[read - 1]) * _US),
                "[us] start of the first pixel, UTC since 1970",
            ),
            ("COMPLETE", True, "all pixels were read out"),
            ("AOSTREHL", round(strehl, 4) if exposure.on_sky else 0.0, "Strehl ratio of this read"),
            (
                "ODGWIMS1",
                round(float(rng.normal(0.010, 0.0005)), 5),
                "[arcsec] guide-star image size",
            ),
        ]
    )
    return header
