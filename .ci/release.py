"""Tools for a release: `dist` builds every package, the same bytes each time; `bump` sets the version of a package.

    python .ci/release.py dist DIRECTORY
    python .ci/release.py bump PACKAGE VERSION

It builds from a copy, so that a build leaves nothing in the tree and two builds may run at the same time. A version is
in two places, the literal `__version__` and the newest heading of CHANGES.md; tests/project compares them.
"""

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

PACKAGES = Path(__file__).resolve().parents[1] / "packages"
EARLIEST_ZIP_TIME = 315532800  # 1980-01-01: for a tree without a commit time

VERSION_LITERAL = re.compile(r'^__version__ = "([^"]+)"$', re.MULTILINE)
VERSION_HEADING = re.compile(r"^## \[(\d+\.\d+\.\d+)\]", re.MULTILINE)


def package_folders(packages: Path = PACKAGES) -> list[Path]:
    """Return the folders of the packages, sorted by name."""
    return sorted(pyproject.parent for pyproject in packages.glob("*/pyproject.toml"))


def version_file(package: Path) -> Path:
    """Return the file with the `__version__` of a package."""
    return package / "src" / package.name.replace("-", "_") / "__init__.py"


# --- dist


def build_all(directory: Path, packages: Path = PACKAGES) -> list[Path]:
    """Build wheel and sdist of every package into `directory`, replacing older ones; return the files."""
    environment = {
        **os.environ,
        "FLIT_NO_NETWORK": "1",  # do not fetch the list of classifiers
        "FLIT_ROOT_INSTALL": "1",  # do not refuse to run as root
        "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or str(_last_commit_time(packages)),
    }
    directory.mkdir(parents=True, exist_ok=True)
    for old in [*directory.glob("*.whl"), *directory.glob("*.tar.gz")]:
        old.unlink()
    made: list[Path] = []
    with tempfile.TemporaryDirectory() as work:
        for package in package_folders(packages):
            copy = Path(work, package.name)
            shutil.copytree(package, copy, ignore=shutil.ignore_patterns("__pycache__", ".*", "dist"))
            _build(copy, environment)
            made += [Path(shutil.move(built, directory)) for built in sorted((copy / "dist").iterdir())]
    return made


def _build(package: Path, environment: Mapping[str, str]) -> None:
    flit = [sys.executable, "-m", "flit", "build", "--no-use-vcs"]
    done = subprocess.run(flit, cwd=package, env=environment, capture_output=True, text=True)
    if done.returncode != 0:
        raise SystemExit(f"{package.name}: flit failed\n{done.stderr}")


def _last_commit_time(packages: Path) -> int:
    git = ["git", "log", "-1", "--format=%ct"]
    try:
        done = subprocess.run(git, cwd=packages, capture_output=True, text=True)
    except FileNotFoundError:
        return EARLIEST_ZIP_TIME
    return int(done.stdout) if done.returncode == 0 else EARLIEST_ZIP_TIME


# --- bump


def bump(package: Path, version: str) -> None:
    """Set `__version__` to `version`, and add a heading for it to CHANGES.md.

    Raises:
        ValueError: not a package, not `X.Y.Z`, or not above the current version; nothing is changed then.
    """
    if package not in package_folders(package.parent):
        known = ", ".join(folder.name for folder in package_folders(package.parent))
        raise ValueError(f"{package.name!r} is not a package; there are {known}")
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        raise ValueError(f"{version!r} is not a version of the form X.Y.Z")
    source = version_file(package).read_text(encoding="utf-8")
    changes = (package / "CHANGES.md").read_text(encoding="utf-8")
    literal, heading = VERSION_LITERAL.search(source), VERSION_HEADING.search(changes)
    if literal is None or heading is None:
        raise ValueError(f'{package.name} lacks __version__ = "X.Y.Z", or CHANGES.md a heading ## [X.Y.Z]')
    if _numbers(version) <= _numbers(literal[1]):
        raise ValueError(f"{version} is not above {literal[1]}, the version that {package.name} has")
    source = source[: literal.start(1)] + version + source[literal.end(1) :]
    changes = f"{changes[: heading.start()]}## [{version}] - unreleased\n\n{changes[heading.start() :]}"
    version_file(package).write_text(source, encoding="utf-8", newline="\n")
    (package / "CHANGES.md").write_text(changes, encoding="utf-8", newline="\n")


def _numbers(version: str) -> list[int]:
    return [int(number) for number in version.split(".")]


def main(arguments: list[str]) -> None:
    """Run the command line: see the docstring of the module."""
    parser = argparse.ArgumentParser(prog="release.py", description="Build the packages, or set the version of one.")
    commands = parser.add_subparsers(dest="command", required=True)
    dist_parser = commands.add_parser("dist", help="build every package, reproducibly")
    dist_parser.add_argument("directory", type=Path)
    bump_parser = commands.add_parser("bump", help="set the version of one package")
    bump_parser.add_argument("package", metavar="PACKAGE")
    bump_parser.add_argument("version", metavar="VERSION")
    options = parser.parse_args(arguments)
    if options.command == "dist":
        for built in build_all(options.directory):
            print(built)
        return
    try:
        bump(PACKAGES / options.package, options.version)
    except ValueError as error:
        parser.error(str(error))


if __name__ == "__main__":
    main(sys.argv[1:])
