"""Each test that the code, or a page that explains it, names exists: a guarantee that names its test is held by it."""

import re
from functools import cache

from tests.project.repository import PACKAGES, ROOT

NAME = re.compile(r"\btest_\w+(?:\.py)?")
DEFINED = re.compile(r"^ *def (test_\w+)", re.MULTILINE)


@cache
def known_names() -> frozenset[str]:
    """Return the names of all tests, and of all files of tests, the latter with and without `.py`."""
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    functions = {name for file in files for name in DEFINED.findall(file.read_text(encoding="utf-8"))}
    return frozenset(functions.union(*({file.name, file.stem} for file in files)))


def test_the_tests_have_been_found() -> None:
    assert {"test_the_tests_have_been_found", "test_named_tests.py"} <= known_names()


def test_no_name_of_a_test_is_longer_than_80_characters() -> None:
    assert [name for name in sorted(known_names()) if len(name) > 80] == []


def test_each_test_that_is_named_exists() -> None:
    naming = [ROOT / "docs/CONTRIBUTING.md", *sorted((ROOT / "docs/explanation").glob("*.md"))]
    naming += [module for package in PACKAGES for module in package.modules]
    named = {
        (path.relative_to(ROOT).as_posix(), name)
        for path in naming
        for name in NAME.findall(path.read_text(encoding="utf-8"))
    }
    assert len(named) > 50
    assert {(path, name) for path, name in named if name not in known_names()} == set()
