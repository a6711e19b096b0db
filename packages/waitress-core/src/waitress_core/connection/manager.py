"""All open connections of a server: who may come in, and who must go to make room.

When a client comes at the connection limit, the connection that has been idle longest is closed to make room. With none
idle the client waits in the backlog, and responses say `Connection: close` until one lets it in. Out of descriptors,
accepting pauses and goes on by itself. Each is said in the log once, not once for every client.

Thread: the holder of the lead only; any other may copy `connections`, to look on.
"""

import logging
import socket
import sys
from collections.abc import Callable
from typing import Any

from ..net.listener import Listener
from ..net.transport import SocketTransport, close
from ..reactor.poller import READ
from .connection import Connection
from .context import ServerContext

logger = logging.getLogger("waitress")

SPARED_SECONDS = 1.0  # so long a connection is let idle, whoever else waits
RELIEF = 0.9  # of the limit: fewer connections than this end the state that the log has told of
QUIET_SECONDS = 60.0  # without a failing accept, after which the next is news again


def _ignore(*arguments: Any) -> None:
    pass


class ConnectionManager:
    """The open connections by descriptor, and the gate to them."""

    def __init__(self, services: ServerContext[Connection], listeners: list[Listener]) -> None:
        self.connections: dict[int, Connection] = {}
        self._services = services
        self._reactor = services.reactor
        self._listeners = list(listeners)
        # What the poller can watch, less the listeners and the wake-up.
        self._most = (self._reactor.poller.limit or sys.maxsize) - len(listeners) - 1
        self._limit = min(services.adj.connection_limit, self._most)
        self._is_paused = False
        self._is_crowded = False  # at the limit, and the log has told
        self._failed_at = -QUIET_SECONDS  # when an accept has last failed
        self.on_emptied: Callable[[], None] = _ignore  # called when the last connection has ended
        self.on_opened: Callable[[Connection, socket.socket], None] = _ignore  # called before one is watched
        self.on_ended: Callable[[Connection], None] = _ignore

    def begin(self) -> None:
        """Begin to accept."""
        for listener in self._listeners:
            self._reactor.handlers[listener.descriptor] = listener
            listener.begin(self, self._reactor)

    # --- the gate

    def has_room(self) -> bool:
        return len(self.connections) < self._limit

    def make_room(self) -> bool:
        if not self._is_crowded:
            self._is_crowded = True
            logger.warning("total open connections reached the connection limit, no longer accepting new connections")
        if self._close_longest_idle():
            return True
        self._pause_all()
        return False

    def pause_accepting(self, listener: Listener, cause: OSError) -> None:
        now = self._reactor.now
        # Not each time that one has succeeded in between: each client that leaves lets another in, and then none.
        if now - self._failed_at >= QUIET_SECONDS and self._services.adj.log_socket_errors:
            logger.warning("server accept() threw an exception: %s", cause)
        self._failed_at = now
        self._is_paused = True
        self._reactor.watch(listener, 0)

    def add(self, accepted: socket.socket, peer: Any, listener: Listener) -> None:
        services = self._services
        try:
            if not listener.is_unix:
                for level, option, value in services.adj.socket_options:
                    accepted.setsockopt(level, option, value)
            transport = SocketTransport(accepted)
        except OSError:  # the client has left already
            close(accepted)
            return
        if listener.is_unix:
            connection = Connection(transport, "localhost", "", listener.environ_builder, services)
        else:
            connection = Connection(transport, peer[0], str(peer[1]), listener.environ_builder, services)
        self.connections[connection.descriptor] = connection
        self._reactor.handlers[connection.descriptor] = connection
        try:
            self.on_opened(connection, accepted)
            connection.begin()
        except OSError:  # the poller takes no more
            logger.exception("Socket error")
            connection.close()
        except BaseException:  # the reactor logs it
            connection.close()
            raise

    def remove(self, connection: Connection) -> None:
        """A connection has ended; its descriptor may be another's at once."""
        self.connections.pop(connection.descriptor, None)
        self._reactor.handlers.pop(connection.descriptor, None)
        self.on_ended(connection)
        if self._is_paused:
            self._resume_all()
        if not self.connections:
            self.on_emptied()

    # --- in time

    def tick(self) -> None:
        """Once a second: accept again, if that may help; spare no idle connection while draining."""
        if self._is_paused:
            self._resume_all()
        if self._is_crowded and len(self.connections) < self._limit * RELIEF:
            self._is_crowded = False
            logger.info("total open connections dropped below the connection limit, listening again")
        while self._services.is_draining and self._close_longest_idle():
            pass

    def leave(self) -> None:
        """Go on, and have every response say that its connection ends."""
        self._services.is_leaving = True

    def drain(self) -> None:
        """Take in what waits in the backlogs, stop listening, and end what is idle."""
        before = list(self.connections.values())
        try:
            for listener in self._listeners:
                # The connection limit does not hold for those that have been waiting.
                for _ in range(self._services.adj.backlog + 1):
                    if len(self.connections) >= self._most or not listener.accept_one(self):
                        break
        finally:
            self.stop_listening()
        for connection in before:
            connection.close_if_idle()

    def stop_listening(self) -> None:
        """Accept no more, and let no connection persist, for good."""
        self._is_paused = False
        self._services.is_leaving = self._services.is_draining = True
        for listener in list(self._listeners):
            self.drop(listener)

    def drop(self, listener: Listener) -> None:
        """Accept no more from one listener, for good."""
        if listener in self._listeners:
            self._listeners.remove(listener)
            self._reactor.watch(listener, 0)
            self._reactor.handlers.pop(listener.descriptor, None)
            listener.close()

    def close_all(self, *, but_busy: bool) -> None:
        """Close the connections, and take no further request from those that stay."""
        self._services.is_closing = True
        for connection in list(self.connections.values()):
            if not (but_busy and connection.is_busy):
                connection.close()

    def abandon_after_fork(self) -> None:
        """Close a forked child's copies of all sockets, which are the parent's to use and to end."""
        for listener in self._listeners:
            listener.abandon_after_fork()
        for connection in self.connections.values():
            connection.abandon_after_fork()

    def _close_longest_idle(self) -> bool:
        """Close the connection that has been idle longest, if that is long enough and it sends nothing just now."""
        now = self._reactor.now
        while (longest := self._services.idle.longest_armed()) is not None:
            descriptor, idle_since = longest
            connection = self.connections[descriptor]
            if now - idle_since < SPARED_SECONDS:
                return False
            connection.close_if_idle()
            if connection.is_gone:
                return True
        return False

    def _pause_all(self) -> None:
        self._is_paused = True
        self._services.is_full = True
        for listener in self._listeners:
            self._reactor.watch(listener, 0)

    def _resume_all(self) -> None:
        self._is_paused = False
        self._services.is_full = False
        for listener in self._listeners:
            self._reactor.watch(listener, READ)
