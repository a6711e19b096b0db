"""The code names the tests that show its guarantees: each of them exists."""

import re

import pytest

from tests.project.repository import PACKAGES, ROOT, Package


@pytest.fixture(scope="module")
def tests() -> set[str]:
    """Return the names of all tests."""
    files = (ROOT / "tests").rglob("test_*.py")
    return {name for file in files for name in re.findall(r"^def (test_\w+)", file.read_text(encoding="utf-8"), re.M)}


@pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)
def test_every_test_that_the_code_names_exists(package: Package, tests: set[str]) -> None:
    named = {
        (module.name, name)
        for module in package.modules
        for name in re.findall(r"\btest_\w+", module.read_text(encoding="utf-8"))
    }
    assert {(module, name) for module, name in named if name not in tests} == set()
