"""A server that was held up: before a deadline ends a connection, what has come in the meantime is read."""

import contextlib
import socket
import ssl
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from tests.core.connecting import CheckedConnection, Harness
from tests.support.pairs import receive_all
from tests.support.tls_peer import TlsPeer
from waitress_core.connection.overdue import BY_STATE, Client, on_handshake_overdue
from waitress_core.connection.receiver import CHUNKED_READ_BYTES
from waitress_core.connection.states import CLOSED, HANDSHAKE, IDLE, LINGER, Ending, ReceiveState
from waitress_core.reactor.poller import READ

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
MUCH = 4 << 20  # bytes: more than the system holds between the two ends
LARGE_HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: %s\r\n" % (b"a" * 1000) * 100 + b"\r\n"

SETTINGS: dict[str, Any] = {
    "channel_timeout": 5,
    "request_head_timeout": 5,
    "request_body_timeout": 5,
    "response_timeout": 5,
    "linger_timeout": 5,
}


class HeldUp(Harness):
    """A server with a poll that has ended without events when the bytes came; it goes on much later."""

    def go_on_after(self, seconds: float) -> None:
        """Go on with the turn in which nothing was ready, after so long."""
        poll, self.reactor.poller.poll = self.reactor.poller.poll, lambda timeout: []  # type: ignore[method-assign]
        self.clock.advance(seconds)
        self.turn()
        self.reactor.poller.poll = poll  # type: ignore[method-assign]


@pytest.fixture
def harness() -> Iterator[HeldUp]:
    with contextlib.closing(HeldUp(**SETTINGS)) as harness:
        yield harness


CHUNKS = b"%x\r\n" % (3 * CHUNKED_READ_BYTES) + bytes(3 * CHUNKED_READ_BYTES)


@pytest.mark.parametrize(
    ("first", "rest", "state"),
    [
        pytest.param(b"", GET, "task", id="idle"),
        pytest.param(b"", b"G", "head", id="idle-first-byte"),
        pytest.param(b"", LARGE_HEAD, "task", id="idle-large-head"),
        pytest.param(b"GET", GET[3:], "task", id="head"),
        pytest.param(b"GET", LARGE_HEAD[3:], "task", id="large-head"),
        pytest.param(b"POST", (POST % 3)[4:] + b"abc", "task", id="head-and-body"),
        pytest.param(POST % 3, b"abc", "task", id="body"),
        pytest.param(POST % 300_000, bytes(300_000), "task", id="large-body"),
        pytest.param(POST % 500_000, bytes(400_000), "body", id="a-good-part-of-a-body"),
        pytest.param(CHUNKED, b"3\r\nabc\r\n0\r\n\r\n", "task", id="chunked-body"),
        pytest.param(CHUNKED, CHUNKS, "body", id="a-good-part-of-a-chunked-body"),
    ],
)
@pytest.mark.parametrize("seconds", [6, 60, 3600])
def test_what_has_come_in_time_is_read_though_the_server_comes_late(
    harness: HeldUp, first: bytes, rest: bytes, state: str, seconds: int
) -> None:
    connection, client = harness.open()
    client.sendall(first)
    harness.turn_until(lambda: connection.state_name != "idle" or not first)
    harness.pass_seconds(4)
    client.sendall(rest)
    harness.go_on_after(seconds)
    harness.turn_until(lambda: connection.state_name == state)


@pytest.mark.parametrize("first", [b"", b"GET", POST % 3, CHUNKED], ids=["idle", "head", "body", "chunked-body"])
def test_a_client_that_has_sent_nothing_is_given_up(harness: HeldUp, first: bytes) -> None:
    connection, client = harness.open()
    client.sendall(first)
    harness.turn_until(lambda: connection.state_name != "idle" or not first)
    for _ in range(5):
        harness.go_on_after(2)
    answer = client.recv(1000)
    assert answer.startswith(b"HTTP/1.1 408" if b"POST" in first else b"HTTP/1.0 408" if first else b"")
    assert bool(answer) is bool(first)


def start_output(harness: HeldUp) -> tuple[CheckedConnection, socket.socket]:
    connection, client = harness.open(buffer_bytes=100_000)
    client.sendall(GET)
    harness.next_task().answer(bytes(MUCH))
    harness.turn_until(lambda: connection.state_name == "flush")
    return connection, client


@pytest.mark.parametrize("seconds", [6, 60, 3600])
def test_output_that_the_client_has_taken_meanwhile_counts(harness: HeldUp, seconds: int) -> None:
    connection, client = start_output(harness)
    client.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        while client.recv(1 << 20):
            pass
    harness.go_on_after(seconds)
    assert connection.state_name == "flush"


def test_a_client_that_takes_no_output_is_reset(harness: HeldUp) -> None:
    connection, client = start_output(harness)
    for _ in range(5):
        harness.go_on_after(2)
    assert connection.state_name is None
    assert receive_all(client)[1]


@pytest.mark.parametrize("size", [1, 100_000, 1_000_000])
def test_lingering_ends_without_a_reset_whatever_has_come(harness: HeldUp, size: int) -> None:
    connection, client = harness.open()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * size)
    client.sendall(GET)
    harness.next_task().answer(b"answer", Ending.LINGER)
    harness.turn_to(connection, LINGER)
    client.settimeout(0.05)
    with contextlib.suppress(TimeoutError):
        client.sendall(bytes(size))
    harness.go_on_after(6)
    harness.turn_to(connection, CLOSED)
    client.settimeout(20)
    assert receive_all(client) == (b"answer", False)


def test_a_check_takes_one_read_where_nothing_has_come(harness: HeldUp) -> None:
    """And none at all while a body keeps its rate."""
    connection, client = harness.open()
    client.sendall(POST % 10)
    harness.turn_until(lambda: connection.state_name == "body")
    reads: list[int] = []
    receive_into = connection._transport.receive_into
    connection.receiver._transport = _Counting(receive_into, reads)  # type: ignore[assignment]
    harness.pass_seconds(4)
    assert reads == []
    harness.pass_seconds(1)
    assert reads == [1]


class _Counting:
    def __init__(self, receive_into: Callable[[memoryview, int], int | None], reads: list[int]) -> None:
        self._receive_into = receive_into
        self._reads = reads

    def receive_into(self, buffer: memoryview, size: int) -> int | None:
        self._reads.append(1)
        return self._receive_into(buffer, size)


def test_each_state_with_a_deadline_has_its_check(harness: HeldUp) -> None:
    timed = {state for state in ReceiveState if harness.context.receive_deadlines[state] is not None}
    assert timed | {HANDSHAKE} == set(BY_STATE)


class _Handshaking:
    """A client in its handshake, the rest of which is perhaps in the socket."""

    def __init__(self, *, has_come: bool) -> None:
        self.receiver = SimpleNamespace(state=HANDSHAKE, handshake_answers=0)
        self.ended: list[tuple[str, str]] = []
        self._has_come = has_come

    def on_ready(self, readiness: int) -> None:
        assert readiness == READ
        if self._has_come:
            self.receiver.state = IDLE

    def end_handshake(self, result: str, reason: str) -> None:
        self.ended.append((result, reason))


@pytest.mark.parametrize("has_come", [True, False], ids=["has-come", "is-missing"])
def test_a_handshake_ends_only_if_its_rest_has_not_come(has_come: bool, harness: HeldUp) -> None:
    client = _Handshaking(has_come=has_come)
    on_handshake_overdue(cast(Client, client), harness.context)
    assert client.ended == ([] if has_come else [("late", "not complete in time")])
    assert harness.context.counters.deadlines.counts()["handshake"] == (0 if has_come else 1)


@pytest.mark.parametrize("seconds", [11, 3600])
def test_a_handshake_of_a_held_up_server_has_its_time_from_the_answer_on(harness: HeldUp, seconds: int) -> None:
    harness.speak_tls()
    connection, client = harness.open()
    peer = TlsPeer(client, harness.turn)
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.session.do_handshake()
    client.send(peer.outgoing.read())
    harness.go_on_after(seconds)
    assert connection.state_name == "handshake"
    peer.shake_hands()
    harness.turn_until(lambda: connection.state_name == "idle")


@pytest.mark.parametrize(("waited", "more"), [(9.5, 10), (5.0, 5)], ids=["at-the-last-moment", "in-good-time"])
def test_a_handshake_that_is_answered_at_the_last_moment_has_its_time_again(
    harness: HeldUp, waited: float, more: int
) -> None:
    harness.speak_tls()
    connection, client = harness.open()
    peer = TlsPeer(client, harness.turn)
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.session.do_handshake()
    harness.clock.advance(waited)
    client.send(peer.outgoing.read())
    harness.turn_until(lambda: connection.receiver.handshake_answers)
    harness.pass_seconds(more - 1)
    assert not connection.is_gone
    harness.pass_seconds(2)
    assert connection.is_gone


def test_a_handshake_that_stops_after_the_answer_ends_at_its_next_deadline(harness: HeldUp) -> None:
    harness.speak_tls()
    connection, client = harness.open()
    peer = TlsPeer(client, harness.turn)
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.session.do_handshake()
    client.send(peer.outgoing.read())
    harness.go_on_after(11)
    client.send(b"\x16")
    harness.go_on_after(11)
    assert connection.is_gone
