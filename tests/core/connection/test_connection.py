"""One connection: its phases, its deadlines, and what it reads and sends, with the reactor turned by hand."""

import contextlib
import errno
import gc
import logging
import os
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.core.connecting import CheckedConnection, Harness
from tests.support.pairs import receive_all, reset, tcp_pair
from waitress_buffers import ReadOnlyFileBuffer, StorageFullError, StorageUnavailableError
from waitress_core.connection.connection import Connection
from waitress_core.connection.sender import ClientDisconnected, FileClosing
from waitress_core.connection.states import TRANSITIONS, Ending, Phase
from waitress_core.http.request import Request
from waitress_core.net.transport import Disconnected, SocketTransport
from waitress_core.reactor.poller import READ, WRITE
from waitress_parser import RequestParser

GET = b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
POST_CHUNKED = b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
IDLE_BYTES = 1000  # of this process for a connection that has had a request, beside the socket
MUCH = 4 << 20  # octets: more than the system holds between the two ends

Make = Callable[..., Harness]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make harnesses with settings; they are closed, and their moves checked, at the end."""
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


def phase_of(connection: CheckedConnection) -> Phase:
    return connection.phase


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def receive_some(harness: Harness, client: socket.socket) -> bytes:
    """Read what has come, if anything has."""
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


# --- the phases: each legal move is made, and the harness checks that no other is


def begin_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(b"GET / HT")
    harness.turn_to(connection, Phase.HEAD)


def begin_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(POST % 5)
    harness.turn_to(connection, Phase.BODY)


def begin_task(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(GET % b"")
    harness.turn_to(connection, Phase.TASK)


def begin_flush(harness: Harness, connection: CheckedConnection, client: socket.socket, ending: Ending) -> None:
    begin_task(harness, connection, client)
    harness.next_task().answer(b"x" * MUCH, ending)
    harness.turn_to(connection, Phase.FLUSH)


def linger(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    client.sendall(b"no request\r\n\r\n")
    harness.turn_to(connection, Phase.LINGER)


def leave_in_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_head(harness, connection, client)
    reset(client)


def leave_in_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_body(harness, connection, client)
    reset(client)


def leave_in_linger(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    linger(harness, connection, client)
    client.close()


def body_after_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_head(harness, connection, client)
    client.sendall(b"TP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n")


def rest_of_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_head(harness, connection, client)
    client.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")


def fault_in_head(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_head(harness, connection, client)
    client.sendall(b"ML\r\n\r\n")


def rest_of_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_body(harness, connection, client)
    client.sendall(b"12345")


def half_a_body(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_body(harness, connection, client)
    client.shutdown(socket.SHUT_WR)


def end_of_task(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_task(harness, connection, client)
    harness.next_task().answer(b"answer")


def closed_after_flush(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_task(harness, connection, client)
    harness.next_task().answer(b"answer", Ending.CLOSE)


def linger_after_flush(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    begin_task(harness, connection, client)
    harness.next_task().answer(b"answer", Ending.LINGER)


SCENARIOS: dict[tuple[Phase, Phase], Callable[[Harness, CheckedConnection, socket.socket], None]] = {
    (Phase.IDLE, Phase.HEAD): begin_head,
    (Phase.IDLE, Phase.BODY): begin_body,
    (Phase.IDLE, Phase.TASK): begin_task,
    (Phase.IDLE, Phase.FLUSH): linger,
    (Phase.IDLE, Phase.CLOSED): lambda harness, connection, client: client.close(),
    (Phase.HEAD, Phase.BODY): body_after_head,
    (Phase.HEAD, Phase.TASK): rest_of_head,
    (Phase.HEAD, Phase.FLUSH): fault_in_head,
    (Phase.HEAD, Phase.CLOSED): leave_in_head,
    (Phase.BODY, Phase.TASK): rest_of_body,
    (Phase.BODY, Phase.FLUSH): half_a_body,
    (Phase.BODY, Phase.CLOSED): leave_in_body,
    (Phase.TASK, Phase.FLUSH): end_of_task,
    (Phase.FLUSH, Phase.IDLE): end_of_task,
    (Phase.FLUSH, Phase.LINGER): linger_after_flush,
    (Phase.FLUSH, Phase.CLOSED): closed_after_flush,
    (Phase.LINGER, Phase.CLOSED): leave_in_linger,
}


def test_there_is_a_scenario_for_every_legal_move() -> None:
    assert set(SCENARIOS) == {(before, after) for before, targets in TRANSITIONS.items() for after in targets}


@pytest.mark.parametrize("move", SCENARIOS, ids=lambda move: f"{move[0].name}-{move[1].name}")
def test_every_legal_move_is_made(harness: Harness, move: tuple[Phase, Phase]) -> None:
    connection, client = harness.open()
    SCENARIOS[move](harness, connection, client)
    harness.turn_until(lambda: move in connection.moves)


# --- requests


@pytest.mark.parametrize("cut", [1, 7, 10_000], ids=["octet by octet", "in pieces", "whole"])
@pytest.mark.parametrize(
    ("octets", "body"),
    [
        (b"POST /path HTTP/1.1\r\nHost: x\r\nContent-Length: 12\r\n\r\nhello, world", b"hello, world"),
        (b"POST /path HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", b"hello"),
        (b"GET /path HTTP/1.1\r\nHost: x\r\n\r\n", b""),
    ],
    ids=["length", "chunked", "no body"],
)
def test_a_request_becomes_one_task_however_it_is_cut(harness: Harness, cut: int, octets: bytes, body: bytes) -> None:
    connection, client = harness.open()
    for start in range(0, len(octets), cut):
        assert not harness.tasks
        client.sendall(octets[start : start + cut])
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


def test_the_next_request_waits_until_the_response_is_sent_wholly(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + GET % b"2")
    harness.next_task().answer(b"x" * MUCH)
    harness.turn_to(connection, Phase.FLUSH)
    harness.turn(5)
    assert harness.tasks == []
    harness.receive(client, MUCH)
    assert harness.next_task().request.head.path == "/2"


def test_a_client_that_asks_again_as_soon_as_it_is_answered_costs_no_change_of_the_poller(
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
    connection.finish(Ending.PERSIST)


def test_a_client_that_pipelines_without_end_is_read_no_further_than_it_is_answered(make: Make) -> None:
    harness = make(recv_bytes=1000)
    connection, client = harness.open()
    client.setblocking(False)
    for _ in range(300):
        with contextlib.suppress(BlockingIOError):
            client.send((GET % b"") * 20)
        harness.turn()
        if harness.tasks:
            harness.tasks.pop(0).answer(b"")
        assert connection._parser.held_bytes <= 2 * 1000


def test_what_is_read_ahead_is_bounded_and_then_the_socket_is_out_of_the_poller(make: Make) -> None:
    harness = make(recv_bytes=100)
    connection, client = harness.open()
    client.sendall(GET % b"first")
    task = harness.next_task()
    assert connection.interest == READ
    client.sendall((GET % b"next") * 50)
    harness.turn_until(lambda: not connection.interest)
    harness.turn(3)
    assert 0 < connection._parser.held_bytes <= 100
    task.answer(b"")
    for _ in range(50):
        task = harness.next_task()
        assert task.request.head.path == "/next"
        task.answer(b"")
    harness.turn_to(connection, Phase.IDLE)
    assert connection.interest == READ


def test_of_tiny_chunks_a_turn_takes_no_more_than_it_can_read_in_a_moment(harness: Harness) -> None:
    """65,000 octets of them are ten thousand chunks: read at once they would hold up everybody."""
    connection, client = harness.open()
    client.sendall(POST_CHUNKED)
    harness.turn_to(connection, Phase.BODY)
    client.sendall(b"1\r\na\r\n" * 10_000)
    request = connection._request
    assert request is not None
    while request.body_bytes < 10_000:
        before = request.body_bytes
        harness.turn()
        assert request.body_bytes - before <= 16 * 1024 // 6 + 1


def test_a_refused_request_ends_the_connection_and_nothing_after_it_is_read(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + b"BAD\r\n\r\n" + GET % b"2")
    harness.next_task().answer(b"answer,")
    harness.turn_to(connection, Phase.LINGER)
    client.sendall(GET % b"3")
    harness.turn(3)
    assert harness.tasks == []
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    received, was_reset = receive_all(client)
    assert received.startswith(b"answer,HTTP/1.0 400 Bad Request\r\n")
    assert not was_reset


@pytest.mark.parametrize(
    ("octets", "status"),
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
def test_a_fault_of_the_protocol_is_answered_with_its_status(make: Make, octets: bytes, status: int) -> None:
    harness = make(max_request_body_size=100, max_request_header_size=256)
    connection, client = harness.open()
    client.sendall(octets)
    harness.turn_to(connection, Phase.LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == status
    assert not was_reset
    assert harness.tasks == []


# --- 100-continue


@pytest.mark.promise("S55")
def test_continue_is_sent_once_when_the_body_is_awaited(harness: Harness) -> None:
    _, client = harness.open()
    client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
    assert harness.receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    client.sendall(b"1")
    harness.turn(2)
    client.sendall(b"2")
    harness.next_task().answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


@pytest.mark.parametrize(
    "octets",
    [
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n12",
        b"PUT / HTTP/1.0\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n12",
        b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\nExpect: 100-continue\r\n\r\n",
        b"PUT / HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\n\r\n",
    ],
    ids=["the body has begun", "HTTP/1.0", "an empty body", "no body"],
)
def test_continue_is_not_sent_where_nobody_waits_for_it(harness: Harness, octets: bytes) -> None:
    _, client = harness.open()
    client.sendall(octets)
    harness.next_task().answer(b"answer")
    assert harness.receive(client, 6) == b"answer"


def test_a_body_that_is_too_large_gets_413_instead_of_continue(make: Make) -> None:
    harness = make(max_request_body_size=100)
    connection, client = harness.open()
    client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 101\r\nExpect: 100-continue\r\n\r\n")
    harness.turn_to(connection, Phase.LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    assert status_of(receive_all(client)[0]) == 413


def test_continue_that_the_system_does_not_take_is_sent_when_it_does(
    harness: Harness, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()
    with monkeypatch.context() as blocked:
        blocked.setattr(SocketTransport, "send", lambda transport, data: 0)
        client.sendall(b"PUT / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n")
        harness.turn_to(connection, Phase.BODY)
        assert connection.interest == READ | WRITE
    assert harness.receive(client, 25) == b"HTTP/1.1 100 Continue\r\n\r\n"
    assert connection.interest == READ


# --- the client leaves


@pytest.mark.parametrize(
    ("octets", "status"), [(b"", None), (b"\r\n", None), (b"GET / HT", 400), (POST % 5 + b"1234", 400)]
)
def test_an_end_of_input_outside_a_complete_request(harness: Harness, octets: bytes, status: int | None) -> None:
    connection, client = harness.open()
    client.sendall(octets)
    harness.turn(2)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    received, was_reset = receive_all(client)
    assert not was_reset
    assert (status_of(received) if status else received) == (status or b"")
    assert harness.tasks == []


def test_a_half_closed_client_still_gets_its_response(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + GET % b"2")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    assert connection.interest == 0  # the end stays readable: it would spin
    task.answer(b"one,")
    harness.next_task().answer(b"two")
    harness.turn_to(connection, Phase.CLOSED)
    assert receive_all(client) == (b"one,two", False)


def test_a_half_closed_client_gets_a_large_response(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    task.answer(b"x" * MUCH)
    harness.receive(client, MUCH)
    harness.turn_to(connection, Phase.CLOSED)
    assert receive_all(client) == (b"", False)


def test_half_a_request_behind_a_whole_one_is_refused_after_its_answer(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"1" + b"GET /2")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    task.answer(b"one,")
    harness.turn_to(connection, Phase.CLOSED)
    received, was_reset = receive_all(client)
    assert received.startswith(b"one,HTTP/1.0 400 ")
    assert not was_reset


def test_a_client_that_is_there_is_not_gone(harness: Harness) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    harness.turn(3)
    assert not connection.is_client_gone()


def test_a_reset_while_a_task_runs_keeps_the_descriptor_until_its_end(harness: Harness) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    task = harness.next_task()
    reset(client)
    harness.turn_until(lambda: connection.is_gone)
    assert connection.is_client_gone()
    assert connection.interest == 0
    assert phase_of(connection) is Phase.TASK
    assert connection._transport._socket.fileno() == connection.descriptor
    with pytest.raises(ClientDisconnected):
        connection.sender.send(b"x")
    assert harness.forgotten == []
    task.finish(Ending.PERSIST)
    harness.turn_to(connection, Phase.CLOSED)
    assert connection._transport._socket.fileno() == -1
    assert harness.forgotten == [connection]


def test_a_worker_whose_client_is_gone_leaves_nothing_pending(harness: Harness) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    task = harness.next_task()
    connection.close()
    with pytest.raises(ClientDisconnected):
        connection.sender.send(b"x")
    task.finish()
    harness.turn_to(connection, Phase.CLOSED)
    assert receive_all(client) == (b"", False)


def test_a_reset_while_a_response_is_flushed_ends_the_connection(
    harness: Harness, caplog: pytest.LogCaptureFixture
) -> None:
    connection, client = harness.open()
    begin_flush(harness, connection, client, Ending.PERSIST)
    reset(client)
    harness.turn_to(connection, Phase.CLOSED)
    assert messages(caplog) == []


def test_an_error_that_is_no_leaving_is_logged(
    harness: Harness, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection, client = harness.open()

    def receive(transport: SocketTransport, size: int) -> bytes:
        raise Disconnected(OSError(errno.EIO, "text"))

    monkeypatch.setattr(SocketTransport, "receive", receive)
    client.sendall(b"x")
    harness.turn_to(connection, Phase.CLOSED)
    assert messages(caplog) == ["Socket error"]


# --- an empty line that was read ahead


def read_an_empty_line_ahead(harness: Harness) -> tuple[CheckedConnection, socket.socket]:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    client.sendall(b"\r\n")
    harness.turn_until(lambda: connection._parser.held_bytes == 2)
    return connection, client


def test_an_empty_line_read_ahead_leaves_the_connection_idle_with_its_deadline(make: Make) -> None:
    harness = make(channel_timeout=5)
    connection, client = read_an_empty_line_ahead(harness)
    harness.next_task().answer(b"one")
    harness.turn_to(connection, Phase.IDLE)
    client.sendall(GET % b"2")
    harness.next_task().answer(b"two")
    harness.turn_to(connection, Phase.IDLE)
    connection, client = read_an_empty_line_ahead(harness)
    harness.next_task().answer(b"one")
    harness.turn_to(connection, Phase.IDLE)
    harness.pass_seconds(6)
    assert phase_of(connection) is Phase.CLOSED


def test_an_empty_line_read_ahead_before_the_end_of_input_is_no_request(harness: Harness) -> None:
    connection, client = harness.open()
    client.sendall(GET % b"" + b"\r\n")
    client.shutdown(socket.SHUT_WR)
    task = harness.next_task()
    harness.turn_until(connection.is_client_gone)
    task.answer(b"answer")
    harness.turn_to(connection, Phase.CLOSED)
    assert receive_all(client) == (b"answer", False)


def test_an_empty_line_read_ahead_does_not_keep_a_connection_that_is_to_close(harness: Harness) -> None:
    connection, client = read_an_empty_line_ahead(harness)
    harness.services.is_draining = True
    harness.next_task().answer(b"answer")
    harness.turn_to(connection, Phase.CLOSED)
    assert receive_all(client) == (b"answer", False)


# --- endings


@pytest.mark.parametrize(
    ("ending", "is_draining", "has_input", "expected"),
    [
        (Ending.PERSIST, False, False, Phase.IDLE),
        (Ending.PERSIST, False, True, Phase.TASK),
        (Ending.PERSIST, True, False, Phase.CLOSED),
        (Ending.PERSIST, True, True, Phase.TASK),
        (Ending.CLOSE, False, False, Phase.CLOSED),
        (Ending.CLOSE, False, True, Phase.LINGER),
        (Ending.LINGER, False, False, Phase.LINGER),
        (Ending.LINGER, False, True, Phase.LINGER),
        (Ending.RESET, False, False, Phase.CLOSED),
        (Ending.RESET, False, True, Phase.CLOSED),
    ],
)
@pytest.mark.parametrize("size", [6, MUCH], ids=["small", "large"])
def test_what_becomes_of_a_connection_after_a_response(
    harness: Harness, size: int, ending: Ending, is_draining: bool, has_input: bool, expected: Phase
) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    if has_input:
        client.sendall(GET % b"next")
        harness.turn_until(lambda: connection._parser.held_bytes)
    harness.services.is_draining = is_draining
    harness.next_task().answer(b"x" * size, ending)
    if ending is not Ending.RESET:  # a reset may overtake what the client has not read yet
        assert harness.receive(client, size) == b"x" * size
    elif size == MUCH:
        assert b"x" * 10 in harness.receive(client, 10)
        while connection.phase is not Phase.CLOSED:
            receive_some(harness, client)
    harness.turn_to(connection, expected)
    if expected is Phase.LINGER:
        assert client.recv(1) == b""
    elif expected is Phase.CLOSED:
        assert receive_all(client)[1] is (ending is Ending.RESET)


def test_a_response_without_an_octet_ends_too(harness: Harness) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    harness.next_task().finish()
    harness.turn_to(connection, Phase.IDLE)


def test_a_file_is_sent_and_its_closing_submitted(harness: Harness, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789" * (MUCH // 10))
    connection, client = harness.open()
    begin_task(harness, connection, client)
    task = harness.next_task()
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        size = file.prepare()
        assert not connection.sender.send_file(file)
        task.finish()
        assert harness.receive(client, size) == path.read_bytes()
        harness.turn_to(connection, Phase.IDLE)
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
    begin_task(harness, connection, client)
    task = harness.next_task()
    with path.open("rb") as opened:
        file = ReadOnlyFileBuffer(opened)
        size = file.prepare()
        assert not connection.sender.send_file(file)
        task.finish()
        os.truncate(path, 0)
        received = 0
        while connection.phase is not Phase.CLOSED:
            received += len(receive_some(harness, client))
        assert received < size
        (message,) = messages(caplog)
        assert message.startswith("The response to ")
        for closing in harness.other_tasks:
            closing.service()


# --- a body that cannot be stored


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageFullError(errno.ENOSPC, "no room", "/tmp"), 413),
        (StorageUnavailableError(errno.EACCES, "no access", "/tmp"), 500),
    ],
    ids=["full", "unavailable"],
)
def test_a_body_that_can_not_be_stored_is_refused(
    harness: Harness,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
    error: OSError,
    status: int,
) -> None:
    def append(request: Request, data: bytes, overflow: int) -> None:
        raise error

    monkeypatch.setattr(Request, "append", append)
    connection, client = harness.open()
    client.sendall(b"POST /up?load HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345")
    harness.turn_to(connection, Phase.LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
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
    assert phase_of(connection) is Phase.IDLE
    harness.pass_seconds(2)
    assert phase_of(connection) is Phase.CLOSED
    assert receive_all(client) == (b"", False)


def test_the_idle_time_begins_with_the_end_of_a_response(make: Make) -> None:
    harness = make(channel_timeout=10)
    connection, client = harness.open()
    harness.pass_seconds(8)
    begin_task(harness, connection, client)
    harness.pass_seconds(30)
    assert phase_of(connection) is Phase.TASK
    harness.next_task().answer(b"answer")
    harness.turn_to(connection, Phase.IDLE)
    harness.pass_seconds(9)
    assert phase_of(connection) is Phase.IDLE
    harness.pass_seconds(2)
    assert phase_of(connection) is Phase.CLOSED


def test_a_head_that_drips_gets_408(make: Make) -> None:
    harness = make(request_head_timeout=10, channel_timeout=5)
    connection, client = harness.open()
    for octet in GET[:10]:
        client.sendall(bytes([octet]))
        harness.turn_until(lambda: connection.phase is Phase.HEAD)
        harness.pass_seconds(1)
    harness.pass_seconds(1)
    harness.turn_to(connection, Phase.LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 408
    assert not was_reset


def test_a_head_in_time_is_let_off(make: Make) -> None:
    harness = make(request_head_timeout=10)
    connection, client = harness.open()
    begin_head(harness, connection, client)
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
    harness.turn_to(connection, Phase.HEAD)
    harness.pass_seconds(9)
    assert phase_of(connection) is Phase.HEAD
    harness.pass_seconds(2)
    assert phase_of(connection) is Phase.LINGER


@pytest.mark.parametrize(
    ("taken_a_second", "expected"),
    [
        pytest.param(10, Phase.LINGER, id="below the rate"),
        pytest.param(200, Phase.BODY, id="above the rate"),
    ],
)
def test_a_slow_body_gets_408(make: Make, taken_a_second: int, expected: Phase) -> None:
    harness = make(request_body_timeout=10, request_body_rate=100, channel_timeout=5)
    connection, client = harness.open()
    client.sendall(POST % 100_000)
    harness.turn_to(connection, Phase.BODY)
    for _ in range(30):
        if connection.phase is Phase.BODY:
            before = connection._request.body_bytes if connection._request is not None else 0
            client.sendall(bytes(taken_a_second))
            harness.turn_until(
                lambda before=before: connection._request is None or connection._request.body_bytes > before  # type: ignore[misc]
            )
        harness.pass_seconds(1)
        if connection.phase is not Phase.BODY:
            break
    assert phase_of(connection) is expected
    if expected is Phase.LINGER:
        client.shutdown(socket.SHUT_WR)
        harness.turn_to(connection, Phase.CLOSED)
        assert status_of(receive_all(client)[0]) == 408


@pytest.mark.parametrize(
    ("octets", "version", "has_content"),
    [
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"1.1", False, id="body-of-head"),
        pytest.param(b"HEAD / HTTP/1.1\r\nHost: a\r\n", b"1.0", False, id="head-of-head"),
        pytest.param(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\n", b"1.1", True, id="body"),
        pytest.param(b"PUT / HTTP/1.0\r\nContent-Length: 5\r\n\r\n", b"1.0", True, id="body-in-1.0"),
        pytest.param(b"PU", b"1.0", True, id="request-line"),
    ],
)
def test_an_overdue_request_is_answered_by_its_method_and_version(
    harness: Harness, octets: bytes, version: bytes, has_content: bool
) -> None:
    """RFC 9110 9.3.2: no content in an answer to HEAD, 408 or not."""
    connection, client = harness.open()
    client.sendall(octets)
    harness.turn_until(lambda: connection.phase is not Phase.IDLE)
    harness.pass_seconds(32)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    head, _, content = receive_all(client)[0].partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/%b 408 Request Timeout\r\n" % version)
    assert bool(content) is has_content


@pytest.mark.parametrize("then", [b"", b"a"], ids=["silent", "an-octet-a-second"])
def test_a_body_that_came_quickly_and_then_drips_gets_408_as_soon(make: Make, then: bytes) -> None:
    harness = make(request_body_timeout=10, request_body_rate=100)
    connection, client = harness.open()
    client.sendall(POST % 10_000_000 + bytes(1_000_000))
    harness.turn_until(lambda: connection._request is not None and connection._request.body_bytes == 1_000_000)
    for _ in range(9):
        client.sendall(then)
        harness.pass_seconds(1)
    assert phase_of(connection) is Phase.BODY
    harness.pass_seconds(3)
    assert phase_of(connection) is Phase.LINGER


@pytest.mark.parametrize(
    "begin",
    [
        pytest.param(b"GET / HTTP/1.1\r\nX: ", id="head"),
        pytest.param(POST % 100_000, id="body"),
        pytest.param(POST_CHUNKED + b"fffff\r\n", id="chunk"),
        pytest.param(POST_CHUNKED + b"1;a", id="chunk-line"),
        pytest.param(POST_CHUNKED + b"0\r\nX: ", id="trailer"),
    ],
)
def test_an_octet_every_two_seconds_ends_in_half_a_minute_by_default(harness: Harness, begin: bytes) -> None:
    connection, client = harness.open()
    client.sendall(begin)
    harness.turn_until(lambda: connection.phase is not Phase.IDLE)
    for second in range(31):
        if second == 29:
            assert phase_of(connection) in (Phase.HEAD, Phase.BODY)
        if second % 2 and connection.phase in (Phase.HEAD, Phase.BODY):
            client.sendall(b"a")
        harness.pass_seconds(1)
    assert phase_of(connection) is Phase.LINGER
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 408
    assert b"\r\nConnection: close\r\n" in received
    assert not was_reset


class SystemRoom:
    """How many octets the system takes of what is sent: a real one has timers of its own, and moves some later."""

    octets = 100_000

    def send(self, transport: SocketTransport, data: bytes) -> int:
        sent = min(len(data), self.octets)
        self.octets -= sent
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
    begin_flush(harness, connection, client, Ending.PERSIST)
    harness.turn(3)
    harness.pass_seconds(9)
    assert phase_of(connection) is Phase.FLUSH
    harness.pass_seconds(3)
    assert phase_of(connection) is Phase.CLOSED
    assert receive_all(client)[1]
    assert messages(caplog) == ["Client 127.0.0.1 does not take its response: connection reset"]


def test_a_response_whose_end_is_sent_as_a_turn_has_sent_enough_leaves_no_watch_behind(
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
    assert phase_of(connection) is Phase.IDLE
    assert connection.interest == READ


def test_a_reader_that_takes_some_now_and_then_is_not_reset(make: Make) -> None:
    harness = make(channel_timeout=10)
    connection, client = harness.open(buffer_bytes=8192)
    begin_flush(harness, connection, client, Ending.PERSIST)
    for _ in range(10):
        harness.pass_seconds(8)
        harness.receive(client, 65536)
    assert phase_of(connection) is Phase.FLUSH


@pytest.mark.parametrize("taken", [0, MUCH // 2], ids=["nothing", "much-and-then-nothing"])
def test_a_reader_that_keeps_a_worker_waiting_has_less_time(make: Make, system_room: SystemRoom, taken: int) -> None:
    harness = make(channel_timeout=100, response_timeout=5, response_rate=10_000, outbuf_high_watermark=100_000)
    connection, client = harness.open()
    begin_task(harness, connection, client)
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
        return outbox is not None and outbox.is_waited_for and not system_room.octets

    worker = threading.Thread(target=work)
    worker.start()
    harness.turn_until(is_at_a_standstill)
    assert harness.yields
    harness.pass_seconds(3)
    system_room.octets = taken
    harness.turn_until(is_at_a_standstill)
    harness.pass_seconds(1)
    assert not connection.is_gone
    harness.pass_seconds(6)
    assert connection.is_gone
    worker.join(20)
    assert len(errors) == 1
    harness.turn_to(connection, Phase.CLOSED)
    assert receive_all(client)[1]


def test_a_reader_is_served_each_second_where_the_system_does_not_call_it_writable(
    make: Make, system_room: SystemRoom
) -> None:
    # Linux does so only when a third of the buffer is free.
    harness = make(channel_timeout=10)
    connection, client = harness.open()
    modify = harness.reactor.poller.modify
    harness.reactor.poller.modify = lambda descriptor, interest: modify(descriptor, READ)  # type: ignore[method-assign]
    begin_flush(harness, connection, client, Ending.PERSIST)
    for _ in range(100):
        system_room.octets = 100_000
        harness.pass_seconds(1)
        if phase_of(connection) is not Phase.FLUSH:
            break
    assert phase_of(connection) is Phase.IDLE


def test_a_worker_that_begins_to_wait_as_its_connection_is_closed_is_freed(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness = make(outbuf_high_watermark=10)
    connection, client = harness.open()
    begin_task(harness, connection, client)
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
    harness.turn_to(connection, Phase.CLOSED)


@pytest.mark.parametrize(("settings", "seconds"), [({}, 2), ({"linger_timeout": 7}, 7)], ids=["by-default", "as-set"])
def test_lingering_ends_after_linger_timeout(make: Make, settings: dict[str, int], seconds: int) -> None:
    harness = make(**settings)
    connection, client = harness.open()
    linger(harness, connection, client)
    harness.pass_seconds(seconds - 1)
    client.sendall(b"x")
    harness.turn()
    assert phase_of(connection) is Phase.LINGER
    harness.pass_seconds(2)
    assert phase_of(connection) is Phase.CLOSED


def test_lingering_ends_after_64_kib(harness: Harness) -> None:
    connection, client = harness.open()
    linger(harness, connection, client)
    client.sendall(bytes(64 * 1024))
    harness.turn_until(lambda: connection._discarded_bytes == 64 * 1024)
    assert phase_of(connection) is Phase.LINGER
    client.sendall(b"x")
    harness.turn_to(connection, Phase.CLOSED)


def test_a_client_that_still_sends_can_read_why_it_was_refused(make: Make) -> None:
    harness = make(max_request_body_size=10)
    connection, client = harness.open()
    client.sendall(POST % 50_000)
    for _ in range(50):
        client.sendall(bytes(1000))
        harness.turn()
    harness.turn_to(connection, Phase.LINGER)
    client.shutdown(socket.SHUT_WR)
    harness.turn_to(connection, Phase.CLOSED)
    received, was_reset = receive_all(client)
    assert status_of(received) == 413
    assert not was_reset


def test_no_deadline_outlives_its_connection(harness: Harness) -> None:
    for scenario in SCENARIOS.values():
        connection, client = harness.open()
        scenario(harness, connection, client)
        harness.turn(3)
        for task in harness.tasks:
            task.finish(Ending.CLOSE)
        harness.tasks.clear()
        harness.turn(3)
        connection.close()
        assert phase_of(connection) is Phase.CLOSED
        assert [len(queue) for queue in harness.services.deadlines] == [0] * len(harness.services.deadlines)


# --- the server's side


def test_a_fault_closes_the_connection_and_no_other(harness: Harness, caplog: pytest.LogCaptureFixture) -> None:
    broken, broken_client = harness.open()
    whole, client = harness.open()
    broken._parser = None  # type: ignore[assignment]
    broken_client.sendall(GET % b"")
    harness.turn_to(broken, Phase.CLOSED)
    begin_task(harness, whole, client)
    assert len(caplog.records) == 1
    assert "closing channel <Connection 127.0.0.1:5000" in messages(caplog)[0]


def test_an_overdue_connection_that_can_not_be_answered_is_closed(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    harness = make(request_head_timeout=3, outbuf_overflow=1)
    connection, client = harness.open()
    begin_head(harness, connection, client)
    monkeypatch.setattr(SocketTransport, "send", lambda transport, data: 0)
    harness.pass_seconds(5)
    assert phase_of(connection) is Phase.CLOSED


def test_an_idle_connection_is_closed_to_make_room(harness: Harness) -> None:
    connection, client = harness.open()
    connection.close_if_idle()
    assert phase_of(connection) is Phase.CLOSED
    assert receive_all(client) == (b"", False)


@pytest.mark.parametrize("octets", [GET % b"", b"GET", POST % 5], ids=["a request", "half a head", "half a body"])
def test_a_connection_that_has_just_sent_is_not_closed_to_make_room(harness: Harness, octets: bytes) -> None:
    connection, client = harness.open()
    client.sendall(octets)
    harness.turn_until(lambda: dict(harness.reactor.poller.poll(0.1)).get(connection.descriptor))
    connection.close_if_idle()
    assert phase_of(connection) in (Phase.TASK, Phase.HEAD, Phase.BODY)


def test_a_connection_is_busy_until_its_response_is_sent(harness: Harness) -> None:
    connection, client = harness.open()
    assert not connection.is_busy
    begin_task(harness, connection, client)
    assert connection.is_busy
    harness.next_task().answer(b"x" * MUCH)
    harness.turn_to(connection, Phase.FLUSH)
    assert connection.is_busy
    harness.receive(client, MUCH)
    harness.turn_to(connection, Phase.IDLE)
    assert not connection.is_busy


class RacingConnection(CheckedConnection):
    """Its task ends just when the reactor has looked whether it has."""

    is_racing = False
    _done = False

    @property
    def _is_task_done(self) -> bool:
        done = self._done
        if self.is_racing and not done:
            self.is_racing = False
            self.finish(Ending.PERSIST)
        return done

    @_is_task_done.setter
    def _is_task_done(self, done: bool) -> None:
        self._done = done


def test_a_task_that_ends_while_its_earlier_attention_is_paid_is_not_forgotten(harness: Harness) -> None:
    connection, client = harness.open(kind=RacingConnection)
    assert isinstance(connection, RacingConnection)
    begin_task(harness, connection, client)
    harness.tasks.clear()
    connection.is_racing = True
    harness.reactor.notify(connection.descriptor)
    harness.turn_to(connection, Phase.IDLE)
    assert not connection.is_racing


def test_the_end_of_a_response_waits_for_the_next_turn(harness: Harness, monkeypatch: pytest.MonkeyPatch) -> None:
    hurried: list[str] = []
    monkeypatch.setattr(harness.reactor, "wake_if_polling", lambda: hurried.append("hurried"))
    connection, client = harness.open()
    begin_task(harness, connection, client)
    harness.next_task().answer(b"answer")
    assert hurried == []
    client.sendall(GET % b"next")
    assert harness.next_task().request.head.path == "/next"


def read_ahead(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"" + GET % b"next")


def test_what_comes_while_a_task_runs_is_read_on_without_a_change_of_the_poller(make: Make) -> None:
    harness = make(recv_bytes=1000)
    connection, client = harness.open()
    begin_task(harness, connection, client)
    client.sendall(GET % b"next")
    harness.turn_until(lambda: connection._parser.held_bytes)
    assert connection.interest == READ
    client.sendall(b"x" * 1000)
    harness.turn_until(lambda: connection.interest == 0)  # enough: the rest stays with the client


def end_input(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"")
    client.shutdown(socket.SHUT_WR)


def leave(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"")
    harness.services.is_leaving = True


def crowd(harness: Harness, client: socket.socket) -> None:
    client.sendall(GET % b"")
    harness.services.is_full = True


@pytest.mark.parametrize(
    ("begin", "answer", "ending"),
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
def test_the_end_of_a_response_begins_a_turn_where_there_is_something_to_do(
    harness: Harness,
    begin: Callable[[Harness, socket.socket], None],
    answer: bytes,
    ending: Ending,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    connection, client = harness.open()
    begin(harness, client)
    task = harness.next_task()
    harness.turn(2)  # the end of the input is seen
    connection.sender.send(answer)
    hurried: list[str] = []
    monkeypatch.setattr(harness.reactor, "wake_if_polling", lambda: hurried.append("hurried"))
    task.finish(ending)
    assert hurried == ["hurried"]


def test_a_connection_is_idle_from_the_end_of_its_response_on(harness: Harness) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    assert connection.activity is Phase.TASK
    harness.next_task().answer(b"answer")
    ended_at = harness.clock()
    assert (phase_of(connection), connection.activity) == (Phase.TASK, Phase.IDLE)  # nobody has looked yet
    harness.clock.advance(0.75)
    harness.turn()
    assert (phase_of(connection), connection.idle_since) == (Phase.IDLE, ended_at)


def test_a_response_that_has_ended_and_is_not_taken_yet_is_told_of_as_such(harness: Harness) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    harness.next_task().answer(b"x" * MUCH)
    assert (phase_of(connection), connection.activity) == (Phase.TASK, Phase.FLUSH)


class Dropping(RequestParser):
    """Holds nothing of what it gets, as one that has failed."""

    def receive(self, data: bytes | memoryview) -> None:
        pass


def test_what_comes_before_a_response_is_taken_bounds_itself_though_none_of_it_is_held(harness: Harness) -> None:
    connection, client = harness.open()
    begin_flush(harness, connection, client, Ending.PERSIST)
    connection.use_parser(Dropping())
    client.setblocking(False)
    before = harness.services.counters.bytes_in
    for _ in range(100):
        with contextlib.suppress(BlockingIOError):
            client.send(b"x" * 8192)
        harness.turn()
    assert harness.services.counters.bytes_in - before < 2 * harness.services.adj.recv_bytes


def test_closing_twice_is_closing_once(harness: Harness) -> None:
    connection, _ = harness.open()
    connection.close()
    connection.close()
    assert harness.forgotten == [connection]


def test_a_forked_childs_copy_ends_without_a_word_to_the_client(harness: Harness) -> None:
    connection, client = harness.open()
    parents = connection._transport._socket.dup()
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
            connection = Connection(
                SocketTransport(accepted), "127.0.0.1", "5000", harness.environ_builder, harness.services
            )
            connections.append(connection)
            harness.reactor.handlers[connection.descriptor] = connection
            connection.begin()
            client.sendall(GET % b"x")
            harness.next_task().service()
            harness.turn()
            assert connection.phase is Phase.IDLE
        gc.collect()
        size, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    harness.services.remove = lambda connection: None
    for connection, (_, client) in zip(connections, pairs, strict=True):
        connection.close()
        client.close()
    assert size / len(pairs) < IDLE_BYTES


def test_a_connection_has_no_dict_and_an_idle_one_no_outbox() -> None:
    assert "__dict__" not in dir(Connection)
    assert "__weakref__" not in dir(Connection)


def test_what_is_pending_is_given_up_with_the_response(harness: Harness) -> None:
    connection, client = harness.open()
    begin_task(harness, connection, client)
    harness.next_task().answer(b"x" * MUCH)
    harness.receive(client, MUCH)
    harness.turn_to(connection, Phase.IDLE)
    assert connection.sender.outbox is None
    assert connection.interest == READ


# --- who looks on


def test_it_tells_of_the_request_on_its_way_and_since_when_it_is_idle(make: Make) -> None:
    harness = make()
    connection, client = harness.open()
    assert (connection.incoming, connection.idle_since) == (None, harness.reactor.now)
    client.sendall(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na")
    harness.turn_until(lambda: connection.incoming is not None)
    assert connection.incoming is not None
    assert (connection.incoming.head.method, connection.idle_since) == ("POST", None)


def test_another_parser_may_be_given_what_comes(make: Make) -> None:
    class Noting(RequestParser):
        noted = b""

        def receive(self, data: bytes | memoryview) -> None:
            self.noted += bytes(data)
            super().receive(data)

    harness = make()
    connection, client = harness.open()
    parser = Noting()
    connection.use_parser(parser)
    client.sendall(GET % b"")
    harness.next_task()
    assert parser.noted == GET % b""
