"""Flags of known bad pixels."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.errors import ReferenceFileError, complaint
from liger_iris_pipeline.kinds import Frame

__all__ = ["flag_bad_pixels"]


def flag_bad_pixels(frame: Frame, dq: npt.ArrayLike) -> Frame:
    """OR the flags of known bad pixels into a frame.

    Parameters
    ----------
    frame : Frame
        Rate image.
    dq : array_like (ny, nx) uint32
        Data-quality bits of the detector.

    Returns
    -------
    Frame
        The same values with the union of the flags.

    Raises
    ------
    ReferenceFileError
        If the flags have another shape than the frame.
    """
    if np.shape(dq) != frame.dq.shape:
        raise ReferenceFileError(
            complaint(
                "dq",
                "DQ",
                f"shape {np.shape(dq)}",
                f"the frame's {frame.dq.shape}",
                "choose a dq of the same detector size, or cut out the frame's subarray",
            )
        )
    return replace(frame, dq=frame.dq | np.asarray(dq, dtype=np.uint32))
