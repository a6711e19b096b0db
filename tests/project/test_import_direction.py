"""Packages import in one direction, and so do the files of the core."""

import sys

import pytest
from packaging.requirements import Requirement

from tests.project.repository import BY_IMPORT_NAME, PACKAGES, Package, absolute_imports, relative_imports

MAY_IMPORT = {
    "waitress_parser": set[str](),
    "waitress_buffers": set[str](),
    "waitress_core": {"waitress_parser", "waitress_buffers"},
    "waitress_cli": {"waitress_core"},
    "waitress": {"waitress_parser", "waitress_buffers", "waitress_core", "waitress_cli"},
}

STUBS_ONLY = {"_typeshed"}  # exists for type checkers, under `if TYPE_CHECKING`

# The files of waitress-core: each imports only from those before it.
FLOW = (
    "addresses",
    "casts",
    "http_date",
    "access_format",
    "settings",
    "adjustments",
    "pace",
    "request",
    "environ",
    "poller",
    "deadlines",
    "reactor",
    "listeners",
    "transport",
    "outbox",
    "lead_policy",
    "queue_depth",
    "seats",
    "slow_requests",
    "dispatcher",
    "sender",
    "response_fields",
    "response_head",
    "response",
    "error_pages",
    "phases",
    "access_log",
    "stats",
    "services",
    "connection",
    "proxy_headers",
    "task",
    "logged_task",
    "roster",
    "lifecycle",
    "engine",
    "server",
    "__init__",
)

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


def test_each_file_of_the_core_has_its_place_in_the_flow() -> None:
    files = {module.stem for module in BY_IMPORT_NAME["waitress_core"].modules}
    assert files == set(FLOW)
    assert len(files) == len(FLOW)


def test_a_file_of_the_core_imports_only_what_stands_before_it_in_the_flow() -> None:
    place = {name: number for number, name in enumerate(FLOW)}
    modules = BY_IMPORT_NAME["waitress_core"].modules
    wrong = [
        f"{module.name}:{line} imports {name}"
        for module in modules
        for line, name in relative_imports(module)
        if place.get(name, len(FLOW)) >= place.get(module.stem, len(FLOW))
    ]
    # An absolute import of a sibling would go unseen above.
    wrong += [
        f"{module.name}:{line} imports {name}"
        for module in modules
        for line, name in absolute_imports(module)
        if name.partition(".")[0] == "waitress_core"
    ]
    assert not wrong
