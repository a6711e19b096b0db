"""Packages need the standard library and each other only; import-linter checks the direction: see pyproject.toml."""

import sys

import pytest
from packaging.requirements import Requirement

from tests.project.repository import BY_IMPORT_NAME, PACKAGES, Package, absolute_imports

OPTIONAL = {"setproctitle", "tomllib"}  # used if it is there: tomllib from Python 3.11 on
STUBS_ONLY = {"_typeshed", "typing_extensions"}  # for type checkers, under `if TYPE_CHECKING`
# What `pip install waitress[...]` brings. It is imported only where it is asked for: see test_lean_imports.
EXTRAS = {
    Requirement(requirement).name
    for package in PACKAGES
    for requirements in package.metadata.get("optional-dependencies", {}).values()
    for requirement in requirements
}

every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


def test_there_are_five_packages() -> None:
    assert set(BY_IMPORT_NAME) == {"waitress_parser", "waitress_buffers", "waitress_core", "waitress_cli", "waitress"}


@every_package
def test_a_package_imports_the_standard_library_siblings_and_extras_only(package: Package) -> None:
    allowed = sys.stdlib_module_names | set(BY_IMPORT_NAME) | STUBS_ONLY | EXTRAS | OPTIONAL
    wrong = [
        f"{module.relative_to(package.source)}:{line} imports {name}"
        for module in package.modules
        for line, name in absolute_imports(module)
        if name.partition(".")[0] not in allowed
    ]
    assert not wrong


@every_package
def test_a_package_requires_exactly_the_siblings_that_it_imports(package: Package) -> None:
    imported = {name.partition(".")[0] for module in package.modules for _, name in absolute_imports(module)}
    siblings = imported & set(BY_IMPORT_NAME) - {package.import_name}
    required = {Requirement(requirement).name for requirement in package.metadata.get("dependencies", [])}
    assert required == {name.replace("_", "-") for name in siblings}
