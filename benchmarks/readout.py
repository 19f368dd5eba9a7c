"""Time the ramp fit of iris_readout against NumPy's plain least squares, in one run.

CPU time, minimum of five alternating runs, one thread; only the ratios mean something.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np

import iris_readout

SIZE, NREAD, RUNS = 1024, 10, 5


def fit_with_numpy(reads: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Fit the slope with fixed weights and nothing else."""
    weights = (times - times.mean()) / np.sum((times - times.mean()) ** 2)
    return np.tensordot(weights.astype(np.float32), reads.astype(np.float32), 1)


def main() -> None:
    """Print one line per method."""
    random = np.random.default_rng(1)
    times = 1.5 * np.arange(1, NREAD + 1)
    rate = random.lognormal(3.0, 1.0, (SIZE, SIZE))
    reads = (1000 + rate * times[:, None, None] + random.normal(0, 10, (NREAD, SIZE, SIZE))).clip(
        0, 65000
    )
    reads = reads.astype(np.uint16)
    options = {"gain": 1.0, "read_noise": 10.0, "ref_pixels": 0, "noutputs": 1, "nthreads": 1}
    methods: dict[str, Callable[[], object]] = {
        "iris_readout, slope, variance, jumps, chi-square": lambda: iris_readout.fit_ramp(
            reads, times, **options
        ),
        "iris_readout, no jumps": lambda: iris_readout.fit_ramp(
            reads, times, **options, jump_sigma=None
        ),
        "NumPy, slope only": lambda: fit_with_numpy(reads, times),
    }
    best = dict.fromkeys(methods, np.inf)
    for _ in range(RUNS):
        for name, method in methods.items():
            start = time.process_time()
            method()
            best[name] = min(best[name], time.process_time() - start)
    reference = best["NumPy, slope only"]
    for name, seconds in best.items():
        per = seconds / (SIZE * SIZE * NREAD) * 1e9
        print(
            f"{name:50s} {seconds:8.3f} s  {per:6.2f} ns/pixel/read  {seconds / reference:6.2f} x NumPy"
        )


if __name__ == "__main__":
    main()
