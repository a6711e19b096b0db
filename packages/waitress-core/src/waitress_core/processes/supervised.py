"""A server with worker processes, as its supervisor, its workers, and the process of its status server run it.

Each of them is a fork of the process that made the server, and keeps of it what is its own: the supervisor keeps the
paths of unix sockets, the notifier of systemd and the warnings about certificates; a worker keeps listeners and
application; the process of the status server keeps the status server. What one has no use for it closes: the system
lets nobody listen on an address as long as a process has the socket.

Thread: the main thread of each process.
"""

import os
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, Protocol

from ..config.adjustments import Adjustments
from ..config.application import DeferredApplication
from ..connection.context import State
from ..lifecycle.figures import RunFigures
from ..lifecycle.run import ServerRun
from ..net.handover import offered
from ..net.listener import Listener
from ..reactor.reactor import TICK_SECONDS
from .states import Event, SupervisorState
from .worker import SupervisorView, Worker

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from ..lifecycle.notify import Notifier
    from ..net.tls_contexts import TlsContexts


class Server(Protocol):
    """The server of a program, as this file sees it."""

    adj: Adjustments
    application: "WSGIApplication"
    notifier: "Notifier | None"
    tls_contexts: "TlsContexts | None"

    @property
    def urls(self) -> list[str]:
        """The address of each listener."""

    @property
    def listeners(self) -> list[Listener]:
        """What it listens on."""

    @property
    def status_server(self) -> "Server | None":
        """Its status server; None without one."""

    def start(self) -> None:
        """Serve in the background: for a status server."""

    def close_listeners(self) -> None:
        """Stop listening."""

    def leave_status_server(self) -> None:
        """Close the listeners of the status server, which another process has, and forget it."""

    def request_stop(self, state: State, seconds: float, *, retires: bool = False) -> None:
        """End the server: see `lifecycle.states`. Thread: any."""

    def note_serving(self) -> None:
        """Report to the program that the server serves."""

    def become_worker(self, worker: Worker) -> None:
        """In a forked child: be a server that this process runs, as one worker of several."""

    def serve_until_end(self, on_serving: Callable[[ServerRun], None]) -> None:
        """Serve until the end; call `on_serving` once the run has started."""


class SupervisedServer:
    """One server of a program; `make` makes another one from the settings of now, None if they never change.

    `others` are listeners that its workers inherit, and do not serve. A `worker.WorkerServer`.
    """

    def __init__(
        self, server: Server, make: Callable[[], Server] | None = None, *, others: Sequence[Listener] = ()
    ) -> None:
        self._server = server
        self._make = make
        self._others = others
        self._remade: SupervisedServer | None = None  # what workers run, after a reload
        self._reloading = ExitStack()  # while the supervisor reloads: systemd is notified of its end

    @property
    def adj(self) -> Adjustments:
        """The settings."""
        return self._server.adj

    @property
    def listeners(self) -> list[Listener]:
        """What it listens on."""
        return self._server.listeners

    @property
    def status_listeners(self) -> list[Listener]:
        """What its status server listens on; empty without one."""
        status_server = self._server.status_server
        return [] if status_server is None else status_server.listeners

    # --- in the supervisor

    def on_supervisor(self, event: Event, supervisor: SupervisorView) -> None:
        """Report to the program and to systemd what has happened in the supervisor. Starts no thread."""
        server, state = self._server, supervisor.state
        if event is Event.READY:
            server.note_serving()
        if server.tls_contexts is not None:
            if event is Event.RELOAD:
                server.tls_contexts.reload()  # the workers that are forked from now on have the new ones
            elif event is Event.TICK:
                server.tls_contexts.check_expiries()
        notifier = server.notifier
        if notifier is None:
            return
        if event is Event.TICK:
            notifier.keep_alive()
        elif event is Event.READY:
            notifier.ready(f"Serving on {' '.join(server.urls)} with {server.adj.workers} workers")
        elif event is Event.REPLACED:
            notifier.main_pid(supervisor.successor_pid)
        elif state is SupervisorState.RELOADING:
            self._reloading.enter_context(notifier.reloading())
        elif state is SupervisorState.SERVING:
            self._reloading.close()
        elif state is SupervisorState.STOPPING and not supervisor.successor_pid:
            notifier.stopping("requests in progress are answered")

    def remake(self, old: "SupervisedServer") -> "SupervisedServer":
        """Return the server that workers run from now on in place of `old`, which may be the same.

        Raises:
            ValueError, OSError: the settings of now are invalid; nothing has changed.
        """
        if self._make is None:
            return old
        # The status server stays what it is: what the new one was given is another descriptor of the same sockets.
        with offered([*old.listeners, *self.status_listeners]):
            new = self._make()
        new.leave_status_server()
        paths = {listener.port for listener in new.listeners if listener.is_unix}
        for listener in old.listeners:
            if not listener.owns_path:  # inherited: the new listener has the same descriptor
                listener.socket.detach()
            elif listener.port in paths:
                listener.leave_path()
        old.release()
        self._server.adj, self._server.tls_contexts = new.adj, new.tls_contexts
        self._remade = SupervisedServer(new, others=self.status_listeners)
        return self._remade

    def release(self) -> None:
        """Stop listening: for a server that has been made for workers, and has not run here."""
        self._server.close_listeners()

    # --- in a child

    def serve_as_worker(self, worker: Worker) -> None:
        """Serve in a worker process until the end."""
        server = self._server
        server.become_worker(worker)
        if server.tls_contexts is not None:
            server.tls_contexts.leave_warnings()
        for listener in server.listeners:
            listener.leave_path()
        server.leave_status_server()
        for listener in self._others:
            listener.abandon_after_fork()
        application: Any = server.application
        if isinstance(application, DeferredApplication):
            worker.report("loads")
            with worker.ending_with_supervisor():
                server.application = _load(application, worker)

        def on_serving(run: ServerRun) -> None:
            worker.note_serves(
                snapshot=lambda: published(run.figures, with_status=bool(server.adj.status_listen)),
                requests=run.figures.request_count,
                stop=server.request_stop,
                on_orphaned=self._reclaim_paths,
            )

        try:
            server.serve_until_end(on_serving)
        finally:
            worker.publish()

    def _reclaim_paths(self) -> None:
        for listener in self.listeners:
            listener.reclaim_path()

    def serve_status(self, parent: int) -> None:
        """Serve the status server in its own process, for as long as the parent, a process, is there."""
        for listener in (*self.listeners, *([] if self._remade is None else self._remade.listeners)):
            listener.abandon_after_fork()
        for listener in self.status_listeners:
            listener.leave_path()
        if self._server.status_server is not None:
            self._server.status_server.start()
        while os.getppid() == parent:
            time.sleep(TICK_SECONDS)


def published(figures: RunFigures, *, with_status: bool) -> dict[str, object]:
    """Return what other processes may know of a worker, as JSON can express it: once a second, up to 32 KiB."""
    running = [(repr(task), seconds) for _, task, seconds in figures.running()]
    status = {"status": figures.snapshot()} if with_status else {}
    return {"stats": figures.stats()._asdict(), "running": running, **status}


def _load(deferred: DeferredApplication, worker: Worker) -> "WSGIApplication":
    if deferred.watched is None:
        return deferred.load()
    from .reloading import load_and_watch  # lazy import: for development only

    return load_and_watch(deferred.load, deferred.watched, worker.report_change)
