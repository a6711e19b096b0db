"""Hostile and unlucky clients: they vanish, talk nonsense, flood, or neither speak nor listen, at no cost to others.

What a malformed request is answered with is in test_bad_input, how long a slow one may take in test_limits.
"""

from __future__ import annotations

import contextlib
import logging
import random
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.functional.applications import CROWDED, SECONDS, Recorder, error_lines_in, errors_in, get, post, set_at_end
from tests.support.platforms import make_fifo
from tests.support.processes import (
    becomes_true,
    comes_to_rest,
    needs_fifo,
    needs_proc,
    resident_bytes,
    serving_program,
)
from tests.support.servers import Running, running
from tests.support.times import SkippingClock
from waitress_core.reactor.poller import SelectPoller

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class Stream:
    """`/endless` yields pieces for ever, `/wait` waits for `released`; `closed` is set by the end of either."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.released = threading.Event()
        self.closed = threading.Event()
        self.threads: set[threading.Thread] = set()

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        self.threads.add(threading.current_thread())
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/endless":
            return self._endless()
        if environ["PATH_INFO"] == "/wait":
            return self._wait()
        return [b"ok"]

    def _endless(self) -> Iterator[bytes]:
        self.entered.set()
        try:
            while True:
                yield b"x" * 10_000
        finally:
            self.closed.set()

    def _wait(self) -> Iterator[bytes]:
        self.entered.set()
        try:
            self.released.wait(SECONDS)
            yield b"waited"
        finally:
            self.closed.set()


def is_well(server: Running) -> bool:
    """Whether another client is answered."""
    with server.client() as client:
        return client.get().body == b"ok"


def all_are_gone(server: Running) -> bool:
    """Whether the server comes to hold no connection."""
    return becomes_true(lambda: not server.server.stats().connections)


# --- clients that vanish

VANISHING = {
    "before-a-word": b"",
    "within-the-head": b"GET / HTTP/1.1\r\nHost: loc",
    "within-the-body": post("Content-Length: 100") + b"half",
    "within-a-large-body": post("Content-Length: 2000000", body=bytes(1_000_000)),
    "within-a-chunk": post("Transfer-Encoding: chunked") + b"ff\r\nhalf",
    "after-asking-to-continue": post("Content-Length: 100", "Expect: 100-continue"),
    "after-a-request": get(),
    "after-many-requests": get() * 100,
    "after-a-bad-request": b"nonsense\r\n\r\n",
}


@pytest.mark.parametrize("words", [pytest.param(words, id=f"S87-{name}") for name, words in VANISHING.items()])
@pytest.mark.parametrize("manner", ["reset", "close"])
def test_a_client_that_vanishes_costs_nothing(words: bytes, manner: str, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "waitress")
    application = Stream()
    with running(application, threads=1) as server:
        for _ in range(20):
            with server.client() as client:
                client.send(words)
                if manner == "reset":
                    client.reset()
        assert is_well(server)
        assert all_are_gone(server)
    assert len(application.threads) == 1
    assert errors_in(caplog.records) == []


@pytest.mark.promise("S87")
def test_many_clients_that_connect_and_reset_at_once_cost_nothing(caplog: pytest.LogCaptureFixture) -> None:
    """CVE-2024-49769: gone between accept and the question for its address."""
    with running(Recorder(), threads=1) as server:
        for _ in range(20):
            clients = [server.client() for _ in range(30)]
            for client in clients:
                client.reset()
        assert is_well(server)
        assert all_are_gone(server)
    assert errors_in(caplog.records) == []


@pytest.mark.parametrize("select_poller", [False, True], ids=["poller", "select"])
def test_responses_that_end_their_connection_while_the_reactor_waits_cost_nothing(
    select_poller: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """CVE-2022-31015: a worker that closed a socket under the poller ended the whole server."""
    if select_poller:
        monkeypatch.setattr(
            "waitress_core.reactor.reactor.best_poller", SelectPoller
        )  # it raises for a closed descriptor

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> list[bytes]:
        time.sleep(0.003)  # so that its thread is not the leader when it ends
        start_response("200 OK", [])
        return [b"ok"]

    with running(application, threads=4) as server, contextlib.ExitStack() as stack:
        for _ in range(10):
            clients = [stack.enter_context(server.client()) for _ in range(12)]
            for client in clients:
                client.send(get("Connection: close"))
            for client in clients[::2]:
                client.reset()
            for client in clients[1::2]:
                assert client.rest().endswith(b"\r\n\r\nok")
        assert is_well(server)
        assert all_are_gone(server)
    assert errors_in(caplog.records) == []


@pytest.mark.parametrize("manner", ["reset", "close"])
@pytest.mark.parametrize("reads", [0, 5, 1_000_000])
def test_the_iteration_for_a_client_that_leaves_stops_and_is_closed(
    manner: str, reads: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    application = Stream()
    with running(application, threads=1) as server:
        with server.client() as client:
            client.send(get(target="/endless"))
            assert application.entered.wait(SECONDS)
            left = reads
            while left > 0:
                left -= len(client.socket.recv(left))
            if manner == "reset":
                client.reset()
        assert application.closed.wait(SECONDS)
        assert is_well(server)
        assert all_are_gone(server)
    assert len(application.threads) == 1
    assert "Client disconnected while serving /endless" in caplog.messages
    assert errors_in(caplog.records) == []


@pytest.mark.parametrize("leave", ["reset", "close", "end_output"])
def test_an_application_can_see_that_its_client_has_left(leave: str) -> None:
    entered, ended = threading.Event(), threading.Event()
    seen: list[bool] = []

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        if environ["PATH_INFO"] == "/watch":
            seen.append(environ["waitress.client_disconnected"]())
            entered.set()
            seen.append(becomes_true(environ["waitress.client_disconnected"]))
            ended.set()
        return [b"ok"]

    with running(application) as server:
        with server.client() as client:
            client.send(get(target="/watch"))
            assert entered.wait(SECONDS)
            getattr(client, leave)()
            assert ended.wait(SECONDS)
            if leave == "end_output":
                assert client.response().body == b"ok", "half a close is legal"
        assert is_well(server)
        assert all_are_gone(server)
    assert seen == [False, True]


@pytest.mark.promise("S39", "S87")
def test_a_client_that_ends_its_output_gets_all_it_has_asked_for() -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        client.send(get(target="/1") + get(target="/2") + get(target="/3") + b"GET /4 HTT")
        client.end_output()
        answer = client.rest()
    assert answer.count(b"HTTP/1.1 200 OK\r\n") == 3
    assert recorder.paths == ["/1", "/2", "/3"]


# --- nonsense

ALPHABET = [b"\r\n", b"\n", b"\r", b" ", b"\t", b":", b"\0", b"\xff", b"/", b"%", b"[", b";", b",", b"0", b"\r\n\r\n"]
WORDS = [
    b"GET",
    b"POST",
    b"HEAD",
    b"CONNECT",
    b"HTTP/1.1",
    b"HTTP/1.0",
    b"HTTP/9.9",
    b"Host: localhost",
    b"Content-Length: 5",
    b"Content-Length: -5",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip",
    b"Expect: 100-continue",
    b"Connection: close",
    b"http://[::1/",
    b"//",
    b"*",
    b"hello",
    b"5\r\nhello\r\n0\r\n\r\n",
]
VALID = [
    get("Accept: */*", target="/a?b=c"),
    post("Content-Length: 5", body=b"hello"),
    post("Transfer-Encoding: chunked", body=b"5;a=b\r\nhello\r\n0\r\nX: y\r\n\r\n"),
    get(target="http://localhost:80/a"),
]


def random_head(choice: random.Random) -> bytes:
    """Make up a head: a valid one with a few bytes changed, a salad of words, or noise."""
    kind = choice.randrange(3)
    if kind == 0:
        data = bytearray(choice.choice(VALID))
        for _ in range(choice.randint(1, 4)):
            at = choice.randrange(len(data))
            data[at : at + choice.randint(0, 2)] = choice.choice([b"", bytes([choice.randrange(256)]), *ALPHABET])
        return bytes(data)
    if kind == 1:
        return b"".join(choice.choice(WORDS) + choice.choice(ALPHABET) for _ in range(choice.randint(1, 12)))
    return choice.randbytes(choice.randint(1, 200)) + b"\r\n\r\n"


STATUSES = {200, 100, 400, 408, 413, 414, 417, 431, 501, 505}


@pytest.mark.plain  # as many handshakes take minutes
@pytest.mark.promise("S87")
@pytest.mark.parametrize("seed", range(4))
def test_ten_thousand_random_heads_harm_nothing(seed: int, caplog: pytest.LogCaptureFixture) -> None:
    """2500 for each seed. Each is answered as HTTP has it, or, when it is not complete, the connection just ends."""
    choice = random.Random(seed)
    recorder = Recorder()
    with running(recorder, threads=2) as server:
        for _ in range(50):
            heads = [random_head(choice) for _ in range(50)]
            with contextlib.ExitStack() as stack:
                clients = [stack.enter_context(server.client()) for _ in heads]
                for client, head in zip(clients, heads, strict=True):
                    client.send(head)
                    with contextlib.suppress(OSError):  # it may have been refused already
                        client.end_output()
                for client, head in zip(clients, heads, strict=True):
                    answer = client.rest()
                    if answer:
                        version, status, _ = answer.split(b" ", 2)
                        assert version in (b"HTTP/1.0", b"HTTP/1.1"), head
                        assert int(status) in STATUSES, head
            recorder.environs.clear()
            recorder.bodies.clear()
        assert is_well(server)
        assert all_are_gone(server)
    assert errors_in(caplog.records) == []


READ = 512  # recv_bytes


@pytest.mark.parametrize("lookahead", [0, 1, 10_000])
@pytest.mark.parametrize("size", [READ - 1, READ, READ + 1])
def test_what_comes_behind_a_bad_request_that_fills_a_read_is_not_run(size: int, lookahead: int) -> None:
    """CVE-2024-49768: with a lookahead it was, when it came before the connection was closed."""
    recorder = Recorder()
    start, end = b"GET / HTTP/1.1\r\nHost: a\r\nBad : ", b"\r\n\r\n"
    bad = start + b"x" * (size - len(start) - len(end)) + end
    with running(recorder, recv_bytes=READ, channel_request_lookahead=lookahead) as server:
        for pieces in ([bad + get(target="/smuggled")], [bad, get(target="/smuggled")], [get(target="/first") + bad]):
            for _ in range(10):
                with server.client() as client:
                    for piece in pieces:
                        client.send(piece)
                    with contextlib.suppress(OSError):  # the server may have gone through with it
                        client.send(get(target="/smuggled"))
                    assert b" 400 Bad Request\r\n" in client.rest()
    assert set(recorder.paths) == {"/first"}


LONG: dict[str, tuple[int, Callable[[int], bytes]]] = {
    "value": (400, lambda size: get(f"X: {'x' * size}\x10")),
    "words": (400, lambda size: get(f"X: {'x ' * (size // 2)}\x10")),
    "blanks": (400, lambda size: get(f"X: {' ' * size}\x10")),
    "tabs": (400, lambda size: get(f"X:{chr(9) * size}\x10")),
    "name": (400, lambda size: get(f"{'X' * size} : y")),
    "fields": (400, lambda size: get(*["X: y"] * (size // 500), "bad")),
    "many-fields": (431, lambda size: get(*["X: y"] * (size // 20))),
    "folds": (400, lambda size: get("X: y", *[" y"] * (size // 500), "bad")),
    "many-folds": (431, lambda size: get("X: y", *[" y"] * (size // 2))),
    "commas": (400, lambda size: get(f"Connection: {',' * size}\x10")),
    "codings": (400, lambda size: post(f"Transfer-Encoding: {'chunked,' * (size // 8)}x\x10")),
    "host": (400, lambda size: f"GET / HTTP/1.1\r\nHost: {'a.' * (size // 2)}\x10\r\n\r\n".encode()),
    "brackets": (400, lambda size: f"GET / HTTP/1.1\r\nHost: [{':' * size}\r\n\r\n".encode()),
    "quotes": (
        400,
        lambda size: post("Transfer-Encoding: chunked", body=b'5;a="' + b'\\"' * (min(size, 4000) // 2) + b"\r\n"),
    ),
    "chunk-extension": (400, lambda size: post("Transfer-Encoding: chunked", body=b"5;a=" + b"b" * size)),
    "empty-lines": (400, lambda size: b"\r\n" * (size // 2)),
    "target": (414, lambda size: get(target="/" + "a" * size)),
    "query": (414, lambda size: get(target="/?" + "a" * size)),
}


@pytest.mark.promise("S85", "S87")
@pytest.mark.parametrize(("status", "attack"), [pytest.param(*row, id=name) for name, row in LONG.items()])
def test_a_long_request_is_judged_in_no_time(status: int, attack: Callable[[int], bytes]) -> None:
    """CVE-2020-5236: a pattern that tries all ways of division took minutes for 35 characters."""
    with running(Recorder(), threads=1) as server, server.client() as client:
        # The time of this process: other programs take the machine's time, but not this one's.
        started = time.process_time()
        client.send_until_refused([attack(200_000)])
        with contextlib.suppress(OSError):  # ENOTCONN: it was refused, and the connection reset
            client.end_output()
        assert client.response().status == status
        assert time.process_time() - started < 5
        assert is_well(server)


# --- clients that are slow, or many


@pytest.mark.promise("S68")
@pytest.mark.parametrize("words", [b"", get(), get() * 3], ids=["never-spoken", "after-a-request", "after-three"])
def test_an_idle_connection_is_closed(words: bytes, skipping_clock: SkippingClock) -> None:
    with running(Recorder(), channel_timeout=100, cleanup_interval=1) as server, server.client() as client:
        client.send(words)
        for _ in range(words.count(b"GET")):
            assert client.response().status == 200
        assert becomes_true(lambda: server.server.stats().connections_by_state["idle"] == 1)  # its task has ended
        skipping_clock.skip_to_tick(server.server, 70)
        assert not client.can_read_within(0)
        skipping_clock.skip(31)
        assert client.is_closed_within(SECONDS)


@pytest.mark.promise("S68")
def test_a_connection_that_is_used_is_not_idle(skipping_clock: SkippingClock) -> None:
    with running(Recorder(), channel_timeout=100, cleanup_interval=1) as server, server.client() as client:
        for _ in range(10):
            assert client.get().status == 200
            skipping_clock.skip_to_tick(server.server, 60)
            assert not client.can_read_within(0)


@pytest.mark.promise("S68")
def test_only_the_idle_are_closed(skipping_clock: SkippingClock, caplog: pytest.LogCaptureFixture) -> None:
    application = Stream()
    with running(application, channel_timeout=100, cleanup_interval=1) as server, set_at_end(application.released):
        with server.client() as busy, server.client() as idle:
            busy.send(get(target="/wait"))
            assert application.entered.wait(SECONDS)
            assert becomes_true(lambda: server.server.stats().connections == 2)
            skipping_clock.skip(101)
            assert idle.rest() == b""
            application.released.set()
            assert busy.response().body == b"waited"
    assert errors_in(caplog.records) == []


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(b"", id="silent"),
        pytest.param(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", id="half-a-head"),
        pytest.param(post("Content-Length: 1000") + b"half", id="half-a-body"),
    ],
)
def test_clients_that_never_finish_hold_no_thread(words: bytes) -> None:
    with running(Recorder(), threads=1) as server, contextlib.ExitStack() as stack:
        for _ in range(80):
            stack.enter_context(server.client()).send(words)
        started_at = time.monotonic()
        for _ in range(20):
            assert is_well(server)
        assert time.monotonic() - started_at < 15


def test_clients_that_never_read_hold_no_thread() -> None:
    """Their answers are larger than the system's buffers, and smaller than the high watermark."""

    def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        start_response("200 OK", [])
        return [b"x" * 10_000_000] if environ["PATH_INFO"] == "/large" else [b"ok"]

    with running(application, threads=1) as server, contextlib.ExitStack() as stack:
        for _ in range(10):
            stack.enter_context(server.client()).send(get(target="/large"))
        started_at = time.monotonic()
        for _ in range(20):
            assert is_well(server)
        assert time.monotonic() - started_at < 15


@pytest.mark.promise("S42")
def test_a_thousand_pipelined_requests_are_answered_in_order() -> None:
    recorder = Recorder()
    with running(recorder) as server, server.client() as client:
        sender = threading.Thread(
            target=client.send, args=(b"".join(get(target=f"/{number}") for number in range(1000)),)
        )
        sender.start()
        for _ in range(1000):
            assert client.response().body == b"ok"
        sender.join(SECONDS)
    assert recorder.paths == [f"/{number}" for number in range(1000)]


FLOODED = """
def application(environ, start_response):
    if environ["PATH_INFO"] == "/wait":
        logging.warning("waiting")
        with open("gate") as gate:
            gate.read()
    start_response("200 OK", [])
    return [b"x" * 100_000]
"""


@needs_proc
@needs_fifo
@pytest.mark.parametrize("path", ["/", "/wait"])
def test_a_flood_of_requests_is_not_gathered(path: str, tmp_path: Path) -> None:
    """One client sends and never reads: the server stops reading long before it runs out of memory."""
    with serving_program(FLOODED, tmp_path, threads=2) as served, served.client() as client:
        with served.client() as other:
            assert other.get().status == 200
        if path == "/wait":
            make_fifo(tmp_path / "gate")
            client.send(get(target="/wait"))
            served.process.wait_for_line("waiting")
        before = resident_bytes(served.id)
        client.socket.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 200_000_000:
                client.send(get() * 1000)
                sent += len(get()) * 1000
        assert sent < 100_000_000, "the server takes requests without end"
        assert resident_bytes(served.id) - before < 60_000_000
        with served.client() as other:
            assert other.get().status == 200


@pytest.mark.plain  # a client in the backlog cannot shake hands
@needs_proc
@pytest.mark.skipif(sys.platform == "win32", reason="needs a limit on descriptors")
def test_a_server_out_of_descriptors_waits_for_better_times(tmp_path: Path) -> None:
    with serving_program(CROWDED, tmp_path, connection_limit=1000, listen="127.0.0.1:0") as served:
        with served.client() as client:
            assert client.get("/lower-the-limit").status == 200
        with contextlib.ExitStack() as stack:
            for _ in range(150):
                stack.enter_context(served.client())
            served.process.wait_for_line("Too many open files")
            assert comes_to_rest(served.id), "it tries again and again"
        for _ in range(3):  # it is well again, and not well, and well
            with contextlib.ExitStack() as stack:
                for _ in range(80):
                    stack.enter_context(served.client())
            with served.client() as client:
                assert client.get().body == b"ok"
        assert error_lines_in(served.process.log) == [
            "WARNING:waitress:server accept() threw an exception: [Errno 24] Too many open files"
        ]


@pytest.mark.plain  # it is about the socket
@pytest.mark.promise("S87")
def test_urgent_data_harms_nothing() -> None:
    with running(Recorder(), threads=1) as server:
        with server.client() as client:
            client.socket.send(b"!", socket.MSG_OOB)
            client.send(get())
            assert client.response().status == 200
        assert is_well(server)
        assert all_are_gone(server)


@pytest.mark.promise("S40", "S87")
def test_a_storm_of_all_kinds_of_clients_leaves_the_server_well(caplog: pytest.LogCaptureFixture) -> None:
    """Eight threads of clients that vanish, fail, stream and pipeline: no thread and no answer is lost."""
    application = Stream()
    wrong: list[object] = []

    def attack(server: Running, seed: int) -> None:
        choice = random.Random(seed)
        try:
            for _ in range(60):
                with server.client() as client:
                    kind = choice.randrange(5)
                    if kind == 0:
                        if client.get().body != b"ok":
                            wrong.append("body")
                    elif kind == 1:
                        client.send(choice.choice([*VANISHING.values()]))
                        client.reset()
                    elif kind == 2:
                        client.send(get(target="/endless"))
                        client.socket.recv(choice.randint(1, 100_000))
                    elif kind == 3:
                        client.send(get() * 5)
                        for _ in range(5):
                            if client.response().body != b"ok":
                                wrong.append("pipelined")
                    else:
                        client.send(random_head(choice))
        except (AssertionError, OSError) as error:
            wrong.append(error)

    with running(application, threads=4, connection_limit=50) as server:
        threads = [threading.Thread(target=attack, args=(server, seed)) for seed in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(100)
            assert not thread.is_alive()
        assert wrong == []
        # Every thread still takes requests.
        assert all(is_well(server) for _ in range(20))
        assert all_are_gone(server)
    assert len(application.threads) <= 4
    assert errors_in(caplog.records) == []
