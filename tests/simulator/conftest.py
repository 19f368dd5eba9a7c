"""Two small nights that the tests of this folder share."""

from dataclasses import replace

import pytest

from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    DetectorPhysics,
    Format,
    ReadPattern,
    Scene,
    StarField,
    simulate,
    truth,
)

SMALL = Scene(
    format=Format(160, 128, 4, 4),
    stars=StarField(count=60, brightest=400_000.0, slope=0.3),
    dithers=((0.0, 0.0), (0.1013, -0.0871), (-0.0729, 0.0917)),
    calibration=CalibrationPlan(darks=3, flats=2),
    pattern=ReadPattern(nframe=6),
    detectors=("IMG1", "IMG3"),
)

STRAIGHT = replace(
    SMALL,
    detectors=("IMG2",),
    physics=DetectorPhysics(nonlinearity=0.0, cosmic_ray_rate=0.0),
    stars=StarField(count=8, faintest=20_000.0, brightest=20_001.0),
    dithers=((0.0, 0.0),),
    sky_offsets=((30.0, 0.0),),
    nramp=2,
)


@pytest.fixture(scope="session")
def small(tmp_path_factory):
    """A rotated field on two detectors, with every effect."""
    scene = replace(SMALL, position_angle=37.0, nominal_wcs=True)
    return simulate(scene, tmp_path_factory.mktemp("small"), seed=11)


@pytest.fixture(scope="session")
def small_truth(small):
    return truth.load(small.folder)


@pytest.fixture(scope="session")
def straight(tmp_path_factory):
    """Equal stars on one linear detector without cosmic rays."""
    return simulate(STRAIGHT, tmp_path_factory.mktemp("straight"), seed=5)


@pytest.fixture(scope="session")
def straight_truth(straight):
    return truth.load(straight.folder)


@pytest.fixture(scope="session")
def quick():
    """A scene of 18 tiny reads."""
    return replace(
        SMALL,
        format=Format(64, 64, 4, 4),
        stars=replace(SMALL.stars, count=5),
        dithers=((0.0, 0.0), (0.05, 0.02)),
        pattern=ReadPattern(nframe=3),
        calibration=CalibrationPlan(darks=1, flats=0),
    )
