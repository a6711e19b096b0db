"""Listening sockets that are found again by their addresses, in this process and after an `exec`."""

import os
import socket
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from waitress_core import create_server
from waitress_core.net import handover
from waitress_core.net.binding import handed_over
from waitress_core.net.handover import Handover, handover_text, offered, received, take_received
from waitress_core.net.listener import HANDOVER_VARIABLE, Listener


@pytest.fixture
def listening() -> Iterator[list[Listener]]:
    with ExitStack() as stack:
        listeners = []
        for _ in range(2):
            sock = socket.create_server(("127.0.0.1", 0))
            listeners.append(Listener(sock, owns_socket=True))
            stack.callback(listeners[-1].close)
        yield listeners


def address(listener: Listener) -> tuple[str, int]:
    return listener.host, int(listener.port)


def test_a_socket_is_found_once_by_its_address_or_by_its_host_with_port_0(listening: list[Listener]) -> None:
    first, second = listening
    with offered(listening):
        assert handed_over(socket.AF_INET, ("127.0.0.2", 0)) is None
        assert handed_over(socket.AF_INET6, address(second)) is None
        found = handed_over(socket.AF_INET, address(second))
        again = handed_over(socket.AF_INET, ("127.0.0.1", 0))
        assert found is not None
        assert again is not None
        with found, again:
            assert (found.getsockname(), again.getsockname()) == (address(second), address(first))
            assert found.fileno() != second.descriptor
        assert handed_over(socket.AF_INET, address(second)) is None
    assert received() is None
    assert handed_over(socket.AF_INET, address(first)) is None


def test_a_server_that_is_made_again_has_the_socket_of_the_one_before(listening: list[Listener]) -> None:
    host, port = address(listening[0])
    with offered(listening):
        server = create_server(lambda environ, start_response: [], listen=f"{host}:{port}")
    try:
        assert server._listeners[0].port == str(port)
    finally:
        server.close()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows hands nothing over")
def test_a_successor_finds_the_sockets_reports_and_forgets_them(
    listening: list[Listener], monkeypatch: pytest.MonkeyPatch
) -> None:
    read_end, write_end = os.pipe()
    copies = [listener.socket.dup().detach() for listener in listening]
    monkeypatch.setattr(handover, "_received", None)
    monkeypatch.setenv(HANDOVER_VARIABLE, handover_text(write_end, copies))
    found = handed_over(socket.AF_INET, address(listening[0]))
    assert found is not None
    found.close()
    taken = take_received()
    assert isinstance(taken, Handover)
    assert HANDOVER_VARIABLE not in os.environ
    assert take_received() is None
    taken.report_ready()
    assert os.read(read_end, 2) == b"\0"
    assert os.read(read_end, 2) == b""
    os.close(read_end)
    with pytest.raises(OSError):
        os.fstat(copies[1])
