"""Which reference file applies to an exposure, from a local folder and without a network.

The rules stand in ``rules/``, one versioned file; its name is the context that products record.
"""

from liger_iris_pipeline.calibration.dates import exposure_date, night_start, parse_utc
from liger_iris_pipeline.calibration.integrity import sha256_of
from liger_iris_pipeline.calibration.reference import Reference, reference_name
from liger_iris_pipeline.calibration.rulebook import CONTEXT, Rule, Rulebook, load_rulebook
from liger_iris_pipeline.calibration.store import Candidate, Store, find_store

__all__ = [
    "CONTEXT",
    "Candidate",
    "Reference",
    "Rule",
    "Rulebook",
    "Store",
    "exposure_date",
    "find_store",
    "load_rulebook",
    "night_start",
    "parse_utc",
    "reference_name",
    "sha256_of",
]
