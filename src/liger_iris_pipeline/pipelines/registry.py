"""What ``strun`` and ``stpipe list`` know: every step and pipeline, collected from the two folders."""

from __future__ import annotations

import importlib
import pkgutil

__all__ = ["get_steps"]


def get_steps() -> list[tuple[str, str, bool]]:
    """Collect the steps and pipelines for stpipe.

    Returns
    -------
    list of (str, str, bool)
        Class path, alias, whether it is a pipeline; sorted by alias.
    """
    from liger_iris_pipeline import pipelines, steps
    from liger_iris_pipeline.steps.base import IrisPipeline, IrisStep

    found = []
    for package in (steps, pipelines):
        for info in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
            module = importlib.import_module(info.name)
            for name, thing in vars(module).items():
                if (
                    isinstance(thing, type)
                    and issubclass(thing, IrisStep)
                    and thing.__module__ == info.name
                    and thing.class_alias
                ):
                    found.append(
                        (
                            f"{info.name}.{name}",
                            str(thing.class_alias),
                            issubclass(thing, IrisPipeline),
                        )
                    )
    return sorted(found, key=lambda item: item[1])
