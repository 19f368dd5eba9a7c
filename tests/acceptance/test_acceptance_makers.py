"""The rows of the references made from raw ramps hold for the truth, and fall short for spoiled ones."""

import numpy as np
import pytest

from liger_iris_pipeline.acceptance import makers
from liger_iris_pipeline.acceptance.table import Measured
from liger_iris_pipeline.simulator.afterglow import RELEASE
from liger_iris_pipeline.simulator.detector import curve_scale, draw_detector, saturation_level

CELL = makers.RampMakersCell(128, 1, (), ipc=0.015, persistence=0.01)
PLAIN = makers.RampMakersCell(128, 1, ())


def perfect(cell):
    scene = cell.scene()
    truth = draw_detector(scene, "IMG1", 1)
    rng = np.random.default_rng(1)
    c2, c3 = curve_scale(scene.physics, truth.nominal_gain)
    coeffs = np.zeros((4, *truth.gain.shape))
    coeffs[1], coeffs[2], coeffs[3] = 1.0, truth.curvature * c2, truth.curvature * c3
    plan = scene.calibration
    count = plan.darks * (scene.pattern.nread - 1) + plan.long_darks * (plan.long_nframe - 1)
    noise = np.hypot(truth.read_noise, truth.gain / np.sqrt(12.0))
    noise = noise * (1 + rng.standard_normal(noise.shape) / np.sqrt(2 * count))
    a = scene.physics.ipc
    traps = np.array(
        [(t, scene.physics.persistence / 5, 1e-5) for t in RELEASE],
        dtype=[("tau_s", "f8"), ("amplitude", "f8"), ("err", "f8")],
    )
    made = {
        "gain": {"SCI": truth.gain, "ERR": 0.002 * truth.gain},
        "readnoise": {"SCI": noise},
        "linearity": {"COEFFS": coeffs, "PEDESTAL": truth.pedestal},
        "saturation": {"SCI": saturation_level(truth, scene) - 50.0},
        "ipc": {
            "KERNEL": np.array([[0, a, 0], [a, 1 - 4 * a, a], [0, a, 0]]),
            "ERR": np.full((3, 3), 1e-4),
        },
        "persistence": {"TRAPS": traps},
    }
    return made, truth, scene


def judged(cell, made, truth, scene):
    (group,) = makers.groups(quick=True, seed=1)
    return {r.name: r for r in group.judge([Measured(cell, makers.compare(made, truth, scene))])}


@pytest.mark.parametrize("cell", [CELL, PLAIN])
def test_the_truth_holds_every_row(cell):
    rows = judged(cell, *perfect(cell))
    assert len(rows) == (7 if cell.ipc else 8)
    assert all(row.passed for row in rows.values()), rows


def spoil(made, kind, plane, change):
    made[kind][plane] = change(np.array(made[kind][plane]))


def one_output(value, factor=1.02):
    value = value.copy()
    value[..., :32] *= factor
    return value


@pytest.mark.parametrize(
    ("kind", "plane", "change", "row"),
    [
        ("gain", "SCI", one_output, "gain, worst output"),
        ("readnoise", "SCI", one_output, "read noise, worst median"),
        ("readnoise", "SCI", lambda x: np.where(np.arange(128) % 2, x * 1.12, x * 0.88), "a pixel"),
        ("linearity", "COEFFS", lambda x: one_output(x, 1.001001), "linearity to 80 %"),
        ("linearity", "COEFFS", lambda x: x * np.array([1, 1, 0, 1])[:, None, None], "to 80 %"),
        ("saturation", "SCI", lambda x: x + 51.0, "too high"),
        ("ipc", "KERNEL", lambda x: x + 0.0011, "coupling, worst"),
        ("persistence", "TRAPS", lambda x: x[:4], "persistence predicted"),
    ],
)
def test_a_spoiled_reference_falls_short(kind, plane, change, row):
    cell = CELL if kind in ("ipc", "persistence") else PLAIN
    made, truth, scene = perfect(cell)
    spoil(made, kind, plane, change)
    rows = judged(cell, made, truth, scene)
    assert not next(r for name, r in rows.items() if row in name).passed


def test_a_cell_that_failed_falls_short():
    (group,) = makers.groups(quick=True, seed=1)
    (row,) = group.judge([Measured(PLAIN, error="no flats")])
    assert not row.passed
    assert "no flats" in row.detail
    assert len(makers.groups(quick=False, seed=1)[0].cells) == 2
