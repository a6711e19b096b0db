"""What all connections of a server share: its settings and state, its reactor and dispatcher, their deadlines.

Also the `Endpoint`: what a connection has from the listener that it came in by.
"""

import enum
import logging
import socket
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, Final, Protocol

from waitress_parser import Limits, RequestParser

from ..config.adjustments import Adjustments
from ..http.request import Request
from ..net.listener import Listener
from ..net.transport import Transport
from ..observability.stats import Counters
from ..reactor.deadlines import DeadlineQueue
from ..reactor.reactor import Reactor
from ..safe_logger import SafeLogger
from ..threads.tasks import Task
from ..throttled_logger import ThrottledLogger
from .states import BODY, FLUSH, HANDSHAKE, HEAD, IDLE, LINGER, PENDING, ReceiveState, SendState

if TYPE_CHECKING:
    from ..observability.access_log import AccessLog
    from ..observability.refusals import Refusals
    from ..observability.request_measures import RequestMeasures

logger = SafeLogger(logging.getLogger("waitress"))

BODY_READ_BYTES = 512 * 1024  # of a body in one read, into one buffer that all connections use
RATE_SECONDS = 1.0  # between two checks of a slow body or a slow reader
OTHER_PROTOCOL_LOG_SECONDS = 60.0  # between two records of such clients: a browser that starts TLS tries again at once


class State(enum.IntEnum):
    """What a server does; it only ever moves to a higher state. `lifecycle.states` says what moves it."""

    READY = 0
    SERVING = 1
    LEAVING = 2
    DRAINING = 3
    CLOSING = 4
    CLOSED = 5


# Every request uses them: see `states`.
LEAVING: Final = State.LEAVING
DRAINING: Final = State.DRAINING
CLOSING: Final = State.CLOSING


class HasDeadlines(Hashable, Protocol):
    """A connection, as its deadlines see it. Thread: the leader."""

    def on_receiving_overdue(self) -> None:
        """The deadline of the receiving side is over."""

    def on_sending_overdue(self) -> None:
        """The deadline of the sending side is over."""


def _receiving_overdue(connection: HasDeadlines) -> None:
    connection.on_receiving_overdue()


def _sending_overdue(connection: HasDeadlines) -> None:
    connection.on_sending_overdue()


class AcceptShare(Protocol):
    """What workers that accept from the same listeners know of each other. Thread: the leader."""

    def note(self, connections: int, *, accepts: bool) -> None:
        """Report to the others how many connections are open here, and whether this worker accepts."""

    def is_dismissed(self) -> bool:
        """Whether this worker is to retire: it does so in its next tick."""

    def has_more_than_others(self) -> bool:
        """Whether the next clients should be accepted by another worker, which is there to do so."""


class Endpoint:
    """A listener, and what becomes of the clients that it accepts. A transport other than plain TCP goes in here."""

    __slots__ = ("listener", "make_task", "open_transport", "proxy_mode")

    def __init__(
        self,
        listener: Listener,
        *,
        open_transport: Callable[[socket.socket], Transport],  # OSError: the client has left already
        make_task: "Callable[[Any, Request], Task]",  # of a connection and its complete request
        proxy_mode: str = "off",  # whether clients start with a PROXY protocol header: "off", "optional", "required"
    ) -> None:
        self.listener = listener
        self.open_transport = open_transport
        self.make_task = make_task
        self.proxy_mode = proxy_mode


class ServerContext:
    """What the connections of one run share."""

    def __init__(
        self,
        adj: Adjustments,
        reactor: Reactor,
        *,
        submit: Callable[[Task], None],  # reactor only: run this task between two turns
        yield_leadership: Callable[[], None],  # from a task: it is about to block
        resume_leadership: Callable[[], bool],  # from a task, at its end: whether its thread is the leader again
        waiting_requests: Callable[[], int] = lambda: 0,  # that no thread is free for
        access_log: "AccessLog | None" = None,
        share: AcceptShare | None = None,  # with several workers
        is_trusted_proxy: Callable[[str], bool] = lambda peer: False,
        measures: "RequestMeasures | None" = None,
    ) -> None:
        # Set once, read anywhere
        self.adj = adj
        self.reactor = reactor
        self.submit = submit
        self.yield_leadership = yield_leadership
        self.resume_leadership = resume_leadership
        self.waiting_requests = waiting_requests
        self.is_trusted_proxy = is_trusted_proxy
        self.access_log = access_log
        self.share = share
        self.measures = measures
        self.parser_limits = parser_limits(adj)
        # Reactor only
        self.counters = Counters()
        self.refusals = _make_refusals(adj, reactor.clock)
        self.shared_parser: RequestParser | None = None  # the next connection that receives a byte takes it
        self.read_buffer = memoryview(bytearray(BODY_READ_BYTES))  # used within one call
        self.idle = self._add_deadlines(adj.channel_timeout)
        self.handshake = self._add_deadlines(adj.tls_handshake_timeout)
        head = self._add_deadlines(adj.request_head_timeout)
        self.body = self._add_deadlines(RATE_SECONDS)
        self.output = self._add_deadlines(RATE_SECONDS, _sending_overdue)
        linger = self._add_deadlines(adj.linger_timeout)
        self._tls_clients = ThrottledLogger(logger, OTHER_PROTOCOL_LOG_SECONDS)
        self._proxy_headers = ThrottledLogger(logger, OTHER_PROTOCOL_LOG_SECONDS)
        # By state: the deadline that entering it arms, and leaving it disarms
        receiving = {HANDSHAKE: self.handshake, IDLE: self.idle, HEAD: head, BODY: self.body, LINGER: linger}
        sending = {PENDING: self.output, FLUSH: self.output}
        self.receive_deadlines = tuple(receiving.get(state) for state in ReceiveState)
        self.send_deadlines = tuple(sending.get(state) for state in SendState)
        # Written by lifecycle only, by the leader; read anywhere
        self.state = State.READY
        # Written by the acceptor only, by the leader; read anywhere: a client waits, and there is no room for it
        self.is_full = False

    def _add_deadlines(
        self, seconds: float, on_due: Callable[[HasDeadlines], None] = _receiving_overdue
    ) -> DeadlineQueue[HasDeadlines]:
        return self.reactor.add_deadlines(DeadlineQueue(seconds, on_due))

    def take_parser(self) -> RequestParser:
        """Return a parser that is as new, for one connection alone."""
        parser = self.shared_parser
        if parser is None:
            return RequestParser(self.parser_limits)
        self.shared_parser = None
        return parser

    def log_other_protocol(self, speaks: str, remote_addr: str) -> None:
        """Log, once in OTHER_PROTOCOL_LOG_SECONDS for each protocol, what a client speaks. Thread: the leader."""
        if speaks == "TLS":
            self._tls_clients.log(
                logging.WARNING,
                self.reactor.now,
                "Client %s has started TLS on a port that speaks plain HTTP: use http:// in its URL, or for its proxy."
                " This is logged once a minute at most.",
                remote_addr,
            )
        else:
            self._proxy_headers.log(
                logging.WARNING,
                self.reactor.now,
                "Client %s has sent a PROXY protocol header, which is not expected from it: if it is your proxy, set"
                " proxy_protocol, and add its address to trusted_proxy. This is logged once a minute at most.",
                remote_addr,
            )


def _make_refusals(adj: Adjustments, clock: Callable[[], float]) -> "Refusals | None":
    if not (adj.queue_limit or adj.queue_timeout):
        return None
    from ..observability.refusals import Refusals  # lazy import: only servers that refuse requests need it

    return Refusals(clock)


def parser_limits(adj: Adjustments) -> Limits:
    """Return the parser's limits, in bytes, that the settings ask for."""
    return Limits(max_head_bytes=adj.max_request_header_size, max_body_bytes=adj.max_request_body_size)
