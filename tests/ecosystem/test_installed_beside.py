"""Whoever asks for waitress gets along with the one that is installed: no installation replaces it."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from release import build_all
from tests.project.old_waitress import BIN, pip, pip_done
from tests.project.repository import PACKAGES, ROOT

pytestmark = [pytest.mark.ecosystem, pytest.mark.timeout(1200)]

REQUIREMENTS = ROOT / "tests" / "ecosystem" / "requirements.txt"
INSTALL_SECONDS = 900

# What an environment says of itself: where waitress is, what is in it, and who asks for which waitress.
TELL = """
import json, waitress
from hashlib import sha256
from importlib.metadata import distributions, files, version
from pathlib import Path
ours = ["waitress", "waitress-parser", "waitress-buffers", "waitress-core", "waitress-cli"]
print(json.dumps({
    "file": waitress.__file__,
    "versions": {name: version(name) for name in ours},
    "content": {
        str(file): sha256(Path(file.locate()).read_bytes()).hexdigest()
        for name in ours for file in files(name) if not file.suffix == ".pyc"
    },
    "asking": {
        found.metadata["Name"].lower(): requirement
        for found in distributions() for requirement in found.requires or []
        if requirement.lower().startswith("waitress") and not found.metadata["Name"].startswith("waitress")
    },
}))
"""


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    """An environment with the packages of this tree, from their wheels."""
    environment = tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    build_all(tmp_path / "dist")
    pip_done(environment, "install", "--no-index", "--find-links", tmp_path / "dist", "waitress")
    return environment


def told_by(environment: Path, folder: Path) -> dict[str, dict[str, str]]:
    python = environment / BIN / "python"
    done = subprocess.run([python, "-I", "-c", TELL], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    told: dict[str, dict[str, str]] = json.loads(done.stdout)
    return told


def test_no_installation_replaces_the_one_that_is_there(environment: Path, tmp_path: Path) -> None:
    before = told_by(environment, tmp_path)
    assert before["versions"] == {package.name: package.version for package in PACKAGES}
    assert before["asking"] == {}

    frameworks = ("webtest", "pyramid", "flask", "django", "bottle", "falcon")
    asked: list[str | Path] = [
        "install",
        "--prefer-binary",
        "--requirement",
        REQUIREMENTS,
        *frameworks,
        "waitress>=3.0.2,<4",
    ]
    done = pip(environment, *asked, seconds=INSTALL_SECONDS)
    assert done.returncode == 0, done.stderr

    after = told_by(environment, tmp_path)
    asking = after.pop("asking")
    assert {"webtest", "zope", "devpi-server"} <= asking.keys()
    assert after == {name: before[name] for name in after}
    assert "No broken requirements" in pip_done(environment, "check")
