"""Baseline, AVX2 and AVX-512 give the same bits; what the machine lacks is refused by name."""

from pathlib import Path

import numpy as np
import pytest

import iris_readout
from oracles.ramp import simulate_reads

NEEDS = {
    "baseline": set(),
    "avx2": {"avx2", "fma"},
    "avx512": {"avx512f", "avx512dq", "avx512bw", "avx512vl"},
}
SHAPE = (21, 67)  # no multiple of any vector
TIMES = np.cumsum([0.5, 1.5, 1.0, 1.5, 2.5, 1.5, 1.5, 1.5, 0.7, 1.5, 1.5, 1.5])
OPTIONS = {"gain": 2.0, "read_noise": 10.0, "ref_pixels": 0, "saturation": 30000}


def flags_of_the_processor():
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return None
    return next((set(line.split()) for line in lines if line.startswith("flags")), None)


def require(isa):
    flags = flags_of_the_processor()
    if isa != "baseline" and (flags is None or not NEEDS[isa] <= flags):
        pytest.skip(f"this processor has no {isa}")


@pytest.fixture(name="reads", scope="module")
def fixture_reads():
    rng = np.random.default_rng(20260306)
    rate = 10 ** rng.uniform(-1, 3.2, SHAPE)
    reads = simulate_reads(rng, rate, TIMES, 10.0, gain=2.0, start=2000.0).astype(int)
    for y, x in np.argwhere(rng.random(SHAPE) < 0.1):
        reads[rng.integers(1, len(TIMES)) :, y, x] += rng.integers(30, 4000)
    reads[5:, 3, 4] = 65535
    return np.clip(reads, 0, 65535).astype(np.uint16)


def linearity():
    coeffs = np.zeros((5, *SHAPE), np.float32)
    coeffs[1:] = np.array([1.0, 2e-6, 1e-11, 1e-17], np.float32)[:, None, None]
    return coeffs, np.full(SHAPE, 45000, np.float32), np.full(SHAPE, 1000, np.float32)


CASES = {
    "likelihood": {"estimator": "likelihood"},
    "likelihood without jumps": {"estimator": "likelihood", "jump_sigma": None},
    "likelihood with linearity": {"estimator": "likelihood", "linearity": linearity()},
    "likelihood with growth": {"estimator": "likelihood", "saturation_grow": 2},
    "likelihood of resultants": {"estimator": "likelihood", "memory_limit": 4 * 2 * 21 * 67},
    "likelihood with weights": {"estimator": "likelihood", "weights": np.linspace(0, 1, 12)},
    "least squares": {"estimator": "ols"},
    "least squares with linearity": {"estimator": "ols", "linearity": linearity()},
    "cds": {"mode": "cds"},
    "mcds": {"mode": "mcds", "nfowler": 3, "linearity": linearity()},
}


@pytest.mark.parametrize("isa", ["avx2", "avx512", "auto"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())
def test_the_same_bits(reads, case, isa):
    if isa != "auto":
        require(isa)
    expected = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **case, isa="baseline")
    got = iris_readout.fit_ramp(reads, TIMES, **OPTIONS, **case, isa=isa)
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)
    for name in expected.events.dtype.names:
        np.testing.assert_array_equal(got.events[name], expected.events[name], err_msg=name)


@pytest.mark.parametrize("isa", ["avx2", "avx512", "auto"])
def test_the_same_bits_with_a_reference_border(isa):
    if isa != "auto":
        require(isa)
    rng = np.random.default_rng(5)
    reads = simulate_reads(rng, np.full((40, 96), 50.0), TIMES, 10.0, gain=2.0, start=3000.0)
    options = {"gain": 2.0, "read_noise": 10.0, "noutputs": 8, "side_rows": 5}
    expected = iris_readout.fit_ramp(reads, TIMES, **options, isa="baseline", nthreads=1)
    got = iris_readout.fit_ramp(reads, TIMES, **options, isa=isa, nthreads=2)
    for name in iris_readout.PLANES:
        np.testing.assert_array_equal(getattr(got, name), getattr(expected, name), err_msg=name)


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_the_set_asked_for_is_used(isa):
    require(isa)
    fitter = iris_readout.RampFitter(SHAPE, **OPTIONS, isa=isa)
    assert fitter.isa == isa


@pytest.mark.parametrize("isa", ["baseline", "avx2", "avx512"])
def test_the_environment_names_a_set_for_auto(monkeypatch, isa):
    require(isa)
    monkeypatch.setenv("IRIS_ISA", isa)
    assert iris_readout.RampFitter(SHAPE, **OPTIONS).isa == isa
    assert iris_readout.RampFitter(SHAPE, **OPTIONS, isa="baseline").isa == "baseline"


def test_auto_takes_the_best(monkeypatch):
    monkeypatch.delenv("IRIS_ISA", raising=False)
    flags = flags_of_the_processor()
    if flags is None:
        pytest.skip("nothing tells what this processor has")
    best = next(name for name in ("avx512", "avx2", "baseline") if NEEDS[name] <= flags)
    assert iris_readout.RampFitter(SHAPE, **OPTIONS, isa="auto").isa == best


@pytest.mark.parametrize("isa", ["avx2", "avx512"])
def test_a_set_that_is_not_there_is_refused(monkeypatch, isa):
    flags = flags_of_the_processor()
    if flags is None or NEEDS[isa] <= flags:
        pytest.skip(f"this processor has {isa}, or nothing tells")
    with pytest.raises(
        iris_readout.InvalidValueError, match=rf"got '?{isa}.*expected|got '?{isa}.*does not have"
    ):
        iris_readout.RampFitter(SHAPE, **OPTIONS, isa=isa)


def test_an_unknown_set_is_refused():
    with pytest.raises(
        iris_readout.InvalidValueError, match=r"isa: got 'neon'.*baseline.*avx2.*avx512"
    ):
        iris_readout.RampFitter(SHAPE, **OPTIONS, isa="neon")
