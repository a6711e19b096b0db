"""The servers: what `create_server` returns, and how they are run and ended.

A server is bound and listens from its construction; it serves while `run` runs, or from `start` to its end. All real
work is done by the run (`lifecycle.run`).
"""

import os
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, ExitStack, nullcontext
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
from .lifecycle.run import ServerRun
from .lifecycle.signals import (
    ACTIONS,
    SUPERVISOR_ACTIONS,
    Action,
    action_for,
    handled_signals,
    is_main_thread,
    what_ends_now,
)
from .lifecycle.states import CLOSE_SECONDS, StopRequest
from .net.binding import open_listeners
from .net.listener import Listener
from .observability.stats import Counters, ServerStats, add_stats, make_stats
from .reactor.reactor import TICK_SECONDS
from .threads.dispatcher import Dispatcher, start_thread
from .threads.tasks import Task, TaskSink
from .wsgi.environ import EnvironBuilder
from .wsgi.proxy_headers import ProxyPolicy
from .wsgi.task import WSGITask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication
    from typing_extensions import Unpack

    from .config.keywords import Settings
    from .lifecycle.notify import Notifier
    from .net.tls_contexts import TlsContexts
    from .observability.access_log import AccessLog
    from .observability.snapshot import Snapshot
    from .processes.side_by_side import SideWorkers
    from .processes.states import Event
    from .processes.worker import SupervisorView, Worker
    from .status.document import Supervision

ONLY_IN_MAIN_THREAD = "worker processes are run by run() in the main thread: no other one can handle signals"

Kind = TypeVar("Kind")
TaskKind = TypeVar("TaskKind", bound=WSGITask)
Self = TypeVar("Self", bound="BaseWSGIServer")


class BaseWSGIServer:
    """A server; its class says on which listeners.

    `application` may be replaced before `run`. With `dispatcher`, every request goes to its `add_task`. The settings
    are `adj`, or keyword arguments.

    `close_seconds` is the time that `close` gives to running requests and to responses that are being sent.

    Raises:
        ValueError: a setting is invalid (see `Adjustments`), a certificate or key cannot be loaded, or the application
            is none (see `check_application`).
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
        check_application(application)
        self.application = application
        adj = Adjustments(**adjustments) if adj is None else adj
        self.adj = adj
        self.proxy_policy = ProxyPolicy(adj)
        self.server_name = adj.server_name
        self._delegate = None if isinstance(dispatcher, Dispatcher) else dispatcher
        own = dispatcher if isinstance(dispatcher, Dispatcher) else self._make_dispatcher("waitress")
        self._dispatcher = own
        self.task_dispatcher: Any = own if dispatcher is None else dispatcher
        # Appended to by any thread or signal handler, without a lock
        self._stop_requests: list[StopRequest] = []
        self._waiter_callbacks: deque[Callable[[], None]] = deque()
        # Main thread only: when a signal has made the server drain; whether standard input was a terminal before
        self._draining_since: float | None = None
        self._has_terminal = False
        self._on_stop: Callable[[int, str], None] | None = None  # set before the server runs
        self._on_serving: Callable[[], None] | None = None  # set before the server runs
        self._remake: Callable[[], BaseWSGIServer] | None = None  # likewise
        self._notifier: Notifier | None = None  # while `run` runs, under systemd
        self._has_run = threading.Lock()  # held from the first `run` or `start` on, for ever
        self._runner: threading.Thread | None = None
        self._run: ServerRun | None = None
        # Appended to by a signal handler, acted on by the supervisor
        self._supervisor_actions: deque[tuple[Action, str]] = deque()
        self._supervisor: SupervisorView | None = None
        self._worker: Worker | None = None  # in a worker process
        self._side_workers: SideWorkers | None = None  # with several workers in this process, those beyond the first
        self._reloading = ExitStack()  # while the supervisor reloads: systemd is told of its end
        self._ended = threading.Event()
        self.tls_contexts = self._load_certificates(adj)
        self._listeners = self._open(adj)
        # Set once. It starts before the server and ends after it.
        self._status_server: BaseWSGIServer | None = None
        if getattr(adj, "status_listen", None):  # `adj` may be a program's own object
            try:
                self._status_server = make_status_server(adj, self.status_snapshots, self._supervision)
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

    def stats(self) -> ServerStats:
        """Return a snapshot of the counters: zero before the server starts, the final totals after it stops.

        With worker processes, this is the sum of what each of them has counted until a second ago.

        Thread: any. Takes no lock; takes a moment for each open connection.
        """
        summed = None if self._supervisor is None else self._supervisor.stats()
        if summed is not None:
            return summed
        if self._run is None:
            return make_stats(
                Counters(), Counters().by_status, 0, dict.fromkeys(STATE_NAMES, 0), 0, self._dispatcher.thread_count, ()
            )
        if self._side_workers is not None:
            return add_stats([self._run.stats(), *self._side_workers.stats()])
        return self._run.stats()

    # --- serving

    def run(self) -> None:
        """Serve until SIGTERM, SIGINT, `shutdown` or `close`; return when everything has ended.

        In the main thread the two signals do what `shutdown` does, unless the program handles them; a further SIGINT
        half a second or more later ends the server at once.

        If the server has been closed before, this returns at once: a thread that closes it cannot know how far the
        thread that runs it has got.

        In the main thread systemd is told what the server does, if that has set NOTIFY_SOCKET (see `lifecycle.notify`).

        Raises:
            RuntimeError: the server is running or has run.
            CannotStartThread: the system has no thread left; nothing stays open.
        """
        self._claim()
        with self.ending_signals():
            try:
                self._notifier = self._make_notifier()
                if self._is_supervised:
                    self._supervise()
                else:
                    self._start_run()
                    if self._run is not None:
                        self._note_serving()
                    self._wait()
            finally:
                self._end()

    def _note_serving(self) -> None:
        if self._on_serving is not None:
            self._on_serving()

    @property
    def _is_supervised(self) -> bool:
        """Whether other processes serve, and this one supervises them."""
        if self._worker is not None:
            return False
        # `adj` may be a program's own object, with the settings of waitress 3.0.
        wants_processes = getattr(self.adj, "has_worker_processes", False)
        return wants_processes or isinstance(self.application, DeferredApplication)

    def _supervise(self) -> None:
        """Fork workers, each of which serves by `serve_as_worker`, and watch them."""
        if sys.platform != "win32":  # where the settings have refused it
            from .processes.supervisor import Supervisor, freeze_memory  # lazy import: most servers have one process

            if not is_main_thread():
                raise RuntimeError(ONLY_IN_MAIN_THREAD)
            if not isinstance(self.application, DeferredApplication):
                freeze_memory()
            supervisor = self._supervisor = Supervisor(
                self,
                workers=self.adj.workers,
                stop_requests=self._stop_requests,
                actions=self._supervisor_actions,
                folder=getattr(self.application, "folder", "") or os.getcwd(),
            )
            supervisor.run()

    def serve_as_worker(self, worker: "Worker") -> None:
        """Serve in a worker process: called by the supervisor, in the child of a fork, until the end."""
        self._supervisor, self._worker, self._on_stop = None, worker, None
        self._has_run.acquire(blocking=False)
        self._runner = threading.current_thread()
        if self._notifier is not None:
            self._notifier.close()  # the supervisor's
            self._notifier = None
        self._stop_requests.clear()
        fork.add(self)
        if self.tls_contexts is not None:
            self.tls_contexts.leave_warnings()  # to the supervisor
        for listener in self._listeners:
            listener.leave_path()
        if self._status_server is not None:
            self._status_server.abandon_listeners()  # another process has it
            self._status_server = None
        if isinstance(self.application, DeferredApplication):
            self.application = self._load(self.application, worker)
        with handled_signals(self._on_signal):
            try:
                self._start_run()
                if self._run is not None:
                    requests = self._run.request_count
                    worker.note_serves(
                        snapshot=self.snapshot,
                        requests=requests,
                        stop=self._request_stop,
                        on_orphaned=self._reclaim_paths,
                    )
                self._wait()
            finally:
                self._end()
                worker.publish()

    def _reclaim_paths(self) -> None:
        for listener in self._listeners:
            listener.reclaim_path()

    def _load(self, deferred: DeferredApplication, worker: "Worker") -> "WSGIApplication":
        if deferred.watched is None:
            return deferred.load()
        from watchfiles import watch

        from .processes.reloading import CodeWatcher  # lazy import: for development only

        watcher = CodeWatcher(watch, deferred.watched, worker.report_change)
        application = watcher.load(deferred.load)
        watcher.start()
        return application

    def snapshot(self) -> dict[str, object]:
        """Return what the supervisor may know of this worker, as JSON has it: once a second, up to 32 KiB."""
        running = [(repr(task), seconds) for _, task, seconds in self._dispatcher.running()]
        status = {"status": self._run.snapshot()} if self.adj.status_listen and self._run is not None else {}
        return {"stats": self.stats()._asdict(), "running": running, **status}

    def status_snapshots(self) -> "list[Snapshot]":
        """Return what the status server tells of each worker in this process; without `status_listen` no requests.

        Thread: any. Takes a moment for each open connection.
        """
        if self._supervisor is not None:
            return self._supervisor.status_snapshots()
        if self._run is None:
            return []
        if self._side_workers is None:
            return [self._run.snapshot()]
        runs = (self._run, *self._side_workers.runs)
        return [{**run.snapshot(), "worker": number} for number, run in enumerate(runs, 1)]

    def _supervision(self) -> "Supervision | None":
        return None if self._supervisor is None else self._supervisor.supervision()

    def serve_status(self) -> None:
        """Serve the status server, in a process of its own: called by the supervisor, in the child of a fork.

        Returns when the parent process is gone.
        """
        parent = os.getppid()
        self.abandon_listeners()
        if self._status_server is not None:
            for listener in self._status_server._listeners:
                listener.leave_path()
            self._status_server.start()
        while os.getppid() == parent:
            time.sleep(TICK_SECONDS)

    def abandon_listeners(self) -> None:
        """In a forked child: close its copies of the listening sockets, which are another process's."""
        for listener in self._listeners:
            listener.abandon_after_fork()

    def on_supervisor(self, event: "Event", supervisor: "SupervisorView") -> None:
        """Tell systemd, and whoever waits for the server to serve, what the supervisor of the worker processes does."""
        from .processes import states  # lazy import: only a supervisor calls this

        if event is states.Event.READY:
            self._note_serving()
        if self.tls_contexts is not None:
            if event is states.Event.RELOAD:
                self.tls_contexts.reload()  # the workers that are forked from now on have the new ones
            elif event is states.Event.TICK:
                self.tls_contexts.check_expiries()
        notifier, state = self._notifier, supervisor.state
        if notifier is None:
            return
        if event is states.Event.TICK:
            notifier.keep_alive()
        elif event is states.Event.READY:
            notifier.ready(f"Serving on {' '.join(self.urls)} with {self.adj.workers} workers")
        elif event is states.Event.HANDED_OVER:
            notifier.main_pid(supervisor.successor_pid)
        elif state is states.SupervisorState.RELOADING:
            self._reloading.enter_context(notifier.reloading())
        elif state is states.SupervisorState.SERVING:
            self._reloading.close()
        elif state is states.SupervisorState.STOPPING and not supervisor.successor_pid:
            notifier.stopping("requests in progress are answered")

    def call_when_serving(self, callback: Callable[[], None]) -> None:
        """Have `run` call this once the server serves, in the thread that runs it; what it raises ends the server."""
        self._on_serving = callback

    def call_when_reloading(self, make: "Callable[[], BaseWSGIServer]") -> None:
        """Have a supervisor call this for SIGHUP: it returns a server with the settings of now, which its workers run.

        That finds the listening sockets of this one open. What it raises, a ValueError or OSError, leaves all as it is.
        """
        self._remake = make

    def remake(self, old: "BaseWSGIServer") -> "BaseWSGIServer":
        """Return the server that workers run from now on in place of `old`: called by the supervisor."""
        if self._remake is None:
            return old
        from .net.handover import offered  # lazy import: only a supervisor calls this

        # The status server stays what it is: what the new one was given is another descriptor of the same sockets.
        with offered([*old._listeners, *self.status_listeners]):
            new = self._remake()
        if new._status_server is not None:
            new._status_server.abandon_listeners()
            new._status_server = None
        paths = {listener.port for listener in new._listeners if listener.is_unix}
        for listener in old._listeners:
            if not listener.owns_path:  # inherited: the new listener has the same descriptor
                listener.socket.detach()
            elif listener.port in paths:
                listener.leave_path()
        old._close_listeners()
        self.adj = new.adj
        return new

    @property
    def listeners(self) -> list[Listener]:
        """What it listens on."""
        return self._listeners

    @property
    def status_listeners(self) -> list[Listener]:
        """What its status server listens on; empty without one."""
        return [] if self._status_server is None else self._status_server.listeners

    def release(self) -> None:
        """Stop listening: for a server that has been made for workers, and has not run here."""
        self._close_listeners()

    def start(self) -> None:
        """Serve in the background until `shutdown` or `close`; it serves when this returns. Signals are not handled.

        The threads do not keep the process alive. As a context manager, a server is started, and closed at the end.

        Raises: as `run`.
        """
        if self._is_supervised:
            raise RuntimeError(ONLY_IN_MAIN_THREAD)
        self._claim()
        try:
            self._start_run()
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
        """Make the current thread the one that serves."""
        if not self._has_run.acquire(blocking=False):
            state = "has ended" if self._ended.is_set() else "is serving already"
            raise RuntimeError(f"this server {state}: create_server makes another one")
        self._runner = threading.current_thread()
        if not self._is_supervised:  # a supervisor forks to have the child serve
            fork.add(self)

    def _make_dispatcher(self, name: str) -> Dispatcher:
        seconds = self.adj.queue_warning_seconds
        return Dispatcher(self.adj.threads, self._delegate, queue_warning_seconds=seconds, name=name)

    def _set_up_dispatcher(self, dispatcher: Dispatcher) -> None:
        """Do nothing: for a subclass."""

    def _make_side_workers(self) -> "SideWorkers":
        from .processes.side_by_side import SideWorkers  # lazy import: only free-threaded interpreters can use it

        def make_dispatcher(name: str) -> Dispatcher:
            dispatcher = self._make_dispatcher(name)
            self._set_up_dispatcher(dispatcher)
            return dispatcher

        return SideWorkers(self, self._listeners, self._stop_requests, make_dispatcher, workers=self.adj.workers)

    def _make_notifier(self) -> "Notifier | None":
        if "NOTIFY_SOCKET" not in os.environ or not is_main_thread():  # in another one it may be a part of a program
            return None
        from .lifecycle.notify import notifier_for  # lazy import: only services of systemd need it

        return notifier_for(os.environ, os.getpid(), f"Serving on {' '.join(self.urls)}")

    def _start_run(self) -> None:
        if self._status_server is not None:
            self._status_server.start()
        if not any(request.state is State.CLOSING for request in self._stop_requests):
            self._set_up_dispatcher(self._dispatcher)
            if getattr(self.adj, "has_worker_threads", False):
                self._side_workers = self._make_side_workers()
            # A request that comes before the run is in the list already, one that comes later finds the run.
            self._run = ServerRun(
                self,
                self._listeners,
                self._dispatcher,
                self._stop_requests,
                self._waiter_callbacks,
                self._notifier,
                self._worker if self._side_workers is None else self._side_workers.first_slot,
            )
            self._run.start()
            if self._side_workers is not None:
                self._side_workers.start()

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
            if self._run is not None:
                self._run.close_all()
            if self._side_workers is not None:
                self._side_workers.close()
        finally:  # whatever a callback of the program has raised
            if self._notifier is not None:
                self._notifier.close()
            fork.remove(self)
            self._close_listeners()
            self._close_status_server()
            self._ended.set()

    # --- called by the run

    def task_factory(
        self, environ_builder: EnvironBuilder, access_log: "AccessLog | None"
    ) -> Callable[[Connection, Request], Task]:
        """Return what makes the task of a request of one listener."""
        kind: type[WSGITask] = WSGITask
        arguments: list[Any] = [self, environ_builder]
        if access_log is not None:
            from .wsgi.logged_task import LoggedTask  # lazy import: only servers with an access log need it

            kind = LoggedTask
            arguments.append(access_log)
        return partial(self.task_kind(kind), *arguments)

    def task_kind(self, kind: type[TaskKind]) -> type[TaskKind]:
        """Return the subclass of a task class that does what the settings ask for."""
        if self.adj.queue_timeout or self.adj.request_timeout:
            from .wsgi.bounded_task import bounded  # lazy import: only servers with a bound need it

            kind = bounded(kind)
        if self.adj.uses_proxy_protocol:
            from .wsgi.proxied_task import proxied  # lazy import: only servers with the PROXY protocol need it

            kind = proxied(kind)
        if self.adj.request_id_header:
            from .wsgi.identified_task import identified  # lazy import: only servers with request ids need it

            kind = identified(kind)
        return kind

    def on_state(self, state: State) -> None:
        """Do nothing: for a subclass that wants to know."""

    def on_opened(self, connection: Connection, accepted: socket.socket) -> None:
        """Do nothing: for a subclass."""

    def on_closed(self, connection: Connection) -> None:
        """Do nothing: for a subclass."""

    def on_stopping(self, requests: int, ends_now: str) -> None:
        """A signal has stopped the server: call what `ending_signals` was given."""
        if self._on_stop is not None:
            self._on_stop(requests, ends_now)

    def while_waiting(self) -> None:
        """Do nothing: the leader does all there is to do."""

    def reload_tls(self) -> None:
        """Read certificates and keys again, for new connections; what cannot be loaded is logged, and changes nothing.

        Thread: any. Reads files.

        Raises:
            RuntimeError: the server speaks no TLS.
        """
        if self.tls_contexts is None:
            raise RuntimeError("this server speaks no TLS: tls_certificate is not set")
        self.tls_contexts.reload()

    # --- ending

    def ending_signals(self, on_stop: Callable[[int, str], None] | None = None) -> AbstractContextManager[None]:
        """Return a context in which signals end this server, or ask it for a report; `run` enters it by itself.

        Enter it before `run()` if a signal that arrives in between must not be lost.

        When a signal has stopped the server, the thread that runs it calls `on_stop` with the number of requests that
        it still answers, and with what ends it at once: "Ctrl-C again", for example.
        """
        self._has_terminal = os.isatty(0)
        if on_stop is not None:
            self._on_stop = on_stop
        return handled_signals(self._on_signal, SUPERVISOR_ACTIONS if self._is_supervised else ACTIONS)

    def _on_signal(self, name: str) -> None:
        """Decide what to do at a signal, and request it. Thread: the main thread, in a signal handler."""
        now, since = time.monotonic(), self._draining_since
        action = action_for(
            name,
            draining_seconds=None if since is None else now - since,
            has_terminal=self._has_terminal,
            actions=SUPERVISOR_ACTIONS if self._is_supervised else ACTIONS,
        )
        if action is Action.END:
            self._request_stop(State.CLOSING, 0, is_signal=True)
        elif action is not Action.DRAIN and self._is_supervised:
            self._supervisor_actions.append((action, name))
            self._wake_leader()
        elif action is not Action.DRAIN:
            self._waiter_callbacks.append(partial(self._do_what_is_requested, action, name))
            self._wake_leader()
        elif since is None:
            self._draining_since = now
            ends_now = what_ends_now(name, has_terminal=self._has_terminal)
            self._request_stop(State.LEAVING, self.adj.shutdown_timeout, is_signal=True, ends_now=ends_now)

    def _do_what_is_requested(self, action: Action, name: str) -> None:
        """Do what a signal asks for that does not end the server. Thread: the one that waits."""
        from .lifecycle import requested  # lazy import: hardly any server gets such a signal

        if action is Action.IGNORE:
            requested.report_ignored(name)
            return
        if action is Action.REPORT:
            requested.reopen_log_files(name)
            requested.report(self.stats(), self._dispatcher.running())
            return
        with nullcontext() if self._notifier is None else self._notifier.reloading():
            requested.reload_logging(name)
            if self.tls_contexts is not None:
                self.tls_contexts.reload()

    def _request_stop(
        self, state: State, seconds: float, *, is_signal: bool = False, retires: bool = False, ends_now: str = ""
    ) -> None:
        self._stop_requests.append(StopRequest(state, time.monotonic() + seconds, is_signal, retires, ends_now))
        self._wake_leader()

    def _wake_leader(self) -> None:
        if self._supervisor is not None:
            self._supervisor.wake()
        elif self._run is not None:
            self._run.wake_leader()
            if self._side_workers is not None:
                self._side_workers.wake_leaders()

    def shutdown(self, timeout: float | None = None) -> None:
        """End the server in order: answer what has started, close what is idle, and accept nothing new.

        With `shutdown_delay`, new clients are answered for that long first. What is not done `timeout` seconds after
        the call, by default `shutdown_timeout`, is cut off, and the log reports it. A server that does not run is
        closed.

        Thread: any, any number of times; the shortest time counts. Returns as `close` does.
        """
        if self._has_run.locked():
            seconds = self.adj.shutdown_timeout if timeout is None else timeout
            self._request_stop(State.LEAVING, seconds)
            self._await_end(seconds)
        else:
            self.close()

    def close(self) -> None:
        """End the server now: running requests and responses that are being sent get 5 seconds, all others are cut off.

        Thread: any, any number of times. Returns when everything has ended; in an application, a signal handler, or
        anything else that the thread in `run` does, it returns at once.
        """
        self._request_stop(State.CLOSING, self.close_seconds)
        if self._has_run.locked():
            self._await_end(self.close_seconds)
        else:
            self._close_listeners()
            self._close_status_server()

    def _await_end(self, seconds: float) -> None:
        others = () if self._side_workers is None else self._side_workers.service_threads
        if threading.current_thread() not in (self._runner, *self._dispatcher.threads, *others):
            # Bounded: a signal handler may call this. The reactor checks the time once a second.
            self._ended.wait(min(seconds + TICK_SECONDS + ServerRun.threads_seconds, threading.TIMEOUT_MAX))

    def abandon_after_fork(self) -> None:
        """In a forked child: release what is the parent's. The server has ended here, and never waits."""
        if self._run is not None:
            self._run.abandon_after_fork()
        if self._side_workers is not None:
            self._side_workers.abandon_after_fork()
        self._ended = threading.Event()  # a new one: a thread that the child has not may have held the old one's lock
        self._ended.set()

    def _close_listeners(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _close_status_server(self) -> None:
        if self._status_server is not None:
            self._status_server.close()

    @property
    def status_urls(self) -> list[str]:
        """The address of each listener of the status server; empty without one."""
        return [] if self._status_server is None else self._status_server.urls

    @property
    def urls(self) -> list[str]:
        """The address of each listener: `http://HOST:PORT`, `https://HOST:PORT`, or `http://unix:PATH`."""
        return [listener.url for listener in self._listeners]

    @property
    def url(self) -> str:
        """The address of the first listener, for a client on this machine."""
        # Nobody can connect to the addresses that mean every address.
        return self.urls[0].replace("//0.0.0.0:", "//127.0.0.1:").replace("//[::]:", "//[::1]:")


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
        return several  # a word may stand for several sockets to inherit, of either kind
    return tcp


STATUS_CLOSE_SECONDS = 1.0  # for answers of a status server that are being sent at its end


def make_status_server(
    adj: Adjustments,
    snapshots: "Callable[[], Sequence[Snapshot]]",
    supervision: "Callable[[], Supervision | None]" = lambda: None,
) -> BaseWSGIServer:
    """Create the status server of a server with these settings: a second one, with a thread and a reactor of its own.

    `snapshots()` returns what each worker does, `supervision()` what their supervisor has counted.

    Raises:
        ValueError: the token cannot be had from its file.
        OSError: its address cannot be bound.
    """
    from . import __version__  # lazy import: here it is set
    from .config.status_settings import (
        settings_of_status_server,
        token_of,
    )  # lazy import: only servers with one need it
    from .status.app import StatusApplication

    own = Adjustments(**settings_of_status_server(adj))
    application = StatusApplication(
        snapshots,
        supervision,
        version=__version__,
        token=token_of(adj),
        is_unix=own.unix_socket is not None,
        ready_queue_seconds=adj.ready_queue_seconds,
    )
    kind = server_class_for(own, TcpWSGIServer, UnixWSGIServer, MultiSocketServer)
    server: BaseWSGIServer = kind(application, Dispatcher(own.threads, name="waitress-status"), own)
    server.close_seconds = STATUS_CLOSE_SECONDS
    return server
