"""One run of a server, from the first accept to the last close: wires reactor, dispatcher and connections.

What happens to a request is in `connection` and `task`; here is what happens to the server. Every step from state to
state (`lifecycle`) is made by the holder of the lead, in `_step`; the thread of `wait` only waits, and tidies up after
the lead.
"""

import logging
import socket
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from ..connection.connection import Connection
from ..connection.context import ServerContext
from ..connection.manager import ConnectionManager
from ..http.request import Request
from ..net.listener import Listener
from ..observability.stats import ServerStats, make_stats
from ..reactor.reactor import Reactor
from ..threads.dispatcher import Dispatcher
from ..threads.tasks import Task
from ..wsgi.task import TaskContext
from .states import CLOSE_SECONDS, State, StopRequest

if TYPE_CHECKING:
    from ..observability.access_log import AccessLog
    from ..observability.slow_requests import SlowRequests

logger = logging.getLogger("waitress")

THREADS_SECONDS = 2.0  # for threads that run no application to end, on a machine under load
NAMED_AT_MOST = 10  # connections that the record of a cut-off names


class Observer(TaskContext, Protocol):
    """What a run asks of its server."""

    def task_maker(self, access_log: "AccessLog | None") -> Callable[[Connection, Request], Task]:
        """Return what makes the task of a complete request, to be told of in the log. Asked once, before the first."""

    def on_opened(self, connection: Connection, accepted: socket.socket) -> None:
        """A client has connected. Thread: the holder of the lead."""

    def on_ended(self, connection: Connection) -> None:
        """A connection has ended; its descriptor may be another's at once. Thread: the holder of the lead."""

    def while_waiting(self) -> None:
        """Look after what is to be done in the thread that waits.

        Called once in `asyncore_loop_timeout`, and after `ServerRun.wake_waiter`.
        """


class ServerRun:
    """Serves `listeners` with the application of `owner`, once: `begin`, `wait`, `close_all`, in this order."""

    def __init__(
        self,
        owner: Observer,
        listeners: list[Listener],
        dispatcher: Dispatcher,
        stop_requests: list[StopRequest],
    ) -> None:
        adj = owner.adj
        # Set once, read anywhere
        self._owner = owner
        self._adj = adj
        self._dispatcher = dispatcher
        self._reactor = Reactor(ready=dispatcher.ready, on_tick=self._tick, on_wake=self._step)
        access_log = self._make_access_log()
        services = self._services = ServerContext(
            adj,
            self._reactor,
            owner.task_maker(access_log),
            dispatcher.ready.append,
            dispatcher.yield_leadership,
            access_log,
        )
        self.manager = ConnectionManager(services, listeners)
        # Who calls whom
        services.remove = self.manager.remove
        self.manager.on_opened = owner.on_opened
        self.manager.on_ended = owner.on_ended
        for queue in services.deadlines:
            self._reactor.add_deadlines(queue)
        self._leadership_ended = threading.Event()
        self._stirred = threading.Event()  # the thread that waits has something to look after
        # Appended to by any thread, called by the holder of the lead
        self._callbacks: deque[Callable[[], None]] = deque()
        # Appended to by any thread or signal handler; the holder of the lead acts on those for the highest state.
        self._stop_requests = stop_requests
        # Written by whoever asks for stats; a lost update makes a counter stand still once, nothing else
        self._most_bytes_out = 0
        # The holder of the lead only
        self._slow_requests = self._make_slow_requests()
        self.state = State.READY
        self._leaves_at = 0.0  # when LEAVING ends at the latest

    # What few servers want is imported only for those.

    def _make_access_log(self) -> "AccessLog | None":
        if not self._adj.access_log:
            return None
        from ..observability.access_log import AccessLog

        return AccessLog(self._adj.access_log_format, self._reactor.clock)

    def _make_slow_requests(self) -> "SlowRequests | None":
        if not self._adj.log_slow_requests:
            return None
        from ..observability.slow_requests import SlowRequests

        return SlowRequests(self._adj.log_slow_requests, self._dispatcher.running)

    # --- any thread

    def wake_leader(self) -> None:
        """Act on a new wish at once. Takes no lock: a signal handler may call it."""
        self._reactor.wake()

    def call_soon_threadsafe(self, errand: Callable[[], None]) -> None:
        """Have the holder of the lead call this, which must not block, between two turns: the way to close a connection
        from another thread. After the end nothing is called: all is closed then.
        """
        self._callbacks.append(errand)
        self._reactor.wake()

    def wake_waiter(self) -> None:
        """Have `Observer.while_waiting` called at once."""
        self._stirred.set()

    def stats(self) -> ServerStats:
        """Tell what the server does at this moment."""
        counters = self._services.counters
        # In this order a connection that ends meanwhile may be missed, which the maximum hides, but not counted twice.
        ended_bytes_out = counters.ended_bytes_out
        connections = list(self.manager.connections.copy().values())
        sent = sum(connection.sender.sent_bytes for connection in connections)
        self._most_bytes_out = max(self._most_bytes_out, ended_bytes_out + sent)
        return make_stats(
            counters,
            self._most_bytes_out,
            [connection.activity for connection in connections],
            len(self._dispatcher.ready) + self._dispatcher.waiting_count,
            self._dispatcher.thread_count,
            self._dispatcher.running(),
        )

    # --- the thread in run(), or the one of start(): runs no application code and, while there is a lead, no I/O

    def begin(self) -> None:
        """Begin to serve.

        Raises:
            CannotStartThread: the system has none left.
        """
        self.manager.begin()
        self.state = State.SERVING
        self._dispatcher.start(self._reactor.turn)

    def wait(self) -> None:
        """Wait until the lead has ended."""
        try:
            # In slices: on Windows a wait without an end cannot be interrupted.
            while not self._leadership_ended.is_set():
                self._stirred.wait(self._adj.asyncore_loop_timeout or 1)
                self._stirred.clear()
                self._owner.while_waiting()
        except BaseException as error:
            # From a signal handler that is not ours, and then its exception ends with the server; or from the owner.
            is_exit = isinstance(error, (KeyboardInterrupt, SystemExit))
            until = self._reactor.clock() + CLOSE_SECONDS
            self._stop_requests.append(StopRequest(State.CLOSING, until, is_signal=is_exit))
            self.wake_leader()
            self._leadership_ended.wait(CLOSE_SECONDS + THREADS_SECONDS)
            if not is_exit:
                raise

    def close_all(self) -> None:
        """Leave nothing, also of what could not begin. There is no reactor any more: what is left is this thread's."""
        still_running = self._dispatcher.stop_threads(THREADS_SECONDS)
        if still_running:
            logger.warning("%d thread(s) still running", still_running)
        self._dispatcher.cancel_pending()
        self.manager.stop_listening()
        self.manager.close_all(but_busy=False)
        self._reactor.close()
        self._dispatcher.cancel_pending()  # what those ends have left: files to close, lines of the access log
        self.state = State.CLOSED

    # --- the holder of the lead

    def _tick(self) -> None:
        self.manager.tick()
        self._dispatcher.tick()
        if self._slow_requests is not None:
            self._slow_requests.tick()
        self._step()

    def _step(self) -> None:
        """Run callbacks; move on to the wanted state, and from one whose work or time has ended."""
        while self._callbacks:
            self._callbacks.popleft()()
        if not self._stop_requests:
            return
        now = self._reactor.now
        wanted = max(self._stop_requests).state
        until = min(wish.until for wish in self._stop_requests if wish.state is wanted)
        if wanted is State.LEAVING:
            if self.state is State.SERVING:
                self._begin_leaving(now)
            if self.state is State.LEAVING and now >= min(self._leaves_at, until):
                self.state = State.DRAINING
                self.manager.drain()
            if now >= until and self.manager.connections:
                self._log_cut_off()
                wanted = State.CLOSING
                self._stop_requests.append(StopRequest(wanted, now))
        if wanted is State.CLOSING:
            if self.state is not wanted:
                self._begin_closing()
            self.manager.close_all(but_busy=now < until)
        if self.state is State.LEAVING:
            return
        is_over = wanted is State.CLOSING and now >= until
        if self._dispatcher.ready and not is_over:
            self._reactor.wake()  # what is ready runs first: closing a file, say
        elif is_over or not self.manager.connections:
            self._dispatcher.end_leadership()
            self._report_ended()

    def _report_ended(self) -> None:
        self._leadership_ended.set()
        self._stirred.set()

    def _begin_leaving(self, now: float) -> None:
        self.state = State.LEAVING
        self._leaves_at = now + self._adj.shutdown_delay
        if any(wish.is_signal for wish in self._stop_requests):
            logger.info(
                "Stopping: requests under way are answered; a further SIGTERM or SIGINT ends the server at once"
            )
        else:
            logger.info("Stopping: requests under way are answered")
        self.manager.on_emptied = self._reactor.wake
        self.manager.leave()

    def _begin_closing(self) -> None:
        self.state = State.CLOSING
        self.manager.on_emptied = self._reactor.wake
        self.manager.stop_listening()
        cancelled = self._dispatcher.cancel_pending()
        if cancelled:
            logger.warning("Canceling %d pending task(s)", cancelled)

    def _log_cut_off(self) -> None:
        connections = list(self.manager.connections.values())
        named = ", ".join(map(repr, connections[:NAMED_AT_MOST]))
        more = ", ..." if len(connections) > NAMED_AT_MOST else ""
        logger.warning("%d connection(s) cut off, not done in time: %s%s", len(connections), named, more)

    # --- a forked child

    def abandon_after_fork(self) -> None:
        """Let go of everything that the child shares with its parent, in silence: the parent goes on serving."""
        self._dispatcher.abandon_after_fork()
        self._reactor.abandon_after_fork()
        self.manager.abandon_after_fork()
        self.state = State.CLOSED
        self._report_ended()
