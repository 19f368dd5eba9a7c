"""Where ASDF finds our schemas; imported in every process that uses ASDF, so it imports little."""

from __future__ import annotations

import importlib.resources
from collections.abc import Mapping
from typing import Any, cast

__all__ = ["SCHEMA_PREFIX", "get_resource_mappings"]

SCHEMA_PREFIX = "asdf://tmt.org/iris/schemas/"
"""What the ids of our schemas begin with; the file name without ``.yaml`` follows."""


def get_resource_mappings() -> list[Mapping[str, bytes]]:
    """Give the mappings from schema ids to schemas, as the entry point of ASDF asks for them.

    Returns
    -------
    list of mapping
        One mapping: id to the content of a YAML file.
    """
    from asdf.resource import DirectoryResourceMapping

    root: Any = importlib.resources.files("liger_iris_pipeline.models") / "schemas"
    return [cast("Mapping[str, bytes]", DirectoryResourceMapping(root, SCHEMA_PREFIX))]
