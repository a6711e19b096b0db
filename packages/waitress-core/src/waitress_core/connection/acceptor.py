"""Accepts clients: the accept loop of every listener, the connection limit, and pausing.

When a client arrives at the connection limit, a connection that can be spared is closed to make room: the one that has
been idle longest, or one that waits for its client (see `room`). If there is none, the client waits in the backlog, and
responses say `Connection: close` until one of them lets it in. Out of descriptors, accepting pauses and resumes by
itself. The log reports each of these once, not once for every client.

Several workers watch the same listeners. The system wakes one of them for a client: the one that has waited longest
(EPOLLEXCLUSIVE), so a worker that has accepted goes to the end of that queue. And one that has clearly more connections
than another steps aside, until that has as many, for up to ASIDE_CHECKS times SHARE_SECONDS; the one with the fewest
never does.

Thread: the leader only.
"""

import logging
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from ..net.listener import ClientLeft, Listener
from ..net.transport import close
from ..reactor.poller import READ
from ..safe_logger import SafeLogger
from ..throttled_logger import ThrottledLogger
from .connection import Connection
from .context import AcceptShare, Endpoint, ServerContext

if TYPE_CHECKING:
    from ..net.proxy_protocol import ProxyInfo
    from .prelude import Preludes

logger = SafeLogger(logging.getLogger("waitress"))

ACCEPT_BURST = 64  # connections accepted in one turn, so that accepting does not hold up those that are there
RETRY_SECONDS = 0.2  # after which a client that waits at the limit may find one that can be spared by now
# Between two checks of a worker that steps aside. Doubled: the others take twice as many of a crowd before it is back.
# Halved: it wakes up more often.
SHARE_SECONDS = 0.001
ASIDE_CHECKS = 4  # then it accepts again, so that nothing depends on the others, and an idle worker sleeps
RELIEF = 0.9  # of the limit: fewer connections than this end the state that the log has reported
LEAST_FOR_OTHERS = 32  # descriptors that connections leave to the application, logs and temporary files; or an eighth
QUIET_SECONDS = 60.0  # without a failing accept, after which the next one is reported again


class Acceptor:
    """Accepts from `endpoints` into `connections`, the open connections by descriptor."""

    def __init__(
        self,
        context: ServerContext,
        endpoints: Sequence[Endpoint],
        connections: dict[int, Connection],
        *,
        close_one: Callable[[], bool],  # makes room; False: no connection can be spared
        on_opened: Callable[[Connection], None],  # before a connection is watched
        on_closed: Callable[[Connection], None],
    ) -> None:
        # Set once
        self._context = context
        self._reactor = context.reactor
        self._connections = connections
        self._close_one = close_one
        self._on_opened = on_opened
        self._on_closed = on_closed
        # What the poller can watch, less the listeners and the wake-up
        self._most = (self._reactor.poller.limit or sys.maxsize) - len(endpoints) - 1
        self._limit = self._fitting_limit()
        self._share = context.share
        self._interest = READ if context.share is None else READ | self._reactor.poller.exclusive
        self._preludes = self._make_preludes() if any(one.proxy_mode != "off" for one in endpoints) else None
        # Changed while the server runs
        self._handlers = [ListenerHandler(self, endpoint) for endpoint in endpoints]
        self._is_paused = False
        self._is_crowded = False  # at the limit, and the log has reported it
        self._aside_checks = 0  # left, while this worker steps aside
        self._ticked_at = self._reactor.now
        # Each client that leaves lets another in, and then none: a failure is not news each time.
        self._failures = ThrottledLogger(logger, QUIET_SECONDS, until_quiet=True)

    def start(self) -> None:
        """Start to accept."""
        for handler in self._handlers:
            self._reactor.handlers[handler.descriptor] = handler
        self._watch_all(self._interest)

    def _watch_all(self, interest: int) -> None:
        for handler in self._handlers:
            self._reactor.watch(handler, interest)
        if self._share is not None:
            self._share.note(len(self._connections), accepts=bool(interest and self._handlers))

    def _make_preludes(self) -> "Preludes":
        from .prelude import Preludes  # lazy import: only servers with the PROXY protocol need it

        return Preludes(self._reactor, self._context.is_trusted_proxy, self._open, self.resume)

    def _fitting_limit(self) -> int:
        """Return the connection limit, or how many connections fit if these are fewer; log that."""
        limit, descriptors = self._context.adj.connection_limit, descriptor_limit()
        for_others = max(descriptors // 8, LEAST_FOR_OTHERS)
        fitting = max(1, min(self._most, descriptors - for_others))
        if fitting >= limit:
            return limit
        cause = "the system's select() watches no more"
        if fitting < self._most:
            cause = f"this process may open {descriptors} files, and needs some for other things: see ulimit -n"
        if fitting < limit // 2:
            logger.warning("connection_limit is %d, but only %d connections fit: %s", limit, fitting, cause)
        else:
            logger.info("connection_limit is %d, but only %d connections fit: %s", limit, fitting, cause)
        return fitting

    # --- one client

    def accept(self, handler: "ListenerHandler") -> None:
        """Accept the clients that wait at a listener, if there is room for them."""
        if self._count() >= self._limit and not self._make_room():
            return
        if self._share is not None:
            self._accept_share(handler, self._share)
            return
        for _ in range(ACCEPT_BURST):
            # A connection is closed only for a client that is surely there: not in the later rounds.
            if not self._accept_one(handler) or self._count() >= self._limit:
                return

    def _accept_share(self, handler: "ListenerHandler", share: AcceptShare) -> None:
        """With other workers: accept until they have fewer, or go to the end of the queue."""
        if share.is_dismissed():
            # After this client: the system has woken no other worker for it.
            self._reactor.tick_every(0.0)
        accepted = 0
        while accepted < ACCEPT_BURST and self._accept_one(handler):
            accepted += 1
            share.note(len(self._connections), accepts=True)
            if self._count() >= self._limit:
                return
            if share.has_more_than_others():
                self._is_paused = True
                self._aside_checks = ASIDE_CHECKS
                self._reactor.tick_every(SHARE_SECONDS)
                for each in self._handlers:
                    self._reactor.watch(each, 0)
                return
        if accepted and handler.interest:
            self._reactor.watch(handler, 0)
            self._reactor.watch(handler, self._interest)

    def _accept_one(self, handler: "ListenerHandler") -> bool:
        """Accept one connection; False if no client waits, or if accepting has failed."""
        endpoint = handler.endpoint
        try:
            client = endpoint.listener.accept()
        except ClientLeft:
            return True
        except OSError as error:
            # Out of descriptors or memory, or the socket's owner has closed it: trying again at once would spin.
            self._pause(handler, error)
            return False
        if client is None:
            return False
        accepted, peer = client
        self._add(accepted, peer, endpoint)
        return True

    def _count(self) -> int:
        """Return how many clients are there."""
        return len(self._connections) + (0 if self._preludes is None else len(self._preludes))

    def _add(self, accepted: socket.socket, peer: Any, endpoint: Endpoint) -> None:
        is_unix = endpoint.listener.is_unix
        host, port = ("localhost", "") if is_unix else (peer[0], str(peer[1]))
        try:
            if not is_unix:
                for level, option, value in self._context.adj.socket_options:
                    accepted.setsockopt(level, option, value)
            if self._preludes is not None and endpoint.proxy_mode != "off":
                self._preludes.start(accepted, host, port, endpoint)
                return
        except OSError:  # the client has left already
            close(accepted)
            return
        self._open(accepted, host, port, endpoint)

    def _open(
        self,
        accepted: socket.socket,
        host: str,
        port: str,
        endpoint: Endpoint,
        proxy: "ProxyInfo | None" = None,
        arrived: bytes = b"",
    ) -> None:
        """Make a connection of a client, of which `arrived` has been read."""
        context, reactor = self._context, self._reactor
        if arrived and endpoint.listener.scheme == "https":  # the start of a PROXY header, not of TLS
            close(accepted)
            return
        try:
            transport = endpoint.open_transport(accepted)
        except OSError:  # the client has left already
            close(accepted)
            return
        # By position: by keyword they would cost each connection 1 % of its instructions
        connection = Connection(transport, host, port, endpoint, context, self._on_closed, proxy)
        descriptor = connection.descriptor
        self._connections[descriptor] = reactor.handlers[descriptor] = connection
        try:
            self._on_opened(connection)
            connection.start(arrived)
        except OSError:  # the poller takes no more
            logger.exception("Socket error")
            connection.close()
        except BaseException:  # the reactor logs it
            connection.close()
            raise

    def take_backlog(self) -> None:
        """Accept all clients that wait already; the connection limit does not hold for them."""
        for handler in self._handlers:
            for _ in range(self._context.adj.backlog + 1):
                if self._count() >= self._most or not self._accept_one(handler):
                    break

    # --- room, and the lack of it

    def _make_room(self) -> bool:
        """Close a connection that can be spared; False when there is none, and accepting has been paused."""
        if not self._is_crowded:
            self._is_crowded = True
            logger.warning("total open connections reached the connection limit, no longer accepting new connections")
        preludes = self._preludes
        if preludes is not None and preludes.close_longest():
            return True
        if self._close_one():
            return True
        self._is_paused = self._context.is_full = True
        self._reactor.tick_every(RETRY_SECONDS)
        self._watch_all(0)
        return False

    def _pause(self, handler: "ListenerHandler", cause: OSError) -> None:
        """Accept nothing from this listener for a while: the next attempt would fail too."""
        if self._context.adj.log_socket_errors:
            self._failures.log(logging.WARNING, self._reactor.now, "server accept() threw an exception: %s", cause)
        self._is_paused = True
        self._reactor.watch(handler, 0)
        if self._share is not None:
            self._share.note(len(self._connections), accepts=False)

    def resume(self) -> None:
        """Accept again after a pause, if there was one: a connection has ended, or some time has passed."""
        if self._is_paused:
            self._is_paused = False
            self._aside_checks = 0
            if self._count() < self._limit:
                self._context.is_full = False
            self._reactor.tick_every()
            self._watch_all(self._interest)
        elif self._share is not None:
            self._share.note(len(self._connections), accepts=bool(self._handlers))

    def check_share(self) -> bool:
        """While this worker steps aside: accept again, if it is time to. Whether this tick came for nothing else."""
        if not self._aside_checks or self._share is None:
            return False
        self._aside_checks -= 1
        if not (self._aside_checks and self._share.has_more_than_others()):
            self.resume()
        return self._reactor.now < self._ticked_at + self._reactor.usual_tick_seconds

    def tick(self) -> None:
        """Once a second, or in RETRY_SECONDS: accept again, if that may help."""
        self._ticked_at = self._reactor.now
        if not self._is_paused:
            # The listeners have been watched since the last tick, and no client had to wait. Not earlier: a client that
            # waits is found by the next turn only, and until then responses would let their connections persist.
            self._context.is_full = False
        self.resume()
        if self._is_crowded and self._count() < self._limit * RELIEF:
            self._is_crowded = False
            logger.info("total open connections dropped below the connection limit, listening again")

    # --- the end

    def stop(self) -> None:
        """Accept no more, for good."""
        self._is_paused = False
        self._reactor.tick_every()
        for handler in list(self._handlers):
            self._close(handler)
        self._watch_all(0)
        if self._preludes is not None:
            self._preludes.close_all()

    def remove(self, listener: Listener) -> None:
        """Accept no more from one listener, for good."""
        for handler in list(self._handlers):
            if handler.endpoint.listener is listener:
                self._close(handler)

    def _close(self, handler: "ListenerHandler") -> None:
        try:
            self._make_close(handler)
        except BaseException:  # of another thread, at any step: the next ones have not been made
            self._make_close(handler)
            raise

    def _make_close(self, handler: "ListenerHandler") -> None:
        """Make the steps of `_close`, or again those that may have been left out."""
        self._reactor.watch(handler, 0)
        self._reactor.handlers.pop(handler.descriptor, None)
        handler.endpoint.listener.close()
        if handler in self._handlers:
            self._handlers.remove(handler)

    def abandon_after_fork(self) -> None:
        """Close a forked child's copies of the listening sockets."""
        self._is_paused = False  # or the end of a connection would have the reactor watch again, which has ended
        for handler in self._handlers:
            handler.endpoint.listener.abandon_after_fork()
        if self._preludes is not None:
            self._preludes.abandon_after_fork()


def descriptor_limit() -> int:
    """Return how many descriptors the process may have open; the largest int where there is no such limit."""
    if sys.platform == "win32":
        return sys.maxsize
    import resource  # lazy import: Windows has none

    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return sys.maxsize if soft in (resource.RLIM_INFINITY, -1) else soft


class ListenerHandler:
    """One endpoint, as the reactor sees it."""

    __slots__ = ("_acceptor", "descriptor", "endpoint", "interest")

    def __init__(self, acceptor: Acceptor, endpoint: Endpoint) -> None:
        self._acceptor = acceptor
        self.endpoint = endpoint
        self.descriptor = endpoint.listener.descriptor
        self.interest = 0  # by Reactor.watch

    def __repr__(self) -> str:
        return repr(self.endpoint.listener)

    def on_ready(self, readiness: int) -> None:
        """A client waits."""
        self._acceptor.accept(self)

    def on_notify(self) -> None:
        """Do nothing: no task has to do with a listener."""

    def on_fault(self) -> None:
        """Do nothing: one client could not be accepted, and others still come."""
