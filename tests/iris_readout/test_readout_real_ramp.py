"""A real ramp: HST WFC3/IR, WASP-12, F126N, four reads."""

import os
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

import iris_readout

ROOT = Path(__file__).resolve().parents[2]
RAMPS = Path(os.environ.get("IRIS_SHARED_DATA", ROOT.parent / "shared" / "data")) / "ramps"
READS = RAMPS / "iccz11q4q_reads_u16.fits"
CALIBRATED = RAMPS / "iccz11q4q_ima.fits"

pytestmark = [
    pytest.mark.shared,
    pytest.mark.skipif(
        not (READS.is_file() and CALIBRATED.is_file()),
        reason="the WFC3 ramp is not there; set IRIS_SHARED_DATA to the folder of real data",
    ),
]


@pytest.fixture(name="wfc3", scope="module")
def fixture_wfc3():
    """Result of the fit, and the flags of the last read."""
    with fits.open(READS) as hdus:
        cubes = [hdu.data for hdu in hdus if hdu.data is not None and hdu.data.ndim in (2, 3)]
        reads = cubes[0] if cubes[0].ndim == 3 else np.array(cubes)
        reads = np.asarray(reads, dtype=np.uint16)
    with fits.open(CALIBRATED) as hdus:
        dq = hdus["DQ", 1].data.astype(int)
    times = 0.277815 * np.arange(len(reads))
    result = iris_readout.fit_ramp(
        reads, times, gain=2.35, read_noise=14.05, ref_pixels=0, noutputs=1, jump_sigma=None
    )
    return result, dq


def test_errors_are_those_of_the_data(wfc3):
    result, dq = wfc3
    inside = np.zeros(dq.shape, bool)
    inside[5:-5, 5:-5] = True
    good = inside & (dq == 0)
    assert np.count_nonzero(good) > 50000
    rate = result.rate[good]
    error = np.sqrt(result.var_read + result.var_photon)[good]
    mad = np.median(np.abs(rate - np.median(rate)))
    assert 0.98 <= 1.4826 * mad / np.median(error) <= 1.02
    assert np.median(2 * result.chi2[good]) == pytest.approx(2 * np.log(2), abs=0.05)


def test_brightest_pixel(wfc3):
    result, _ = wfc3
    inside = np.full(result.rate.shape, -np.inf)
    inside[5:-5, 5:-5] = result.rate[5:-5, 5:-5]
    assert np.unravel_index(np.nanargmax(inside), inside.shape) == (153, 28)
    assert np.nanmax(inside) == pytest.approx(10467, abs=60)
