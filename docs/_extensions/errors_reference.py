"""Puts a tree of exceptions into a page: the line `% errors MODULE:CLASS` becomes a table of its leaves.

The classes are the only source: name, status of the answer where there is one, and the first sentence of the docstring.
"""

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from typing import Any

from sphinx.application import Sphinx

PLACEHOLDER = re.compile(r"^% errors ([\w.]+):(\w+)$", re.MULTILINE)
SENTENCE_END = re.compile(r"[.](?=\s|$)")


def fill_in_errors(app: Sphinx, document: str, source: list[str]) -> None:
    """Answer Sphinx's event `source-read`: replace each placeholder in the one string of `source`."""
    source[0] = PLACEHOLDER.sub(lambda found: tree_as_markdown(getattr(import_module(found[1]), found[2])), source[0])


def tree_as_markdown(root: type[Exception]) -> str:
    """Write the leaves below `root` as a table, in the order of their definition."""
    has_status = hasattr(root, "status")
    head = "| error | status | raised for |\n|---|---|---|" if has_status else "| error | raised for |\n|---|---|"
    rows = []
    for leaf in leaves(root):
        status = f" {getattr(leaf, 'status', '')} |" if has_status else ""
        rows.append(f"| `{leaf.__name__}` |{status} {_first_sentence(leaf)} |")
    return "\n".join([head, *rows])


def leaves(root: type[Exception]) -> Iterator[type[Exception]]:
    """Return the classes below `root` that have none below them."""
    for child in root.__subclasses__():
        if child.__subclasses__():
            yield from leaves(child)
        else:
            yield child


def _first_sentence(leaf: type[Exception]) -> str:
    text = " ".join((inspect.getdoc(leaf) or "").split())
    end = SENTENCE_END.search(text)
    return (text[: end.start()] if end else text).replace("|", r"\|")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", fill_in_errors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
