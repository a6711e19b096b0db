"""The channels by their old name: what a program may override and read."""

import gc
import logging
import re
import socket
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.interruptions import Interruption, interruptions
from tests.support.processes import becomes_true
from tests.support.times import shorten_checks
from tests.waitress.serving import PATIENCE, address_of, answer, application, running
from waitress.channel import ClientDisconnected, HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import WSGIServer, create_server
from waitress.task import ErrorTask, WSGITask
from waitress_core.observability.access_log import Exchange
from waitress_core.threads import pool as pool_module
from waitress_core.wsgi.environ import EnvironBuilder


class Held:
    """An application that waits until it is let go."""

    def __init__(self) -> None:
        self.runs, self.may_end = threading.Event(), threading.Event()

    def __call__(self, environ: Any, start_response: Any) -> list[bytes]:
        self.runs.set()
        self.may_end.wait(PATIENCE)
        return application(environ, start_response)


def only_channel(server: Any) -> Any:
    """Wait for the one client, and return its channel."""
    assert becomes_true(lambda: len(server.active_channels) == 1)
    (channel,) = server.active_channels.values()
    return channel


def test_a_channel_shows_its_client() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        client.get()
        channel = only_channel(server)
        assert isinstance(channel, HTTPChannel)
        assert channel.addr == client.socket.getsockname()
        assert channel.socket.getpeername() == channel.addr
        assert server._map[channel.fileno()] is channel
        assert becomes_true(lambda: channel.connection.idle_since is not None)
        last_activity = channel.last_activity  # read first: clocks have steps
        assert 0 <= time.time() - last_activity < PATIENCE
        assert (channel.request, channel.requests, channel.total_outbufs_len) == (None, [], 0)
        assert (channel.connected, channel.will_close, channel.check_client_disconnected()) == (True, False, False)
        assert (channel.readable(), channel.writable(), channel.accepting) == (False, False, False)
        assert "127.0.0.1" in repr(channel)
        channel.note = "a program may put something there"
        channel.will_close = True
        assert client.rest() == b""
    assert not channel.connected


@pytest.mark.skipif(sys.implementation.name == "pypy", reason="PyPy keeps attributes otherwise than in a dict")
def test_an_idle_channel_has_no_dict() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        client.get()
        channel = only_channel(server)
        assert not [each for each in gc.get_referents(channel) if isinstance(each, dict)]
        attributes = vars(channel)  # from here on there is one
        assert [each for each in gc.get_referents(channel) if isinstance(each, dict)] == [attributes]


def test_a_channel_for_what_is_no_server_that_runs_says_so() -> None:
    dummy: Any = object()
    with pytest.raises(TypeError, match=r"an HTTPChannel is made by a server that runs, .* and not for object"):
        HTTPChannel(dummy, None, ("127.0.0.1", 1), dummy)


def test_the_classes_that_it_uses_are_its_attributes() -> None:
    kinds = (HTTPChannel.parser_class, HTTPChannel.task_class, HTTPChannel.error_task_class)
    assert kinds == (HTTPRequestParser, WSGITask, ErrorTask)


@pytest.mark.skipif(not hasattr(socket, "AF_UNIX"), reason="this system has no unix sockets")
def test_a_client_of_a_unix_socket_has_no_port(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)  # a short path: the system has a limit
    server = create_server(application, unix_socket="it.sock")
    with running(server), Client(address_of(server)) as client:
        client.get()
        assert only_channel(server).addr == ("localhost", None)


def test_a_request_on_its_way_is_seen() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        client.send(b"POST /tea HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nab")
        channel = only_channel(server)
        assert becomes_true(lambda: channel.request is not None and channel.request.body_bytes_received == 2)
        assert (channel.request.path, channel.request.completed) == ("/tea", False)


@pytest.mark.parametrize("is_own", [False, True])
def test_a_request_that_runs_is_counted_and_with_an_own_channel_known(is_own: bool) -> None:
    class Own(HTTPChannel):
        pass

    class Server(WSGIServer):
        channel_class = Own if is_own else HTTPChannel

    held = Held()
    server = Server(held, host="127.0.0.1", port=0)
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET /tea HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.runs.wait(PATIENCE)
        channel = only_channel(server)
        (request,) = channel.requests
        assert request.path == ("/tea" if is_own else "")
        held.may_end.set()
        assert client.response().body == b"/tea"
        assert becomes_true(lambda: channel.requests == [])


def test_what_is_received_may_be_seen_and_changed() -> None:
    class Own(HTTPChannel):
        def __init__(self, server: Any, sock: Any, addr: Any, adj: Any, map: Any = None) -> None:
            super().__init__(server, sock, addr, adj, map)
            self.is_first = True
            self.is_from = addr

        def received(self, data: bytes) -> bool:
            if self.is_first:
                self.is_first = False
                data = data.removeprefix(b"PROXY UNKNOWN\r\n")
            return super().received(data)

    class Server(WSGIServer):
        channel_class = Own

    server = Server(application, host="127.0.0.1", port=0)
    with running(server), Client(address_of(server)) as client:
        client.send(b"PROXY UNKNOWN\r\nPOST /tea HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc")
        assert client.response().body == b"/tea"
        assert client.get("/again").body == b"/again"
        channel = only_channel(server)
        assert channel.is_from == channel.addr


def test_without_a_subclass_nothing_can_be_received_by_hand() -> None:
    server = create_server(application, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        client.get()
        assert only_channel(server).received(b"GET / HTTP/1.0\r\n\r\n") is False


@pytest.mark.parametrize("way", ["by the client", "by the response", "by the program", "with a fault"])
def test_the_end_of_a_connection_may_be_seen(way: str, caplog: pytest.LogCaptureFixture) -> None:
    ended: list[HTTPChannel] = []

    class Own(HTTPChannel):
        def handle_close(self) -> None:
            ended.append(self)
            if way == "with a fault":
                raise RuntimeError("no tea")
            super().handle_close()

    class Server(WSGIServer):
        channel_class = Own

    server = Server(application, host="127.0.0.1", port=0)
    with running(server):
        with Client(address_of(server)) as client:
            client.get("/", *(["Connection: close"] if way == "by the response" else []))
            if way == "by the program":
                only_channel(server).handle_close()
            if way not in ("by the client", "with a fault"):
                assert client.rest() == b""
        assert becomes_true(lambda: len(ended) == 1)
        assert answer(address_of(server), "/next") == b"/next"
        assert becomes_true(lambda: not server.active_channels and len(ended) == 2)
    assert len(set(ended)) == len(ended) == 2
    assert ("no tea" in caplog.text) == (way == "with a fault")


def test_the_end_of_a_connection_may_be_seen_by_a_function_on_its_channel() -> None:
    ended: list[str] = []
    server = create_server(application, listen="127.0.0.1:0")
    with running(server):
        with Client(address_of(server)) as client:
            client.get()
            only_channel(server).handle_close = lambda: ended.append("seen")
        assert becomes_true(lambda: ended == ["seen"])


def test_each_request_may_be_wrapped() -> None:
    served: list[str] = []

    class Own(HTTPChannel):
        def service(self) -> None:
            served.append(self.requests[-1].path)
            super().service()

    class Server(WSGIServer):
        channel_class = Own

    server = Server(application, host="127.0.0.1", port=0)
    with running(server), Client(address_of(server)) as client:
        for number in range(20):
            assert client.get(f"/{number}").body == f"/{number}".encode()
    assert served == [f"/{number}" for number in range(20)]


def test_pipelined_requests_are_answered_in_order_each_with_its_own() -> None:
    class Own(HTTPChannel):
        pass

    class Server(WSGIServer):
        channel_class = Own

    server = Server(application, host="127.0.0.1", port=0)
    with running(server), Client(address_of(server)) as client:
        client.send(b"".join(b"GET /%d HTTP/1.1\r\nHost: x\r\n\r\n" % number for number in range(50)))
        assert [client.response().body for _ in range(50)] == [b"/%d" % number for number in range(50)]


def test_a_request_that_waits_is_cancelled_at_the_end(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_checks(monkeypatch)

    class Own(HTTPChannel):
        pass

    class Server(WSGIServer):
        channel_class = Own

    held = Held()
    server = Server(held, host="127.0.0.1", port=0, threads=1, status_listen="127.0.0.1:0")
    with running(server) as thread, Client(address_of(server)) as first, Client(address_of(server)) as second:
        first.send(b"GET /1 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert held.runs.wait(PATIENCE)
        second.send(b"POST /2 HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
        assert becomes_true(lambda: sum(len(one.requests) for one in server.active_channels.values()) == 2)
        assert becomes_true(lambda: len(server.task_dispatcher.queue) == 1)
        server._map.clear()
        assert second.rest() == b""
        [snapshot] = server.status_snapshots()
        assert snapshot["requests"] == {"POST": {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "none": 1}}
        held.may_end.set()
        assert first.response().body == b"/1"
        thread.join(PATIENCE)


def test_an_own_task_may_send_its_own_bytes() -> None:
    class Own(WSGITask):
        def execute(self) -> None:
            assert self.channel.write_soon(b"HTTP/1.1 102 Processing\r\n\r\n") == 27
            assert self.channel.write_soon(b"") == 0
            super().execute()

    class Channel(HTTPChannel):
        task_class = Own

    class Server(WSGIServer):
        channel_class = Channel

    server = Server(application, host="127.0.0.1", port=0)
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET /tea HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        assert client.rest().startswith(b"HTTP/1.1 102 Processing\r\n\r\nHTTP/1.1 200 OK\r\n")


def test_an_application_gets_client_disconnected_when_the_client_has_left() -> None:
    raised: list[BaseException] = []
    has_left, is_over = threading.Event(), threading.Event()

    def streaming(environ: Any, start_response: Any) -> list[bytes]:
        write = start_response("200 OK", [])
        assert has_left.wait(PATIENCE)
        try:
            while True:
                write(b"x" * 65536)
        except ClientDisconnected as error:
            raised.append(error)
            raise
        finally:
            is_over.set()

    server = create_server(streaming, listen="127.0.0.1:0")
    with running(server):
        with Client(address_of(server)) as client:
            client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            client.reset()
        has_left.set()
        assert is_over.wait(PATIENCE)
    assert len(raised) == 1


def test_a_channel_class_that_can_not_be_made_costs_its_client_only(caplog: pytest.LogCaptureFixture) -> None:
    count = 0

    class Broken(HTTPChannel):
        def __init__(self, *arguments: Any) -> None:
            nonlocal count
            count += 1
            if count == 1:
                raise RuntimeError("no tea")
            super().__init__(*arguments)

    class Server(WSGIServer):
        channel_class = Broken

    server = Server(application, host="127.0.0.1", port=0)
    with running(server):
        with Client(address_of(server)) as client:
            assert client.rest() == b""
        assert answer(address_of(server), "/whole") == b"/whole"
    assert "no tea" in caplog.text


def test_output_that_the_client_does_not_read_is_counted() -> None:
    def large(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        return [b"x" * 8_000_000]

    server = create_server(large, listen="127.0.0.1:0")
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        channel = only_channel(server)
        assert becomes_true(lambda: channel.total_outbufs_len > 0)
        assert len(client.response().body) == 8_000_000
        assert becomes_true(lambda: channel.total_outbufs_len == 0)


@pytest.mark.parametrize("way", ["served", "streamed", "fails", "answers itself", "cannot be made"])
def test_the_access_log_has_a_line_for_each_request_of_an_own_task(way: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress.access")
    lines: list[str] = []

    class Own(WSGITask):
        def __init__(self, channel: HTTPChannel, request: HTTPRequestParser) -> None:
            if way == "cannot be made":
                raise RuntimeError("no tea")
            super().__init__(channel, request)

        def execute(self) -> None:
            lines.append(type(self).__name__)
            if way == "answers itself":
                self.complete = True
                self.status = "418 I'm a teapot"
                self.write(b"short and stout")
            else:
                super().execute()

    class Channel(HTTPChannel):
        task_class = Own

    class Server(WSGIServer):
        channel_class = Channel

    def kettle(environ: Any, start_response: Any) -> Any:
        if way == "fails":
            raise RuntimeError("the kettle is empty")
        environ["REMOTE_USER"] = "alice"
        start_response("200 OK", [])
        return [b"tea"] if way == "served" else iter([b"tea", b"pot"])

    server = Server(kettle, host="127.0.0.1", port=0, access_log=True)
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET /tea HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        client.rest()
    (line,) = [record.getMessage() for record in caplog.records if record.name == "waitress.access"]
    said = {
        "served": '127.0.0.1 - alice [...] "GET /tea HTTP/1.1" 200 3 "-" "-"',
        "streamed": '127.0.0.1 - alice [...] "GET /tea HTTP/1.1" 200 21 "-" "-"',
        "fails": '127.0.0.1 - - [...] "GET /tea HTTP/1.1" 500 110 "-" "-"',
        "answers itself": '127.0.0.1 - - [...] "GET /tea HTTP/1.1" 418 25 "-" "-"',
        "cannot be made": '127.0.0.1 - - [...] "GET /tea HTTP/1.1" - 0 "-" "-"',
    }
    assert re.sub(r"\[.*\]", "[...]", line) == said[way]
    assert lines in ([], ["Own"])


def test_a_request_after_close_has_the_own_channel_still() -> None:
    class Own(HTTPChannel):
        pass

    server = create_server(application, listen="127.0.0.1:0")
    server.channel_class = Own
    with running(server), Client(address_of(server)) as client:
        client.get()
        channel = only_channel(server)
        task_of = server.task_factory(EnvironBuilder(server.adj, "80", "http"), None)
        # What `close` does at once; the connection ends a turn later
        server._server_map.remove_channel(channel.connection)
        channel.take = lambda request, environ_builder, access_log: channel
        assert task_of(channel.connection, None) is channel  # type: ignore[arg-type]  # no request is looked at
    assert server._server_map.channels == {}


def test_a_request_given_up_ends_its_connection_though_the_access_log_fails(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(exchange: Exchange) -> None:
        raise OSError("disk full")

    class Failing(WSGITask):
        def __init__(self, channel: Any, request: Any) -> None:
            raise ValueError("no task today")

    class Own(HTTPChannel):
        task_class = Failing

    monkeypatch.setattr(Exchange, "service", fail)
    server = create_server(application, listen="127.0.0.1:0", access_log=True)
    server.channel_class = Own
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.rest() == b""


def test_a_thread_killed_at_any_step_after_the_application_keeps_no_channel_busy(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pool_module, "FAULT_SECONDS", 0.001)
    tried: list[Interruption] = []

    def interrupted(environ: Any, start_response: Any) -> list[bytes]:
        tried[-1].start()
        return application(environ, start_response)

    class Own(WSGITask):
        def start(self) -> None:
            super().start()

    class OwnChannel(HTTPChannel):
        task_class = Own

    server = create_server(interrupted, listen="127.0.0.1:0", threads=2)
    server.channel_class = OwnChannel
    with running(server):
        for interruption in interruptions(until={"turn", "release"}):  # what the thread does next
            tried.append(interruption)
            with Client(address_of(server)) as client:
                client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
                assert interruption.is_over.wait(PATIENCE)
                assert becomes_true(lambda: not any(one.is_busy for one in server._connections()), PATIENCE), (
                    interruption.place
                )
