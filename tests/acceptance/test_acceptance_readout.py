"""The rows of the readout library hold for a perfect library, and fall short for spoiled ones."""

import dataclasses
import math

import numpy as np
import pytest
from scipy.stats import norm

import iris_readout
from liger_iris_pipeline.acceptance.readout import (
    accuracy,
    fit,
    jumps,
    memory,
    reference,
    saturation,
    several,
    simulate,
)
from liger_iris_pipeline.acceptance.readout.covariance import best_fit, reads_covariance
from liger_iris_pipeline.acceptance.readout.statistic import (
    fraction,
    mean,
    scatter,
    variance_ratio,
)
from liger_iris_pipeline.acceptance.table import Figure, Measured, stream
from liger_iris_pipeline.dq import Flag

CELL = fit.FitCell(30.0, 6, 100_000)


class Library:
    """A perfect library, told the true rate: what `iris_readout.fit_ramp` should come close to."""

    def __init__(self, rate, spoil=None):
        self.rate, self.spoil = rate, spoil or (lambda **planes: planes)

    def __call__(self, reads, times, *, read_noise, gain, **options):
        found = best_fit(np.asarray(times), self.rate, read_noise)
        take = np.diff(np.eye(len(times)), axis=0)
        inverse = np.linalg.inv(take @ reads_covariance(times, self.rate, read_noise) @ take.T)
        charge = reads.astype(float) * gain
        rate = np.tensordot(found.weights, charge, 1)
        left = np.diff(charge, axis=0) - rate * np.diff(times)[:, None, None]
        chi2 = np.einsum("ixy,ij,jxy->xy", left, inverse, left) / max(len(times) - 2, 1)
        shot = found.weights @ np.minimum.outer(times, times) @ found.weights
        ones = np.ones_like(rate)
        planes = {
            "rate": rate,
            "var_read": ones * (found.sigma**2 - shot * self.rate),
            "var_photon": shot * np.maximum(rate, 0),
            "photon_factor": ones * shot,
            "chi2": chi2,
            "dq": np.zeros(rate.shape, np.uint32),
            "nused": np.full(rate.shape, len(times), np.uint16),
        }
        return iris_readout.RampResult(**self.spoil(**planes), events=np.empty(0))


def judged(monkeypatch, library, cell=CELL):
    monkeypatch.setattr(fit.iris_readout, "fit_ramp", library)
    group = fit.likelihood(quick=True)
    return {r.name: r for r in group.judge([fit.measure(cell, stream(5, str(cell)))])}


def named(rows, text):
    return next(row for name, row in rows.items() if text in name)


def test_a_perfect_library_holds_every_row(monkeypatch):
    rows = judged(monkeypatch, Library(CELL.rate))
    assert len(rows) == 6
    assert all(row.passed for row in rows.values()), rows


@pytest.mark.parametrize(
    ("plane", "spoil", "text"),
    [
        ("rate", lambda p: p["rate"] * 1.002, "bias"),
        ("var_photon", lambda p: p["var_photon"] * 1.05, "pull"),
        ("chi2", lambda p: p["chi2"] * 1.03, "χ²"),
        ("chi2", lambda p: np.where(p["chi2"] == p["chi2"].max(), np.nan, p["chi2"]), "χ²"),
        ("rate", lambda p: p["rate"] + 0.3 * np.std(p["rate"]) * np.sin(1e6 * p["rate"]), "Cramér"),
        (
            "rate",
            lambda p: p["rate"] + 0.3 * np.std(p["rate"]) * np.sin(1e6 * p["rate"]),
            "scatter",
        ),
    ],
)
def test_a_spoiled_library_falls_short(monkeypatch, plane, spoil, text):
    library = Library(CELL.rate, lambda **planes: planes | {plane: spoil(planes)})
    assert not named(judged(monkeypatch, library), text).passed


def test_faint_ramps_are_judged_by_their_mean_variance(monkeypatch):
    cell = fit.FitCell(0.1, 6, 100_000)
    rows = judged(monkeypatch, Library(0.1), cell)
    assert named(rows, "below 100").passed
    assert not any("pull" in name for name in rows)
    library = Library(0.1, lambda **p: p | {"var_read": p["var_read"] * 1.2})
    assert not named(judged(monkeypatch, library, cell), "below 100").passed


@pytest.mark.parametrize("quick", [True, False])
def test_the_error_of_a_statistic_is_a_third_of_its_tolerance_at_most(quick):
    for cell in fit.likelihood(quick=quick).cells:
        assert cell.pixels >= 50_000
        assert cell.pixels % (fit.CHUNK[0] * fit.CHUNK[1]) == 0
        assert 1 / math.sqrt(2 * cell.pixels) <= 0.01 / 3
        assert math.sqrt(2 / cell.pixels) <= 0.02 / 3  # of a chi-square of one degree of freedom
    for cell in fit.two_means(quick=quick).cells:
        assert math.sqrt(2 / cell.pixels) <= 0.01 / 3
    for cell in jumps.completeness(quick=quick).cells:
        assert cell.hits >= 5000
        assert math.sqrt(0.25 / cell.hits) <= 0.02 / 3
    for cell in jumps.false_flags(quick=quick).cells:
        assert cell.nread >= 11
        assert cell.differences * jumps.FALSE_RATE >= 225
        assert 1 / math.sqrt(cell.differences * jumps.FALSE_RATE) <= 0.2 / 3


def test_the_full_grid_is_that_of_the_goals():
    cells = fit.likelihood(quick=False).cells
    assert {cell.rate for cell in cells} == {0.01, 0.1, 1.0, 10.0, 100.0, 1e3, 1e4}
    assert {cell.nread for cell in cells} == {2, 3, 4, 5, 8, 10, 16, 24, 32, 100}


def test_theory_of_a_cut():
    np.testing.assert_allclose(
        jumps.expected(np.array([5, 6, 7])), [0.691, 0.933, 0.994], atol=5e-4
    )
    assert jumps.expected(0.0) == pytest.approx(6.8e-6, rel=1e-3)


class Fitter:
    """A library that tests every difference against its own error, told the true rate."""

    def __init__(self, cell, shift=0.0):
        times = cell.times
        take = np.diff(np.eye(len(times)), axis=0)
        noise = simulate.Detector().read_noise
        inverse = np.linalg.inv(take @ reads_covariance(times, cell.rate, noise) @ take.T)
        dt = np.diff(times)
        self.test = inverse - np.outer(inverse @ dt, inverse @ dt) / (dt @ inverse @ dt)
        self.shift, self.rate = shift, cell.rate

    def __call__(self, reads, times, estimator, room=0):
        steps = np.diff(reads.astype(float), axis=0)
        deviate = np.tensordot(self.test, steps, 1) / np.sqrt(np.diag(self.test))[:, None, None]
        deviate += self.shift
        best = np.abs(deviate).argmax(axis=0)
        y, x = np.nonzero(np.abs(deviate).max(axis=0) > 4.5)
        kind = np.dtype(
            [("read", int), ("y", int), ("x", int), ("kind", "U9"), ("amplitude", float)]
        )
        events = np.zeros(y.size, kind)
        events["read"], events["y"], events["x"] = best[y, x] + 2, y, x
        events["kind"] = "JUMP"
        events["amplitude"] = deviate[best[y, x], y, x]
        rate = np.full(reads.shape[1:], self.rate)
        return iris_readout.RampResult(*[rate] * 7, events=events)


@pytest.mark.parametrize(("amplitude", "unit"), [(5.0, "σ"), (7.0, "σ"), (60.0, "e⁻")])
def test_hits_are_found_as_often_as_theory_says_by_the_explicit_test(monkeypatch, amplitude, unit):
    cell = jumps.HitCell(16, 20.0, amplitude, unit)
    monkeypatch.setattr(jumps, "_fit", Fitter(cell))
    one = jumps.measure_hits(cell, stream(5, str(cell)))
    assert one.count >= 20_000
    assert all(row.passed for row in jumps.completeness(quick=True).judge([one]))
    monkeypatch.setattr(jumps, "_fit", Fitter(cell, shift=-0.5))
    spoiled = jumps.measure_hits(cell, stream(5, str(cell)))
    held = [row.passed for row in jumps.completeness(quick=True).judge([spoiled])]
    assert held == [amplitude == 7.0]  # there 2 % is 0.6 sigma


def test_false_flags_of_the_explicit_test_are_those_of_a_normal_deviate(monkeypatch):
    cell = jumps.FalseCell(16, 5.0, 3e6)
    hits = jumps.HitCell(16, 5.0, 5.0)
    monkeypatch.setattr(jumps, "CUT", 4.5)
    monkeypatch.setattr(jumps, "_fit", Fitter(hits))
    one = jumps.measure_false(cell, stream(5, str(cell)))
    expected = 3e6 * jumps.FALSE_RATE
    value, error = one.figures["false rate"]
    assert one.figures["flags"].value == pytest.approx(expected, abs=4 * math.sqrt(expected))
    assert value == pytest.approx(1.0, abs=4 * error)


def test_false_flags_need_the_rate_and_the_count():
    def cell(value, flags):
        figures = {"false rate": Figure(value), "flags": Figure(flags)}
        return Measured(jumps.FalseCell(16, 5.0, 1e8), figures, flags)

    judge = jumps.false_flags(quick=False).judge
    assert [r.passed for r in judge([cell(1.1, 700)])] == [True, True]
    assert [r.passed for r in judge([cell(1.3, 800)])] == [False, True]
    assert [r.passed for r in judge([cell(1.0, 200)])] == [True, False]
    folded = dataclasses.replace(cell(1.9, 900), cell=jumps.FalseCell(48, 3.0, 1e8, room=24))
    assert [r.passed for r in judge([folded])] == [True, True]


def test_what_hits_leave_is_counted_for_all_hits(monkeypatch):
    cell = jumps.HitCell(16, 20.0, 8.0, hits=5000)
    sigma = best_fit(cell.times, cell.rate, simulate.Detector().read_noise, 7).sigma

    class Biased(Fitter):
        def __call__(self, *arguments):
            result = super().__call__(*arguments)
            return dataclasses.replace(result, rate=result.rate + 0.1 * sigma)

    monkeypatch.setattr(jumps, "_fit", Biased(cell))
    one = jumps.measure_hits(cell, stream(5, str(cell)))
    assert one.figures["bias"].value == pytest.approx(0.1, rel=0.1)
    assert not jumps.removal(quick=True).judge([one])[0].passed


def test_saturation_of_the_library_holds():
    cell = saturation.SaturationCell(30000.0)
    one = saturation.measure(cell, stream(5, str(cell)))
    assert one.count > 50_000
    assert all(row.passed for row in saturation.saturation(quick=True).judge([one]))


def test_saturation_that_is_missed_or_made_up_falls_short(monkeypatch):
    real = iris_readout.fit_ramp
    cell = saturation.SaturationCell(30000.0)

    def spoiled(*arguments, **options):
        result = real(*arguments, **options)
        result.dq[0, :2] ^= np.uint32(Flag.SATURATED)
        result.nused[5, 5] -= 1 if result.nused[5, 5] else 0
        return result

    monkeypatch.setattr(saturation.iris_readout, "fit_ramp", spoiled)
    one = saturation.measure(cell, stream(5, str(cell)))
    rows = saturation.saturation(quick=True).judge([one])
    assert not (rows[0].passed and rows[1].passed)


def test_rows_of_the_reference_correction_see_noise_that_is_left(monkeypatch):
    """Rows that get noise of a fifth of the white one of their own, and nothing else."""
    rng = np.random.default_rng(4)

    def charge(reads, dark, estimator, **options):
        rows = 0.2 * rng.standard_normal((dark.ny - 8, 1))
        return rows + rng.standard_normal((dark.ny - 8, 100))

    monkeypatch.setattr(reference, "_charge", charge)
    monkeypatch.setattr(reference.Dark, "reads", lambda *_: None)
    one = reference.measure(reference.RowCell("side columns", 8), rng)
    assert one.figures["ratio"].value == pytest.approx(0.2, rel=0.05)
    assert sum(one.curves["power"]) > 0


def test_levels_that_are_left_are_seen(monkeypatch):
    rng = np.random.default_rng(4)

    def charge(reads, dark, estimator, **options):
        image = np.zeros((24, 4088))
        image[:, : 1024 - 4] += 0.3
        image[:, 1024 - 4 : 2048 - 4 : 2] -= 0.2
        return image

    monkeypatch.setattr(reference, "_charge", charge)
    monkeypatch.setattr(reference.Dark, "reads", lambda *_: None)
    one = reference.measure(reference.LevelCell(2), rng)
    assert one.figures["level"].value == pytest.approx(0.3)
    assert one.figures["parity"].value == pytest.approx(0.2)
    assert [r.passed for r in reference.reference(quick=True).judge([one])] == [False, False]


def test_levels_of_the_library_hold():
    cell = reference.LevelCell(20)
    one = reference.measure(cell, stream(5, str(cell)))
    assert all(row.passed for row in reference.reference(quick=True).judge([one])), one.figures


def test_the_arithmetic_of_the_library_holds():
    group = accuracy.accuracy(quick=True)
    rows = group.judge([accuracy.measure(c, stream(5, str(c))) for c in group.cells])
    assert [row.passed for row in rows] == [True, True]


def test_combined_ramps_of_the_library_hold():
    cell = several.SeveralCell(300.0, 100_000)
    rows = several.several(quick=True).judge([several.measure(cell, stream(5, str(cell)))])
    assert len(rows) == 3
    assert all(row.passed for row in rows), rows


def test_memory_that_grows_falls_short():
    def cell(nread, peak):
        figures = {"peak": Figure(peak), "above": Figure(peak - 0.2), "rate": Figure(1.0)}
        return Measured(memory.MemoryCell("ols", 64, nread), figures)

    judge = memory.memory(quick=True).judge
    assert judge([cell(10, 1.0), cell(100, 1.04)])[0].passed
    assert not judge([cell(10, 1.0), cell(100, 1.06)])[0].passed
    broken = Measured(memory.MemoryCell("ols", 64, 100), error="killed")
    assert not judge([cell(10, 1.0), broken])[0].passed


def test_a_child_says_how_much_memory_it_took():
    one = memory.measure(memory.MemoryCell("ols", 256, 5), np.random.default_rng(0))
    assert not one.error
    assert 0.03 < one.figures["peak"].value < 1.0
    assert one.figures["rate"].value == pytest.approx(1.0, abs=0.05)
    wrong = memory.measure(memory.MemoryCell("no such", 64, 3), np.random.default_rng(0))
    assert "no such" in wrong.error


def test_statistics_have_the_errors_they_say():
    rng = np.random.default_rng(9)
    values = rng.normal(3.0, 2.0, (400, 1000))
    for statistic, truth in ((scatter, 2.0), (mean, 3.0)):
        made = [statistic(row) for row in values]
        pulls = [(value - truth) / error for value, error in made]
        assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    ratios = [variance_ratio(row + 0.1 * rng.normal(size=row.size), row) for row in values]
    pulls = [(value - 1.0025) / error for value, error in ratios]
    assert np.std(pulls) == pytest.approx(1.0, abs=0.12)
    assert ratios[0].error < 0.01  # where the variance alone is known to 4.5 %
    share = fraction(rng.random(10_000) < norm.cdf(0.5))
    assert share.value == pytest.approx(norm.cdf(0.5), abs=4 * share.error)
