"""Puts the metrics and the fields of the status document into a page, from the code that makes them.

% metrics                     a table of all metrics
% labels MODULE:TABLE         a table of the values of a label, from a dict of texts
% fields MODULE:TYPEDDICT     a table of the fields of a record, from its docstrings
"""

import ast
import inspect
import re
from importlib import import_module
from typing import Any

from sphinx.application import Sphinx

from waitress_core.status.metrics import METRICS

METRICS_LINE = "% metrics\n"
LABELS = re.compile(r"^% labels ([\w.]+):(\w+)$", re.MULTILINE)
FIELDS = re.compile(r"^% fields ([\w.]+):(\w+)$", re.MULTILINE)


def fill_in(app: Sphinx, document: str, source: list[str]) -> None:
    """Answer Sphinx's event `source-read`: replace each placeholder in the one string of `source`."""
    text = source[0].replace(METRICS_LINE, metrics_as_markdown() + "\n")
    text = LABELS.sub(lambda found: labels_as_markdown(getattr(import_module(found[1]), found[2])), text)
    source[0] = FIELDS.sub(lambda found: fields_as_markdown(getattr(import_module(found[1]), found[2])), text)


def metrics_as_markdown() -> str:
    """Write a row for each metric, in the order of the table."""
    rows = [f"| `{one.name}` | {one.kind} | {one.labels or '-'} | {one.help} |" for one in METRICS]
    return "\n".join(["| metric | kind | labels | what it says |", "|---|---|---|---|", *rows])


def labels_as_markdown(table: dict[str, str]) -> str:
    """Write a row for each value of a label."""
    rows = [f"| `{value}` | {text} |" for value, text in table.items()]
    return "\n".join(["| value | meaning |", "|---|---|", *rows])


def fields_as_markdown(record: type) -> str:
    """Write a row for each field of a TypedDict that has a text below it."""
    [definition] = ast.parse(inspect.getsource(record)).body
    assert isinstance(definition, ast.ClassDef)
    rows = []
    for field, text in zip(definition.body, definition.body[1:], strict=False):
        if isinstance(field, ast.AnnAssign) and isinstance(text, ast.Expr) and isinstance(text.value, ast.Constant):
            said = " ".join(str(text.value.value).split())
            rows.append(f"| `{ast.unparse(field.target)}` | `{ast.unparse(field.annotation)}` | {said} |")
    return "\n".join(["| field | type | what it says |", "|---|---|---|", *rows]).replace(" | None`", r" \| None`")


def setup(app: Sphinx) -> dict[str, Any]:
    """Register with Sphinx."""
    app.connect("source-read", fill_in)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
