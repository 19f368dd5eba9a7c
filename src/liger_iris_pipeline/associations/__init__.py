"""Which exposures belong together and in which role: read from disk, or found from headers."""

from liger_iris_pipeline.associations.association import (
    EXPTYPES,
    Association,
    Member,
    Product,
    load,
)
from liger_iris_pipeline.associations.generation import KINDS, ROLES, generate

__all__ = ["EXPTYPES", "KINDS", "ROLES", "Association", "Member", "Product", "generate", "load"]
