"""Output grid of a mosaic and the map of a frame's pixels into it."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.frame.wcs import TanWcs
from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["output_grid", "pixel_map"]

Float64 = npt.NDArray[np.float64]


def output_grid(
    projections: Sequence[TanWcs],
    shapes: Sequence[tuple[int, int]],
    *,
    scale: float | None = None,
) -> tuple[TanWcs, tuple[int, int]]:
    """Lay out a grid, north up and east left, that covers all frames.

    Parameters
    ----------
    projections : sequence of TanWcs
        Projection of every frame.
    shapes : sequence of tuple of int
        Shape (ny, nx) of every frame.
    scale : float, optional
        Side of an output pixel [deg]; by default the native one of the first frame.

    Returns
    -------
    wcs : TanWcs
        Tangent point at that of the first frame, so that an unrotated frame shifted by whole
        pixels against the first one is not resampled at the native scale.
    shape : tuple of int
        Shape (ny, nx); no pixel row or column lies outside of the frames' outline.

    Raises
    ------
    InputError
        Without any frame.
    """
    if not projections:
        raise InputError(
            complaint("mosaic", "frames", "none", "at least one", "give the frames to combine")
        )
    first = projections[0]
    size = first.pixel_scale if scale is None else scale
    phase = tuple(p % 1.0 for p in first.crpix)
    plane = TanWcs((phase[0], phase[1]), first.crval, ((-size, 0.0), (0.0, size)))
    corners = [
        _project(wcs, plane, *_outline(shape))
        for wcs, shape in zip(projections, shapes, strict=True)
    ]
    x = np.concatenate([c[0] for c in corners])
    y = np.concatenate([c[1] for c in corners])
    # an edge within a thousandth of a pixel of a pixel edge counts as lying on it
    x0, y0 = (math.floor(v.min() + 0.5 + 1e-3) for v in (x, y))
    x1, y1 = (math.ceil(v.max() + 0.5 - 1e-3) for v in (x, y))
    wcs = TanWcs((phase[0] - x0, phase[1] - y0), plane.crval, plane.cd)
    return wcs, (y1 - y0, x1 - x0)


def pixel_map(wcs: TanWcs, shape: tuple[int, int], grid: TanWcs) -> Float64:
    """Map the pixels of a frame into an output grid.

    Parameters
    ----------
    wcs : TanWcs
        Projection of the frame.
    shape : tuple of int
        Its shape (ny, nx).
    grid : TanWcs
        Projection of the output grid.

    Returns
    -------
    ndarray (ny, nx, 2) float64
        0-based output coordinates (x, y) of every pixel centre, exact.

    Notes
    -----
    One gnomonic projection seen from another is a projective map, so that a pixel costs nine
    multiplications and no trigonometry.
    """
    y, x = np.ogrid[: shape[0], : shape[1]]
    out = np.empty((*shape, 2))
    out[..., 0], out[..., 1] = _project(wcs, grid, x.astype(float), y.astype(float))
    return out


def _outline(shape: tuple[int, int]) -> tuple[Float64, Float64]:
    """Outer corners of a frame; great circles are straight in a gnomonic projection."""
    ny, nx = shape
    edges_x, edges_y = (-0.5, nx - 0.5), (-0.5, ny - 0.5)
    return np.array([*edges_x, *edges_x]), np.repeat(edges_y, 2)


def _project(wcs: TanWcs, grid: TanWcs, x: Float64, y: Float64) -> tuple[Float64, Float64]:
    """Take pixels of one projection to pixels of another."""
    h = np.linalg.inv(grid.pixel_matrix()) @ (grid.axes() @ wcs.axes().T) @ wcs.pixel_matrix()
    depth = h[2, 0] * x + h[2, 1] * y + h[2, 2]
    if not np.all(depth > 0):
        raise InputError(
            complaint(
                "mosaic",
                "pointing",
                f"frames at {wcs.crval} and {grid.crval}",
                "frames of one field",
                "combine the fields one by one",
            )
        )
    u = (h[0, 0] * x + h[0, 1] * y + h[0, 2]) / depth
    v = (h[1, 0] * x + h[1, 1] * y + h[1, 2]) / depth
    return u, v
