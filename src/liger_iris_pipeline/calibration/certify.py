"""What a reference must be to be entered into a store: whole, of its schema, and plausible."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline import models
from liger_iris_pipeline.calibration.dates import parse_utc
from liger_iris_pipeline.calibration.integrity import fault_in, image_shape
from liger_iris_pipeline.calibration.rulesfile import Rule
from liger_iris_pipeline.calibration.selection import EVERYTHING, FULL, normal
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import ProductError
from liger_iris_pipeline.instrument.detectors import DETECTORS
from liger_iris_pipeline.instrument.filters import FILTERS, OPAQUE_OR_OPEN
from liger_iris_pipeline.models.fitsfile import (
    Fault,
    open_stream,
    survey,
    verify_sums,
)

__all__ = ["certify"]

logger = logging.getLogger(__name__)

_MOST = 0.01  # share of good pixels that may be odd: single ones are no reason to refuse a map
_HALF = 0.5
_MAKE_ANEW = "make it anew"
_MEND = "mend the header"
_KNOWN: Mapping[str, frozenset[str]] = {
    "DETECTOR": frozenset(DETECTORS),
    "FILTER": frozenset(FILTERS) | OPAQUE_OR_OPEN,
}
_LIMITS: Mapping[str, tuple[float, float, str]] = {
    "gain": (0.1, 20.0, "electron/DN"),
    "readnoise": (0.1, 200.0, "electron"),
    "saturation": (1.0, 65535.0, "DN"),
    "flat": (0.0, 10.0, "of the median"),
}
_DARK = 10.0  # electron/s; a dark above is no dark
_FLAT = 0.02  # the median over the good pixels is 1
_ZERO_POINT = (15.0, 40.0)  # AB magnitude of 1 electron/s: beyond any filter of the telescope


def certify(path: Path, header: Mapping[str, Any], rule: Rule) -> tuple[str, ...]:
    """Say what keeps a reference from being entered.

    Parameters
    ----------
    path : Path
        The file.
    header : mapping
        Its PRIMARY keywords.
    rule : Rule
        Rule of its type.

    Returns
    -------
    tuple of str
        Faults, each ``PART: got …, expected …; remedy``; empty if it is good.
    """
    broken = fault_in(path)
    if broken is not None:
        return (f"file: got one that {broken}, expected a whole one; copy it again",)
    faults = [*_header_faults(header, rule), *_sum_faults(path)]
    if rule.planes:
        faults += _shape_faults(header, image_shape(path))
    return (*faults, *_content_faults(path, rule))


def _fault(part: str, got: object, expected: object, remedy: str = _MAKE_ANEW) -> str:
    """Write one fault."""
    return f"{part}: got {got}, expected {expected}; {remedy}"


def _header_faults(header: Mapping[str, Any], rule: Rule) -> list[str]:
    """Check the keywords the type is chosen by, and its dates."""
    faults = []
    for key in rule.match:
        text = normal(key, header.get(key))
        known = _KNOWN.get(key)
        if text not in EVERYTHING and known and text not in {name.casefold() for name in known}:
            faults.append(_fault(key, repr(header[key]), f"ANY or one of {_list(known)}", _MEND))
    for key in ("GOODUNTL", "USEAFTER"):
        try:
            if key == "USEAFTER" or header.get(key) is not None:
                parse_utc(header.get(key))
        except ValueError:
            faults.append(_fault(key, repr(header.get(key)), "an ISO date in UTC", _MEND))
    for key in ("MJD-OBS", "MJD-END"):
        value = header.get(key)
        if value is not None and not (isinstance(value, int | float) and np.isfinite(value)):
            faults.append(_fault(key, repr(value), "a modified Julian date", _MEND))
    return faults


def _list(names: frozenset[str]) -> str:
    """List names."""
    return ", ".join(sorted(names))


def _sum_faults(path: Path) -> list[str]:
    """Check DATASUM; a CHECKSUM that is wrong alone is only said."""
    try:
        stream, size = open_stream(path)
        with stream:
            warnings = verify_sums(stream, survey(stream, size))
    except Fault as fault:
        return [str(fault)]
    for warning in warnings:
        logger.warning("%s: %s", path.name, warning)
    return []


def _shape_faults(header: Mapping[str, Any], shape: tuple[int, int] | None) -> list[str]:
    """Compare the shape of the images with what the header says of the detector or window."""
    if shape is None:
        return [_fault("file", "no image", "one that covers the detector")]
    full = normal("SUBARRAY", header.get("SUBARRAY")) in EVERYTHING | {FULL}
    names = ("DETSIZE2", "DETSIZE1") if full else ("SUBSIZE2", "SUBSIZE1")
    ny, nx = (header.get(name) for name in names)
    if not (isinstance(ny, int) and isinstance(nx, int)):
        return []
    if shape == (ny, nx) or (not full and shape[0] >= ny and shape[1] >= nx):
        return []
    return [_fault("shape", f"{shape[0]}×{shape[1]} pixels", f"{ny}×{nx} pixels")]


def _content_faults(path: Path, rule: Rule) -> list[str]:
    """Open the file as the model of its type, if there is one, and look at its values."""
    from liger_iris_pipeline.models.opening import REFERENCES  # brings the data models with it

    if rule.reftype.upper() not in REFERENCES:
        return []
    try:
        with models.open(path) as model:
            return _CHECKS.get(rule.reftype, _nothing)(model) + _dq_faults(model)
    except ProductError as error:
        return [str(error).removeprefix(f"{path.name}: ")]


def _nothing(model: Any) -> list[str]:
    """Find nothing to check."""
    return []


def _good(model: Any, shape: tuple[int, ...]) -> npt.NDArray[np.bool_]:
    """Tell the pixels that may be used."""
    dq = model.dq
    if dq is None:
        return np.ones(shape, bool)
    good: npt.NDArray[np.bool_] = (np.asarray(dq) & int(Flag.DO_NOT_USE)) == 0
    return good


def _dq_faults(model: Any) -> list[str]:
    """Refuse a reference more than half of which must not be used."""
    dq = getattr(model, "dq", None)
    if dq is None or not np.size(dq):
        return []
    share = float(np.mean((np.asarray(dq) & int(Flag.DO_NOT_USE)) != 0))
    if share <= _HALF:
        return []
    return [_fault("DQ", f"DO_NOT_USE in {share:.0%} of the pixels", "at most half of them")]


def _median(values: npt.NDArray[Any]) -> float:
    """Give the median of the finite values; NaN without any."""
    finite = values[np.isfinite(values)]
    return float(np.median(finite)) if finite.size else float("nan")


def _plane(model: Any) -> list[str]:
    """Check the values of a map."""
    data = np.asarray(model.data)
    values = data[_good(model, data.shape)]
    if values.size == 0:
        return [_fault("SCI", "no pixel that may be used", "some")]
    reftype = str(model.reftype).lower()
    low, high, unit = _LIMITS[reftype]
    outside = float(np.mean(~((values > low if low == 0 else values >= low) & (values <= high))))
    if outside <= _MOST:
        return []
    got = f"{outside:.1%} of the good pixels outside, median {_median(values):.4g}"
    return [_fault("SCI", got, f"{low:g} to {high:g} {unit}")]


def _flat(model: Any) -> list[str]:
    """Check a flat: its median over the good pixels is 1."""
    data = np.asarray(model.data)
    values = data[_good(model, data.shape)]
    median = _median(values)
    faults = _plane(model)
    if not abs(median - 1.0) <= _FLAT:
        faults.append(_fault("SCI", f"a median of {median:.4g}", f"1 ± {_FLAT:g}", "normalise it"))
    return faults


def _dark(model: Any) -> list[str]:
    """Check a dark: hardly any rate."""
    data = np.asarray(model.data)
    values = data[_good(model, data.shape)]
    median = _median(values)
    if abs(median) < _DARK:
        return []
    return [_fault("SCI", f"a median of {median:.4g} electron/s", f"below {_DARK:g} electron/s")]


def _linearity(model: Any) -> list[str]:
    """Check a linearity correction: through zero, rising, with a limit."""
    coeffs = np.asarray(model.coeffs)
    good = _good(model, coeffs.shape[1:])
    limit = None if model.limit is None else np.asarray(model.limit)[good]
    checks = [
        ("COEFFS", "a constant term", "none", coeffs[0][good] == 0),
        ("COEFFS", "a slope that is not positive", "one", coeffs[1:2, good] > 0),
    ]
    if limit is not None:
        checks.append(("LIMIT", "values that are not positive", "counts", limit > 0))
    return [
        _fault(part, f"{got} in {1 - np.mean(right):.1%} of the good pixels", expected)
        for part, got, expected, right in checks
        if right.size == 0 or np.mean(right) < 1 - _MOST
    ]


def _photom(model: Any) -> list[str]:
    """Check zero points."""
    low, high = _ZERO_POINT
    values = np.asarray(model.phot_table["ZPAB"], float)
    if values.size and np.all((values > low) & (values < high)):
        return []
    got = ", ".join(f"{value:.4g}" for value in values) or "no row"
    return [_fault("ZPAB", got, f"{low:g} to {high:g} mag")]


_CHECKS: Mapping[str, Callable[[Any], list[str]]] = {
    "gain": _plane,
    "readnoise": _plane,
    "saturation": _plane,
    "flat": _flat,
    "dark": _dark,
    "linearity": _linearity,
    "photom": _photom,
}
