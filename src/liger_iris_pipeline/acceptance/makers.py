"""The masters made from raw ramps, against the truth: saturation, linearity, gain, noise, coupling, traps."""

from __future__ import annotations

import importlib
import math
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from astropy.io import fits

from liger_iris_pipeline.acceptance.table import (
    Figure,
    Group,
    Limit,
    Measured,
    Row,
    at_least,
    at_most,
    row,
    within,
)
from liger_iris_pipeline.simulator import COMPLETE, DetectorPhysics, Format, Scene, simulate
from liger_iris_pipeline.simulator.afterglow import RELEASE
from liger_iris_pipeline.simulator.detector import (
    DetectorTruth,
    curve_scale,
    draw_detector,
    linear_to_measured,
    saturation_level,
)

__all__ = ["RampMakersCell", "compare", "groups", "measure"]

Float64 = npt.NDArray[np.float64]
Planes = Mapping[str, Mapping[str, Any]]

NOUTPUTS = 4
LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8)
"""Parts of full well at which linearity is judged."""
MOMENTS = (60.0, 300.0, 1000.0, 3600.0)
"""Times after light at which persistence is judged [s]."""
REPORT = Limit(-math.inf, math.inf, "report")


@dataclass(frozen=True)
class RampMakersCell:
    """Calibration ramps of one simulated detector, and what is made of them.

    Attributes
    ----------
    size : int
        Side of the detector [pixel].
    seed : int
        Seed of the night.
    types : tuple of str
        References to make, in that order.
    ipc, persistence : float
        Coupling to each neighbour, and part of the charge that is trapped.
    """

    size: int
    seed: int
    types: tuple[str, ...]
    ipc: float = 0.0
    persistence: float = 0.0

    def __str__(self) -> str:
        coupling = f", coupling {100 * self.ipc:g} % a neighbour" if self.ipc else ""
        traps = f", traps {100 * self.persistence:g} %" if self.persistence else ""
        return f"{self.size} x {self.size} pixels, seed {self.seed}{coupling}{traps}"

    def scene(self) -> Scene:
        """Give the scene: no references, no science, the exposures that are needed."""
        glow = (20, 8) if self.persistence else (0, 0)
        plan = replace(COMPLETE, lamp_off=0, standards=0, afterglows=glow[0], long_darks=glow[1])
        return Scene(
            format=Format(self.size, self.size, 4, NOUTPUTS),
            detectors=("IMG1",),
            dithers=(),
            references=False,
            calibration=plan,
            physics=DetectorPhysics(ipc=self.ipc, persistence=self.persistence),
        )


_CLASSES = {
    "saturation": "CreateSaturationPipeline",
    "linearity": "CreateLinearityPipeline",
    "gain": "CreateGainPipeline",
    "readnoise": "CreateReadNoisePipeline",
    "ipc": "CreateIPCPipeline",
    "persistence": "CreatePersistencePipeline",
}


def measure(cell: RampMakersCell, rng: np.random.Generator) -> Measured:
    """Simulate calibration ramps, make the references and compare them with the truth."""
    begin = time.perf_counter()
    scene = cell.scene()
    with tempfile.TemporaryDirectory() as folder:
        night = simulate(scene, Path(folder) / "night", seed=cell.seed).folder
        made = _made(cell.types, night, Path(folder) / "refs")
    truth = draw_detector(scene, "IMG1", cell.seed)
    figures = compare(made, truth, scene)
    return Measured(cell, figures, int((truth.bad == 0).sum()), time.perf_counter() - begin)


def _made(types: Sequence[str], night: Path, out: Path) -> dict[str, dict[str, Any]]:
    """Make references of the reads of a folder, and read them back."""
    from liger_iris_pipeline.calibration import Store
    from liger_iris_pipeline.pipelines.inputs import raw_exposures, raw_files

    exposures = raw_exposures(raw_files([night]), skip_bad_reads=False)
    store, planes = Store(out, create=True), {}
    for name in types:
        module = importlib.import_module(f"liger_iris_pipeline.pipelines.make_{name}")
        maker = getattr(module, _CLASSES[name])(refs=str(out))
        model = maker.run(*maker.inputs(exposures))
        with fits.open(store.add(model.save, model.header_mapping()).path) as hdus:
            planes[name] = {h.name: np.array(h.data) for h in hdus[1:] if h.data is not None}
    return planes


def compare(made: Planes, truth: DetectorTruth, scene: Scene) -> dict[str, Figure]:
    """Give the figures of the references that were made.

    Parameters
    ----------
    made : mapping
        Type to planes by HDU name.
    truth : DetectorTruth
        The detector.
    scene : Scene
        The scene.

    Returns
    -------
    dict of str to Figure
        Figures of the types that are there.
    """
    figures: dict[str, Figure] = {}
    if "gain" in made:
        figures |= _gain(made["gain"], truth)
    if "readnoise" in made:
        figures |= _read_noise(made["readnoise"], truth, scene)
    if "linearity" in made:
        figures |= _linearity(made["linearity"], truth, scene)
    if "saturation" in made and not scene.physics.ipc:
        figures |= _saturation(made["saturation"], truth, scene)
    if "ipc" in made:
        a = scene.physics.ipc
        kernel = np.array([[0.0, a, 0.0], [a, 1.0 - 4.0 * a, a], [0.0, a, 0.0]])
        away = np.abs(made["ipc"]["KERNEL"] - kernel)
        away[1, 1] = 0.0
        figures["kernel"] = Figure(float(away.max()), float(np.max(made["ipc"]["ERR"][0])))
    if "persistence" in made and scene.physics.persistence:
        figures["persistence"] = _persistence(made["persistence"]["TRAPS"], scene)
    return figures


def _by_output(values: Float64, good: npt.NDArray[np.bool_]) -> list[Float64]:
    """Give the good values of each output."""
    width = values.shape[-1] // NOUTPUTS
    cuts = [slice(start, start + width) for start in range(0, values.shape[-1], width)]
    return [values[..., cut][good[:, cut]] for cut in cuts]


def _gain(made: Mapping[str, Any], truth: DetectorTruth) -> dict[str, Figure]:
    """Worst output: gain against the mean of its pixels [%]."""
    good = truth.bad == 0
    mine = [float(np.mean(part)) for part in _by_output(made["SCI"].astype(np.float64), good)]
    true = [float(np.mean(part)) for part in _by_output(truth.gain.astype(np.float64), good)]
    error = float(np.median(made["ERR"] / made["SCI"]))
    worst = max(abs(m / t - 1.0) for m, t in zip(mine, true, strict=True))
    return {"gain": Figure(100.0 * worst, 100.0 * error)}


def _read_noise(made: Mapping[str, Any], truth: DetectorTruth, scene: Scene) -> dict[str, Figure]:
    """Worst median of an output [%]; scatter of the pixels over their sampling error."""
    good = truth.bad == 0
    digitised = np.hypot(truth.read_noise, truth.gain / math.sqrt(12.0)).astype(np.float64)
    ratio = made["SCI"] / digitised - 1.0
    outputs = _by_output(ratio, good)
    plan = scene.calibration
    ramps = ((plan.darks * scene.nramp, scene.pattern.nread), (plan.long_darks, plan.long_nframe))
    freedom = sum(number * (nread - 1) for number, nread in ramps)
    sampling = 1.0 / math.sqrt(2.0 * freedom)
    worst = max((abs(float(np.median(part))) for part in outputs), default=math.nan)
    count = min(part.size for part in outputs)
    scatter = float(np.sqrt(np.mean(ratio[good] ** 2))) / sampling
    return {
        "noise": Figure(100.0 * worst, 100.0 * 1.25 * sampling / math.sqrt(count)),
        "noise pixel": Figure(scatter, scatter / math.sqrt(2.0 * good.sum())),
    }


def _linearity(made: Mapping[str, Any], truth: DetectorTruth, scene: Scene) -> dict[str, Figure]:
    """Worst median of an output at any level, and the largest scatter of pixels [%]."""
    good = truth.bad == 0
    scale = curve_scale(scene.physics, truth.nominal_gain)
    c = made["COEFFS"].astype(np.float64)
    shift = (truth.pedestal - made["PEDESTAL"]).astype(np.float64)
    worst, scatter, error = 0.0, 0.0, 0.0
    for level in LEVELS:
        linear = (np.float32(level * scene.physics.full_well) / truth.gain).astype(np.float32)
        x = linear_to_measured(linear, truth.curvature, scale) + shift
        grown = sum(c[k] * (x**k - shift**k) for k in range(len(c)))
        ratio = np.asarray(grown / linear - 1.0)
        for part in _by_output(ratio, good):
            spread = float(1.4826 * np.median(np.abs(part - np.median(part))))
            worst = max(worst, abs(float(np.median(part))))
            scatter = max(scatter, spread)
            error = max(error, 1.25 * spread / math.sqrt(part.size))
    return {
        "linearity": Figure(100.0 * worst, 100.0 * error),
        "linearity pixel": Figure(100.0 * scatter),
    }


def _saturation(made: Mapping[str, Any], truth: DetectorTruth, scene: Scene) -> dict[str, Figure]:
    """Good pixels whose level is above the true one; how far the others are below [%]."""
    good = truth.bad == 0
    true = saturation_level(truth, scene).astype(np.float64)
    short = (1.0 - made["SCI"] / true)[good]
    return {
        "above": Figure(float((short < 0.0).sum())),
        "short": Figure(100.0 * float(short.mean()), 100.0 * float(short.std()) / short.size**0.5),
    }


def _persistence(traps: Any, scene: Scene) -> Figure:
    """Least part of the persistence that is predicted at any moment [%]."""
    tau = np.array(RELEASE)
    true = [np.sum(scene.physics.persistence / len(tau) / tau * np.exp(-t / tau)) for t in MOMENTS]
    mine = [
        np.sum(traps["amplitude"] / traps["tau_s"] * np.exp(-t / traps["tau_s"])) for t in MOMENTS
    ]
    left = max(abs(m / t - 1.0) for m, t in zip(mine, true, strict=True))
    error = float(np.max(traps["err"][-1:] / np.maximum(traps["amplitude"][-1:], 1e-9)))
    return Figure(100.0 * (1.0 - float(left)), 100.0 * error)


_ROWS: tuple[tuple[str, str, Limit, str], ...] = (
    ("gain, worst output", "gain", at_most(1.0), "%"),
    ("read noise, worst median of an output", "noise", at_most(1.0), "%"),
    ("read noise of a pixel over its sampling error", "noise pixel", at_most(1.2), ""),
    ("linearity to 80 % of full well, worst output and level", "linearity", at_most(0.1), "%"),
    ("linearity, scatter of single pixels", "linearity pixel", REPORT, "%"),
    ("pixels whose saturation level is too high", "above", within(0.0, 0.0), ""),
    ("saturation level, mean distance below the true one", "short", REPORT, "%"),
    ("coupling, worst neighbour", "kernel", at_most(0.001), ""),
    ("persistence predicted from 60 s to an hour, least", "persistence", at_least(90.0), "%"),
)


def _judge(measured: Sequence[Measured]) -> list[Row]:
    """Judge every figure of every cell."""
    rows = []
    for one in measured:
        coupled = " with coupling" if one.cell.ipc else ""
        if one.error:
            rows.append(row(f"references{coupled} made", one, "", within(1.0, 0.0)))
        rows += [
            row(f"{name}{coupled}", one, key, limit, unit)
            for name, key, limit, unit in _ROWS
            if key in one.figures
        ]
    return rows


def groups(*, quick: bool, seed: int) -> list[Group]:
    """Give the group of the references made from raw ramps.

    Parameters
    ----------
    quick : bool
        Whether to take a quarter of the pixels, and leave coupling kernel and persistence out.
    seed : int
        Seed of the nights.

    Returns
    -------
    list of Group
        Two cells: a plain detector, and one with coupling and traps.
    """
    size = 256 if quick else 512
    first = ("saturation", "linearity", "gain")
    cells = (
        RampMakersCell(size, seed, (*first, "readnoise")),
        RampMakersCell(size, seed, first, ipc=0.015)
        if quick
        else RampMakersCell(size, seed, (*first, "ipc", "persistence"), 0.015, 0.01),
    )
    about = (
        "Flat ramps beyond full well, flats and darks of one simulated detector without any reference, through the "
        "makers; the references against the detector's true maps. The gain of an output is compared with the mean of "
        "its pixels; read noise with the true one and the noise of digitisation, which every read has; linearity as "
        "charge above the empty pixel, median over the pixels of an output, with the scatter of single pixels beside "
        "it; the sampling error of a pixel's noise is 1 / sqrt(2 n) for n differences of reads. With coupling a full "
        "pixel shows what its neighbours hold, so that a level of its own is not defined and not judged."
    )
    return [Group("calibrations: ramps", about, cells, measure, _judge)]
