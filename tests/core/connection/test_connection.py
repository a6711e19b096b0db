"""One connection: its states, its deadlines, what it reads and what it sends, with the reactor turned by hand."""

import contextlib
import errno
import gc
import logging
import os
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.connecting import NOT_STARTED, CheckedConnection, Harness, NotingParser, refuse_to_store, storage_errors
from tests.support.pairs import receive_all, reset, tcp_pair
from tests.support.tls_peer import TlsPeer
from waitress_buffers import ReadOnlyFileBuffer
from waitress_core.connection import receiver as receiver_module
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import State
from waitress_core.connection.sender import ClientDisconnected, FileClosing
from waitress_core.connection.states import (
    AHEAD,
    BODY,
    CLOSED,
    ENDED,
    FLUSH,
    GONE,
    HANDSHAKE,
    HEAD,
    IDLE,
    LINGER,
    PENDING,
    READY,
    RECEIVE_TRANSITIONS,
    SEND_TRANSITIONS,
    SHUT,
    Ending,
    ReceiveState,
    SendState,
)
from waitress_core.http.response import Response
from waitress_core.net.tls import TlsTransport
from waitress_core.net.transport import Disconnected, SocketTransport
from waitress_core.reactor.poller import READ, WRITE
from waitress_core.reactor.reactor import Reactor
from waitress_parser import RequestParser

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
POST_CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
IDLE_BYTES = 750  # of this process for a connection that has had a request, without the socket; 725 without the GIL
MUCH = 4 << 20  # bytes: more than the system holds between the two ends

Make = Callable[..., Harness]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make harnesses with settings; they are closed, and their transitions checked, at the end."""
    made = []

    def make_one(**settings: Any) -> Harness:
        made.append(Harness(**settings))
        return made[-1]

    yield make_one
    for harness in made:
        harness.close()


@pytest.fixture
def harness(make: Make) -> Harness:
    return make()


def armed_deadlines(harness: Harness) -> int:
    return sum(map(len, harness.reactor._deadlines))


def state_of(connection: Connection) -> str | None:
    return connection.state_name


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def receive_some(harness: Harness, client: socket.socket) -> bytes:
    """Read what has arrived, if anything has."""
    harness.turn()
    client.settimeout(0.001)
    try:
        return client.recv(1 << 20)
    except (TimeoutError, ConnectionError):
        return b""
    finally:
        client.settimeout(20)


def status_of(answer: bytes) -> int:
    """Return the status of the one response that `answer` is; its framing must be whole."""
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nContent-Length: %d\r\n" % len(body) in head + b"\r\n"
    assert b"\r\nConnection: close\r\n" in head
    return int(head.split(b" ", 2)[1])


# --- the states: each legal transition is made, and the harness checks that no other is

Scenario = Callable[[Harness, CheckedConnection, socket.socket], None]


def start_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(b"GET / HT")
    harness.turn_to(connection, HEAD)


def start_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(POST % 5)
    harness.turn_to(connection, BODY)


def start_task(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(GET % b"")
    harness.turn_until(lambda: state_of(connection) == "task")


def start_pending(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_task(harness, connection, client)
    connection.sender.send(b"x" * MUCH)
    harness.turn_to(connection, PENDING)


def start_flush(
    harness: Harness, connection: CheckedConnection, client: socket.socket, ending: Ending = Ending.PERSIST
) -> None:
    start_task(harness, connection, client)
    harness.next_task().answer(b"x" * MUCH, ending)
    harness.turn_to(connection, FLUSH)


def linger(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(b"no request\r\n\r\n")
    harness.turn_to(connection, LINGER)


def leave_in_idle(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.close()


def leave_in_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_head(harness, connection, client)
    reset(client)


def leave_in_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_body(harness, connection, client)
    reset(client)


def leave_in_pending(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_pending(harness, connection, client)
    reset(client)


def leave_in_flush(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_flush(harness, connection, client)
    reset(client)


def leave_in_linger(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    linger(harness, connection, client)
    client.close()


def half_a_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_head(harness, connection, client)
    client.shutdown(socket.SHUT_WR)


def half_a_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_body(harness, connection, client)
    client.shutdown(socket.SHUT_WR)


def half_closed_task(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_task(harness, connection, client)
    client.shutdown(socket.SHUT_WR)


def body_after_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_head(harness, connection, client)
    client.sendall(b"TP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")


def rest_of_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_head(harness, connection, client)
    client.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")


def fault_in_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_head(harness, connection, client)
    client.sendall(b"ML\r\n\r\n")


def rest_of_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_body(harness, connection, client)
    client.sendall(b"12345")


def fault_in_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(POST_CHUNKED)
    harness.turn_to(connection, BODY)
    client.sendall(b"no chunk\r\n")


def end_of_task(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_task(harness, connection, client)
    harness.next_task().answer(b"answer")


def half_a_head_ahead(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(GET % b"" + b"GET / HT")
    harness.next_task().answer(b"answer")


def half_a_body_ahead(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(GET % b"" + POST % 5 + b"123")
    harness.next_task().answer(b"answer")


def close_after_response(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_task(harness, connection, client)
    harness.next_task().answer(b"answer", Ending.CLOSE)


def linger_after_response(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_task(harness, connection, client)
    harness.next_task().answer(b"answer", Ending.LINGER)


def reading_in_pending(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_pending(harness, connection, client)
    harness.receive(client, MUCH)


def end_in_pending(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_pending(harness, connection, client)
    harness.next_task().finish()


def reading_in_flush(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    start_flush(harness, connection, client)
    harness.receive(client, MUCH)


def shake_hands(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    TlsPeer(client, harness.turn).shake_hands()


def plain_request(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(GET % b"")


def leave_in_handshake(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.close()


RECEIVE_SCENARIOS: list[tuple[ReceiveState, ReceiveState, Scenario]] = [
    (HANDSHAKE, IDLE, shake_hands),
    (HANDSHAKE, AHEAD, plain_request),
    (HANDSHAKE, ENDED, leave_in_handshake),
    (IDLE, HEAD, start_head),
    (IDLE, BODY, start_body),
    (IDLE, AHEAD, start_task),
    (IDLE, AHEAD, linger),
    (IDLE, ENDED, leave_in_idle),
    (HEAD, BODY, body_after_head),
    (HEAD, AHEAD, rest_of_head),
    (HEAD, AHEAD, fault_in_head),
    (HEAD, ENDED, leave_in_head),
    (HEAD, ENDED, half_a_head),
    (BODY, AHEAD, rest_of_body),
    (BODY, AHEAD, fault_in_body),
    (BODY, ENDED, leave_in_body),
    (BODY, ENDED, half_a_body),
    (AHEAD, IDLE, end_of_task),
    (AHEAD, HEAD, half_a_head_ahead),
    (AHEAD, BODY, half_a_body_ahead),
    (AHEAD, LINGER, linger_after_response),
    (AHEAD, ENDED, half_closed_task),
    (AHEAD, ENDED, close_after_response),
    (LINGER, ENDED, leave_in_linger),
]
SEND_SCENARIOS: list[tuple[SendState, SendState, Scenario]] = [
    (READY, PENDING, start_pending),
    (READY, FLUSH, start_flush),
    (READY, SHUT, linger),
    (READY, SHUT, linger_after_response),
    (READY, GONE, leave_in_idle),
    (READY, GONE, leave_in_head),
    (READY, GONE, leave_in_body),
    (READY, GONE, half_a_body),
    (READY, GONE, close_after_response),
    (PENDING, READY, reading_in_pending),
    (PENDING, FLUSH, end_in_pending),
    (PENDING, GONE, leave_in_pending),
    (FLUSH, READY, reading_in_flush),
    (FLUSH, GONE, leave_in_flush),
    (SHUT, GONE, leave_in_linger),
    (GONE, CLOSED, leave_in_idle),
]
SCENARIOS: list[Scenario] = [scenario for *_, scenario in [*RECEIVE_SCENARIOS, *SEND_SCENARIOS]]
TLS_SCENARIOS = {scenario for before, _, scenario in RECEIVE_SCENARIOS if before is HANDSHAKE}


def name_of(value: Any) -> str:
    return str(value.__name__ if callable(value) else value.name)


def test_there_is_a_scenario_for_every_legal_transition() -> None:
    received = {(before, after) for before, after, _ in RECEIVE_SCENARIOS}
    sent = {(before, after) for before, after, _ in SEND_SCENARIOS}
    assert received == {(before, after) for before, targets in RECEIVE_TRANSITIONS.items() for after in targets}
    assert sent == {(before, after) for before, targets in SEND_TRANSITIONS.items() for after in targets}


@pytest.mark.parametrize(("before", "after", "scenario"), RECEIVE_SCENARIOS, ids=name_of)
def test_every_legal_transition_of_the_receiving_side_is_made(
    harness: Harness, before: ReceiveState, after: ReceiveState, scenario: Scenario
) -> None:
    if before is HANDSHAKE:
        harness.speak_tls()
    connection, client = harness.open()
    scenario(harness, connection, client)
    harness.turn_until(lambda: (before, after) in connection.receiver.transitions)


@pytest.mark.parametrize(("before", "after", "scenario"), SEND_SCENARIOS, ids=name_of)
def test_every_legal_transition_of_the_sending_side_is_made(
    harness: Harness, before: SendState, after: SendState, scenario: Scenario
) -> None:
    connection, client = harness.open()
    scenario(harness, connection, client)
    harness.turn_until(lambda: (before, after) in connection.sender.transitions)


# --- requests


@pytest.mark.parametrize("cut", [1, 7, 10_000], ids=["byte by byte", "in pieces", "whole"])
@pytest.mark.parametrize(
    ("data", "body"),
    [
        (b"POST /path HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nhello, world", b"hello, world"),
        (b"POST /path HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"GET /path HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ],
    ids=["length", "chunked", "no body"],
)
def test_a_request_becomes_one_task_however_it_is_cut(harness: Harness, cut: int, data: bytes, body: bytes) -> None:
    connection, client = harness.open()
    for start in range(0, len(data), cut):
        assert not harness.tasks
        client.sendall(data[start : start + cut])
        harness.turn()
    task = harness.next_task()
    assert task.connection is connection
    assert task.request.head.path == "/path"
    assert task.request.open_body().read() == body
    task.answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


@pytest.mark.promise("S42")
def test_requests_are_run_one_at_a_time_and_in_order(harness: Harness) -> None:
    _, client = harness.open()
    client.sendall(GET % b"1" + GET % b"2" + GET % b"3")
    for number in range(1, 4):
        task = harness.next_task()
        harness.turn(3)
        assert harness.tasks == []
        assert task.request.head.path == f"/{number}"
        task.answer(b"<%d>" % number)
    assert harness.receive(client, 9) == b"<1><2><3>"


def test_the_next_request_waits_until_the_response_is_sent_completely(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + GET % b"2")
    harness.next_task().answer(b"x" * MUCH)
    harness.turn_to(connection, FLUSH)
    harness.turn(5)
    assert harness.tasks == []
    harness.receive(client, MUCH)
    assert harness.next_task().request.head.path == "/2"


def test_a_request_that_was_read_ahead_arrives_when_the_one_before_it_has_ended(harness: Harness) -> None:
    connection, client = harness.open()
    harness.clock.advance(1)
    client.sendall(GET % b"1" + GET % b"2")
    first = harness.next_task()
    assert connection.arrived_at == harness.clock()
    harness.clock.advance(1)
    first.service()
    harness.next_task()
    assert connection.arrived_at == harness.clock()


def test_a_client_that_asks_again_at_once_costs_no_change_of_the_poller(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()
    changes: list[int] = []
    monkeypatch.setattr(harness.reactor.poller, "modify", lambda descriptor, interest: changes.append(interest))
    monkeypatch.setattr(harness.reactor.poller, "unregister", changes.append)
    client.sendall(GET % b"1")
    for number in range(2, 5):
        harness.next_task().service()
        client.sendall(GET % b"%d" % number)  # on its way before the reactor has looked at the end of the task
    assert harness.next_task().request.head.path == "/4"
    assert changes == []
    monkeypatch.undo()
    connection.finish(Ending.PERSIST, NOT_STARTED)


def test_a_client_that_pipelines_without_end_is_read_only_as_it_is_answered(make: Make) -> None:
    harness = make(recv_bytes=1000)
    connection, client = harness.open()
    client.setblocking(False)
    for _ in range(300):
        with contextlib.suppress(BlockingIOError):
            client.send((GET % b"") * 20)
        harness.turn()
        if harness.tasks:
            harness.tasks.pop(0).answer(b"")
        assert connection.receiver.ahead_bytes <= 2 * 1000


def test_reading_ahead_is_bounded_and_then_takes_the_socket_out_of_the_poller(make: Make) -> None:
    harness = make(recv_bytes=100)
    connection, client = harness.open()
    client.sendall(GET % b"first")
    task = harness.next_task()
    assert connection.interest == READ
    client.sendall((GET % b"next") * 50)
    harness.turn_until(lambda: not connection.interest)
    harness.turn(3)
    assert 0 < connection.receiver.ahead_bytes <= 100
    task.answer(b"")
    for _ in range(50):
        task = harness.next_task()
        assert task.request.head.path == "/next"
        task.answer(b"")
    harness.turn_to(connection, IDLE)
    assert connection.interest == READ


def test_a_turn_takes_no_more_tiny_chunks_than_it_can_read_in_a_moment(harness: Harness) -> None:
    """65,000 data of them are ten thousand chunks: read at once they would hold up everybody."""
    connection, client = harness.open()
    client.sendall(POST_CHUNKED)
    harness.turn_to(connection, BODY)
    client.sendall(b"1\r\na\r\n" * 10_000)
    request = connection.incoming
    assert request is not None
    while request.body_bytes < 10_000:
        before = request.body_bytes
        harness.turn()
        assert request.body_bytes - before <= 16 * 1024 // 6 + 1


def test_a_refused_request_ends_the_connection_and_nothing_after_it_is_read(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + b"BAD\r\n\r\n" + GET % b"2")
    harness.next_task().answer(b"answer,")
    harness.turn_to(connection, LINGER)
    client.sendall(GET % b"3")
    harness.turn(3)
    assert harness.tasks == []
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert received.startswith(b"answer,HTTP/1.0 400 Bad Request\r\n")
    assert not was_reset


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (b"GET / HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"GET / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501),
        (b"GET / HTTP/1.1\r\nHost: x\r\nExpect: tea\r\n\r\n", 417),
        (POST % 101, 413),
        (b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 300, 431),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", 400),
    ],
)
def test_a_protocol_error_is_answered_with_its_status(make: Make, data: bytes, status: int) -> None:
    harness = make(max_request_body_size=100, max_request_header_size=256)
    connection, client = harness.open()
    client.sendall(data)
    harness.turn_to(connection, LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == status
    assert not was_reset
    assert harness.tasks == []


# --- 100-continue


@pytest.mark.promise("S55")
def test_continue_is_sent_once_when_the_client_waits_for_it(harness: Harness) -> None:
    _, client = harness.open()
    client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert harness.receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"1")
    harness.turn(2)
    client.sendall(b"2")
    harness.next_task().answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


@pytest.mark.parametrize(
    "data",
    [
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n12",
        b"PUT / HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n12",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["the body has started", "HTTP/1.0", "an empty body", "no body"],
)
def test_continue_is_not_sent_to_a_client_that_does_not_wait_for_it(harness: Harness, data: bytes) -> None:
    _, client = harness.open()
    client.sendall(data)
    harness.next_task().answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


def test_a_body_that_is_too_large_gets_413_instead_of_continue(make: Make) -> None:
    harness = make(max_request_body_size=100)
    connection, client = harness.open()
    client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n")
    harness.turn_to(connection, LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    assert status_of(receive_all(client)[0]) == 413


def test_continue_that_the_system_does_not_take_is_sent_later(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        harness.turn_to(connection, BODY)
        assert connection.interest == READ | WRITE
        assert state_of(connection) == "body"
        assert not connection.is_busy  # a close need not wait for it
    assert harness.receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.interest == READ
    assert state_of(connection) == "body"  # what has been sent is no response
    client.sendall(b"12")
    task = harness.next_task()
    assert task.request.open_body().read() == b"12"
    task.answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


def test_continue_that_is_sent_while_the_task_runs_does_not_end_the_response(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        harness.turn_to(connection, BODY)
        client.sendall(b"12" + GET % b"next")
        task = harness.next_task()
        connection.sender.send(b"some,")
        harness.turn()
    assert harness.receive(client, 30) == b"HTTP/1.1 100 Continue\r\n\r\nsome,"
    harness.turn(3)
    assert state_of(connection) == "task"
    assert harness.tasks == []
    task.answer(b"rest")
    assert harness.receive(client, 4) == b"rest"
    assert harness.next_task().request.head.path == "/next"


def test_a_body_that_does_not_come_after_a_continue_that_is_pending_gets_408(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make(request_body_timeout=5)
    connection, client = harness.open()
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        harness.turn_to(connection, BODY)
        harness.pass_seconds(7)
        assert state_of(connection) == "flush"
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert received.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 408 ")
    assert not was_reset


def test_a_client_that_has_ended_its_output_is_not_asked_to_continue(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"" + b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    task.answer(b"answer,")
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert received.startswith(b"answer,HTTP/1.1 400 ")
    assert not was_reset


def test_a_notification_left_over_does_not_take_a_pending_continue_for_a_response(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"" + b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    harness.next_task().answer(b"")
    harness.reactor.notify(connection.descriptor)
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        harness.turn_to(connection, PENDING)
        harness.turn(2)
        assert state_of(connection) == "body"
    assert harness.receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"12")
    harness.next_task().answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


def test_continue_is_sent_for_a_body_with_a_head_that_was_read_ahead(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"" + b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    harness.next_task().answer(b"answer,")
    assert harness.receive(client, 32) == b"answer,HTTP/1.1 100 Continue\r\n\r\n"
    assert state_of(connection) == "body"
    client.sendall(b"12")
    harness.next_task().answer(b"next")
    assert harness.receive(client, 4) == b"next"


# --- the client leaves


@pytest.mark.parametrize(
    ("data", "status"), [(b"", None), (b"\r\n", None), (b"GET / HT", 400), (POST % 5 + b"1234", 400)]
)
def test_an_end_of_input_outside_a_complete_request(harness: Harness, data: bytes, status: int | None) -> None:
    connection, client = harness.open()
    client.sendall(data)
    harness.turn(2)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert not was_reset
    assert (status_of(received) if status else received) == (status or b"")
    assert harness.tasks == []


@pytest.mark.parametrize("data", [b"GET / HT", POST % 5 + b"1234"], ids=["head", "body"])
def test_the_answer_to_half_a_request_waits_for_room_without_spinning(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, data: bytes
) -> None:
    connection, client = harness.open()
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        harness.turn_to(connection, FLUSH)
        harness.turn(3)
        assert connection.interest == WRITE  # the end stays readable: it would spin
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 400
    assert not was_reset
    assert harness.context.counters.by_status["4"] == 1


def test_a_half_closed_client_still_gets_its_response(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + GET % b"2")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    assert connection.interest == 0  # the end stays readable: it would spin
    task.answer(b"one,")
    harness.next_task().answer(b"two")
    harness.turn_to(connection, CLOSED)
    assert receive_all(client) == (b"one,two", False)


def test_a_half_closed_client_gets_a_large_response(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    task.answer(b"x" * MUCH)
    harness.receive(client, MUCH)
    harness.turn_to(connection, CLOSED)
    assert receive_all(client) == (b"", False)


def test_half_a_request_behind_a_whole_one_is_refused_after_its_answer(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + b"GET /2")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    task.answer(b"one,")
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert received.startswith(b"one,HTTP/1.0 400 ")
    assert not was_reset


def test_a_client_that_is_there_is_not_gone(harness: Harness) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    harness.turn(3)
    assert not connection.is_client_gone()


def test_a_reset_while_a_task_runs_keeps_the_descriptor_until_its_end(harness: Harness) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    task = harness.next_task()
    reset(client)
    harness.turn_until(lambda: connection.is_gone)
    assert connection.is_client_gone()
    assert connection.interest == 0
    assert state_of(connection) == "task"
    assert connection.socket.fileno() == connection.descriptor
    with pytest.raises(ClientDisconnected):
        connection.sender.send(b"x")
    assert harness.closed == []
    task.finish(Ending.PERSIST)
    harness.turn_to(connection, CLOSED)
    assert connection.socket.fileno() == -1
    assert harness.closed == [connection]


def test_a_task_leaves_nothing_pending_when_its_client_is_gone(harness: Harness) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    task = harness.next_task()
    connection.close()
    with pytest.raises(ClientDisconnected):
        connection.sender.send(b"x")
    task.finish()
    harness.turn_to(connection, CLOSED)
    assert receive_all(client) == (b"", False)


def test_a_reset_while_a_response_is_flushed_ends_the_connection(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    connection, client = harness.open()
    start_flush(harness, connection, client, Ending.PERSIST)
    reset(client)
    harness.turn_to(connection, CLOSED)
    assert messages(caplog) == []


def test_an_error_that_is_no_ordinary_end_of_a_client_is_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()

    def receive(transport: SocketTransport, size: int) -> bytes:
        raise Disconnected(OSError(errno.EIO, "text"))

    monkeypatch.setattr(SocketTransport, "receive", receive)
    client.sendall(b"x")
    harness.turn_to(connection, CLOSED)
    assert messages(caplog) == ["Socket error"]


# --- an empty line that was read ahead


def read_an_empty_line_ahead(harness: Harness) -> tuple[CheckedConnection, socket.socket]:
    connection, client = harness.open()
    start_task(harness, connection, client)
    client.sendall(b"\r\n")
    harness.turn_until(lambda: connection.receiver.ahead_bytes == 2)
    return connection, client


def test_an_empty_line_read_ahead_leaves_the_connection_idle_with_its_deadline(make: Make) -> None:
    harness = make(channel_timeout=5)
    connection, client = read_an_empty_line_ahead(harness)
    harness.next_task().answer(b"one")
    harness.turn_to(connection, IDLE)
    client.sendall(GET % b"2")
    harness.next_task().answer(b"two")
    harness.turn_to(connection, IDLE)
    connection, client = read_an_empty_line_ahead(harness)
    harness.next_task().answer(b"one")
    harness.turn_to(connection, IDLE)
    harness.pass_seconds(6)
    assert state_of(connection) is None


def test_an_empty_line_read_ahead_before_the_end_of_input_is_no_request(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"" + b"\r\n")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    task.answer(b"answer")
    harness.turn_to(connection, CLOSED)
    assert receive_all(client) == (b"answer", False)


def test_an_empty_line_read_ahead_does_not_keep_a_connection_that_is_to_close(harness: Harness) -> None:
    connection, client = read_an_empty_line_ahead(harness)
    harness.context.state = State.DRAINING
    harness.next_task().answer(b"answer")
    harness.turn_to(connection, CLOSED)
    assert receive_all(client) == (b"answer", False)


# --- endings


@pytest.mark.parametrize(
    ("ending", "is_draining", "has_input", "expected"),
    [
        (Ending.PERSIST, False, False, "idle"),
        (Ending.PERSIST, False, True, "task"),
        (Ending.PERSIST, True, False, None),
        (Ending.PERSIST, True, True, "task"),
        (Ending.CLOSE, False, False, None),
        (Ending.CLOSE, False, True, "linger"),
        (Ending.LINGER, False, False, "linger"),
        (Ending.LINGER, False, True, "linger"),
        (Ending.RESET, False, False, None),
        (Ending.RESET, False, True, None),
    ],
)
@pytest.mark.parametrize("size", [6, MUCH], ids=["small", "large"])
def test_what_becomes_of_a_connection_after_a_response(
    harness: Harness, size: int, ending: Ending, is_draining: bool, has_input: bool, expected: str | None
) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    if has_input:
        client.sendall(GET % b"next")
        harness.turn_until(lambda: connection.receiver.ahead_bytes)
    harness.context.state = State.DRAINING if is_draining else State.SERVING
    harness.next_task().answer(b"x" * size, ending)
    if ending is not Ending.RESET:  # a reset may overtake what the client has not read yet
        assert harness.receive(client, size) == b"x" * size
    elif size == MUCH:
        assert b"x" * 10 in harness.receive(client, 10)
        while state_of(connection) is not None:
            receive_some(harness, client)
    harness.turn()
    harness.turn_until(lambda: state_of(connection) == expected)
    if expected == "task":
        assert harness.next_task().request.head.path == "/next"
    elif expected == "linger":
        assert client.recv(1) == b""
    elif expected is None:
        assert receive_all(client)[1] is (ending is Ending.RESET)


def test_an_empty_response_ends_too(harness: Harness) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    harness.next_task().finish()
    harness.turn_to(connection, IDLE)


def test_a_file_is_sent_and_a_task_closes_it(harness: Harness, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * (MUCH // 10))
    connection, client = harness.open()
    start_task(harness, connection, client)
    task = harness.next_task()
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        size = file.prepare()
        assert not connection.sender.send_file(file)
        task.finish()
        assert harness.receive(client, size) == path.read_bytes()
        harness.turn_to(connection, IDLE)
        (closing,) = harness.other_tasks
        assert isinstance(closing, FileClosing)
        assert not opened.closed
        closing.service()
        assert opened.closed


def test_a_file_that_becomes_shorter_ends_the_connection(
    harness: Harness, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "file"
    path.write_bytes(bytes(MUCH))
    connection, client = harness.open()
    start_task(harness, connection, client)
    task = harness.next_task()
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        size = file.prepare()
        assert not connection.sender.send_file(file)
        task.finish()
        os.truncate(path, 0)
        received = 0
        while state_of(connection) is not None:
            received += len(receive_some(harness, client))
        assert received < size
        (message,) = messages(caplog)
        assert message.startswith("The response to ")
        for closing in harness.other_tasks:
            closing.service()


# --- a body that cannot be stored


@storage_errors
def test_a_body_that_cannot_be_stored_is_refused(
    harness: Harness,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    status: int,
) -> None:
    refuse_to_store(monkeypatch, error)
    connection, client = harness.open()
    client.sendall(b"POST /up?load HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
    harness.turn_to(connection, LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    assert status_of(receive_all(client)[0]) == status
    (record,) = caplog.records
    assert record.levelno == logging.ERROR
    assert "/up" in record.getMessage()
    assert str(error.strerror) in record.getMessage()


# --- deadlines


def test_an_idle_connection_is_closed_in_silence_after_channel_timeout(make: Make) -> None:
    harness = make(channel_timeout=10)
    connection, client = harness.open()
    harness.pass_seconds(9)
    assert state_of(connection) == "idle"
    harness.pass_seconds(2)
    assert state_of(connection) is None
    assert receive_all(client) == (b"", False)


def test_the_idle_time_starts_with_the_end_of_a_response(make: Make) -> None:
    harness = make(channel_timeout=10)
    connection, client = harness.open()
    harness.pass_seconds(8)
    start_task(harness, connection, client)
    harness.pass_seconds(30)
    assert state_of(connection) == "task"
    harness.next_task().answer(b"answer")
    harness.turn_to(connection, IDLE)
    harness.pass_seconds(9)
    assert state_of(connection) == "idle"
    harness.pass_seconds(2)
    assert state_of(connection) is None


def test_a_head_that_drips_gets_408(make: Make) -> None:
    harness = make(request_head_timeout=10, channel_timeout=5)
    connection, client = harness.open()
    for byte in GET[:10]:
        client.sendall(bytes([byte]))
        harness.turn_until(lambda: state_of(connection) == "head")
        harness.pass_seconds(1)
    harness.pass_seconds(1)
    harness.turn_to(connection, LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 408
    assert not was_reset


def test_a_head_in_time_has_no_deadline_any_more(make: Make) -> None:
    harness = make(request_head_timeout=10)
    connection, client = harness.open()
    start_head(harness, connection, client)
    harness.pass_seconds(9)
    client.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
    task = harness.next_task()
    harness.pass_seconds(20)
    task.answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


def test_a_second_head_has_its_own_time(make: Make) -> None:
    harness = make(request_head_timeout=10)
    connection, client = harness.open()
    client.sendall(GET % b"1" + b"GET /2 HT")
    task = harness.next_task()
    harness.pass_seconds(30)
    task.answer(b"answer")
    harness.turn_to(connection, HEAD)
    harness.pass_seconds(9)
    assert state_of(connection) == "head"
    harness.pass_seconds(2)
    assert state_of(connection) == "linger"


@pytest.mark.parametrize(
    ("sent_a_second", "expected"),
    [pytest.param(10, "linger", id="below-the-rate"), pytest.param(200, "body", id="above-the-rate")],
)
def test_a_slow_body_gets_408(make: Make, sent_a_second: int, expected: str) -> None:
    harness = make(request_body_timeout=10, request_body_rate=100, channel_timeout=5)
    connection, client = harness.open()
    client.sendall(POST % 100_000)
    harness.turn_to(connection, BODY)
    for _ in range(30):
        if state_of(connection) == "body":
            before = connection.incoming.body_bytes if connection.incoming is not None else 0
            client.sendall(bytes(sent_a_second))
            harness.turn_until(
                lambda before=before: connection.incoming is None or connection.incoming.body_bytes > before  # type: ignore[misc]
            )
        harness.pass_seconds(1)
        if state_of(connection) != "body":
            break
    assert state_of(connection) == expected
    if expected == "linger":
        client.shutdown(socket.SHUT_WR)
        harness.turn_to(connection, CLOSED)
        assert status_of(receive_all(client)[0]) == 408


@pytest.mark.parametrize(
    ("data", "version", "has_content"),
    [
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"1.1", False, id="body-of-head"),
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: a\r\n", b"1.0", False, id="head-of-head"),
        pytest.param(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"1.1", True, id="body"),
        pytest.param(b"PUT / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", b"1.0", True, id="body-in-1.0"),
        pytest.param(b"PU", b"1.0", True, id="request-line"),
    ],
)
def test_an_overdue_request_is_answered_by_its_method_and_version(
    harness: Harness, data: bytes, version: bytes, has_content: bool
) -> None:
    """RFC 9110 9.3.2: no content in an answer to HEAD, 408 or not."""
    connection, client = harness.open()
    client.sendall(data)
    harness.turn_until(lambda: state_of(connection) != "idle")
    harness.pass_seconds(32)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    head, _, content = receive_all(client)[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/%b 408 Request Timeout\r\n" % version)
    assert bool(content) is has_content


@pytest.mark.parametrize("then", [b"", b"a"], ids=["silent", "a-byte-a-second"])
def test_a_body_that_came_quickly_and_then_drips_gets_408_as_soon(make: Make, then: bytes) -> None:
    harness = make(request_body_timeout=10, request_body_rate=100)
    connection, client = harness.open()
    client.sendall(POST % 10_000_000 + bytes(1_000_000))
    harness.turn_until(lambda: connection.incoming is not None and connection.incoming.body_bytes == 1_000_000)
    for _ in range(9):
        client.sendall(then)
        harness.pass_seconds(1)
    assert state_of(connection) == "body"
    harness.pass_seconds(3)
    assert state_of(connection) == "linger"


@pytest.mark.parametrize(
    "start",
    [
        pytest.param(b"GET / HTTP/1.1\r\nX: ", id="head"),
        pytest.param(POST % 100_000, id="body"),
        pytest.param(POST_CHUNKED + b"fffff\r\n", id="chunk"),
        pytest.param(POST_CHUNKED + b"1;a", id="chunk-line"),
        pytest.param(POST_CHUNKED + b"0\r\nX: ", id="trailer"),
    ],
)
def test_a_byte_every_two_seconds_ends_in_half_a_minute_by_default(harness: Harness, start: bytes) -> None:
    connection, client = harness.open()
    client.sendall(start)
    harness.turn_until(lambda: state_of(connection) != "idle")
    for second in range(31):
        if second == 29:
            assert state_of(connection) in ("head", "body")
        if second % 2 and state_of(connection) in ("head", "body"):
            client.sendall(b"a")
        harness.pass_seconds(1)
    assert state_of(connection) == "linger"
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 408
    assert b"\r\nConnection: close\r\n" in received
    assert not was_reset


class SystemRoom:
    """How many data the system takes of what is sent: a real one has its own timers, and moves some later."""

    data = 100_000

    def send(self, transport: SocketTransport, data: bytes) -> int:
        sent = min(len(data), self.data)
        self.data -= sent
        transport.sent_bytes += sent
        return sent


@pytest.fixture
def system_room(monkeypatch: pytest.MonkeyPatch) -> SystemRoom:
    """Put the room that a test leaves it in the place of the system's."""
    room = SystemRoom()
    monkeypatch.setattr(SocketTransport, "send", lambda transport, data: room.send(transport, data))
    return room


@pytest.mark.usefixtures("system_room")
def test_a_reader_that_takes_nothing_is_reset(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    harness = make(channel_timeout=10)
    connection, client = harness.open()
    start_flush(harness, connection, client, Ending.PERSIST)
    harness.turn(3)
    harness.pass_seconds(9)
    assert state_of(connection) == "flush"
    harness.pass_seconds(3)
    assert state_of(connection) is None
    assert receive_all(client)[1]
    assert messages(caplog) == ["Client 127.0.0.1 does not read its response: connection reset"]


def test_a_response_that_ends_with_a_turns_share_leaves_no_watch_behind(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next response of the connection would be watched already, and nobody would look after its pace."""
    connection, client = harness.open()
    client.sendall(GET % b"")
    harness.next_task().answer(b"x" * MUCH)
    harness.reactor._call_notified()
    assert connection.interest & WRITE
    assert connection.sender.outbox is not None
    monkeypatch.setattr("waitress_core.connection.sender.FLUSH_BYTES", connection.sender.outbox.pending_bytes)
    monkeypatch.setattr(SocketTransport, "send", lambda transport, data: len(data))
    connection.on_ready(WRITE)
    assert state_of(connection) == "idle"
    assert connection.interest == READ


def test_a_reader_that_takes_some_now_and_then_is_not_reset(make: Make) -> None:
    harness = make(channel_timeout=10)
    connection, client = harness.open(buffer_bytes=8192)
    start_flush(harness, connection, client, Ending.PERSIST)
    for _ in range(10):
        harness.pass_seconds(8)
        harness.receive(client, 65536)
    assert state_of(connection) == "flush"


@pytest.mark.parametrize("taken", [0, MUCH // 2], ids=["nothing", "much-and-then-nothing"])
def test_a_reader_that_keeps_a_task_waiting_has_less_time(make: Make, system_room: SystemRoom, taken: int) -> None:
    harness = make(channel_timeout=100, response_timeout=5, response_rate=10_000, outbuf_high_watermark=100_000)
    connection, client = harness.open()
    start_task(harness, connection, client)
    task = harness.next_task()
    errors: list[BaseException] = []

    def work() -> None:
        try:
            connection.sender.send(b"x" * MUCH)
        except ClientDisconnected as error:
            errors.append(error)
        task.finish(Ending.CLOSE)

    def is_at_a_standstill() -> bool:
        outbox = connection.sender.outbox
        # A worker that has been woken, and does not run yet, is still counted as waiting: it has room.
        is_waiting = outbox is not None and outbox.is_waited_for and outbox.room_bytes() <= 0
        return is_waiting and not system_room.data

    worker = threading.Thread(target=work)
    worker.start()
    harness.turn_until(is_at_a_standstill)
    assert harness.yields
    harness.pass_seconds(3)
    system_room.data = taken
    harness.turn_until(is_at_a_standstill)
    harness.pass_seconds(1)
    assert not connection.is_gone
    harness.pass_seconds(6)
    assert connection.is_gone
    worker.join(20)
    assert len(errors) == 1
    harness.turn_to(connection, CLOSED)
    assert receive_all(client)[1]


def test_a_reader_that_the_system_does_not_call_writable_is_served_each_second(
    make: Make, system_room: SystemRoom
) -> None:
    # Linux does so only when a third of the buffer is free.
    harness = make(channel_timeout=10)
    connection, client = harness.open()
    modify = harness.reactor.poller.modify
    harness.reactor.poller.modify = lambda descriptor, interest: modify(descriptor, READ)  # type: ignore[method-assign]
    start_flush(harness, connection, client, Ending.PERSIST)
    for _ in range(100):
        system_room.data = 100_000
        harness.pass_seconds(1)
        if state_of(connection) != "flush":
            break
    assert state_of(connection) == "idle"


def test_a_task_that_starts_to_wait_while_its_connection_is_closed_is_freed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make(outbuf_high_watermark=10)
    connection, client = harness.open()
    start_task(harness, connection, client)
    task = harness.next_task()
    errors: list[BaseException] = []

    def send(transport: SocketTransport, data: bytes) -> int:
        connection.close()  # by the reactor, while the system is about to say that it takes nothing
        return 0

    def work() -> None:
        try:
            connection.sender.send(b"x" * 100)
        except ClientDisconnected as error:
            errors.append(error)
        task.finish()

    with monkeypatch.context() as patched:
        patched.setattr(SocketTransport, "send", send)
        worker = threading.Thread(target=work, daemon=True)
        worker.start()
        harness.turn_until(lambda: not worker.is_alive())
    assert len(errors) == 1
    harness.turn_to(connection, CLOSED)


@pytest.mark.parametrize(("settings", "seconds"), [({}, 2), ({"linger_timeout": 7}, 7)], ids=["by-default", "as-set"])
def test_lingering_ends_after_linger_timeout(make: Make, settings: dict[str, int], seconds: int) -> None:
    harness = make(**settings)
    connection, client = harness.open()
    linger(harness, connection, client)
    harness.pass_seconds(seconds - 1)
    client.sendall(b"x")
    harness.turn()
    assert state_of(connection) == "linger"
    harness.pass_seconds(2)
    assert state_of(connection) is None


def test_lingering_ends_after_many_megabytes(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    connection, client = harness.open()
    linger(harness, connection, client)
    client.sendall(bytes(64 * 1024))
    harness.turn_until(lambda: connection.receiver._discarded_bytes == 64 * 1024)
    assert receiver_module.LINGER_BYTES >= 64 << 20
    monkeypatch.setattr(receiver_module, "LINGER_BYTES", 64 * 1024)
    assert state_of(connection) == "linger"
    client.sendall(b"x")
    harness.turn_to(connection, CLOSED)


def test_a_client_that_still_sends_can_read_why_it_was_refused(make: Make) -> None:
    harness = make(max_request_body_size=10)
    connection, client = harness.open()
    client.sendall(POST % 50_000)
    for _ in range(50):
        client.sendall(bytes(1000))
        harness.turn()
    harness.turn_to(connection, LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 413
    assert not was_reset


def test_no_deadline_outlives_its_connection(harness: Harness) -> None:
    for scenario in SCENARIOS:
        harness.speak_tls(scenario in TLS_SCENARIOS)
        connection, client = harness.open()
        scenario(harness, connection, client)
        harness.turn(3)
        for task in harness.tasks:
            task.finish(Ending.CLOSE)
        harness.tasks.clear()
        harness.turn(3)
        connection.close()
        assert state_of(connection) is None
        assert armed_deadlines(harness) == 0


# --- the server's side


def test_a_fault_closes_the_connection_and_no_other(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    broken, broken_client = harness.open()
    whole, client = harness.open()
    broken.use_parser(object())  # type: ignore[arg-type]  # that is what is wrong with it
    broken_client.sendall(GET % b"")
    harness.turn_to(broken, CLOSED)
    start_task(harness, whole, client)
    assert len(caplog.records) == 1
    assert "closing channel <Connection 127.0.0.1:5000" in messages(caplog)[0]


def test_an_overdue_connection_that_cannot_be_answered_is_closed(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    harness = make(request_head_timeout=3)
    connection, client = harness.open()
    start_head(harness, connection, client)

    def fail(transport: SocketTransport, data: bytes) -> int:
        raise MemoryError

    monkeypatch.setattr(SocketTransport, "send", fail)
    harness.pass_seconds(5)
    assert state_of(connection) is None


def test_an_answer_that_can_be_stored_nowhere_waits_in_memory(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    harness = make(request_head_timeout=3, outbuf_overflow=1)
    connection, client = harness.open()
    start_head(harness, connection, client)
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        harness.pass_seconds(5)
        assert state_of(connection) == "flush"
    harness.turn_until(lambda: state_of(connection) == "linger")
    assert status_of(client.recv(1000)) == 408


def test_what_comes_after_a_late_request_while_its_answer_waits_for_room_is_no_fault(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    harness = make(request_head_timeout=3)
    connection, client = harness.open()
    start_head(harness, connection, client)
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        harness.pass_seconds(5)
        assert state_of(connection) == "flush"
        client.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
        harness.turn_until(lambda: connection.receiver.ahead_bytes)
    harness.turn_to(connection, LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 408
    assert not was_reset
    assert harness.tasks == []
    assert messages(caplog) == []


@pytest.mark.parametrize(("number", "is_logged"), [(errno.ECONNRESET, False), (errno.EIO, True)])
def test_a_client_that_leaves_as_its_next_request_is_refused_is_closed(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, number: int, is_logged: bool
) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"" + b"no request\r\n\r\n")
    harness.next_task().answer(b"answer")

    def send(transport: SocketTransport, data: bytes) -> int:
        raise Disconnected(OSError(number, "text"))

    monkeypatch.setattr(SocketTransport, "send", send)
    harness.turn_to(connection, CLOSED)
    assert messages(caplog) == ["Socket error"] * is_logged


@pytest.mark.parametrize("data", [b"GET / HT", POST % 5], ids=["head", "body"])
def test_a_client_that_leaves_as_its_late_request_is_answered_is_closed(
    make: Make, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, data: bytes
) -> None:
    harness = make(request_head_timeout=3, request_body_timeout=3)
    connection, client = harness.open()
    client.sendall(data)
    harness.turn_until(lambda: state_of(connection) != "idle")

    def send(transport: SocketTransport, data: bytes) -> int:
        raise Disconnected(OSError(errno.EPIPE, "text"))

    monkeypatch.setattr(SocketTransport, "send", send)
    harness.pass_seconds(5)
    assert state_of(connection) is None
    assert messages(caplog) == []


def test_an_idle_connection_is_closed_to_make_room(harness: Harness) -> None:
    connection, client = harness.open()
    connection.close_if_idle("room")
    assert state_of(connection) is None
    assert receive_all(client) == (b"", False)


@pytest.mark.parametrize("data", [GET % b"", b"GET", POST % 5], ids=["a request", "half a head", "half a body"])
def test_a_connection_that_has_just_sent_is_not_closed_to_make_room(harness: Harness, data: bytes) -> None:
    connection, client = harness.open()
    client.sendall(data)
    harness.turn_until(lambda: dict(harness.reactor.poller.poll(0.1)).get(connection.descriptor))
    connection.close_if_idle("room")
    assert state_of(connection) in ("task", "head", "body")


def test_a_connection_is_busy_until_its_response_is_sent(harness: Harness) -> None:
    connection, client = harness.open()
    assert not connection.is_busy
    start_task(harness, connection, client)
    assert connection.is_busy
    harness.next_task().answer(b"x" * MUCH)
    harness.turn_to(connection, FLUSH)
    assert connection.is_busy
    harness.receive(client, MUCH)
    harness.turn_to(connection, IDLE)
    assert not connection.is_busy


class RacingConnection(CheckedConnection):
    """Its task ends just after the reactor has checked whether it has."""

    is_racing = False
    kept: tuple[Ending, Response, float] | None = None

    @property
    def _finished(self) -> tuple[Ending, Response, float] | None:
        finished = self.kept
        if self.is_racing and finished is None:
            self.is_racing = False
            self.finish(Ending.PERSIST, NOT_STARTED)
        return finished

    @_finished.setter
    def _finished(self, finished: tuple[Ending, Response, float] | None) -> None:
        self.kept = finished


def test_a_task_that_ends_while_its_earlier_notification_is_handled_is_seen(harness: Harness) -> None:
    connection, client = harness.open(kind=RacingConnection)
    assert isinstance(connection, RacingConnection)
    start_task(harness, connection, client)
    harness.tasks.clear()
    connection.is_racing = True
    harness.reactor.notify(connection.descriptor)
    harness.turn_to(connection, IDLE)
    assert not connection.is_racing


def note_wake_ups(monkeypatch: pytest.MonkeyPatch, reactor: Reactor, woken: list[str]) -> None:
    """Have a reactor believe that it polls, and note the wake-ups that would end the poll."""
    reactor._is_polling = True
    monkeypatch.setattr(reactor._wake_up, "wake", lambda: woken.append("woken"))


def test_the_end_of_a_response_waits_for_the_next_turn(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    woken: list[str] = []
    note_wake_ups(monkeypatch, harness.reactor, woken)
    connection, client = harness.open()
    start_task(harness, connection, client)
    harness.next_task().answer(b"answer")
    assert woken == []
    client.sendall(GET % b"next")
    assert harness.next_task().request.head.path == "/next"


def read_ahead(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"" + GET % b"next")


def test_what_comes_while_a_task_runs_is_read_without_a_change_of_the_poller(make: Make) -> None:
    harness = make(recv_bytes=1000)
    connection, client = harness.open()
    start_task(harness, connection, client)
    client.sendall(GET % b"next")
    harness.turn_until(lambda: connection.receiver.ahead_bytes)
    assert connection.interest == READ
    client.sendall(b"x" * 1000)
    harness.turn_until(lambda: connection.interest == 0)  # enough: the rest stays with the client


def end_input(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"")
    client.shutdown(socket.SHUT_WR)


def leave(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"")
    harness.context.state = State.LEAVING


def crowd(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"")
    harness.context.is_full = True


@pytest.mark.parametrize(
    ("start", "answer", "ending"),
    [
        (read_ahead, b"answer", Ending.PERSIST),
        (end_input, b"answer", Ending.PERSIST),
        (leave, b"answer", Ending.PERSIST),
        (crowd, b"answer", Ending.PERSIST),
        (lambda harness, client: client.sendall(GET % b""), b"answer", Ending.CLOSE),
        (lambda harness, client: client.sendall(GET % b""), b"x" * MUCH, Ending.PERSIST),
    ],
    ids=[
        "a request is read ahead",
        "input ended",
        "the server leaves",
        "a client waits",
        "the connection ends",
        "output pends",
    ],
)
def test_the_end_of_a_response_starts_a_turn_when_there_is_something_to_do(
    harness: Harness,
    start: Callable[[Harness, socket.socket], None],
    answer: bytes,
    ending: Ending,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection, client = harness.open()
    start(harness, client)
    task = harness.next_task()
    harness.turn(2)  # the end of the input is seen
    connection.sender.send(answer)
    woken: list[str] = []
    note_wake_ups(monkeypatch, harness.reactor, woken)
    task.finish(ending)
    assert woken == ["woken"]


def test_a_task_that_leads_again_at_its_end_ends_the_response_at_once(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1")
    task = harness.next_task()
    harness.resumes = True
    task.service()
    assert (connection.receiver.state, connection.idle_since) == (IDLE, harness.reactor.now)
    assert harness.context.counters.by_status[""] == 1
    harness.turn()
    assert harness.context.counters.by_status[""] == 1


def test_a_task_that_leads_again_goes_on_with_what_was_read_ahead(harness: Harness) -> None:
    _, client = harness.open()
    client.sendall(GET % b"1" + GET % b"2")
    task = harness.next_task()
    harness.resumes = True
    task.service()
    assert [task.request.head.path for task in harness.tasks] == ["/2"]


@pytest.mark.parametrize("error", [ValueError, SystemExit])
@pytest.mark.parametrize("place", ["on_notify", "_end_response"])
def test_a_fault_at_the_end_of_a_task_that_leads_again_costs_its_connection(
    place: str,
    error: type[BaseException],
    harness: Harness,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail(*arguments: object) -> None:
        raise error("no tea")

    connection, client = harness.open()
    client.sendall(GET % b"1")
    task = harness.next_task()
    harness.resumes = True
    monkeypatch.setattr(type(connection), place, fail)
    task.service()
    assert harness.closed == [connection]
    assert connection.socket.fileno() == -1
    assert "uncaptured python exception, closing channel" in caplog.text
    assert f"{error.__name__}: no tea" in caplog.text


def test_a_connection_is_idle_from_the_end_of_its_response_on(harness: Harness) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    assert state_of(connection) == "task"
    harness.next_task().answer(b"answer")
    ended_at = harness.clock()
    assert (connection.receiver.state, state_of(connection)) == (AHEAD, "idle")  # the reactor has not seen it yet
    harness.clock.advance(0.75)
    harness.turn()
    assert (connection.receiver.state, connection.idle_since) == (IDLE, ended_at)


def test_a_response_that_has_ended_and_is_not_taken_yet_is_reported_as_flush(harness: Harness) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    harness.next_task().answer(b"x" * MUCH)
    assert (connection.sender.state, state_of(connection)) == (READY, "flush")  # the reactor has not seen it yet


class Dropping(RequestParser):
    """Holds nothing of what it gets, as one that has failed."""

    def receive(self, data: bytes | memoryview) -> None:
        pass


def test_reading_ahead_is_bounded_even_if_the_parser_holds_none_of_it(harness: Harness) -> None:
    connection, client = harness.open()
    start_flush(harness, connection, client, Ending.PERSIST)
    connection.use_parser(Dropping())
    client.setblocking(False)
    before = harness.context.counters.bytes_in
    for _ in range(100):
        with contextlib.suppress(BlockingIOError):
            client.send(b"x" * 8192)
        harness.turn()
    assert harness.context.counters.bytes_in - before < 2 * harness.adj.recv_bytes


def test_a_closed_connection_does_not_report_the_idleness_of_the_next_one(harness: Harness) -> None:
    connection, _ = harness.open()
    connection.close()
    following, _ = harness.open()
    assert following.idle_since is not None
    connection.descriptor = following.descriptor  # as the system may do
    assert connection.idle_since is None


@pytest.mark.parametrize("scenario", [start_head, start_body, start_task, start_flush, linger], ids=name_of)
def test_a_connection_is_named_with_its_address_and_state(harness: Harness, scenario: Scenario) -> None:
    connection, client = harness.open()
    assert repr(connection) == "<Connection 127.0.0.1:5000 IDLE>"
    scenario(harness, connection, client)
    state = scenario.__name__.removeprefix("start_")
    assert (state_of(connection), repr(connection)) == (state, f"<Connection 127.0.0.1:5000 {state.upper()}>")
    for task in harness.tasks:
        task.finish()
    harness.tasks.clear()
    connection.close()
    harness.turn()
    assert (state_of(connection), repr(connection)) == (None, "<Connection 127.0.0.1:5000 CLOSED>")


# --- TLS


def test_a_handshake_has_its_deadline_and_the_log_reports_the_client_once(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    harness.speak_tls()
    connection, client = harness.open()
    assert state_of(connection) == "handshake"
    client.sendall(b"\x16")
    harness.pass_seconds(9)
    assert state_of(connection) == "handshake"
    harness.pass_seconds(2)
    assert connection.is_gone
    assert caplog.messages == ["TLS handshake with 127.0.0.1 failed: not complete in time"]


def test_a_handshake_that_fails_is_one_record_of_its_reason(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    harness.speak_tls()
    connection, client = harness.open()
    client.sendall(b"\xff" * 20)
    harness.turn_to(connection, CLOSED)
    assert [(record.levelname, record.exc_info) for record in caplog.records] == [("INFO", None)]
    assert caplog.messages[0].startswith("TLS handshake with 127.0.0.1 failed: ")


def test_a_client_that_says_nothing_before_it_leaves_is_no_news(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    harness.speak_tls()
    connection, client = harness.open()
    client.close()
    harness.turn_to(connection, CLOSED)
    assert caplog.messages == []


def test_a_plain_request_to_a_tls_port_is_answered_in_plain_text(harness: Harness) -> None:
    harness.speak_tls()
    connection, client = harness.open()
    client.sendall(GET % b"")
    harness.turn_to(connection, LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 400
    assert b"This port speaks HTTPS" in received
    assert not was_reset
    assert harness.tasks == []


def test_a_handshake_that_waits_for_room_goes_on_when_there_is_room(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.speak_tls()
    connection, client = harness.open()
    real, waits = TlsTransport.handshake, [WRITE, WRITE]
    interests = []

    def handshake(transport: TlsTransport) -> int:
        interests.append(connection.interest)
        waits_for = real(transport)
        return waits.pop() if waits else waits_for

    monkeypatch.setattr(TlsTransport, "handshake", handshake)
    peer = TlsPeer(client, harness.turn).shake_hands()
    peer.send(GET % b"")
    harness.next_task().answer(b"answer")
    assert peer.receive(6) == b"answer"
    assert interests[0] == READ
    assert connection.interest == READ
    assert state_of(connection) == "idle"


def test_a_request_behind_the_handshake_and_one_read_ahead_are_answered(harness: Harness) -> None:
    harness.speak_tls()
    connection, client = harness.open()
    peer = TlsPeer(client, harness.turn).shake_hands()
    peer.send(GET % b"1" + GET % b"2")
    harness.next_task().answer(b"first")
    harness.next_task().answer(b"second")
    assert peer.receive(11) == b"firstsecond"
    harness.turn_until(lambda: state_of(connection) == "idle")
    assert connection.tls is not None


def test_output_for_which_there_is_no_room_is_sent_by_the_reactor_in_order(harness: Harness) -> None:
    harness.speak_tls()
    connection, client = harness.open(buffer_bytes=4096)
    peer = TlsPeer(client, harness.turn).shake_hands()
    peer.send(GET % b"")
    data = os.urandom(MUCH)
    harness.next_task().answer(data)
    assert connection.sender.has_pending
    assert peer.receive(MUCH) == data
    harness.turn_until(lambda: state_of(connection) == "idle")


def test_the_goodbye_of_a_tls_client_that_asked_for_the_end_makes_it_no_reset(harness: Harness) -> None:
    """Its close_notify is data. Where the socket is closed already, that would drop what is still on its way to it."""
    harness.speak_tls()
    connection, client = harness.open()
    peer = TlsPeer(client, harness.turn).shake_hands()
    peer.send(GET % b"")
    harness.next_task().answer(b"answer", Ending.CLOSE)
    harness.turn(3)
    with contextlib.suppress(ssl.SSLWantReadError):
        peer.session.unwrap()
    client.sendall(peer.outgoing.read())
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)
    client.settimeout(20)
    received, was_reset = receive_all(client)
    assert received
    assert not was_reset


@pytest.mark.parametrize(
    ("ending", "end"), [(Ending.CLOSE, "close_notify"), (Ending.LINGER, "close_notify"), (Ending.RESET, "reset")]
)
def test_only_a_complete_response_ends_with_close_notify(harness: Harness, ending: Ending, end: str) -> None:
    harness.speak_tls()
    connection, client = harness.open()
    peer = TlsPeer(client, harness.turn).shake_hands()
    peer.send(GET % b"")
    harness.next_task().answer(b"answer", ending)
    received, found = peer.rest()
    assert found == end
    assert received == b"answer" or end == "reset"
    client.shutdown(socket.SHUT_WR) if end == "close_notify" else None
    harness.turn_to(connection, CLOSED)


def test_an_end_of_output_without_room_is_tried_again_when_there_is_room(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()
    answers = [False, False, True]
    monkeypatch.setattr(SocketTransport, "end_output", lambda transport: answers.pop(0))
    start_task(harness, connection, client)
    harness.next_task().answer(b"answer", Ending.LINGER)
    harness.turn_until(lambda: not answers)
    assert state_of(connection) == "linger"
    assert connection.interest == READ
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, CLOSED)


@pytest.mark.parametrize("runs_task", [False, True], ids=["idle", "task"])
def test_the_transport_is_told_whether_a_response_is_cut_off(
    harness: Harness, monkeypatch: pytest.MonkeyPatch, runs_task: bool
) -> None:
    connection, client = harness.open()
    told = []
    monkeypatch.setattr(SocketTransport, "end", lambda transport, is_complete: told.append(is_complete))
    if runs_task:
        start_task(harness, connection, client)
    connection.close()
    assert told == [not runs_task]
    if runs_task:
        harness.next_task().finish()
        harness.turn_to(connection, CLOSED)


def test_closing_twice_is_closing_once(harness: Harness) -> None:
    connection, _ = harness.open()
    connection.close()
    connection.close()
    assert harness.closed == [connection]


def test_a_forked_childs_copy_ends_without_a_byte_to_the_client(harness: Harness) -> None:
    connection, client = harness.open()
    parents = connection.socket.dup()
    with parents:
        connection.abandon_after_fork()
        parents.sendall(b"still here")
        assert client.recv(100) == b"still here"
    harness.connections.remove(connection)  # it is the parent's to close


def test_an_idle_connection_costs_little_memory(harness: Harness) -> None:
    tracemalloc = pytest.importorskip("tracemalloc", reason="PyPy does not trace its memory")
    pairs = [tcp_pair() for _ in range(100)]
    connections = []
    gc.collect()
    tracemalloc.start()
    try:
        for accepted, client in pairs:
            connection = harness.make(accepted, Connection)
            connections.append(connection)
            client.sendall(GET % b"x")
            harness.next_task().service()
            harness.turn()
            assert connection.receiver.state is IDLE
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    for connection, (_, client) in zip(connections, pairs, strict=True):
        connection.close()
        client.close()
    harness.closed.clear()
    assert size / len(pairs) < IDLE_BYTES


def test_a_connection_has_no_dict_and_an_idle_one_no_outbox() -> None:
    assert "__dict__" not in dir(Connection)
    assert "__weakref__" not in dir(Connection)


def test_the_outbox_is_given_up_with_the_response(harness: Harness) -> None:
    connection, client = harness.open()
    start_task(harness, connection, client)
    harness.next_task().answer(b"x" * MUCH)
    harness.receive(client, MUCH)
    harness.turn_to(connection, IDLE)
    assert connection.sender.outbox is None
    assert connection.interest == READ


# --- who looks on


def test_a_connection_reports_its_incoming_request_and_since_when_it_is_idle(make: Make) -> None:
    harness = make()
    connection, client = harness.open()
    assert (connection.incoming, connection.idle_since) == (None, harness.reactor.now)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
    harness.turn_until(lambda: connection.incoming is not None)
    assert connection.incoming is not None
    assert (connection.incoming.head.method, connection.idle_since) == ("POST", None)


def test_another_parser_can_be_used(make: Make) -> None:
    harness = make()
    connection, client = harness.open()
    parser = NotingParser()
    connection.use_parser(parser)
    client.sendall(GET % b"")
    harness.next_task()
    assert parser.noted == GET % b""
