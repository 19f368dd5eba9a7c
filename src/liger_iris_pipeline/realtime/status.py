"""How far a folder of products has come, for the one who asks; what is on disk counts."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from liger_iris_pipeline.errors import InputError, ReadError, complaint
from liger_iris_pipeline.models import read_metadata
from liger_iris_pipeline.realtime.exposures import STATES
from liger_iris_pipeline.realtime.outputs import Outputs, is_held

__all__ = ["read_status", "told"]


def read_status(folder: Path) -> dict[str, Any]:
    """Find out what has been made, what is in work and what went wrong.

    Parameters
    ----------
    folder : Path
        Folder of the products.

    Returns
    -------
    dict
        ``watch`` (``running``, ``folder``, ``updated`` …); ``counts`` by state; ``exposures`` by state, of
        ``waiting running done failed quarantined``; ``products`` (names) and ``latency_s`` (``p50 p99 max`` and
        ``each`` by product), the latter of level 2 products.

    Raises
    ------
    ReadError
        If there is no such folder.
    """
    if not folder.is_dir():
        raise ReadError(
            complaint(str(folder), "path", "no folder there", "that of --out", "check the path")
        )
    outputs = Outputs(folder)
    said, running = outputs.read_status(), is_held(folder)
    products = outputs.products()
    exposures: dict[str, list[Any]] = {state: [] for state in STATES}
    failed, known = outputs.failed(), set()
    for one in said.get("exposures", ()):
        state = one["state"] if running or one["state"] not in ("running",) else "waiting"
        if state not in ("failed",) or one["name"] not in failed:
            exposures[state].append({k: one[k] for k in ("name", "reads", "planned")})
            known.add(one["name"])
    exposures["failed"] = [{"name": name, "reason": reason} for name, reason in failed.items()]
    exposures["quarantined"] = [
        {"file": name, "reason": reason} for name, reason in outputs.refused().items()
    ]
    return {
        "watch": {"running": running, **{k: said.get(k) for k in _SAID if k in said}},
        "counts": {state: len(found) for state, found in exposures.items()},
        "exposures": exposures,
        "products": [path.name for path in products],
        "latency_s": _latencies(products),
    }


_SAID = ("folder", "pid", "begun", "updated", "remark", "moving", "not_reduced")


def _latencies(products: list[Path]) -> dict[str, Any]:
    """Read how long products took."""
    each = {}
    for path in products:
        try:
            header = read_metadata(path)
        except InputError:
            continue
        if header.get("DATALVL") == 2 and isinstance(header.get("LATENCY"), int | float):
            each[path.name] = float(header["LATENCY"])
    if not each:
        return {"p50": None, "p99": None, "max": None, "each": {}}
    values = np.array(list(each.values()))
    return {
        "p50": round(float(np.percentile(values, 50)), 3),
        "p99": round(float(np.percentile(values, 99)), 3),
        "max": round(float(values.max()), 3),
        "each": each,
    }


def told(status: Mapping[str, Any]) -> str:
    """Put a status into words.

    Parameters
    ----------
    status : mapping
        From :func:`read_status`.

    Returns
    -------
    str
        A few lines.
    """
    watch, latency = status["watch"], status["latency_s"]
    lines = [
        f"watching {watch.get('folder', '')} (process {watch.get('pid', '?')})"
        if watch["running"]
        else "no watch is running",
    ]
    lines += [f"{state:12}{status['counts'][state]:6}" for state in STATES]
    lines.append(f"{'products':12}{len(status['products']):6}")
    if latency["p50"] is not None:
        lines.append(
            "last read to level 2 product: "
            f"{latency['p50']:.1f} s (median), {latency['p99']:.1f} s (99 %), {latency['max']:.1f} s (longest)"
        )
    if watch.get("remark"):
        lines.append(watch["remark"])
    for one in status["exposures"]["waiting"] + status["exposures"]["running"]:
        planned = one["planned"] or "?"
        lines.append(f"  {one['name']}: {one['reads']} of {planned} reads")
    lines += [f"  failed {one['name']}: {one['reason']}" for one in status["exposures"]["failed"]]
    for one in status["exposures"]["quarantined"]:
        lines.append(f"  quarantined {one['file']}: {one['reason']}")
    return "\n".join(lines)
