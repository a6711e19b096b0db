"""`make dist` builds the same bytes each time; they are complete, and can be installed without an index."""

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

import pytest

from release import build_all
from tests.project.conftest import EPOCH
from tests.project.old_waitress import BIN, installed, pip_done
from tests.project.repository import PACKAGES, Package

# One process runs them all: the packages are built once.
pytestmark = pytest.mark.xdist_group("wheels")

IN_ONE_DIRECTION = "waitress_parser, waitress_buffers, waitress_core, waitress_cli, waitress"
every_package = pytest.mark.parametrize("package", PACKAGES, ids=lambda package: package.name)


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """A virtual environment with nothing in it, not even pip."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", tmp_path / "environment"], check=True)
    return tmp_path / "environment"


def output_of(*command: str | Path, cwd: Path | None = None) -> str:
    """Run a command that must succeed; return what it prints."""
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout


def install(environment: Path, *arguments: str | Path) -> None:
    """Install wheels without an index; without byte code, which takes longer than the installation."""
    pip_done(environment, "install", "--no-index", "--no-compile", *arguments)


def run(environment: Path, command: str, *arguments: str) -> str:
    """Run a command of an environment, outside the tree."""
    return output_of(environment / BIN / command, *arguments, cwd=environment)


def wheel_of(package: Package, dist: Path) -> Path:
    return dist / f"{package.import_name}-{package.version}-py3-none-any.whl"


def sdist_of(package: Package, dist: Path) -> Path:
    return dist / f"{package.import_name}-{package.version}.tar.gz"


def test_a_build_makes_one_wheel_and_one_sdist_of_each_package(dist: Path) -> None:
    expected = {path for package in PACKAGES for path in (wheel_of(package, dist), sdist_of(package, dist))}
    assert set(dist.iterdir()) == expected


def test_two_builds_are_identical_to_the_byte(dist: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", EPOCH)
    # The second is another checkout: other folder, file times and permissions.
    for package in PACKAGES:
        shutil.copytree(package.folder, tmp_path / "checkout" / package.name)
    for path in (tmp_path / "checkout").rglob("*"):
        if path.is_file():
            path.chmod(0o600)
            os.utime(path, (1600000000, 1600000000))
    first = {path.name: path.read_bytes() for path in dist.iterdir()}
    second = {path.name: path.read_bytes() for path in build_all(tmp_path / "second", tmp_path / "checkout")}
    assert [name for name in first.keys() | second.keys() if first.get(name) != second.get(name)] == []


@every_package
def test_a_wheel_holds_the_modules_and_py_typed_and_the_license(package: Package, dist: Path) -> None:
    with zipfile.ZipFile(wheel_of(package, dist)) as wheel:
        names = set(wheel.namelist())
    metadata = {name for name in names if name.startswith(f"{package.import_name}-{package.version}.dist-info/")}
    modules = {path.relative_to(package.source.parent).as_posix() for path in package.modules}
    # Nothing else: the cache of a tool next to the modules would be shipped too.
    data = {path.relative_to(package.source.parent).as_posix() for path in package.source.rglob("*.html")}
    assert names - metadata == modules | data | {f"{package.import_name}/py.typed"}
    assert any(name.endswith("/licenses/LICENSE.txt") for name in metadata)


@every_package
def test_an_sdist_holds_what_a_packager_needs(package: Package, dist: Path) -> None:
    with tarfile.open(sdist_of(package, dist)) as sdist:
        names = {name.partition("/")[2] for name in sdist.getnames()}
    assert names >= {"README.md", "CHANGES.md", "LICENSE.txt", "pyproject.toml", "PKG-INFO"}
    assert f"src/{package.import_name}/py.typed" in names


@pytest.mark.promise("S01")
def test_the_wheels_install_into_an_empty_environment_without_an_index(dist: Path, environment: Path) -> None:
    assert installed(environment) == {}
    install(environment, "--find-links", dist, "waitress")
    assert installed(environment) == {package.name: package.version for package in PACKAGES}
    # -I: without the current folder and the user's packages; -W error: nothing deprecated is used. Each package is
    # imported when only those that it requires have been.
    assert set(IN_ONE_DIRECTION.split(", ")) == {package.import_name for package in PACKAGES}
    run(environment, "python", "-I", "-W", "error", "-c", f"import {IN_ONE_DIRECTION}")
    assert "--listen" in run(environment, "waitress-serve", "--help")
    assert "--listen" in run(environment, "python", "-I", "-m", "waitress", "--help")


def test_an_upgrade_from_waitress_3_0_2_keeps_the_command(dist: Path, environment: Path, tmp_path: Path) -> None:
    """The old version owns bin/waitress-serve, and pip removes its files after waitress-cli has written its own."""
    old = tmp_path / "waitress-3.0.2-py3-none-any.whl"
    record = {
        "waitress/__init__.py": "def run(): raise SystemExit('the old command')\n",
        "waitress-3.0.2.dist-info/METADATA": "Metadata-Version: 2.1\nName: waitress\nVersion: 3.0.2\n",
        "waitress-3.0.2.dist-info/WHEEL": "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        "waitress-3.0.2.dist-info/entry_points.txt": "[console_scripts]\nwaitress-serve = waitress:run\n",
    }
    record["waitress-3.0.2.dist-info/RECORD"] = "".join(f"{name},,\n" for name in record)
    with zipfile.ZipFile(old, "w") as wheel:
        for name, text in record.items():
            wheel.writestr(name, text)
    install(environment, old)
    assert (environment / BIN / "waitress-serve").exists()
    install(environment, "--find-links", dist, "--upgrade", "waitress")
    assert "--listen" in run(environment, "waitress-serve", "--help")
