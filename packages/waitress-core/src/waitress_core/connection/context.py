"""What the connections of one server share: its settings, what they ask of reactor and dispatcher, their deadlines.

Knows connections only as its deadlines do. Set once, before the first connection, but for the flags.
"""

from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

from waitress_parser import Limits

from ..config.adjustments import Adjustments
from ..http.request import Request
from ..observability.stats import Counters
from ..reactor.deadlines import DeadlineQueue
from ..reactor.reactor import Reactor
from ..threads.tasks import Task
from .sender import SenderContext

if TYPE_CHECKING:
    from ..observability.access_log import AccessLog

BODY_READ_BYTES = 256 * 1024  # of a body in one read, into one buffer that all connections use
PACE_SECONDS = 1.0  # slow bodies and slow readers are looked at so often


class HasDeadlines(Hashable, Protocol):
    """A connection, as its deadlines see it; each call comes from the holder of the lead."""

    def on_overdue(self) -> None:
        """The time for a request to arrive is up."""

    def on_body_pace(self) -> None:
        """Look whether a body keeps its minimum rate."""

    def on_output_pace(self) -> None:
        """Look whether the client takes its response."""

    def close(self) -> None:
        """End the connection now."""


Client = TypeVar("Client", bound=HasDeadlines)


class ServerContext(Generic[Client]):
    """What the connections of a server share."""

    def __init__(
        self,
        adj: Adjustments,
        reactor: Reactor,
        make_task: Callable[[Client, Request], Task],
        submit: Callable[[Task], None],  # from the holder of the lead: run this task between two turns
        yield_leadership: Callable[[], None],  # from a task: it is about to block
        access_log: "AccessLog | None" = None,
    ) -> None:
        self.adj = adj
        self.reactor = reactor
        self.make_task = make_task
        self.submit = submit
        self.remove: Callable[[Client], None] = _nothing  # called when a connection has ended
        self.access_log = access_log
        self.counters = Counters()
        self.limits = parser_limits(adj)
        self.sender = SenderContext(adj, reactor.notify, yield_leadership, submit)
        # Written by the holder of the lead, read by tasks: responses say that their connections end
        self.is_leaving = False  # the server is going to end
        self.is_draining = False  # it is ending, and no connection stays for another request
        self.is_closing = False  # and begins no further request
        self.is_full = False  # a client waits, and there is no room for its connection
        # The holder of the lead only
        self.read_buffer = memoryview(bytearray(BODY_READ_BYTES))  # used within one call
        self.idle: DeadlineQueue[Client] = DeadlineQueue(adj.channel_timeout, _close)
        self.head: DeadlineQueue[Client] = DeadlineQueue(adj.request_head_timeout, lambda client: client.on_overdue())
        self.body: DeadlineQueue[Client] = DeadlineQueue(PACE_SECONDS, lambda client: client.on_body_pace())
        self.output: DeadlineQueue[Client] = DeadlineQueue(PACE_SECONDS, lambda client: client.on_output_pace())
        self.linger: DeadlineQueue[Client] = DeadlineQueue(adj.linger_timeout, _close)
        self.deadlines = (self.idle, self.head, self.body, self.output, self.linger)


def parser_limits(adj: Adjustments) -> Limits:
    """Return the parser's limits, in bytes, that the settings ask for."""
    return Limits(max_head_bytes=adj.max_request_header_size, max_body_bytes=adj.max_request_body_size)


def _nothing(client: HasDeadlines) -> None:
    pass


def _close(client: HasDeadlines) -> None:
    client.close()
