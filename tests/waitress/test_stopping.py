"""The ways by which programs stop a server, each as they do it."""

import socket
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.times import shorten_checks
from tests.waitress.serving import PATIENCE, address_of, answer, application, is_refused, running
from waitress import trigger, wasyncore
from waitress.channel import HTTPChannel
from waitress.server import MultiSocketServer, TcpWSGIServer, WSGIServer, create_server

ONE, TWO = "127.0.0.1:0", "127.0.0.1:0 127.0.0.1:0"
listening = pytest.mark.parametrize("listen", [ONE, TWO], ids=["one", "two"])


class Stoppable(WSGIServer):
    """As in the tests of many programs: it is run by the loop."""

    def run(self) -> None:
        self.asyncore.loop(0.5, map=self._map)


def by_handle_close(server: Any) -> None:  # WebTest, Anki
    while server._map:
        for entry in list(server._map.values()):
            entry.handle_close()
    server.task_dispatcher.shutdown()


def by_close(server: Any) -> None:  # ycmd
    server.task_dispatcher.shutdown()
    for entry in list(server._map.values()):
        entry.close()


def by_clear(server: Any) -> None:
    server._map.clear()


def by_close_all(server: Any) -> None:  # plone.testing
    wasyncore.close_all(server._map)


def by_dispatcher(server: Any) -> None:
    assert server.task_dispatcher.shutdown(cancel_pending=True, timeout=1) is True


def by_trigger(server: Any) -> None:
    server.trigger.pull_trigger(server.close)


def by_itself(server: Any) -> None:
    server.close()


ways = pytest.mark.parametrize(
    "stop", [by_handle_close, by_close, by_clear, by_close_all, by_dispatcher, by_trigger, by_itself]
)


def check(server: Any, stop: Callable[[Any], None], run: Callable[[], object] | None = None) -> None:
    """Serve, with a connection that stays open, and stop."""
    address = address_of(server)
    with running(server, run) as thread:
        assert answer(address, "/tea") == b"/tea"
        with Client(address) as client:
            assert client.get("/tea").body == b"/tea"
            stop(server)
            thread.join(PATIENCE)
            assert not thread.is_alive()
            assert becomes_true(lambda: not server._map)
            assert client.rest() == b""
    assert is_refused(address)


@ways
@listening
def test_a_server_that_runs_ends(stop: Callable[[Any], None], listen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_checks(monkeypatch)
    check(create_server(application, listen=listen), stop)


@ways
def test_a_server_in_the_loop_ends(stop: Callable[[Any], None]) -> None:
    check(Stoppable(application, host="127.0.0.1", port=0), stop)


@ways
def test_a_server_with_the_map_of_a_program_ends(stop: Callable[[Any], None]) -> None:
    own: dict[int, Any] = {}
    server = create_server(application, own, listen=TWO)
    assert isinstance(server, MultiSocketServer)
    assert server.map is own
    check(server, stop, lambda: wasyncore.loop(0.5, use_poll=False, map=own, count=None))


@pytest.mark.parametrize("way", [by_handle_close, by_close, by_close_all])
def test_a_server_that_does_not_run_gives_its_sockets_back(way: Callable[[Any], None]) -> None:
    server = create_server(application, listen=TWO)
    address = address_of(server)
    way(server)
    assert not server._map
    assert is_refused(address)
    server.run()  # it ends at once


def test_a_listener_closed_before_the_server_runs_is_not_served_but_the_others_are() -> None:
    server = create_server(application, listen=TWO)
    first = address_of(server)
    entry = server._map[server._listeners[0].descriptor]
    entry.handle_close()
    entry.close()
    assert len(server._map) == 2  # the other, and the trigger
    with running(server):
        answer(address_of(server))
        assert address_of(server) != first
        assert is_refused(first)


def test_a_server_that_is_closed_before_the_loop_starts_does_not_serve() -> None:
    server = Stoppable(application, host="127.0.0.1", port=0)
    server.close()
    server.run()
    assert is_refused(address_of(server))


def test_a_channel_that_is_closed_takes_nobody_with_it() -> None:
    server = create_server(application, listen=ONE)
    with running(server), Client(address_of(server)) as client, Client(address_of(server)) as other:
        client.get()
        other.get()
        channel = next(
            entry
            for entry in server._map.values()
            if isinstance(entry, HTTPChannel) and entry.addr == client.socket.getsockname()
        )
        assert (channel.connected, channel.server, channel.adj) == (True, server, server.adj)
        channel.close()
        channel.close()
        assert channel not in server._map.values()
        assert client.rest() == b""
        assert becomes_true(lambda: not channel.connected)
        assert channel.will_close
        assert other.get("/still").body == b"/still"


def test_a_channel_with_a_request_that_runs_is_closed_and_the_server_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_checks(monkeypatch)
    runs, may_end = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        start_response("200 OK", [])
        runs.set()
        may_end.wait(PATIENCE)
        return [b"tea"]

    server = create_server(slow, listen=ONE)
    with running(server) as thread, Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert runs.wait(PATIENCE)
        (channel,) = server.active_channels.values()
        channel.handle_close()
        assert client.rest() == b""
        assert not server.active_channels
        may_end.set()
        server._map.clear()
        thread.join(PATIENCE)


def test_a_listener_that_is_closed_leaves_the_others() -> None:
    server = create_server(application, listen=TWO)
    first, second = (("127.0.0.1", int(port)) for _, port in server.effective_listen)  # type: ignore[attr-defined]  # it has several
    with running(server):
        assert answer(second, "/a") == b"/a"
        entry = server._map[server._listeners[0].descriptor]
        assert (entry.server, entry.fileno()) == (server, entry.socket.fileno())
        entry.handle_close()
        assert is_refused(first)
        assert answer(second, "/b") == b"/b"


def test_a_request_under_way_is_answered_when_the_dispatcher_is_shut_down() -> None:
    runs, may_end = threading.Event(), threading.Event()

    def slow(environ: Any, start_response: Any) -> list[bytes]:
        runs.set()
        may_end.wait(PATIENCE)
        start_response("200 OK", [])
        return [b"tea"]

    server = create_server(slow, listen=ONE)
    with running(server), Client(address_of(server)) as client:
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert runs.wait(PATIENCE)
        stopper = threading.Thread(target=server.task_dispatcher.shutdown)
        stopper.start()
        may_end.set()
        assert client.response().body == b"tea"
        stopper.join(PATIENCE)


def test_two_servers_share_a_map_and_a_loop() -> None:
    own: dict[int, Any] = {}
    first = create_server(application, own, listen=ONE)
    second = create_server(application, own, listen=ONE)
    with running(first, lambda: wasyncore.loop(0.2, map=own)) as thread:
        assert answer(address_of(first), "/1") == b"/1"
        assert answer(address_of(second), "/2") == b"/2"
        first.close()
        assert answer(address_of(second), "/2") == b"/2"
        second.close()
        thread.join(PATIENCE)


def test_after_so_many_waits_the_loop_is_over_and_the_server_goes_on() -> None:
    server = TcpWSGIServer(application, host="127.0.0.1", port=0)
    server.asyncore.loop(0.01, map=server._map, count=2)
    assert answer(address_of(server), "/on") == b"/on"
    server.close()


def test_an_exception_in_the_loop_ends_its_servers() -> None:
    own: dict[int, Any] = {}
    server = create_server(application, own, listen=ONE)

    class Impatient(wasyncore.dispatcher):
        def handle_write(self) -> None:
            raise wasyncore.ExitNow

        def readable(self) -> bool:
            return False

    impatient = Impatient(map=own)
    impatient.create_socket(type=socket.SOCK_DGRAM)  # writable at once on every system
    with pytest.raises(wasyncore.ExitNow):
        wasyncore.loop(1, map=own)
    impatient.close()
    assert is_refused(address_of(server))
    assert own == {}


def test_a_thunk_is_called_by_the_thread_that_waits_and_what_it_raises_is_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    called: list[threading.Thread] = []
    server = create_server(application, listen=ONE, asyncore_loop_timeout=60)
    with running(server) as thread:
        answer(address_of(server))
        server.trigger.pull_trigger(lambda: 1 / 0)
        server.trigger.pull_trigger(lambda: called.append(threading.current_thread()))
        server.trigger.pull_trigger()
        server.pull_trigger()
        assert becomes_true(lambda: bool(called))
        assert called == [thread]
    assert "exception in trigger thunk" in caplog.text
    server.trigger.handle_close()


def test_a_thunk_is_called_by_the_thread_that_loops() -> None:
    called: list[threading.Thread] = []
    own: dict[int, Any] = {}
    server = create_server(application, own, listen=ONE)
    assert own[server.trigger.fileno()] is server.trigger
    with running(server, lambda: wasyncore.loop(60, map=own)) as thread:
        answer(address_of(server))
        server.trigger.pull_trigger(lambda: called.append(threading.current_thread()))
        assert becomes_true(lambda: bool(called))
        assert called == [thread]
        started_at = time.monotonic()
        server.close()
        thread.join(PATIENCE)
        assert time.monotonic() - started_at < wasyncore.SLICE_SECONDS  # the loop did not wait for its next slice


def test_a_trigger_that_a_program_makes_wakes_its_own_loop() -> None:
    """As it was used with sockets of the program's own, without a server."""
    own: dict[int, Any] = {}
    made = trigger.trigger(own)
    assert own == {made.fileno(): made}
    called: list[threading.Thread] = []

    def end() -> None:
        called.append(threading.current_thread())
        made.close()

    thread = threading.Thread(target=wasyncore.loop, args=(60, False, own))
    thread.start()
    made.pull_trigger(lambda: called.append(threading.current_thread()))
    assert becomes_true(lambda: called == [thread])
    made.pull_trigger(end)
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert (called, own, made.fileno()) == ([thread] * 2, {}, -1)
    made.close()
    made.pull_trigger(lambda: None)  # too late, and no error


def test_maintenance_is_called_by_the_thread_that_loops() -> None:
    called: list[threading.Thread] = []

    class Own(Stoppable):
        def maintenance(self, now: float) -> None:
            called.append(threading.current_thread())

    server = Own(application, host="127.0.0.1", port=0, cleanup_interval=1)
    with running(server) as thread:
        assert becomes_true(lambda: bool(called))
        assert set(called) == {thread}


def test_maintenance_is_called_once_in_an_interval() -> None:
    called = threading.Event()

    class Own(WSGIServer):
        def maintenance(self, now: float) -> None:
            called.set()

    server = Own(application, host="127.0.0.1", port=0, cleanup_interval=1)
    with running(server):
        assert called.wait(PATIENCE)
    WSGIServer(application, host="127.0.0.1", port=0).close()


def test_a_server_that_ends_leaves_alone_what_has_its_descriptors_now() -> None:
    own: dict[int, Any] = {}
    server = create_server(application, own, listen=TWO)
    others = {descriptor: wasyncore.dispatcher(map={}) for descriptor in own}
    own.update(others)  # as another server in the map does, which gets a descriptor that has just been given back
    server.close()
    assert own == others
