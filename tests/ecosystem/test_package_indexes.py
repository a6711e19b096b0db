"""devpi-server and pypiserver serve packages with waitress: pip installs from them what was uploaded."""

import base64
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from release import build_all
from tests.ecosystem.programs.commands import command, json_of, requests_session, served
from tests.project.repository import BY_IMPORT_NAME
from tests.support.ports import free_port
from tests.support.processes import wait_until_accepted
from tests.support.servers import spawned

pytestmark = [pytest.mark.ecosystem, pytest.mark.xdist_group("package-indexes")]

START_SECONDS = 120.0  # they import much before they listen, which takes long on a busy machine
NAME = "waitress-buffers"  # to be uploaded: it needs nothing else


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    dist = tmp_path_factory.mktemp("dist")
    build_all(dist)
    (wheel,) = dist.glob("waitress_buffers-*.whl")
    return wheel


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def upload(session: requests.Session, url: str, wheel: Path) -> None:
    """Upload a wheel as twine does."""
    version = BY_IMPORT_NAME["waitress_buffers"].version
    fields = {":action": "file_upload", "protocol_version": "1", "filetype": "bdist_wheel"}
    fields |= {"metadata_version": "2.1", "name": NAME, "version": version, "pyversion": "py3"}
    with wheel.open("rb") as file:
        session.post(url, data=fields, files={"content": (wheel.name, file)}).raise_for_status()


def downloaded(index: str, folder: Path) -> Path:
    """Have pip download the package from an index."""
    pip = [sys.executable, "-m", "pip", "download", "--isolated", "--no-cache-dir", "--disable-pip-version-check"]
    done = subprocess.run(
        [*pip, "--no-deps", "--index-url", index, "--dest", folder, NAME], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.iterdir()
    return wheel


def test_devpi_server_takes_a_package_and_gives_it_to_pip(
    wheel: Path, tmp_path: Path, session: requests.Session
) -> None:
    state = tmp_path / "state"
    subprocess.run([command("devpi-init"), "--serverdir", state, "--no-root-pypi"], check=True)
    port = free_port()
    arguments = ["--host=127.0.0.1", f"--port={port}", "--serverdir", str(state), "--offline-mode"]
    # It serves from a thread that is not the main one, where no signal can end it in order: it is killed.
    with spawned([command("devpi-server"), *arguments]) as server:
        wait_until_accepted(server, ("127.0.0.1", port), START_SECONDS)
        url = f"http://127.0.0.1:{port}"
        told = json_of(session.post(f"{url}/+login", json={"user": "root", "password": ""}))
        token = base64.b64encode(f"root:{told['result']['password']}".encode()).decode()
        session.headers["X-Devpi-Auth"] = token
        session.put(f"{url}/root/dev", json={"bases": []}).raise_for_status()
        upload(session, f"{url}/root/dev/", wheel)
        assert session.get(f"{url}/+api").headers["Server"] == "waitress"
        assert downloaded(f"{url}/root/dev/+simple/", tmp_path / "got").read_bytes() == wheel.read_bytes()


def test_pypiserver_chooses_waitress_takes_a_package_and_gives_it_to_pip(
    wheel: Path, tmp_path: Path, session: requests.Session
) -> None:
    packages = tmp_path / "packages"
    packages.mkdir()
    port = free_port()
    arguments = ("run", "--interface=127.0.0.1", f"--port={port}", "--authenticate=.", "--passwords=.")
    with served("pypi-server", *arguments, packages) as server:
        wait_until_accepted(server, ("127.0.0.1", port), START_SECONDS)
        url = f"http://127.0.0.1:{port}"
        upload(session, f"{url}/", wheel)
        assert session.get(f"{url}/simple/").headers["Server"] == "waitress"
        assert downloaded(f"{url}/simple/", tmp_path / "got").read_bytes() == wheel.read_bytes()
