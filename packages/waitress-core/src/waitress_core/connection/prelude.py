"""Clients that have connected to a listener with the PROXY protocol, until their header has arrived.

A client becomes a connection when its header is complete, with the address that the header says. Only peers that are a
trusted proxy may send one: what others send is not even read.

    mode        a trusted proxy                             any other peer
    required    must send a header, or is closed            is closed
    optional    may send one, as its first bytes            is a client like any other

At the connection limit, the one that has waited longest makes room for the next client, before any connection does.

Thread: the leader.
"""

import logging
import socket
from collections.abc import Callable

from waitress_parser.proxy_protocol import NoProxyHeader, ProxyProtocolError

from ..net.proxy_protocol import HeaderReader, ProxyInfo, client_of
from ..net.transport import Disconnected, close
from ..reactor.deadlines import DeadlineQueue
from ..reactor.poller import READ
from ..reactor.reactor import Reactor
from ..safe_logger import SafeLogger
from ..throttled_logger import ThrottledLogger
from .context import Endpoint

logger = SafeLogger(logging.getLogger("waitress"))

# In which a header must have arrived. The protocol asks for 3 at least: a lost segment is sent again by then. Doubled:
# a peer that says nothing holds a place for twice as long. Halved: a header that was lost once closes its connection.
HEADER_SECONDS = 3.0
# After which the longest makes room for another client. It is that of a TLS handshake (see `room`).
PATIENCE_SECONDS = 1.5
LOG_SECONDS = 1.0  # at most one record in so many seconds

# (socket, address, port, endpoint, what the proxy says, bytes that are the client's)
OnClient = Callable[[socket.socket, str, str, Endpoint, ProxyInfo | None, bytes], None]


class Preludes:
    """The clients of one server that have not sent their header; `len` is their number."""

    header_seconds = HEADER_SECONDS  # attributes, so that a test can shorten them
    patience_seconds = PATIENCE_SECONDS

    def __init__(
        self,
        reactor: Reactor,
        is_trusted: Callable[[str], bool],  # whether a peer is a trusted proxy
        on_client: OnClient,  # its header has arrived, or there need be none
        on_ended: Callable[[], None],  # one of them is no longer waited for
    ) -> None:
        # Set once
        self._reactor = reactor
        self._is_trusted = is_trusted
        self._on_client = on_client
        self._on_ended = on_ended
        self._deadlines = reactor.add_deadlines(DeadlineQueue["_Prelude"](self.header_seconds, self._on_overdue))
        self._waiting: dict[int, _Prelude] = {}
        self._log = ThrottledLogger(logger, LOG_SECONDS)

    def __len__(self) -> int:
        return len(self._waiting)

    def start(self, accepted: socket.socket, host: str, port: str, endpoint: Endpoint) -> None:
        """Wait for the header of a client that has been accepted."""
        if self._is_trusted(host):
            prelude = _Prelude(self, accepted, host, port, endpoint)
            self._waiting[prelude.descriptor] = prelude
            self._reactor.handlers[prelude.descriptor] = prelude
            self._deadlines.arm(prelude.descriptor, self._reactor.now)
            self._reactor.watch(prelude, READ)
        elif endpoint.proxy_mode == "required":
            close(accepted)
            self._refuse(host, "it is not in trusted_proxy")
        else:
            self._on_client(accepted, host, port, endpoint, None, b"")

    def read(self, prelude: "_Prelude") -> None:
        """Read what has arrived."""
        accepted, host, port, endpoint = prelude.client
        try:
            header = prelude.reader.read()
        except Disconnected:  # a check whether the port is open, for example
            self._close(prelude)
        except ProxyProtocolError as error:
            if isinstance(error, NoProxyHeader) and endpoint.proxy_mode == "optional":
                self._pass_on(prelude)
            else:
                self._close(prelude)
                self._refuse(host, error.detail)
        else:
            if header is not None:
                client = client_of(header) or (host, port)
                self._forget(prelude)
                self._on_client(accepted, *client, endpoint, ProxyInfo(header), b"")

    def _on_overdue(self, prelude: "_Prelude") -> None:
        self.read(prelude)  # the server may have been held up: the header has come in time, and nobody has read it
        if prelude.descriptor not in self._waiting or self._waiting[prelude.descriptor] is not prelude:
            return
        if prelude.client[3].proxy_mode == "optional":
            self._pass_on(prelude)
        else:
            self._close(prelude)
            self._refuse(prelude.client[1], f"no PROXY protocol header within {self.header_seconds:g} seconds")

    def _pass_on(self, prelude: "_Prelude") -> None:
        """The client has sent no header, and need not."""
        self._forget(prelude)
        self._on_client(*prelude.client, None, prelude.reader.held)

    def _refuse(self, host: str, reason: str) -> None:
        self._log.log(logging.WARNING, self._reactor.now, "Connection from %s closed: %s", host, reason)

    def _forget(self, prelude: "_Prelude") -> None:
        self._reactor.watch(prelude, 0)
        self._reactor.handlers.pop(prelude.descriptor, None)
        self._deadlines.disarm(prelude.descriptor)
        del self._waiting[prelude.descriptor]

    def _close(self, prelude: "_Prelude") -> None:
        self._forget(prelude)
        close(prelude.client[0])
        self._on_ended()

    def close_longest(self) -> bool:
        """Close the client that has waited longest, if that is long enough, because another one waits for its place.

        Return whether one has ended. What has come, and was not read yet, is read first.
        """
        while (longest := self._deadlines.longest_armed()) is not None:
            descriptor, since = longest
            if self._reactor.now - since < self.patience_seconds:
                break
            prelude = self._waiting[descriptor]
            self.read(prelude)
            if self._waiting.get(descriptor) is prelude:
                self._close(prelude)
                return True
        return False

    def close_all(self) -> None:
        """Read once more from each client, and close those that have not sent their header."""
        for prelude in list(self._waiting.values()):
            self.read(prelude)
        for prelude in list(self._waiting.values()):
            self._close(prelude)

    def abandon_after_fork(self) -> None:
        """Close a forked child's copies of the sockets."""
        for prelude in self._waiting.values():
            close(prelude.client[0])

    def fail(self, prelude: "_Prelude") -> None:
        """A call from the reactor has raised."""
        if self._waiting.get(prelude.descriptor) is prelude:
            self._close(prelude)


class _Prelude:
    """One client, as the reactor sees it."""

    __slots__ = ("_preludes", "client", "descriptor", "interest", "reader")

    def __init__(self, preludes: Preludes, accepted: socket.socket, host: str, port: str, endpoint: Endpoint) -> None:
        self._preludes = preludes
        self.client = accepted, host, port, endpoint
        self.descriptor = accepted.fileno()
        self.interest = 0  # by Reactor.watch
        self.reader = HeaderReader(accepted)

    def __repr__(self) -> str:
        return f"<Prelude {self.client[1]}:{self.client[2]}>"

    def on_ready(self, readiness: int) -> None:
        """Bytes have arrived, or the connection has ended."""
        self._preludes.read(self)

    def on_notify(self) -> None:
        """Do nothing: no task has to do with it."""

    def on_fault(self) -> None:
        """A call from the reactor has raised."""
        self._preludes.fail(self)
