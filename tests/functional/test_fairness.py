"""Few clients that do little must not keep all others out: at default settings a healthy one is answered in 3 seconds.

The server is its own process. The attackers are a thread of this process, a few more than the server has room for;
one that is closed comes again at once.
"""

from __future__ import annotations

import contextlib
import select
import socket
import ssl
import sys
import threading
import time
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.functional.applications import Recorder, get, post, set_at_end
from tests.functional.test_crowds import enough_descriptors
from tests.support import over_tls
from tests.support.client import Client, Response
from tests.support.processes import Program, becomes_true, serving_program, stopwatch
from tests.support.servers import Running, running
from tests.support.times import SHORT_TICK_SECONDS, SkippingClock
from waitress_core.connection import room
from waitress_core.connection.context import RATE_SECONDS
from waitress_core.connection.data_rate import QUICK
from waitress_core.connection.manager import waiting_of
from waitress_core.reactor.poller import WRITE

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

# The default connection_limit. Over TLS a tenth of it: a thousand handshakes keep this process busy for seconds.
LIMIT = 100 if over_tls.is_on else 1000
ATTACKERS = LIMIT + LIMIT // 20
# In which the healthy client is answered. Over TLS the server first encrypts what the systems of all attackers take of
# their answers, 400 MB: half a second of its processor, in which nobody's output has stopped yet.
SECONDS = 6.0 if over_tls.is_on else 3.0
FULL = "total open connections reached the connection limit"

APPLICATION = """
def application(environ, start_response):
    environ["wsgi.input"].read()
    if environ["PATH_INFO"] == "/8-mb":
        start_response("200 OK", [])
        return environ["wsgi.file_wrapper"](open("eight", "rb"))
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""

# What each sends at first, and then once a second.
ATTACKS = {
    "one-byte-of-a-next-request": (get() + b"G", b""),
    "a-body-that-drips": (post(f"Content-Length: {1 << 30}"), b"a" * 520),
    "a-chunked-body-that-drips": (post("Transfer-Encoding: chunked"), b"100\r\n" + b"a" * 256 + b"\r\n"),
    "a-body-that-drips-after-a-burst": (post(f"Content-Length: {1 << 30}", body=bytes(100_000)), b"a"),
    "a-head-that-drips": (b"GET / HTTP/1.1\r\nX: ", b"a"),
    "8-mb-that-nobody-reads": (get(target="/8-mb"), b""),
}


class Attack:
    """So many clients, which come again when they are closed."""

    def __init__(self, address: tuple[str, int], name: str, count: int) -> None:
        self._address = address
        self._first, self._again = ATTACKS[name]
        self._reads = "nobody-reads" not in name
        self.sent = 0  # how often one has sent its first bytes; over TLS its handshake comes before them
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self._clients = [self._connect() for _ in range(count)]

    def _connect(self) -> tuple[socket.socket, bool, float]:
        """Return a client that is on its way, whether it has sent something, and when it last has."""
        client = over_tls.unconnected_socket(self._address)
        client.setblocking(False)
        client.connect_ex(self._address)
        return client, False, 0.0

    def _run(self) -> None:
        while not self._is_over.wait(0.05):
            self._clients = [self._go_on(*one) for one in self._clients]

    def _go_on(self, client: socket.socket, has_sent: bool, sent_at: float) -> tuple[socket.socket, bool, float]:
        now = time.monotonic()
        try:
            if not has_sent:
                has_sent, sent_at = client.send(self._first) > 0, now
                self.sent += has_sent
            elif self._again and now - sent_at >= 1:
                sent_at = now
                client.send(self._again)
            if self._reads:
                is_open = client.recv(10_000) != b""
            else:
                is_open = not client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        except (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError):
            is_open = True
        except (ConnectionError, ssl.SSLError):
            is_open = False
        except OSError:
            is_open = not has_sent  # it has not connected yet
        if is_open:
            return client, has_sent, sent_at
        client.close()
        return self._connect()

    def __enter__(self) -> Attack:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._thread.join()
        for client, _, _ in self._clients:
            client.close()


@pytest.mark.one_worker
@pytest.mark.parametrize("name", ATTACKS)
def test_a_healthy_client_is_answered_during_an_attack_at_default_settings(name: str, tmp_path: Path) -> None:
    (tmp_path / "eight").write_bytes(bytes(8_000_000))
    settings: dict[str, Any] = {"connection_limit": LIMIT} if over_tls.is_on else {}
    with enough_descriptors(3 * ATTACKERS), serving_program(APPLICATION, tmp_path, **settings) as served:
        with Attack(served.address, name, ATTACKERS) as attack:
            served.process.wait_for_line(FULL)
            assert becomes_true(lambda: attack.sent >= LIMIT)  # their handshakes take the time of this process too
            for _ in range(10):
                seconds = stopwatch(served.id)
                with served.client() as healthy:
                    assert healthy.get().body == b"ok"
                assert seconds() < SECONDS
                time.sleep(0.1)
        assert not [line for line in served.process.log if "ERROR" in line or "Traceback" in line]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has all of 127.0.0.0/8 without configuration")
@pytest.mark.parametrize("name", ["one-byte-of-a-next-request", "a-body-that-drips"])
def test_of_clients_that_wait_alike_those_of_the_address_with_most_make_room(
    name: str, skipping_clock: SkippingClock
) -> None:
    with running(Recorder(), connection_limit=10) as server, server.client() as slow, contextlib.ExitStack() as stack:

        def waiting() -> list[room.Waiting]:
            assert server.server._run is not None
            connections = server.server._run.manager.connections.copy().values()
            return [one for one in map(waiting_of, connections) if one is not None]

        slow.send(b"GET /slow HTTP/1.1\r\nHost: localhost\r\nX: ")  # before all others
        assert becomes_true(lambda: len(waiting()) == 1)
        for _ in range(9):
            attacker = stack.enter_context(socket.create_connection(server.address, 20, ("127.0.0.2", 0)))
            attacker.sendall(ATTACKS[name][0])
        assert becomes_true(lambda: len(waiting()) == 10)
        if any(one.state == "body" for one in waiting()):
            skipping_clock.skip_to_tick(server.server, RATE_SECONDS)  # until they are known to be slow
        assert all(one.bytes_per_second < QUICK for one in waiting())
        # Until then the slow one may have waited so long that it can make room, while none of the others has.
        skipping_clock.skip(max(room.PATIENCE.values()))
        for _ in range(7):
            stack.enter_context(server.client()).get()
        assert server.server.stats().connections == 10
        slow.send(b"a\r\n\r\n")
        assert slow.response().body == b"ok"


def has_received(server: Running, count: int) -> bool:
    return server.server.stats().bytes_in >= count


@pytest.mark.plain  # a client in the backlog cannot shake hands
@pytest.mark.parametrize(
    ("further", "is_kept"),
    [
        pytest.param(b"", False, id="nothing"),
        pytest.param(b"G", False, id="a-byte"),
        pytest.param(get()[:-1], False, id="all-but-a-byte"),
        pytest.param(post("Content-Length: 5", body=b"1234"), False, id="a-part-of-a-body"),
        pytest.param(get(target="/next"), True, id="a-request"),
        pytest.param(post("Content-Length: 5", body=b"12345"), True, id="a-request-with-its-body"),
    ],
)
def test_at_the_limit_an_answer_ends_its_connection_unless_a_request_follows_it(further: bytes, is_kept: bool) -> None:
    released = threading.Event()

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        if environ["PATH_INFO"] == "/wait":
            released.wait(20)
        start_response("200 OK", [("Content-Length", "2")])
        return [b"ok"]

    with running(application, connection_limit=1) as server, server.client() as client, set_at_end(released):
        client.send(get(target="/wait"))
        assert becomes_true(lambda: server.server.stats().connections_by_state["task"] == 1)
        client.send(further)
        assert becomes_true(lambda: has_received(server, len(get(target="/wait") + further)))
        with server.client() as waiting:
            assert server.server._run is not None
            context = server.server._run._context
            assert becomes_true(lambda: context.is_full)
            released.set()
            response = client.response()
            assert (response.header("Connection") == "close") is not is_kept
            if is_kept:
                assert client.response().status == 200
            assert client.is_closed_within(20)
            client.close()
            assert waiting.get().status == 200


@pytest.mark.plain  # a client in the backlog cannot shake hands
def test_clients_that_move_bytes_are_not_closed_for_others(skipping_clock: SkippingClock) -> None:
    """More than fit, each with a transfer, would otherwise end each other's, and none would be done."""
    with (
        running(Recorder(), connection_limit=1) as server,
        server.client() as quick,
        server.client() as waiting,
        skipping_clock.stopped(),
    ):
        quick.send(post("Content-Length: 800000"))
        waiting.send(get())
        assert server.server._run is not None
        context = server.server._run._context
        assert becomes_true(lambda: context.is_full)
        for sent in range(100_000, 900_000, 100_000):  # four seconds at 200 kB/s
            skipping_clock.skip_to_tick(server.server, 0.5)
            quick.send(bytes(100_000))
            assert becomes_true(partial(has_received, server, sent))
        response = quick.response()
        assert (response.status, response.header("Connection")) == (200, "close")
        quick.close()
        assert waiting.response().status == 200


# --- heads that take long to parse

LONG_HEADS = {
    "codings": b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: " + b"a," * 127_000 + b"\r\n\r\n",
    "expectations": b"GET / HTTP/1.1\r\nHost: x\r\nExpect: " + b"," * 255_000 + b"\r\n\r\n",
    "folds": b"GET / HTTP/1.1\r\nHost: x\r\nX: a\r\n" + b" \r\n" * 80_000 + b"\r\n",
    "escapes-in-the-path": b"GET /" + b"%41" * 21_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "a-large-field": b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"a" * 255_000 + b"\r\n\r\n",
}
MOMENT = 0.25  # seconds
TRIES = 3  # on a machine that others use too, everybody runs slower at times


def longest_wait_during(served: Program, head: bytes, count: int) -> tuple[float, float]:
    """Complete so many heads at once; return how long a healthy client has waited at most, and how long all have taken.

    It asks on a connection that it has, and on a new one, in turn.
    """

    def ask_on_a_new_connection() -> Response:
        with served.client() as newcomer:
            return newcomer.get()

    with contextlib.ExitStack() as stack:
        attackers = [stack.enter_context(served.client()) for _ in range(count)]
        healthy = stack.enter_context(served.client())
        first_at = time.monotonic()
        for attacker in attackers:
            with contextlib.suppress(ConnectionError):  # it may be refused already
                attacker.send(head[:-1])
        for attacker in attackers:
            with contextlib.suppress(ConnectionError):
                attacker.send(head[-1:])
        waiting, longest = [one.socket for one in attackers], 0.0
        while waiting:
            for ask in (healthy.get, ask_on_a_new_connection):
                seconds = stopwatch(served.id)
                assert ask().body == b"ok"
                longest = max(longest, seconds())
            answered = select.select(waiting, [], [], 0.001)[0]
            waiting = [one for one in waiting if one not in answered]
        return longest, time.monotonic() - first_at


@pytest.mark.one_worker
@pytest.mark.parametrize("name", LONG_HEADS)
def test_ninety_heads_that_take_long_do_not_keep_a_healthy_client_waiting(name: str, tmp_path: Path) -> None:
    with serving_program(APPLICATION, tmp_path) as served:
        for _ in range(TRIES):
            longest, whole = longest_wait_during(served, LONG_HEADS[name], 90)
            # Wine runs everything slower, and reports to no `stopwatch` how long a thread has waited for a processor.
            if longest < (max(MOMENT, whole / 2) if sys.platform == "win32" else MOMENT):
                return
    pytest.fail(f"a client waited for {longest:.3f} of {whole:.3f} seconds")


# --- threads

SLOW = 685  # bytes a second


def slow_readers(server: Running, count: int, target: str, stack: contextlib.ExitStack) -> list[Client]:
    """Ask for more than the watermark, and read hardly anything of it."""
    clients = []
    for _ in range(count):
        client = stack.enter_context(server.client())
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.send(get(target=target))
        clients.append(client)
    return clients


def makes_thread_wait(server: Running) -> bool:
    """Whether a client makes a thread wait."""
    assert server.server._run is not None
    outboxes = [one.sender.outbox for one in server.server._run.manager.connections.copy().values()]
    return any(outbox is not None and outbox.is_waited_for for outbox in outboxes)


def sends_more(server: Running, sent: int) -> bool:
    """Send what there is room for to the client for which a thread waits; return whether it has got more than `sent`.

    Linux reports room only when a third of a buffer is free, and on a machine under load it makes that late.
    """
    assert server.server._run is not None
    run = server.server._run
    client = next(one for one in run.manager.connections.copy().values() if one.sender.outbox is not None)
    run.call_soon_threadsafe(partial(client.on_ready, WRITE))
    return client.sender.sent_bytes > sent


def let_wait(server: Running, clock: SkippingClock) -> None:
    """Let 0.6 seconds pass in which the only client that is sent to makes a thread wait, if it is still connected."""
    clock.skip_to_tick(server.server, 2 * SHORT_TICK_SECONDS)  # what there is room for is sent
    assert becomes_true(lambda: makes_thread_wait(server) or not server.server.stats().connections)
    clock.skip_to_tick(server.server, 0.5)
    assert becomes_true(lambda: makes_thread_wait(server) or not server.server.stats().connections)


def receive(reader: Client, count: int) -> None:
    """Take so many bytes of a response.

    Raises:
        ConnectionError: the server has ended the connection; over TLS a reset may look like an end.
    """
    while count > 0:
        data = reader.socket.recv(count)
        if not data:
            raise ConnectionAbortedError(f"{count} bytes have not come")
        count -= len(data)


def much(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with far more than the watermark, or with a word."""
    start_response("200 OK", [])
    pieces = {"/much": 60, "/some": 12}.get(environ["PATH_INFO"], 0)
    return (bytes(1_000_000) for _ in range(pieces)) if pieces else [b"ok"]


@pytest.mark.one_worker
def test_four_slow_readers_do_not_keep_the_threads_from_others(caplog: pytest.LogCaptureFixture) -> None:
    """At default settings: nobody waits longer for them than it takes to see that they are slow."""
    caplog.set_level("INFO", "waitress")
    with running(much) as server, contextlib.ExitStack() as stack:
        readers = slow_readers(server, 4, "/much", stack)
        assert becomes_true(lambda: server.server.stats().threads_busy == 4)
        started_at = time.monotonic()
        with server.client() as healthy:
            healthy.send(get())
            while not select.select([healthy.socket], [], [], 0.1)[0]:
                for reader in readers:
                    with contextlib.suppress(OSError):
                        reader.socket.recv(SLOW // 10)
            assert healthy.response().body == b"ok"
        assert time.monotonic() - started_at < 14
    assert "Client 127.0.0.1 does not read its response: connection reset" in caplog.messages


@pytest.mark.one_worker
def test_forty_slow_readers_keep_the_threads_from_others_little_longer_than_four(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """If each had BEHIND_SECONDS, and the rest of a second, the forty would have the four threads for 20 seconds."""
    monkeypatch.setattr(room, "BEHIND_SECONDS", 1.0)
    with running(much, outbuf_high_watermark=1_000_000) as server, contextlib.ExitStack() as stack:
        slow_readers(server, 40, "/much", stack)
        assert becomes_true(lambda: server.server.stats().queue_depth > 30)
        started_at = time.monotonic()
        with server.client() as healthy:
            assert healthy.get().body == b"ok"
        assert time.monotonic() - started_at < 14


def test_a_reader_that_is_worth_a_thread_keeps_it_though_others_wait(skipping_clock: SkippingClock) -> None:
    with (
        running(much, threads=1, outbuf_high_watermark=1_000_000) as server,
        server.client() as reader,
        server.client() as healthy,
        skipping_clock.stopped(),
    ):
        reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reader.send(get(target="/some"))
        assert becomes_true(lambda: server.server.stats().threads_busy == 1)
        healthy.send(get())
        assert becomes_true(lambda: server.server.stats().queue_depth == 1 and makes_thread_wait(server))
        for _ in range(12):  # seven seconds at 400 kB/s, of which the system makes room in pieces of 64 KiB
            sent = server.server.stats().bytes_out
            receive(reader, 250_000)
            assert becomes_true(partial(sends_more, server, sent))
            let_wait(server, skipping_clock)
        assert server.server.stats().queue_depth == 1
        receive(reader, 9_000_000)
        assert healthy.response().body == b"ok"


@pytest.mark.one_worker
@pytest.mark.parametrize(("rate", "is_reset"), [(20_000_000, True), (1, False)])
def test_a_client_that_makes_a_thread_wait_must_keep_blocked_response_rate(
    rate: int, is_reset: bool, skipping_clock: SkippingClock
) -> None:
    # The higher rate is one at which what the system takes at once, some megabytes, counts for little.
    settings = {"outbuf_high_watermark": 1_000_000, "response_timeout": 3, "blocked_response_rate": rate}
    with running(much, **settings) as server, server.client() as reader, skipping_clock.stopped():
        reader.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        reader.send(get(target="/much"))
        assert becomes_true(lambda: makes_thread_wait(server))
        was_reset = False
        for _ in range(20):  # twelve seconds; it is reset after three, and what the system takes at once
            try:
                receive(reader, 50_000)
            except ConnectionError:
                was_reset = True
                break
            let_wait(server, skipping_clock)
        assert was_reset is is_reset
