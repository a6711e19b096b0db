"""The connection of a client, by the names of waitress 3.0.

For programs that look at `server.active_channels`, close what `server._map` holds, derive a `channel_class` (to see
what is received, or wrap each request), or catch `ClientDisconnected`.

A channel stands beside a connection of `waitress_core`, whose sockets threads of its own serve: it is what a program
sees of it.
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
    from .parser import HTTPRequestParser  # lazy import: a server makes none before a program wants to see one

    return HTTPRequestParser


@replaceable
class HTTPChannel(Entry):
    """One client; `task_class` answers its requests. Any thread may read it, and close it."""

    __slots__ = ("__dict__", "__weakref__", "connection", "server", "socket")

    parser_class = LazyAttribute(_parser_class)  # replacing this one, or the next, has no effect
    error_task_class: type[Task] = ErrorTask
    task_class: type[Task] = WSGITask
    _tap: "_TappedParser | None" = None  # where a subclass overrides `received`
    _is_told = False  # a subclass knows that the connection has ended, or is to

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

    # --- what it is, and what it does just now

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
        """Whether it is open."""
        return not self.connection.is_gone

    @property
    def request(self) -> "HTTPRequestParser | None":
        """The request whose body is on its way."""
        incoming = self.connection.incoming
        return None if incoming is None else _parser_class().of_request(self.adj, incoming, completed=False)

    @property
    def requests(self) -> "list[HTTPRequestParser]":
        """The request that waits or runs, if there is one.

        What it asks for is known only where a program has replaced something of channel, task or dispatcher; else it
        is an empty parser that stands for it.
        """
        taken: list[HTTPRequestParser] | None = self.__dict__.get("_taken")
        if taken is None:
            return [_parser_class()(self.adj)] if self.connection.state_name in ("task", "flush") else []
        return taken

    @property
    def last_activity(self) -> float:
        """When something has come or gone last, in seconds since the epoch: now, unless it is idle."""
        since = self.connection.idle_since
        return time.time() - (0 if since is None else time.monotonic() - since)

    @property
    def total_outbufs_len(self) -> int:
        """Octets of output that the system has not taken yet."""
        outbox = self.connection.sender.outbox
        return 0 if outbox is None else outbox.pending_bytes

    @property
    def will_close(self) -> bool:
        """Whether it is about to close; set it to close."""
        return self.connection.is_gone or self.connection.state_name == "linger"

    @will_close.setter
    def will_close(self, value: bool) -> None:
        if value:
            self.handle_close()

    def check_client_disconnected(self) -> bool:
        """Whether the client has ended its output, or left."""
        return self.connection.is_client_gone()

    def fileno(self) -> int:
        """Return the descriptor of its socket."""
        return self.connection.descriptor

    # --- from any thread

    def close(self) -> None:
        """End it: as far as a running request allows, for that one is told by the next thing it sends."""
        self._is_told = True
        self.server.end_channel(self.connection)

    def on_closed(self) -> None:
        """Have a subclass know that the connection has ended, by its `handle_close`. Raises nothing.

        Thread: the holder of the lead.
        """
        if self._is_told or not is_replaced(self, "handle_close"):
            return
        self._is_told = True
        try:
            self.handle_close()
        except Exception:  # of a program; the server has more to do for this end
            self.logger.exception("Exception in handle_close of %r", self)

    # --- what a program may override

    def received(self, data: bytes) -> bool:
        """Take octets of the client, in the holder of the lead, which must not be kept waiting.

        For a subclass, which may change them. Without one nothing calls this.
        """
        if self._tap is None or not data:
            return False
        self._tap.feed(data)
        return True

    def service(self) -> None:
        """Answer the request that waits, on an application thread."""
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
        """Give up the request that waits: the server ends."""
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
        """Send octets, from a task; waits while too much is pending.

        Raises:
            ClientDisconnected: the client has left.
        """
        if data:
            self.connection.sender.send(data)
        return len(data)

    def take(self, request: Request, environ_builder: EnvironBuilder, access_log: "AccessLog | None") -> "HTTPChannel":
        """Have a request wait for `service`: give its task, which is this channel itself."""
        if "_taken" not in self.__dict__:
            # One waits at a time. A list beside it, because the last may still be about to leave when the next comes.
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
    """A parser whose octets pass by a channel's `received` first."""

    __slots__ = ("_channel",)

    def __init__(self, adj: Adjustments, channel: HTTPChannel) -> None:
        super().__init__(parser_limits(adj))
        self._channel = channel

    def receive(self, data: bytes | memoryview) -> None:
        self._channel.received(bytes(data))

    def feed(self, data: bytes) -> None:
        """Take octets that have passed."""
        super().receive(data)
