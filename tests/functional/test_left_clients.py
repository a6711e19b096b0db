"""Clients that have reset their connection: what is running for them ends, and what is queued does not start."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import SECONDS, errors_in, get, set_at_end
from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from waitress_core.reactor.poller import READ

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def port_of(client: Client) -> str:
    return str(client.socket.getsockname()[1])


def is_watched(server: Running, port: str) -> bool:
    """Whether the server reads from the client with this port."""
    connections = [one for run in server.server._runs for one in run.manager.connections.copy().values()]
    return any(one.remote_port == port and one.interest & READ for one in connections)


def reset(server: Running, client: Client) -> None:
    client.reset()


def end_output_and_reset(server: Running, client: Client) -> None:
    """The server does not watch the connection between the two."""
    client.end_output()
    assert becomes_true(lambda: not is_watched(server, port_of(client)))
    client.reset()


def pipeline_and_reset(server: Running, client: Client) -> None:
    """As much as the server reads ahead, and then it does not watch the connection."""
    client.send(get(target="/next") * 1000)
    assert becomes_true(lambda: not is_watched(server, port_of(client)))
    client.reset()


Leave = Callable[[Running, Client], None]
MANNERS = pytest.mark.parametrize("leave", [reset, end_output_and_reset, pipeline_and_reset])


class News:
    """`/news` gives empty pieces, counted by `pieces`, until there is news, which never comes; `closed` is its end."""

    def __init__(self, first: bytes, pause: float) -> None:
        self.first = first
        self.pause = pause
        self.entered = threading.Event()
        self.released = threading.Event()
        self.closed = threading.Event()
        self.pieces = 0
        self.paths: list[str] = []

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.paths.append(environ["PATH_INFO"])
        if environ["PATH_INFO"] == "/wait":
            self.entered.set()
            self.released.wait(SECONDS)
        start_response("200 OK", [])
        return self._news() if environ["PATH_INFO"] == "/news" else [b"ok"]

    def _news(self) -> Iterator[bytes]:
        try:
            yield self.first
            self.entered.set()
            while not self.released.is_set():
                yield b""
                self.pieces += 1
                time.sleep(self.pause)
        finally:
            self.closed.set()

    def goes_on(self) -> bool:
        """Wait until it has given ten more pieces, or has ended; return whether it goes on."""
        enough = self.pieces + 10
        return becomes_true(lambda: self.pieces >= enough or self.closed.is_set()) and not self.closed.is_set()


@MANNERS
@pytest.mark.parametrize("pause", [0, 0.01], ids=["busy", "pausing"])
@pytest.mark.parametrize("first", [b"", b"first"], ids=["silent", "after-a-piece"])
def test_an_application_that_gives_empty_pieces_ends_when_its_client_has_left(
    leave: Leave, first: bytes, pause: float, caplog: pytest.LogCaptureFixture
) -> None:
    application = News(first, pause)
    with running(application, threads=1) as server, set_at_end(application.released):
        with server.client() as client:
            client.send(get(target="/news"))
            assert application.entered.wait(SECONDS)
            assert application.goes_on()
            with contextlib.suppress(OSError):
                leave(server, client)
        assert application.closed.wait(SECONDS)
        assert not application.released.is_set()
        with server.client() as other:
            assert other.get().body == b"ok"
        assert becomes_true(lambda: server.server.stats().connections == 0)
    assert "/next" not in application.paths
    assert errors_in(caplog.records) == []


def test_a_client_that_has_ended_its_output_may_wait_for_news() -> None:
    application = News(b"", 0.01)
    with running(application) as server, server.client() as client:
        client.send(get(target="/news"))
        client.end_output()
        assert application.entered.wait(SECONDS)
        assert becomes_true(lambda: not is_watched(server, port_of(client)))
        assert application.goes_on()
        application.released.set()
        assert client.response().status == 200


@MANNERS
def test_a_queued_request_of_a_client_that_has_reset_is_not_run(leave: Leave, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "waitress")
    application = News(b"", 0)
    with running(application, threads=1) as server, set_at_end(application.released):
        with server.client() as busy, server.client() as waiting:
            busy.send(get(target="/wait"))
            assert application.entered.wait(SECONDS)
            clients = [server.client() for _ in range(5)]
            for client in clients:
                client.send(get(target="/left"))
            assert becomes_true(lambda: server.server.stats().queue_depth == 5)
            ports = list(map(port_of, clients))
            for client in clients:
                leave(server, client)
            waiting.send(get(target="/waiting"))
            assert becomes_true(lambda: server.server.stats().queue_depth == 6)
            assert becomes_true(lambda: not any(is_watched(server, port) for port in ports))
            application.released.set()
            assert busy.response().body == b"ok"
            assert waiting.response().body == b"ok"
        assert becomes_true(lambda: server.server.stats().connections == 0)
        assert server.server.stats().responses["none"] == 5
    assert application.paths == ["/wait", "/waiting"]
    assert caplog.messages.count("Client disconnected while serving /left") == 5


def test_a_queued_request_of_a_client_that_has_ended_its_output_is_run() -> None:
    application = News(b"", 0)
    with running(application, threads=1) as server, set_at_end(application.released):
        with server.client() as busy, server.client() as waiting:
            busy.send(get(target="/wait"))
            assert application.entered.wait(SECONDS)
            waiting.send(get(target="/waiting"))
            waiting.socket.shutdown(socket.SHUT_WR)
            assert becomes_true(lambda: server.server.stats().queue_depth == 1)
            application.released.set()
            assert waiting.response().body == b"ok"
