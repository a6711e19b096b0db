"""The servers, by the names of waitress 3.0: those of `waitress_core`, with its constructors and ways to stop.

For programs that derive a server or stop one from another thread (WebTest, plone.testing, Anki, ycmd), wrap its
constructor (the agent of New Relic), or read what is open.

`_map` has an entry for each thing that is open (see `_entries`). A server ends when its map has become empty. What a
program may replace is in `_replacements`.
"""

import socket
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from types import ModuleType
from typing import TYPE_CHECKING, Any

import waitress_core
from waitress_core import Dispatcher, Task, TaskSink
from waitress_core.config.addresses import AF_UNIX, ListenAddress, bracketed
from waitress_core.connection.connection import Connection
from waitress_core.connection.context import State
from waitress_core.http.request import Request
from waitress_core.lifecycle.run import ServerRun
from waitress_core.lifecycle.signals import handled_signals
from waitress_core.net.binding import handed_over, naming_inet, open_listeners, reserve_address, separate_families
from waitress_core.net.listener import Listener, ListeningSocket
from waitress_core.safe_logger import contained
from waitress_core.server import server_class_for
from waitress_core.wsgi.environ import EnvironBuilder

from . import trigger
from ._dispatcher import ServerDispatcher
from ._dispatcher import ThreadedTaskDispatcher as StockDispatcher
from ._entries import Entry, Listening
from ._lazy import LazyAttribute
from ._left_out import LeftOut, refuse_ineffective, without_effect
from ._modules import call_when_rebound, old_module
from ._replacements import are_unchanged, is_ours, is_replaced, replaceable
from ._server_map import ServerMap
from .adjustments import Adjustments
from .buffers import ReadOnlyFileBasedBuffer
from .channel import HTTPChannel
from .task import ErrorTask, WSGITask
from .task import Task as ChannelTask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from waitress_core.config.keywords import Settings
    from waitress_core.observability.access_log import AccessLog

__all__ = ["BaseWSGIServer", "MultiSocketServer", "TcpWSGIServer", "WSGIServer", "create_server"]


def _wasyncore() -> ModuleType:
    from . import wasyncore  # lazy import: serving needs none of it

    return wasyncore


@replaceable
class BaseWSGIServer(waitress_core.BaseWSGIServer, Entry):
    """A server; the settings come as `adj` or as keyword arguments.

    It listens on `_sock`, which the caller closes, or on `sockinfo`, one entry of `Adjustments.listen`, or as
    the settings ask for. With `bind_socket` a `_sock` without an address is bound. Without `_start` a
    TcpWSGIServer that makes its own socket does not listen before `accept_connections` or `run`.
    """

    sockinfo: tuple[Any, ...]
    """Family, type, protocol and address of the listening socket; of several, of the first."""
    family: int
    socktype: int
    asyncore = LazyAttribute(_wasyncore)
    socketmod = socket
    channel_class: type[HTTPChannel] = HTTPChannel
    has_program_parser = False  # of the run: see `_parsing`
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
        self._is_looped = False  # a program runs the loop of `wasyncore` over the map
        self._arriving = threading.local()  # of a thread: the connection that `channel_class` is called for
        self._server_map = ServerMap(map, make_channel=self._make_channel, connections=self._connections)
        self._environ_builders: list[EnvironBuilder] = []  # of the listeners, in their order, while it runs
        adj = Adjustments(**adjustments) if adj is None else adj
        self._made_dispatcher = _program_dispatcher(adj.threads) if dispatcher is None else None
        with ExitStack() as until_made:
            if self._made_dispatcher is not None:  # its threads run
                dispatcher = self._made_dispatcher
                until_made.callback(self._made_dispatcher.shutdown)
            self.trigger = trigger.trigger(self._server_map.entries, self._wake_waiter)
            until_made.callback(self.trigger.close)
            super().__init__(application, dispatcher, adj)
            until_made.pop_all()
        self._entries = {listener.descriptor: self._entry(listener) for listener in self._listeners}
        for descriptor, entry in self._entries.items():
            self._server_map.enter(descriptor, entry)
        if "sockinfo" not in vars(self):  # where `_open` of a TcpWSGIServer has not set it
            sock = self._listeners[0].socket
            self.sockinfo = (sock.family, sock.type, sock.proto, sock.getsockname())
            self.family, self.socktype = sock.family, sock.type
        self._own_dispatcher: ServerDispatcher | None = None
        if dispatcher is None:
            self._own_dispatcher = self.task_dispatcher = ServerDispatcher(self._dispatcher, self._end_within)

    def _check_application(self, application: object) -> None:
        # Without `_start` a program may accept and call it by itself, as aiowsgi does with a coroutine function.
        if self._starts or application is None:
            super()._check_application(application)

    # --- listening

    def _open(self, adj: waitress_core.Adjustments) -> list[Listener]:
        sock, address = self._given_socket, self._given_address
        if sock is not None:
            if self._binds_socket and _is_unbound(sock):
                sock.bind((address or adj.listen[0]).address)
            sock.listen(adj.backlog)
            self.accepting = True
            return [Listener(sock, owns_socket=False, scheme=adj.given_scheme)]
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
            # Its callers write http://, since 3.0; one that has another scheme in mind is left alone.
            text = format_str.replace("http://", listener.scheme + "://").format(*listener.url_authority)
            with contained:
                self.log_info(text)

    @without_effect("a listening socket never connects")
    def handle_connect(self) -> None:
        """Do nothing, and nothing calls this: a listening socket never connects."""

    handle_accept = LeftOut(
        "the server's own threads accept; to see each client, derive a channel_class or override set_socket_options"
    )
    handle_read = LeftOut("the server's own threads accept; there is nothing to read from a listening socket")
    bind_server_socket: Any = LeftOut("only a TcpWSGIServer binds its socket in a separate step")

    @without_effect("the address of a client is read by the server's own threads")
    def fix_addr(self, addr: Any) -> Any:
        """Return the address of a client as a channel has it: of a unix socket, `("localhost", None)`."""
        return ("localhost", None) if self._listeners[0].is_unix else addr

    def set_socket_options(self, conn: Any) -> None:
        """Set options of an accepted socket, in addition to `Adjustments.socket_options`: for a subclass."""

    # --- serving

    def _start_run(self) -> None:
        for kind in (type(self), self.channel_class, getattr(self.channel_class, "task_class", Task)):
            refuse_ineffective(kind)
        if not self.accepting:
            self.accept_connections()
        super()._start_run()

    def _set_up_dispatcher(self, dispatcher: Dispatcher) -> None:
        sink = self._sink()
        if sink is not None:
            dispatcher.hand_off_all_to(sink)

    def _end(self) -> None:
        super()._end()
        is_given = self._own_dispatcher is None and self._made_dispatcher is None
        # A program that closes its server may give the dispatcher to another one; a signal ends both.
        if is_given and any(request.is_signal for request in self._stop_requests):
            shutdown = getattr(self.task_dispatcher, "shutdown", None)
            if shutdown is not None:
                shutdown()

    @property
    def arriving(self) -> Connection:
        """The connection that `channel_class` is called for, by this thread."""
        connection: Connection = self._arriving.connection
        return connection

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
        self._offer(environ_builder)
        fast = super().task_factory(environ_builder, access_log)
        kind = self.channel_class
        is_channel = isinstance(kind, type) and issubclass(kind, HTTPChannel)
        is_unhooked = not is_channel or (is_ours(kind, "add_channel") and is_ours(kind, "del_channel"))
        self._server_map.has_hooks = not is_unhooked
        self.has_program_parser = self._finds_program_parser()
        is_stock = are_unchanged(self.channel_class, ChannelTask, WSGITask) and not self.has_program_parser
        if is_stock and self._own_dispatcher is not None and self._sink() is None:
            return fast
        self._server_map.has_channels = True

        def task_of(connection: Connection, request: Request) -> Task:
            channel = self._server_map.channels.get(connection)
            if isinstance(channel, HTTPChannel):
                return channel.take(request, environ_builder, access_log)
            return fast(connection, request)

        return task_of

    def _finds_program_parser(self) -> bool:
        """Return whether a program has replaced something of the parser, or of the task that answers its errors."""
        module = sys.modules.get("waitress.parser")
        if not are_unchanged(ErrorTask) or (module is not None and not are_unchanged(module.HTTPRequestParser)):
            return True
        kind = self.channel_class
        if not (isinstance(kind, type) and issubclass(kind, HTTPChannel)):  # what is no channel makes no use of them
            return False
        return not (is_ours(kind, "parser_class") and is_ours(kind, "error_task_class"))

    def _offer(self, environ_builder: EnvironBuilder) -> None:
        environ_builder.offer("wsgi.file_wrapper", ReadOnlyFileBasedBuffer)
        self._environ_builders.append(environ_builder)

    def on_opened(self, connection: Connection) -> None:
        """Set the options of a program, and make the channel of a connection if a program has a use for it."""
        self.set_socket_options(connection.socket)
        if self._server_map.has_channels:
            self._server_map.open(connection)

    def on_closed(self, connection: Connection) -> None:
        """Release a connection's channel."""
        if self._server_map.has_channels:
            channel = self._server_map.close(connection)
            if isinstance(channel, HTTPChannel):
                channel.on_closed()

    def _make_channel(self, connection: Connection) -> Any:
        self._arriving.connection = connection
        peer = (connection.remote_addr, int(connection.remote_port) if connection.remote_port else None)
        return self.channel_class(self, connection.socket, peer, self.adj, self._server_map.entries)

    def _connections(self) -> list[Connection]:
        return [connection for run in self._runs for connection in run.manager.connections.copy().values()]

    # --- for channels

    def enter_channel(self, channel: Any, map: dict[int, Any] | None) -> None:
        """Put a channel into a map, by default the server's."""
        self._server_map.enter(channel.connection.descriptor, channel, map)

    def leave_channel(self, channel: Any, map: dict[int, Any] | None) -> None:
        """Take a channel off a map, by default the server's."""
        self._server_map.remove(channel.connection.descriptor, channel, map)

    # --- the map, from any thread

    @property
    def _map(self) -> dict[int, Any]:
        """Everything open, by descriptor: for programs, which see all that happens to it from now on."""
        return self._server_map.for_program()

    @property
    def active_channels(self) -> dict[int, Any]:
        """The channels by descriptor; empty unless the server runs."""
        entries = self._map.copy()  # in one step: other threads change it
        return {key: entry for key, entry in entries.items() if isinstance(entry, HTTPChannel) and entry.server is self}

    @property
    def in_connection_overflow(self) -> bool:
        """Whether there are as many clients as `connection_limit` allows."""
        return len(self.active_channels) >= self.adj.connection_limit

    # --- the thread that waits for the server: in `run`, or in the loop

    def while_waiting(self) -> None:
        """Call thunks and `maintenance`, unless a loop does; end when the map is empty."""
        if not self._is_looped:
            self.trigger.call_thunks()
            self._maintain()
        self._end_if_emptied()

    def _maintain(self) -> None:
        now = time.time()
        if now >= self.next_channel_cleanup:
            self.next_channel_cleanup = now + self.adj.cleanup_interval
            self.maintenance(now)

    def _end_if_emptied(self) -> None:
        """End if the map holds nothing: each server of 3.0 took its own trigger along, so triggers do not count."""
        entries = self._server_map.entries.copy().values()
        if not self._is_emptied and all(isinstance(entry, trigger.trigger) for entry in entries):
            self._is_emptied = True
            self.request_stop(State.CLOSING, self.close_seconds)

    def maintenance(self, now: float) -> None:
        """Called once in `cleanup_interval` by the thread that waits for the server: for a subclass."""

    def pull_trigger(self) -> None:
        """Wake the thread that waits for the server."""
        self.trigger.pull_trigger()

    def _wake_waiter(self) -> None:
        if self._run is not None:
            self._run.wake_waiter()

    # --- ending, from any thread

    def end_channel(self, connection: Connection) -> None:
        """End a connection soon, and take its channel off the map at once."""
        self._server_map.remove_channel(connection)
        if self._run is not None:
            self._run_of(connection).call_soon_threadsafe(connection.close)
        self._end_if_emptied()

    def _run_of(self, connection: Connection) -> ServerRun:
        mine = (run for run in self._runs if run.manager.connections.get(connection.descriptor) is connection)
        return next(mine, self._runs[0])

    def end_listening(self, listener: Listener) -> None:
        """Accept no more from one of the listeners, and take it off the map at once."""
        self._server_map.remove(listener.descriptor, self._entries[listener.descriptor])
        if self._run is not None:
            number = self._listeners.index(listener)
            for run in self._runs:
                run.remove_listener(number)
        else:
            if listener in self._listeners:
                self._listeners.remove(listener)
            listener.close()
        self._end_if_emptied()

    def listening_class(self, listener: Listener) -> type:
        """Return the class of a server on this listener alone."""
        return UnixWSGIServer if listener.is_unix else TcpWSGIServer

    def close_listeners(self) -> None:
        """Stop listening, and end the threads that were made with the server; a server that runs must have ended."""
        super().close_listeners()
        for descriptor, entry in self._entries.items():
            self._server_map.remove(descriptor, entry)
        self.trigger.pull_trigger()  # a loop waits for it
        self.trigger.close()
        if self._made_dispatcher is not None:
            self._made_dispatcher.shutdown()

    def abandon_after_fork(self) -> None:
        """In a forked child: release what is the parent's."""
        self._server_map.abandon_after_fork()
        super().abandon_after_fork()
        self.trigger.abandon_after_fork()

    def _end_within(self, seconds: float) -> None:
        """End a server that runs. Running applications get `seconds` seconds."""
        if self._has_run.locked():
            self.request_stop(State.CLOSING, seconds)
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
            self._is_looped = True
            waitress_core.BaseWSGIServer.start(self)

    def wait_in_loop(self, seconds: float) -> None:
        """Wait for the end, for at most so many seconds."""
        self._ended.wait(seconds)

    def turn_in_loop(self) -> None:
        """Call `maintenance`, if it is time; the loop itself has called thunks."""
        if self._is_looped:
            self._maintain()

    def signal_in_loop(self, name: str) -> None:
        """A signal has come, to the program that runs the loop."""
        self._signals.on_signal(name)

    def end_in_loop(self) -> None:
        """End the server."""
        waitress_core.BaseWSGIServer.close(self)


def _program_dispatcher(threads: int) -> Any:
    """Return a dispatcher if a program has replaced how its threads start, or what they do; else None."""
    kind: Any = globals().get("ThreadedTaskDispatcher", StockDispatcher)  # there if a program has put it there
    of_threads = ("__init__", "start_new_thread", "handler_thread", "set_thread_count")
    if kind is StockDispatcher and all(is_ours(kind, name) for name in of_threads):
        return None
    made = kind()
    made.set_thread_count(threads)
    return made


def _is_unbound(sock: socket.socket) -> bool:
    try:
        name = sock.getsockname()
    except OSError:  # Windows raises it for such a socket
        return True
    return not name if sock.family == AF_UNIX else not name[1]


class _SingleServer(BaseWSGIServer):
    """A server on one listener; a program may give its address another name."""

    def _entry(self, listener: Listener) -> Any:
        return self

    @property
    def effective_host(self) -> Any:
        """The numeric address of the listener, `unix` for a unix socket, or what a program has set."""
        return self._listeners[0].host

    @effective_host.setter
    def effective_host(self, value: Any) -> None:
        self._listeners[0].host = value

    @property
    def effective_port(self) -> Any:
        """The port of the listener, in decimal, the path for a unix socket, or what a program has set."""
        return self._listeners[0].port if self._named_port is None else self._named_port

    @effective_port.setter
    def effective_port(self, value: Any) -> None:
        listener = self._listeners[0]
        self._named_port, listener.port = value, str(value)
        for environ_builder in self._environ_builders:
            environ_builder.offer("SERVER_PORT", listener.server_port(self.adj.url_scheme))

    _named_port: Any = None

    @property
    def _fileno(self) -> int:
        return self._listeners[0].descriptor


@replaceable
class TcpWSGIServer(_SingleServer, waitress_core.TcpWSGIServer):
    """A server on one TCP address.

    A subclass may override how its socket is made: `create_socket`, `set_reuse_addr`, `bind`.
    """

    _socket: Any = None  # while there is no listener yet

    def _open(self, adj: waitress_core.Adjustments) -> list[Listener]:
        if self._given_socket is not None or adj.sockets or adj.unix_socket is not None:
            return super()._open(adj)  # which refuses a unix socket
        address = self._given_address or adj.listen[0]
        self.sockinfo, self.family, self.socktype = address, address.family, address.type
        host, port = address.address[:2]
        with naming_inet(host, port):
            handed = handed_over(address.family, address.address)
            if handed is None:
                self.create_socket(self.family, self.socktype)
            else:
                self.set_socket(handed)
            try:
                if handed is None:
                    self._bind(adj.backlog)
                else:  # it listens
                    self.accepting = True
                return [
                    Listener(
                        self.socket,
                        owns_socket=True,
                        scheme=address.scheme or adj.default_scheme,
                        has_proxy_prelude=address.has_proxy_prelude,
                    )
                ]
            except BaseException:
                self.socket.close()
                raise

    def _bind(self, backlog: int) -> None:
        self.set_reuse_addr()
        separate_families(self.socket)
        if self._binds_socket:
            self.bind_server_socket()
        if self._starts:
            self.socket.listen(backlog)
            self.accepting = True

    def create_socket(self, family: int = socket.AF_INET, type: int = socket.SOCK_STREAM) -> None:
        """Make the socket."""
        self.set_socket(ListeningSocket(family, type))

    def set_socket(self, sock: Any, map: dict[int, Any] | None = None) -> None:
        """Use this socket."""
        self.socket = sock

    def set_reuse_addr(self) -> None:
        """Let the address be bound again soon after its last use."""
        reserve_address(self.socket)

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
        """A server on a unix socket; it removes the path at its end."""

        def _entry(self, listener: Listener) -> Any:
            return self

    __all__ += ["UnixWSGIServer"]  # where there is one


class MultiSocketServer:
    """Servers that share a map, as one.

    `effective_listen` is host and port of each, `dispatcher` what runs their tasks, `log_info` what logs a line.
    """

    asyncore = LazyAttribute(_wasyncore)

    def __init__(
        self,
        map: dict[int, Any] | None = None,
        adj: waitress_core.Adjustments | None = None,
        effective_listen: Sequence[tuple[str, Any]] | None = None,
        dispatcher: Any = None,
        log_info: Callable[[str], object] | None = None,
    ) -> None:
        self.adj = adj
        self.map = map
        self.effective_listen = effective_listen
        self.task_dispatcher = dispatcher
        self.log_info = log_info

    def print_listen(self, format_str: str) -> None:
        """Log one line for each server: `format_str` takes host and port, as in `http://{}:{}`."""
        if self.log_info is not None:
            for host, port in self.effective_listen or ():
                self.log_info(format_str.format(bracketed(host), port))

    def run(self) -> None:
        """Serve what the map holds until it is empty; SIGTERM, SIGINT and Ctrl-C end the servers in it in order."""
        entries = {} if self.map is None else self.map
        timeout = None if self.adj is None else self.adj.asyncore_loop_timeout

        def on_signal(name: str) -> None:
            for host in dict.fromkeys(getattr(entry, "loop_host", None) for entry in entries.copy().values()):
                if host is not None:
                    host.signal_in_loop(name)

        with handled_signals(on_signal):
            try:
                self.asyncore.loop(timeout=timeout, map=entries)
            except (SystemExit, KeyboardInterrupt):
                self.close()

    def close(self) -> None:
        """End the dispatcher, and close everything in the map."""
        if self.task_dispatcher is not None:
            self.task_dispatcher.shutdown()
        if self.map is not None:
            self.asyncore.close_all(self.map)


_MultiSocketServer = MultiSocketServer  # held here, as a program may bind its own class to that name


class _SeveralListeners(BaseWSGIServer, waitress_core.MultiSocketServer, MultiSocketServer):  # type: ignore[misc]  # attributes differ
    """A server on several listeners: what `create_server` makes for them."""

    _wrapped = TcpWSGIServer  # likewise

    def __init__(self, *arguments: Any, **settings: Any) -> None:
        # Programs wrap the constructor of that class, to wrap the application: in 3.0 each listener was one of it.
        construct: Callable[..., None] = self._wrapped.__init__
        construct(self, *arguments, **settings)

    @property
    def map(self) -> dict[int, Any]:  # type: ignore[override]  # it is never another
        """Everything open, by descriptor."""
        return self._map


def create_server(
    application: "WSGIApplication",
    map: dict[int, Any] | None = None,
    _start: bool = True,
    _sock: socket.socket | None = None,
    _dispatcher: TaskSink | None = None,
    **adjustments: "Unpack[Settings]",
) -> BaseWSGIServer:
    """Create the server that the settings ask for, listening on a unix socket, on one address, or on several.

    `map` is a dict in which the server keeps everything open, by descriptor: a server ends when its map is emptied.
    Requests go to `_dispatcher`, if it is given. `_sock` is a socket to listen on. Without `_start`, a single TCP
    address is bound, but does not listen before `run`.

    Raises:
        ValueError: a setting is invalid, or the application is None.
        OSError: an address cannot be bound; nothing stays open.
    """
    adj = Adjustments(**adjustments)
    unix = BaseWSGIServer if AF_UNIX is None else UnixWSGIServer  # the former raises what the system lacks
    # By the names of this module, where programs put their own classes, or wrap the constructors.
    kind: type[BaseWSGIServer] = server_class_for(adj, TcpWSGIServer, unix, _SeveralListeners)
    server: Any = kind(application, map, _start, _sock, _dispatcher, adj)
    if kind is _SeveralListeners and MultiSocketServer is not _MultiSocketServer:
        # A program's own class, which is constructed as it was.
        server = MultiSocketServer(server._map, adj, server.effective_listen, server.task_dispatcher, server.log_info)
    made: BaseWSGIServer = server  # or what a program has put there
    return made


_create_server = create_server  # what `waitress.create_server` is, whatever a program puts in its place here
call_when_rebound(__name__, "ThreadedTaskDispatcher", lambda value: None)  # `create_server` looks there
old_module(
    __name__,
    "IPPROTO_IPV6 IPV6_V6ONLY ThreadedTaskDispatcher cleanup_unix_socket os proxy_headers_middleware wasyncore",
)
