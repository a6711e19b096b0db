"""A Pyramid application served by `pserve` from an ini file with the server `egg:waitress#main`."""

import stat
from collections.abc import Iterator

import pytest
import requests

from tests.ecosystem.programs.commands import (
    PROGRAMS,
    httpx_client,
    json_of,
    needs_ipv6,
    needs_unix_sockets,
    requests_session,
    served,
    short_path,
    url_of,
)
from tests.support.servers import Spawned

pytestmark = [pytest.mark.xdist_group("programs-pyramid"), pytest.mark.promise("S13")]

FROM_HERE = {"PYTHONPATH": str(PROGRAMS)}


@pytest.fixture(scope="module")
def server() -> Iterator[Spawned]:
    with served("pserve", "pyramid.ini", env=FROM_HERE) as server:
        yield server


@pytest.fixture(scope="module")
def url(server: Spawned) -> str:
    """The address with the prefix that the ini file says."""
    return f"{url_of(server)}/site"


@pytest.fixture
def session() -> Iterator[requests.Session]:
    with requests_session() as session:
        yield session


def test_the_application_of_the_ini_file_answers(url: str, session: requests.Session) -> None:
    assert session.get(f"{url}/hello/Zoë").text == "Good day, Zoë!"


@pytest.mark.promise("S14")
def test_the_settings_of_the_ini_file_hold(url: str, session: requests.Session) -> None:
    answer = session.get(f"{url}/environ", headers={"X-Forwarded-For": "192.0.2.1"})
    environ = json_of(answer)
    assert answer.headers["Server"] == environ["SERVER_SOFTWARE"] == "from the ini file"
    assert (environ["SCRIPT_NAME"], environ["PATH_INFO"]) == ("/site", "/environ")
    assert environ["REMOTE_ADDR"] == "127.0.0.1"
    assert "HTTP_X_FORWARDED_FOR" not in environ


def test_a_body_comes_back_with_and_without_a_known_length(url: str, session: requests.Session) -> None:
    body = bytes(range(256)) * 5000
    assert session.post(f"{url}/echo", data=body).content == body
    assert session.post(f"{url}/echo", data=iter([body, body[:7]])).content == body + body[:7]


def test_a_piece_arrives_before_the_next_one_is_made(url: str) -> None:
    with httpx_client(url) as client, client.stream("GET", "/stream") as answer:
        pieces = answer.iter_raw()
        assert next(pieces) == b"first\n"
        assert client.get("/release").status_code == 204
        assert b"".join(pieces) == b"second\n"


def test_one_connection_carries_many_requests(url: str, session: requests.Session) -> None:
    ports = set()
    for _ in range(10):
        assert session.get(f"{url}/nowhere").status_code == 404
        ports.add(json_of(session.get(f"{url}/environ"))["REMOTE_PORT"])
    assert len(ports) == 1


@needs_ipv6
def test_an_ini_file_names_an_ipv6_host(session: requests.Session) -> None:
    with served("pserve", "--server-name=ipv6", "pyramid.ini", env=FROM_HERE) as server:
        url = url_of(server)
        assert url.startswith("http://[::1]:")
        environ = json_of(session.get(f"{url}/environ"))
    assert environ["REMOTE_ADDR"] == "::1"
    assert environ["HTTP_HOST"] == url.removeprefix("http://")


@needs_unix_sockets
def test_an_ini_file_names_a_unix_socket_and_its_permissions() -> None:
    with short_path() as path:
        with served("pserve", "--server-name=unix", "pyramid.ini", f"socket={path}", env=FROM_HERE) as server:
            server.wait_for_line("Serving on")
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
            with httpx_client("http://localhost", uds=path) as client:
                assert client.get("/hello/you").text == "Good day, you!"
        assert not path.exists()
