"""Peak memory of one streamed ramp, in a process of its own.

Prints, as JSON, the peak of the resident memory [bytes] from the making of the fitter to the end of
the fit, without the reference maps, the buffer of the reads and the planes of the result.
"""

from __future__ import annotations

import argparse
import gc
import json
import math
import re
from pathlib import Path

import numpy as np
from data import stream

import iris_readout

STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(key: str) -> int:
    """Return VmRSS or VmHWM of this process [bytes]."""
    found = re.search(rf"^{key}:\s*(\d+) kB", STATUS.read_text(), re.MULTILINE)
    if found is None:
        raise RuntimeError(f"{STATUS}: got no {key}, expected it there; this needs Linux")
    return int(found[1]) * 1024


def main() -> None:
    """Stream one ramp."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("estimator")
    parser.add_argument("nread", type=int)
    parser.add_argument("ny", type=int)
    parser.add_argument("nx", type=int)
    arguments = parser.parse_args()
    shape = arguments.ny, arguments.nx
    detector, reads = stream(np.random.default_rng(12), arguments.nread, shape)
    options = detector.options()
    options["jump_sigma"] = None if arguments.estimator == "ols" else 4.5
    first = next(reads)  # the buffer of the reads is there before the count begins
    gc.collect()
    before = resident("VmRSS")
    RESET.write_text("5")  # VmHWM starts again from here
    fitter = iris_readout.RampFitter(shape, estimator=arguments.estimator, nthreads=1, **options)
    fitter.push(*first)
    for read, seconds in reads:
        fitter.push(read, seconds)
    result = fitter.finish()
    peak = resident("VmHWM") - before
    planes = sum(np.dtype(dtype).itemsize for dtype in iris_readout.PLANES.values())
    finite = float(np.isfinite(result.rate).mean())
    print(json.dumps({"bytes": peak - planes * math.prod(shape), "finite": finite}))


if __name__ == "__main__":
    main()
