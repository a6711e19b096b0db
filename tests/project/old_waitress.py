"""waitress 3.0.2 from the package index, in its own environment."""

import os
import re
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

OLD = "waitress==3.0.2"
INDEX_SECONDS = 60  # without it an index that cannot be reached may take minutes to fail
BIN = "Scripts" if sys.platform == "win32" else "bin"


def pip(environment: Path, *arguments: str | Path, seconds: float | None = None) -> "subprocess.CompletedProcess[str]":
    """Run this interpreter's pip on another environment."""
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", environment, *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=seconds)


def pip_done(environment: Path, *arguments: str | Path) -> str:
    """Run pip without the settings of the machine; it must succeed."""
    done = pip(environment, "--isolated", *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def installed(environment: Path) -> dict[str, str]:
    """Return the packages in a virtual environment, by name, with their versions."""
    (folder,) = {path.resolve() for path in environment.rglob("site-packages")}
    return {found.name: found.version for found in metadata.distributions(path=[os.fspath(folder)])}


def old_environment(path: Path) -> Path:
    """Make a virtual environment with waitress 3.0.2 only; skip the test if there is no index."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", path], check=True)
    try:
        # With the settings of the machine, which name its index.
        install = ("install", "--retries", "1", "--timeout", "15", "--only-binary", ":all:", OLD)
        done = pip(path, *install, seconds=INDEX_SECONDS)
    except subprocess.TimeoutExpired:
        pytest.skip(f"the package index cannot be reached: {OLD} has not come in {INDEX_SECONDS} s")
    if done.returncode != 0:
        errors = re.findall(r"^ERROR: (.*)$", done.stderr, re.MULTILINE)
        pytest.skip(f"the package index cannot be reached: {errors[-1] if errors else done.stderr}")
    return path
