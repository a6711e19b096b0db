"""Connections over real sockets, with the reactor turned by hand and a clock that tests move."""

import socket
import time
from collections.abc import Callable
from typing import Any

from tests.support.manual_clock import ManualClock
from tests.support.pairs import tcp_pair
from waitress_core import Adjustments, Task
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import ServerContext
from waitress_core.connection.states import TRANSITIONS, Ending, Phase
from waitress_core.http.request import Request
from waitress_core.net.transport import SocketTransport
from waitress_core.reactor.reactor import Reactor
from waitress_core.wsgi.environ import EnvironBuilder

PATIENCE = 20.0  # seconds of the real clock for what comes at once on an idle machine

Move = tuple[Phase, Phase]


class CheckedConnection(Connection):
    """Remembers its moves from phase to phase, and those that the table does not allow."""

    moves: list[Move]
    illegal: list[Move]

    @property
    def phase(self) -> Phase:
        return self._phase

    @phase.setter
    def phase(self, phase: Phase) -> None:
        before = self.__dict__.get("_phase")
        self._phase = phase
        if before is None:
            self.moves, self.illegal = [], []
            return
        self.moves.append((before, phase))
        if phase not in TRANSITIONS[before]:
            self.illegal.append((before, phase))


class HeldTask:
    """A task that the test runs: it is the worker."""

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
        self.connection.finish(ending)

    def cancel(self) -> None:
        self.is_cancelled = True
        self.finish(Ending.CLOSE)


class Harness:
    """A reactor, its connections, and the tasks they have submitted, which nobody runs but the test."""

    def __init__(self, **settings: Any) -> None:
        self.clock = ManualClock()
        self.reactor = Reactor(clock=self.clock, on_tick=self._tick)
        self.tasks: list[HeldTask] = []
        self.other_tasks: list[Task] = []
        self.yields = 0
        adj = Adjustments(listen="127.0.0.1:0", **settings)
        self.services = ServerContext(adj, self.reactor, HeldTask, self._submit, self._yield_lead)
        self.services.remove = self._forget
        for queue in self.services.deadlines:
            self.reactor.add_deadlines(queue)
        self.environ_builder = EnvironBuilder(adj, "80")
        self.connections: list[CheckedConnection] = []
        self.clients: list[socket.socket] = []
        self.forgotten: list[Connection] = []
        self.is_closed = False

    def _submit(self, task: Task) -> None:
        if isinstance(task, HeldTask):
            self.tasks.append(task)
        else:
            self.other_tasks.append(task)

    def _tick(self) -> None:
        pass

    def _yield_lead(self) -> None:
        self.yields += 1

    def _forget(self, connection: Connection) -> None:
        self.forgotten.append(connection)
        self.reactor.handlers.pop(connection.descriptor, None)

    def open(
        self, buffer_bytes: int | None = None, kind: type[CheckedConnection] = CheckedConnection
    ) -> tuple[CheckedConnection, socket.socket]:
        """Accept a connection; return it and its client."""
        accepted, client = tcp_pair(buffer_bytes)
        connection = kind(SocketTransport(accepted), "127.0.0.1", "5000", self.environ_builder, self.services)
        self.reactor.handlers[connection.descriptor] = connection
        connection.begin()
        self.connections.append(connection)
        self.clients.append(client)
        return connection, client

    def turn(self, times: int = 1) -> None:
        """Serve what is ready now."""
        for _ in range(times):
            self.reactor.turn(0)

    def turn_until(self, is_reached: Callable[[], object]) -> None:
        """Turn until something holds."""
        until = time.monotonic() + PATIENCE
        while not is_reached():
            assert time.monotonic() < until, "what the test waits for does not come"
            self.reactor.turn(0.02)

    def turn_to(self, connection: Connection, phase: Phase) -> None:
        """Turn until a connection has got into a phase."""
        self.turn_until(lambda: connection.phase is phase)

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
        """Read exactly so many octets while the reactor turns."""
        received = bytearray()
        client.setblocking(False)
        until = time.monotonic() + PATIENCE
        while len(received) < size:
            assert time.monotonic() < until, f"only {len(received)} octets came"
            self.reactor.turn(0.001)
            try:
                data = client.recv(size - len(received))
            except BlockingIOError:
                continue
            assert data, f"the end came after {len(received)} octets"
            received += data
        client.settimeout(PATIENCE)
        return bytes(received)

    def close(self) -> None:
        """End everything; no connection may have made a move that is not allowed."""
        if self.is_closed:
            return
        self.is_closed = True
        for task in self.tasks:
            task.cancel()
        for connection in self.connections:
            connection.close()
            if connection.phase is not Phase.CLOSED:
                connection.finish(Ending.CLOSE)
        self.turn()
        self.reactor.close()
        for client in self.clients:
            client.close()
        assert [move for connection in self.connections for move in connection.illegal] == []
        assert all(connection.phase is Phase.CLOSED for connection in self.connections)
        assert sorted(map(id, self.forgotten)) == sorted(map(id, self.connections))  # each once
