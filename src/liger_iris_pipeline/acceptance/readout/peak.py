"""Fit one long ramp in a process of its own and say how much memory that took: a JSON line on standard output.

``python -m liger_iris_pipeline.acceptance.readout.peak ESTIMATOR SIZE NREAD``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

import iris_readout

__all__ = ["main"]

STEP = 100
"""Charge that every read adds [e-]: 416 of them stay on scale."""
SPACING = 0.72


def _status(key: str) -> int:
    """Give a memory figure of this process [bytes]; unlike getrusage it knows nothing of the parent's."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) * 1024
    raise KeyError(key)


def _planes(size: int) -> iris_readout.RampResult:
    """Make output planes whose pages are there already."""
    planes = {name: np.ones((size, size), dtype) for name, dtype in iris_readout.PLANES.items()}
    return iris_readout.RampResult(**planes, events=np.empty(0, np.void))


def main(estimator: str, size: int, nread: int) -> dict[str, float]:
    """Push shifted copies of one tile of noise, brighter from read to read, and fit them.

    Parameters
    ----------
    estimator : str
        As for `iris_readout.RampFitter`; ``ols`` goes without a jump test.
    size : int
        Pixels on a side.
    nread : int
        Number of reads.

    Returns
    -------
    dict
        ``peak``: highest resident memory; ``before``: that with reads and planes there but no fitter [bytes];
        ``rate``: median of the rates over the true one.
    """
    rng = np.random.default_rng(416)
    tile = np.rint(rng.normal(2000.0, 9.0, (size, size))).astype(np.uint16)
    read, planes = np.empty_like(tile), _planes(size)
    before = _status("VmRSS")
    fitter = iris_readout.RampFitter(
        (size, size),
        estimator=estimator,
        gain=1.0,
        read_noise=9.0,
        ref_pixels=4,
        noutputs=64,
        jump_sigma=None if estimator == "ols" else 4.5,
    )
    for number in range(nread):
        shift = 7919 * number % tile.size
        read.ravel()[: tile.size - shift] = tile.ravel()[shift:]
        read.ravel()[tile.size - shift :] = tile.ravel()[:shift]
        read[4:-4, 4:-4] += np.uint16(STEP * number)
        fitter.push(read, SPACING * (number + 1))
    rate = fitter.finish(out=planes).rate[4:-4, 4:-4]
    peak = _status("VmHWM")  # before the median makes a copy
    return {"peak": peak, "before": before, "rate": float(np.median(rate)) / (STEP / SPACING)}


if __name__ == "__main__":
    sys.stdout.write(json.dumps(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))) + "\n")
