"""The repository for its tests: its packages, their metadata, its files."""

from __future__ import annotations

import ast
import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import tomli

from release import VERSION_LITERAL, package_folders, version_file

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Package:
    """One folder of packages/."""

    folder: Path

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def import_name(self) -> str:
        return self.name.replace("-", "_")

    @property
    def source(self) -> Path:
        return self.folder / "src" / self.import_name

    @property
    def modules(self) -> list[Path]:
        return sorted(self.source.rglob("*.py"))

    @cached_property
    def metadata(self) -> dict[str, Any]:
        """The table `[project]` of the package's pyproject.toml."""
        project: dict[str, Any] = tomli.loads((self.folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
        return project

    @property
    def version(self) -> str:
        literal = VERSION_LITERAL.search(version_file(self.folder).read_text(encoding="utf-8"))
        assert literal is not None, f'{version_file(self.folder)} has no literal __version__ = "X.Y.Z"'
        return literal[1]


PACKAGES = [Package(folder) for folder in package_folders()]
BY_IMPORT_NAME = {package.import_name: package for package in PACKAGES}


def absolute_imports(module: Path) -> list[tuple[int, str]]:
    """Return (line, dotted name) of each absolute import anywhere in the module."""
    found: list[tuple[int, str]] = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found += [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            found.append((node.lineno, node.module))
    return found


def project_files() -> list[Path]:
    """Return the files of the project: all but those of git and those that .gitignore names."""
    # The patterns in it are paths from the root, folder names and `*.ending`.
    ignored = {pattern.strip("/") for pattern in (ROOT / ".gitignore").read_text(encoding="utf-8").split()} | {".git"}
    found: list[Path] = []
    for folder, subfolders, names in os.walk(ROOT):
        here = Path(folder)
        subfolders[:] = [name for name in subfolders if not {name, _from_root(here / name)} & ignored]
        found += [
            here / name for name in names if not {name, _from_root(here / name), f"*{Path(name).suffix}"} & ignored
        ]
    return sorted(found)


def _from_root(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()
