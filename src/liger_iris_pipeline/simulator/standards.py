"""Standard stars: five on each detector, with known magnitudes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from astropy.table import Table as AstropyTable

from ..instrument.detectors import DETECTORS, IMAGER_DETECTORS, axis_pixel
from .plan import standard_field
from .projection import deproject, instrument_to_sky
from .scene import Scene
from .seeds import Stream, stream
from .tables import Table, as_table

__all__ = ["draw_standards", "write_standards"]

_PLACES = np.array([(0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.3, 0.7), (0.7, 0.7)])
"""Places on a detector, as parts of its width and height."""
_FAINTEST, _BRIGHTEST = 8_000.0, 24_000.0
"""Range of flux at the mean sensitivity [e-/s]: bright, and yet far from full well."""


def draw_standards(scene: Scene, seed: int) -> Table:
    """Draw the standard stars of a scene.

    Parameters
    ----------
    scene : Scene
        The scene.
    seed : int
        Seed of the night.

    Returns
    -------
    ndarray (20,)
        ``name ra dec flux mag_ab``: degrees, e-/s at the mean sensitivity, magnitude.
    """
    rng = stream(seed, Stream.STANDARDS)
    layout, dx, dy = scene.format, [], []
    for name in IMAGER_DETECTORS:
        x0, y0 = axis_pixel(name, layout.nx, layout.ny, layout.border)
        places = _PLACES + rng.uniform(-0.05, 0.05, _PLACES.shape)
        dx += ((places[:, 0] * layout.nx - x0) * DETECTORS[name].pixel_scale).tolist()
        dy += ((places[:, 1] * layout.ny - y0) * DETECTORS[name].pixel_scale).tolist()
    flux = np.exp(rng.uniform(np.log(_FAINTEST), np.log(_BRIGHTEST), len(dx)))
    ra, dec = deproject(*instrument_to_sky(dx, dy, scene.position_angle), *standard_field(scene))
    return as_table(
        {
            "name": np.array([f"S{i:02d}" for i in range(1, len(dx) + 1)]),
            "ra": ra,
            "dec": dec,
            "flux": flux,
            "mag_ab": scene.zero_point - 2.5 * np.log10(flux),
        }
    )


def write_standards(folder: Path, scene: Scene, standards: Table) -> Path:
    """Write the table of standards, ``standards.ecsv``.

    Parameters
    ----------
    folder : Path
        Where to write; must exist.
    scene : Scene
        The scene.
    standards : ndarray
        From :func:`draw_standards`.

    Returns
    -------
    Path
        The file: ``name ra dec filter mag_ab mag_vega err``.
    """
    table = AstropyTable({name: standards[name] for name in ("name", "ra", "dec")})
    table["filter"] = scene.filter_name
    table["mag_ab"] = standards["mag_ab"]
    table["mag_vega"] = standards["mag_ab"] - scene.ab_minus_vega
    table["err"] = 0.0
    path = folder / "standards.ecsv"
    table.write(path, format="ascii.ecsv")
    return path
