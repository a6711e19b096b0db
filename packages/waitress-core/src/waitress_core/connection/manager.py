"""All open connections of a server, from their acceptance to their end.

Thread: the leader only; any other may copy `connections` for a snapshot.
"""

from collections import deque
from collections.abc import Callable, Sequence

from ..net.listener import Listener
from ..reactor.poller import READ, WRITE
from .acceptor import Acceptor
from .connection import Connection
from .context import DRAINING, Endpoint, ServerContext
from .overdue import goes_on_with_handshake
from .room import Waiting, order_for_room, order_for_threads
from .states import BODY, FLUSH, HANDSHAKE, HEAD, LINGER

BLOCKED_TICK_SECONDS = 0.2  # while clients make threads wait that requests wait for
SPARED_SECONDS = 1.0  # for so long a connection may be idle, whoever else waits


class ConnectionManager:
    """The open connections by descriptor, and the acceptor that adds to them."""

    def __init__(
        self,
        context: ServerContext,
        endpoints: Sequence[Endpoint],
        *,
        on_opened: Callable[[Connection], None],  # before a connection is watched
        on_closed: Callable[[Connection], None],
    ) -> None:
        self.connections: dict[int, Connection] = {}
        self._context = context
        self._reactor = context.reactor
        self._on_closed = on_closed
        # Who makes room next, in this order, as chosen since the last tick: choosing goes through all connections
        self._chosen: deque[Waiting] = deque()
        self._ticks_often = False  # for `_free_threads`
        self._acceptor = Acceptor(
            context,
            endpoints,
            self.connections,
            close_one=self._close_one,
            on_opened=on_opened,
            on_closed=self._remove,
        )

    def start(self) -> None:
        """Start to accept."""
        self._acceptor.start()

    def check_share(self) -> bool:
        """With several workers: accept again, if it is time to. Whether this tick came for nothing else."""
        return self._acceptor.check_share()

    def tick(self) -> None:
        """Accept again, if that may help; end clients that keep threads from others; close idle connections while
        draining. Called once a second, or in BLOCKED_TICK_SECONDS.
        """
        self._chosen.clear()
        self._acceptor.tick()
        self._free_threads()
        while self._context.state >= DRAINING and (
            self._close_longest_idle("shutdown") or self._close_longest_handshake()
        ):
            pass

    def drain(self) -> None:
        """Accept what waits in the backlogs, stop listening, and end what is idle.

        Those that have just connected are spared for a moment, until `tick`: their first requests may be on the way.
        """
        before = list(self.connections.values())
        try:
            self._acceptor.take_backlog()
        finally:
            self._acceptor.stop()
        for connection in before:
            if not self._has_just_connected(connection):
                connection.close_if_idle("shutdown")

    def _has_just_connected(self, connection: Connection) -> bool:
        idle_since = connection.idle_since
        is_young = idle_since is not None and self._reactor.now - idle_since < SPARED_SECONDS
        return is_young and not connection.sender.sent_bytes

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
        if self.connections.get(connection.descriptor) is not connection:
            return
        self._reactor.handlers.pop(connection.descriptor, None)
        del self.connections[connection.descriptor]
        self._context.counters.ended_bytes_out += connection.sender.sent_bytes
        try:
            self._on_closed(connection)
        finally:
            self._acceptor.resume()

    def _close_one(self) -> bool:
        """Close a connection that can be spared, for a client that waits; False when there is none."""
        return self._close_longest_idle("room") or self._close_waiting()

    def _close_waiting(self) -> bool:
        """Close a connection that has started something and waits for its client: see `room`."""
        for must_choose in (False, True):
            if must_choose:
                waiting = [waiting_of(connection) for connection in self.connections.values()]
                self._chosen.extend(order_for_room(filter(None, waiting), self._reactor.now))
            while self._chosen:
                seen = self._chosen.popleft()
                connection = self.connections.get(seen.descriptor)
                if connection is not None and close_for_room(connection, seen, self._context):
                    return True
        return False

    def _free_threads(self) -> None:
        """While requests wait for a thread, end as many clients that make threads wait for them too long."""
        requests = self._context.waiting_requests()
        connections = list(self.connections.values()) if requests > 0 else []
        behind = {one.descriptor: seconds for one in connections if (seconds := behind_seconds_of(one)) is not None}
        for descriptor in order_for_threads(behind, requests=requests, threads=self._context.adj.threads):
            self.connections[descriptor].reset_slow_reader("room")
        if behind and self._reactor.tick_seconds > BLOCKED_TICK_SECONDS:
            self._reactor.tick_every(BLOCKED_TICK_SECONDS)
            self._ticks_often = True
        elif self._ticks_often and not behind:
            self._reactor.tick_every()
            self._ticks_often = False

    def _close_longest_handshake(self) -> bool:
        """Close the connection that has been in its handshake longest, if that is long enough."""
        longest = self._context.handshake.longest_armed()
        if longest is None or self._reactor.now - longest[1] < SPARED_SECONDS:
            return False
        connection = self.connections[longest[0]]
        if not goes_on_with_handshake(connection, self._context):
            connection.close("shutdown")
        return True

    def _close_longest_idle(self, reason: str) -> bool:
        """Close the connection that has been idle longest, if that is long enough and it sends nothing just now."""
        now = self._reactor.now
        while (longest := self._context.idle.longest_armed()) is not None:
            descriptor, idle_since = longest
            if now - idle_since < SPARED_SECONDS:
                return False
            connection = self.connections[descriptor]
            connection.close_if_idle(reason)
            if connection.is_gone:
                return True
        return False


def waiting_of(connection: Connection) -> Waiting | None:
    """Return in which way a connection waits for its client within a request or a response; None when it does not."""
    sender, receiver = connection.sender, connection.receiver
    if sender.state is FLUSH:
        rate = 0.0 if sender.outbox is None else sender.outbox.bytes_per_second
        return Waiting(connection.descriptor, connection.remote_addr, "flush", sender.since, rate)
    state = receiver.state
    if state is HEAD or state is BODY or state is LINGER or state is HANDSHAKE:
        since, rate = receiver.waits_since(), receiver.body_bytes_per_second() if state is BODY else 0.0
        return Waiting(connection.descriptor, connection.remote_addr, state.name.lower(), since, rate)
    return None


def close_for_room(connection: Connection, seen: Waiting, context: ServerContext) -> bool:
    """Close a connection if it still waits as it was seen to; what has come in the meantime is served.

    Return whether it has ended.
    """
    if _waits_as(connection, seen):
        if seen.state == "handshake":
            goes_on_with_handshake(connection, context)
        else:
            connection.on_ready(WRITE if seen.state == "flush" else READ)
        if _waits_as(connection, seen):
            connection.close("room")
    return connection.is_gone


def _waits_as(connection: Connection, seen: Waiting) -> bool:
    now = waiting_of(connection)
    return now is not None and now.state == seen.state and now.since == seen.since


def behind_seconds_of(connection: Connection) -> float | None:
    """Return how far a client is behind that must take output for which its task waits; None when it does not wait.

    What the system takes now is sent first: it reports room only when there is much.
    """
    outbox = connection.sender.outbox
    if outbox is None or not outbox.is_waited_for:
        return None
    connection.on_ready(WRITE)
    seconds = outbox.behind_seconds(connection.reactor.now)
    return None if connection.is_gone else seconds
