"""Frames: dark, flat, bad pixels, combination, sources, sky and starting world coordinates."""

from liger_iris_pipeline.algorithms.frame.bad_pixels import (
    BadPixelLimits,
    find_bad_pixels,
    find_telegraph,
    flag_bad_pixels,
)
from liger_iris_pipeline.algorithms.frame.combine import (
    Bands,
    Combined,
    combine_bands,
    combine_stack,
)
from liger_iris_pipeline.algorithms.frame.dark import subtract_dark
from liger_iris_pipeline.algorithms.frame.dark_maker import GlowParts, make_dark, split_glow
from liger_iris_pipeline.algorithms.frame.flat import divide_flat
from liger_iris_pipeline.algorithms.frame.flat_maker import (
    FlatParts,
    lamp_off,
    make_flat,
    split_flat,
)
from liger_iris_pipeline.algorithms.frame.planes import Reference
from liger_iris_pipeline.algorithms.frame.sky import (
    Sky,
    constant_sky,
    sky_from_dithers,
    sky_from_frames,
    subtract_sky,
)
from liger_iris_pipeline.algorithms.frame.sources import source_mask
from liger_iris_pipeline.algorithms.frame.supersky import EmptySky, empty_sky, make_supersky
from liger_iris_pipeline.algorithms.frame.wcs import (
    Pointing,
    TanWcs,
    imager_wcs,
    starting_wcs,
    wcs_from_header,
)
from liger_iris_pipeline.algorithms.frame.zero_point import ZeroPoint, zero_point

__all__ = [
    "BadPixelLimits",
    "Bands",
    "Combined",
    "EmptySky",
    "FlatParts",
    "GlowParts",
    "Pointing",
    "Reference",
    "Sky",
    "TanWcs",
    "ZeroPoint",
    "combine_bands",
    "combine_stack",
    "constant_sky",
    "divide_flat",
    "empty_sky",
    "find_bad_pixels",
    "find_telegraph",
    "flag_bad_pixels",
    "imager_wcs",
    "lamp_off",
    "make_dark",
    "make_flat",
    "make_supersky",
    "sky_from_dithers",
    "sky_from_frames",
    "source_mask",
    "split_flat",
    "split_glow",
    "starting_wcs",
    "subtract_dark",
    "subtract_sky",
    "wcs_from_header",
    "zero_point",
]
