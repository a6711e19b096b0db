"""The servers, by the names of waitress 3.0: those of `waitress_core`, with its constructors and ways to stop.

For programs that derive a server or stop one from another thread (WebTest, plone.testing, Anki, ycmd), wrap its
constructor (the agent of New Relic), or read what is open.

`_map` has an entry for each thing that is open (see `_entries`). A server ends when its map has become empty. What a
program may replace is in `_replacements`.
"""

import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from types import ModuleType
from typing import TYPE_CHECKING, Any

import waitress_core
from waitress_core import Task, TaskSink
from waitress_core.config.addresses import AF_UNIX, ListenAddress, bracketed
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import State
from waitress_core.http.request import Request
from waitress_core.net.binding import naming, open_listeners, reuse_address, separate_families
from waitress_core.net.listener import Listener
from waitress_core.server import server_class_for
from waitress_core.wsgi.environ import EnvironBuilder

from ._dispatcher import ServerDispatcher
from ._entries import Entry, Listening
from ._lazy import LazyAttribute
from ._replacements import are_unchanged, is_replaced, replaceable
from .adjustments import Adjustments
from .buffers import ReadOnlyFileBasedBuffer
from .channel import HTTPChannel
from .task import Task as ChannelTask
from .task import WSGITask
from .trigger import trigger

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from waitress_core.observability.access_log import AccessLog

__all__ = ["BaseWSGIServer", "MultiSocketServer", "TcpWSGIServer", "WSGIServer", "create_server"]


def _wasyncore() -> ModuleType:
    from . import wasyncore  # lazy import: serving needs none of it

    return wasyncore


@replaceable
class BaseWSGIServer(waitress_core.BaseWSGIServer, Entry):
    """A server; the settings come as `adj` or as keyword arguments.

    It listens on `_sock`, which the caller closes, or on `sockinfo`, one entry of `Adjustments.listen`, or where the
    settings say. With `bind_socket` a `_sock` without an address is bound. Without `_start` a TcpWSGIServer that makes
    its own socket does not listen before `accept_connections` or `run`.
    """

    asyncore = LazyAttribute(_wasyncore)
    socketmod = socket
    channel_class: type[HTTPChannel] = HTTPChannel
    next_channel_cleanup = 0.0  # when `maintenance` is called next

    def __init__(
        self,
        application: "WSGIApplication",
        map: dict[int, Any] | None = None,
        _start: bool = True,
        _sock: socket.socket | None = None,
        dispatcher: TaskSink | None = None,
        adj: waitress_core.Adjustments | None = None,
        sockinfo: tuple[Any, ...] | None = None,
        bind_socket: bool = True,
        **adjustments: Any,
    ) -> None:
        # Before the base class, which calls what a subclass may override, such as `bind`.
        self._starts = _start
        self._given_socket = _sock
        self._given_address = None if sockinfo is None else ListenAddress(*sockinfo)
        self._binds_socket = bind_socket
        self._is_emptied = False
        self._thunks: deque[Callable[[], object]] = deque()  # appended to by any thread
        self.trigger = trigger(self._call_soon)
        # Leader thread only: the connection that `channel_class` is called for
        self.arriving: Connection
        self._channels: dict[Connection, HTTPChannel] = {}  # one that is off the map may still have a request
        self._map: dict[int, Any] = {} if map is None else map  # any thread, and programs: see `_map_lock`
        # Without it another thread could enter a descriptor between the check and the pop of `_unregister`. Reentrant,
        # because a signal handler may close the server in between.
        self._map_lock = threading.RLock()
        super().__init__(application, dispatcher, Adjustments(**adjustments) if adj is None else adj)
        self._entries = {listener.descriptor: self._entry(listener) for listener in self._listeners}
        self._map.update(self._entries)
        self._own_dispatcher: ServerDispatcher | None = None
        if dispatcher is None:
            self._own_dispatcher = self.task_dispatcher = ServerDispatcher(self._dispatcher, self._end_within)

    # --- listening

    def _open(self, adj: waitress_core.Adjustments) -> list[Listener]:
        sock, address = self._given_socket, self._given_address
        if sock is not None:
            if self._binds_socket and _is_unbound(sock):
                sock.bind((address or adj.listen[0]).address)
            sock.listen(adj.backlog)
            self.accepting = True
            return [Listener(sock, owns_socket=False)]
        self.accepting = True
        if address is not None and address.family != AF_UNIX:
            return open_listeners(adj, [address])
        return super()._open(adj)

    def _entry(self, listener: Listener) -> Any:
        """Return what the map holds for a listener."""
        return Listening(self, listener)

    def accept_connections(self) -> None:
        """Listen."""
        for listener in self._listeners:
            listener.socket.listen(self.adj.backlog)
        self.accepting = True

    def getsockname(self) -> tuple[str, str]:
        """Return address and port that are listened on, or `unix` and the path; of several, the first."""
        return self._listeners[0].host, self._listeners[0].port

    def print_listen(self, format_str: str) -> None:
        """Log one line for each listener: `format_str` takes host and port, as in `http://{}:{}`."""
        for listener in self._listeners:
            self.logger.info(format_str.format(*listener.url_authority))

    def handle_connect(self) -> None:
        """Do nothing, and nothing calls this: a listening socket never connects."""

    def set_socket_options(self, conn: Any) -> None:
        """Set options of an accepted socket, in addition to `Adjustments.socket_options`: for a subclass."""

    # --- serving

    def _begin(self) -> None:
        if not self.accepting:
            self.accept_connections()
        sink = self._sink()
        if sink is not None:
            self._dispatcher.hand_off_all_to(sink)
        super()._begin()

    def _end(self) -> None:
        super()._end()
        # A program that closes its server may give the dispatcher to another one; a signal ends both.
        if self._own_dispatcher is None and any(request.is_signal for request in self._stop_requests):
            shutdown = getattr(self.task_dispatcher, "shutdown", None)
            if shutdown is not None:
                shutdown()

    def add_task(self, task: Task) -> None:
        """Queue a task for the application threads."""
        self.task_dispatcher.add_task(task)

    def _sink(self) -> Callable[[Task], None] | None:
        """Return the `add_task` by which a program wants to see every task; None without one."""
        if is_replaced(self, "add_task"):
            return self.add_task
        own = self._own_dispatcher
        if self.task_dispatcher is own and (own is None or not is_replaced(own, "add_task")):
            return None
        sink: Callable[[Task], None] = self.task_dispatcher.add_task
        return sink

    def task_factory(
        self, environ_builder: EnvironBuilder, access_log: "AccessLog | None"
    ) -> Callable[[Connection, Request], Task]:
        """Return what makes the task of a request: the core's, unless a program has replaced something."""
        environ_builder.offer("wsgi.file_wrapper", ReadOnlyFileBasedBuffer)
        fast = super().task_factory(environ_builder, access_log)
        is_stock = are_unchanged(self.channel_class, ChannelTask, WSGITask)
        if is_stock and self._own_dispatcher is not None and self._sink() is None:
            return fast

        def task_of(connection: Connection, request: Request) -> Task:
            channel = self._channels.get(connection)
            if isinstance(channel, HTTPChannel):
                return channel.take(request, environ_builder, access_log)
            return fast(connection, request)

        return task_of

    def on_opened(self, connection: Connection, accepted: socket.socket) -> None:
        """Make the channel of a connection."""
        self.set_socket_options(accepted)
        self.arriving = connection
        peer = (connection.remote_addr, int(connection.remote_port) if connection.remote_port else None)
        channel = self.channel_class(self, accepted, peer, self.adj, self._map)
        self._channels[connection] = channel
        with self._map_lock:
            self._map[connection.descriptor] = channel

    def on_closed(self, connection: Connection) -> None:
        """Release a connection's channel."""
        channel = self._channels.pop(connection, None)
        self._unregister_channel(connection)
        if isinstance(channel, HTTPChannel):
            channel.on_closed()

    # --- the map, from any thread

    def _unregister(self, descriptor: int, entry: object) -> None:
        """Take this off the map, unless the descriptor is another's already."""
        with self._map_lock:
            if self._map.get(descriptor) is entry:
                self._map.pop(descriptor, None)

    def _unregister_channel(self, connection: Connection) -> None:
        """Take a connection's channel off the map."""
        entry = self._map.get(connection.descriptor)
        if getattr(entry, "connection", None) is connection:
            self._unregister(connection.descriptor, entry)

    @property
    def active_channels(self) -> dict[int, Any]:
        """The channels by descriptor; empty unless the server runs."""
        entries = self._map.copy()  # in one step: other threads change it
        return {key: entry for key, entry in entries.items() if isinstance(entry, HTTPChannel) and entry.server is self}

    # --- the thread that waits for the server

    def while_waiting(self) -> None:
        """Call thunks and `maintenance`; end when the map is empty."""
        while self._thunks:
            try:
                self._thunks.popleft()()
            except Exception:
                self.logger.exception("exception in trigger thunk")
        now = time.time()
        if now >= self.next_channel_cleanup:
            self.next_channel_cleanup = now + self.adj.cleanup_interval
            self.maintenance(now)
        self._end_if_emptied()

    def _end_if_emptied(self) -> None:
        if not self._map and not self._is_emptied:
            self._is_emptied = True
            self._request_stop(State.CLOSING, self.close_seconds)

    def maintenance(self, now: float) -> None:
        """Called once in `cleanup_interval` by the thread that waits for the server: for a subclass."""

    def pull_trigger(self) -> None:
        """Wake the thread that waits for the server."""
        self._call_soon(lambda: None)

    def _call_soon(self, thunk: Callable[[], object]) -> None:
        self._thunks.append(thunk)
        if self._run is not None:
            self._run.wake_waiter()

    # --- ending, from any thread

    def end_channel(self, connection: Connection) -> None:
        """End a connection soon, and take its channel off the map at once."""
        self._unregister_channel(connection)
        if self._run is not None:
            self._run.call_soon_threadsafe(connection.close)
        self._end_if_emptied()

    def end_listening(self, listener: Listener) -> None:
        """Accept no more from one of the listeners, and take it off the map at once."""
        self._unregister(listener.descriptor, self._entries[listener.descriptor])
        run = self._run
        if run is None:
            if listener in self._listeners:
                self._listeners.remove(listener)
            listener.close()
        else:
            run.call_soon_threadsafe(lambda: run.manager.remove_listener(listener))
        self._end_if_emptied()

    def _close_listeners(self) -> None:
        super()._close_listeners()
        for descriptor, entry in self._entries.items():
            self._unregister(descriptor, entry)

    def abandon_after_fork(self) -> None:
        """In a forked child: release what is the parent's."""
        self._map_lock = threading.RLock()  # another thread may have held it
        super().abandon_after_fork()

    def _end_within(self, seconds: float) -> None:
        """End a server that runs. Running applications get `seconds` seconds."""
        if self._has_run.locked():
            self._request_stop(State.CLOSING, seconds)
            self._await_end(seconds)

    # --- as the loop of `wasyncore` sees it

    @property
    def loop_host(self) -> "BaseWSGIServer":
        """The server that the loop is to start."""
        return self

    # Not by `start` and `close`: a subclass may override them, and call the loop there.

    def start_in_loop(self) -> None:
        """Serve in the background, if that has not started."""
        if not self._has_run.locked():
            waitress_core.BaseWSGIServer.start(self)

    def wait_in_loop(self, seconds: float) -> None:
        """Wait for the end, for at most so many seconds."""
        self._ended.wait(seconds)

    def end_in_loop(self) -> None:
        """End the server."""
        waitress_core.BaseWSGIServer.close(self)


def _is_unbound(sock: socket.socket) -> bool:
    try:
        name = sock.getsockname()
    except OSError:  # Windows raises it for such a socket
        return True
    return not name if sock.family == AF_UNIX else not name[1]


class TcpWSGIServer(BaseWSGIServer, waitress_core.TcpWSGIServer):
    """A server on one TCP address.

    A subclass may override how its socket is made: `create_socket`, `set_reuse_addr`, `bind`.
    """

    _socket: Any = None  # while there is no listener yet

    def _entry(self, listener: Listener) -> Any:
        return self

    def _open(self, adj: waitress_core.Adjustments) -> list[Listener]:
        if self._given_socket is not None or adj.sockets or adj.unix_socket is not None:
            return super()._open(adj)  # which refuses a unix socket
        address = self._given_address or adj.listen[0]
        self.sockinfo, self.family, self.socktype = address, address.family, address.type
        host, port = address.address[:2]
        with naming(f"{bracketed(host)}:{port}"):
            self.create_socket(self.family, self.socktype)
            try:
                self.set_reuse_addr()
                separate_families(self.socket)
                if self._binds_socket:
                    self.bind_server_socket()
                if self._starts:
                    self.socket.listen(adj.backlog)
                    self.accepting = True
                return [Listener(self.socket, owns_socket=True)]
            except BaseException:
                self.socket.close()
                raise

    def create_socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> None:
        """Make the socket."""
        self.set_socket(socket.socket(family, type))

    def set_socket(self, sock: Any, map: dict[int, Any] | None = None) -> None:
        """Use this socket."""
        self.socket = sock

    def set_reuse_addr(self) -> None:
        """Let the address be bound again soon after its last use."""
        reuse_address(self.socket)

    def bind_server_socket(self) -> None:
        """Bind the socket to the address of the settings."""
        self.bind(self.sockinfo[3])

    def bind(self, addr: Any) -> None:
        """Bind the socket."""
        self.socket.bind(addr)

    @property
    def socket(self) -> Any:
        """The listening socket."""
        return self._listeners[0].socket if self._socket is None else self._socket

    @socket.setter
    def socket(self, sock: Any) -> None:
        self._socket = sock


WSGIServer = TcpWSGIServer

if AF_UNIX is not None:

    class UnixWSGIServer(BaseWSGIServer, waitress_core.UnixWSGIServer):
        """A server on a unix socket, whose path it removes at its end."""

        def _entry(self, listener: Listener) -> Any:
            return self

    __all__ += ["UnixWSGIServer"]  # where there is one


class MultiSocketServer(BaseWSGIServer, waitress_core.MultiSocketServer):
    """A server on several listeners."""

    _wrapped = TcpWSGIServer  # held here, as a program may bind its own class to that name

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        # Programs wrap the constructor of that class, to wrap the application: in 3.0 each listener was one of it.
        construct: Callable[..., None] = self._wrapped.__init__
        construct(self, *arguments, **settings)

    @property
    def map(self) -> dict[int, Any]:
        """Everything open, by descriptor."""
        return self._map


def create_server(
    application: "WSGIApplication",
    map: dict[int, Any] | None = None,
    _start: bool = True,
    _sock: socket.socket | None = None,
    _dispatcher: TaskSink | None = None,
    **adjustments: Any,
) -> BaseWSGIServer:
    """Make the server that the settings ask for, listening: on a unix socket, on one address, or on several.

    `map` is a dict in which the server keeps everything open, by descriptor: a server ends when its map is emptied.
    Requests go to `_dispatcher`, if it is given. `_sock` is a socket to listen on. Without `_start` one TCP address is
    bound, but does not listen before `run`.

    Raises:
        ValueError: the settings, or an application that is None.
        OSError: an address that cannot be had; nothing stays open.
    """
    adj = Adjustments(**adjustments)
    unix = BaseWSGIServer if AF_UNIX is None else UnixWSGIServer  # the former raises what the system lacks
    # By the names of this module, where programs put their own classes, or wrap the constructors.
    kind: type[BaseWSGIServer] = server_class_for(adj, TcpWSGIServer, unix, MultiSocketServer)
    return kind(application, map, _start, _sock, _dispatcher, adj)
