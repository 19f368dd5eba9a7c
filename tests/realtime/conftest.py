"""A small night with its masters, and watches of it in processes of their own."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time

import pytest

from liger_iris_pipeline.cli.main import main
from liger_iris_pipeline.simulator import (
    CalibrationPlan,
    Format,
    ReadPattern,
    Scene,
    StarField,
    simulate,
)

SCENE = Scene(
    format=Format(96, 96, 4, 4),
    stars=StarField(count=20, faintest=500.0, brightest=30_000.0),
    dithers=((0.0, 0.0), (0.05, -0.04)),
    sky_offsets=((30.0, 0.0),),
    calibration=CalibrationPlan(darks=3, flats=3),
    pattern=ReadPattern(nframe=4),
    detectors=("IMG1", "IMG2"),
)
COMMAND = (sys.executable, "-m", "liger_iris_pipeline.cli.main")


@pytest.fixture(scope="session")
def night(tmp_path_factory):
    """Folder of a small night; it is only read."""
    return simulate(SCENE, tmp_path_factory.mktemp("night") / "raw", seed=5).folder


@pytest.fixture(scope="session")
def refs(night, tmp_path_factory):
    """Store with the night's masters."""
    out = tmp_path_factory.mktemp("store") / "refs"
    assert main(["calibrate", str(night), "--out", str(out)]) == 0
    return out


@pytest.fixture(scope="session")
def reads(night):
    """Reads of the science and sky exposures, by exposure."""
    found = {}
    for path in sorted(night.glob("*_LVL0_*.fits")):
        if "_SCI_" in path.name or "_SKY_" in path.name:
            found.setdefault(path.name.partition("-01-")[0], []).append(path)
    return found


class Watched:
    """A folder, and a watch of it."""

    def __init__(self, folder, refs):
        self.folder, self.refs, self.out = folder / "raw", refs, folder / "out"
        self.folder.mkdir()
        self.log = folder / "log"
        self.process = None

    def start(self, *options, idle=30, wait=1):
        """Begin to watch; end when idle."""
        with self.log.open("ab") as log:
            command = [*COMMAND, "watch", self.folder, "--out", self.out, "--refs", self.refs]
            command += ["--idle", str(idle), "--exit-when-idle", str(wait), *options]
            self.process = subprocess.Popen(command, stdout=log, stderr=log, start_new_session=True)
        return self

    def end(self, timeout=600):
        """Wait until it has nothing left to do."""
        assert self.process.wait(timeout) == 0, self.log.read_text()

    def kill(self):
        """End it as a power cut would."""
        os.kill(self.process.pid, signal.SIGKILL)
        self.process.wait()

    def bring(self, *paths, name=None):
        """Bring reads, each whole in one instant."""
        for path in paths:
            hidden = self.folder / f".{path.name}.tmp"
            shutil.copyfile(path, hidden)
            hidden.rename(self.folder / (name or path.name))

    def until(self, condition, timeout=300):
        """Wait for something."""
        end = time.monotonic() + timeout
        while not condition():
            assert time.monotonic() < end, self.log.read_text()
            assert self.process.poll() is None, self.log.read_text()
            time.sleep(0.05)

    @property
    def products(self):
        """Names of the products, level by level."""
        return sorted(path.name for path in self.out.glob("*.fits"))

    @property
    def reasons(self):
        """Why files are not used, by name."""
        found = (self.out / "quarantine").rglob("*.reason")
        return {path.name.removesuffix(".reason"): path.read_text() for path in found}


@pytest.fixture
def watched(tmp_path, refs):
    """A folder to be watched; what still runs is ended."""
    made = Watched(tmp_path, refs)
    yield made
    if made.process is not None and made.process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(made.process.pid, signal.SIGKILL)
        made.process.wait()
