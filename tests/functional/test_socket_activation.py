"""The command, started by `systemd-socket-activate`, which passes sockets as systemd does."""

import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from tests.cli.helpers import APPLICATION, command
from tests.support.client import Client
from tests.support.ports import free_port
from tests.support.processes import becomes_true
from tests.support.servers import Spawned, spawned

ACTIVATE = shutil.which("systemd-socket-activate") or ""

pytestmark = pytest.mark.skipif(not ACTIVATE, reason="systemd-socket-activate is not installed")


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    (tmp_path / "shop.py").write_text(APPLICATION, encoding="utf-8")
    return tmp_path


def activated(*options: str) -> list[str]:
    """Return the command line; the first client starts the program."""
    environment = [f"--setenv=PATH={os.environ['PATH']}", f"--setenv=PYTHONPATH={':'.join(sys.path)}"]
    return [ACTIVATE, *environment, *options, command()]


def connected(server: Spawned, address: tuple[str, int]) -> Client:
    """Connect as soon as somebody listens."""
    assert becomes_true(lambda: any(f":{address[1]}" in line for line in server.log)), server.log
    return Client(address)


@pytest.mark.parametrize("word", ["systemd", "systemd:web", "fd:3"])
def test_a_client_that_starts_the_service_is_answered(word: str, shop: Path) -> None:
    address = ("127.0.0.1", free_port())
    words = activated(f"--listen=127.0.0.1:{address[1]}", "--fdname=web")
    with spawned([*words, f"--listen={word}", "shop:application"], shop) as server:
        with connected(server, address) as client:
            assert client.get("/tea").status == 200
        server.wait_for_line(f"Serving on http://127.0.0.1:{address[1]}$")
        server.signal()
        assert server.wait() == 0


def test_tcp_and_unix_sockets_are_served_side_by_side(shop: Path) -> None:
    address = ("127.0.0.1", free_port())
    words = activated(f"--listen=127.0.0.1:{address[1]}", f"--listen={shop}/it.sock", "--fdname=web:local")
    with spawned([*words, "--listen=systemd", "shop:application"], shop) as server:
        with connected(server, address) as client:
            assert client.get("/tea").status == 200
        with Client(f"{shop}/it.sock") as client:
            assert client.get("/tea").status == 200
        server.signal()
        assert server.wait() == 0
    assert (shop / "it.sock").exists()


@pytest.mark.parametrize(
    ("options", "word", "fault"),
    [
        (["--fdname=web"], "systemd:shop", "systemd has passed no socket of that name, but web; .*"),
        (["--datagram"], "systemd", "descriptor 3 is not a stream socket: .*"),
        (["--accept"], "systemd", "descriptor 3 is a socket that does not listen; .* Accept=yes .*"),
    ],
    ids=["name", "datagram", "accept"],
)
def test_what_cannot_be_served_is_one_line_and_exit_status_1(
    options: list[str], word: str, fault: str, shop: Path
) -> None:
    port = free_port()
    words = activated(f"--listen=127.0.0.1:{port}", *options)
    with spawned([*words, f"--listen={word}", "shop:application"], shop) as server:
        assert becomes_true(lambda: any(f":{port}" in line for line in server.log)), server.log
        if "--datagram" in options:
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
                sender.sendto(b"x", ("127.0.0.1", port))
                server.wait_for_line(f"^Error: Cannot listen on {word}: {fault}$")
        else:
            with Client(("127.0.0.1", port)):
                server.wait_for_line(f"^Error: Cannot listen on {word}: {fault}$")
