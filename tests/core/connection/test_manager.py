"""The manager: which connection makes room, and the end of all of them."""

import errno
import socket
from collections.abc import Callable

import pytest

from tests.core.connecting import ManagedHarness
from tests.support.pairs import is_open
from waitress_core.connection.context import State

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"

Make = Callable[..., ManagedHarness]


# --- making room


@pytest.mark.promise("S67")
def test_the_connection_that_has_been_idle_longest_makes_room(make: Make) -> None:
    harness = make(connection_limit=3)
    clients = []
    for _ in range(3):
        clients.append(harness.accept()[1])
        harness.pass_seconds(2)
    harness.accept()
    assert [is_open(client) for client in clients] == [False, True, True]
    harness.accept()
    assert [is_open(client) for client in clients] == [False, False, True]


def test_a_connection_is_spared_for_the_first_second_that_it_is_idle(make: Make) -> None:
    harness = make(connection_limit=1)
    first = harness.accept()[1]
    harness.connect()
    harness.turn_to_pause()
    assert is_open(first)
    harness.pass_seconds(1)
    harness.turn_until(lambda: not is_open(first))
    harness.turn_until(lambda: len(harness.manager.connections) == 1)


def test_a_connection_with_a_request_that_has_just_come_is_served_and_another_closed(make: Make) -> None:
    harness = make(connection_limit=2)
    first, first_client = harness.accept()
    second, second_client = harness.accept()
    harness.pass_seconds(2)
    first_client.sendall(GET)
    harness.connect()
    # Both are ready in one poll or another: in no order may the one with the request be closed.
    harness.turn_until(lambda: harness.tasks and second.state_name is None)
    assert is_open(first_client)
    assert not is_open(second_client)
    assert first.state_name == "task"


def test_the_end_of_a_connection_resumes_accepting_at_once(make: Make) -> None:
    harness = make()
    connection, _ = harness.accept()
    harness.fail_to_accept(errno.EMFILE, 1)
    harness.connect()
    harness.turn_to_pause()
    connection.close()
    assert harness.listener_handler.interest
    harness.turn_until(lambda: harness.manager.connections)


# --- the end


def test_draining_accepts_the_backlog_and_stops_listening(make: Make) -> None:
    harness = make(connection_limit=1)
    harness.accept()
    harness.pass_seconds(1)
    waiting = [harness.connect() for _ in range(3)]
    descriptor = harness.listener.descriptor
    harness.context.state = State.DRAINING
    harness.manager.drain()
    assert descriptor not in harness.reactor.handlers
    assert harness.listener.socket.fileno() == -1
    assert len(harness.manager.connections) == 3  # the idle one has been closed
    for client in waiting:
        client.sendall(GET)
    harness.turn_until(lambda: len(harness.tasks) == 3)
    for task in harness.tasks:
        assert task.connection.wants_close()
        task.answer(b"answer")
    harness.tasks.clear()
    harness.turn_until(lambda: not harness.manager.connections)
    assert [client.recv(10) for client in waiting] == [b"answer"] * 3


def test_draining_leaves_new_connections_open_for_a_second(make: Make) -> None:
    harness = make()
    answered, client = harness.accept()
    client.sendall(GET)
    harness.turn_until(lambda: harness.tasks)
    harness.tasks.pop().answer(b"answer")
    harness.turn_until(lambda: answered.state_name == "idle")
    _, sends = harness.accept()
    _, silent = harness.accept()
    harness.context.state = State.DRAINING
    harness.manager.drain()
    assert (answered.is_gone, is_open(sends), is_open(silent)) == (True, True, True)
    sends.sendall(GET)
    harness.turn_until(lambda: harness.tasks)
    harness.tasks.pop().answer(b"answer")
    harness.turn_until(lambda: not is_open(sends))
    harness.pass_seconds(1)
    assert not is_open(silent)


def test_draining_ends_idle_connections_and_lets_the_busy_finish(make: Make) -> None:
    harness = make()
    _, idle = harness.accept()
    harness.pass_seconds(1)
    _, busy = harness.accept()
    _, half = harness.accept()
    busy.sendall(GET)
    half.sendall(b"GET /")
    harness.turn_until(lambda: harness.tasks)
    harness.turn(2)
    harness.context.state = State.DRAINING
    harness.manager.drain()
    assert not is_open(idle)
    assert is_open(busy)
    harness.tasks.pop().answer(b"answer")
    harness.turn(2)
    assert busy.recv(10) == b"answer"
    assert not is_open(busy)
    assert len(harness.manager.connections) == 1
    half.sendall(b" HTTP/1.1\r\nHost: x\r\n\r\n")
    harness.turn_until(lambda: harness.tasks)
    harness.tasks.pop().answer(b"answer")
    harness.turn_until(lambda: len(harness.closed) == 3)
    assert harness.manager.connections == {}


def test_a_silent_client_from_the_backlog_is_closed_after_a_second_of_draining(make: Make) -> None:
    harness = make()
    client = harness.connect()
    harness.context.state = State.DRAINING
    harness.manager.drain()
    assert len(harness.manager.connections) == 1
    assert is_open(client)
    harness.pass_seconds(2)
    assert harness.manager.connections == {}
    assert not is_open(client)


def test_closing_all_may_leave_those_that_are_busy(make: Make) -> None:
    harness = make()
    _, idle = harness.accept()
    connection, busy = harness.accept()
    busy.sendall(GET + GET)
    harness.turn_until(lambda: harness.tasks)
    harness.context.state = State.CLOSING
    harness.manager.stop_listening()
    harness.manager.close_all(but_busy=True)
    assert not is_open(idle)
    assert list(harness.manager.connections.values()) == [connection]
    harness.tasks.pop().answer(b"answer")
    harness.turn_until(lambda: not harness.manager.connections)
    assert harness.tasks == []  # no further request is started
    assert busy.recv(10) == b"answer"


def test_given_sockets_are_not_closed(make: Make) -> None:
    harness = make()
    harness.listener.owns_socket = False
    harness.manager.stop_listening()
    assert harness.socket.fileno() != -1
    harness.socket.close()


def test_one_listener_can_be_removed(make: Make) -> None:
    harness = make()
    harness.manager.remove_listener(harness.listener)
    harness.manager.remove_listener(harness.listener)
    assert harness.socket.fileno() == -1
    assert harness.reactor.handlers == {}
    harness.manager.stop_listening()


def test_a_forked_child_closes_its_copies_in_silence(make: Make) -> None:
    harness = make()
    connection, client = harness.accept()
    parents = [harness.listener.socket.dup(), connection.socket.dup()]
    harness.manager.abandon_after_fork()
    assert harness.listener.socket.fileno() == -1
    assert connection.socket.fileno() == -1
    parents[1].sendall(b"still here")
    assert client.recv(100) == b"still here"
    with socket.create_connection(parents[0].getsockname(), 20):
        pass
    for sock in parents:
        sock.close()
    harness.reactor.poller.close()
    harness.reactor.handlers.clear()
    harness.manager.connections.clear()
    harness.manager._acceptor._handlers.clear()


# --- who is informed


def test_a_connection_is_reported_with_its_socket_when_it_opens_and_when_it_ends(make: Make) -> None:
    harness = make()
    connection, client = harness.accept()
    ((reported, interest),) = harness.opened
    assert reported is connection
    assert reported.socket.getpeername() == client.getsockname()
    assert interest == 0  # before it is watched
    assert harness.closed == []
    connection.close()
    assert harness.closed == [connection]


def test_a_connection_that_is_reported_to_have_ended_is_not_counted_any_more(make: Make) -> None:
    harness = make()
    connection, _ = harness.accept()
    seen: list[tuple[bool, bool]] = []

    def note(ended: object) -> None:
        descriptor = connection.descriptor
        seen.append((descriptor in harness.manager.connections, descriptor in harness.reactor.handlers))

    harness.on_closed = note
    connection.close()
    assert seen == [(False, False)]
