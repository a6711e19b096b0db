"""What real servers report of themselves by `stats()`."""

from __future__ import annotations

import itertools
import json
import sys
import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Recorder, answering, get, post, set_at_end
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from tests.support.times import shorten_ticks
from waitress_core import ServerStats, create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

NOTHING: dict[str, Any] = {
    "connections": 0,
    "idle_connections": 0,
    "connections_by_state": {"handshake": 0, "idle": 0, "head": 0, "body": 0, "task": 0, "flush": 0, "linger": 0},
    "queue_depth": 0,
    "threads": 2,
    "threads_busy": 0,
    "oldest_request_seconds": 0.0,
    "requests": 0,
    "responses": {"2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "none": 0},
    "bytes_in": 0,
    "bytes_out": 0,
}
LARGE = 32 * 1024 * 1024  # more than the system takes for a client that does not read


class Waiting:
    """Answers when it is released."""

    def __init__(self) -> None:
        self.entered = threading.Semaphore(0)
        self.released = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.entered.release()
        self.released.wait(SECONDS)
        start_response("200 OK", [])
        return [b"ok"]


def by_status(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the status that the path names."""
    status = environ["PATH_INFO"][1:]
    if status == "raise":
        raise RuntimeError
    start_response(f"{status} Status", [])
    return [b""]


def becomes(server: Running, **expected: Any) -> bool:
    """Wait until the stats are so; say of those that are not what they are."""

    def is_so() -> bool:
        return expected.items() <= server.server.stats()._asdict().items()

    return becomes_true(is_so, SECONDS)


def states(server: Running) -> dict[str, int]:
    return {state: count for state, count in server.server.stats().connections_by_state.items() if count}


def test_before_it_serves_a_server_has_done_nothing() -> None:
    server = create_server(Recorder(), listen="127.0.0.1:0", threads=2)
    assert server.stats()._asdict() == NOTHING
    server.close()
    assert server.stats()._asdict() == NOTHING


def test_stats_are_frozen_and_ready_for_json() -> None:
    with running(Recorder(), threads=2) as server:
        stats = server.server.stats()
    assert isinstance(stats, ServerStats)
    assert json.loads(json.dumps(stats._asdict())) == NOTHING
    with pytest.raises(AttributeError):
        stats.requests = 1  # type: ignore[misc]  # what the test is about


def test_connections_are_counted_by_what_they_do() -> None:
    application = Waiting()
    with running(application, threads=2) as server, set_at_end(application.released):
        with server.client() as head, server.client() as body, server.client() as task, server.client():
            head.send(b"GET / HT")
            body.send(post("Content-Length: 10", body=b"1"))
            task.send(get())
            assert becomes_true(lambda: states(server) == {"idle": 1, "head": 1, "body": 1, "task": 1})
            stats = server.server.stats()
            assert (stats.connections, stats.idle_connections) == (4, 1)
        application.released.set()
        assert becomes(server, connections=0)


def test_a_response_that_waits_for_its_reader_is_counted_as_such() -> None:
    with running(answering([b"x" * LARGE]), outbuf_high_watermark=2 * LARGE) as server, server.client() as client:
        client.send(get())
        assert becomes_true(lambda: states(server) == {"flush": 1})
        before = server.server.stats().bytes_out
        assert 0 < before < LARGE
        client.response()
        assert becomes_true(lambda: states(server) == {"idle": 1})
        assert server.server.stats().bytes_out > LARGE


def test_running_and_waiting_requests_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)
    application = Waiting()
    with running(application, threads=2) as server, set_at_end(application.released):
        clients = [server.client() for _ in range(5)]
        for client in clients:
            client.send(get())
        assert becomes(server, threads_busy=2, queue_depth=3, requests=0)
        first = server.server.stats().oldest_request_seconds
        assert becomes_true(lambda: server.server.stats().oldest_request_seconds > first > 0)
        application.released.set()
        assert becomes(server, threads_busy=0, queue_depth=0, requests=5, oldest_request_seconds=0.0)
        for client in clients:
            client.close()


def test_requests_are_counted_by_the_class_of_their_status() -> None:
    with running(by_status) as server:
        with server.client() as client:
            for path in ("/200", "/204", "/302", "/404", "/503"):
                client.get(path)
            client.get("/raise")
        with server.client() as client:
            client.send(b"nonsense\r\n\r\n")
            client.rest()
        with server.client() as client:
            client.send(post("Content-Length: 10", "Expect: 100-continue"))
            assert client.response().status == 100
            client.reset()
        assert becomes(server, requests=8, responses={"2xx": 2, "3xx": 1, "4xx": 2, "5xx": 2, "none": 1})


def test_every_byte_is_counted_once_and_still_when_its_connection_has_ended() -> None:
    sent = received = 0
    with running(Recorder()) as server:
        for path in ("/a", "/abc"):
            with server.client() as client:
                for data in (get(target=path), post("Content-Length: 3", body=b"abc")):
                    client.send(data)
                    sent += len(data)
                    head = b""
                    while not head.endswith(b"\r\n\r\nok"):
                        head += client.socket.recv(1)
                    received += len(head)
                assert becomes(server, bytes_in=sent, bytes_out=received)
        assert becomes(server, connections=0)
        assert becomes(server, bytes_in=sent, bytes_out=received)


def test_after_the_end_the_counters_stay() -> None:
    with running(Recorder()) as server, server.client() as client:
        client.get()
    stats = server.server.stats()
    assert (stats.requests, stats.connections, stats.threads_busy) == (1, 0, 0)
    assert stats.bytes_out > 0


def test_counters_never_go_back_while_connections_come_and_go() -> None:
    done = threading.Event()
    snapshots: list[ServerStats] = []

    def look(server: Running) -> None:
        while not done.is_set():
            snapshots.append(server.server.stats())

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with running(Recorder()) as server:
            looker = threading.Thread(target=look, args=(server,))
            looker.start()
            try:
                for _ in range(200):
                    with server.client() as client:
                        client.send(get("Connection: close"))
                        total = len(client.rest())
            finally:
                done.set()
                looker.join(SECONDS)
            assert becomes(server, requests=200, connections=0)
            assert server.server.stats().bytes_out == pytest.approx(200 * total, rel=0.01)
    finally:
        sys.setswitchinterval(interval)
    for before, after in itertools.pairwise(snapshots):
        for name in ("requests", "bytes_in", "bytes_out"):
            assert getattr(before, name) <= getattr(after, name)
        assert after.bytes_out <= 200 * (total + 10)


def test_a_dispatcher_of_a_program_has_its_own_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    shorten_ticks(monkeypatch)

    class Threads:
        def add_task(self, task: Any) -> None:
            threading.Thread(target=task.service).start()

    with running(Recorder(), dispatcher=Threads()) as server, server.client() as client:
        client.get()
        assert becomes(server, requests=1, threads=0, threads_busy=0)
