"""Frames: dark, flat, combination, sources, sky and starting world coordinates."""

from liger_iris_pipeline.algorithms.frame.bad_pixels import flag_bad_pixels
from liger_iris_pipeline.algorithms.frame.combine import (
    Bands,
    Combined,
    Reference,
    combine_bands,
    combine_stack,
    make_dark,
    make_flat,
)
from liger_iris_pipeline.algorithms.frame.dark import subtract_dark
from liger_iris_pipeline.algorithms.frame.flat import divide_flat
from liger_iris_pipeline.algorithms.frame.sky import (
    Sky,
    constant_sky,
    sky_from_dithers,
    sky_from_frames,
    subtract_sky,
)
from liger_iris_pipeline.algorithms.frame.sources import source_mask
from liger_iris_pipeline.algorithms.frame.wcs import (
    Pointing,
    TanWcs,
    imager_wcs,
    starting_wcs,
    wcs_from_header,
)

__all__ = [
    "Bands",
    "Combined",
    "Pointing",
    "Reference",
    "Sky",
    "TanWcs",
    "combine_bands",
    "combine_stack",
    "constant_sky",
    "divide_flat",
    "flag_bad_pixels",
    "imager_wcs",
    "make_dark",
    "make_flat",
    "sky_from_dithers",
    "sky_from_frames",
    "source_mask",
    "starting_wcs",
    "subtract_dark",
    "subtract_sky",
    "wcs_from_header",
]
