"""Why connections end, and which deadlines are missed: each is counted once, by a label."""

import contextlib
import socket
from collections.abc import Callable, Iterator

import pytest

from tests.core.connecting import CheckedConnection, Harness
from tests.core.connection import test_connection as scenarios
from waitress_core.connection.context import State
from waitress_core.connection.manager import close_for_room, waiting_of
from waitress_core.connection.states import CLOSED, ENDED, HEAD, LINGER
from waitress_core.observability.stats import DEADLINES, END_REASONS, LabelledCounter

Scenario = Callable[[Harness, CheckedConnection, socket.socket], None]
TIMEOUTS = {
    "channel_timeout": 3,
    "request_head_timeout": 3,
    "request_body_timeout": 3,
    "response_timeout": 3,
    "linger_timeout": 3,
}


@pytest.fixture
def harness() -> Iterator[Harness]:
    with contextlib.closing(Harness(**TIMEOUTS)) as harness:
        yield harness


def do_nothing(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    pass


def leave_before_an_answer(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    scenarios.half_closed_task(harness, connection, client)
    harness.turn_to(connection, ENDED)
    harness.next_task().answer(b"answer")


def drain(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    scenarios.start_task(harness, connection, client)
    harness.context.state = State.DRAINING
    harness.next_task().answer(b"answer")


def fail(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    connection.on_fault()


def make_room(harness: Harness, connection: CheckedConnection, client: socket.socket) -> None:
    scenarios.start_head(harness, connection, client)
    seen = waiting_of(connection)
    assert seen is not None
    assert close_for_room(connection, seen, harness.context)


ENDS: list[tuple[Scenario, str]] = [
    (scenarios.leave_in_idle, "client_closed"),
    (scenarios.half_closed_task, ""),
    (leave_before_an_answer, "client_closed"),
    (scenarios.leave_in_head, "client_reset"),
    (scenarios.leave_in_flush, "client_reset"),
    (scenarios.close_after_response, "response"),
    (scenarios.linger, ""),
    (scenarios.leave_in_linger, "refused"),
    (make_room, "room"),
    (drain, "shutdown"),
    (fail, "error"),
]


def ended(harness: Harness) -> dict[str, int]:
    return {reason: count for reason, count in harness.context.counters.by_end_reason.items() if count}


def struck(harness: Harness) -> dict[str, int]:
    return {kind: count for kind, count in harness.context.counters.deadlines.counts().items() if count}


@pytest.mark.parametrize(
    ("scenario", "reason"), ENDS, ids=[f"{scenario.__name__}-{reason or 'open'}" for scenario, reason in ENDS]
)
def test_the_end_of_a_connection_is_counted_by_its_reason(harness: Harness, scenario: Scenario, reason: str) -> None:
    connection, client = harness.open()
    scenario(harness, connection, client)
    if reason:
        harness.turn_to(connection, CLOSED)
    assert ended(harness) == ({reason: 1} if reason else {})


@pytest.mark.parametrize(
    ("scenario", "kind", "reason"),
    [
        (do_nothing, "idle", "deadline"),
        (scenarios.start_head, "head", "deadline"),
        (scenarios.start_body, "body", "deadline"),
        (scenarios.start_flush, "response", "deadline"),
        (scenarios.linger, "linger", "refused"),
    ],
    ids=["idle", "head", "body", "response", "linger"],
)
def test_a_missed_deadline_is_counted_once(harness: Harness, scenario: Scenario, kind: str, reason: str) -> None:
    connection, client = harness.open(buffer_bytes=4096)
    scenario(harness, connection, client)
    for _ in range(20):
        harness.pass_seconds(1)
        if connection.receiver.state is LINGER and kind in ("head", "body"):
            client.close()  # the answer has been sent
    assert connection.sender.state is CLOSED
    assert (struck(harness), ended(harness)) == ({kind: 1}, {reason: 1})


def test_what_comes_in_time_misses_no_deadline(harness: Harness) -> None:
    connection, client = harness.open()
    scenarios.start_head(harness, connection, client)
    client.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
    harness.pass_seconds(10)
    harness.next_task().answer(b"answer")
    client.sendall(b"GET")
    harness.turn_to(connection, HEAD)
    assert (struck(harness), ended(harness)) == ({}, {})


def test_a_refused_request_is_counted_by_the_name_of_its_rule(harness: Harness) -> None:
    for data in (b"no request\r\n\r\n", b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/9.1\r\n\r\n", b"again\r\n\r\n"):
        connection, client = harness.open()
        client.sendall(data)
        harness.turn_to(connection, LINGER)
    counts = harness.context.counters.refused.counts()
    assert counts == {"StartLineInvalid": 2, "MissingHost": 1, "VersionNotSupported": 1}


def test_a_request_that_is_only_late_breaks_no_rule(harness: Harness) -> None:
    connection, client = harness.open()
    scenarios.start_head(harness, connection, client)
    harness.pass_seconds(5)
    assert harness.context.counters.refused.counts() == {}


def test_every_label_is_there_from_the_start() -> None:
    assert LabelledCounter(END_REASONS).counts() == dict.fromkeys(END_REASONS, 0)
    assert set(LabelledCounter(DEADLINES).counts()) == {"handshake", "idle", "head", "body", "response", "linger"}
