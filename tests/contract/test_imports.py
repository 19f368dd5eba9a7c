"""What a worker does not use it does not import: start-up is part of the time to a product."""

import subprocess
import sys

import pytest

HEAVY = (
    "astropy.modeling",
    "drizzle",
    "gwcs",
    "matplotlib",
    "numba",
    "photutils",
    "scipy.interpolate",
    "scipy.ndimage",
    "scipy.optimize",
    "scipy.signal",
    "scipy.spatial",
    "scipy.stats",
    "stcal",
    "stdatamodels",
)
FRAMES = ("level1", "imager_level2")


def modules_after(statement):
    """Names of all modules of a fresh process that ran one statement."""
    code = f"{statement}\nimport sys\nprint(*sys.modules, sep='\\n')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


@pytest.mark.parametrize("pipeline", FRAMES)
def test_the_pipelines_of_frames_import_nothing_heavy(pipeline):
    found = modules_after(f"import liger_iris_pipeline.pipelines.{pipeline}")
    assert f"liger_iris_pipeline.pipelines.{pipeline}" in found
    assert not found.intersection(HEAVY)


def test_the_pipeline_of_mosaics_leaves_the_catalogues_modules_for_later():
    found = modules_after("import liger_iris_pipeline.pipelines.imager_level3")
    assert not found.intersection(HEAVY).difference({"drizzle"})


def test_the_package_itself_imports_the_standard_library_only():
    assert not modules_after("import liger_iris_pipeline").intersection({"numpy", "stpipe", *HEAVY})
    assert not modules_after("import liger_iris_pipeline.cli.main").intersection({"stpipe", *HEAVY})
