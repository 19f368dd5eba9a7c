"""Which FITS keyword is which metadata, as the schemas say."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from astropy.io import fits

__all__ = ["OWN", "Keyword", "Plane", "keywords_of", "misfit", "planes_of"]

OWN = "DRS"
"""Source of what the data reduction system writes."""

_UNIT = re.compile(r"\[([^\]]+)\]")
_GROUPED = 2  # names in the path of a keyword that is in no group
_KINDS = {"string": "a text", "integer": "an integer", "number": "a number", "boolean": "T or F"}


@dataclass(frozen=True)
class Keyword:
    """One FITS keyword of a model.

    Attributes
    ----------
    name, hdu : str
        Where it stands in a file.
    path : tuple of str
        Where it stands in a model.
    title : str
        Comment of its card.
    kind : str or None
        JSON type of its value; None for any.
    allowed : tuple
        Closed list of its values; empty for an open one.
    unit : str
        Unit of its value, as FITS writes it; empty for none.
    source : str
        Who writes it first: a component of the instrument, or `OWN`.
    merge : str
        ``constant``: one value for an exposure; ``varies``: may change from read to read, and then stands as start,
        middle and end in the header and read by read in TELEMETRY.
    level : str
        Where the dictionary of the instrument has it: R reads, W raw frames, P processed frames; empty for none.
    expected : str
        What a reader may expect: a JSON type, or ``numbers`` separated by commas; not enforced where `kind` is None.
    """

    name: str
    hdu: str
    path: tuple[str, ...]
    title: str
    kind: str | None
    allowed: tuple[Any, ...]
    unit: str = ""
    source: str = OWN
    merge: str = "constant"
    level: str = ""
    expected: str = ""

    @property
    def subject(self) -> str:
        """What it is about, in words: its group in the metadata."""
        return self.path[1].replace("_", " ") if len(self.path) > _GROUPED else "file"

    @property
    def meaning(self) -> str:
        """Its title without the unit."""
        return self.title.removeprefix(f"[{self.unit}]").strip()


@dataclass(frozen=True)
class Plane:
    """One array of a model.

    Attributes
    ----------
    attribute, hdu : str
        Where it stands in a model and in a file.
    ndim : int or None
        Number of its axes; None for a table.
    datatype : str or list
        What the schema says.
    """

    attribute: str
    hdu: str
    ndim: int | None
    datatype: Any

    @property
    def is_table(self) -> bool:
        """Whether it is a table, not an image."""
        return not isinstance(self.datatype, str)


def keywords_of(schema: Mapping[str, Any]) -> list[Keyword]:
    """List the keywords of a merged schema, in its order.

    Parameters
    ----------
    schema : mapping
        Of a model.

    Returns
    -------
    list of Keyword
        All of them.
    """
    return [
        Keyword(
            name=str(node["fits_keyword"]),
            hdu=str(node.get("fits_hdu", "PRIMARY")),
            path=path,
            title=str(node.get("title", "")),
            kind=node.get("type"),
            allowed=tuple(node.get("enum", ())),
            unit=str(node.get("unit", _unit_in(node))),
            source=str(node.get("source", OWN)),
            merge=str(node.get("merge", "constant")),
            level=str(node.get("level", "")),
            expected=str(node.get("type", node.get("kind", ""))),
        )
        for path, node in _nodes(schema, ())
        if "fits_keyword" in node
    ]


def _unit_in(node: Mapping[str, Any]) -> str:
    """Give the unit that begins a title; UTC is none."""
    found = _UNIT.match(str(node.get("title", "")))
    return found[1] if found and found[1] != "UTC" else ""


def _nodes(
    node: Mapping[str, Any], path: tuple[str, ...]
) -> Iterator[tuple[tuple[str, ...], Mapping[str, Any]]]:
    """Walk the properties of a schema."""
    for name, child in node.get("properties", {}).items():
        yield (*path, name), child
        yield from _nodes(child, (*path, name))


def planes_of(schema: Mapping[str, Any]) -> list[Plane]:
    """List the arrays of a merged schema, in its order.

    Parameters
    ----------
    schema : mapping
        Of a model.

    Returns
    -------
    list of Plane
        Images and tables.
    """
    return [
        Plane(name, str(node["fits_hdu"]), node.get("ndim", node.get("max_ndim")), node["datatype"])
        for name, node in schema["properties"].items()
        if "datatype" in node
    ]


def misfit(keyword: Keyword, value: object) -> str | None:
    """Say what a value should be if it does not fit its keyword.

    Parameters
    ----------
    keyword : Keyword
        The keyword.
    value : object
        Its value in a header; None for a card without one.

    Returns
    -------
    str or None
        What was expected; None if the value fits.
    """
    if value is None or isinstance(value, fits.card.Undefined):
        return None
    if keyword.kind is not None and not _is_kind(keyword.kind, value):
        return _KINDS.get(keyword.kind, keyword.kind)
    if keyword.allowed and value not in keyword.allowed:
        return f"one of {' '.join(str(item) for item in keyword.allowed)}"
    return None


def _is_kind(kind: str, value: object) -> bool:
    """Compare the type of a value with a JSON type."""
    if isinstance(value, bool) or kind == "boolean":
        return isinstance(value, bool) and kind == "boolean"
    types: dict[str, type | tuple[type, ...]] = {
        "string": str,
        "integer": int,
        "number": (int, float),
    }
    return isinstance(value, types[kind])
