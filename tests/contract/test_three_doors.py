"""A real ramp through the three doors of level 1: the same planes, bit for bit."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import iris_readout
from liger_iris_pipeline.pipelines.level1 import Level1Step

SHARED = Path(os.environ.get("IRIS_SHARED_DATA", Path(__file__).parents[3] / "shared" / "data"))
RAMP = SHARED / "ramps" / "iccz11q4q_reads_u16.fits"
SPACING = 277815  # us
START = 1_790_000_000_000_000  # us

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(not RAMP.exists(), reason=f"the real ramp {RAMP} is not there"),
]
PLANES = {
    "SCI": "rate",
    "VAR_RNOISE": "var_read",
    "VAR_POISSON": "var_photon",
    "DQ": "dq",
    "CHI2": "chi2",
}


@pytest.fixture(scope="module")
def reads(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wfc3")
    keywords = {
        "TELESCOP": "TMT",
        "INSTRUME": "IRIS",
        "DETECTOR": "IMG1",
        "DET_ID": "IMG1",
        "EXP_NO": 1,
        "RAMP_NO": 1,
    }
    keywords |= {
        "OBS_ID": "2026B-P001-001",
        "NUMRAMPS": 1,
        "NUMREADS": 4,
        "SAMPMODE": "UTR",
        "RST_TIME": START,
    }
    keywords |= {
        "GAIN": 2.35,
        "READNOIS": 14.05,
        "DETSIZE1": 266,
        "DETSIZE2": 266,
        "NOUTPUTS": 1,
        "REFPIX": 0,
    }
    keywords |= {
        "SUBARRAY": "FULL",
        "IMTYPE": "SCI",
        "FILTER": "Jbb",
        "INSTMODE": "IMG",
        "FRM_TIME": SPACING,
    }
    keywords |= {"DATE-OBS": "2026-10-14T10:00:00"}
    for number, counts in enumerate(fits.getdata(RAMP), 1):
        hdu = fits.PrimaryHDU(counts.astype(np.uint16))
        hdu.header.update(
            keywords | {"READ_NO": number, "READTIME": START + SPACING * (number - 1)}
        )
        hdu.writeto(folder / f"read{5 - number}.fits")
    return folder


def assert_same_planes(path, planes):
    with fits.open(path) as hdus:
        for name, plane in PLANES.items():
            np.testing.assert_array_equal(hdus[name].data, getattr(planes, plane), err_msg=name)
        variance = planes.var_read.astype(np.float64) + planes.var_photon
        np.testing.assert_allclose(hdus["ERR"].data, np.sqrt(variance), rtol=2e-7)
        return hdus["ERR"].data.copy()


@pytest.fixture(scope="module")
def step_errors(reads, planes, tmp_path_factory):
    """ERR of what `strun iris_level1` writes, whose other planes are the library's."""
    out = tmp_path_factory.mktemp("strun")
    options = ["--jump_sigma=0", f"--refs={reads}", f"--output_dir={out}"]
    program = Path(sys.executable).with_name("strun")
    command = [program, "iris_level1", str(reads / "read2.fits"), *options]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    (product,) = out.glob("*.fits")
    assert product.name == "2026B-P001-001_IRIS_IMG1_SCI_LVL1_0001.fits"
    return assert_same_planes(product, planes)


@pytest.fixture(scope="module")
def planes(reads):
    counts = fits.getdata(RAMP).astype(np.uint16)
    times = np.arange(4) * SPACING / 1e6
    options = {
        "ref_pixels": 0,
        "noutputs": 1,
        "gain": 2.35,
        "read_noise": 14.05,
        "jump_sigma": None,
    }
    return iris_readout.fit_ramp(counts, times, mode="utr", **options)


def test_the_step_gives_the_planes_of_the_library(reads, planes):
    model = Level1Step(jump_sigma=0.0, refs=str(reads)).run(str(reads / "read2.fits"))
    got = {"SCI": model.data, "VAR_RNOISE": model.var_rnoise, "VAR_POISSON": model.var_poisson}
    for name, plane in (got | {"DQ": model.dq, "CHI2": model.chi2}).items():
        np.testing.assert_array_equal(plane, getattr(planes, PLANES[name]))


def test_strun_writes_the_planes_of_the_library(step_errors):
    assert np.all(step_errors[np.isfinite(step_errors)] >= 0)


def test_the_command_gives_the_planes_of_the_library(reads, planes, step_errors, tmp_path):
    command = os.environ.get("IRIS_READOUT_COMMAND") or shutil.which("iris-readout")
    if not command or not Path(command).exists():
        pytest.skip("the command iris-readout was not built (cfitsio is missing)")
    files = sorted(str(path) for path in reads.glob("*.fits"))
    product = tmp_path / "c.fits"
    subprocess.run(
        [command, "--mode", "utr", "--jump-sigma", "0", "-o", product, *files],
        check=True,
        capture_output=True,
    )
    np.testing.assert_array_equal(assert_same_planes(product, planes), step_errors)
