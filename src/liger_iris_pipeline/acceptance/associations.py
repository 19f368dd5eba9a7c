"""The rows of associations: how fast, and whether the order of arrival shows."""

from __future__ import annotations

import json
import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from liger_iris_pipeline.acceptance.table import Figure, Group, Measured, Row, at_most, worst
from liger_iris_pipeline.associations import Association, Engine

__all__ = ["NightCell", "groups", "make_night"]

_DETECTORS = ("IMG1", "IMG2", "IMG3", "IMG4")
_BEGIN = 61367.2  # MJD of the first exposure
_STEP = 60.0  # between exposures [s]
_PER_OBSERVATION = 125  # exposures
_CALIBRATIONS = ("DARK", "FLAT", "ARC", "LAMPSCAN", "STD")
_LONGEST = 3.0  # to associate 2000 exposures [s of processor time]
_ARRIVAL = 5.0  # for one of them [ms of processor time]: nothing beside its exposure time
_REPEATS = 3


@dataclass(frozen=True)
class NightCell:
    """A night of headers.

    Attributes
    ----------
    exposures : int
        Exposures of one detector.
    sky_every : int
        One in so many is a sky; 0 for none.
    shuffles : int
        Orders of arrival that are tried besides that of time.
    """

    exposures: int
    sky_every: int
    shuffles: int

    def __str__(self) -> str:
        sky = f"one sky in {self.sky_every}" if self.sky_every else "no sky"
        return f"{self.exposures} exposures, {sky}"


@dataclass(frozen=True)
class HeaderExposure:
    """An exposure that is nothing but its header."""

    name: str
    stem: str
    header: Mapping[str, Any]


def make_night(cell: NightCell) -> list[HeaderExposure]:
    """Make the headers of a night of four detectors.

    Parameters
    ----------
    cell : NightCell
        What the night is like.

    Returns
    -------
    list of HeaderExposure
        In the order of time: observations in turn in two filters with dithers and skies; one exposure in twenty is
        a calibration.
    """
    found = []
    for number in range(cell.exposures):
        shot, detector = divmod(number, len(_DETECTORS))
        observation = shot // _PER_OBSERVATION
        imtype = "SKY" if cell.sky_every and shot % cell.sky_every == 0 else "SCI"
        if shot % 20 == 7:
            imtype = _CALIBRATIONS[shot // 20 % len(_CALIBRATIONS)]
        obs_id = f"2026B-P001-{observation:03d}"
        stem = f"{obs_id}_IRIS_{_DETECTORS[detector]}_{imtype}_LVL0_{shot:04d}"
        header = {
            "INSTRUME": "IRIS",
            "DETECTOR": _DETECTORS[detector],
            "OBS_ID": obs_id,
            "EXP_NO": shot,
            "IMTYPE": imtype,
            "OBJECT": f"field {observation}",
            "FILTER": "dark" if imtype == "DARK" else ("Kbb", "Hbb")[shot // 12 % 2],
            "INSTMODE": "IMG",
            "SAMPMODE": "UTR",
            "SUBARRAY": "FULL",
            "MJD-OBS": _BEGIN + shot * _STEP / 86400,
            "EXPTIME": _STEP - 5,
            "DTOTOFF1": 0.3 * (shot * 7 % 9),
            "DTOTOFF2": 0.3 * (shot * 5 % 9),
        }
        found.append(HeaderExposure(f"{stem}-01-0001.fits", stem, header))
    return found


def measure(cell: NightCell, rng: np.random.Generator) -> Measured:
    """Associate a night at once and one by one, in several orders of arrival."""
    night = make_night(cell)
    begin = time.perf_counter()
    at_once = math.inf
    for _ in range(_REPEATS):
        start = time.process_time()
        engine = Engine()
        engine.extend(night)
        expected = engine.associations()
        at_once = min(at_once, time.process_time() - start)
    one_by_one = _arrive(night)
    differing = _differing(expected, one_by_one.associations)
    for _ in range(cell.shuffles):
        order = [night[index] for index in rng.permutation(len(night))]
        engine = Engine()
        engine.extend(order)
        differing += _differing(expected, engine.associations())
        differing += _differing(expected, _arrive(order).associations)
    figures = {
        "at once": Figure(at_once),
        "arrival": Figure(1e3 * one_by_one.seconds / len(night)),
        "differing": Figure(differing),
    }
    return Measured(cell, figures, len(expected), time.perf_counter() - begin)


@dataclass(frozen=True)
class _Arrived:
    """Associations of exposures that came one by one, and the processor time it took [s]."""

    associations: list[Association]
    seconds: float


def _arrive(night: Sequence[HeaderExposure]) -> _Arrived:
    """Take exposures in one by one."""
    begin = time.process_time()
    engine = Engine()
    for exposure in night:
        engine.register(exposure)
    found = engine.associations()
    return _Arrived(found, time.process_time() - begin)


def _differing(expected: Sequence[Association], found: Sequence[Association]) -> int:
    """Count the places at which two lists differ in anything that is written."""
    ours, theirs = ([_written(association) for association in some] for some in (expected, found))
    pairs = zip(ours, theirs, strict=False)
    return abs(len(ours) - len(theirs)) + sum(one != other for one, other in pairs)


def _written(association: Association) -> str:
    """Give what is written of an association."""
    members = [
        [member.expname, member.exptype, member.group_id, member.dt_s]
        for member in association.members
    ]
    name = association.products[0].name
    return json.dumps([association.asn_rule, name, association.degraded, members])


def _judge(measured: Sequence[Measured]) -> list[Row]:
    """Compare times and differences with what they must be."""
    rows = (
        worst("2000 exposures associated", measured, "at once", at_most(_LONGEST), "s"),
        worst("arrival of one of 2000, mean", measured, "arrival", at_most(_ARRIVAL), "ms"),
        worst("associations that differ after shuffles", measured, "differing", at_most(0)),
    )
    return [row for row in rows if row is not None]


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the group of associations.

    Parameters
    ----------
    quick : bool
        Shuffle once instead of five times.
    seed : int
        Not needed: the cells have their own random numbers.

    Returns
    -------
    list of Group
        A night with skies and one without.
    """
    about = (
        "Headers of 2000 exposures of four detectors, two filters and dithers, with one sky in five and without skies, "
        "are associated by all rules: at once as for a folder, and one by one as they arrive, in the order of time and "
        "shuffled. Times are those of one processor core, the shortest of three at "
        "once. Whatever is written of each association is compared with that of the first list."
    )
    shuffles = 1 if quick else 5
    cells = (NightCell(2000, 5, shuffles), NightCell(2000, 0, shuffles))
    return [Group("associations", about, cells, measure, _judge)]
