"""Each test that the code, or a page that explains it, names exists: a guarantee that names its test is held by it."""

import ast
import re
from pathlib import Path

import pytest

from tests.project.repository import PACKAGES, ROOT

NAME = re.compile(r"\btest_[a-z0-9_]+\b(?!\.py)")
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FUNCTIONS = {
    node.name
    for path in TESTS
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
    if isinstance(node, ast.FunctionDef)
}
KNOWN = FUNCTIONS | {path.stem for path in TESTS}
NAMING = [ROOT / "docs/CONTRIBUTING.md", *sorted((ROOT / "docs/explanation").glob("*.md"))]
NAMING += [module for package in PACKAGES for module in package.modules]


def test_the_tests_have_been_found() -> None:
    assert "test_the_tests_have_been_found" in FUNCTIONS


@pytest.mark.parametrize(
    "path",
    [path for path in NAMING if NAME.search(path.read_text(encoding="utf-8"))],
    ids=lambda path: path.relative_to(ROOT).as_posix(),
)
def test_each_test_that_is_named_exists(path: Path) -> None:
    assert set(NAME.findall(path.read_text(encoding="utf-8"))) - KNOWN == set()
