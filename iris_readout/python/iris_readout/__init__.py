"""Raw detector reads (level 0) to raw science frames (level 1): the Python face of a C library.

Plain NumPy arrays in and out, no files. Reads may be pushed one by one as they come from the detector
(:class:`RampFitter`) or all at once (:func:`fit_ramp`); :func:`combine_ramps` joins the ramps of one exposure,
:func:`stack` frames of one scene; :func:`subtract_dark` and :func:`divide_flat` apply references.

Examples
--------
>>> import numpy as np, iris_readout
>>> fitter = iris_readout.RampFitter((8, 8), gain=3.0, read_noise=9.0, ref_pixels=0)
>>> for read in range(4):
...     fitter.push(np.full((8, 8), 1000 + 50 * read, np.uint16), time_s=2.0 * read)
>>> float(fitter.finish().rate[0, 0])
75.0
"""

from iris_readout.errors import (
    Error,
    InvalidTypeError,
    InvalidValueError,
    LibraryError,
    OutOfMemoryError,
    StateError,
)
from iris_readout.frames import FramePlanes, divide_flat, subtract_dark
from iris_readout.headers import merge_headers
from iris_readout.library import version
from iris_readout.ramps import PLANES, RampFitter, RampResult, combine_ramps, fit_ramp
from iris_readout.stacks import StackResult, stack

__all__ = [
    "PLANES",
    "Error",
    "FramePlanes",
    "InvalidTypeError",
    "InvalidValueError",
    "LibraryError",
    "OutOfMemoryError",
    "RampFitter",
    "RampResult",
    "StackResult",
    "StateError",
    "combine_ramps",
    "divide_flat",
    "fit_ramp",
    "merge_headers",
    "stack",
    "subtract_dark",
]

__version__ = version()
