"""Cosmic rays: short straight tracks that leave charge at one moment of a ramp."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from .scene import DetectorPhysics, Format

__all__ = ["HIT", "draw_hits"]

HIT = np.dtype([("read", "i4"), ("y", "i4"), ("x", "i4"), ("charge", "f4")])
"""One pixel hit: first read (from 1) that contains it, 0-based pixel, charge [e-]."""

Integers = npt.NDArray[np.int64]

_PIECES = 32


def draw_hits(
    physics: DetectorPhysics,
    layout: Format,
    times: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> npt.NDArray[np.void]:
    """Draw the cosmic rays of one ramp.

    Parameters
    ----------
    physics : DetectorPhysics
        Rate, length and energy of the tracks.
    layout : Format
        Size of the detector; only light-sensitive pixels are hit.
    times : ndarray (nread,) float64
        Start of each read since the reset [s]; hits come uniformly between the reset and the last
        read.
    rng : numpy.random.Generator
        Source of randomness.

    Returns
    -------
    ndarray (nhit,) of `HIT`
        Whole electrons per pixel and moment, sorted by read, y, x. Hits before the first read
        (``read`` 1) leave no step between reads.

    Notes
    -----
    A track's charge is spread evenly along a straight line of exponential length in a random
    direction.
    """
    py, px, when, share = _tracks(physics, layout, times, rng)
    rows, columns = layout.science
    inside = (py >= rows.start) & (py < rows.stop) & (px >= columns.start) & (px < columns.stop)
    key = (when * layout.ny + py) * layout.nx + px
    unique, index = np.unique(key[inside], return_inverse=True)
    hits = np.zeros(len(unique), dtype=HIT)
    hits["x"] = unique % layout.nx
    hits["y"] = unique // layout.nx % layout.ny
    hits["read"] = unique // layout.nx // layout.ny
    hits["charge"] = np.rint(np.bincount(index, share[inside], minlength=len(unique)))
    return hits[hits["charge"] > 0]


def _tracks(
    physics: DetectorPhysics,
    layout: Format,
    times: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[Integers, Integers, Integers, npt.NDArray[np.float64]]:
    """Draw tracks cut into short pieces: y, x, read, charge [e-], each (ntrack, npiece)."""
    rows, columns = layout.science
    area = (rows.stop - rows.start) * (columns.stop - columns.start)
    ntrack = int(rng.poisson(physics.cosmic_ray_rate * area * times[-1]))
    median, least, most = physics.cosmic_ray_energy
    energy = np.clip(rng.lognormal(np.log(median), 1.0, ntrack), least, most)
    length = rng.exponential(physics.cosmic_ray_length, ntrack)
    angle = rng.uniform(0.0, 2.0 * np.pi, ntrack)
    y = rng.uniform(rows.start - 0.5, rows.stop - 0.5, ntrack)
    x = rng.uniform(columns.start - 0.5, columns.stop - 0.5, ntrack)
    read = np.searchsorted(times, rng.uniform(0.0, times[-1], ntrack)) + 1
    along = (np.arange(_PIECES) + 0.5) / _PIECES * length[:, None]
    py = np.rint(y[:, None] + along * np.sin(angle)[:, None]).astype(np.int64)
    px = np.rint(x[:, None] + along * np.cos(angle)[:, None]).astype(np.int64)
    when = np.broadcast_to(read[:, None], py.shape)
    share = np.broadcast_to(energy[:, None] / _PIECES, py.shape)
    return py, px, when.astype(np.int64), share
