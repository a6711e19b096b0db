"""Programs typed against typeshed's `types-waitress` type-check with it, with our own types, and run."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.ecosystem.programs.commands import PROGRAMS
from tests.project.repository import PACKAGES

PROGRAM = PROGRAMS / "typed_program.py"


def mypy(folder: Path, path: str = "") -> str:
    """Check the program by mypy with nothing configured; give what it says."""
    command = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={folder}", str(PROGRAM)]
    env = {**os.environ, "MYPYPATH": path}
    return subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True).stdout


def test_the_typed_program_runs() -> None:
    done = subprocess.run([sys.executable, "-W", "error", PROGRAM], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.ecosystem
def test_the_types_of_the_program_hold_with_the_stubs_and_with_ours(tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="this environment lacks mypy: `make test-ecosystem` has it")
    ours = os.pathsep.join(str(package.source.parent) for package in PACKAGES)
    assert mypy(tmp_path) == "Success: no issues found in 1 source file\n"
    assert mypy(tmp_path, ours) == "Success: no issues found in 1 source file\n"
