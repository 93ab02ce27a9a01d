"""Sphinx configuration."""

import os

# The pure half has the docstrings as Python sees them; it is to be chosen before fastframe is imported.
os.environ["FASTFRAME_EXTENSION"] = "0"

import fastframe

project = "fastframe"
author = "fastframe contributors"
copyright = "2026, fastframe contributors"  # noqa: A001
version = release = fastframe.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon"]
exclude_patterns = ["_build", "benchmarks"]
html_theme = "furo"
html_static_path = ["_static"]
html_css_files = ["tables.css"]
default_role = "code"

myst_heading_anchors = 3
autodoc_inherit_docstrings = False
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_default_options = {"members": True}
