"""Sphinx configuration."""

from liger_iris_pipeline import __version__

project = "IRIS data reduction system"
author = "IRIS data reduction system developers"
copyright = "2026, IRIS data reduction system developers"
version = release = __version__
extensions = ["myst_parser", "sphinx.ext.autodoc", "numpydoc"]
exclude_patterns = ["_build"]
html_theme = "alabaster"
numpydoc_show_class_members = False
