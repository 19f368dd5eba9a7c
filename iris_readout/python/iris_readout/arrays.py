"""Checks of what callers hand over, once, at the gate of the library."""

from __future__ import annotations

import operator
from typing import Any

import numpy as np
import numpy.typing as npt

from iris_readout.errors import InvalidTypeError, InvalidValueError
from iris_readout.library import DO_NOT_USE, NATIVE, SWAPPED

__all__ = ["as_count", "as_dq", "as_map", "as_number", "as_read", "as_shape", "check_shape"]


def as_count(name: str, value: Any, lowest: int, highest: int = 2**31 - 1) -> int:
    """Return an integer of the range [lowest, highest]."""
    try:
        count = operator.index(value)
    except TypeError as error:
        raise InvalidTypeError(
            f"{name}: got {type(value).__name__}, expected an integer"
        ) from error
    if not lowest <= count <= highest:
        raise InvalidValueError(f"{name}: got {count}, expected {lowest} to {highest}")
    return count


def as_number(name: str, value: Any) -> float:
    """Return a float; numbers of any real type are good."""
    if isinstance(value, (str, bytes)):
        raise InvalidTypeError(f"{name}: got {value!r}, expected a number")
    try:
        return float(value)
    except (TypeError, ValueError) as error:
        raise InvalidTypeError(f"{name}: got {type(value).__name__}, expected a number") from error


def as_shape(value: Any, name: str = "shape", lowest: int = 1) -> tuple[int, int]:
    """Return (ny, nx), or (y, x)."""
    try:
        ny, nx = value
    except (TypeError, ValueError) as error:
        raise InvalidValueError(f"{name}: got {value!r}, expected (ny, nx)") from error
    return as_count(name, ny, lowest), as_count(name, nx, lowest)


def check_shape(name: str, array: npt.NDArray[Any], shape: tuple[int, ...]) -> None:
    """Raise unless an array has the given shape."""
    if array.shape != shape:
        raise InvalidValueError(f"{name}: got shape {array.shape}, expected {shape}")


def as_map(name: str, value: Any, shape: tuple[int, ...]) -> npt.NDArray[np.float32]:
    """Return a map as native, contiguous float32; a copy only where it is not that already."""
    array = np.asarray(value)
    if array.dtype.kind not in "fiu":
        raise InvalidTypeError(f"{name}: got dtype {array.dtype}, expected float32")
    check_shape(name, array, shape)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=np.float32)


def as_dq(name: str, value: Any, shape: tuple[int, ...]) -> npt.NDArray[np.uint32]:
    """Return DQ bits as native, contiguous uint32; True of a bool map is DO_NOT_USE."""
    array = np.asarray(value)
    if array.dtype.kind == "b":
        check_shape(name, array, shape)
        return np.where(array, np.uint32(DO_NOT_USE), np.uint32(0))
    if array.dtype.kind != "u" or array.dtype.itemsize > np.dtype(np.uint32).itemsize:
        raise InvalidTypeError(f"{name}: got dtype {array.dtype}, expected uint32 or bool")
    check_shape(name, array, shape)
    return np.ascontiguousarray(array, dtype=np.uint32)


def as_read(value: Any, shape: tuple[int, int], number: int) -> tuple[npt.NDArray[np.uint16], int]:
    """Return a read as contiguous uint16 and its byte order; a copy only where it is not contiguous."""
    array = np.asarray(value)
    if array.dtype.kind != "u" or array.dtype.itemsize != np.dtype(np.uint16).itemsize:
        raise InvalidTypeError(
            f"read {number}: got dtype {array.dtype}, expected uint16; raw reads are unsigned 16-bit"
        )
    check_shape(f"read {number}", array, shape)
    return np.ascontiguousarray(array), NATIVE if array.dtype.isnative else SWAPPED
