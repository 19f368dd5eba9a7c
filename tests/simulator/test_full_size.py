"""A night of full detectors: what it is, and that it fits into memory."""

import json
import subprocess
import sys

import pytest
from astropy.io import fits

SCRIPT = """
import json, resource, sys
from dataclasses import replace
from pathlib import Path
from liger_iris_pipeline.simulator import CalibrationPlan, ReadPattern, named_scene, simulate

scene = replace(
    named_scene("imager", "full"),
    detectors=("IMG3",),
    dithers=((0.0, 0.0),),
    pattern=ReadPattern(nframe=3),
    calibration=CalibrationPlan(darks=0, flats=0),
)
night = simulate(scene, Path(sys.argv[1]), seed=4)
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
print(json.dumps({"peak": peak, "reads": [str(p) for p in night.reads],
                  "references": [str(p) for p in night.references]}))
"""


@pytest.mark.night
def test_a_full_detector_is_simulated_in_bounded_memory(tmp_path):
    """The goal is a peak under 3 GB; a cube of three reads alone would be 0.1 GB as counts, 0.8 GB as float64."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, str(tmp_path / "night")],
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(done.stdout)
    assert found["peak"] < 3e9
    assert len(found["reads"]) == 3
    for path in found["reads"]:
        with fits.open(path, checksum=True) as hdus:
            header = hdus[0].header
            assert hdus[0].shape == (4096, 4096)
            assert (header["NOUTPUTS"], header["REFPIX"]) == (64, 4)
            assert hdus[0].data[4:-4, 4:-4].min() > hdus[0].data[:4].min()
    shapes = set()
    for path in found["references"]:
        with fits.open(path) as hdus:
            shapes |= {hdu.shape[-2:] for hdu in hdus if hdu.is_image}
    assert shapes == {(), (4096, 4096)}
