"""The servers: what a program sees of them, from `create_server` to their end.

A server is bound and listens from its construction; it serves while `run` runs, or from `start` to its end. What serves
is a run (`lifecycle.run`), several side by side (`processes.side_by_side`), or workers in other processes, which a
supervisor forks (`processes.supervised`).
"""

import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from .config.addresses import AF_UNIX
from .config.adjustments import Adjustments
from .config.application import DeferredApplication, check_application
from .connection.connection import Connection
from .connection.context import State
from .connection.states import STATE_NAMES
from .http.request import Request
from .lifecycle import fork
from .lifecycle.end_limit import set_limit
from .lifecycle.run import ServerRun
from .lifecycle.signals import ACTIONS, SUPERVISOR_ACTIONS, Action, SignalRequests, is_main_thread
from .lifecycle.states import CLOSE_SECONDS, StopRequest
from .net.binding import open_listeners
from .net.listener import HANDOVER_VARIABLE, Listener
from .observability.stats import Counters, ServerStats, add_stats, make_stats
from .reactor.reactor import TICK_SECONDS
from .threads.dispatcher import Dispatcher
from .threads.event import Event
from .threads.pool import start_thread
from .threads.running import RunningTask
from .threads.tasks import Task, TaskSink
from .wsgi.environ import EnvironBuilder
from .wsgi.proxy_headers import ProxyPolicy
from .wsgi.task_kinds import task_factory

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Self, Unpack

    from .config.keywords import Settings
    from .lifecycle.notify import Notifier
    from .lifecycle.observer import WorkerSlot
    from .net.tls_contexts import TlsContexts
    from .observability.access_log import AccessLog
    from .observability.snapshot import Snapshot
    from .processes.side_by_side import SideRun, SideSlot
    from .processes.worker import SupervisorView, Worker
    from .status.document import Supervision

ONLY_IN_MAIN_THREAD = "worker processes are run by run() in the main thread: no other one can handle signals"

Kind = TypeVar("Kind")


class BaseWSGIServer:
    """A server; its subclasses differ in the listeners that they have.

    `application` may be replaced before `run`. With `dispatcher`, every request goes to its `add_task`. The settings
    are `adj`, or keyword arguments.

    `close_seconds` is the time that `close` gives to running requests and to responses that are being sent.

    Raises:
        ValueError: a setting is invalid (see `Adjustments`), a certificate or key cannot be loaded, or the application
            cannot be served (see `check_application`).
        OSError: an address cannot be bound; nothing stays open.
    """

    close_seconds = CLOSE_SECONDS

    def __init__(
        self,
        application: "WSGIApplication",
        dispatcher: TaskSink | None = None,
        adj: Adjustments | None = None,
        **adjustments: "Unpack[Settings]",
    ) -> None:
        self._check_application(application)
        # What it serves, and how
        self.application = application
        adj = Adjustments(**adjustments) if adj is None else adj
        self.adj = adj
        self.proxy_policy = ProxyPolicy(adj)
        self.server_name = adj.server_name
        self._delegate = None if isinstance(dispatcher, Dispatcher) else dispatcher
        own = dispatcher if isinstance(dispatcher, Dispatcher) else self._make_dispatcher("waitress")
        self._dispatcher = own
        self.task_dispatcher: Any = own if dispatcher is None else dispatcher
        # Set before the server runs, called by the thread that runs it
        self._on_stop: Callable[[int, str], None] | None = None
        self._on_serving: Callable[[], None] | None = None
        self._remake: Callable[[], BaseWSGIServer] | None = None
        # Appended to by any thread or signal handler, without a lock
        self._stop_requests: list[StopRequest] = []
        self._waiter_callbacks: deque[Callable[[], None]] = deque()
        self._supervisor_actions: deque[tuple[Action, str]] = deque()
        self._signals = SignalRequests(
            drain=lambda ends_now: self._stop_by_signal(State.LEAVING, self.adj.shutdown_timeout, ends_now),
            end=lambda: self._stop_by_signal(State.CLOSING, 0),
            act=self._act_on_signal,
        )
        # Who serves: written by the thread that runs the server
        self._has_run = threading.Lock()  # held from the first `run` or `start` on, for ever
        self._runner: threading.Thread | None = None
        self._run: ServerRun | None = None
        self._side_runs: list[SideRun] = []  # with several workers in this process, those beyond the first
        self._supervisor: SupervisorView | None = None  # with worker processes
        self._worker: Worker | None = None  # in a worker process
        self.notifier: Notifier | None = None  # while `run` runs, under systemd
        self._ended = Event()
        # What is open from now on
        self.tls_contexts = self._load_certificates(adj)
        self._listeners = self._open(adj)
        self.status_server: BaseWSGIServer | None = None  # it starts before the server and ends after it
        if getattr(adj, "status_listen", None):  # `adj` may be a program's own object
            try:
                self.status_server = self._make_status_server(adj)
            except BaseException:
                for listener in self._listeners:
                    listener.close()
                raise

    def _load_certificates(self, adj: Adjustments) -> "TlsContexts | None":
        if not adj.has_tls:
            return None
        from .net.tls_contexts import TlsContexts  # lazy import: only servers that speak TLS need it

        return TlsContexts(adj)

    def _open(self, adj: Adjustments) -> list[Listener]:
        return open_listeners(adj, adj.listen)

    def _make_status_server(self, adj: Adjustments) -> "BaseWSGIServer":
        from . import __version__  # lazy import: here it is set
        from .status.second_server import make_status_server  # lazy import: only servers with one need it

        return make_status_server(create_server, adj, self._status, version=__version__)

    def _check_application(self, application: object) -> None:
        check_application(application)

    def _make_dispatcher(self, name: str) -> Dispatcher:
        seconds = self.adj.queue_warning_seconds
        return Dispatcher(self.adj.threads, self._delegate, queue_warning_seconds=seconds, name=name)

    # --- what it listens on

    @property
    def listeners(self) -> list[Listener]:
        """The listeners, in the order of the settings."""
        return self._listeners

    @property
    def urls(self) -> list[str]:
        """The address of each listener.

        It is `http://HOST:PORT`, `https://HOST:PORT`, or `http://unix:PATH`.
        """
        return [listener.url for listener in self._listeners]

    @property
    def url(self) -> str:
        """The address of the first listener, for a client on this machine."""
        # Nobody can connect to the addresses that mean every address.
        return self.urls[0].replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")

    @property
    def status_urls(self) -> list[str]:
        """The address of each listener of the status server; empty without one."""
        return [] if self.status_server is None else self.status_server.urls

    # --- what it does

    def stats(self) -> ServerStats:
        """Return a snapshot of the counters: zero before the server starts, the final totals after it stops.

        With worker processes, this is the sum of what each of them has counted until a second ago.

        Thread: any. Takes a moment for each open connection; no lock, unless there is a status server.
        """
        summed = None if self._supervisor is None else self._supervisor.stats()
        if summed is not None:
            return summed
        if self._run is None:
            states = dict.fromkeys(STATE_NAMES, 0)
            return make_stats(Counters(), states=states, threads=self._dispatcher.thread_count)
        return add_stats([run.figures.stats() for run in self._runs])

    def running(self) -> list[RunningTask]:
        """Return the requests that application threads of this process run. Thread: any."""
        return self._dispatcher.running() + [task for run in self._side_runs for task in run.figures.running()]

    def status_snapshots(self) -> "list[Snapshot]":
        """Return what the status server shows of each worker in this process; without `status_listen` no requests.

        Thread: any. Takes a moment for each open connection.
        """
        if self._supervisor is not None:
            return self._supervisor.status_snapshots()
        if not self._side_runs:
            return [run.figures.snapshot() for run in self._runs]
        return [{**run.figures.snapshot(), "worker": number} for number, run in enumerate(self._runs, 1)]

    def _status(self) -> "tuple[list[Snapshot], Supervision | None]":
        return (self.status_snapshots(), None) if self._supervisor is None else self._supervisor.status()

    @property
    def _runs(self) -> list[ServerRun]:
        return [] if self._run is None else [self._run, *self._side_runs]

    # --- serving

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT, `shutdown` or `close`; return when everything has ended.

        In the main thread the two signals do what `shutdown` does, unless the program handles them; a further SIGINT
        half a second or more later ends the server at once.

        If the server has been closed before, this returns at once, because the thread that has closed it may not know
        whether this one had already called `run`.

        In the main thread, this notifies systemd of what the server does, if NOTIFY_SOCKET is set (`lifecycle.notify`).

        Raises:
            RuntimeError: the server is running or has run.
            CannotStartThread: the system has no thread left; nothing stays open.
        """
        self._claim()
        with self.ending_signals():
            try:
                self.notifier = self._make_notifier()
                if self._is_supervised:
                    self._supervise()
                else:
                    self._start_run()
                    if self._run is not None:
                        self.note_serving()
                    self._wait()
            except BaseException:
                self._stop_side_runs()
                raise
            finally:
                self._end()

    def start(self) -> None:
        """Serve in the background until `shutdown` or `close`; it serves when this returns. Signals are not handled.

        The threads do not keep the process alive. As a context manager, a server starts, and is closed at the end.

        Raises: as `run`.
        """
        if self._is_supervised:
            raise RuntimeError(ONLY_IN_MAIN_THREAD)
        self._claim()
        try:
            self._start_run()
            self._runner = start_thread(self._wait_and_end, "waitress-run")
        except BaseException:
            self._stop_side_runs()
            self._end()
            raise

    def __enter__(self) -> "Self":
        self.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self.close()

    def call_when_serving(self, callback: Callable[[], None]) -> None:
        """Register a callback: `run` calls it once the server serves, in its thread; what it raises ends the server."""
        self._on_serving = callback

    def call_when_reloading(self, make: "Callable[[], BaseWSGIServer]") -> None:
        """Register a callback for SIGHUP: it returns a server with the current settings, which the workers then run.

        A supervisor calls it. The new server gets the listening sockets of this one. If it raises, nothing changes;
        the log has the message of a ValueError or an OSError, and the traceback of anything else.
        """
        self._remake = make

    def reload_tls(self) -> None:
        """Read certificates and keys again, for new connections; what cannot be loaded is logged, and changes nothing.

        Thread: any. Reads files.

        Raises:
            RuntimeError: the server speaks no TLS.
        """
        if self.tls_contexts is None:
            raise RuntimeError("this server speaks no TLS: tls_certificate is not set")
        self.tls_contexts.reload()

    def _claim(self) -> None:
        """Make the current thread the one that serves."""
        if not self._has_run.acquire(blocking=False):
            state = "has ended" if self._ended.is_set() else "is serving already"
            raise RuntimeError(f"this server {state}: create_server makes another one")
        self._runner = threading.current_thread()
        if not self._is_supervised:  # a supervisor forks to have the child serve
            fork.add(self)

    def _make_notifier(self) -> "Notifier | None":
        if "NOTIFY_SOCKET" not in os.environ or not is_main_thread():  # in another one it may be a part of a program
            return None
        from .lifecycle.notify import notifier_for  # lazy import: only services of systemd need it

        return notifier_for(os.environ, os.getpid(), f"Serving on {' '.join(self.urls)}")

    def _start_run(self) -> None:
        if self.status_server is not None:
            self.status_server.start()
        if any(request.state is State.CLOSING for request in self._stop_requests):
            return
        self._set_up_dispatcher(self._dispatcher)
        worker: WorkerSlot | None = self._worker
        if getattr(self.adj, "has_worker_threads", False):  # `adj` may be a program's own object
            worker = self._make_side_runs()
        # A request that comes before the run is in the list already, one that comes later finds the run.
        self._run = ServerRun(
            self,
            self._listeners,
            self._dispatcher,
            stop_requests=self._stop_requests,
            waiter_callbacks=self._waiter_callbacks,
            notifier=self.notifier,
            worker=worker,
        )
        for run in self._runs:
            run.start()

    def _set_up_dispatcher(self, dispatcher: Dispatcher) -> None:
        """Do nothing: for a subclass."""

    def _make_side_runs(self) -> "SideSlot":
        """Make the workers beyond the first; return the slot of the first one."""
        from .processes.side_by_side import make_side_runs  # lazy import: only free-threaded interpreters can use it

        def make_dispatcher(name: str) -> Dispatcher:
            dispatcher = self._make_dispatcher(name)
            self._set_up_dispatcher(dispatcher)
            return dispatcher

        first_slot, self._side_runs = make_side_runs(
            self, self._listeners, self._stop_requests, make_dispatcher, workers=self.adj.workers
        )
        return first_slot

    def _stop_side_runs(self) -> None:
        """After a failure: `_end` waits for them."""
        if self._side_runs:
            self.request_stop(State.CLOSING, self.close_seconds)

    def _wait(self) -> None:
        if self._run is not None:
            self._run.wait()

    def _wait_and_end(self) -> None:
        try:
            self._wait()
        finally:
            self._end()

    def _end(self) -> None:
        """Release everything, also after a failed start."""
        try:
            for run in self._runs:
                run.close_all()
        finally:  # whatever a callback of the program has raised
            if self.notifier is not None:
                self.notifier.close()
            fork.remove(self)
            self.close_listeners()
            self._close_status_server()
            self._ended.set()

    # --- several processes: see `processes.supervised`

    @property
    def _is_supervised(self) -> bool:
        """Whether other processes serve, and this one supervises them."""
        if self._worker is not None:
            return False
        # `adj` may be a program's own object, with the settings of waitress 3.0.
        wants_processes = getattr(self.adj, "has_worker_processes", False)
        return wants_processes or isinstance(self.application, DeferredApplication)

    def _supervise(self) -> None:
        """Fork workers, each of which serves in its own process, and watch them."""
        if sys.platform != "win32":  # where the settings have refused it
            from .processes.forking import freeze_memory  # lazy import: most servers have one process
            from .processes.supervised import SupervisedServer
            from .processes.supervisor import Supervisor

            if not is_main_thread():
                raise RuntimeError(ONLY_IN_MAIN_THREAD)
            if not isinstance(self.application, DeferredApplication):
                freeze_memory()
            supervisor = self._supervisor = Supervisor(
                SupervisedServer(self, self._remake),
                workers=self.adj.workers,
                stop_requests=self._stop_requests,
                actions=self._supervisor_actions,
                folder=getattr(self.application, "folder", "") or os.getcwd(),
            )
            supervisor.run()

    def become_worker(self, worker: "Worker") -> None:
        """In a forked child: be a server that this process runs, as one worker of several."""
        self._supervisor, self._worker, self._on_stop = None, worker, None
        self._has_run.acquire(blocking=False)
        self._runner = threading.current_thread()
        if self.notifier is not None:
            self.notifier.close()  # the supervisor's
            self.notifier = None
        self._stop_requests.clear()
        fork.add(self)

    def serve_until_end(self, on_serving: Callable[[ServerRun], None]) -> None:
        """In a worker: serve until the end; call `on_serving` once the run has started."""
        with self._signals.handled(ACTIONS):
            try:
                self._start_run()
                if self._run is not None:
                    on_serving(self._run)
                self._wait()
            finally:
                self._end()

    def leave_status_server(self) -> None:
        """Close the listeners of the status server, which another process has, and forget it."""
        if self.status_server is not None:
            for listener in self.status_server.listeners:
                listener.abandon_after_fork()
            self.status_server = None

    # --- called by the run, or by the supervised server

    def task_factory(
        self, environ_builder: EnvironBuilder, access_log: "AccessLog | None"
    ) -> Callable[[Connection, Request], Task]:
        """Return what makes the task of a request of one listener."""
        return task_factory(self, environ_builder, access_log)

    def note_serving(self) -> None:
        """Report to the supervisor that this one succeeds, and call what `call_when_serving` was given."""
        if HANDOVER_VARIABLE in os.environ:
            from .net.handover import take_received  # lazy import: only the successor of a supervisor needs it

            handover = take_received()
            if handover is not None:
                handover.report_ready()
        if self._on_serving is not None:
            self._on_serving()

    def on_state(self, state: State) -> None:
        """Do nothing: for a subclass that wants to know."""

    def on_opened(self, connection: Connection) -> None:
        """Do nothing: for a subclass."""

    def on_closed(self, connection: Connection) -> None:
        """Do nothing: for a subclass."""

    def on_stopping(self, requests: int, ends_now: str) -> None:
        """A signal has stopped the server: call what `ending_signals` was given."""
        if self._on_stop is not None:
            self._on_stop(requests, ends_now)

    def while_waiting(self) -> None:
        """Do nothing: the leader does all there is to do."""

    # --- ending

    def ending_signals(self, on_stop: Callable[[int, str], None] | None = None) -> AbstractContextManager[None]:
        """Return a context in which signals end this server, or ask it for a report; `run` enters it by itself.

        Enter it before `run()` if a signal that arrives in between must not be lost.

        When a signal has stopped the server, the thread that runs it calls `on_stop` with the number of requests that
        it still answers, and with what ends it at once: "Ctrl-C again", for example.
        """
        if on_stop is not None:
            self._on_stop = on_stop
        return self._signals.handled(SUPERVISOR_ACTIONS if self._is_supervised else ACTIONS)

    def _stop_by_signal(self, state: State, seconds: float, ends_now: str = "") -> None:
        set_limit(seconds, None if self._supervisor is None else self._supervisor.kill_workers)
        self._append_stop(StopRequest(state, time.monotonic() + seconds, is_signal=True, ends_now=ends_now))

    def _act_on_signal(self, action: Action, name: str) -> None:
        if self._is_supervised:
            self._supervisor_actions.append((action, name))
        else:
            self._waiter_callbacks.append(partial(self._act_on_request, action, name))
        self._wake()

    def _act_on_request(self, action: Action, name: str) -> None:
        # Lazy import: hardly any server gets such a signal. Not in the signal's handler: a second signal would find the
        # module half imported.
        from .lifecycle import requested

        requested.act(self, action, name)

    def request_stop(self, state: State, seconds: float, *, retires: bool = False) -> None:
        """End the server, at the latest in so many seconds: LEAVING in order, CLOSING at once.

        A worker that `retires` leaves new clients to others. Thread: any; takes no lock.
        """
        self._append_stop(StopRequest(state, time.monotonic() + seconds, retires=retires))

    def _append_stop(self, request: StopRequest) -> None:
        self._stop_requests.append(request)
        self._wake()

    def _wake(self) -> None:
        """Make the supervisor, or the leaders, check what has been requested. Takes no lock."""
        if self._supervisor is not None:
            self._supervisor.wake()
        for run in self._runs:
            run.wake_leader()

    def shutdown(self, timeout: float | None = None) -> None:
        """End the server gracefully: answer the requests in progress, close idle connections, and accept nothing new.

        With `shutdown_delay`, new clients are answered for that long first. Requests that are not answered `timeout`
        seconds after the call, by default `shutdown_timeout`, are cut off, and the log reports it. A server that does
        not run is closed.

        Thread: any, any number of times; the shortest time counts. Returns as `close` does.
        """
        if self._has_run.locked():
            seconds = self.adj.shutdown_timeout if timeout is None else timeout
            self.request_stop(State.LEAVING, seconds)
            self._await_end(seconds)
        else:
            self.close()

    def close(self) -> None:
        """End the server now: running requests and responses that are being sent get 5 seconds, all others are cut off.

        Thread: any, any number of times. Returns when everything has ended. If the application, a signal handler or
        other code in the thread of `run` calls it, it returns at once.
        """
        self.request_stop(State.CLOSING, self.close_seconds)
        if self._has_run.locked():
            self._await_end(self.close_seconds)
        else:
            self.close_listeners()
            self._close_status_server()

    def _await_end(self, seconds: float) -> None:
        if threading.current_thread() in (self._runner, *(one for run in self._runs for one in run.threads)):
            return
        # Bounded: a signal handler may call this. The reactor checks the time once a second.
        self._ended.wait(seconds + TICK_SECONDS + ServerRun.threads_seconds)

    def abandon_after_fork(self) -> None:
        """In a forked child: release what is the parent's. The server has ended here, and never waits."""
        for run in self._runs:
            run.abandon_after_fork()
        self._ended.set()

    def close_listeners(self) -> None:
        """Stop listening; a server that runs must have ended."""
        for listener in self._listeners:
            listener.close()

    def _close_status_server(self) -> None:
        if self.status_server is not None:
            self.status_server.close()


class _SingleServer(BaseWSGIServer):
    """A server on one listener."""

    @property
    def effective_host(self) -> str:
        """The numeric address of the listener; `unix` for a unix socket."""
        return self._listeners[0].host

    @property
    def effective_port(self) -> str:
        """The port of the listener, in decimal; the path for a unix socket."""
        return self._listeners[0].port

    @property
    def socket(self) -> socket.socket:
        """The listening socket."""
        return self._listeners[0].socket

    def fileno(self) -> int:
        """Return the listening socket's descriptor."""
        return self._listeners[0].descriptor


class TcpWSGIServer(_SingleServer):
    """A server on one TCP address: the first one in the settings, or the given socket."""

    def _open(self, adj: Adjustments) -> list[Listener]:
        if adj.unix_socket is not None or any(sock.family == AF_UNIX for sock in adj.sockets):
            raise ValueError("a TcpWSGIServer listens on a TCP address: for a unix socket take a UnixWSGIServer")
        return open_listeners(adj, adj.listen[:1])


class UnixWSGIServer(_SingleServer):
    """A server on a unix socket; it removes the path at its end."""

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
    **adjustments: "Unpack[Settings]",
) -> BaseWSGIServer:
    """Create the server that the settings ask for, listening on a unix socket, on one address, or on several.

    Raises: see `BaseWSGIServer`.
    """
    check_application(application)
    adj = Adjustments(**adjustments)
    kind = server_class_for(adj, TcpWSGIServer, UnixWSGIServer, MultiSocketServer)
    return kind(application, dispatcher, adj)


def server_class_for(adj: Adjustments, tcp: Kind, unix: Kind, several: Kind) -> Kind:
    """Return the one of three classes of server that fits the listeners in the settings."""
    if adj.unix_socket is not None or (len(adj.sockets) == 1 and adj.sockets[0].family == AF_UNIX):
        return unix
    if len(adj.sockets or adj.listen) != 1 or any(address.inherited for address in adj.listen):
        return several  # a word may name several sockets to inherit, of either kind
    return tcp
