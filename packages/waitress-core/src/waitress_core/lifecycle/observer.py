"""To whom a run reports: the server of the program, and the worker that the run is, if it is one of several.

For type checkers only: nothing imports this file at run time. Each is given to `run.ServerRun` by whoever makes it.
"""

from collections.abc import Callable
from typing import Protocol

from ..connection.connection import Connection
from ..connection.context import AcceptShare, State
from ..http.request import Request
from ..net.tls_contexts import TlsContexts
from ..observability.access_log import AccessLog
from ..threads.tasks import Task
from ..wsgi.environ import EnvironBuilder
from ..wsgi.task import TaskContext


class Observer(TaskContext, Protocol):
    """The server, as its run sees it."""

    close_seconds: float  # for running applications, and responses being sent, when the server is closed
    tls_contexts: TlsContexts | None  # of the listeners that speak TLS

    def task_factory(
        self, environ_builder: EnvironBuilder, access_log: AccessLog | None
    ) -> Callable[[Connection, Request], Task]:
        """Return what makes the task of a complete request. Called once for each listener, before the first request."""

    def on_state(self, state: State) -> None:
        """The server has moved to a state. Thread: the leader, or the one that runs the server."""

    def on_opened(self, connection: Connection) -> None:
        """A client has connected. Thread: the leader."""

    def on_closed(self, connection: Connection) -> None:
        """A connection has ended; its descriptor may be another's at once. Thread: the leader."""

    def on_stopping(self, requests: int, ends_now: str) -> None:
        """A signal has stopped the server; so many requests are answered first, unless `ends_now` (see `StopRequest`).

        Thread: the one that waits.
        """

    def while_waiting(self) -> None:
        """Do what is to be done in the thread that waits.

        Called once in `asyncore_loop_timeout`, and after `ServerRun.wake_waiter`.
        """


class WorkerSlot(AcceptShare, Protocol):
    """One of several workers, as its run sees it. Thread: the leader."""

    def on_state(self, state: State) -> None:
        """The server has moved to a state."""

    def on_tick(self) -> None:
        """Do what is to be done once a second."""

    def ask_to_be_replaced(self, reason: str) -> None:
        """Ask for another worker in its place. Thread: any."""
