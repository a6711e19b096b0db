"""The manager: who may come in, who must go, and what the log is told of it."""

import contextlib
import errno
import logging
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.core.connecting import Harness
from tests.support.fake_socket import FakeSocket, as_socket
from waitress_core import Adjustments
from waitress_core.connection.connection import Connection
from waitress_core.connection.manager import ConnectionManager
from waitress_core.connection.states import Phase
from waitress_core.net.listener import Listener, open_listeners

GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"
FULL = "total open connections reached the connection limit, no longer accepting new connections"
RELIEVED = "total open connections dropped below the connection limit, listening again"


class Gate(Harness):
    """A manager in front of the harness, with real listeners and real clients."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        adj = Adjustments(listen="127.0.0.1:0", **settings)
        self.listeners = open_listeners(adj, adj.listen)
        self.socket = self.listeners[0].socket
        self.reactor.handlers.update((listener.descriptor, listener) for listener in self.listeners)
        self.manager = ConnectionManager(self.services, self.listeners)
        self.services.remove = self.manager.remove
        self.manager.begin()
        self.turn()  # the first turn has a look; the next comes after a second

    def _tick(self) -> None:
        self.manager.tick()

    @property
    def listener(self) -> Listener:
        return self.listeners[0]

    def connect(self) -> socket.socket:
        """Have a client arrive in the backlog."""
        client = socket.create_connection(self.socket.getsockname(), 20)
        self.clients.append(client)
        return client

    def accept(self) -> tuple[Connection, socket.socket]:
        """Have a client arrive and be accepted."""
        client = self.connect()
        port = str(client.getsockname()[1])
        found: list[Connection] = []

        def is_there() -> list[Connection]:
            found[:] = [one for one in self.manager.connections.values() if one.remote_port == port]
            return found

        self.turn_until(is_there)
        return found[0], client

    def fail_to_accept(self, number: int, times: int) -> FakeSocket:
        """Have accepting fail so often, and work again then."""
        fake = FakeSocket(accept=[*[OSError(number, os.strerror(number))] * times, *[self.socket.accept] * 100])
        self.listener.socket = as_socket(fake)
        return fake

    def close(self) -> None:
        self.listener.socket = self.socket
        self.manager.stop_listening()
        for task in self.tasks:
            task.cancel()
        self.tasks.clear()
        self.manager.close_all(but_busy=False)
        self.turn()
        self.reactor.close()
        for client in self.clients:
            client.close()
        assert self.manager.connections == {}
        assert self.reactor.handlers == {}


Make = Callable[..., Gate]


@pytest.fixture
def make() -> Iterator[Make]:
    """Make gates with settings; they are closed at the end."""
    with contextlib.ExitStack() as stack:
        yield lambda **settings: stack.enter_context(contextlib.closing(Gate(**settings)))


def messages(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def is_open(client: socket.socket) -> bool:
    client.setblocking(False)
    try:
        return client.recv(1) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        client.settimeout(20)


# --- coming in


def test_a_client_is_admitted_with_its_address_and_options(make: Make) -> None:
    gate = make()
    connection, client = gate.accept()
    host, port = client.getsockname()
    assert (connection.remote_addr, connection.remote_port) == (host, str(port))
    assert gate.reactor.handlers[connection.descriptor] is connection
    accepted = connection._transport._socket
    assert accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert not accepted.getblocking()


def test_the_socket_options_are_those_of_the_settings(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Adjustments, "socket_options", [(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)])
    connection, _ = make().accept()
    accepted = connection._transport._socket
    assert accepted.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
    assert not accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


def test_a_client_of_a_unix_socket_is_called_localhost(make: Make) -> None:
    gate = make()
    gate.listener.is_unix = True
    accepted, client = socket.socketpair()
    gate.clients.append(client)
    gate.manager.add(accepted, "", gate.listener)
    (connection,) = gate.manager.connections.values()
    assert (connection.remote_addr, connection.remote_port) == ("localhost", "")


def test_a_client_that_has_left_while_it_is_admitted_leaves_nothing(make: Make) -> None:
    gate = make()
    gone = FakeSocket(setsockopt=[OSError(errno.EINVAL, "text")])
    gate.manager.add(as_socket(gone), ("127.0.0.1", 5), gate.listener)
    assert gone.is_closed
    assert gate.manager.connections == {}


def test_a_client_that_the_poller_refuses_leaves_nothing(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    gate = make()

    def refuse(descriptor: int, interest: int) -> None:
        raise OSError(errno.ENOSPC, "too many watches")

    register = gate.reactor.poller.register
    gate.reactor.poller.register = refuse  # type: ignore[method-assign]
    client = gate.connect()
    gate.turn_until(lambda: messages(caplog))
    gate.reactor.poller.register = register  # type: ignore[method-assign]
    assert gate.manager.connections == {}
    assert [len(queue) for queue in gate.services.deadlines] == [0] * len(gate.services.deadlines)
    assert client.recv(1) == b""
    assert len(caplog.records) == 1
    gate.accept()


# --- the limit


@pytest.mark.promise("S67")
def test_clients_beyond_the_limit_wait_in_the_backlog_while_all_are_busy(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gate = make(connection_limit=2)
    for _ in range(2):
        gate.accept()[1].sendall(GET)
    gate.turn_until(lambda: len(gate.tasks) == 2)
    waiting = gate.connect()
    gate.turn_until(lambda: gate.listener.interest == 0)
    gate.turn(3)
    assert len(gate.manager.connections) == 2
    assert is_open(waiting)
    assert messages(caplog) == [FULL]
    gate.tasks.pop().cancel()
    gate.turn_until(lambda: len(gate.manager.connections) == 2 and gate.listener.interest)
    waiting.sendall(GET)
    gate.turn_until(lambda: len(gate.tasks) == 2)
    assert messages(caplog) == [FULL]


@pytest.mark.promise("S67")
def test_the_connection_that_has_been_idle_longest_makes_room(make: Make) -> None:
    gate = make(connection_limit=3)
    clients = []
    for _ in range(3):
        clients.append(gate.accept()[1])
        gate.pass_seconds(2)
    gate.accept()
    assert [is_open(client) for client in clients] == [False, True, True]
    gate.accept()
    assert [is_open(client) for client in clients] == [False, False, True]


def test_a_fresh_connection_is_spared_for_a_second(make: Make) -> None:
    gate = make(connection_limit=1)
    first = gate.accept()[1]
    gate.connect()
    gate.turn_until(lambda: gate.listener.interest == 0)
    assert is_open(first)
    gate.pass_seconds(1)
    gate.turn_until(lambda: not is_open(first))
    gate.turn_until(lambda: len(gate.manager.connections) == 1)


def test_a_connection_whose_request_has_just_come_is_served_and_another_makes_room(make: Make) -> None:
    gate = make(connection_limit=2)
    first, first_client = gate.accept()
    second, second_client = gate.accept()
    gate.pass_seconds(2)
    first_client.sendall(GET)
    gate.connect()
    # Both are ready in one poll or another: the one with the request is not to be closed in any order.
    gate.turn_until(lambda: gate.tasks and second.phase is Phase.CLOSED)
    assert is_open(first_client)
    assert not is_open(second_client)
    assert first.phase is Phase.TASK


def test_responses_are_to_close_their_connections_while_a_client_waits_at_the_limit(make: Make) -> None:
    gate = make(connection_limit=2)
    first, client = gate.accept()
    second, _ = gate.accept()
    gate.turn()
    assert not second.wants_close()  # at the limit, but nobody waits: connections persist
    gate.connect()
    gate.turn_until(second.wants_close)
    client.close()
    gate.turn_to(first, Phase.CLOSED)
    assert not second.wants_close()
    gate.turn_until(lambda: len(gate.manager.connections) == 2)


def test_the_limit_is_told_once_until_there_is_relief(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    gate = make(connection_limit=10)
    for _ in range(10):
        gate.accept()
    for _ in range(5):  # each makes room for the next
        gate.pass_seconds(2)
        gate.accept()
    assert messages(caplog) == [FULL]
    for connection in list(gate.manager.connections.values())[:1]:
        connection.close()
    gate.pass_seconds(2)
    assert messages(caplog) == [FULL]  # nine of ten are no relief
    for connection in list(gate.manager.connections.values())[:1]:
        connection.close()
    gate.pass_seconds(2)
    assert messages(caplog) == [FULL, RELIEVED]
    gate.pass_seconds(5)
    assert messages(caplog) == [FULL, RELIEVED]


@pytest.mark.parametrize("limit", [1, 2, 3])
def test_a_small_limit_is_told_once_when_reached_and_once_when_there_is_room_again(
    make: Make, limit: int, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    gate = make(connection_limit=limit)
    for _ in range(limit):
        gate.accept()
    for _ in range(3):
        gate.pass_seconds(2)
        gate.accept()
    assert messages(caplog) == [FULL]
    next(iter(gate.manager.connections.values())).close()
    for _ in range(3):
        gate.pass_seconds(2)
    assert messages(caplog) == [FULL, RELIEVED]


def test_a_poller_with_a_limit_lowers_the_servers(make: Make) -> None:
    gate = make(connection_limit=100)
    gate.reactor.poller.limit = 5
    manager = ConnectionManager(gate.services, gate.listeners)
    for number in range(3):  # one is the listener's, one the wake-up's
        assert manager.has_room()
        manager.connections[number] = None  # type: ignore[assignment]
    assert not manager.has_room()


# --- out of descriptors


def test_out_of_descriptors_accepting_pauses_and_goes_on_by_itself(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    gate = make()
    fake = gate.fail_to_accept(errno.EMFILE, 3)
    gate.connect()
    gate.turn_until(lambda: gate.listener.interest == 0)
    assert fake.names.count("accept") == 1
    gate.turn(5)
    assert fake.names.count("accept") == 1  # no spinning
    for seconds in range(1, 4):
        gate.pass_seconds(1)
        gate.turn_until(lambda seconds=seconds: fake.names.count("accept") > seconds)  # type: ignore[misc]
    gate.turn_until(lambda: len(gate.manager.connections) == 1)
    assert len(caplog.records) == 1
    assert "server accept() threw an exception" in caplog.text
    assert os.strerror(errno.EMFILE) in caplog.text


def test_out_of_descriptors_is_told_once_whoever_comes_and_goes(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    gate = make()

    def fail_and_recover() -> None:
        gate.fail_to_accept(errno.EMFILE, 1)
        gate.connect()
        gate.turn_until(lambda: gate.listener.interest == 0)
        gate.pass_seconds(1)
        gate.turn_until(lambda: gate.manager.connections)
        for connection in list(gate.manager.connections.values()):
            connection.close()

    for _ in range(5):
        fail_and_recover()
    assert len(caplog.records) == 1
    gate.pass_seconds(60)  # without a failure: the next is news
    fail_and_recover()
    assert len(caplog.records) == 2


def test_errors_of_accept_are_silent_where_socket_errors_are(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    gate = make(log_socket_errors=False)
    gate.fail_to_accept(errno.EMFILE, 1)
    gate.connect()
    gate.turn_until(lambda: gate.listener.interest == 0)
    assert caplog.records == []


def test_the_end_of_a_connection_lets_accepting_go_on_at_once(make: Make) -> None:
    gate = make()
    connection, _ = gate.accept()
    gate.fail_to_accept(errno.EMFILE, 1)
    gate.connect()
    gate.turn_until(lambda: gate.listener.interest == 0)
    connection.close()
    assert gate.listener.interest
    gate.turn_until(lambda: gate.manager.connections)


# --- the end


def test_draining_takes_in_the_backlog_and_stops_listening(make: Make) -> None:
    gate = make(connection_limit=1)
    gate.accept()
    waiting = [gate.connect() for _ in range(3)]
    descriptor = gate.listener.descriptor
    gate.manager.drain()
    assert descriptor not in gate.reactor.handlers
    assert gate.listener.socket.fileno() == -1
    assert len(gate.manager.connections) == 3  # the idle one has been closed
    for client in waiting:
        client.sendall(GET)
    gate.turn_until(lambda: len(gate.tasks) == 3)
    for task in gate.tasks:
        assert task.connection.wants_close()
        task.answer(b"answer")
    gate.tasks.clear()
    gate.turn_until(lambda: not gate.manager.connections)
    assert [client.recv(10) for client in waiting] == [b"answer"] * 3


def test_draining_ends_idle_connections_and_lets_the_busy_finish(make: Make) -> None:
    gate = make()
    _, idle = gate.accept()
    _, busy = gate.accept()
    _, half = gate.accept()
    busy.sendall(GET)
    half.sendall(b"GET /")
    gate.turn_until(lambda: gate.tasks)
    gate.turn(2)
    emptied: list[str] = []
    gate.manager.on_emptied = lambda: emptied.append("emptied")
    gate.manager.drain()
    assert not is_open(idle)
    assert is_open(busy)
    gate.tasks.pop().answer(b"answer")
    gate.turn(2)
    assert busy.recv(10) == b"answer"
    assert not is_open(busy)
    assert emptied == []
    half.sendall(b" HTTP/1.1\r\nHost: x\r\n\r\n")
    gate.turn_until(lambda: gate.tasks)
    gate.tasks.pop().answer(b"answer")
    gate.turn_until(lambda: emptied)
    assert emptied == ["emptied"]


def test_a_client_that_was_in_the_backlog_and_says_nothing_is_let_go_after_a_second(make: Make) -> None:
    gate = make()
    client = gate.connect()
    gate.manager.drain()
    assert len(gate.manager.connections) == 1
    assert is_open(client)
    gate.pass_seconds(2)
    assert gate.manager.connections == {}
    assert not is_open(client)


def test_closing_all_may_leave_those_that_are_busy(make: Make) -> None:
    gate = make()
    _, idle = gate.accept()
    connection, busy = gate.accept()
    busy.sendall(GET + GET)
    gate.turn_until(lambda: gate.tasks)
    gate.manager.stop_listening()
    gate.manager.close_all(but_busy=True)
    assert not is_open(idle)
    assert list(gate.manager.connections.values()) == [connection]
    gate.tasks.pop().answer(b"answer")
    gate.turn_until(lambda: not gate.manager.connections)
    assert gate.tasks == []  # nothing more is begun
    assert busy.recv(10) == b"answer"


def test_given_sockets_are_not_closed(make: Make) -> None:
    gate = make()
    gate.listener.owns_socket = False
    gate.manager.stop_listening()
    assert gate.socket.fileno() != -1
    gate.socket.close()


def test_a_forked_child_gives_back_its_copies_in_silence(make: Make) -> None:
    gate = make()
    connection, client = gate.accept()
    parents = [gate.listener.socket.dup(), connection._transport._socket.dup()]
    gate.manager.abandon_after_fork()
    assert gate.listener.socket.fileno() == -1
    assert connection._transport._socket.fileno() == -1
    parents[1].sendall(b"still here")
    assert client.recv(100) == b"still here"
    with socket.create_connection(parents[0].getsockname(), 20):
        pass
    for sock in parents:
        sock.close()
    gate.reactor.poller.close()
    gate.reactor.handlers.clear()
    gate.manager.connections.clear()
    gate.manager._listeners = []


# --- who looks on


def test_a_connection_is_told_of_with_its_socket_when_it_opens_and_when_it_ends(make: Make) -> None:
    gate = make()
    opened: list[Any] = []
    ended: list[Any] = []
    gate.manager.on_opened = lambda connection, accepted: opened.append((connection, accepted, connection.interest))
    gate.manager.on_ended = ended.append
    connection, client = gate.accept()
    ((told, accepted, interest),) = opened
    assert told is connection
    assert accepted.getpeername() == client.getsockname()
    assert interest == 0  # before it is watched
    assert ended == []
    connection.close()
    assert ended == [connection]


def test_a_fault_of_who_looks_on_costs_that_connection_only(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    gate = make()

    def fail(*arguments: Any) -> None:
        raise ValueError("odd")

    gate.manager.on_opened, on_opened = fail, gate.manager.on_opened
    client = gate.connect()
    gate.turn_until(lambda: messages(caplog))
    assert client.recv(1) == b""
    assert gate.manager.connections == {}
    gate.manager.on_opened = on_opened
    gate.accept()


def test_one_listener_can_be_dropped(make: Make) -> None:
    gate = make()
    gate.manager.drop(gate.listener)
    gate.manager.drop(gate.listener)
    assert gate.socket.fileno() == -1
    assert gate.reactor.handlers == {}
    gate.manager.stop_listening()
