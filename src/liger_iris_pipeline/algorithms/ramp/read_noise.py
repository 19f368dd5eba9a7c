"""Noise of a single read of every pixel, from darks."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline.algorithms.ramp.averages import CLIP, SIGMA_PER_MAD
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.errors import InputError, complaint

__all__ = ["ReadNoise", "ReadNoiseFit"]

Float32 = npt.NDArray[np.float32]
Float64 = npt.NDArray[np.float64]

SHORTEST = 3
"""Reads of a ramp that leave something of a straight line."""
MOSTLY_SHOT = 0.5
"""From this part of dark shot noise on the read noise is not known well."""


@dataclass(frozen=True, eq=False)
class ReadNoise:
    """Read noise of a detector.

    Attributes
    ----------
    noise, error : ndarray (ny, nx) float32
        Noise of one read and its sampling error [e- rms].
    freedom : ndarray (ny, nx) float32
        Degrees of freedom that the noise rests on.
    dq : ndarray (ny, nx) uint32
        UNRELIABLE_DARK where shot noise of the dark current prevails, or nothing was left: the
        noise is then the median of the pixels that are known.
    """

    noise: Float32
    error: Float32
    freedom: Float32
    dq: npt.NDArray[np.uint32]


class _Sums(NamedTuple):
    """Of the ramps of one pattern (ny, nx): squares [DN^2], degrees of freedom, shot noise [DN], level noise."""

    square: Float64
    freedom: Float64
    shot: Float64
    extra: Float64


@dataclass
class ReadNoiseFit:
    """Collects dark ramps, then gives the noise of a read.

    Notes
    -----
    Each ramp leaves the scatter of its reads about a straight line: offset (reset noise) and dark
    current are in the line. With P the projector on what lines leave, trace P = nread - 2,

        E[x' P x] = sigma^2 (nread - 2) + r trace(P min(t, t'))

    the second term being the shot noise of a dark current r, which is taken off. A ramp in which
    two reads differ by more than `CLIP` sigmas from the usual step was hit and is left out for that
    pixel, so that no tail of the noise is cut off. Noise of digitisation is part of the result, as
    it is part of every read.
    """

    _sums: list[_Sums] = field(default_factory=list, repr=False)

    def add(self, ramps: npt.ArrayLike, times: npt.ArrayLike, *, level_pixels: int = 0) -> None:
        """Add dark ramps of one read pattern.

        Parameters
        ----------
        ramps : array_like (nramp, nread, ny, nx)
            Counts above the reference level [DN].
        times : array_like (nread,)
            Start of the reads since the reset [s].
        level_pixels : int, optional
            Reference pixels in the level that was taken off each pixel: their noise, 1 / that many
            of a pixel's variance, is not the pixel's. 0: none was taken off.

        Raises
        ------
        InputError
            If a ramp has fewer than three reads.
        """
        data, t = np.asarray(ramps, np.float32), np.asarray(times, np.float64)
        nread = data.shape[1]
        if nread < SHORTEST:
            raise InputError(
                complaint("read noise", "reads", nread, f"at least {SHORTEST}", "take longer darks")
            )
        left = _projector(t)
        steps = np.diff(data, axis=1)
        whole = _not_hit(steps)
        square = np.zeros(data.shape[2:])
        for ramp, used in zip(data, whole, strict=True):
            centred = ramp - ramp.mean(axis=0)
            rest = np.tensordot(left, centred, 1)
            square += np.where(used, (rest * rest).sum(axis=0), 0.0)
        rate = np.median(steps.sum(axis=1), axis=0) / (t[-1] - t[0])
        count = whole.sum(axis=0)
        shot = np.maximum(rate, 0.0) * float(np.sum(left * np.minimum.outer(t, t))) * count
        freedom = count * (nread - 2.0)
        extra = freedom * (1.0 / level_pixels if level_pixels else 0.0)
        self._sums.append(_Sums(square, freedom, shot, extra))

    def result(self, gain: npt.ArrayLike) -> ReadNoise:
        """Give the noise.

        Parameters
        ----------
        gain : float or array_like (ny, nx)
            Conversion gain [e-/DN].

        Returns
        -------
        ReadNoise
            Noise, error, degrees of freedom and flags.

        Raises
        ------
        InputError
            If no dark was added.
        """
        if not self._sums:
            raise InputError(
                complaint("read noise", "darks", "none", "at least one dark ramp", "take darks")
            )
        g = np.asarray(gain, np.float64)
        square = sum(s.square for s in self._sums) * g**2
        shot = sum(s.shot for s in self._sums) * g
        counted = np.asarray(sum(s.freedom for s in self._sums))
        weight = counted + sum(s.extra for s in self._sums)
        net = (square - shot) / np.maximum(weight, 1e-9)
        known = (counted > 0) & (shot <= MOSTLY_SHOT * square) & (net > 0)
        usual = float(np.median(net[known])) if known.any() else np.nan
        freedom = np.maximum(counted, 1.0)
        root = 1.0 - 1.0 / (4.0 * freedom)  # mean of the root of a chi-square over its freedom
        noise = np.sqrt(np.where(known, net, usual)) / root
        relative = square / np.maximum(square - shot, 1e-9) / np.sqrt(2.0 * freedom)
        error = noise * np.where(known, relative, 1.0)
        dq = np.where(known, 0, np.uint32(Flag.UNRELIABLE_DARK)).astype(np.uint32)
        return ReadNoise(
            noise.astype(np.float32), error.astype(np.float32), counted.astype(np.float32), dq
        )


def _projector(times: Float64) -> Float64:
    """Matrix (nread, nread) that takes the best straight line off."""
    design = np.stack([np.ones_like(times), times - times.mean()], axis=1)
    return np.asarray(np.eye(len(times)) - design @ np.linalg.pinv(design))


def _not_hit(steps: Float32) -> npt.NDArray[np.bool_]:
    """Tell the ramps (nramp, ny, nx) of each pixel without an odd step."""
    flat = steps.reshape(-1, *steps.shape[2:])
    middle = np.median(flat, axis=0)
    distance = np.abs(flat - middle)
    sigma = SIGMA_PER_MAD * np.median(distance, axis=0)
    limit = CLIP * np.maximum(sigma, np.median(sigma))
    return np.asarray((np.abs(steps - middle) <= limit).all(axis=1))
