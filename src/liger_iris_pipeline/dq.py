"""Data-quality bits of every plane, uint32 everywhere.

The same list stands in ``iris_readout.h`` as ``enum iris_dq``; a test holds the two equal.
"""

from __future__ import annotations

from enum import IntFlag

__all__ = ["Flag", "names"]


class Flag(IntFlag):
    """Data-quality flags; 0 is a good pixel."""

    DO_NOT_USE = 1 << 0
    SATURATED = 1 << 1
    JUMP_DET = 1 << 2
    DROPOUT = 1 << 3
    OUTLIER = 1 << 4
    PERSISTENCE = 1 << 5
    AD_FLOOR = 1 << 6
    CHARGELOSS = 1 << 7
    SUBARRAY = 1 << 8
    NON_SCIENCE = 1 << 9
    DEAD = 1 << 10
    HOT = 1 << 11
    WARM = 1 << 12
    LOW_QE = 1 << 13
    COLD = 1 << 14
    TELEGRAPH = 1 << 15
    NONLINEAR = 1 << 16
    BAD_REF_PIXEL = 1 << 17
    NO_FLAT_FIELD = 1 << 18
    NO_GAIN_VALUE = 1 << 19
    NO_LIN_CORR = 1 << 20
    NO_SAT_CHECK = 1 << 21
    UNRELIABLE_BIAS = 1 << 22
    UNRELIABLE_DARK = 1 << 23
    UNRELIABLE_SLOPE = 1 << 24
    UNRELIABLE_FLAT = 1 << 25
    UNRELIABLE_WAVESOL = 1 << 26
    FLUX_ESTIMATED = 1 << 27
    TELLURIC = 1 << 28
    OH_LINE = 1 << 29
    OTHER_BAD_PIXEL = 1 << 30
    REFERENCE_PIXEL = 1 << 31


def names(value: int) -> list[str]:
    """Return the names of the bits set in a DQ value, lowest bit first.

    Parameters
    ----------
    value : int
        DQ value of one pixel, 0 to 2**32 - 1.

    Returns
    -------
    list of str
        Names, empty for a good pixel.

    Examples
    --------
    >>> names(3)
    ['DO_NOT_USE', 'SATURATED']
    """
    return [str(flag.name) for flag in Flag if value & flag]
