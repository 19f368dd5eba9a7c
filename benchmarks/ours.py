"""What is timed of iris_readout: the public Python face, and the command for files."""

from __future__ import annotations

import functools
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from data import READ_NOISE, Ramp, complain
from timing import Contender

import iris_readout
from iris_readout import RampResult

__all__ = [
    "command",
    "command_options",
    "fit",
    "fit_with",
    "full_contenders",
    "plain_contenders",
    "run_command",
]


def fit(ramp: Ramp, nread: int | None = None, **options: Any) -> RampResult:
    """Fit the first `nread` reads of a ramp in memory with all maps, all planes returned."""
    chosen: dict[str, Any] = {"ref_pixels": 0, "nthreads": 1, **ramp.detector.options(), **options}
    return iris_readout.fit_ramp(ramp.reads[:nread], ramp.times[:nread], **chosen)


def fit_with(ramp: Ramp, nread: int | None, options: dict[str, Any], _given: Any) -> RampResult:
    """Do the same in the form that a :class:`timing.Contender` runs."""
    return fit(ramp, nread, **options)


PEER_PLANES = ("rate", "var_read", "var_photon", "dq", "events")
"""What OLS_C and jump return too: no chi-square."""


def full_contenders(ramp: Ramp) -> dict[str, Contender]:
    """Return fits on one thread with maps of all references: linearity, saturation, gain, read noise.

    Least squares gives the planes of its peer, the likelihood fit all of them.
    """
    ols = {"estimator": "ols", "planes": PEER_PLANES}
    return _contenders(
        ramp,
        {
            "ols": (None, {**ols, "jump_sigma": None}),
            "ols jump": (None, {**ols, "jump_sigma": 4.5}),
            "likelihood": (None, {"estimator": "likelihood", "jump_sigma": 4.5}),
        },
    )


def plain_contenders(ramp: Ramp) -> dict[str, Contender]:
    """Return fits with scalars only; each uses every read that it is given, CDS two of them."""
    scalars = {"gain": 1.0, "read_noise": READ_NOISE, "saturation": None, "linearity": None}
    plain = {**scalars, "jump_sigma": None}
    nfowler = len(ramp.times) // 2
    return _contenders(
        ramp,
        {
            "plain cds": (2, {**plain, "mode": "cds"}),
            "plain mcds": (None, {**plain, "mode": "mcds", "nfowler": nfowler}),
            "plain utr": (None, {**plain, "estimator": "ols"}),
        },
    )


def _contenders(
    ramp: Ramp, modes: Mapping[str, tuple[int | None, dict[str, Any]]]
) -> dict[str, Contender]:
    return {
        name: Contender(
            functools.partial(fit_with, ramp, nread, options),
            check=functools.partial(
                _complain, ramp, hits_removed=options["jump_sigma"] is not None
            ),
            work=ramp.reads[:nread].size,
        )
        for name, (nread, options) in modes.items()
    }


def _complain(ramp: Ramp, result: RampResult, *, hits_removed: bool) -> str | None:
    sigma = np.sqrt(result.var_read + result.var_photon)
    return complain(ramp, result.rate, sigma, hits_removed=hits_removed)


def command() -> str:
    """Return the path of the program iris-readout.

    Raises
    ------
    FileNotFoundError
        It is not built.
    """
    built = Path(__file__).parents[1] / "build" / "c" / "tools" / "iris-readout"
    candidates = (os.environ.get("IRIS_READOUT_COMMAND"), str(built), shutil.which("iris-readout"))
    for name in candidates:
        if name and Path(name).is_file():
            return name
    raise FileNotFoundError(
        f"iris-readout: got no {built}, expected it there; build it with make test-c"
    )


def command_options() -> list[str]:
    """Return the command and its options for plain least squares on one thread."""
    name = command()
    usage = subprocess.run([name, "--help"], capture_output=True, text=True, check=True)
    estimator = ["--estimator", "ols"] if "--estimator" in usage.stdout else []
    jumps = ["--jump-sigma", "0", "--threads", "1", "--overwrite", "--quiet"]
    return [name, "--mode", "utr", *estimator, *jumps]


def run_command(arguments: Sequence[str]) -> None:
    """Run the command.

    Raises
    ------
    RuntimeError
        It failed.
    """
    done = subprocess.run(arguments, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.strip())
