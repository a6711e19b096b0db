"""Who is ended for others, over real sockets: at the connection limit, and when no thread is free."""

import logging
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.core.connecting import ManagedHarness
from tests.support.certificates import server_file
from tests.support.pairs import is_open
from waitress_core.connection.connection import Connection
from waitress_core.connection.data_rate import QUICK
from waitress_core.connection.manager import BLOCKED_TICK_SECONDS, behind_seconds_of
from waitress_core.connection.room import BEHIND_SECONDS, LEAST_BEHIND_SECONDS, PATIENCE
from waitress_core.connection.sender import ClientDisconnected
from waitress_core.connection.states import Ending
from waitress_core.reactor.reactor import TICK_SECONDS

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n"
MUCH = 4 << 20  # bytes: more than the system holds between the two ends

Make = Callable[..., ManagedHarness]


@pytest.fixture
def make_still(make: Make, tmp_path: Path) -> Make:
    """The same over unix sockets: what is between two ends of TCP may move a moment later, without either of them."""
    still = {"unix_socket": str(tmp_path / "s")} if hasattr(socket, "AF_UNIX") else {}
    return lambda **settings: make(**still, **settings)


def start(harness: ManagedHarness, client: socket.socket, state: str) -> None:
    """Bring the connection of a client into a state in which it waits for the client."""
    if state == "handshake":
        harness.turn_until(lambda: harness.made[-1].state_name == state)
        return
    client.sendall({"head": GET[:-1], "body": POST % 3}.get(state, GET))
    if state == "flush":
        harness.turn_until(lambda: harness.tasks)
        harness.tasks.pop().answer(bytes(MUCH))
    elif state == "linger":
        harness.turn_until(lambda: harness.tasks)
        harness.tasks.pop().answer(b"answer", Ending.LINGER)
    harness.turn_until(lambda: harness.made[-1].state_name == state)


def pass_slowly(harness: ManagedHarness, seconds: float) -> None:
    """Let time pass, with more than one turn in each second."""
    for _ in range(round(seconds * 4)):
        harness.clock.advance(0.25)
        harness.turn()


@pytest.mark.parametrize("state", PATIENCE)
def test_a_connection_that_waits_for_its_client_makes_room_after_a_while(
    state: str, make: Make, make_still: Make
) -> None:
    if state == "handshake":
        harness = make(connection_limit=1, tls_certificate=server_file())
    else:
        harness = make_still(connection_limit=1)
    connection, client = harness.accept()
    start(harness, client, state)
    harness.connect()
    harness.turn_to_pause()
    assert harness.context.is_full
    pass_slowly(harness, PATIENCE[state] - 0.25)
    assert not connection.is_gone
    pass_slowly(harness, 1)  # a body, and output, are slow when they have been checked
    harness.turn_until(lambda: connection.is_gone and len(harness.manager.connections) == 1)
    assert not harness.context.is_full


@pytest.mark.parametrize(("state", "rest"), [("head", GET[-1:]), ("body", b"abc")])
def test_a_connection_with_a_request_that_has_come_is_served_and_not_closed(
    state: str, rest: bytes, make: Make
) -> None:
    harness = make(connection_limit=1)
    connection, client = harness.accept()
    start(harness, client, state)
    harness.pass_seconds(5)
    client.sendall(rest)
    # As the reactor would if it came to the listener first
    assert harness.manager._close_one() is False
    assert connection.state_name == "task"
    assert len(harness.tasks) == 1


def test_a_client_that_has_left_makes_room(make: Make) -> None:
    harness = make(connection_limit=1)
    connection, client = harness.accept()
    start(harness, client, "head")
    harness.pass_seconds(5)
    client.close()
    assert harness.manager._close_one() is True
    assert connection.is_gone


def test_who_is_chosen_is_chosen_again_after_a_second(make: Make) -> None:
    harness = make(connection_limit=2)
    (first, one), (second, two) = harness.accept(), harness.accept()
    for client in (one, two):
        client.sendall(POST % 1_000_000)
    harness.turn_until(lambda: first.state_name == second.state_name == "body")
    harness.pass_seconds(3)
    assert harness.manager._close_one() is True
    assert first.is_gone is not second.is_gone
    for _ in range(3):
        (one if second.is_gone else two).sendall(bytes(2 * QUICK))
        harness.turn(4)
        harness.pass_seconds(1)
    assert harness.manager._close_one() is False  # it is quick now


def test_a_running_request_makes_no_room(make: Make) -> None:
    harness = make(connection_limit=1)
    connection, client = harness.accept()
    client.sendall(GET + b"G")
    harness.turn_until(lambda: harness.tasks)
    harness.connect()
    harness.turn_to_pause()
    harness.pass_seconds(60)
    assert connection.state_name == "task"
    harness.turn_until(connection.wants_close)


# --- threads


class Blocked:
    """A client with a task that waits at the watermark, on its own thread."""

    def __init__(self, harness: ManagedHarness) -> None:
        self.connection, self.client = harness.accept()
        self.client.sendall(GET)
        harness.turn_until(lambda: harness.tasks)
        self.is_ended = False
        task = harness.tasks.pop()

        def write() -> None:
            try:
                while True:
                    task.connection.sender.send(bytes(1 << 20))
            except ClientDisconnected:
                self.is_ended = True
            task.finish(Ending.CLOSE)

        self.thread = threading.Thread(target=write, daemon=True)
        self.thread.start()
        harness.turn_until(lambda: self.is_waiting)

    @property
    def is_waiting(self) -> bool:
        outbox = self.connection.sender.outbox
        return outbox is not None and outbox.is_waited_for and outbox.room_bytes() <= 0


@pytest.fixture
def blocked(make_still: Make) -> Iterator[tuple[ManagedHarness, list[Blocked]]]:
    harness = make_still(outbuf_high_watermark=1_000_000)
    clients = [Blocked(harness) for _ in range(3)]
    yield harness, clients
    for one in clients:
        one.connection.close()
    for one in clients:
        one.thread.join(20)
    harness.turn()


def gone(clients: list[Blocked]) -> list[bool]:
    return [one.connection.is_gone for one in clients]


def take(harness: ManagedHarness, client: Blocked, size: int) -> None:
    harness.receive(client.client, size)
    harness.turn_until(lambda: client.is_waiting)


def test_while_no_request_waits_slow_readers_keep_their_threads(
    blocked: tuple[ManagedHarness, list[Blocked]],
) -> None:
    harness, clients = blocked
    harness.pass_seconds(20)
    assert gone(clients) == [False] * 3


@pytest.mark.parametrize("waiting", [1, 2, 5])
def test_as_many_slow_readers_go_as_requests_wait(
    waiting: int, blocked: tuple[ManagedHarness, list[Blocked]], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "waitress")
    harness, clients = blocked
    harness.pass_seconds(int(BEHIND_SECONDS) - 1)
    requests = [waiting]
    harness.context.waiting_requests = lambda: requests.pop() if requests and now() else 0

    def now() -> bool:
        behind = [behind_seconds_of(one.connection) for one in clients]
        return all(seconds is not None and seconds >= BEHIND_SECONDS for seconds in behind)

    harness.pass_seconds(8)
    assert sum(gone(clients)) == min(waiting, 3)
    client = clients[0].connection.remote_addr
    assert caplog.messages == [f"Client {client} does not read its response: connection reset"] * min(waiting, 3)


def test_the_more_requests_wait_the_sooner_slow_readers_go(blocked: tuple[ManagedHarness, list[Blocked]]) -> None:
    """Each tick of those that follow each other sooner is enough for a few."""
    harness, clients = blocked
    threads = harness.context.adj.threads
    harness.context.waiting_requests = lambda: 100 * threads if not all(gone(clients)) else 0
    for one in clients:
        take(harness, one, 300_000)
    harness.pass_seconds(1)  # none is behind yet
    assert gone(clients) == [False] * 3
    ticks = 0  # in a row, in which no client takes anything: what is between two ends of TCP may still move
    while ticks <= LEAST_BEHIND_SECONDS / BLOCKED_TICK_SECONDS + 1:
        before = [one.connection.sender.sent_bytes for one in clients]
        harness.clock.advance(BLOCKED_TICK_SECONDS)
        harness.turn()
        ticks = ticks + 1 if [one.connection.sender.sent_bytes for one in clients] == before else 0
    assert gone(clients) == [True] * 3
    harness.pass_seconds(1)
    assert harness.reactor.tick_seconds == TICK_SECONDS


def test_the_slowest_reader_goes_first(blocked: tuple[ManagedHarness, list[Blocked]]) -> None:
    harness, clients = blocked
    harness.pass_seconds(8)
    take(harness, clients[0], 200_000)
    take(harness, clients[2], 200_000)
    harness.context.waiting_requests = lambda: 0 if any(gone(clients)) else 1
    for _ in range(10):  # bytes that are still on their way between two ends of TCP may arrive: then nobody is late yet
        if not any(gone(clients)):
            harness.pass_seconds(1)
    assert gone(clients) == [False, True, False]
    clients[1].thread.join(20)
    assert clients[1].is_ended


def test_a_reader_that_keeps_the_rate_is_not_ended_though_requests_wait(
    blocked: tuple[ManagedHarness, list[Blocked]],
) -> None:
    harness, clients = blocked
    harness.context.waiting_requests = lambda: 5
    for _ in range(6):
        take(harness, clients[0], 300_000)  # by turns of what the system has to have taken before it takes more
        harness.pass_seconds(1)
    assert gone(clients) == [False, True, True]


def test_a_task_that_does_not_wait_for_its_client_is_left(make: Make) -> None:
    harness = make()
    connection, client = harness.accept()
    start_pending(harness, connection, client)
    harness.context.waiting_requests = lambda: 5
    harness.pass_seconds(20)
    assert is_open(client)


def start_pending(harness: ManagedHarness, connection: Connection, client: socket.socket) -> None:
    client.sendall(GET)
    harness.turn_until(lambda: harness.tasks)
    connection.sender.send(bytes(MUCH))
    harness.turn_until(lambda: harness.made[-1].sender.has_pending)
