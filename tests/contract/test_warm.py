"""A worker that was made ready imports nothing for its first frame, and its steps cost nothing of their own."""

import json
import logging
import subprocess
import sys
from pathlib import Path

import headers
import numpy as np
import pytest

from liger_iris_pipeline import models
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.pipelines import warm

OVERHEAD = """
import json, logging, time
logging.disable(logging.CRITICAL)
from liger_iris_pipeline.pipelines import imager_level2, warm
from liger_iris_pipeline.steps.base import IrisStep

class NothingStep(IrisStep):
    class_alias = "iris_nothing"
    def process(self, given):
        return given

def least(count=8, runs=3):
    step, best = NothingStep(), float("inf")
    for _ in range(runs):
        start = time.process_time()
        for _ in range(count):
            step.run(None)
        best = min(best, time.process_time() - start)
    return best

before = least()
warm.warm_up()
print(json.dumps([before, least()]))
"""

FIRST_FRAME = """
import json, sys
from liger_iris_pipeline.pipelines import warm
warm.warm_up()
known = set(sys.modules)
from liger_iris_pipeline import models
from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline
model = ImagerLevel2Pipeline.call(sys.argv[1], refs=sys.argv[2], output_dir=sys.argv[3], save_results=True)
new = {name for name in set(sys.modules) - known if not name.startswith(("test_", "headers", "_pytest", "pytest"))}
print("\\n" + json.dumps([sorted(new), model.meta.cal_step.wcs]))
"""


SHAPE = (64, 64)


@pytest.fixture
def frame_and_store(tmp_path):
    """Paths of a level 1 frame and of a folder with its dark and flat."""
    refs = tmp_path / "refs"
    refs.mkdir()
    one, good = np.ones(SHAPE, np.float32), np.zeros(SHAPE, np.uint32)
    model = models.ImagerFrameModel.from_header({**headers.HEADER, "REFPIX": 4})
    model.set_frame(Frame(10 * one, one, one.copy(), good))
    model.meta.data_level = 1
    model.save(tmp_path / "frame.fits")
    for kind, value in (("DARK", 0 * one), ("FLAT", one)):
        header = {"INSTRUME": "IRIS", "DETECTOR": "IMG1", "FILTER": "ANY", "REFTYPE": kind}
        header |= {"REFVER": "1", "USEAFTER": "2026-01-01T00:00:00"}
        reference = getattr(models, f"{kind.title()}Model").from_header(header)
        reference.data, reference.err, reference.dq = value, 0.01 * one, good
        reference.save(refs / f"IRIS_IMG1_{kind}_20260101T000000_1.fits")
    return tmp_path / "frame.fits", refs


def run(code, folder, *arguments):
    """Run in a fresh process, from a file as stpipe asks of a step; give the last line that it printed."""
    script = folder / "script.py"
    script.write_text(code)
    command = [sys.executable, str(script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def test_steps_of_a_warm_worker_cost_a_fifth_or_less(tmp_path):
    cold, ready = run(OVERHEAD, tmp_path)
    assert ready < cold / 5


def test_the_first_frame_of_a_warm_worker_imports_nothing(frame_and_store, tmp_path):
    new, status = run(FIRST_FRAME, tmp_path, *frame_and_store, tmp_path)
    assert status == "COMPLETE"
    assert new == []


def test_logging_is_as_before(caplog):
    with caplog.at_level(logging.INFO):
        warm.warm_up()
        logging.getLogger("of.the.test").info("heard")
    assert caplog.messages == ["heard"]
    assert not list(Path().glob("blank*"))
