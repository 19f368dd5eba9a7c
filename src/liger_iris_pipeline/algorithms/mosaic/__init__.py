"""Frames of several dithers and detectors to one mosaic and its catalogue."""

from liger_iris_pipeline.algorithms.mosaic.catalogue import (
    Photometry,
    make_catalogue,
    photometry,
)
from liger_iris_pipeline.algorithms.mosaic.drizzle import Drizzler
from liger_iris_pipeline.algorithms.mosaic.errors import aperture_error
from liger_iris_pipeline.algorithms.mosaic.grid import output_grid, pixel_map
from liger_iris_pipeline.algorithms.mosaic.weights import frame_weight

__all__ = [
    "Drizzler",
    "Photometry",
    "aperture_error",
    "frame_weight",
    "make_catalogue",
    "output_grid",
    "photometry",
    "pixel_map",
]
