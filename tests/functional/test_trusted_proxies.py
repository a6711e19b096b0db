"""Which peers of real listeners are trusted: by IPv4, IPv6, both at once, unix sockets. What clients forge fails."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import Recorder, environ_of, get, refusal_of
from tests.support.client import Client
from tests.support.processes import serving_program
from tests.support.rows import each_row
from tests.support.servers import running

SEVERAL = "10.0.0.0/8 127.0.0.0/8 ::1 2001:db8::/32"


def remote_addr_of(address: Any, **settings: Any) -> str:
    """Return what the application sees of a request that says it was forwarded."""
    recorder = Recorder()
    with running(recorder, trusted_proxy_headers="x-forwarded-for", **settings) as server:
        with Client(address or server.address) as client:
            assert client.get("/", "X-Forwarded-For: 192.0.2.7").status == 200
    address = recorder.environs[0]["REMOTE_ADDR"]
    assert isinstance(address, str)
    return address


@contextlib.contextmanager
def both_families() -> Iterator[socket.socket]:
    """A socket that takes IPv4 clients too, with mapped addresses."""
    if not socket.has_dualstack_ipv6():
        pytest.skip("this system has no socket for both families")
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as sock:
        yield sock


@pytest.mark.parametrize(
    ("trusted_proxy", "seen"),
    [
        (SEVERAL, "192.0.2.7"),
        (["10.0.0.1", "127.0.0.1"], "192.0.2.7"),
        ("10.0.0.0/8 2001:db8::/32", "127.0.0.1"),
        ("localhost", "192.0.2.7"),
        ("10.0.0.1 localhost", "192.0.2.7"),
    ],
)
def test_an_ipv4_peer(trusted_proxy: Any, seen: str) -> None:
    assert remote_addr_of(None, trusted_proxy=trusted_proxy) == seen


@pytest.mark.parametrize(
    ("trusted_proxy", "seen"),
    [(SEVERAL, "192.0.2.7"), ("::/127", "192.0.2.7"), ("localhost", "192.0.2.7"), ("127.0.0.1 2001:db8::/32", "::1")],
)
def test_an_ipv6_peer(trusted_proxy: str, seen: str) -> None:
    if not socket.has_ipv6:
        pytest.skip("this system has no IPv6")
    assert remote_addr_of(None, trusted_proxy=trusted_proxy, listen="[::1]:0") == seen


@pytest.mark.parametrize(
    ("trusted_proxy", "seen"),
    [
        (SEVERAL, "192.0.2.7"),
        ("127.0.0.1", "192.0.2.7"),
        ("::ffff:127.0.0.1", "192.0.2.7"),
        ("localhost", "192.0.2.7"),
        ("::1", "::ffff:127.0.0.1"),
    ],
)
def test_an_ipv4_peer_of_a_socket_for_both_families(trusted_proxy: str, seen: str) -> None:
    with both_families() as sock:
        port = sock.getsockname()[1]
        assert remote_addr_of(("127.0.0.1", port), trusted_proxy=trusted_proxy, sockets=[sock]) == seen


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
@pytest.mark.parametrize(
    ("trusted_proxy", "seen"),
    [("localhost", "192.0.2.7"), (f"{SEVERAL} localhost", "192.0.2.7"), ("*", "192.0.2.7"), (SEVERAL, "localhost")],
)
def test_a_peer_by_a_unix_socket(trusted_proxy: str, seen: str, tmp_path: Path) -> None:
    path = str(tmp_path / "it.sock")
    assert remote_addr_of(path, trusted_proxy=trusted_proxy, unix_socket=path) == seen


# --- what a client sends in front of what its proxy adds

FORGED = "for=10.0.0.1;proto=https;host=internal.example"
ADDED = "for=198.51.100.7;proto=http"
BY_FORWARDED: dict[str, Any] = {"trusted_proxy": "127.0.0.1", "trusted_proxy_headers": "forwarded"}
BY_X: dict[str, Any] = {
    "trusted_proxy": "127.0.0.1",
    "trusted_proxy_headers": "x-forwarded-for x-forwarded-host x-forwarded-proto x-forwarded-port x-forwarded-by",
}
SEEN = ("REMOTE_ADDR", "REMOTE_PORT", "SERVER_NAME", "SERVER_PORT", "HTTP_HOST", "wsgi.url_scheme", "HTTP_FORWARDED")


@each_row("joint", [None, ", ", ","], ids=["line-of-its-own", "appended", "appended-without-blank"])
@each_row("opened", [';x="', ';x=a"b', ';x="\\', ';x="a\\"', '"', ';x="a"b', ";x=", ";x", ";x=[", ";for=a"])
def test_a_quotation_mark_of_a_client_swallows_nothing_that_its_proxy_adds(joint: str | None, opened: str) -> None:
    lines = [FORGED + opened, ADDED] if joint is None else [joint.join([FORGED + opened, ADDED])]
    response = refusal_of(get(*(f"Forwarded: {line}" for line in lines)), **BY_FORWARDED)
    assert response.status == 400
    assert b'Header "Forwarded" malformed.' in response.body


@pytest.mark.parametrize("joint", [None, ", "], ids=["line-of-its-own", "appended"])
@pytest.mark.parametrize("before", ["", FORGED, f'{FORGED}, {FORGED};secret=";,"', " , ,", ";;"])
def test_only_what_the_proxy_adds_counts(joint: str | None, before: str) -> None:
    lines = [before, ADDED] if joint is None else [f"{before}{joint}{ADDED}"]
    alone = environ_of(get(f"Forwarded: {ADDED}"), **BY_FORWARDED)
    environ = environ_of(get(*(f"Forwarded: {line}" for line in lines)), **BY_FORWARDED)
    assert alone["REMOTE_ADDR"] == "198.51.100.7"
    # The port is that of the connection, as `for` has none.
    assert {key: environ[key] for key in SEEN if key != "REMOTE_PORT"} == {
        key: alone[key] for key in SEEN if key != "REMOTE_PORT"
    }


@pytest.mark.parametrize("joint", [None, ", "], ids=["line-of-its-own", "appended"])
@pytest.mark.parametrize("before", ["", '"', '10.0.0.1, "', '"a\\', "evil, evil", ",,"])
def test_nothing_before_the_elements_of_the_proxies_changes_x_forwarded(joint: str | None, before: str) -> None:
    added = {"For": "198.51.100.7:44", "Host": "shop.example", "Proto": "https", "Port": "8443", "By": "10.0.0.2"}
    lines = []
    for name, value in added.items():
        values = [before, value] if joint is None else [f"{before}{joint}{value}"]
        lines += [f"X-Forwarded-{name}: {one}" for one in values]
    environ = environ_of(get(*lines), **BY_X)
    assert (environ["REMOTE_ADDR"], environ["REMOTE_PORT"]) == ("198.51.100.7", "44")
    assert (environ["HTTP_HOST"], environ["SERVER_PORT"]) == ("shop.example:8443", "8443")
    assert environ["wsgi.url_scheme"] == "https"
    assert {name: environ[f"HTTP_X_FORWARDED_{name.upper()}"] for name in added} == added


# --- what the log says, once a process

PROGRAM = """
def application(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""


def lines_of_the_log(tmp_path: Path, *fields: str, **settings: Any) -> list[str]:
    """Return what a process logs at INFO of three requests with these field lines, on three connections."""
    # A limit that fits in any poller: one that does not is logged too
    with serving_program(PROGRAM, tmp_path, connection_limit=100, **settings) as served:
        for _ in range(3):
            with served.client() as client:
                assert client.get("/", *fields).body == b"ok"
    return [line for line in served.process.log if line.startswith("INFO:waitress:")]


def test_proxy_headers_that_nobody_is_trusted_with_are_logged_once(tmp_path: Path) -> None:
    (line,) = lines_of_the_log(tmp_path, "X-Forwarded-For: 192.0.2.7", "X-Forwarded-Proto: https")
    assert "X-Forwarded-For from 127.0.0.1 is not believed" in line
    assert "trusted_proxy" in line


def test_a_field_with_an_underscore_is_logged_once(tmp_path: Path) -> None:
    one, other = lines_of_the_log(tmp_path, "X_Auth: a", "X_User: b", "X-Auth: c")
    assert "x_auth" in one
    assert "x_user" in other
