"""Settings of Sphinx; `make docs` builds with warnings as errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "waitress"
copyright = "2026, the waitress authors"

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.napoleon",
    "errors_reference",
    "metrics_reference",
    "settings_reference",
    "state_diagrams",
]
exclude_patterns = ["_build", "benchmarks", "examples", "requirements.txt"]
nitpicky = True
# Signatures name types of the standard library, documented elsewhere, and of files that are not the API.
nitpick_ignore_regex = [
    ("py:.*", r"(?!waitress).*"),
    ("py:.*", r"waitress_core\.[a-z]+\..*"),
    ("py:.*", r"waitress\._\w+\..*"),
]

html_theme = "furo"
html_title = "waitress"
# Until this version is published; it is on every page, because a search may lead to any of them.
html_theme_options = {
    "announcement": "Not on PyPI yet: <code>pip install waitress</code> installs another server. In a checkout of "
    "the repository, use <code>pip install packages/*</code>",
}
html_copy_source = False
html_static_path = ["_static"]
html_css_files = ["pages.css"]

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3

# Docstrings: `name` is code, and `Raises:` a section.
default_role = "code"
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
napoleon_numpy_docstring = False
