"""Calibration exposures, defects, coupling, traps, standards; and nights that stay as they were."""

import hashlib
from dataclasses import replace

import numpy as np
import pytest
from astropy.io import fits
from astropy.table import Table

from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.dq import Flag
from liger_iris_pipeline.simulator import (
    COMPLETE,
    CalibrationPlan,
    DetectorPhysics,
    Format,
    ReadPattern,
    Scene,
    StarField,
    simulate,
)
from liger_iris_pipeline.simulator.afterglow import RELEASE, Traps
from liger_iris_pipeline.simulator.detector import RampKey, draw_detector, expose
from liger_iris_pipeline.simulator.plan import plan_night

PLAIN = Scene(
    format=Format(64, 64, 4, 4),
    stars=StarField(count=5),
    dithers=((0.0, 0.0), (0.05, 0.02)),
    sky_offsets=((30.0, 0.0),),
    nramp=2,
    calibration=CalibrationPlan(darks=1, flats=1),
    pattern=ReadPattern(nframe=3),
    detectors=("IMG1", "IMG3"),
)
STORED = {
    "*.fits": "50175d54b2be6e1005b8c2aab8ab459ab3bed8da340db210e81365e02bdfd968",
    "refs/*.fits": "eb3158d4814b92b04421d2389ec37d610cae34cc6855904415b66860d9b58478",
    "truth/IRIS*.fits": "59b52e64df5292e980ac8b68276d2dd84849aa945ab902794caef9f91793e566",
}
"""Names and bytes of all files of the night above; demonstrations and figures rest on such nights."""

FULL = replace(
    PLAIN,
    references=False,
    dithers=((0.0, 0.0),),
    sky_offsets=(),
    nramp=1,
    detectors=("IMG1",),
    calibration=CalibrationPlan(
        darks=2, flats=2, lamp_off=1, ramps=2, long_darks=1, long_nframe=4, afterglows=5, standards=1
    ),
)  # fmt: skip


def digest(folder, pattern):
    found = hashlib.sha256()
    for path in sorted(folder.glob(pattern)):
        found.update(path.name.encode() + path.read_bytes())
    return found.hexdigest()


def test_a_plain_night_is_bit_for_bit_what_it_was(tmp_path):
    folder = simulate(PLAIN, tmp_path / "night", seed=7).folder
    assert {pattern: digest(folder, pattern) for pattern in STORED} == STORED


@pytest.fixture(scope="module")
def full(tmp_path_factory):
    return simulate(FULL, tmp_path_factory.mktemp("full") / "night", seed=2)


def test_a_night_without_references_says_what_its_calibrations_are_for(full):
    assert full.references == ()
    assert not (full.folder / "refs").exists()
    found = {}
    for path in full.reads:
        header = fits.getheader(path)
        kind = (header["IMTYPE"], header.get("CALTYPE"))
        found[kind] = found.get(kind, 0) + 1
    assert found == {
        ("FLAT", None): 10,
        ("FLAT", "LAMPOFF"): 5,
        ("FLAT", "LINEARITY"): 20,
        ("FLAT", "PERSISTENCE"): 5,
        ("DARK", None): 6,
        ("DARK", "LONG"): 4,
        ("DARK", "PERSISTENCE"): 15,
        ("STD", None): 3,
        ("SCI", None): 3,
    }
    starts = [exposure.start for exposure in plan_night(FULL)]
    ends = [exposure.end for exposure in plan_night(FULL)]
    assert all(end < start for end, start in zip(ends, starts[1:], strict=False))


def test_ramps_go_beyond_full_well_and_lamps_go_out(full):
    last = next(full.folder.glob("*-104_*FLAT*_0001-01-0010.fits"))
    before = next(full.folder.glob("*-104_*FLAT*_0001-01-0009.fits"))
    inside = np.s_[4:-4, 4:-4]
    step = fits.getdata(last).astype(float) - fits.getdata(before)
    assert np.median(np.abs(step[inside])) < 30
    dark = [fits.getdata(p).astype(float) for p in sorted(full.folder.glob("*-103_*_0001-01-*"))]
    assert abs(np.median((dark[-1] - dark[0])[inside])) < 20


def test_standards_stand_where_their_table_says(full):
    table = Table.read(full.folder / "truth" / "standards.ecsv")
    assert table.colnames == ["name", "ra", "dec", "filter", "mag_ab", "mag_vega", "err"]
    assert len(table) == 20
    np.testing.assert_allclose(table["mag_ab"] - table["mag_vega"], FULL.ab_minus_vega)
    rate = fits.getdata(next(full.folder.glob("truth/*_STD_0001_rate.fits")))
    assert rate.max() > 20 * FULL.sky


def test_the_command_makes_what_all_makers_need(monkeypatch, tmp_path, capsys):
    asked = {}

    class Done:
        reads = ()

    def instead(scene, out, **options):
        asked.update(options, scene=scene)
        return Done()

    monkeypatch.setattr("liger_iris_pipeline.simulator.simulate", instead)
    assert main(["simulate", "imager", "--out", str(tmp_path), "--seed", "1", "--no-refs"]) == 0
    assert asked["scene"].references is False
    assert asked["scene"].calibration == COMPLETE
    assert main(["simulate", "imager", "--out", str(tmp_path), "--seed", "1"]) == 0
    assert asked["scene"] == Scene()
    capsys.readouterr()


def one_ramp(physics, rate=1000.0, nframe=20):
    scene = Scene(format=Format(64, 64, 4, 4), physics=physics, pattern=ReadPattern(nframe=nframe))
    truth = draw_detector(scene, "IMG1", 3)
    light = rate * truth.flat + truth.dark
    hits, reads = expose(truth, scene, light, scene.pattern, RampKey(3, 1, 1, 0, 1))
    return truth, np.stack([read.counts for read in reads]).astype(float), hits


QUIET = DetectorPhysics(
    cosmic_ray_rate=0.0, drift=0.0, column_drift=0.0, dead_fraction=0.0, hot_fraction=0.0
)


def test_defects_are_drawn_beside_the_others():
    plain, _, _ = one_ramp(QUIET)
    truth, reads, _ = one_ramp(replace(QUIET, cold_fraction=0.02, telegraph_fraction=0.02), 0.0)
    cold = (truth.bad & Flag.COLD) > 0
    response = truth.flat[cold] / plain.flat[cold]
    assert 30 < cold.sum() < 130
    assert response.min() >= 0.05
    assert response.max() <= 0.45
    np.testing.assert_array_equal(truth.flat[~cold], plain.flat[~cold])
    jumping = (truth.bad & Flag.TELEGRAPH) > 0
    scatter = np.diff(reads, axis=0).std(axis=0)
    # steps of 60 e- one time in three, besides 9 e- of noise in both reads
    expected = np.sqrt(2 * 81 + 0.3 * 3600) / truth.nominal_gain
    assert np.median(scatter[jumping]) == pytest.approx(expected, rel=0.25)
    assert np.median(scatter[~jumping]) == pytest.approx(np.sqrt(162) / 3.04, rel=0.1)


def test_coupling_keeps_charge_and_the_border_clean():
    plain, alone, _ = one_ramp(replace(QUIET, nonlinearity=0.0))
    truth, shared, _ = one_ramp(replace(QUIET, nonlinearity=0.0, ipc=0.02))
    border = np.ones(truth.bad.shape, bool)
    border[4:-4, 4:-4] = False
    np.testing.assert_array_equal(alone[:, border], shared[:, border])
    away = (shared - alone)[-1, 4:-4, 4:-4] * truth.gain[4:-4, 4:-4]
    assert 5.0 < away.std() < 200.0
    assert abs(away.sum()) < 5 * away.std()
    assert plain.name == truth.name


def test_row_noise_is_common_to_a_row():
    _, quiet, _ = one_ramp(QUIET, 0.0)
    _, noisy, _ = one_ramp(replace(QUIET, row_noise=20.0), 0.0)
    rows = (noisy - quiet).reshape(20, 64, 64)
    assert np.abs(rows - rows[..., :1]).max() <= 1.0  # digitised twice
    assert rows[..., 0].std() == pytest.approx(20.0, rel=0.35)


def test_traps_give_back_what_they_took():
    traps = Traps((1, 1), 0.01)
    traps.expose(np.full((1, 1), 5e4, np.float32), 100.0)
    total = float(traps.release(100.0, 0.0, 5e4)[0, 0]) * 5e4
    assert total == pytest.approx(500.0, rel=1e-4)
    expected = sum(100.0 / tau * np.exp(-60.0 / tau) for tau in RELEASE)
    assert float(traps.release(130.0, 29.9, 30.1)[0, 0]) == pytest.approx(expected, rel=1e-3)
