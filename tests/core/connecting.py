"""Connections over real sockets, with the reactor turned by hand and a clock that tests move."""

import errno
import os
import socket
import time
from collections.abc import Callable
from typing import Any, TypeVar
from unittest import mock

import pytest

from tests.support.certificates import server_file
from tests.support.fake_socket import FakeSocket, as_socket
from tests.support.manual_clock import ManualClock
from tests.support.pairs import tcp_pair
from waitress_buffers import OverflowBuffer, StorageFullError, StorageUnavailableError
from waitress_core import Adjustments, Task
from waitress_core.connection import acceptor
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import Endpoint, ServerContext
from waitress_core.connection.manager import ConnectionManager
from waitress_core.connection.receiver import Receiver
from waitress_core.connection.sender import Sender
from waitress_core.connection.states import (
    CLOSED,
    HANDSHAKE,
    IDLE,
    RECEIVE_TRANSITIONS,
    SEND_TRANSITIONS,
    Ending,
    ReceiveState,
    SendState,
)
from waitress_core.http.request import Request
from waitress_core.http.response import Response
from waitress_core.net.binding import open_listeners
from waitress_core.net.listener import Listener
from waitress_core.net.tls_contexts import TlsContexts
from waitress_core.net.transport import SocketTransport, Transport
from waitress_core.reactor.reactor import Handler, Reactor
from waitress_parser import RequestParser

WAIT_SECONDS = 20.0  # of the real clock, for what comes at once on an idle machine

Kind = TypeVar("Kind", bound=Connection)
ReceiveTransition = tuple[ReceiveState, ReceiveState]
SendTransition = tuple[SendState, SendState]


class CheckedReceiver(Receiver):
    """Remembers its transitions; refuses any that the table does not have, and a wrong deadline."""

    def __init__(self, transport: Transport, context: ServerContext) -> None:
        super().__init__(transport, context)
        self.transitions: list[ReceiveTransition] = []
        self.illegal: list[ReceiveTransition] = []
        self.has_started = False

    def enter(self, state: ReceiveState, since: float) -> None:
        before = self.state
        super().enter(state, since)
        if not self.has_started:  # the start of a connection arms the deadline of the state that it is in
            self.has_started = True
            if state is IDLE or state is HANDSHAKE:
                return
        self.transitions.append((before, state))
        queues, descriptor = self._context.receive_deadlines, self._transport.descriptor
        armed = [one for one in queues if one is not None and one.armed_at(descriptor) is not None]
        if state not in RECEIVE_TRANSITIONS[before] or armed != [one for one in [queues[state]] if one is not None]:
            self.illegal.append((before, state))


class CheckedSender(Sender):
    """Remembers its transitions; refuses any that the table does not have, and a wrong deadline."""

    def __init__(self, transport: Transport, context: ServerContext) -> None:
        super().__init__(transport, context)
        self.transitions: list[SendTransition] = []
        self.illegal: list[SendTransition] = []

    def enter(self, state: SendState, since: float) -> None:
        before = self.state
        super().enter(state, since)
        self.transitions.append((before, state))
        is_armed = self._context.output.armed_at(self._transport.descriptor) is not None
        if state not in SEND_TRANSITIONS[before] or is_armed is not (self._context.send_deadlines[state] is not None):
            self.illegal.append((before, state))


class CheckedConnection(Connection):
    """Its two sides remember their transitions."""

    receiver: CheckedReceiver
    sender: CheckedSender

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self.is_client_gone = self.receiver = CheckedReceiver(self._transport, self._context)
        self.sender = CheckedSender(self._transport, self._context)

    @property
    def parser(self) -> Any:
        return self.receiver._parser


class NotingParser(RequestParser):
    """A parser in place of the connection's own, which notes what it receives."""

    noted = b""

    def receive(self, data: bytes | memoryview) -> None:
        self.noted += bytes(data)
        super().receive(data)


storage_errors = pytest.mark.parametrize(
    ("error", "status"),
    [
        (StorageFullError(errno.ENOSPC, "no room", "/tmp"), 413),
        (StorageUnavailableError(errno.EACCES, "no access", "/tmp"), 500),
    ],
    ids=["full", "unavailable"],
)


def refuse_to_store(monkeypatch: pytest.MonkeyPatch, error: OSError) -> None:
    """Have buffers raise this error for whatever is appended."""

    def append(buffer: OverflowBuffer, data: bytes) -> None:
        raise error

    monkeypatch.setattr(OverflowBuffer, "append", append)


NOT_STARTED = Response("1.1", "GET", True, None)


class HeldTask:
    """A task that the test runs: the test is the application thread."""

    def __init__(self, connection: Connection, request: Request) -> None:
        self.connection = connection
        self.request = request
        self.is_cancelled = False

    def service(self) -> None:
        self.answer(b"answer to " + self.request.head.path.encode())

    def answer(self, data: bytes, ending: Ending = Ending.PERSIST) -> None:
        """Send a response and end the task."""
        self.connection.sender.send(data)
        self.finish(ending)

    def finish(self, ending: Ending = Ending.PERSIST) -> None:
        """End the task."""
        self.request.close()
        self.connection.finish(ending, NOT_STARTED)

    def cancel(self) -> None:
        self.is_cancelled = True
        self.finish(Ending.CLOSE)


def fake_listener(fake: FakeSocket | None = None) -> Listener:
    """Return a listener that accepts what a fake socket gives."""
    return Listener(as_socket(fake or FakeSocket()), owns_socket=True)


class Harness:
    """A reactor, its connections, and the tasks they have submitted, which only the test runs."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.reactor = Reactor(clock=self.clock, on_tick=self.on_tick)
        self.tasks: list[HeldTask] = []
        self.other_tasks: list[Task] = []
        self.yields = 0
        self.resumes = False  # whether the thread that ends a task is the leader again
        self.adj = Adjustments(**({} if "unix_socket" in settings else {"listen": "127.0.0.1:0"}), **settings)
        self.context = ServerContext(
            self.adj,
            self.reactor,
            submit=self._submit,
            yield_leadership=self._yield_leadership,
            resume_leadership=lambda: self.resumes,
        )
        open_transport: Callable[[socket.socket], Transport] = SocketTransport
        if self.adj.has_tls:
            open_transport = TlsContexts(self.adj).opener()
        self.endpoint = Endpoint(fake_listener(), open_transport=open_transport, make_task=HeldTask)
        self.connections: list[CheckedConnection] = []
        self.clients: list[socket.socket] = []
        self.closed: list[Connection] = []  # in the order of their ends
        self.is_closed = False

    def speak_tls(self, is_tls: bool = True) -> None:
        """Have connections that are opened from now on speak TLS, or not."""
        open_transport: Callable[[socket.socket], Transport] = SocketTransport
        if is_tls:
            open_transport = TlsContexts(Adjustments(listen="127.0.0.1:0", tls_certificate=server_file())).opener()
        self.endpoint = Endpoint(fake_listener(), open_transport=open_transport, make_task=HeldTask)

    def on_tick(self) -> None:
        """Once a second."""

    def _submit(self, task: Task) -> None:
        if isinstance(task, HeldTask):
            self.tasks.append(task)
        else:
            self.other_tasks.append(task)

    def _yield_leadership(self) -> None:
        self.yields += 1

    def _remove(self, connection: Connection) -> None:
        self.closed.append(connection)
        self.reactor.handlers.pop(connection.descriptor, None)

    def make(self, accepted: socket.socket, kind: type[Kind]) -> Kind:
        """Make a connection of an accepted socket, and start it."""
        connection = kind(
            self.endpoint.open_transport(accepted),
            "127.0.0.1",
            "5000",
            endpoint=self.endpoint,
            context=self.context,
            on_closed=self._remove,
        )
        self.reactor.handlers[connection.descriptor] = connection
        connection.start()
        return connection

    def open(
        self, buffer_bytes: int | None = None, kind: type[CheckedConnection] = CheckedConnection
    ) -> tuple[CheckedConnection, socket.socket]:
        """Accept a connection; return it and its client."""
        accepted, client = tcp_pair(buffer_bytes)
        connection = self.make(accepted, kind)
        self.connections.append(connection)
        self.clients.append(client)
        return connection, client

    def turn(self, times: int = 1) -> None:
        """Serve what is ready now."""
        for _ in range(times):
            self.reactor.turn(0)

    def turn_until(self, is_reached: Callable[[], object]) -> None:
        """Turn until something holds."""
        until = time.monotonic() + WAIT_SECONDS
        while not is_reached():
            assert time.monotonic() < until, "what the test waits for does not come"
            self.reactor.turn(0.02)

    def turn_to(self, connection: Connection, state: ReceiveState | SendState) -> None:
        """Turn until one side of a connection is in a state."""
        self.turn_until(lambda: connection.receiver.state is state or connection.sender.state is state)

    def next_task(self) -> HeldTask:
        """Turn until a task has been submitted; take it."""
        self.turn_until(lambda: self.tasks)
        return self.tasks.pop(0)

    def pass_seconds(self, seconds: int) -> None:
        """Let time pass, with a turn after each second."""
        for _ in range(seconds):
            self.clock.advance(1)
            self.reactor.turn(0)

    def receive(self, client: socket.socket, size: int) -> bytes:
        """Read exactly this many bytes while the reactor turns."""
        received = bytearray()
        client.setblocking(False)
        until = time.monotonic() + WAIT_SECONDS
        while len(received) < size:
            assert time.monotonic() < until, f"only {len(received)} bytes came"
            self.reactor.turn(0.001)
            try:
                data = client.recv(size - len(received))
            except BlockingIOError:
                continue
            assert data, f"the end came after {len(received)} bytes"
            received += data
        client.settimeout(WAIT_SECONDS)
        return bytes(received)

    def close(self) -> None:
        """End everything; no connection may have made a transition that is not allowed."""
        if self.is_closed:
            return
        self.is_closed = True
        for task in self.tasks:
            task.cancel()
        for connection in self.connections:
            connection.close()
            if connection.sender.state is not CLOSED:
                connection.finish(Ending.CLOSE, NOT_STARTED)
        self.turn()
        self.reactor.close()
        for client in self.clients:
            client.close()
        assert_legal(self.connections)
        assert all(connection.sender.state is CLOSED for connection in self.connections)
        assert sorted(map(id, self.closed)) == sorted(map(id, self.connections))  # each once


def assert_legal(connections: list[CheckedConnection]) -> None:
    """No connection has made a transition that its table does not have, or has armed another state's deadline."""
    illegal = [(one.receiver.illegal, one.sender.illegal) for one in connections]
    assert illegal == [([], [])] * len(connections)


class ManagedHarness(Harness):
    """Real listeners and real clients; the connections are those of a manager."""

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        self.listeners = open_listeners(self.adj, self.adj.listen)
        open_transport = self.endpoint.open_transport
        self.socket = self.listeners[0].socket
        self.made: list[CheckedConnection] = []
        self.opened: list[tuple[Connection, int]] = []
        self.on_opened: Callable[[Connection], None] = self._note_opened
        self.on_closed: Callable[[Connection], None] = self.closed.append
        self.manager = ConnectionManager(
            self.context,
            [Endpoint(one, open_transport=open_transport, make_task=HeldTask) for one in self.listeners],
            on_opened=lambda connection: self.on_opened(connection),
            on_closed=lambda connection: self.on_closed(connection),
        )
        self._patch = mock.patch.object(acceptor, "Connection", self._make_checked)
        self._patch.start()
        self.manager.start()
        self.turn()  # the first turn has a tick; the next tick comes after a second

    def _make_checked(self, *arguments: Any, **named: Any) -> CheckedConnection:
        self.made.append(CheckedConnection(*arguments, **named))
        return self.made[-1]

    def _note_opened(self, connection: Connection) -> None:
        self.opened.append((connection, connection.interest))

    def on_tick(self) -> None:
        self.manager.tick()

    @property
    def listener(self) -> Listener:
        return self.listeners[0]

    @property
    def listener_handler(self) -> Handler:
        """The listener's handler."""
        return self.reactor.handlers[self.listener.descriptor]

    def connect(self) -> socket.socket:
        """Let a client arrive in the backlog."""
        client = socket.socket(self.socket.family)
        client.settimeout(WAIT_SECONDS)
        client.connect(self.socket.getsockname())
        self.clients.append(client)
        return client

    def accept(self) -> tuple[Connection, socket.socket]:
        """Let a client arrive and be accepted."""
        before = set(self.manager.connections.values())
        client = self.connect()
        name = client.getsockname()  # of a unix socket it is empty
        port = str(name[1]) if name else ""
        found: list[Connection] = []

        def is_there() -> list[Connection]:
            now = self.manager.connections.values()
            found[:] = [one for one in now if one.remote_port == port and one not in before]
            return found

        self.turn_until(is_there)
        return found[0], client

    def turn_to_pause(self) -> None:
        """Turn until the listener is not watched any more."""
        self.turn_until(lambda: self.listener_handler.interest == 0)

    def fail_to_accept(self, number: int, times: int) -> FakeSocket:
        """Let accepting fail this many times, and work again then."""
        fake = FakeSocket(accept=[*[OSError(number, os.strerror(number))] * times, *[self.socket.accept] * 100])
        self.listener.socket = as_socket(fake)
        return fake

    def close(self) -> None:
        self._patch.stop()
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
        assert_legal(self.made)
        assert self.manager.connections == {}
        assert self.reactor.handlers == {}
