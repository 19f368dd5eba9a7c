"""Real time: reads are seen as they come and reduced at once; what is on disk decides what is left to do."""

from liger_iris_pipeline.realtime.status import read_status, told
from liger_iris_pipeline.realtime.watch import Settings, watch
from liger_iris_pipeline.realtime.work import Recipe

__all__ = ["Recipe", "Settings", "read_status", "told", "watch"]
