"""Code on the path of a request reads the dicts of a module with `[]` and `in`, never with `get`.

On CPython 3.13 without the global lock `dict.get` takes about 30 microseconds if the keys are strings and another
thread has made the dict: one such call made a small request take a third longer.
"""

import ast
from pathlib import Path

from tests.project.repository import PACKAGES, ROOT
from tests.support.rows import each_row

# What runs before there is a request, and what serves none of the application's.
OFF_THE_PATH = {"config", "processes", "status", "activation.py", "binding.py"}
MODULES = [
    module
    for package in PACKAGES
    if package.import_name in ("waitress_parser", "waitress_buffers", "waitress_core")
    for module in package.modules
    if module.name == "log_format.py" or not OFF_THE_PATH & set(module.parts)
]


def names_of(module: ast.Module) -> set[str]:
    """Return the names that are assigned at the level of the module or imported from another."""
    targets = [
        target
        for statement in module.body
        if isinstance(statement, ast.Assign | ast.AnnAssign)
        for target in (statement.targets if isinstance(statement, ast.Assign) else [statement.target])
    ]
    variables = {
        ast.unparse(node.target)
        for node in module.body
        if isinstance(node, ast.AnnAssign) and ast.unparse(node.annotation).startswith("ContextVar")
    }
    imports = [statement for statement in module.body if isinstance(statement, ast.ImportFrom)]
    imported = {alias.asname or alias.name for statement in imports for alias in statement.names}
    return imported | {target.id for target in targets if isinstance(target, ast.Name)} - variables


@each_row("path", MODULES, ids=lambda path: path.relative_to(ROOT / "packages").as_posix().partition("/src/")[2])
def test_no_dict_of_a_module_is_read_with_get(path: Path) -> None:
    module = ast.parse(path.read_text(encoding="utf-8"))
    shared = names_of(module)
    asked = {
        ast.unparse(node)
        for node in ast.walk(module)
        if isinstance(node, ast.Attribute) and node.attr == "get" and isinstance(node.value, ast.Name)
        if node.value.id in shared
    }
    assert asked == set()
