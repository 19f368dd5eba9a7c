"""Detectors of IRIS and where they lie in the focal plane."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "DETECTORS",
    "FULL_SIZE",
    "IMAGER_DETECTORS",
    "NOUTPUTS",
    "REFERENCE_BORDER",
    "Detector",
    "axis_pixel",
]

FULL_SIZE = 4096
"""Pixels on a side of an H4RG, reference border included."""

REFERENCE_BORDER = 4
"""Width of the reference-pixel border of a full frame [pixel]."""

NOUTPUTS = (64, 32, 16, 8, 4, 1)
"""Numbers of readout channels a detector can be read through."""


@dataclass(frozen=True)
class Detector:
    """One detector.

    Attributes
    ----------
    name : str
        Value of DETECTOR.
    quadrant : tuple of int, or None
        Signs of (x, y) of its quadrant around the imager's axis; None for the IFS.
    pixel_scale : float
        Size of a pixel on the sky [arcsec]; NaN for the IFS, where it depends on the mode.
    """

    name: str
    quadrant: tuple[int, int] | None
    pixel_scale: float


DETECTORS = {
    "IMG1": Detector("IMG1", (+1, +1), 0.004),
    "IMG2": Detector("IMG2", (-1, +1), 0.004),
    "IMG3": Detector("IMG3", (-1, -1), 0.004),
    "IMG4": Detector("IMG4", (+1, -1), 0.004),
    "IFS": Detector("IFS", None, float("nan")),
}

IMAGER_DETECTORS = tuple(name for name, detector in DETECTORS.items() if detector.quadrant)


def axis_pixel(detector: str, nx: int, ny: int, border: int) -> tuple[float, float]:
    """Give the pixel of a full imager detector that lies on the imager's axis.

    The inner light-sensitive corner of every detector lies 0.6 arcsec from the axis in x and in y; test detectors
    smaller than 4096 pixels lie 0.04 arcsec from it.

    Parameters
    ----------
    detector : str
        ``IMG1`` to ``IMG4``.
    nx, ny : int
        Size of the full detector [pixel], border included.
    border : int
        Width of its reference-pixel border [pixel].

    Returns
    -------
    x, y : float
        0-based pixel coordinates of the axis, outside of the array.

    Raises
    ------
    ValueError
        For a detector that is not one of the imager's.
    """
    facts = DETECTORS.get(detector)
    if facts is None or facts.quadrant is None:
        raise ValueError(f"detector {detector!r}: expected one of {', '.join(IMAGER_DETECTORS)}")
    gap = (0.6 if max(nx, ny) >= FULL_SIZE else 0.04) / facts.pixel_scale

    def along(sign: int, size: int) -> float:
        """Pixel of the axis along one direction: beyond the low edge for sign +1, the high edge for -1."""
        return border - 0.5 - gap if sign > 0 else size - border - 0.5 + gap

    return along(facts.quadrant[0], nx), along(facts.quadrant[1], ny)
