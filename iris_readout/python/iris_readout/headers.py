"""FITS headers of the reads of one exposure, merged by the C library."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence

from iris_readout.errors import InvalidTypeError, InvalidValueError
from iris_readout.library import check, library

__all__ = ["merge_headers"]

CARD = 80


def merge_headers(headers: Sequence[bytes]) -> bytes:
    """Merge the headers of the reads of one exposure into one.

    Parameters
    ----------
    headers : sequence of bytes
        Header of each read in time order: 80-byte cards, with or without END and padding.

    Returns
    -------
    bytes
        Cards of 80 bytes without END: a constant keyword once; a varying one with the value of the middle read,
        and its first and last value under two more names (``READTIME``, ``READTE_S``, ``READTE_E``). Structural
        keywords are left out, COMMENT and HISTORY cards are united.

    Raises
    ------
    InvalidTypeError
        A header is not bytes.
    InvalidValueError
        There is no header, or the length of one is not a multiple of 80.
    """
    for number, header in enumerate(headers, 1):
        if not isinstance(header, bytes):
            raise InvalidTypeError(
                f"header {number}: got {type(header).__name__}, expected bytes; encode it as ASCII"
            )
        if len(header) % CARD:
            raise InvalidValueError(
                f"header {number}: got {len(header)} bytes, expected a multiple of {CARD}; "
                f"pad each card with blanks"
            )
    pointers = (ctypes.c_char_p * len(headers))(*headers)
    counts = (ctypes.c_size_t * len(headers))(*[len(header) // CARD for header in headers])
    cards, count = ctypes.c_void_p(), ctypes.c_size_t()
    check(
        library().iris_merge_headers(
            pointers, counts, len(headers), ctypes.byref(cards), ctypes.byref(count)
        )
    )
    try:
        return ctypes.string_at(cards, count.value * CARD) if cards.value else b""
    finally:
        library().iris_free(cards)
