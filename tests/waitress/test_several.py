"""Servers on several sockets, as one or side by side in a map; and where a server says that it is."""

import logging
import signal
import threading
from contextlib import closing
from typing import Any

import pytest

from tests.support.client import Client
from tests.waitress.serving import PATIENCE, address_of, answer, application, running
from waitress.channel import HTTPChannel
from waitress.server import BaseWSGIServer, MultiSocketServer, TcpWSGIServer, create_server

TWO = "127.0.0.1:0 127.0.0.1:0"


def servers_in(entries: Any) -> list[Any]:
    return [entry for entry in entries.values() if isinstance(entry, BaseWSGIServer)]


def several(made: Any) -> Any:
    assert isinstance(made, MultiSocketServer)
    return made


def test_each_listener_of_several_shows_itself_as_a_server() -> None:
    with closing(create_server(application, listen=TWO, server_name="tea.example")) as made:
        entries = servers_in(made._map)
        assert [(entry.effective_host, entry.effective_port) for entry in entries] == several(made).effective_listen
        assert all(isinstance(entry, TcpWSGIServer) for entry in entries)
        for entry in entries:
            assert entry.getsockname() == ("127.0.0.1", str(entry.socket.getsockname()[1]))
        assert {entry.server_name for entry in entries} == {"tea.example"}
        assert {entry.adj for entry in entries} == {made.adj}
        assert not any(hasattr(entry, "kettle") for entry in entries)
        assert not isinstance(entries[0], HTTPChannel)


@pytest.mark.skipif("sys.platform == 'win32'", reason="Windows has no signal to ask by")
def test_servers_that_share_a_map_end_in_order_by_a_signal() -> None:
    """As one, which a program makes of them; the main thread is in its loop."""
    runs, may_end = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        runs.set()
        may_end.wait(PATIENCE)
        return application(environ, start_response)

    own: dict[int, Any] = {}
    servers = [TcpWSGIServer(slow, own, host="127.0.0.1", port=0) for _ in range(2)]
    lines: list[str] = []
    listen = [(server.effective_host, server.effective_port) for server in servers]
    both = MultiSocketServer(own, servers[0].adj, listen, None, lines.append)
    both.print_listen("at {}:{}")
    assert lines == [f"at {host}:{port}" for host, port in listen]
    bodies: list[bytes] = []

    def ask_and_end() -> None:
        with Client(address_of(servers[1])) as client:
            client.send(b"GET /tea HTTP/1.1\r\nHost: a\r\n\r\n")
            runs.wait(PATIENCE)
            signal.raise_signal(signal.SIGTERM)
            may_end.set()
            bodies.append(client.response().body)

    thread = threading.Thread(target=ask_and_end)
    thread.start()
    both.run()
    thread.join()
    assert (bodies, own) == ([b"/tea"], {})


def test_one_that_holds_nothing_runs_and_ends_at_once() -> None:
    both = MultiSocketServer()
    both.run()
    both.print_listen("at {}:{}")
    both.close()
    assert (both.map, both.adj, both.effective_listen, both.task_dispatcher, both.log_info) == (None,) * 5


def test_a_class_that_a_program_puts_in_its_place_is_constructed_as_it_was(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Own(MultiSocketServer):
        runs = 0

        def run(self) -> None:
            type(self).runs += 1
            super().run()

    monkeypatch.setattr("waitress.server.MultiSocketServer", Own)
    made: Any = create_server(application, listen=TWO)
    assert type(made) is Own
    assert made.effective_listen == [(entry.effective_host, entry.effective_port) for entry in servers_in(made.map)]
    thread = threading.Thread(target=made.run)
    thread.start()
    for host, port in made.effective_listen:
        assert answer((host, int(port)), "/tea") == b"/tea"
    servers_in(made.map)[0].trigger.pull_trigger(made.close)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (Own.runs, made.map) == (1, {})


def test_host_and_port_can_be_set(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def port(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [environ["SERVER_PORT"].encode()]

    made = TcpWSGIServer(port, host="127.0.0.1", port=0)
    address = address_of(made)
    made.effective_host = "localhost"
    made.effective_port = 8080
    assert (made.effective_host, made.effective_port, made.url) == ("localhost", 8080, "http://localhost:8080")
    made.print_listen("at {}:{}")
    assert caplog.messages == ["at localhost:8080"]
    with running(made):
        assert answer(address) == b"8080"
        made.effective_port = "8081"
        assert answer(address) == b"8081"
