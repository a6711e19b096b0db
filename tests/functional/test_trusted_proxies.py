"""Which peers of real listeners are trusted: by IPv4, IPv6, both at once, and unix sockets."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import Recorder
from tests.support.client import Client
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
    """A socket that takes IPv4 clients too, whose addresses are mapped."""
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
        ("localhost", "127.0.0.1"),
    ],
)
def test_an_ipv4_peer(trusted_proxy: Any, seen: str) -> None:
    assert remote_addr_of(None, trusted_proxy=trusted_proxy) == seen


@pytest.mark.parametrize(
    ("trusted_proxy", "seen"), [(SEVERAL, "192.0.2.7"), ("::/127", "192.0.2.7"), ("127.0.0.1 2001:db8::/32", "::1")]
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
