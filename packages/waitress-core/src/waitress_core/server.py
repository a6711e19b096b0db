"""The servers: what `create_server` gives, and how they are run and ended.

A server is bound and listens from its construction; it serves while `run` runs, or from `start` to its end. All real
work is done by the run (`lifecycle.run`).
"""

import socket
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .config.addresses import AF_UNIX
from .config.adjustments import Adjustments
from .connection.connection import Connection
from .connection.context import State
from .connection.states import STATE_NAMES
from .http.request import Request
from .lifecycle import fork
from .lifecycle.run import THREADS_SECONDS, ServerRun
from .lifecycle.signals import ending_signals
from .lifecycle.states import CLOSE_SECONDS, StopRequest
from .net.binding import open_listeners
from .net.listener import Listener
from .observability.stats import Counters, ServerStats, make_stats
from .reactor.reactor import TICK_SECONDS
from .threads.dispatcher import Dispatcher, start_thread
from .threads.tasks import Task, TaskSink
from .wsgi.environ import EnvironBuilder
from .wsgi.proxy_headers import ProxyPolicy
from .wsgi.task import WSGITask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from .observability.access_log import AccessLog

Kind = TypeVar("Kind")
Self = TypeVar("Self", bound="BaseWSGIServer")

NO_APPLICATION = (
    'The "app" passed to ``create_server`` was ``None``.  You forgot to return a WSGI app within your application.'
)


class BaseWSGIServer:
    """A server; its kind says on which listeners.

    `application` may be replaced before `run`. With `dispatcher` every request goes to its `add_task`. The settings
    come as `adj` or as keyword arguments.

    Raises:
        ValueError: the settings (see `Adjustments`), or an application that is None.
        OSError: an address that cannot be had; nothing stays open.
    """

    close_seconds = CLOSE_SECONDS

    def __init__(
        self,
        application: "WSGIApplication",
        dispatcher: TaskSink | None = None,
        adj: Adjustments | None = None,
        **adjustments: Any,
    ) -> None:
        if application is None:
            raise ValueError(NO_APPLICATION)
        self.application = application
        adj = Adjustments(**adjustments) if adj is None else adj
        self.adj = adj
        self.proxy_policy = ProxyPolicy(adj)
        self.server_name = adj.server_name
        own = dispatcher if isinstance(dispatcher, Dispatcher) else Dispatcher(adj.threads, dispatcher)
        self._dispatcher = own
        self.task_dispatcher: Any = own if dispatcher is None else dispatcher
        # Any thread or signal handler: what the server is wanted to do; appended to without a lock
        self._stop_requests: list[StopRequest] = []
        self._signal_count = 0
        self._has_run = threading.Lock()  # held from the first `run` or `start` on, for ever
        self._runner: threading.Thread | None = None
        self._run: ServerRun | None = None
        self._ended = threading.Event()
        self._listeners = self._open(adj)

    def _open(self, adj: Adjustments) -> list[Listener]:
        return open_listeners(adj, adj.listen)

    def stats(self) -> ServerStats:
        """Tell what the server does at this moment; all zero before it serves, and what it has done after its end.

        Thread: any; takes no lock, and a moment for each open connection.
        """
        if self._run is None:
            return make_stats(Counters(), 0, dict.fromkeys(STATE_NAMES, 0), 0, self._dispatcher.thread_count, ())
        return self._run.stats()

    # --- serving

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT, `shutdown` or `close`; returns when everything has ended.

        In the main thread the two signals do what `shutdown` does, if nobody else handles them; a second signal ends
        at once.

        A server that has been closed before ends at once: whoever closes it from another thread cannot know how far
        this one is.

        Raises:
            RuntimeError: the server runs or has run.
            CannotStartThread: the system has none left; nothing stays open.
        """
        self._claim()
        with self.ending_signals():
            try:
                self._begin()
                self._wait()
            finally:
                self._end()

    def start(self) -> None:
        """Serve in the background, from before this returns until `shutdown` or `close`; signals are not handled.

        The threads do not keep the process alive. As a context manager a server starts, and at the end is closed.

        Raises: as `run`.
        """
        self._claim()
        try:
            self._begin()
            self._runner = start_thread(self._wait_and_end, "waitress-run")
        except BaseException:
            self._end()
            raise

    def __enter__(self: Self) -> Self:
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def _claim(self) -> None:
        """Become the one that serves."""
        if not self._has_run.acquire(blocking=False):
            state = "has ended" if self._ended.is_set() else "is serving already"
            raise RuntimeError(f"this server {state}: create_server makes another one")
        self._runner = threading.current_thread()
        fork.add(self)

    def _begin(self) -> None:
        if not any(wish.state is State.CLOSING for wish in self._stop_requests):
            # A wish that comes before the run is in the list already, one that comes later finds the run.
            self._run = ServerRun(self, self._listeners, self._dispatcher, self._stop_requests)
            self._run.start()

    def _wait(self) -> None:
        if self._run is not None:
            self._run.wait()

    def _wait_and_end(self) -> None:
        try:
            self._wait()
        finally:
            self._end()

    def _end(self) -> None:
        """Leave nothing, whether it has served or could not begin."""
        if self._run is not None:
            self._run.close_all()
        fork.remove(self)
        self._close_listeners()
        self._ended.set()

    # --- what the run asks for

    def task_factory(
        self, environ_builder: EnvironBuilder, access_log: "AccessLog | None"
    ) -> Callable[[Connection, Request], Task]:
        """Return what makes the task of a request of one listener."""
        if access_log is None:
            return partial(WSGITask, self, environ_builder)
        from .wsgi.logged_task import LoggedTask  # lazy import: only servers with an access log need it

        return partial(LoggedTask, self, environ_builder, access_log)

    def on_state(self, state: State) -> None:
        """Do nothing: for a subclass that wants to know."""

    def on_opened(self, connection: Connection, accepted: socket.socket) -> None:
        """Do nothing: for a subclass."""

    def on_closed(self, connection: Connection) -> None:
        """Do nothing: for a subclass."""

    def while_waiting(self) -> None:
        """Do nothing: the lead looks after all there is."""

    # --- ending

    def ending_signals(self) -> AbstractContextManager[None]:
        """Have SIGTERM and SIGINT drain this server within a context; `run` does so by itself.

        To be entered before `run` by who wants a signal in between to be heard.
        """
        return ending_signals(self._on_signal)

    def _on_signal(self) -> None:
        self._signal_count += 1
        if self._signal_count == 1:
            self._request_stop(State.LEAVING, self.adj.shutdown_timeout, is_signal=True)
        else:
            self._request_stop(State.CLOSING, 0, is_signal=True)

    def _request_stop(self, state: State, seconds: float, *, is_signal: bool = False) -> None:
        self._stop_requests.append(StopRequest(state, time.monotonic() + seconds, is_signal))
        if self._run is not None:
            self._run.wake_leader()

    def shutdown(self, timeout: float | None = None) -> None:
        """End the server in order: what has begun is answered, what is idle is closed, and nothing new is accepted.

        With `shutdown_delay` new clients are answered for so long before. What is not done `timeout` seconds after the
        call, by default `shutdown_timeout`, is cut off, and the log tells of it. A server that does not run is closed.

        From any thread, any number of times: the shortest time holds. Returns as `close` does.
        """
        if self._has_run.locked():
            seconds = self.adj.shutdown_timeout if timeout is None else timeout
            self._request_stop(State.LEAVING, seconds)
            self._await_end(seconds)
        else:
            self.close()

    def close(self) -> None:
        """End the server now: running requests and responses under way get 5 seconds, all others are cut off.

        From any thread, any number of times. Returns when everything has ended; from an application, a signal handler
        or whatever else the thread in `run` does, at once.
        """
        self._request_stop(State.CLOSING, self.close_seconds)
        if self._has_run.locked():
            self._await_end(self.close_seconds)
        else:
            self._close_listeners()

    def _await_end(self, seconds: float) -> None:
        if threading.current_thread() not in (self._runner, *self._dispatcher.threads):
            # Bounded: a signal handler may call this. The reactor looks at the time once a second.
            self._ended.wait(seconds + TICK_SECONDS + THREADS_SECONDS)

    def abandon_after_fork(self) -> None:
        """In a forked child: release what is the parent's. The server has ended here, and never waits."""
        if self._run is not None:
            self._run.abandon_after_fork()
        self._ended = threading.Event()  # a new one: a thread that the child has not may have held the old one's lock
        self._ended.set()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    @property
    def urls(self) -> list[str]:
        """What each listener listens on: `http://HOST:PORT`, or `http://unix:PATH`."""
        return ["http://{}:{}".format(*listener.url_authority) for listener in self._listeners]

    @property
    def url(self) -> str:
        """Where a client on this machine finds the first listener."""
        # The addresses that stand for every address are none to connect to.
        return self.urls[0].replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


class _SingleServer(BaseWSGIServer):
    """A server on one listener."""

    @property
    def effective_host(self) -> str:
        """The address that is listened on, numeric; `unix` for a unix socket."""
        return self._listeners[0].host

    @property
    def effective_port(self) -> str:
        """The port that is listened on, in decimal; the path for a unix socket."""
        return self._listeners[0].port

    @property
    def socket(self) -> socket.socket:
        """The listening socket."""
        return self._listeners[0].socket

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self._listeners[0].descriptor


class TcpWSGIServer(_SingleServer):
    """A server on one TCP address: the first that the settings name, or the given socket."""

    def _open(self, adj: Adjustments) -> list[Listener]:
        if adj.unix_socket is not None or any(sock.family == AF_UNIX for sock in adj.sockets):
            raise ValueError("a TcpWSGIServer listens on a TCP address: for a unix socket take a UnixWSGIServer")
        return open_listeners(adj, adj.listen[:1])


class UnixWSGIServer(_SingleServer):
    """A server on a unix socket, whose path it removes at its end."""

    def _open(self, adj: Adjustments) -> list[Listener]:
        if adj.unix_socket is None and (not adj.sockets or any(sock.family != AF_UNIX for sock in adj.sockets)):
            raise ValueError("a UnixWSGIServer listens on unix_socket: for a TCP address take a TcpWSGIServer")
        return open_listeners(adj, ())


class MultiSocketServer(BaseWSGIServer):
    """A server on several listeners."""

    @property
    def effective_listen(self) -> list[tuple[str, str]]:
        """(host, port) of each listener, as `effective_host` and `effective_port` of a single server."""
        return [(listener.host, listener.port) for listener in self._listeners]


def create_server(
    application: "WSGIApplication",
    dispatcher: TaskSink | None = None,
    **adjustments: Any,
) -> BaseWSGIServer:
    """Make the server that the settings ask for, listening: on a unix socket, on one address, or on several.

    Raises: see `BaseWSGIServer`.
    """
    if application is None:
        raise ValueError(NO_APPLICATION)
    adj = Adjustments(**adjustments)
    kind = server_class_for(adj, TcpWSGIServer, UnixWSGIServer, MultiSocketServer)
    return kind(application, dispatcher, adj)


def server_class_for(adj: Adjustments, tcp: Kind, unix: Kind, several: Kind) -> Kind:
    """Choose among three kinds of server the one that fits what the settings listen on."""
    if adj.unix_socket is not None or (len(adj.sockets) == 1 and adj.sockets[0].family == AF_UNIX):
        return unix
    return tcp if len(adj.sockets or adj.listen) == 1 else several
