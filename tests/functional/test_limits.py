"""The limits of a server: how many connections, how large a request, how slow a client, how many threads."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import SECONDS, Recorder, errors_in, get, post, set_at_end
from tests.support.client import Client
from tests.support.processes import becomes_true
from tests.support.servers import Running, running
from tests.support.times import SHORT_TICK_SECONDS, SkippingClock, shorten_ticks
from waitress_core import SETTINGS, Adjustments, create_server
from waitress_core.connection.data_rate import CHARGED_SECONDS
from waitress_core.connection.manager import SPARED_SECONDS
from waitress_core.connection.room import PATIENCE
from waitress_core.threads import queue_log

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

REACHED = "total open connections reached the connection limit, no longer accepting new connections"
DROPPED = "total open connections dropped below the connection limit, listening again"


class Waiting:
    """`/wait...` waits for `released`; `running` are the paths of the calls under way, `most` how many at once."""

    def __init__(self) -> None:
        self.released = threading.Event()
        self.running: list[str] = []
        self.most = 0
        self._lock = threading.Lock()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ["PATH_INFO"]
        with self._lock:
            self.running.append(path)
            self.most = max(self.most, len(self.running))
        if path.startswith("/wait"):
            self.released.wait(SECONDS)
        with self._lock:
            self.running.remove(path)
        start_response("200 OK", [("Content-Type", "text/plain")])
        return [path.encode()]


def states(server: Running) -> dict[str, int]:
    """Return how many connections are in each state that has any."""
    return {name: count for name, count in server.server.stats().connections_by_state.items() if count}


# --- connections


@pytest.mark.promise("S67")
def test_the_longest_idle_of_a_hundred_connections_make_room_for_new_ones(skipping_clock: SkippingClock) -> None:
    assert Adjustments().connection_limit == 1000
    with running(Recorder(), connection_limit=100) as server, server.clients(110) as clients:
        assert becomes_true(lambda: server.server.stats().connections == 100)
        skipping_clock.skip(1)
        with server.client() as late:
            assert late.get().body == b"ok"
        for client in clients[:10]:
            assert client.is_closed_within(SECONDS)
        # The eleventh has made room for the late one; all the others have lost nothing.
        for client in clients[11:]:
            assert client.get().body == b"ok"


@pytest.mark.plain  # a client in the backlog cannot shake hands
@pytest.mark.promise("S67")
def test_at_the_limit_a_response_ends_its_connection_once_a_client_waits() -> None:
    with running(Recorder(), connection_limit=2) as server, server.clients(2) as clients:
        for client in clients:
            assert client.get().header("Connection") is None
        with server.client() as waiting:
            # Busy enough, and not to be closed for being idle; it lets the waiting one in within its next requests.
            assert becomes_true(lambda: clients[0].get().header("Connection") == "close")
            assert clients[0].rest() == b""
            clients[0].socket.close()
            assert waiting.get().header("Connection") is None
            assert clients[1].get().header("Connection") is None


@pytest.mark.promise("S67")
def test_a_connection_that_was_told_to_persist_is_not_closed_at_the_limit(skipping_clock: SkippingClock) -> None:
    """Between the last byte of a response and the end of its request: as long as the application's close takes."""
    released = threading.Event()

    class Body:
        def __iter__(self) -> Iterator[bytes]:
            return iter([b"ok"])

        def close(self) -> None:
            released.wait(SECONDS)

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", "2")])
        return Body()

    with running(application, connection_limit=2) as server, set_at_end(released), server.client() as first:
        assert first.get().header("Connection") is None
        with server.client():
            assert becomes_true(lambda: server.server.stats().connections == 2)
            released.set()
            assert becomes_true(lambda: states(server) == {"idle": 2})
            skipping_clock.skip_to_tick(server.server, SHORT_TICK_SECONDS)
            assert not first.can_read_within(0), "the connection is closed"
            assert first.get().body == b"ok"


@pytest.mark.promise("S67")
def test_only_client_connections_are_counted() -> None:
    with running(Recorder(), connection_limit=1, listen="127.0.0.1:0 127.0.0.1:0 127.0.0.1:0") as server:
        for _ in range(3):
            with server.client() as client:
                assert client.get().body == b"ok"


@pytest.mark.plain  # a client in the backlog cannot shake hands
@pytest.mark.promise("S67")
def test_with_no_connection_idle_new_clients_wait(
    skipping_clock: SkippingClock, caplog: pytest.LogCaptureFixture
) -> None:
    application = Waiting()
    caplog.set_level("INFO", "waitress")
    with running(application, connection_limit=2) as server, set_at_end(application.released):
        with server.clients(2) as busy, server.clients(3) as late:
            for client in busy:
                client.send(get(target="/wait"))
            assert becomes_true(lambda: len(application.running) == 2)
            for client in late:
                client.send(get(target="/late"))
            assert becomes_true(lambda: REACHED in caplog.messages)
            skipping_clock.skip(10)
            assert not late[0].can_read_within(5 * SHORT_TICK_SECONDS)
            application.released.set()
            for client, body in [*((client, b"/wait") for client in busy), *((client, b"/late") for client in late)]:
                assert client.response().body == body
                client.close()
        assert becomes_true(lambda: DROPPED in caplog.messages)
    # Told when it comes to that, not once for each client.
    assert set(errors_in(caplog.records)) == {REACHED}
    assert caplog.messages.count(REACHED) <= 3


@pytest.mark.plain  # a client in the backlog cannot shake hands
@pytest.mark.promise("S67")
def test_a_connection_is_let_idle_for_a_second_before_it_makes_room(skipping_clock: SkippingClock) -> None:
    with running(Recorder(), connection_limit=1) as server:
        with server.client() as fresh, server.client() as late:
            late.send(get())
            assert not late.can_read_within(5 * SHORT_TICK_SECONDS)
            skipping_clock.skip(1)
            assert late.response().body == b"ok"
            assert fresh.is_closed_within(SECONDS)


@pytest.mark.plain  # a client in the backlog cannot shake hands
@pytest.mark.promise("S67")
def test_a_connection_with_a_part_of_a_request_is_not_idle(
    skipping_clock: SkippingClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(PATIENCE, "head", 1000.0)  # however long this test takes
    with running(Recorder(), connection_limit=1) as server, server.client() as slow, server.client() as late:
        slow.send(b"G")
        late.send(get(target="/late"))
        assert becomes_true(lambda: states(server) == {"head": 1})
        skipping_clock.skip(10 * SPARED_SECONDS)
        assert not late.can_read_within(5 * SHORT_TICK_SECONDS)
        slow.send(get(target="/slow")[1:])
        assert slow.response().status == 200
        slow.close()
        assert late.response().status == 200


@pytest.mark.promise("S67")
def test_many_clients_behind_a_small_limit_are_all_answered() -> None:
    answered: list[bytes] = []

    def ask(server: Running) -> None:
        for _ in range(10):
            with server.client() as client:
                answered.append(client.get().body)

    with running(Recorder(), connection_limit=3) as server:
        threads = [threading.Thread(target=ask, args=(server,)) for _ in range(12)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    assert answered == [b"ok"] * 120


# --- sizes

MAX_HEAD = 1000
MAX_BODY = 1000


def head_of(size: int, end: bytes = b"\r\n\r\n") -> bytes:
    """Write a head of exactly this many bytes."""
    start = b"GET / HTTP/1.1\r\nHost: localhost\r\nX: "
    return start + b"a" * (size - len(start) - len(end)) + end


def chunks_of(sizes: Iterable[int]) -> bytes:
    return b"".join(b"%x\r\n%s\r\n" % (size, b"a" * size) for size in sizes) + b"0\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        pytest.param(head_of(MAX_HEAD - 1), 200, id="S85-head-below"),
        pytest.param(head_of(MAX_HEAD), 200, id="S85-head-of-just-the-limit"),
        pytest.param(head_of(MAX_HEAD + 1), 431, id="S85-head-of-one-more"),
        pytest.param(head_of(MAX_HEAD + 1, end=b""), 431, id="S85-head-of-one-more-that-does-not-end"),
        pytest.param(head_of(MAX_HEAD) * 3, 200, id="S85-three-heads-are-counted-each"),
        pytest.param(post(f"Content-Length: {MAX_BODY}", body=b"a" * MAX_BODY), 200, id="S85-body-of-just-the-limit"),
        pytest.param(post(f"Content-Length: {MAX_BODY + 1}"), 413, id="S85-body-of-one-more-before-it-comes"),
        pytest.param(post("Content-Length: 99999999999999999999"), 413, id="S85-absurd-body"),
        pytest.param(
            post(f"Content-Length: {MAX_BODY + 1}", "Expect: 100-continue"), 413, id="S85-body-that-asks-first"
        ),
        pytest.param(post(CHUNKED, body=chunks_of([MAX_BODY])), 200, id="S85-chunk-of-just-the-limit"),
        pytest.param(post(CHUNKED, body=chunks_of([1] * MAX_BODY)), 200, id="S85-chunks-count-decoded"),
        pytest.param(post(CHUNKED, body=chunks_of([MAX_BODY + 1])), 413, id="S85-chunk-of-one-more"),
        pytest.param(post(CHUNKED, body=chunks_of([1] * (MAX_BODY + 1))), 413, id="S85-chunks-of-one-more"),
        pytest.param(post(CHUNKED, body=chunks_of([MAX_BODY, 1])), 413, id="S85-last-chunk-of-one-more"),
        pytest.param(
            post(CHUNKED, body=b"0\r\n" + b"X: " + b"a" * MAX_HEAD + b"\r\n\r\n"), 431, id="S85-trailers-beyond-head"
        ),
    ],
)
def test_limits_are_inclusive(request_: bytes, status: int) -> None:
    recorder = Recorder()
    with running(recorder, max_request_header_size=MAX_HEAD, max_request_body_size=MAX_BODY) as server:
        with server.client() as client:
            client.send(request_)
            response = client.response()
            assert response.status == status
            if status == 200:
                for _ in recorder.paths[1:]:
                    assert client.response().status == 200
                assert client.get("/next").status == 200
            else:
                assert response.header("Connection") == "close"
                assert client.rest() == b""
                assert recorder.paths == []
        with server.client() as other:
            assert other.get("/other").status == 200


@pytest.mark.promise("S85")
def test_an_endless_head_is_cut_at_the_limit() -> None:
    with running(Recorder(), max_request_header_size=100_000) as server, server.client() as client:
        sent = 0
        client.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
        # Until it answers, which has to be long before this is all sent.
        with contextlib.suppress(ConnectionError):
            while not client.can_read_within(0) and sent < 100_000_000:
                client.send(b"X: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\r\n" * 20)
                sent += 860
        assert client.response().status == 431
        assert client.rest() == b""
        assert sent < 50_000_000


@pytest.mark.promise("S85")
def test_an_endless_chunked_body_is_cut_at_the_limit() -> None:
    with running(Recorder(), max_request_body_size=100_000) as server, server.client() as client:
        sent = 0
        client.send(post(CHUNKED))
        with contextlib.suppress(ConnectionError):
            while not client.can_read_within(0) and sent < 100_000_000:
                client.send(b"400\r\n" + b"a" * 1024 + b"\r\n")
                sent += 1024
        assert client.response().status == 413
        assert client.rest() == b""
        assert sent < 50_000_000


@pytest.mark.promise("S85")
def test_the_body_limit_is_a_gibibyte_unless_set() -> None:
    assert Adjustments().max_request_body_size == 2**30
    assert Adjustments().max_request_header_size == 2**18
    with running(Recorder()) as server:
        with server.client() as client:
            client.send(post(f"Content-Length: {2**30}", "Expect: 100-continue"))
            assert client.response().status == 100
        with server.client() as client:
            client.send(post(f"Content-Length: {2**30 + 1}", "Expect: 100-continue"))
            assert client.response().status == 413


@pytest.mark.promise("S85")
def test_a_body_limit_of_zero_is_no_bodies() -> None:
    with running(Recorder(), max_request_body_size=0) as server:
        with server.client() as client:
            assert client.get().status == 200
            client.send(post("Content-Length: 0"))
            assert client.response().status == 200
            client.send(post(CHUNKED, body=b"0\r\n\r\n"))
            assert client.response().status == 200
            client.send(post("Content-Length: 1"))
            assert client.response().status == 413


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("size", [9_999, 10_000, 10_001, 100_000, 1_000_000])
def test_a_body_arrives_whole_on_both_sides_of_its_overflow(framing: str, size: int) -> None:
    """Beyond inbuf_overflow it lies in a file; the application does not notice."""
    recorder = Recorder()
    body = bytes(number % 251 for number in range(size))
    with running(recorder, inbuf_overflow=10_000) as server, server.client() as client:
        if framing == "length":
            client.send(post(f"Content-Length: {size}", body=body))
        else:
            pieces = [body[start : start + 7_000] for start in range(0, size, 7_000)]
            coded = b"".join(b"%x\r\n%s\r\n" % (len(piece), piece) for piece in pieces)
            client.send(post(CHUNKED, body=coded + b"0\r\n\r\n"))
        assert client.response().status == 200
    assert recorder.bodies == [body]
    assert recorder.environs[0]["CONTENT_LENGTH"] == str(size)


# --- time


def trickle(client: Client, clock: SkippingClock, start: bytes, again: bytes) -> bytes:
    """Send some bytes once a second until the server ends the connection; return its answer."""
    client.send(start)
    with contextlib.suppress(ConnectionError):
        for _ in range(200):
            if client.can_read_within(0.01):
                return client.rest()
            clock.skip(1)
            client.send(again)
    return client.rest()


SLOW = {
    "head": (b"GET / HTTP/1.1\r\nX: ", b"a"),
    "fields": (b"GET / HTTP/1.1\r\n", b"X: a\r\n"),
    "request-line": (b"GET /", b"a"),
    "body": (post("Content-Length: 100000"), b"a"),
    "chunk": (post(CHUNKED, body=b"fffff\r\n"), b"a"),
    "chunks": (post(CHUNKED), b"1\r\na\r\n"),
    "chunk-extension": (post(CHUNKED, body=b"1;a="), b"b"),
    "trailers": (post(CHUNKED, body=b"0\r\nX: "), b"a"),
}


@pytest.mark.parametrize("name", SLOW)
def test_a_client_that_trickles_is_cut_off(name: str, skipping_clock: SkippingClock) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        said = trickle(client, skipping_clock, *SLOW[name])
        assert not said or said.split(b" ")[1] == b"408"
        assert b"\r\nConnection: close\r\n" in said or not said
        assert recorder.paths == []
        with server.client() as other:
            assert other.get().status == 200


# But the one that has other processes serve.
DURATIONS = [setting.name for setting in SETTINGS if setting.unit == "seconds" and setting.name != "max_worker_age"]


@pytest.mark.promise("S14", "S68", "S69")
@pytest.mark.parametrize("kind", [float, str])
def test_each_duration_may_be_a_fraction_of_a_second(
    kind: Callable[[float], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_ticks(monkeypatch)
    recorder = Recorder()
    settings = {name: kind(0.4) for name in DURATIONS}
    with running(recorder, **settings) as server, server.client() as idle, server.client() as slow:
        started_at = time.monotonic()
        assert idle.get().body == b"ok"
        slow.send(b"GET / HTTP/1.1\r\n")
        assert slow.response().status == 408
        assert idle.rest() == b""
        # By default it would be two minutes, and whole seconds are not what a machine under load can be held to.
        assert time.monotonic() - started_at < 15


@pytest.mark.parametrize("seconds", [sys.maxsize, 1e300], ids=repr)
def test_no_duration_is_too_long(seconds: float) -> None:
    """Programs write `channel_timeout=sys.maxsize` for never; `Event.wait` takes no more than `TIMEOUT_MAX`."""
    settings: dict[str, Any] = dict.fromkeys(DURATIONS, seconds)
    server = create_server(Recorder(), listen="127.0.0.1:0", **{**settings, "shutdown_delay": 0})
    faults: list[BaseException] = []

    def run() -> None:
        try:
            server.run()
        except BaseException as error:
            faults.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    with Client((server._listeners[0].host, int(server._listeners[0].port))) as client:
        assert client.get().body == b"ok"
    server.shutdown()
    thread.join(SECONDS)
    assert not thread.is_alive()
    assert faults == []


@pytest.mark.parametrize("name", SLOW)
def test_a_client_that_stops_within_a_request_is_cut_off(name: str, skipping_clock: SkippingClock) -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(SLOW[name][0])
        assert becomes_true(lambda: states(server) in ({"head": 1}, {"body": 1}))
        # In steps of what one check charges at most: a server that has stood still cannot know what its client did.
        for _ in range(10):
            skipping_clock.skip_to_tick(server.server, CHARGED_SECONDS)
            assert not client.can_read_within(0)
        for _ in range(6):
            skipping_clock.skip_to_tick(server.server, CHARGED_SECONDS)
            if client.can_read_within(0):
                break
        said = client.rest()
        assert not said or said.split(b" ")[1] == b"408"
    assert recorder.paths == []


def test_a_body_that_keeps_its_rate_may_take_longer_than_the_time_for_silence(skipping_clock: SkippingClock) -> None:
    recorder = Recorder()
    with running(recorder, request_body_timeout=30, request_body_rate=100) as server, server.client() as client:
        client.send(post("Content-Length: 20000"))
        for _ in range(20):
            assert not client.can_read_within(0)
            client.send(b"a" * 1000)
            skipping_clock.skip_to_tick(server.server, CHARGED_SECONDS)
        assert client.response().status == 200
    assert recorder.bodies == [b"a" * 20000]


class Torrent:
    """Answers with pieces of 64 KiB; `ended` is set when the server has closed the iterable."""

    PIECE = bytes(65536)

    def __init__(self, pieces: int) -> None:
        self.pieces = pieces
        self.given = 0
        self.ended = threading.Event()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [("Content-Length", str(self.pieces * len(self.PIECE)))])
        return self._give() if environ["PATH_INFO"] == "/torrent" else [b""]

    def _give(self) -> Iterator[bytes]:
        try:
            for _ in range(self.pieces):
                self.given += 1
                yield self.PIECE
        finally:
            self.ended.set()


SMALL_OUTBOX = {"outbuf_high_watermark": 200_000, "outbuf_overflow": 100_000}


def test_a_reader_that_takes_nothing_is_cut_off_and_gives_its_thread_back(skipping_clock: SkippingClock) -> None:
    application = Torrent(10_000)
    with running(application, threads=1, **SMALL_OUTBOX) as server:
        with server.client() as client, server.client() as other:
            client.send(get(target="/torrent"))
            assert becomes_true(lambda: application.given > 0)
            other.send(get(target="/torrent/not", version="1.0"))
            while not application.ended.is_set():
                skipping_clock.skip_to_tick(server.server, 5)
            assert application.given < 10_000
            assert other.rest().startswith(b"HTTP/1.0 200 OK")
            # What the system had taken before is all that comes.
            assert len(client.rest()) < 10_000 * len(Torrent.PIECE)


def test_a_reader_that_keeps_its_rate_gets_everything(skipping_clock: SkippingClock) -> None:
    application = Torrent(300)
    with running(application, **SMALL_OUTBOX) as server, server.client() as client:
        # A small buffer, or the system informs the server only every few seconds that something was read.
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        client.send(get("Connection: close", target="/torrent"))
        received = 0
        for _ in range(50):
            skipping_clock.skip(1)
            assert not application.ended.wait(0.02)
            received += len(client.socket.recv(32768))
        assert application.given < 300, "the client was not slow"
        assert received + len(client.rest()) > 300 * 65536
    assert application.given == 300


def test_a_request_may_run_longer_than_a_connection_may_be_idle(skipping_clock: SkippingClock) -> None:
    application = Waiting()
    with running(application, channel_timeout=100, cleanup_interval=1) as server, set_at_end(application.released):
        with server.client() as client:
            client.send(get(target="/wait"))
            assert becomes_true(lambda: application.running == ["/wait"])
            skipping_clock.skip_to_tick(server.server, 1000)
            assert not client.can_read_within(0)
            application.released.set()
            assert client.response().body == b"/wait"
            assert client.get("/next").body == b"/next"


# --- threads


@pytest.mark.parametrize("threads", [1, 3])
def test_so_many_requests_run_at_once(
    threads: int, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_ticks(monkeypatch)
    application = Waiting()
    with running(application, threads=threads) as server, set_at_end(application.released):
        with server.clients(threads + 5) as clients:
            for client in clients:
                client.send(get(target="/wait"))
            assert becomes_true(lambda: len(application.running) == threads)
            assert becomes_true(lambda: any(record.name == "waitress.queue" for record in caplog.records))
            application.released.set()
            assert [client.response().body for client in clients] == [b"/wait"] * (threads + 5)
    assert application.most == threads
    said = [record.getMessage() for record in caplog.records if record.name == "waitress.queue"]
    assert all(message.startswith("Task queue depth is ") for message in said)


@pytest.mark.parametrize("settings", [{}, {"queue_warning_seconds": 0}], ids=["default", "each"])
def test_a_queue_is_told_when_it_has_grown_and_when_it_is_empty_again(
    settings: dict[str, Any], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    shorten_ticks(monkeypatch)
    monkeypatch.setattr(queue_log, "QUIET_SECONDS", 0.0)
    caplog.set_level(logging.INFO, "waitress.queue")
    application = Waiting()
    with running(application, threads=1, **settings) as server, set_at_end(application.released):
        with server.clients(3) as clients:
            for client in clients:
                client.send(get(target="/wait"))
            assert becomes_true(lambda: "Task queue depth is 2" in caplog.messages)
            application.released.set()
            assert [client.response().body for client in clients] == [b"/wait"] * 3
            assert becomes_true(lambda: any("is empty again" in message for message in caplog.messages))
            assert clients[0].get("/after").body == b"/after"
    messages = [record.getMessage() for record in caplog.records if record.name == "waitress.queue"]
    grown = ["Task queue depth is 1", "Task queue depth is 2"]
    assert messages[:-1] in ([grown] if settings else [grown, grown[1:]])
    assert re.fullmatch(
        r"Task queue is empty again: its greatest depth was 2, the longest wait \d+\.\d{3} seconds", messages[-1]
    )


def test_a_queue_that_is_served_within_a_moment_is_no_warning(caplog: pytest.LogCaptureFixture) -> None:
    # A browser that asks for a page and all that belongs to it.
    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        time.sleep(0.005)
        start_response("200 OK", [])
        return [b"ok"]

    with running(application, threads=2, queue_warning_seconds=5) as server:
        for _ in range(5):
            with server.clients(6) as clients:
                for client in clients:
                    client.send(get())
                assert [client.response().body for client in clients] == [b"ok"] * 6
        assert server.server.stats().queue_depth == 0
    assert [record for record in caplog.records if record.name == "waitress.queue"] == []


def test_the_limits_have_their_documented_defaults() -> None:
    settings: dict[str, Any] = {
        "threads": 4,
        "connection_limit": 1000,
        "backlog": 1024,
        "channel_timeout": 120,
        "request_head_timeout": 30,
        "request_body_timeout": 30,
        "request_body_rate": 500,
        "response_timeout": 30,
        "response_rate": 500,
        "blocked_response_rate": 16384,
        "linger_timeout": 2,
        "cleanup_interval": 30,
        "asyncore_loop_timeout": 1,
        "recv_bytes": 8192,
        "inbuf_overflow": 524288,
        "outbuf_overflow": 1048576,
        "outbuf_high_watermark": 16777216,
        "max_request_header_size": 262144,
        "max_request_body_size": 1073741824,
        "channel_request_lookahead": 0,
        "shutdown_delay": 0,
        "shutdown_timeout": 25,
        "log_slow_requests": 0,
        "queue_warning_seconds": 0.1,
    }
    adjustments = Adjustments()
    assert {name: getattr(adjustments, name) for name in settings} == settings
