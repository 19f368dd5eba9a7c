"""Tables as structured arrays, the form in which they travel and go to FITS."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["Table", "as_table"]

Table = npt.NDArray[np.void]


def as_table(columns: Mapping[str, npt.NDArray[Any]]) -> Table:
    """Put columns of equal length into a structured array of native byte order.

    Parameters
    ----------
    columns : mapping of str to ndarray (nrow,)
        Name to values.

    Returns
    -------
    ndarray (nrow,)
        The table.
    """
    fields = [(name, c.dtype.newbyteorder("=")) for name, c in columns.items()]
    table: Table = np.empty(len(next(iter(columns.values()))), dtype=fields)
    for name, column in columns.items():
        table[name] = column
    return table
