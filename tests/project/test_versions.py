"""Versions, ranges and metadata agree with the tree."""

import shutil
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from release import VERSION_HEADING, bump
from tests.project.repository import PACKAGES, Package

every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


@every_package
def test_each_range_is_every_patch_release_of_the_siblings_minor_version(package: Package) -> None:
    versions = {sibling.name: Version(sibling.version) for sibling in PACKAGES}
    for requirement in map(Requirement, package.metadata.get("dependencies", [])):
        version = versions[requirement.name]
        assert str(requirement.specifier) == f"~={version.major}.{version.minor}.0", requirement
        assert requirement.specifier.contains(version), requirement


@every_package
def test_the_version_is_the_newest_in_the_changes(package: Package) -> None:
    changes = (package.folder / "CHANGES.md").read_text(encoding="utf-8")
    headings = [Version(heading) for heading in VERSION_HEADING.findall(changes)]
    assert headings[0] == Version(package.version)
    assert headings == sorted(set(headings), reverse=True)


@every_package
@pytest.mark.promise("S81")
def test_the_metadata_states_the_supported_pythons(package: Package) -> None:
    supported = SpecifierSet(package.metadata["requires-python"])
    assert "3.10" in supported
    assert "3.9" not in supported
    classifiers = package.metadata["classifiers"]
    for version in ("3.10", "3.11", "3.12", "3.13", "3.14", "3.15"):
        assert f"Programming Language :: Python :: {version}" in classifiers
    for implementation in ("CPython", "PyPy"):
        assert f"Programming Language :: Python :: Implementation :: {implementation}" in classifiers


def test_the_version_of_waitress_is_above_3_0_2_and_below_4() -> None:
    meta = next(package for package in PACKAGES if package.name == "waitress")
    assert Version(meta.version) in SpecifierSet(">=3.0.2,<4")


@pytest.fixture
def copied(tmp_path: Path) -> Package:
    """A copy of waitress-core's metadata that may be changed."""
    original = next(package for package in PACKAGES if package.name == "waitress-core")
    shutil.copytree(original.folder, tmp_path / original.name)
    return Package(tmp_path / original.name)


def test_bump_sets_the_literal_and_opens_the_changes(copied: Package) -> None:
    before = (copied.folder / "CHANGES.md").read_text(encoding="utf-8")
    bump(copied.folder, "27.1.0")
    assert copied.version == "27.1.0"
    after = (copied.folder / "CHANGES.md").read_text(encoding="utf-8")
    assert VERSION_HEADING.findall(after) == ["27.1.0", *VERSION_HEADING.findall(before)]


@pytest.mark.parametrize("version", ["0.9.0", "1.1", "1.1.0rc1", "v1.1.0", ""])
def test_bump_refuses_a_version_that_is_not_higher(copied: Package, version: str) -> None:
    before = copied.version
    with pytest.raises(ValueError, match="version"):
        bump(copied.folder, version)
    assert copied.version == before


def test_bump_refuses_an_unknown_package(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'waitress-tea' is not a package"):
        bump(tmp_path / "waitress-tea", "1.0.0")
