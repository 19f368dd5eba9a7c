"""Binary tables whose text columns are as wide as their content."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

__all__ = ["as_table", "row_mappings", "table_schema"]

Table = npt.NDArray[np.void]
Column = Mapping[str, Any]


def as_table(columns: Sequence[Column], content: Any) -> Table:
    """Bring rows into the columns of a schema.

    Parameters
    ----------
    columns : sequence of mapping
        ``name`` and ``datatype`` of each; ``[ascii, n]`` is a text of any width. Columns with a ``default`` may be
        left out: at the end of a row, or of an array.
    content : structured array, or iterable of sequences
        Rows. Columns of an array are found by name, whatever the case of its letters; those that
        the schema lacks follow.

    Returns
    -------
    ndarray (nrow,) structured
        Numbers in native byte order, text as ASCII of the width needed: characters that FITS
        cannot hold are replaced by ``?``.

    Raises
    ------
    ValueError
        If a column is missing or a row has another number of values.
    """
    if getattr(getattr(content, "dtype", None), "names", None) is None:
        values = _values_of_rows(columns, content)
    else:
        columns = table_schema(columns, content)
        found = {name.lower(): name for name in content.dtype.names}
        values = [
            content[found[column["name"].lower()]]
            if column["name"].lower() in found
            else [column["default"]] * len(content)
            for column in columns
        ]
    arrays = [_column(column, value) for column, value in zip(columns, values, strict=True)]
    dtype = [
        (column["name"], a.dtype, a.shape[1:]) for column, a in zip(columns, arrays, strict=True)
    ]
    table = np.empty(len(arrays[0]), dtype=dtype)
    for column, array in zip(columns, arrays, strict=True):
        table[column["name"]] = array
    return table


def _values_of_rows(columns: Sequence[Column], rows: Iterable[Sequence[Any]]) -> list[list[Any]]:
    """Turn rows into columns."""
    rows = [tuple(row) for row in rows]
    optional = [column["default"] for column in columns if "default" in column]
    count = len(columns)
    wrong = next((r for r in rows if not count - len(optional) <= len(r) <= count), None)
    if wrong is not None:
        expected = f"{count - len(optional)} to {count}" if optional else str(count)
        raise ValueError(f"row {wrong}: got {len(wrong)} values, expected {expected}")
    rows = [(*row, *optional[len(optional) + len(row) - count :]) for row in rows]
    return [[row[i] for row in rows] for i in range(count)]


def _column(column: Column, values: Any) -> npt.NDArray[Any]:
    """Make the array of one column."""
    datatype = column["datatype"]
    if isinstance(datatype, str):
        return np.asarray(values, dtype=datatype)
    if not len(values):
        return np.empty(0, "S1")
    texts = np.array([_ascii(value) for value in values], dtype="S")
    return texts if texts.dtype.itemsize else texts.astype("S1")


def _ascii(value: object) -> bytes:
    """Encode a text so that FITS can hold it."""
    return _encoded(value if isinstance(value, bytes | str) else str(value))


@functools.lru_cache(maxsize=1024)  # a column of many rows has few texts
def _encoded(text: bytes | str) -> bytes:
    """Encode a text, with ``?`` for what is not printable ASCII."""
    text = text.decode("ascii", "replace") if isinstance(text, bytes) else text
    text = " ".join(text.splitlines())
    return bytes(c if 32 <= c < 127 else 63 for c in text.encode("ascii", "replace"))


def table_schema(columns: Sequence[Column], table: Any) -> list[dict[str, Any]]:
    """Give the columns of a schema with text as wide as in a table, and what else the table has.

    Parameters
    ----------
    columns : sequence of mapping
        As in :func:`as_table`.
    table : structured array
        Its columns may be in another order and case.

    Returns
    -------
    list of dict
        New columns: those of the schema first.

    Raises
    ------
    ValueError
        If a column is missing.
    """
    found = {name.lower(): name for name in table.dtype.names}
    known = {column["name"].lower() for column in columns}
    missing = [
        column["name"]
        for column in columns
        if column["name"].lower() not in found and "default" not in column
    ]
    if missing:
        got = ", ".join(table.dtype.names)
        raise ValueError(f"columns: got {got}, expected also {', '.join(missing)}")
    wide = []
    for column in columns:
        is_text = not isinstance(column["datatype"], str)
        if column["name"].lower() not in found:
            wide.append(dict(column))
            continue
        own = _described(column["name"], table[found[column["name"].lower()]])
        wide.append({**column, "datatype": own["datatype"]} if is_text else dict(column))
    others = (name for name in table.dtype.names if name.lower() not in known)
    return [*wide, *(_described(name, table[name]) for name in others)]


def _described(name: str, values: npt.NDArray[Any]) -> dict[str, Any]:
    """Describe a column as a schema does."""
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind not in "SU":
        # stdatamodels mistakes the letters T and F of a logical column; 0 and 1 survive
        return {"name": name, "datatype": "uint8" if kind == "b" else values.dtype.name}
    return {"name": name, "datatype": ["ascii", max(size // (4 if kind == "U" else 1), 1)]}


def row_mappings(table: Any) -> list[dict[str, Any]]:
    """Give the rows of a table as dictionaries.

    Parameters
    ----------
    table : structured array or None
        Any binary table.

    Returns
    -------
    list of dict
        Python values, text without trailing blanks; empty for None.
    """
    if table is None:
        return []
    names: Iterable[str] = table.dtype.names
    columns = {name: [_plain(value) for value in table[name]] for name in names}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _plain(value: Any) -> Any:
    """Turn a NumPy scalar into a Python value."""
    if isinstance(value, bytes):
        value = value.decode("ascii", "replace")
    if isinstance(value, str):
        return str(value).rstrip()
    return value.item() if isinstance(value, np.generic) else value
