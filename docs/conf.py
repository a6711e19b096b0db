"""Settings of Sphinx; `make docs` builds with warnings as errors."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent / "_extensions"))

project = "waitress"
copyright = "2026, the waitress authors"

extensions = ["myst_parser", "settings_reference"]
exclude_patterns = ["_build", "examples", "requirements.txt"]
nitpicky = True

html_theme = "furo"
html_title = "waitress"
html_copy_source = False

myst_enable_extensions = ["colon_fence"]
myst_heading_anchors = 3
