"""Which reference file applies to an exposure, from a local folder and without a network.

A store has *contexts*: immutable files that pin, by SHA-256, the rules of each type and the references they
choose among.  Name and checksum of the context are recorded in products.  The rules the package ships stand in
``shipped/``.
"""

from liger_iris_pipeline.calibration.block import CalibrationSet
from liger_iris_pipeline.calibration.context import Context
from liger_iris_pipeline.calibration.dates import exposure_date, night_start, parse_utc
from liger_iris_pipeline.calibration.explain import Explanation
from liger_iris_pipeline.calibration.reference import Reference, reference_name
from liger_iris_pipeline.calibration.rulebook import CONTEXT, Rule, Rulebook, load_rulebook
from liger_iris_pipeline.calibration.store import Candidate, Store, find_store
from liger_iris_pipeline.models.digest import sha256_of

__all__ = [
    "CONTEXT",
    "CalibrationSet",
    "Candidate",
    "Context",
    "Explanation",
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
