"""What the planes of a frame and of a reference have in common."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import ReferenceFileError, complaint
from liger_iris_pipeline.kinds import Float32, Frame, UInt32

__all__ = ["LARGEST", "Reference", "good_pixels", "reference_pixels", "reference_planes"]

LARGEST = float(np.finfo(np.float32).max)
"""Beyond this a value does not fit into a plane."""

Float64 = npt.NDArray[np.float64]
Bool = npt.NDArray[np.bool_]


class Reference(NamedTuple):
    """Planes of a reference.

    Attributes
    ----------
    data, err : ndarray (ny, nx) float32
        Value and one-sigma error.
    dq : ndarray (ny, nx) uint32
        Data-quality bits.
    """

    data: Float32
    err: Float32
    dq: UInt32


def good_pixels(frame: Frame) -> Bool:
    """Tell which pixels of a frame can be used.

    Parameters
    ----------
    frame : Frame
        Rate image.

    Returns
    -------
    ndarray (ny, nx) bool
        True where DO_NOT_USE is not set and rate and variances are finite.
    """
    good: Bool = (frame.dq & Flag.DO_NOT_USE) == 0
    good &= np.isfinite(frame.rate) & np.isfinite(frame.var_read) & np.isfinite(frame.var_photon)
    return good


def reference_pixels(dq: UInt32) -> Bool:
    """Tell which pixels are reference pixels.

    Parameters
    ----------
    dq : ndarray (ny, nx) uint32
        Data-quality bits.

    Returns
    -------
    ndarray (ny, nx) bool
        True at pixels that see no light.
    """
    return np.asarray((dq & np.uint32(Flag.REFERENCE_PIXEL)) != 0)


def reference_planes(
    name: str, shape: tuple[int, ...], planes: tuple[npt.ArrayLike, npt.ArrayLike, npt.ArrayLike]
) -> tuple[Float64, Float64, UInt32]:
    """Bring value, error and flags of a reference to native types and check their shape.

    Parameters
    ----------
    name : str
        Type of the reference, for the message.
    shape : tuple of int
        Shape of the frame it is applied to.
    planes : tuple of array_like
        Value, error and data-quality bits.

    Returns
    -------
    value, err : ndarray (ny, nx) float64
        As given.
    dq : ndarray (ny, nx) uint32
        As given.

    Raises
    ------
    ReferenceFileError
        If a plane has another shape than the frame.
    """
    for part, plane in zip(("SCI", "ERR", "DQ"), planes, strict=True):
        if np.shape(plane) != shape:
            raise ReferenceFileError(
                complaint(
                    name,
                    part,
                    f"shape {np.shape(plane)}",
                    f"the frame's {shape}",
                    f"choose a {name} of the same detector size, or cut out the frame's subarray",
                )
            )
    value, err, dq = planes
    return (
        np.asarray(value, dtype=np.float64),
        np.asarray(err, dtype=np.float64),
        np.asarray(dq, dtype=np.uint32),
    )
