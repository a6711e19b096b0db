"""Packages import in one direction."""

import sys

import pytest
from packaging.requirements import Requirement

from tests.project.repository import BY_IMPORT_NAME, PACKAGES, Package, absolute_imports

MAY_IMPORT = {
    "waitress_parser": set[str](),
    "waitress_buffers": set[str](),
    "waitress_core": {"waitress_parser", "waitress_buffers"},
    "waitress_cli": {"waitress_core"},
    "waitress": {"waitress_parser", "waitress_buffers", "waitress_core", "waitress_cli"},
}

STUBS_ONLY = {"_typeshed"}  # exists for type checkers, under `if TYPE_CHECKING`

every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


def test_there_are_five_packages() -> None:
    assert set(BY_IMPORT_NAME) == set(MAY_IMPORT)


@every_package
def test_a_package_imports_the_standard_library_and_what_is_below_it(package: Package) -> None:
    allowed = sys.stdlib_module_names | MAY_IMPORT[package.import_name] | STUBS_ONLY | {package.import_name}
    wrong = [
        f"{module.relative_to(package.source)}:{line} imports {name}"
        for module in package.modules
        for line, name in absolute_imports(module)
        if name.partition(".")[0] not in allowed
    ]
    assert not wrong


@every_package
def test_a_package_requires_the_siblings_it_may_import_and_nothing_else(package: Package) -> None:
    required = {Requirement(requirement).name for requirement in package.metadata.get("dependencies", [])}
    assert required == {name.replace("_", "-") for name in MAY_IMPORT[package.import_name]}
