"""Gain maker: photon transfer of pairs of flats."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.ramp.gain import ChannelGain, PhotonTransfer
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.models.reads import RawExposure, is_usable_nominal
from liger_iris_pipeline.pipelines.maker import RawMaker, purpose
from liger_iris_pipeline.pipelines.raw_bands import RampSet, RawBands, same_light, same_times

__all__ = ["CreateGainPipeline"]

Float32 = npt.NDArray[np.float32]
FULL_SCALE = 65535.0


class CreateGainPipeline(RawMaker):
    """Measure the gain of every output from the noise of flats."""

    class_alias = "iris_create_gain"
    reftype = "gain"
    roles = ("flat", "dark")
    model_class = models.GainModel
    same: ClassVar[tuple[str, ...]] = ("DETECTOR", "NOUTPUTS", "REFPIX")
    reference_file_types: ClassVar[list[str]] = ["linearity"]
    spec = """
        reach = float(min=0.05, max=1, default=0.5)  # Part of full well up to which steps are used
    """

    def chosen(self, exposures: Sequence[RawExposure]) -> list[RawExposure]:
        """Take flats with light, in pairs, and plain darks."""
        kinds = ("", "LINEARITY")
        flats = [e for e in exposures if e.imtype == "FLAT" and purpose(e.first.header) in kinds]
        darks = [e for e in exposures if e.imtype == "DARK" and not purpose(e.first.header)]
        return [*flats, *darks] if len(flats) > 1 else []

    def make(self, items: Sequence[RawExposure]) -> dict[str, Any]:
        """Add all pairs, a band at a time, and spread the gain of the outputs over their pixels."""
        sets = same_light([e for e in items if e.imtype == "FLAT"])
        darks = same_times([e for e in items if e.imtype == "DARK"])
        bands = RawBands(items[0], self.memory_limit)
        linear = _Linear(bands, items[0], self)
        transfer = PhotonTransfer(bands.noutputs)
        for first, second in _pairs(sets):
            for rows in bands.bands(4 * len(first)):  # sums are in double precision
                a, b = bands.corrected((first, second), rows)
                usable = (linear.below(a, rows) & linear.below(b, rows)) & linear.good[rows]
                transfer.add_pair(linear(a, rows), linear(b, rows), usable)
        for dark in darks:
            for ramp in dark.ramps:
                for rows in bands.bands(2 * len(ramp)):
                    transfer.add_dark(bands.corrected((ramp,), rows), linear.good[rows])
        return _maps(transfer.result(), bands)


def _pairs(sets: Sequence[RampSet]) -> Iterator[tuple[Any, Any]]:
    """Pair ramps of equal light that follow one another."""
    for one in sets:
        yield from zip(one.ramps[::2], one.ramps[1::2], strict=False)


def _maps(found: ChannelGain, bands: RawBands) -> dict[str, Any]:
    """Spread the gains of the outputs over their columns."""
    width = bands.shape[1] // bands.noutputs
    known = np.isfinite(found.gain)
    usual = float(np.nanmedian(found.gain))
    values = (np.where(known, found.gain, usual), np.where(known, found.error, usual))
    data, err = (
        np.broadcast_to(np.repeat(value, width).astype(np.float32), bands.shape).copy()
        for value in values
    )
    bits = np.where(np.repeat(known, width), 0, np.uint32(Flag.NO_GAIN_VALUE | Flag.DO_NOT_USE))
    dq = np.broadcast_to(bits.astype(np.uint32), bands.shape).copy()
    return {"data": data, "err": err, "dq": dq}


class _Linear:
    """Linear counts, and which of them are below the part of full well that is used."""

    def __init__(self, bands: RawBands, item: RawExposure, maker: CreateGainPipeline) -> None:
        planes = maker.planes(item, "linearity", "coeffs", "limit", "pedestal", "dq")
        header = item.first.header
        if planes is None:
            nominal = header["SATURATE"] if is_usable_nominal(header, "SATURATE") else FULL_SCALE
            self.coeffs = None
            self.limit = np.full(bands.shape, nominal, np.float32)
            self.pedestal = np.zeros(bands.shape, np.float32)
            self.good = bands.science
        else:
            self.coeffs, self.limit, self.pedestal = planes[:3]
            self.good = bands.science & (planes[3] == 0)
        self.limit = self.limit * np.float32(maker.reach)

    def below(self, counts: Float32, rows: slice) -> npt.NDArray[np.bool_]:
        """Tell the counts (nread, nrow, nx) above the reference level that are low enough."""
        return np.asarray(counts - self.pedestal[rows] < self.limit[rows])

    def __call__(self, counts: Float32, rows: slice) -> Float32:
        """Make counts above the reference level linear [DN]."""
        x = counts - self.pedestal[rows]
        if self.coeffs is None:
            return x
        y = np.zeros_like(x)
        for coefficient in self.coeffs[::-1, rows]:
            y = y * x + coefficient
        return y
