"""What others do with the same reads: stcal, NumPy, the memory of this machine, FITS readers.

The calls follow what jwst does with stcal. Traps: ``ramp_fit_data`` multiplies the read noise it is
handed in place, jump and fit write to the group DQ (so they get copies, made outside the clock);
read noise means that of a difference of two reads; ``max_cores`` is the string "none"; jump has one
algorithm for up to 9 differences and another from 10 on.
"""

from __future__ import annotations

import dataclasses
import functools
import logging
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits
from data import READ_NOISE, SPACING, Ramp, complain
from stcal.jump.jump import detect_jumps_data
from stcal.jump.jump_class import JumpData
from stcal.ramp_fitting.ramp_fit import ramp_fit_data
from stcal.ramp_fitting.ramp_fit_class import RampData
from timing import Contender

from iris_readout import PLANES

__all__ = [
    "StcalReads",
    "find_jumps",
    "fit_stcal",
    "fits_contenders",
    "memory_contenders",
    "numpy_contenders",
    "stcal_contenders",
]

FLAGS = {
    "GOOD": 0,
    "DO_NOT_USE": 1,
    "SATURATED": 2,
    "JUMP_DET": 4,
    "NO_GAIN_VALUE": 8,
    "UNRELIABLE_SLOPE": 16,
    "PERSISTENCE": 32,
    "REFERENCE_PIXEL": 64,
    "CHARGELOSS": 128,
}
CDS_NOISE = READ_NOISE * math.sqrt(2)

Array = npt.NDArray[Any]


@dataclasses.dataclass(frozen=True, eq=False)
class StcalReads:
    """Arrays of one integration as stcal wants them.

    Attributes
    ----------
    data : ndarray (1, nread, rows, nx) float32
        Linear charge [e-].
    groupdq : ndarray (1, nread, rows, nx) uint8
        SATURATED from the first saturated read on, and jumps where they are known.
    """

    data: Array
    groupdq: Array

    @classmethod
    def of(cls, ramp: Ramp, rows: int) -> StcalReads:
        """Return the first rows of a ramp, linearised and with saturation flagged."""
        over = ramp.reads[:, :rows] >= ramp.detector.saturation[:rows]
        saturated = np.logical_or.accumulate(over, axis=0)
        groupdq = saturated.astype(np.uint8) * np.uint8(FLAGS["SATURATED"])
        return cls(ramp.detector.linearise(ramp.reads, rows)[None], groupdq[None])

    def copy(self) -> StcalReads:
        """Return arrays that may be written to."""
        return StcalReads(self.data.copy(), self.groupdq.copy())

    @property
    def shape(self) -> tuple[int, int]:
        """(rows, nx)."""
        return self.data.shape[2], self.data.shape[3]


def fit_stcal(
    reads: StcalReads, algorithm: str, rejection_threshold: float | None = None
) -> dict[str, Array]:
    """Fit with stcal's OLS_C or LIKELY.

    Parameters
    ----------
    reads : StcalReads
        Copies: they are written to.
    algorithm : {"OLS_C", "LIKELY"}
        Method of the fit.
    rejection_threshold : float, optional
        Threshold of the jump test of LIKELY [sigma]; its own default is 4.5.

    Returns
    -------
    dict of str to ndarray
        ``slope``, ``err``, ... (rows, nx).
    """
    ramp = RampData()
    dark = np.zeros(reads.shape, np.float32)
    ramp.set_arrays(reads.data, reads.groupdq, np.zeros(reads.shape, np.uint32), dark)
    ramp.set_meta("IRIS", SPACING, SPACING, groupgap=0, nframes=1, drop_frames1=0)
    ramp.algorithm = algorithm
    ramp.set_dqflags(FLAGS)
    ramp.start_row, ramp.num_rows = 0, reads.shape[0]
    ramp.rejection_threshold = rejection_threshold
    noise = np.full(reads.shape, CDS_NOISE, np.float32)
    gain = np.ones(reads.shape, np.float32)
    image, _, _ = ramp_fit_data(ramp, False, noise, gain, algorithm, "optimal", "none")
    return dict(image)


def find_jumps(reads: StcalReads) -> Array:
    """Find jumps with stcal's two-point differences, without flagging of neighbours.

    Parameters
    ----------
    reads : StcalReads
        Copies: they are written to.

    Returns
    -------
    ndarray (1, nread, rows, nx) uint8
        Group DQ with JUMP_DET.
    """
    jump = JumpData(
        gain2d=np.ones(reads.shape, np.float32),
        rnoise2d=np.full(reads.shape, CDS_NOISE, np.float32),
        dqflags=FLAGS,
    )
    jump.init_arrays_from_arrays(reads.data, reads.groupdq, np.zeros(reads.shape, np.uint32))
    jump.nframes, jump.dt_group, jump.n_reads_groupdiff = 1, np.ones(1), np.full(1, 2.0)
    jump.rejection_thresh, jump.flag_4_neighbors = 4.5, False
    jump.max_cores = "none"
    return np.asarray(detect_jumps_data(jump)[0])


def stcal_contenders(ramp: Ramp, rows: int) -> dict[str, Contender]:
    """Return stcal's fits of the first rows of a ramp, of half of them with LIKELY.

    ``OLS_C`` knows of saturation only, ``OLS_C after jump`` of the jumps that stcal found too; every
    fit must agree with the truth before it is timed.
    """
    logging.getLogger("stcal").setLevel(logging.ERROR)
    nread, ny = ramp.reads.shape[:2]
    reads = StcalReads.of(ramp, min(rows, ny))
    few = StcalReads.of(ramp, min(rows // 2, ny))
    known = StcalReads(reads.data, find_jumps(reads.copy()))
    fit = {
        "OLS_C": (reads, "OLS_C", False),
        "OLS_C after jump": (known, "OLS_C", True),
        "LIKELY": (few, "LIKELY", True),
    }
    contenders = {
        name: Contender(
            functools.partial(_fit, algorithm=algorithm),
            given.copy,
            functools.partial(_complain_of_image, ramp, hits_removed),
            work=nread * math.prod(given.shape),
        )
        for name, (given, algorithm, hits_removed) in fit.items()
    }
    work = nread * math.prod(reads.shape)
    check = functools.partial(_complain_of_jumps, ramp)
    contenders["jump"] = Contender(find_jumps, reads.copy, check, work)
    return contenders


def _fit(reads: StcalReads, algorithm: str) -> dict[str, Array]:
    return fit_stcal(reads, algorithm)


def _complain_of_image(ramp: Ramp, hits_removed: bool, image: dict[str, Array]) -> str | None:
    return complain(ramp, image["slope"], image["err"], hits_removed=hits_removed)


def _complain_of_jumps(ramp: Ramp, groupdq: Array) -> str | None:
    rows = groupdq.shape[2]
    found = (groupdq[0] & FLAGS["JUMP_DET"]).any(axis=0)
    hit, good = ramp.hit[:rows], ~ramp.saturated[:rows]
    completeness, false = found[hit & good].mean(), found[~hit & good].mean()
    if completeness < 0.97 or false > 0.01:
        return f"{completeness:.1%} of the hits found, {false:.2%} of the other pixels flagged"
    return None


def numpy_contenders(ramp: Ramp, rows: int) -> dict[str, Contender]:
    """Return plain least squares with fixed weights: slope only, no saturation, no linearity."""
    nread, ny, nx = ramp.reads.shape
    rows = min(rows, ny)
    reads = ramp.reads[:, :rows]
    weights = ramp.times - ramp.times.mean()
    weights = (weights / np.sum(weights**2)).astype(np.float32)

    def with_tensordot(_: None) -> Array:
        return np.tensordot(weights, reads.astype(np.float32), 1)

    def with_loop(_: None) -> Array:
        rate = np.zeros((rows, nx), np.float32)
        part = np.empty_like(rate)
        for weight, read in zip(weights, reads, strict=True):
            np.multiply(read, weight, out=part)
            rate += part
        return rate

    def check(rate: Array) -> str | None:
        return complain(ramp, rate, None)

    work = nread * rows * nx
    return {
        "NumPy tensordot": Contender(with_tensordot, check=check, work=work),
        "NumPy loop": Contender(with_loop, check=check, work=work),
    }


def memory_contenders(reads: Array) -> dict[str, Contender]:
    """Return what the memory of this machine can do at best.

    ``read`` goes once through the reads (their largest count, the fastest of NumPy's reductions of
    uint16), ``copy`` is memcpy of them, ``fresh planes`` allocates the planes of a result and writes
    to them, which is what any fit has to do.
    """
    shape = reads.shape[1:]
    target = np.empty_like(reads)
    target.fill(0)

    def write_planes(_: None) -> list[Array]:
        planes = [np.empty(shape, dtype) for dtype in PLANES.values()]
        for plane in planes:
            plane.fill(0)
        return planes

    return {
        "read": Contender(lambda _: reads.max(), work=reads.size),
        "copy": Contender(lambda _: np.copyto(target, reads), work=reads.size),
        "fresh planes": Contender(write_planes, work=math.prod(shape)),
    }


def fits_contenders(paths: Sequence[Path], counts: Array) -> dict[str, Contender]:
    """Return FITS readers that turn files of one read each into native uint16 in memory."""

    def with_astropy(_: None) -> Array:
        for path in paths:
            read = fits.getdata(path)
        return np.asarray(read)

    def with_fitsio(_: None) -> Array:
        import fitsio

        for path in paths:
            read = fitsio.read(str(path))
        return np.asarray(read)

    def check(read: Array) -> str | None:
        return None if np.array_equal(read, counts) else "the counts are not those of the file"

    work = len(paths) * counts.size
    return {
        "fitsio": Contender(with_fitsio, check=check, work=work),
        "astropy": Contender(with_astropy, check=check, work=work),
    }
