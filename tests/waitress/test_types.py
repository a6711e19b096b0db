"""Programs that are typed for `types-waitress` are right for our own types too."""

import subprocess
import sys
from importlib import metadata, util
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROGRAM = Path(__file__).with_name("typed_program.py")

needs_mypy = pytest.mark.skipif(
    not util.find_spec("mypy"), reason="mypy is not installed: `make typecheck` installs it"
)


def check(folder: Path, *arguments: str) -> str:
    """Check the program within a folder; return what mypy says."""
    program = folder / PROGRAM.name
    program.write_bytes(PROGRAM.read_bytes())
    command = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(folder / "cache"), *arguments, str(program)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder, timeout=100)
    return done.stdout + done.stderr


@needs_mypy
@pytest.mark.xdist_group("mypy")
def test_a_program_is_right_for_our_types(tmp_path: Path) -> None:
    assert "Success" in check(tmp_path, "--config-file", str(ROOT / "pyproject.toml"))


@needs_mypy
@pytest.mark.xdist_group("mypy")
def test_the_program_is_one_for_the_types_of_others(tmp_path: Path) -> None:
    try:
        metadata.version("types-waitress")
    except metadata.PackageNotFoundError:
        pytest.skip("needs types-waitress: `make typecheck` installs it")
    assert "Success" in check(tmp_path, "--config-file", "")
