"""Make a long-lived process ready, so that its first frame costs what every other one does.

Two things cost a process time that is not that of pixels. Parts of libraries load when they are first used; and
stpipe collects garbage at every step, which walks over all objects that those libraries made, again and again.
"""

from __future__ import annotations

import gc
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from liger_iris_pipeline import models
from liger_iris_pipeline.kinds import Frame
from liger_iris_pipeline.pipelines import level1
from liger_iris_pipeline.pipelines.imager_level2 import ImagerLevel2Pipeline

__all__ = ["freeze", "warm_up"]

_SHAPE = (64, 64)
_HEADER = {
    "INSTRUME": "IRIS",
    "DETECTOR": "IMG1",
    "FILTER": "K",
    "RA": 0.0,
    "DEC": 0.0,
    "PA": 0.0,
    "DETSIZE1": _SHAPE[1],
    "DETSIZE2": _SHAPE[0],
    "REFPIX": 4,
}


def warm_up() -> None:
    """Load all that the pipelines of frames use, then :func:`freeze`.

    A blank frame goes through level 2 and into a file of a temporary folder, so that whatever a step imports is
    imported. Call it once in each worker, before its first frame.
    """
    with _quiet(), tempfile.TemporaryDirectory(prefix="iris-drs-") as folder:
        level1.Level1Step()
        path = Path(folder, "blank.fits")
        _blank_frame().save(path)
        with models.open(path) as frame:
            _blank_pipeline().run(frame).save(path, overwrite=True)
    freeze()


def freeze() -> None:
    """Collect garbage once, and leave what lives now out of all later collections.

    Eight steps that do nothing then take milliseconds together instead of most of a second. What is alive at the
    call is not collected should it become part of a cycle later, so call it when libraries are loaded and no frames
    are held; it may be called again.
    """
    gc.collect()
    gc.freeze()


def _blank_frame() -> models.ImagerFrameModel:
    """Make a level 1 frame of one value."""
    one = np.ones(_SHAPE, np.float32)
    model = models.ImagerFrameModel.from_header(_HEADER)
    model.set_frame(Frame(one, one.copy(), one.copy(), np.zeros(_SHAPE, np.uint32)))
    model.meta.data_level = 1
    return model


def _blank_pipeline() -> ImagerLevel2Pipeline:
    """Make the pipeline of level 2 with references that are in memory and change nothing."""
    step = ImagerLevel2Pipeline()
    step.override_dark, step.override_flat = models.DarkModel(), models.FlatModel()
    for reference, value in ((step.override_dark, 0.0), (step.override_flat, 1.0)):
        reference.data = np.full(_SHAPE, value, np.float32)
        reference.err = np.zeros(_SHAPE, np.float32)
        reference.dq = np.zeros(_SHAPE, np.uint32)
    step.iris_dq_init.skip = step.iris_photom.skip = True
    return step


@contextmanager
def _quiet() -> Iterator[None]:
    """Log nothing: the frame is none of the user's."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        yield
    finally:
        logging.disable(before)
