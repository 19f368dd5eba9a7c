"""Every number of a simulated night: frozen dataclasses, units in the docstrings.

A variant is made with :func:`dataclasses.replace`, e.g. a rotated field without dithers::

    replace(Scene(), position_angle=30.0, dithers=((0.0, 0.0),))
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from ..errors import UsageError, complaint
from ..instrument.detectors import IMAGER_DETECTORS, NOUTPUTS

__all__ = [
    "COMPLETE",
    "SCENES",
    "SIZES",
    "CalibrationPlan",
    "DetectorPhysics",
    "Format",
    "PointSpread",
    "ReadPattern",
    "ReferenceErrors",
    "Scene",
    "StarField",
    "named_scene",
]


@dataclass(frozen=True)
class Format:
    """Size of a detector and how it is read out.

    Attributes
    ----------
    nx, ny : int
        Full size, border included [pixel].
    border : int
        Width of the reference-pixel border [pixel].
    noutputs : int
        Readout channels, vertical stripes of ``nx / noutputs`` columns.
    """

    nx: int = 512
    ny: int = 512
    border: int = 4
    noutputs: int = 8

    def __post_init__(self) -> None:
        if self.noutputs not in NOUTPUTS or self.nx % self.noutputs:
            raise UsageError(
                complaint(
                    "Format",
                    "noutputs",
                    self.noutputs,
                    f"one of {NOUTPUTS} that divides nx={self.nx}",
                    "choose another number of readout channels",
                )
            )

    @property
    def shape(self) -> tuple[int, int]:
        """Shape of a read ``(ny, nx)``."""
        return self.ny, self.nx

    @property
    def science(self) -> tuple[slice, slice]:
        """Slices (y, x) of the light-sensitive pixels."""
        b = self.border
        return slice(b, self.ny - b), slice(b, self.nx - b)

    @property
    def reference(self) -> npt.NDArray[np.bool_]:
        """Mask (ny, nx), True on the reference pixels."""
        mask = np.ones(self.shape, dtype=bool)
        mask[self.science] = False
        return mask


@dataclass(frozen=True)
class ReadPattern:
    """When the reads of a ramp start.

    Attributes
    ----------
    sampling : {'UTR', 'CDS', 'MDS'}
        Value of SAMPMODE.
    frame_time : float
        Time to clock one full read [s]; all pixels of a read are taken to be sampled at its start.
    nframe : int
        Frame times from the reset to the start of the last read.
    nfowler : int
        Reads in each of the two groups of MDS.
    """

    sampling: str = "UTR"
    frame_time: float = 3.0
    nframe: int = 10
    nfowler: int = 1

    def __post_init__(self) -> None:
        least = {"UTR": 1, "CDS": 2, "MDS": 2 * self.nfowler}
        if self.sampling not in least:
            raise UsageError(
                complaint(
                    "ReadPattern",
                    "sampling",
                    self.sampling,
                    "UTR, CDS or MDS",
                    "choose one of them",
                )
            )
        if self.nframe < least[self.sampling]:
            raise UsageError(
                complaint(
                    "ReadPattern",
                    "nframe",
                    self.nframe,
                    f"at least {least[self.sampling]} for {self.sampling}",
                    "make the ramp longer",
                )
            )

    @property
    def times(self) -> npt.NDArray[np.float64]:
        """Start of each read since the reset (nread,) [s]."""
        frames = {
            "UTR": range(1, self.nframe + 1),
            "CDS": (1, self.nframe),
            "MDS": (
                *range(1, self.nfowler + 1),
                *range(self.nframe - self.nfowler + 1, self.nframe + 1),
            ),
        }[self.sampling]
        return np.asarray(frames, dtype=np.float64) * self.frame_time

    @property
    def nread(self) -> int:
        """Number of reads of a ramp."""
        return len(self.times)

    @property
    def ramp_time(self) -> float:
        """Reset to the last read [s]."""
        return float(self.times[-1])


@dataclass(frozen=True)
class StarField:
    """A field of stars around the base pointing.

    Positions are uniform over the part of the sky that any dither sees. Most stars are kept apart:
    they are placed brightest first and drawn again until no brighter star is nearer than
    `separation` nor puts more halo light than `halo_limit` of the star into 50 pixels at its place.
    The others fall where they fall.

    Attributes
    ----------
    count : int
        Number of stars.
    kept_apart : float
        Fraction of the stars that are kept apart (0 to 1).
    separation : float
        Least distance of a kept-apart star from brighter ones [pixel].
    halo_limit : float
        Largest halo light of one brighter star in 50 pixels, as a fraction of the star's own light.
    faintest, brightest : float
        Range of flux at the mean sensitivity [e-/s].
    slope : float
        Cumulative luminosity function: N(> flux) is proportional to flux ** -slope.
    """

    count: int = 900
    kept_apart: float = 0.88
    separation: float = 24.0
    halo_limit: float = 0.05
    faintest: float = 110.0
    brightest: float = 80_000.0
    slope: float = 0.6


@dataclass(frozen=True)
class PointSpread:
    """AO-corrected point-spread function: a diffraction core on a seeing-like halo.

    Attributes
    ----------
    wavelength : float
        Wavelength [um].
    diameter : float
        Diameter of the aperture [m].
    obscuration : float
        Linear central obstruction as a fraction of the diameter.
    jitter : float
        Residual image motion, sigma per axis [pixel].
    core_fraction : float
        Part of the light in the core (about the Strehl ratio).
    core_taper : float
        Sigma of the Gaussian that ends the core's diffraction wings [pixel]: beyond the radius that
        the deformable mirror controls all light belongs to the halo.
    halo_fwhm : float
        Full width at half maximum of the Moffat halo [pixel].
    halo_beta : float
        Exponent of the Moffat halo, > 1.
    """

    wavelength: float = 1.262
    diameter: float = 30.0
    obscuration: float = 0.10
    jitter: float = 0.25
    core_fraction: float = 0.6
    core_taper: float = 40.0
    halo_fwhm: float = 15.0
    halo_beta: float = 3.0


@dataclass(frozen=True)
class DetectorPhysics:
    """Numbers that the maps of a detector are drawn from.

    Attributes
    ----------
    nominal_gain : tuple of float
        Conversion gain of the detectors in order, value of GAIN [e-/DN]; the true mean differs by
        `gain_offset`.
    gain_offset, gain_scatter : float
        Relative sigma of a detector's true gain about the nominal one, and of a pixel's about its
        detector's.
    read_noise, read_noise_scatter : float
        Noise of one read [e-] and its relative sigma from pixel to pixel.
    full_well, full_well_scatter : float
        Charge at which a pixel is full [e-], and its relative sigma from pixel to pixel (cut at 3
        sigma).
    nonlinearity, nonlinearity_scatter : float
        Part of the signal missing at 90 % of full well, and its relative sigma from pixel to pixel.
    dark_current : float
        Dark current of a good pixel [e-/s].
    glow : float
        Amplifier glow at the corner (0, 0) [e-/s], falling off with 1/8 of the detector's width.
    flat_scatter, illumination : float
        Sigma of the pixel flat, and amplitude of its smooth part.
    throughput_spread : float
        Largest deviation of a detector's throughput from the mean of all.
    dead_fraction, hot_fraction, warm_fraction : float
        Fractions of the pixels that respond to 2 % of the light, have a dark current of 2 to 200
        e-/s, or of 0.2 to 2 e-/s (log-uniform).
    cold_fraction, telegraph_fraction : float
        Fractions of the pixels that respond to 5 to 45 % of the light, or jump between two levels
        from read to read.
    telegraph_step : float
        Distance of the two levels [e-].
    telegraph_chance : float
        Chance that a telegraph pixel changes its level from one read to the next.
    ipc : float
        Part of a pixel's charge that each of its four neighbours shows.
    persistence : float
        Part of a pixel's charge that traps keep; they give it back over an hour.
    row_noise : float
        Noise common to a row of all outputs, with a 1/f spectrum within a read [DN rms].
    ktc_noise : float
        Noise of the reset [e-].
    bias, output_scatter : float
        Level of the reference pixels, and its sigma between outputs [DN].
    pedestal, pedestal_scatter : float
        Level of an empty pixel above the reference pixels, and its sigma from pixel to pixel [DN].
    drift, column_drift : float
        Step per read of the random walk of an output's level, and of the difference of its odd
        columns [DN].
    odd_even : float
        Sigma between outputs of the constant difference of odd and even columns [DN].
    cosmic_ray_rate : float
        Tracks per light-sensitive pixel and second.
    cosmic_ray_length : float
        Mean length of a track [pixel].
    cosmic_ray_energy : tuple of float
        Median, least and largest charge of a track [e-], log-normal with sigma of ln = 1.
    """

    nominal_gain: tuple[float, ...] = (3.04, 2.70, 2.35, 2.00)
    gain_offset: float = 0.003
    gain_scatter: float = 0.003
    read_noise: float = 9.0
    read_noise_scatter: float = 0.10
    full_well: float = 100_000.0
    full_well_scatter: float = 0.03
    nonlinearity: float = 0.05
    nonlinearity_scatter: float = 0.10
    dark_current: float = 0.02
    glow: float = 0.0
    flat_scatter: float = 0.015
    illumination: float = 0.03
    throughput_spread: float = 0.02
    dead_fraction: float = 0.001
    hot_fraction: float = 0.001
    warm_fraction: float = 0.001
    cold_fraction: float = 0.0
    telegraph_fraction: float = 0.0
    telegraph_step: float = 60.0
    telegraph_chance: float = 0.3
    ipc: float = 0.0
    persistence: float = 0.0
    row_noise: float = 0.0
    ktc_noise: float = 50.0
    bias: float = 1500.0
    output_scatter: float = 100.0
    pedestal: float = 2000.0
    pedestal_scatter: float = 100.0
    drift: float = 3.0
    column_drift: float = 0.3
    odd_even: float = 5.0
    cosmic_ray_rate: float = 8.0e-5
    cosmic_ray_length: float = 2.0
    cosmic_ray_energy: tuple[float, float, float] = (800.0, 50.0, 5000.0)


@dataclass(frozen=True)
class ReferenceErrors:
    """One-sigma errors of the reference files about the truth.

    Attributes
    ----------
    linearity : float
        Relative error of a pixel's corrected signal at 90 % of full well.
    pedestal : float
        Error of the pedestal [DN].
    gain_pixel, gain_detector : float
        Relative error of the gain per pixel, and common to a detector.
    read_noise : float
        Relative error per pixel.
    saturation : float
        Mean relative amount by which the saturation level lies below the truth; it is uniform
        between 0.5 and 1.5 times this amount, so never above.
    zero_point : float
        Error of a detector's zero point [mag].
    """

    linearity: float = 0.002
    pedestal: float = 2.0
    gain_pixel: float = 0.001
    gain_detector: float = 0.001
    read_noise: float = 0.01
    saturation: float = 0.005
    zero_point: float = 0.002


@dataclass(frozen=True)
class CalibrationPlan:
    """Calibration exposures of the night.

    The value of CALTYPE stands in brackets; plain darks and flats have none.

    Attributes
    ----------
    darks, flats : int
        Number of exposures; darks have the read pattern of the science.
    flat_level : float
        Charge of a flat at its last read, as a part of full well.
    flat_nframe : int
        Frame times of a flat's (UTR) ramp.
    lamp_off : int
        Flats without light (LAMPOFF).
    ramp_levels : tuple of float
        Light levels of the ramps for linearity (LINEARITY): charge at the last read of a pixel that
        never fills, as a part of full well.
    ramps, ramp_nframe : int
        Exposures at each of these levels, and frame times of their ramps.
    long_darks, long_nframe : int
        Darks of another length (LONG), and their frame times.
    afterglows : int
        Darks after one exposure to bright light, over an hour (PERSISTENCE; the light too).
    standards : int
        Exposures of a field of standard stars (IMTYPE STD), five a detector.
    """

    darks: int = 8
    flats: int = 8
    flat_level: float = 0.55
    flat_nframe: int = 5
    lamp_off: int = 0
    ramp_levels: tuple[float, ...] = (1.3,)
    ramps: int = 0
    ramp_nframe: int = 10
    long_darks: int = 0
    long_nframe: int = 30
    afterglows: int = 0
    standards: int = 0


COMPLETE = CalibrationPlan(
    darks=8, flats=16, lamp_off=4, ramps=16, long_darks=4, afterglows=10, standards=3
)
"""What all makers need."""


@dataclass(frozen=True)
class Scene:
    """A night of one imager field.

    Attributes
    ----------
    object_name, filter_name : str
        OBJECT and FILTER.
    ra, dec : float
        Base pointing (ICRS) [degree].
    position_angle : float
        Position angle of +y, east of north [degree].
    dithers : tuple of (float, float)
        Offsets of the science exposures on the tangent plane, (east, north) [arcsec].
    sky_offsets : tuple of (float, float)
        Offsets of the exposures of IMTYPE SKY, far enough to be free of the field's stars [arcsec].
    nramp : int
        Ramps of a science or sky exposure.
    sky : float
        Surface brightness at the mean sensitivity [e-/s/pixel].
    sky_gradient : tuple of (float, float)
        Relative change of the sky per arcsec along +x and +y from the axis.
    zero_point : float
        AB magnitude of 1 e-/s at the mean sensitivity: 3631 Jy over Jbb, 630 m2, and 0.46 of
        telescope, AO, instrument and filter.
    ab_minus_vega : float
        AB minus Vega magnitude (J: Blanton & Roweis 2007, AJ 133, 734, table 1).
    strehl_scatter : float
        Scatter of the AOSTREHL telemetry from read to read.
    night : str
        UT date of the night, YYYY-MM-DD.
    nominal_wcs : bool
        Write CTYPE, CRVAL, CRPIX and CD cards into the reads.
    detectors : tuple of str
        The imager detectors to write.
    quick : bool
        Draw photons and read noise the quick way, see :mod:`liger_iris_pipeline.simulator.deviates`.
    references : bool
        Write reference files; without them all must be made of the calibration exposures.
    format, pattern, stars, psf, physics, errors, calibration
        See their classes.
    """

    object_name: str = "M33-FIELD"
    filter_name: str = "Jbb"
    ra: float = 23.4621
    dec: float = 30.6599
    position_angle: float = 0.0
    dithers: tuple[tuple[float, float], ...] = (
        (0.0, 0.0),
        (0.2113, 0.1727),
        (-0.1831, 0.2159),
        (-0.2187, -0.1645),
        (0.1709, -0.2071),
    )
    sky_offsets: tuple[tuple[float, float], ...] = ()
    nramp: int = 1
    sky: float = 15.0
    sky_gradient: tuple[float, float] = (0.0, 0.0)
    zero_point: float = 31.26
    ab_minus_vega: float = 0.91
    strehl_scatter: float = 0.02
    night: str = "2026-10-14"
    nominal_wcs: bool = False
    detectors: tuple[str, ...] = IMAGER_DETECTORS
    quick: bool = False
    references: bool = True
    format: Format = field(default_factory=Format)
    pattern: ReadPattern = field(default_factory=ReadPattern)
    stars: StarField = field(default_factory=StarField)
    psf: PointSpread = field(default_factory=PointSpread)
    physics: DetectorPhysics = field(default_factory=DetectorPhysics)
    errors: ReferenceErrors = field(default_factory=ReferenceErrors)
    calibration: CalibrationPlan = field(default_factory=CalibrationPlan)


SCENES = {
    "imager": Scene(),
    "imager_sky": Scene(
        sky_offsets=((30.0, 0.0), (30.3, 0.4), (29.6, -0.3), (30.5, -0.5), (29.8, 0.6))
    ),
}
"""Scenes that have a name: the star field; the same with exposures of the sky beside it."""

SIZES = {
    "tiny": (Format(), StarField(), False),
    "full": (Format(4096, 4096, 4, 64), StarField(count=6000), True),
}
"""Detector format and star field of each size, and whether photons and noise are drawn the quick way."""


def named_scene(name: str, size: str) -> Scene:
    """Look up a scene at a size.

    Parameters
    ----------
    name : str
        One of `SCENES`.
    size : str
        One of `SIZES`.

    Returns
    -------
    Scene
        The scene with the format and the number of stars of the size.

    Raises
    ------
    UsageError
        If either name is unknown.
    """
    if name not in SCENES:
        raise UsageError(
            complaint(
                "simulate", "SCENE", name, f"one of {', '.join(SCENES)}", "choose one of them"
            )
        )
    if size not in SIZES:
        raise UsageError(
            complaint(
                "simulate", "--size", size, f"one of {', '.join(SIZES)}", "choose one of them"
            )
        )
    layout, stars, quick = SIZES[size]
    return replace(SCENES[name], format=layout, stars=stars, quick=quick)
