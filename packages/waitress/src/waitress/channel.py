"""The connection of a client, by the names of waitress 3.0.

For programs that read `server.active_channels`, close what `server._map` holds, derive a `channel_class` (to see what
is received, or to wrap each request), or catch `ClientDisconnected`.

A channel is the view that a program has of a connection of `waitress_core`, whose threads serve the socket.
"""

import time
from collections import deque
from typing import TYPE_CHECKING, Any

from waitress_core import Adjustments
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import parser_limits
from waitress_core.connection.sender import ClientDisconnected
from waitress_core.connection.states import Ending
from waitress_core.http.request import Request
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_parser import RequestParser

from ._entries import Entry
from ._lazy import LazyAttribute
from ._replacements import is_replaced, replaceable
from .task import ErrorTask, Task, WSGITask, logged

if TYPE_CHECKING:
    from waitress_core.observability.access_log import AccessLog, Exchange

    from ._protocols import ChannelServer
    from .parser import HTTPRequestParser

__all__ = ["ClientDisconnected", "HTTPChannel"]


def _parser_class() -> "type[HTTPRequestParser]":
    from .parser import HTTPRequestParser  # lazy import: a server makes a parser only for a program that asks for one

    return HTTPRequestParser


@replaceable
class HTTPChannel(Entry):
    """One client; `task_class` answers its requests. Any thread may read it, and close it."""

    __slots__ = ("__dict__", "__weakref__", "connection", "server", "socket")

    parser_class = LazyAttribute(_parser_class)  # replacing this one, or the next, has no effect
    error_task_class: type[Task] = ErrorTask
    task_class: type[Task] = WSGITask
    _tap: "_TappedParser | None" = None  # where a program has replaced `received`
    _is_end_known = False  # to the program: `handle_close` was called, or it closed the channel

    def __init__(
        self, server: "ChannelServer", sock: Any, addr: Any, adj: Adjustments, map: dict[int, Any] | None = None
    ) -> None:
        self.server: Any = server  # a BaseWSGIServer, for programs
        self.socket = sock
        self.connection: Connection = server.arriving
        if is_replaced(self, "received"):
            self._tap = _TappedParser(adj, self)
            self.connection.use_parser(self._tap)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection!r}>"

    # --- its present state

    @property
    def addr(self) -> tuple[str, int | None]:
        """Address and port of the client; `("localhost", None)` on a unix socket."""
        port = self.connection.remote_port
        return self.connection.remote_addr, int(port) if port else None

    @property
    def adj(self) -> Adjustments:
        """The settings of the server."""
        adj: Adjustments = self.server.adj
        return adj

    @property
    def connected(self) -> bool:
        """Whether the connection is open."""
        return not self.connection.is_gone

    @property
    def request(self) -> "HTTPRequestParser | None":
        """The request whose body is arriving."""
        incoming = self.connection.incoming
        return None if incoming is None else _parser_class().of_request(self.adj, incoming, completed=False)

    @property
    def requests(self) -> "list[HTTPRequestParser]":
        """The request that waits or runs, if there is one.

        Its content is known only if a program has replaced something of channel, task or dispatcher. Otherwise the
        list holds an empty parser.
        """
        taken: list[HTTPRequestParser] | None = self.__dict__.get("_taken")
        if taken is None:
            return [_parser_class()(self.adj)] if self.connection.state_name in ("task", "flush") else []
        return taken

    @property
    def last_activity(self) -> float:
        """When data was last received or sent, in seconds since the epoch: now, unless the connection is idle."""
        since = self.connection.idle_since
        return time.time() - (0 if since is None else time.monotonic() - since)

    @property
    def total_outbufs_len(self) -> int:
        """Bytes of output that the system has not accepted yet."""
        outbox = self.connection.sender.outbox
        return 0 if outbox is None else outbox.pending_bytes

    @property
    def will_close(self) -> bool:
        """Whether the connection is about to close; set it to True to close the connection."""
        return self.connection.is_gone or self.connection.state_name == "linger"

    @will_close.setter
    def will_close(self, value: bool) -> None:
        if value:
            self.handle_close()

    def check_client_disconnected(self) -> bool:
        """Return whether the client has ended its output, or disconnected."""
        return self.connection.is_client_gone()

    def fileno(self) -> int:
        """Return the descriptor of its socket."""
        return self.connection.descriptor

    # --- from any thread

    def close(self) -> None:
        """Close the connection. A running request notices when it sends next."""
        self._is_end_known = True
        self.server.end_channel(self.connection)

    def on_closed(self) -> None:
        """Call a `handle_close` of the program: the connection has ended. Raises nothing.

        Thread: the leader.
        """
        if self._is_end_known or not is_replaced(self, "handle_close"):
            return
        self._is_end_known = True
        try:
            self.handle_close()
        except Exception:  # the program's; the server has more to do at this end
            self.logger.exception("Exception in handle_close of %r", self)

    # --- what a program may override

    def received(self, data: bytes) -> bool:
        """Receive bytes of the client. A subclass may change them; without one nothing calls this.

        Thread: the leader, which must not be kept waiting.
        """
        if self._tap is None or not data:
            return False
        self._tap.feed(data)
        return True

    def service(self) -> None:
        """Answer the waiting request. Thread: an application thread."""
        request, exchange = self._waiting.popleft()
        try:
            try:
                task = self.task_class(self, request) if exchange is None else self._logged_task(request, exchange)
            except BaseException:
                self._give_up(request, exchange)
                raise
            task.service()
        finally:
            self._taken.remove(request)

    def cancel(self) -> None:
        """Give up the waiting request, because the server ends."""
        request, exchange = self._waiting.popleft()
        self._taken.remove(request)
        self._give_up(request, exchange)

    def _logged_task(self, request: "HTTPRequestParser", exchange: "Exchange") -> Task:
        from waitress_core.wsgi.logged_task import LoggedTask  # lazy import: only servers with an access log need it

        task = logged(self.task_class)(self, request)
        assert isinstance(task, LoggedTask)  # what `logged` is for
        task.follow(exchange)
        return task

    def _give_up(self, request: "HTTPRequestParser", exchange: "Exchange | None") -> None:
        try:
            request.close()
            if exchange is not None:
                exchange.end(self.connection.sender.sent_bytes)
                exchange.service()
        finally:
            self.connection.finish(Ending.CLOSE)

    # --- for tasks, and for the server

    def write_soon(self, data: bytes) -> int:
        """Send bytes, from a task; waits while too much is pending.

        Raises:
            ClientDisconnected: the client has disconnected.
        """
        if data:
            self.connection.sender.send(data)
        return len(data)

    def take(self, request: Request, environ_builder: EnvironBuilder, access_log: "AccessLog | None") -> "HTTPChannel":
        """Keep a request for `service`, and return its task: this channel."""
        if "_taken" not in self.__dict__:
            # One request waits at a time. `_taken` may have two: `service` of the last may not have removed it yet.
            self._waiting: deque[tuple[HTTPRequestParser, Exchange | None]] = deque()
            self._taken: list[HTTPRequestParser] = []
        self.environ_builder = environ_builder
        parser = _parser_class().of_request(self.adj, request, completed=True)
        exchange = None
        if access_log is not None:
            sent_bytes = self.connection.sender.sent_bytes
            exchange = access_log.begin(self.connection.remote_addr, request.head, "", sent_bytes)
        self._taken.append(parser)
        self._waiting.append((parser, exchange))
        return self


class _TappedParser(RequestParser):
    """A parser that passes all input through the `received` of a channel."""

    __slots__ = ("_channel",)

    def __init__(self, adj: Adjustments, channel: HTTPChannel) -> None:
        super().__init__(parser_limits(adj))
        self._channel = channel

    def receive(self, data: bytes | memoryview) -> None:
        self._channel.received(bytes(data))

    def feed(self, data: bytes) -> None:
        """Parse bytes that `received` has passed on."""
        super().receive(data)
