"""What is timed of iris_readout: the public Python face."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits
from data import READ_NOISE, Ramp, complain
from timing import Contender

import iris_readout
from iris_readout import RampResult

__all__ = [
    "fit",
    "fit_files",
    "fit_with",
    "full_contenders",
    "plain_contenders",
]


def fit(ramp: Ramp, nread: int | None = None, **options: Any) -> RampResult:
    """Fit the first `nread` reads of a ramp in memory with all maps, all planes returned."""
    chosen: dict[str, Any] = {"ref_pixels": 0, "nthreads": 1, **ramp.detector.options(), **options}
    return iris_readout.fit_ramp(ramp.reads[:nread], ramp.times[:nread], **chosen)


def fit_with(
    ramp: Ramp, nread: int | None, options: dict[str, Any], planes: RampResult | None
) -> RampResult:
    """Do the same in the form that a :class:`timing.Contender` runs, into `planes` if given."""
    return fit(ramp, nread, out=planes, **options)


def fit_files(paths: Sequence[Path], shape: tuple[int, int], _given: Any) -> RampResult:
    """Fit reads straight from the bytes of FITS files of one read each: mapped, big-endian, not copied."""
    offset = fits.open(paths[0], memmap=True)[0].fileinfo()["datLoc"]
    reads = [np.memmap(path, ">u2", "r", offset, shape) for path in paths]
    times = np.arange(1, len(paths) + 1) * 1.5
    options = {"gain": 1.0, "read_noise": READ_NOISE, "ref_pixels": 0, "nthreads": 1}
    return iris_readout.fit_ramp(
        reads, times, estimator="ols", jump_sigma=None, planes=PEER_PLANES, **options
    )


PEER_PLANES = ("rate", "var_read", "var_photon", "dq", "events")
"""What OLS_C and jump return too: no chi-square."""


def full_contenders(ramp: Ramp, *, reuse: bool = True) -> dict[str, Contender]:
    """Return fits on one thread with maps of all references: linearity, saturation, gain, read noise.

    Least squares gives the planes of its peer, the likelihood fit all of them. Planes are used again from run to run,
    as a worker does, unless `reuse` is off.
    """
    ols = {"estimator": "ols", "planes": PEER_PLANES}
    return _contenders(
        ramp,
        {
            "ols": (None, {**ols, "jump_sigma": None}),
            "ols jump": (None, {**ols, "jump_sigma": 4.5}),
            "likelihood": (None, {"estimator": "likelihood", "jump_sigma": 4.5}),
        },
        reuse=reuse,
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
    ramp: Ramp,
    modes: Mapping[str, tuple[int | None, dict[str, Any]]],
    *,
    reuse: bool = False,
) -> dict[str, Contender]:
    def planes(options: dict[str, Any]) -> RampResult | None:
        return fit(ramp, 2, **options) if reuse else None

    return {
        name: Contender(
            functools.partial(fit_with, ramp, nread, options),
            prepare=functools.cache(functools.partial(planes, options)),
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
