"""Dicts of a module are asked by `[]` and `in`, never by `get`, in what runs while requests are served.

CPython 3.13 without the global lock spends some 30 microseconds on `dict.get` where the keys are strings and the thread
is not the one that has made the dict; a small request took a third longer for one of them.
"""

import ast
from pathlib import Path

import pytest

from tests.project.repository import PACKAGES, ROOT

MODULES = [
    module
    for package in PACKAGES
    if package.import_name in ("waitress_parser", "waitress_buffers", "waitress_core")
    for module in package.modules
]


def names_of(module: ast.Module) -> set[str]:
    """Return what is assigned at the level of the module, or imported from another."""
    targets = [
        target
        for statement in module.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    ]
    imports = [statement for statement in module.body if isinstance(statement, ast.ImportFrom)]
    imported = {alias.asname or alias.name for statement in imports for alias in statement.names}
    return imported | {target.id for target in targets if isinstance(target, ast.Name)}


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_dict_of_a_module_is_asked_by_get(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    shared = names_of(module)
    asked = {
        ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and node.attr == "get" and isinstance(node.value, ast.Name)
        if node.value.id in shared
    }
    assert asked == set()
