"""The C library: where it is, its structures and prototypes as ``iris_readout.h`` has them."""

from __future__ import annotations

import ctypes
import functools
import importlib.resources
import os
from ctypes import (
    POINTER,
    Structure,
    c_char,
    c_char_p,
    c_double,
    c_float,
    c_int,
    c_size_t,
    c_uint,
    c_uint32,
    c_void_p,
)
from pathlib import Path
from typing import Any, ClassVar

from iris_readout.errors import (
    InvalidValueError,
    LibraryError,
    OutOfMemoryError,
    StateError,
)

__all__ = [
    "ABI",
    "Event",
    "Frame",
    "Linearity",
    "Map",
    "Options",
    "Planes",
    "Read",
    "RefWeights",
    "Reference",
    "StackFrame",
    "StackOptions",
    "StackPlanes",
    "Window",
    "check",
    "library",
    "version",
]

ABI = 3
VARIABLE = "IRIS_READOUT_LIBRARY"
NAME = "libiris_readout.so"

OK, ERROR_MEMORY, ERROR_STATE = 0, 2, 8
MODES = {"utr": 0, "cds": 1, "mcds": 2}
ESTIMATORS = {"likelihood": 0, "ols": 1}
INSTRUCTION_SETS = {"auto": 0, "baseline": 1, "avx2": 2, "avx512": 3}
COMBINATIONS = {"mean": 0, "sum": 1}
CLIPPINGS = {"sigma": 0, "robust": 1}
CENTRES = {"mean": 0, "median": 1}
NATIVE, SWAPPED = 0, 1
EVENT_KINDS = ("JUMP", "SATURATION", "SNOWBALL")
DO_NOT_USE = 1


class Map(Structure):
    """``iris_map``: a value per pixel, or one for all."""

    _fields_: ClassVar = [("map", c_void_p), ("value", c_float)]


class Linearity(Structure):
    """``iris_linearity``."""

    _fields_: ClassVar = [
        ("ncoef", c_size_t),
        ("coeffs", c_void_p),
        ("limit", c_void_p),
        ("pedestal", c_void_p),
    ]


class RefWeights(Structure):
    """``iris_refweights``."""

    _fields_: ClassVar = [("nlag", c_size_t), ("left", c_void_p), ("right", c_void_p)]


class Window(Structure):
    """``iris_window``."""

    _fields_: ClassVar = [("y", c_size_t), ("x", c_size_t), ("ny", c_size_t), ("nx", c_size_t)]


class Options(Structure):
    """``iris_options``."""

    _fields_: ClassVar = [
        ("ny", c_size_t),
        ("nx", c_size_t),
        ("mode", c_int),
        ("estimator", c_int),
        ("nfowler", c_size_t),
        ("jump_sigma", c_double),
        ("snowballs", c_int),
        ("saturation_grow", c_size_t),
        ("ref_pixels", c_size_t),
        ("noutputs", c_size_t),
        ("side_rows", c_size_t),
        ("ref_weights", RefWeights),
        ("nthreads", c_uint),
        ("isa", c_int),
        ("memory_limit", c_size_t),
        ("keep_reads", c_int),
        ("max_events", c_size_t),
        ("gain", Map),
        ("read_noise", Map),
        ("saturation", Map),
        ("bad_pixels", c_void_p),
        ("linearity", Linearity),
        ("map_y", c_size_t),
        ("map_x", c_size_t),
        ("map_ny", c_size_t),
        ("map_nx", c_size_t),
        ("nguide", c_size_t),
        ("guide", POINTER(Window)),
        ("guide_margin", c_size_t),
    ]


class Read(Structure):
    """``iris_read``."""

    _fields_: ClassVar = [
        ("counts", c_void_p),
        ("order", c_int),
        ("seconds", c_double),
        ("weight", c_double),
        ("dropped", c_int),
        ("borrowed", c_int),
    ]


class Planes(Structure):
    """``iris_planes``."""

    _fields_: ClassVar = [
        ("rate", c_void_p),
        ("var_read", c_void_p),
        ("var_photon", c_void_p),
        ("photon_factor", c_void_p),
        ("chi2", c_void_p),
        ("dq", c_void_p),
        ("nused", c_void_p),
    ]


class Event(Structure):
    """``iris_event``."""

    _fields_: ClassVar = [
        ("read", c_uint32),
        ("y", c_uint32),
        ("x", c_uint32),
        ("kind", c_uint32),
        ("amplitude", c_float),
        ("sigma", c_float),
    ]


class StackOptions(Structure):
    """``iris_stack_options``."""

    _fields_: ClassVar = [
        ("clip", c_double),
        ("iterations", c_size_t),
        ("rule", c_int),
        ("centre", c_int),
        ("excess", c_void_p),
        ("nthreads", c_uint),
        ("isa", c_int),
    ]


class StackFrame(Structure):
    """``iris_stack_frame``."""

    _fields_: ClassVar = [
        ("value", c_void_p),
        ("var_read", c_void_p),
        ("var_photon", c_void_p),
        ("dq", c_void_p),
        ("offset", c_float),
        ("scale", c_float),
        ("used", c_void_p),
    ]


class StackPlanes(Structure):
    """``iris_stack_planes``."""

    _fields_: ClassVar = [
        ("value", c_void_p),
        ("variance", c_void_p),
        ("dq", c_void_p),
        ("nused", c_void_p),
    ]


class Frame(Structure):
    """``iris_frame``."""

    _fields_: ClassVar = [
        ("rate", c_void_p),
        ("var_read", c_void_p),
        ("var_photon", c_void_p),
        ("var_flat", c_void_p),
        ("dq", c_void_p),
    ]


class Reference(Structure):
    """``iris_reference``."""

    _fields_: ClassVar = [("value", c_void_p), ("error", c_void_p), ("dq", c_void_p)]


_CALIBRATE: list[Any] = [
    POINTER(Frame),
    POINTER(Reference),
    c_size_t,
    c_int,
    POINTER(Frame),
    POINTER(c_char),
    c_size_t,
]

PROTOTYPES: dict[str, tuple[Any, list[Any]]] = {
    "iris_readout_version": (c_char_p, []),
    "iris_readout_abi": (c_int, []),
    "iris_status_text": (c_char_p, [c_int]),
    "iris_options_init": (None, [POINTER(Options), c_size_t, c_size_t]),
    "iris_ramp_create": (c_int, [POINTER(c_void_p), POINTER(Options), POINTER(c_char), c_size_t]),
    "iris_ramp_push": (c_int, [c_void_p, c_void_p, c_int, c_double]),
    "iris_ramp_push_read": (c_int, [c_void_p, POINTER(Read)]),
    "iris_ramp_nread": (c_size_t, [c_void_p]),
    "iris_ramp_finish": (c_int, [c_void_p, POINTER(Planes)]),
    "iris_ramp_events": (POINTER(Event), [c_void_p, POINTER(c_size_t)]),
    "iris_ramp_lost_events": (c_size_t, [c_void_p]),
    "iris_ramp_folding": (c_double, [c_void_p]),
    "iris_ramp_isa": (c_char_p, [c_void_p]),
    "iris_ramp_reset": (c_int, [c_void_p]),
    "iris_ramp_error": (c_char_p, [c_void_p]),
    "iris_ramp_destroy": (None, [c_void_p]),
    "iris_combine_ramps": (
        c_int,
        [POINTER(Planes), c_size_t, c_size_t, c_int, c_double, POINTER(Planes)],
    ),
    "iris_stack_options_init": (None, [POINTER(StackOptions)]),
    "iris_stack": (
        c_int,
        [
            POINTER(StackOptions),
            POINTER(StackFrame),
            c_size_t,
            c_size_t,
            POINTER(StackPlanes),
            POINTER(c_char),
            c_size_t,
        ],
    ),
    "iris_subtract_dark": (c_int, _CALIBRATE),
    "iris_divide_flat": (c_int, _CALIBRATE),
    "iris_merge_headers": (
        c_int,
        [POINTER(c_char_p), POINTER(c_size_t), c_size_t, POINTER(c_void_p), POINTER(c_size_t)],
    ),
    "iris_header_span_name": (None, [c_char_p, c_char, POINTER(c_char)]),
    "iris_free": (None, [c_void_p]),
}


def _find() -> Path:
    """Return the path of the library: $IRIS_READOUT_LIBRARY, else the one in the installed package."""
    named = os.environ.get(VARIABLE)
    path = Path(named or str(importlib.resources.files("iris_readout").joinpath(NAME)))
    if not path.is_file():
        raise LibraryError(
            f"iris_readout library: got no file {path}, expected the C library there; "
            f"install the package or set {VARIABLE}"
        )
    return path


@functools.cache
def library() -> ctypes.CDLL:
    """Load the C library once and set its prototypes; calls release the GIL.

    Returns
    -------
    ctypes.CDLL
        The library.

    Raises
    ------
    LibraryError
        It is missing, cannot be loaded or has another ABI than this package.
    """
    path = _find()
    try:
        loaded = ctypes.CDLL(str(path))
        for name, (result, arguments) in PROTOTYPES.items():
            function = getattr(loaded, name)
            function.restype, function.argtypes = result, arguments
    except (OSError, AttributeError) as error:
        raise LibraryError(
            f"iris_readout library: got {error}, expected libiris_readout; "
            f"install the package again or set {VARIABLE}"
        ) from error
    if loaded.iris_readout_abi() != ABI:
        raise LibraryError(
            f"iris_readout library: got ABI {loaded.iris_readout_abi()} from {path}, expected {ABI}; "
            f"install library and package from one source"
        )
    return loaded


def version() -> str:
    """Return the version of the C library, which is that of the package."""
    return str(library().iris_readout_version().decode())


def check(status: int, detail: bytes | None = None) -> None:
    """Raise the exception that belongs to a status; return if it is good.

    Parameters
    ----------
    status : int
        What a call of the library returned.
    detail : bytes, optional
        What the library says about it; else the sentence of the status.

    Raises
    ------
    Error
        The subclass that fits the status.
    """
    if status == OK:
        return
    text = (detail or library().iris_status_text(status)).decode()
    if status == ERROR_MEMORY:
        raise OutOfMemoryError(text)
    if status == ERROR_STATE:
        raise StateError(text)
    raise InvalidValueError(text)
