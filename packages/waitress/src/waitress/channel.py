"""The connection of a client, by the names of waitress 3.0.

For programs that read `server.active_channels`, close what `server._map` holds, derive a `channel_class` (to see what
is received, or to wrap each request), or catch `ClientDisconnected`.

A channel is the view that a program has of a connection of `waitress_core`; the threads of that serve the socket.
"""

import socket
import time
from collections import deque
from typing import TYPE_CHECKING, Any

from waitress_core import Adjustments
from waitress_core.connection.connection import Connection
from waitress_core.connection.sender import ClientDisconnected
from waitress_core.connection.states import Ending
from waitress_core.http.request import Request
from waitress_core.http.response import Response
from waitress_core.safe_logger import contained
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_core.wsgi.task_kinds import task_kind

from ._entries import BY_REACTOR, Entry
from ._lazy import LazyAttribute
from ._left_out import LeftOut
from ._modules import old_module
from ._replacements import are_unchanged, is_ours, is_replaced, own_attributes, replaceable
from .task import ErrorTask, Task, WSGITask, logged

if TYPE_CHECKING:
    from waitress_core.observability.access_log import AccessLog, Exchange

    from ._parsing import ProgramParser, TappedParser
    from ._protocols import ChannelServer
    from .parser import HTTPRequestParser

__all__ = ["ClientDisconnected", "HTTPChannel"]


def _parser_class() -> "type[HTTPRequestParser]":
    from .parser import HTTPRequestParser  # lazy import: a server makes a parser only for a program that asks for one

    return HTTPRequestParser


@replaceable
class HTTPChannel(Entry):
    """One client; `task_class` answers its requests. Any thread may read it, and close it."""

    __slots__ = ("__dict__", "__weakref__", "connection", "creation_time", "server", "socket")

    parser_class = LazyAttribute(_parser_class)
    error_task_class: type[Task] = ErrorTask
    task_class: type[Task] = WSGITask
    _tap: "TappedParser | ProgramParser | None" = None  # where a program sees, or changes, what is received
    _is_end_known = False  # to the program: `handle_close` was called, or it closed the channel
    _task: Any = None  # of the request that runs, or of the last one

    def __init__(
        self, server: "ChannelServer", sock: Any, addr: Any, adj: Adjustments, map: dict[int, Any] | None = None
    ) -> None:
        self.server: Any = server  # a BaseWSGIServer, for programs
        self.socket = sock
        try:
            self.connection: Connection = server.arriving
        except AttributeError:
            raise TypeError(
                f"an HTTPChannel is made by a server that runs, for a client that it has accepted, and not for "
                f"{type(server).__name__}: to answer requests by hand, make a task (waitress.task) for an object of "
                "your own in place of a channel"
            ) from None
        self.creation_time = time.time()  # when the client was accepted, or the map first looked at
        # As `is_ours` does, which would cost each connection 1 % of its instructions. Of the class alone: to search the
        # object would make its `__dict__`, 64 bytes for each idle connection.
        if server.has_program_parser or type(self).received is not _RECEIVED:
            self._tap = self._make_tap(adj)
            self.connection.use_parser(self._tap)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {self.connection!r}>"

    # --- its present state

    @property
    def addr(self) -> tuple[str, int | None]:
        """Address and port of the client; `("localhost", None)` on a unix socket."""
        port = self.connection.remote_port
        return self.connection.remote_addr, int(port) if port else None

    @addr.setter
    def addr(self, value: Any) -> None:
        host, port = value[:2]
        self.connection.remote_addr, self.connection.remote_port = host, "" if port is None else str(port)

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
        """The request with the body that is arriving."""
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
    def current_outbuf_count(self) -> int:
        """The same: there is one buffer."""
        return self.total_outbufs_len

    @property
    def sendbuf_len(self) -> int:
        """Bytes that the system takes before the client has read them, as far as it says."""
        size: int = self.socket.getsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF)
        return size

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

    @property
    def _fileno(self) -> int:
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
        # The test of `is_replaced`, without its search of the classes
        if self._is_end_known or self.handle_close == _HANDLE_CLOSE.__get__(self):
            return
        self._is_end_known = True
        try:
            self.handle_close()
        except BaseException:  # the program's; the server has more to do at this end
            with contained:
                self.logger.exception("Exception in handle_close of %r", self)

    def _make_tap(self, adj: Adjustments) -> "TappedParser | ProgramParser":
        from ._parsing import ProgramParser, TappedParser  # lazy import: few programs replace anything of a parser

        tap = None if is_ours(type(self), "received") else self.received
        if not self.server.has_program_parser:
            return TappedParser(adj, tap or self.received)
        has_error_tasks = is_replaced(self, "error_task_class") or not are_unchanged(ErrorTask)
        return ProgramParser(lambda: self.parser_class(self.adj), tap, has_error_tasks=has_error_tasks)

    # --- what a program may override

    def received(self, data: bytes) -> bool:
        """Receive bytes of the client. A subclass may change them; without one nothing calls this.

        Thread: the leader, which must not be kept waiting.
        """
        if self._tap is None or not data:
            return False
        self._tap.feed(data)
        return True

    def add_channel(self, map: dict[int, Any] | None = None) -> None:
        """Enter a map, by default the server's. The server calls this when the client has been accepted."""
        self.server.enter_channel(self, map)

    def del_channel(self, map: dict[int, Any] | None = None) -> None:
        """Leave a map, by default the server's. The server calls this when the connection ends."""
        self.server.leave_channel(self, map)

    handle_read = LeftOut(f"{BY_REACTOR}; override `received` to see what a client sends")
    handle_write = LeftOut(f"{BY_REACTOR}; override `write_soon` to see what is sent")
    send_continue = LeftOut(f"{BY_REACTOR}, and send 100 (Continue)")
    sent_continue = LeftOut(f"{BY_REACTOR}, and send 100 (Continue)")
    close_when_flushed = LeftOut("set `close_on_finish` of the task, or `will_close`")
    outbufs = LeftOut("output is kept by waitress_core; `total_outbufs_len` is its size")
    outbuf_lock = LeftOut("output is kept by waitress_core, which has its own lock")
    requests_lock = LeftOut("requests are kept by waitress_core, which needs no lock for them")
    _flush_exception = LeftOut(BY_REACTOR)
    _flush_outbufs_below_high_watermark = LeftOut(BY_REACTOR)
    _flush_some = LeftOut(BY_REACTOR)
    _flush_some_if_lockable = LeftOut(BY_REACTOR)
    task_lock = LeftOut("one request of a channel runs at a time; it needs no lock")

    def service(self) -> None:
        """Answer the waiting request. Thread: an application thread."""
        request, exchange = self._waiting.popleft()
        try:
            try:
                self._task = task = self._task_of(request, exchange)
            except BaseException:
                self._give_up(request, exchange)
                raise
            try:
                task.service()
            except BaseException:
                task.end_unless_served(has_failed=True)
                raise
            task.end_unless_served(has_failed=False)
        finally:
            self._taken.remove(request)

    def time_out(self) -> None:
        """Give up the request that runs. Thread: the leader."""
        time_out = getattr(self._task, "time_out", None)
        if time_out is not None:
            time_out()

    def refuse(self, rule: str, reason: str) -> None:
        """Answer the waiting request with 503, because of the setting `rule`. Thread: the leader."""
        request, exchange = self._waiting.popleft()
        try:
            self._task_of(request, exchange).refuse(rule, reason)
        except BaseException:  # the program's: the connection ends, as its reactor sees the exception too
            self.connection.exchange = exchange  # another thread writes its line
            self._give_up(request, None)
            raise
        finally:
            self._taken.remove(request)

    def cancel(self) -> None:
        """Give up the waiting request, because the server ends."""
        request, exchange = self._waiting.popleft()
        self._taken.remove(request)
        self._give_up(request, exchange)

    def _task_of(self, request: "HTTPRequestParser", exchange: "Exchange | None") -> Task:
        kind = self.task_class if request.error is None else self.error_task_class
        if exchange is not None:
            kind = logged(kind)
        task: Any = task_kind(kind, self.adj)(self, request)
        if exchange is not None:
            task.follow(exchange)
        if request.error is not None:
            task.set_close_on_finish()  # what comes after a fault means nothing
        made: Task = task
        return made

    def _give_up(self, request: "HTTPRequestParser", exchange: "Exchange | None") -> None:
        try:
            request.close()
            if exchange is not None:
                exchange.end(self.connection.sender.sent_bytes)
                exchange.service()
        finally:
            self.connection.finish(Ending.CLOSE, Response("1.1", request.command, False, None))

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
        if self.server.has_program_parser:
            assert self._tap is not None  # it was made with the channel
            parser = self._tap.parser_of(request)
        else:
            parser = _parser_class().of_request(self.adj, request, completed=True)
        exchange = None
        if access_log is not None:
            sent_bytes = self.connection.sender.sent_bytes
            exchange = access_log.start(self.connection.remote_addr, request.head, "", sent_bytes, self.connection.tls)
        self._taken.append(parser)
        self._waiting.append((parser, exchange))
        return self


_RECEIVED: Any = own_attributes(HTTPChannel)["received"]
_HANDLE_CLOSE: Any = own_attributes(Entry)["handle_close"]

old_module(
    __name__,
    "HTTPRequestParser InternalServerError OverflowableBuffer ReadOnlyFileBasedBuffer threading traceback wasyncore",
)
