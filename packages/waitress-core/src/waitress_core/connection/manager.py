"""All open connections of a server, from their acceptance to their end.

Thread: the leader only; any other may copy `connections` for a snapshot.
"""

import socket
from collections.abc import Callable, Sequence

from ..net.listener import Listener
from .acceptor import Acceptor
from .connection import Connection
from .context import DRAINING, Endpoint, ServerContext

SPARED_SECONDS = 1.0  # for so long a connection may be idle, whoever else waits


class ConnectionManager:
    """The open connections by descriptor, and the acceptor that adds to them."""

    def __init__(
        self,
        context: ServerContext,
        endpoints: Sequence[Endpoint],
        *,
        on_opened: Callable[[Connection, socket.socket], None],  # before a connection is watched
        on_closed: Callable[[Connection], None],
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self._context = context
        self._reactor = context.reactor
        self._on_closed = on_closed
        self._acceptor = Acceptor(
            context,
            endpoints,
            self.connections,
            close_longest_idle=self._close_longest_idle,
            on_opened=on_opened,
            on_closed=self._remove,
        )

    def start(self) -> None:
        """Start to accept."""
        self._acceptor.start()

    def tick(self) -> None:
        """Once a second: accept again, if that may help; spare no idle connection while draining."""
        self._acceptor.tick()
        while self._context.state >= DRAINING and self._close_longest_idle():
            pass

    def drain(self) -> None:
        """Accept what waits in the backlogs, stop listening, and end what is idle."""
        before = list(self.connections.values())
        try:
            self._acceptor.take_backlog()
        finally:
            self._acceptor.stop()
        for connection in before:
            connection.close_if_idle()

    def stop_listening(self) -> None:
        """Accept no more, for good."""
        self._acceptor.stop()

    def remove_listener(self, listener: Listener) -> None:
        """Accept no more from one listener, for good."""
        self._acceptor.remove(listener)

    def close_all(self, *, but_busy: bool) -> None:
        """Close the connections, or those that neither run a request nor send a response."""
        for connection in list(self.connections.values()):
            if not (but_busy and connection.is_busy):
                connection.close()

    def abandon_after_fork(self) -> None:
        """Close a forked child's copies of all sockets, which are the parent's to use and to end."""
        self._acceptor.abandon_after_fork()
        for connection in self.connections.values():
            connection.abandon_after_fork()

    def _remove(self, connection: Connection) -> None:
        """A connection has ended; its descriptor may be another's at once."""
        self.connections.pop(connection.descriptor, None)
        self._reactor.handlers.pop(connection.descriptor, None)
        self._on_closed(connection)
        self._acceptor.resume()

    def _close_longest_idle(self) -> bool:
        """Close the connection that has been idle longest, if that is long enough and it sends nothing just now."""
        now = self._reactor.now
        while (longest := self._context.idle.longest_armed()) is not None:
            descriptor, idle_since = longest
            if now - idle_since < SPARED_SECONDS:
                return False
            connection = self.connections[descriptor]
            connection.close_if_idle()
            if connection.is_gone:
                return True
        return False
