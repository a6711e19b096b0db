"""WebTest's StopableWSGIServer: a subclass of TcpWSGIServer that drives and stops it by way of `_map`."""

import re
import socket
import subprocess
import sys
import tarfile
import threading
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from webtest.debugapp import debug_app
from webtest.http import StopableWSGIServer

from tests.ecosystem.programs import plain
from tests.ecosystem.programs.commands import json_of, requests_session

INDEX_SECONDS = 60

# Its `check_server` leaves a connection to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture
def server() -> Iterator[Any]:
    server = StopableWSGIServer.create(plain.application)
    assert server.wait()
    yield server
    if server.runner.is_alive():
        server.shutdown()


def left_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("waitress")]


def test_it_serves_its_own_pages_and_those_of_the_application(server: Any) -> None:
    url = server.application_url
    with requests_session() as session:
        assert session.get(f"{url}__application__").text == "server started"
        assert session.get(f"{url}__file__", params={"__file__": plain.__file__}).status_code == 200
        assert session.get(url).text == "hello\n"
        assert session.post(f"{url}echo", data=b"body").content == b"body"
        first, second = (json_of(session.get(f"{url}environ")) for _ in range(2))
    assert first["REMOTE_PORT"] == second["REMOTE_PORT"]


def test_shutdown_ends_it_with_all_that_belongs_to_it(server: Any) -> None:
    with requests_session() as session:
        session.get(server.application_url)
        assert server.shutdown() is True  # with a connection kept alive
    server.runner.join(20)
    assert not server.runner.is_alive()
    assert left_threads() == []
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.adj.host, int(server.adj.port)))


def test_one_comes_after_the_other_on_the_same_port(server: Any) -> None:
    port = int(server.adj.port)
    for _ in range(5):
        server.shutdown()
        server.runner.join(20)
        server = StopableWSGIServer.create(debug_app, port=port)
        assert server.wait()
    server.shutdown()
    server.runner.join(20)
    assert left_threads() == []


@pytest.mark.ecosystem
def test_the_tests_that_webtest_ships_pass(tmp_path: Path) -> None:
    """They are in its sdist alone."""
    pip: list[str | Path] = [
        sys.executable,
        "-m",
        "pip",
        "--disable-pip-version-check",
        "download",
        "--no-deps",
        "--no-binary=:all:",
    ]
    wanted = f"webtest=={version('webtest')}"
    done = subprocess.run([*pip, "--dest", tmp_path, wanted], capture_output=True, text=True, timeout=INDEX_SECONDS)
    if done.returncode != 0:
        pytest.skip(f"{wanted} does not come from the package index: {done.stderr.splitlines()[-1]}")
    (sdist,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            if re.search(r"/tests/(__init__|compat|test_http)\.py$", member.name):
                archive.extract(member, tmp_path, filter="data")
    (tests,) = tmp_path.glob("*/tests")
    pytest_alone = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", str(tests / "test_http.py")]
    done = subprocess.run(pytest_alone, cwd=tests.parent, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert re.search(r"\b4 passed", done.stdout), done.stdout


@pytest.mark.ecosystem
def test_the_tests_that_wsgiproxy2_ships_pass() -> None:
    """They speak to a StopableWSGIServer by several clients."""
    pytest.importorskip("wsgiproxy", reason="this environment lacks WSGIProxy2: `make test-ecosystem`")
    pytest_alone = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "--pyargs", "wsgiproxy.test_wsgiproxy"]
    done = subprocess.run(pytest_alone, cwd=Path(sys.prefix), capture_output=True, text=True)
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout
