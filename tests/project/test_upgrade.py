"""After an upgrade from waitress 3.0.2 of the index to the wheels of this tree, commands serve as before."""

import os
from pathlib import Path

import pytest

from tests.project.old_waitress import BIN, installed, old_environment, pip, pip_done
from tests.project.repository import BY_IMPORT_NAME, PACKAGES
from tests.support.client import Client
from tests.support.servers import spawned

APPLICATION = """
import waitress

def application(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [f"{environ['SERVER_SOFTWARE']} of {waitress.__file__}".encode()]

def make():
    return application
"""


def versions(environment: Path) -> dict[str, str]:
    """Return the installed packages of this project or its predecessor, by name, with their versions."""
    found = installed(environment)
    return {name: version for name, version in found.items() if name.startswith("waitress")}


def answer_of(command: list[str | Path], folder: Path) -> str:
    """Start a command that serves and return its response; it runs outside the tree."""
    clean = {"PYTHONPATH": "", "PYTHONWARNINGS": ""}
    with spawned([os.fspath(word) for word in command], folder, clean) as server:
        with Client(server.wait_for_address()) as client:
            response = client.get()
    assert response.status == 200
    return response.body.decode()


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    return old_environment(tmp_path / "environment")


@pytest.mark.xdist_group("wheels")
def test_an_upgrade_from_waitress_3_0_2_keeps_what_serves(environment: Path, dist: Path, tmp_path: Path) -> None:
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "site_of_a_user.py").write_text(APPLICATION, encoding="utf-8")
    bin = environment / BIN
    ways: list[list[str | Path]] = [
        [bin / "waitress-serve", "--listen=127.0.0.1:0", "site_of_a_user:application"],
        [bin / "waitress-serve", "--listen=127.0.0.1:0", "--call", "site_of_a_user.make"],
        [bin / "python", "-m", "waitress", "--listen=127.0.0.1:0", "site_of_a_user:application"],
    ]

    assert versions(environment) == {"waitress": "3.0.2"}
    before = [answer_of(way, folder) for way in ways]

    pip_done(environment, "install", "--no-index", "--no-compile", "--find-links", dist, "--upgrade", "waitress")

    assert versions(environment) == {package.name: package.version for package in PACKAGES}
    assert "waitress" not in pip(environment, "--isolated", "check").stdout  # PyPy comes with others that it reports
    assert [answer_of(way, folder) for way in ways] == before

    # No module of the old version is left, which could be imported next to the new ones.
    installed = Path(before[0].split(" of ")[1]).parent
    modules = {path.name for path in BY_IMPORT_NAME["waitress"].modules}
    assert {path.name for path in installed.glob("*.py")} == modules
