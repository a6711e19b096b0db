"""Crowds of hostile clients next to one healthy client, which must not notice them.

The server is its own process with four threads; the crowd and the healthy client are this process's.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from tests.functional.applications import error_lines_in, get, post
from tests.support.client import Client
from tests.support.processes import (
    Program,
    becomes_true,
    comes_to_rest,
    needs_proc,
    open_descriptors,
    peak_bytes,
    resident_bytes,
    serving_program,
    stopwatch,
)
from tests.support.times import SHORT_TICK_SECONDS

# Of each kind, three for each thread. On Windows select() takes longer with each socket, above all under Wine: one.
EACH = 4 if sys.platform == "win32" else 12
MOMENT = 0.1  # seconds in which the healthy client is to be answered
WINDOWS = 20
# Of the server, while questions are asked, five in each. Under Wine, on a busy machine, one question in ten takes long.
TICKS = 2 if sys.platform == "win32" else 5
MIB = 1 << 20

APPLICATION = """
import io

BLOCK = b"x" * 65536

def blocks(count):
    for _ in range(count):
        yield BLOCK

def application(environ, start_response):
    path = environ["PATH_INFO"]
    environ["wsgi.input"].read()
    start_response("200 OK", [])
    if path == "/list":
        return [BLOCK * 128]
    if path == "/pieces":
        return [BLOCK] * 128
    if path == "/generator":
        return blocks(128)
    if path == "/file":
        return environ["wsgi.file_wrapper"](io.BytesIO(BLOCK * 128))
    if path == "/200-mb":
        return blocks(3200)
    return [b"ok"]
"""

# A connection is spared for a second, and two thousand of them wait for a hundred places.
SHORT_SPARE = """
from waitress_core.connection import manager

manager.SPARED_SECONDS = 0.1
"""

CHUNKED = "Transfer-Encoding: chunked"

# What each sends first, and then, again and again, ten times a second. A slow reader takes as few bytes as often.
SLOW_READ_BYTES = 10
KINDS: dict[str, tuple[bytes, bytes]] = {
    "silent": (b"", b""),
    "slow-head": (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ", b"a"),
    "slow-fields": (b"GET / HTTP/1.1\r\nHost: localhost\r\n", b"X: a\r\n"),
    "slow-body": (post("Content-Length: 100000") + b"half", b"a" * 100),
    "slow-chunks": (post(CHUNKED), b"1\r\na\r\n" * 50),
    "no-reader-of-a-list": (get(target="/list"), b""),
    "no-reader-of-pieces": (get(target="/pieces"), b""),
    "no-reader-of-a-generator": (get(target="/generator"), b""),
    "no-reader-of-a-file": (get(target="/file"), b""),
    "no-reader-of-many": (get() * 1000, get()),
    "slow-reader-of-a-list": (get(target="/list"), b""),
    "slow-reader-of-pieces": (get(target="/pieces"), b""),
    "slow-reader-of-a-generator": (get(target="/generator"), b""),
}
CROWDS = {**{kind: [kind] for kind in KINDS}, "all": [*KINDS]}


def answered_within(served: Program, client: Client, request: bytes = get(), status: int = 200) -> float:
    """Ask, and give how long the answer took."""
    seconds = stopwatch(served.id)
    client.send(request)
    assert client.response().status == status
    return seconds()


def connected_and_answered_within(served: Program, request: bytes = get(), status: int = 200) -> float:
    """Connect and ask, and give how long both took."""
    seconds = stopwatch(served.id)
    with served.client() as client:
        answered_within(served, client, request, status)
    return seconds()


def is_not_kept_waiting(ask: Callable[[], float]) -> bool:
    """Whether each of some questions in a row, spread over some ticks of the server, is answered in a moment.

    Such a row is tried up to WINDOWS times. On a machine that others use too, an answer may take long because everybody
    runs slower there, but not in every row. A server that waits for its clients, or that stops for a moment at
    each tick to look after them, spoils them all.
    """
    for _ in range(WINDOWS):
        for _ in range(5 * TICKS):
            if ask() > MOMENT:
                break
            time.sleep(SHORT_TICK_SECONDS / 5)
        else:
            return True
    return False


def serving(tmp_path: Path, source: str = APPLICATION, **settings: Any) -> AbstractContextManager[Program]:
    return serving_program(source, tmp_path, has_short_ticks=True, **settings)


class Crowd:
    """Clients of these kinds; those that are slow go on with it, ten times a second."""

    def __init__(self, served: Program, kinds: list[str], each: int = EACH) -> None:
        self._served = served
        self._clients: list[tuple[Client, str]] = []
        self._is_over = threading.Event()
        self._trickler = threading.Thread(target=self._trickle)
        for kind in kinds * each:
            self._add(kind)

    def _add(self, kind: str) -> None:
        client = self._served.client()
        self._clients.append((client, kind))
        client.send(KINDS[kind][0])

    def reset_one(self) -> None:
        """Have the one that has been there longest reset its connection, and another one come."""
        client, kind = self._clients.pop(0)
        client.reset()
        self._add(kind)

    def _trickle(self) -> None:
        while not self._is_over.wait(0.1):
            for client, kind in list(self._clients):
                with contextlib.suppress(OSError, ValueError):  # it has just been reset
                    can_read, can_write, _ = select.select([client.socket], [client.socket], [], 0)
                    if can_write:
                        client.socket.send(KINDS[kind][1])
                    if can_read and kind.startswith("slow-reader"):
                        client.socket.recv(SLOW_READ_BYTES)

    def __enter__(self) -> Crowd:
        self._trickler.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._is_over.set()
        self._trickler.join()
        for client, _ in self._clients:
            client.close()


@pytest.mark.parametrize("kinds", [pytest.param(kinds, id=name) for name, kinds in CROWDS.items()])
def test_a_healthy_client_does_not_notice_a_crowd_nor_its_resets(kinds: list[str], tmp_path: Path) -> None:
    with serving(tmp_path, threads=4, connection_limit=200) as served:
        with served.client() as healthy, Crowd(served, kinds) as crowd:
            assert is_not_kept_waiting(lambda: answered_within(served, healthy) + connected_and_answered_within(served))

            def ask_after_a_reset() -> float:
                crowd.reset_one()
                return answered_within(served, healthy)

            assert is_not_kept_waiting(ask_after_a_reset)
        assert not [line for line in served.process.log if "ERROR" in line or "Traceback" in line]


@contextlib.contextmanager
def silent_clients(address: tuple[str, int], count: int) -> Iterator[list[socket.socket]]:
    """Have so many clients arrive that say nothing; those that find no room in the backlog try again by themselves."""
    with contextlib.ExitStack() as stack, enough_descriptors(count):
        clients = []
        for _ in range(count):
            client = stack.enter_context(socket.socket())
            client.setblocking(False)
            client.connect_ex(address)
            clients.append(client)
        yield clients


@contextlib.contextmanager
def enough_descriptors(count: int) -> Iterator[None]:
    """Let this process, and the children it makes meanwhile, have so many descriptors besides what it has."""
    if sys.platform == "win32":
        pytest.skip(f"needs {count} sockets: select() of Windows takes 512")
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = count + 500
    if hard not in (-1, resource.RLIM_INFINITY) and hard < needed:
        pytest.skip(f"the system allows {hard} descriptors, {needed} are needed")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, needed), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.plain  # the memory of TLS is measured by the case tls-memory of the benchmarks
@needs_proc
def test_two_thousand_silent_clients_cost_little_where_there_is_room_for_them(tmp_path: Path) -> None:
    with enough_descriptors(2000), serving(tmp_path, threads=4, connection_limit=3000) as served:
        with served.client() as healthy:
            answered_within(served, healthy)
            before = resident_bytes(served.id)
            with silent_clients(served.address, 2000):
                assert becomes_true(lambda: open_descriptors(served.id) > 2000)
                assert is_not_kept_waiting(
                    lambda: answered_within(served, healthy) + connected_and_answered_within(served)
                )
                assert resident_bytes(served.id) - before < 2000 * 8192
                assert comes_to_rest(served.id, most_switches=120), "those that say nothing cost time"
        assert error_lines_in(served.process.log) == []


@pytest.mark.one_worker
@needs_proc
def test_two_thousand_silent_clients_give_way_where_there_is_no_room_for_them(tmp_path: Path) -> None:
    """A thousand are held; each has its time to say something. A client after them waits for that, but not longer."""
    with serving(tmp_path, SHORT_SPARE + APPLICATION, threads=4) as served:
        connected_and_answered_within(served)
        before = resident_bytes(served.id)
        with silent_clients(served.address, 2000), served.client(timeout=60) as in_its_turn:
            answered_within(served, in_its_turn)
            # Now all that are left have had their time.
            assert becomes_true(lambda: connected_and_answered_within(served) < MOMENT)
            assert is_not_kept_waiting(lambda: connected_and_answered_within(served))
            assert open_descriptors(served.id) < 1050
            assert resident_bytes(served.id) - before < 16 * MIB
        told = error_lines_in(served.process.log)
        assert len(told) == 1
        assert "reached the connection limit" in told[0]


@needs_proc
@pytest.mark.parametrize("threads", [4, 24])
def test_twenty_that_take_nothing_of_200_mb_cost_no_memory_and_hold_up_no_io(threads: int, tmp_path: Path) -> None:
    watermark = 4 * MIB
    with serving(tmp_path, threads=threads, outbuf_high_watermark=watermark) as served:
        connected_and_answered_within(served)
        before = resident_bytes(served.id)
        with contextlib.ExitStack() as stack:
            clients = [stack.enter_context(served.client()) for _ in range(20)]
            for client in clients:
                client.send(get(target="/200-mb"))
            for client in clients[: min(threads, 20)]:
                assert client.socket.recv(1, socket.MSG_PEEK)
            # All threads may wait, but not who accepts, reads, parses, refuses and sends.
            assert is_not_kept_waiting(lambda: connected_and_answered_within(served, b"nonsense\r\n\r\n", 400))
            if threads > 20:
                assert is_not_kept_waiting(lambda: connected_and_answered_within(served))
            assert peak_bytes(served.id) - before < 20 * watermark
        with served.client() as healthy:
            answered_within(served, healthy)
