"""Data reduction system of IRIS: raw reads to reduced frames, mosaics and cubes."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("liger-iris-pipeline")
except PackageNotFoundError:  # a source tree that was never installed
    __version__ = "0+unknown"

__all__ = ["__version__"]
