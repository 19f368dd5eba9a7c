"""A night is delivered read by read, in the order in which the detectors finish."""

from itertools import pairwise

import pytest

from liger_iris_pipeline.errors import UsageError
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    Format,
    ReadPattern,
    Scene,
    StarField,
    deliver,
    simulate,
    timetable,
)
from liger_iris_pipeline.simulator.play import LONGEST_PAUSE_S

SCENE = Scene(
    format=Format(32, 32, 4, 4),
    stars=StarField(count=3),
    dithers=((0.0, 0.0), (0.05, 0.0)),
    calibration=CalibrationPlan(darks=1, flats=0),
    pattern=ReadPattern(nframe=3),
    detectors=("IMG1", "IMG2"),
)


class Clock:
    """A time that passes only where it is waited for."""

    def __init__(self):
        self.now, self.waits = 0.0, []

    def __call__(self):
        return self.now

    def sleep(self, seconds):
        self.waits.append(seconds)
        self.now += seconds


@pytest.fixture
def night(tmp_path):
    return simulate(SCENE, tmp_path / "live" / ".night", seed=1)


def test_every_read_comes_when_it_is_due(night, tmp_path):
    plan = timetable(night.reads)
    dues = [due for due, _ in plan]
    assert dues == sorted(dues)
    assert dues[0] == 0.0
    pauses = [after - before for before, after in pairwise(dues)]
    assert max(pauses) == LONGEST_PAUSE_S  # from the afternoon to the night
    clock, seen, out = Clock(), [], tmp_path / "live"

    def progress(done, total):
        present = {path.name for path in out.glob("*.fits")}
        seen.append((clock.now, done, total, len(present)))

    made = deliver(night.folder, out, speed=4.0, progress=progress, sleep=clock.sleep, clock=clock)
    assert [path.name for path in made] == [path.name for _, path in plan]
    assert seen == [
        (pytest.approx(due / 4.0), at + 1, len(plan), at + 1) for at, due in enumerate(dues)
    ]
    assert not night.folder.exists()
    assert (out / "refs").is_dir()
    assert (out / "truth").is_dir()


def test_the_two_detectors_finish_together(night):
    plan = timetable([path for path in night.reads if "_SCI_" in path.name])
    for (one, first), (two, second) in zip(plan[::2], plan[1::2], strict=True):
        assert one == two
        assert first.name.replace("IMG1", "IMG2") == second.name


@pytest.mark.parametrize("speed", [0.0, -1.0, float("nan")])
def test_a_speed_has_to_be_above_nothing(night, tmp_path, speed):
    with pytest.raises(UsageError, match="--play"):
        deliver(night.folder, tmp_path / "live", speed=speed)
    assert len(list(night.folder.glob("*.fits"))) == len(night.reads)
