"""The truth-making instrument: scene, optics, detector, raw reads and the truth about them.

It shares facts about the instrument with the pipeline, and no algorithm. ``simulate("imager", out,
seed=1)`` writes a night: reads into the folder, reference files into ``refs/`` and what was put in
into ``truth/``, which :func:`liger_iris_pipeline.simulator.truth.load` reads.
"""

from . import truth
from .night import Night, Progress, simulate
from .play import deliver, timetable
from .scene import (
    COMPLETE,
    SCENES,
    SIZES,
    CalibrationPlan,
    DetectorPhysics,
    Format,
    PointSpread,
    ReadPattern,
    ReferenceErrors,
    Scene,
    StarField,
    named_scene,
)
from .truth import Truth

__all__ = [
    "COMPLETE",
    "SCENES",
    "SIZES",
    "CalibrationPlan",
    "DetectorPhysics",
    "Format",
    "Night",
    "PointSpread",
    "Progress",
    "ReadPattern",
    "ReferenceErrors",
    "Scene",
    "StarField",
    "Truth",
    "deliver",
    "named_scene",
    "simulate",
    "timetable",
    "truth",
]
