"""Combination: frames of all dithers and detectors are drizzled onto one grid."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from astropy.io import fits

from liger_iris_pipeline import models
from liger_iris_pipeline.algorithms.frame import TanWcs, wcs_from_header
from liger_iris_pipeline.algorithms.mosaic import Drizzler, frame_weight, output_grid, pixel_map
from liger_iris_pipeline.calibration import sha256_of
from liger_iris_pipeline.errors import ProductError, complaint
from liger_iris_pipeline.models.merging import merge_frames
from liger_iris_pipeline.steps.base import IrisStep

__all__ = ["CombineStep"]

logger = logging.getLogger(__name__)

CONSTANT = ("FILTER", "OBJECT")
"""What all frames of a mosaic have in common."""


@dataclass(frozen=True)
class _Member:
    """What the grid, the weights and the header need of a frame."""

    path: Path
    header: Mapping[str, Any]
    cards: fits.Header
    wcs: TanWcs
    shape: tuple[int, int]
    zero_points: tuple[float, float]
    flat: str
    calibrations: tuple[tuple[str, ...], ...]


class CombineStep(IrisStep):
    """Drizzle reduced frames into a mosaic, one frame in memory at a time.

    Frames whose detectors have different zero points are brought to the mean one first, so that one MAGZERO holds
    for the whole mosaic.
    """

    class_alias = "iris_combine"
    status = "combin"
    spec = """
        pixfrac = float(min=0.01, max=1, default=1.0)  # Side of the drop relative to a native pixel
    """

    def process(self, paths: Sequence[Path]) -> Any:
        """Combine frames.

        Parameters
        ----------
        paths : sequence of Path
            Level 2 frames.

        Returns
        -------
        ImagerMosaicModel
            The mosaic.
        """
        members = [self._survey(Path(path)) for path in paths]
        self._expect_one_kind(members)
        grid, shape = output_grid([m.wcs for m in members], [m.shape for m in members])
        zero_points = np.mean([m.zero_points for m in members], axis=0)
        drizzler = Drizzler(grid, shape, pixfrac=self.pixfrac)
        for member in members:
            ratio = zero_points[0] - member.zero_points[0]
            with models.open(member.path) as model:
                frame = model.to_frame()
            drizzler.add(
                frame,
                pixel_map(member.wcs, member.shape, grid),
                frame_weight(frame),
                scale=float(10.0 ** (0.4 * ratio)) if np.isfinite(ratio) else 1.0,
                flat_id=member.flat,
            )
        header, table = self._header(members)
        mosaic = models.ImagerMosaicModel.from_header(header)
        mosaic.members = table
        mosaic.set_mosaic(drizzler.finish())
        mosaic.set_wcs(grid)
        self._describe(mosaic, members, zero_points)
        return mosaic

    @staticmethod
    def _survey(path: Path) -> _Member:
        """Note what is needed of a frame, without keeping its pixels."""
        with models.open(path) as model:
            wcs = wcs_from_header(model.wcs_header())
            if wcs is None or model.meta.data_level != 2:
                got = f"level {model.meta.data_level}" if wcs else "no WCS"
                raise ProductError(
                    complaint(path, "frame", got, "a level 2 frame with a WCS", "reduce it first")
                )
            rows = model.calibration_rows()
            flats = [row["sha256"] for row in rows if row["role"] == "flat"]
            found = (model.meta.photometry.zero_point_ab, model.meta.photometry.zero_point_vega)
            return _Member(
                path,
                model.header_mapping(),
                model.primary_header(),
                wcs,
                model.shape,
                (_or_nan(found[0]), _or_nan(found[1])),
                flats[0] if flats else str(model.meta.instrument.detector),
                tuple(tuple(str(value) for value in row.values()) for row in rows),
            )

    @staticmethod
    def _expect_one_kind(members: Sequence[_Member]) -> None:
        """Refuse frames that do not belong together."""
        if not members:
            raise ProductError(
                complaint("association", "science", "no members", "a level 2 frame", "add some")
            )
        for member in members[1:]:
            for key in CONSTANT:
                got, expected = member.header.get(key), members[0].header.get(key)
                if got != expected:
                    remedy = "combine frames of one field and filter"
                    raise ProductError(complaint(member.path, key, got, expected, remedy))

    @staticmethod
    def _header(members: Sequence[_Member]) -> tuple[fits.Header, Any]:
        """Merge the headers of the frames; list what varies between them."""
        ordered = sorted(members, key=_time_order)
        header, table = merge_frames([m.cards for m in ordered], [m.path.name for m in ordered])
        detectors = {str(member.header.get("DETECTOR")) for member in members}
        header["DETECTOR"] = "MULTIPLE" if len(detectors) > 1 else detectors.pop()
        ends = [m.header["MJD-END"] for m in members if m.header.get("MJD-END") is not None]
        if ends:
            header["MJD-END"] = max(ends)
        exposures = {(m.header.get("OBS_ID"), m.header.get("EXP_NO")): m for m in members}
        times = [m.header.get("EXPTIME") for m in exposures.values()]
        known = [float(value) for value in times if isinstance(value, int | float)]
        if len(known) == len(times):
            header["EXPTIME"] = sum(known)
        return header, table

    @staticmethod
    def _describe(mosaic: Any, members: Sequence[_Member], zero_points: Any) -> None:
        """Write level, zero points, references and inputs into the mosaic."""
        mosaic.meta.data_level = 3
        mosaic.meta.photometry.pixel_area_ratio = 1.0
        mosaic.meta.photometry.zero_point_ab = _or_none(zero_points[0])
        mosaic.meta.photometry.zero_point_vega = _or_none(zero_points[1])
        mosaic.add_calibrations(dict.fromkeys(row for m in members for row in m.calibrations))
        mosaic.add_inputs((m.path.name, sha256_of(m.path)) for m in members)


def _time_order(member: _Member) -> tuple[float, int, str]:
    """Give the place of a frame in time."""
    header = member.header
    number = header.get("EXP_NO")
    start = _or_nan(header.get("MJD-OBS"))
    return (
        start if np.isfinite(start) else -np.inf,
        number if isinstance(number, int) else 0,
        str(header.get("DETECTOR")),
    )


def _or_nan(value: float | None) -> float:
    """Give NaN for None."""
    return float("nan") if value is None else value


def _or_none(value: float) -> float | None:
    """Give None for NaN."""
    return float(value) if np.isfinite(value) else None
