"""Which exposures belong together and in which role: read from disk, or found from headers."""

from liger_iris_pipeline.associations.association import (
    EXPTYPES,
    Association,
    Member,
    Product,
    load,
)
from liger_iris_pipeline.associations.checksums import add_checksums
from liger_iris_pipeline.associations.engine import Change, Engine
from liger_iris_pipeline.associations.generation import KINDS, ROLES, generate
from liger_iris_pipeline.associations.items import Exposure
from liger_iris_pipeline.associations.members import MemberFinder
from liger_iris_pipeline.associations.rules import RuleSet, load_rules

__all__ = [
    "EXPTYPES",
    "KINDS",
    "ROLES",
    "Association",
    "Change",
    "Engine",
    "Exposure",
    "Member",
    "MemberFinder",
    "Product",
    "RuleSet",
    "add_checksums",
    "generate",
    "load",
    "load_rules",
]
