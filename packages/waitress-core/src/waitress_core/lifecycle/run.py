"""One run of a server, from the first accept to the last close: wires reactor, dispatcher and connections.

What happens to a request is in `connection` and `wsgi`; here is what happens to the server. The leader makes every move
from state to state, in `_step`, as `shutdown` decides; the thread in `wait` only waits, and closes everything after the
leadership has ended.
"""

import contextlib
import logging
import socket
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ..connection.connection import Connection
from ..connection.context import AcceptShare, Endpoint, ServerContext, State
from ..connection.manager import ConnectionManager
from ..connection.states import STATE_NAMES
from ..http.request import Request
from ..net.listener import Listener
from ..net.transport import SocketTransport, Transport
from ..observability.stats import ServerStats, make_stats
from ..reactor.reactor import Reactor
from ..safe_logger import SafeLogger
from ..threads.dispatcher import Dispatcher
from ..threads.running import RunningTask
from ..threads.tasks import Task
from ..wsgi.environ import EnvironBuilder
from ..wsgi.task import TaskContext
from .shutdown import is_over, next_state, strongest
from .states import RETIRE_SECONDS, StopRequest

if TYPE_CHECKING:
    from ..net.tls_contexts import TlsContexts
    from ..observability.access_log import AccessLog
    from ..observability.request_measures import RequestMeasures
    from ..observability.slow_requests import SlowRequests
    from ..observability.snapshot import Snapshot
    from .notify import Notifier

logger = SafeLogger(logging.getLogger("waitress"))

THREADS_SECONDS = 2.0  # for threads that run no application to end, on a machine under load
# Seconds between two checks that there is a leader; on Windows also between two checks for signals, because there no
# signal ends a wait, and Ctrl-C must end an idle server in half a second. Doubled: a lost leader is missed for two
# seconds, and Ctrl-C on Windows takes 0.2 s longer. Halved: an idle server wakes up twice as often, for nothing.
CHECK_SECONDS = 0.2 if sys.platform == "win32" else 1.0
# Ticks of a reactor, once a second, that may fail to come before systemd is not told any more that the server is alive.
# Doubled: a reactor that hangs is noticed as much later. Halved: one that was late on a machine under load would count.
STALLED_TICKS = 3
NAMED_AT_MOST = 10  # connections that the record of a cut-off names


class Observer(TaskContext, Protocol):
    """The server, as its run sees it."""

    close_seconds: float  # for running applications, and responses being sent, when the server is closed
    tls_contexts: "TlsContexts | None"  # of the listeners that speak TLS

    def task_factory(
        self, environ_builder: EnvironBuilder, access_log: "AccessLog | None"
    ) -> Callable[[Connection, Request], Task]:
        """Return what makes the task of a complete request. Called once for each listener, before the first request."""

    def on_state(self, state: State) -> None:
        """The server has moved to a state. Thread: the leader, or the one that runs the server."""

    def on_opened(self, connection: Connection, accepted: socket.socket) -> None:
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
        """Have another worker take its place. Thread: any."""


class ServerRun:
    """Serves `listeners` with the application of `observer`, once: `start`, `wait`, `close_all`, in this order."""

    threads_seconds = THREADS_SECONDS  # an attribute, so that a test can shorten it

    def __init__(
        self,
        observer: Observer,
        listeners: list[Listener],
        dispatcher: Dispatcher,
        stop_requests: list[StopRequest],
        waiter_callbacks: deque[Callable[[], None]],
        notifier: "Notifier | None" = None,
        worker: WorkerSlot | None = None,  # one of several
    ) -> None:
        adj = observer.adj
        # Set once, read anywhere
        self._observer = observer
        self._worker = worker
        self._adj = adj
        self._dispatcher = dispatcher
        self._listeners = listeners
        self._reactor = Reactor(ready=dispatcher.ready, on_tick=self._tick, on_wake=self._step)
        access_log, measures = self._make_access_log(), self._make_measures()
        self._context = ServerContext(
            adj,
            self._reactor,
            submit=self._make_submit(dispatcher),
            yield_leadership=dispatcher.yield_leadership,
            resume_leadership=dispatcher.resume_leadership,
            waiting_requests=lambda: dispatcher.waiting_count,
            access_log=access_log,
            share=worker,
            is_trusted_proxy=observer.proxy_policy.trusts,
            measures=measures,
        )
        endpoints = [self._make_endpoint(listener) for listener in listeners]
        self.manager = ConnectionManager(
            self._context, endpoints, on_opened=observer.on_opened, on_closed=self._on_closed
        )
        self._notifier = notifier  # used by the thread that waits only
        self._leadership_ended = threading.Event()
        self._waiter_woken = threading.Event()  # the thread that waits has something to do
        # Appended to by any thread, called by the leader
        self._callbacks: deque[Callable[[], None]] = deque()
        # Appended to by any thread or signal handler, acted on by the leader
        self._stop_requests = stop_requests
        # Appended to by the leader or a signal handler, called by the thread that waits
        self._waiter_callbacks = waiter_callbacks
        # Written by any thread that asks for stats: a lost update makes a counter stand still once, nothing else
        self._most_bytes_out = 0
        # Written by the leader, read by the thread that waits
        self._ticked_at = self._reactor.now
        # Reactor only
        self._slow_requests = self._make_slow_requests()
        self._more_ticks: list[Callable[[], None]] = []
        if self._slow_requests is not None:
            self._more_ticks.append(self._slow_requests.tick)
        if adj.request_timeout:
            from ..observability.request_timeout import RequestTimeouts  # lazy import: only few servers need it

            self._more_ticks.append(RequestTimeouts(adj.request_timeout, dispatcher.running, self._give_up).tick)
        if self._context.refusals is not None:
            self._more_ticks.append(self._context.refusals.tick)
        if observer.tls_contexts is not None:
            self._more_ticks.append(observer.tls_contexts.check_expiries)
        if worker is not None:
            self._more_ticks.append(worker.on_tick)
        self._left_at = 0.0  # when LEAVING began

    def _make_endpoint(self, listener: Listener) -> Endpoint:
        adj = self._adj
        environ_builder = EnvironBuilder(
            adj,
            listener.server_port(adj.url_scheme),
            listener.request_scheme(adj.url_scheme),
            is_tls=listener.scheme == "https",
        )
        make_task = self._observer.task_factory(environ_builder, self._context.access_log)
        if self._context.measures is not None:
            make_task = self._context.measures.measured(make_task)
        return Endpoint(
            listener,
            open_transport=self._open_transport(listener),
            make_task=make_task,
            proxy_mode=adj.proxy_mode(has_prelude=listener.has_proxy_prelude),
        )

    def _open_transport(self, listener: Listener) -> Callable[[socket.socket], Transport]:
        if listener.scheme != "https":
            return SocketTransport
        assert self._observer.tls_contexts is not None  # or the settings would have been refused
        return self._observer.tls_contexts.opener()

    # What few servers want is imported only for those.

    def _make_access_log(self) -> "AccessLog | None":
        if not self._adj.access_log:
            return None
        from ..observability.access_log import AccessLog

        # Not the clock of the reactor: before Python 3.13 that has steps of 15.6 ms on Windows.
        return AccessLog(self._adj.access_log_format, time.perf_counter)

    def _make_submit(self, dispatcher: Dispatcher) -> Callable[[Task], None]:
        limit = self._adj.queue_limit
        if not limit:
            return dispatcher.ready.append
        from ..threads.queue_limit import QueueLimit

        reason = f"one has found {limit} waiting before it"
        return QueueLimit(limit, dispatcher, lambda task: task.refuse("queue_limit", reason)).submit

    def _make_measures(self) -> "RequestMeasures | None":
        if not getattr(self._adj, "status_listen", None):  # `adj` may be a program's own object
            return None
        from ..observability.request_measures import RequestMeasures

        return RequestMeasures()

    def _make_slow_requests(self) -> "SlowRequests | None":
        if not self._adj.log_slow_requests:
            return None
        from ..observability.slow_requests import SlowRequests

        return SlowRequests(self._adj.log_slow_requests, self._dispatcher.running)

    # --- any thread

    @property
    def state(self) -> State:
        """The state of the server."""
        return self._context.state

    @property
    def is_short_of_threads(self) -> bool:
        """Whether so many threads are lost to requests that were given up that no more are replaced."""
        return 0 < self._dispatcher.thread_count <= self._dispatcher.lost_count

    @property
    def queue_oldest_seconds(self) -> float:
        """For how long the oldest request in the queue has waited for a thread; 0 with none."""
        return self._dispatcher.oldest_waiting_seconds

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that serve: they cannot wait for the end."""
        return self._dispatcher.threads

    def wake_leader(self) -> None:
        """Act on a new request at once. Takes no lock: a signal handler may call it."""
        self._reactor.wake()

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Have the leader call this, which must not block, between two turns: the way to close a connection from
        another thread. After the end nothing is called: everything is closed by then.
        """
        self._callbacks.append(callback)
        self._reactor.wake()

    def remove_listener(self, number: int) -> None:
        """Accept no more from the listener of this number, for good."""
        self.call_soon_threadsafe(partial(self.manager.remove_listener, self._listeners[number]))

    def wake_waiter(self) -> None:
        """Have `Observer.while_waiting` called at once."""
        self._waiter_woken.set()

    def running(self) -> list[RunningTask]:
        """Return what the application threads run."""
        return self._dispatcher.running()

    def request_count(self) -> int:
        """Return how many requests have ended."""
        return sum(self._by_status().values())

    def _by_status(self) -> dict[str, int]:
        measures = self._context.measures
        return self._context.counters.by_status.copy() if measures is None else measures.by_status()

    def stats(self) -> ServerStats:
        """Return a snapshot of the counters."""
        counters = self._context.counters
        # In this order a connection that ends meanwhile may be missed, which the maximum hides, but not counted twice.
        ended_bytes_out = counters.ended_bytes_out
        connections = list(self.manager.connections.copy().values())
        sent = sum(connection.sender.sent_bytes for connection in connections)
        self._most_bytes_out = max(self._most_bytes_out, ended_bytes_out + sent)
        states = dict.fromkeys(STATE_NAMES, 0)
        for connection in connections:
            name = connection.state_name
            if name is not None:
                states[name] += 1
        return make_stats(
            counters,
            self._by_status(),
            self._most_bytes_out,
            states,
            len(self._dispatcher.ready) + self._dispatcher.waiting_count,
            self._dispatcher.thread_count,
            self._dispatcher.running(),
        )

    def snapshot(self) -> "Snapshot":
        """Return what the status server tells, as JSON can express it. It is small: see `observability.snapshot`."""
        from ..observability.snapshot import fitting, make_snapshot  # lazy import: few servers need it

        context, dispatcher = self._context, self._dispatcher
        return fitting(
            make_snapshot(
                self.stats(),
                state="starting" if self.state is State.READY else self.state.name.lower(),
                counters=context.counters,
                measures=context.measures,
                queue_oldest_seconds=dispatcher.oldest_waiting_seconds,
                log_lines_dropped=0 if context.access_log is None else context.access_log.dropped_lines,
                running=dispatcher.running(),
                lost_threads=dispatcher.lost_count,
                is_short_of_threads=self.is_short_of_threads,
                is_refusing=context.refusals is not None and context.refusals.is_in_episode,
            )
        )

    # --- the thread in run(), or the one of start(): runs no application code and, while there is a leader, no I/O

    def start(self) -> None:
        """Start to serve.

        Raises:
            CannotStartThread: the system has none left.
        """
        self.manager.start()
        self._enter(State.SERVING)
        self._dispatcher.start(self._reactor.turn)

    def wait(self) -> None:
        """Wait until the leadership has ended; replace the leader if it is lost.

        Raises:
            CannotStartThread: the leader or another thread is lost, and the system has none left to replace it.
        """
        slice_seconds = min(self._adj.asyncore_loop_timeout or CHECK_SECONDS, CHECK_SECONDS)
        if self._notifier is not None:
            slice_seconds = min(slice_seconds, self._notifier.keep_alive_seconds or CHECK_SECONDS)
        try:
            while not self._leadership_ended.is_set():
                self._waiter_woken.wait(slice_seconds)
                self._waiter_woken.clear()
                self._call_for_waiter()
                self._dispatcher.check()
                self.tell_waiting()
                if self._notifier is not None and self._has_ticked():
                    self._notifier.keep_alive()
            self._call_for_waiter()  # the last ones may have come with the end
        except BaseException as error:
            # From a signal handler that is not ours, and then its exception ends with the server; or from the observer.
            is_exit = isinstance(error, (KeyboardInterrupt, SystemExit))
            seconds = self._observer.close_seconds
            self._stop_requests.append(StopRequest(State.CLOSING, self._reactor.clock() + seconds, is_signal=is_exit))
            self.wake_leader()
            self._leadership_ended.wait(seconds + self.threads_seconds)
            if not is_exit:
                raise

    def _call_for_waiter(self) -> None:
        while self._waiter_callbacks:
            try:
                self._waiter_callbacks.popleft()()
            except Exception:  # no report is worth a server
                logger.exception("uncaptured python exception in what a signal has asked for")

    def _has_ticked(self) -> bool:
        """Whether the reactor has ticked lately: whether there is a leader, and it is not stuck."""
        return self._reactor.clock() - self._ticked_at < STALLED_TICKS * self._reactor.tick_seconds

    def close_all(self) -> None:
        """Release everything, also after a failed start. There is no leader any more: what is left is this thread's."""
        _call_each(
            self._stop_threads,
            self._dispatcher.cancel_pending,
            self.manager.stop_listening,
            partial(self.manager.close_all, but_busy=False),
            self._reactor.close,
            self._dispatcher.cancel_pending,  # what those ends have left: files to close, lines of the access log
            partial(self._enter, State.CLOSED),
        )

    def _stop_threads(self) -> None:
        still_running = self._dispatcher.stop_threads(self.threads_seconds)
        if still_running:
            logger.warning("%d thread(s) still running", still_running)

    # --- reactor only

    def _tick(self) -> None:
        if self.manager.check_share():
            return
        self._ticked_at = self._reactor.now
        _call_each(self.manager.tick, self._dispatcher.tick, *self._more_ticks, self._step)

    def _give_up(self, task: object) -> None:
        """A task runs for longer than `request_timeout`: end its connection, and replace its thread."""
        self._context.counters.refused.add("request_timeout")
        time_out = getattr(task, "time_out", None)  # not of a program's own tasks
        if time_out is not None:
            time_out()
        self._waiter_callbacks.append(partial(self._replace_thread, task))
        self._waiter_woken.set()

    def _replace_thread(self, task: object) -> None:
        """Start a thread in place of one that is lost. Thread: the one that waits."""
        was_short = self.is_short_of_threads
        self._dispatcher.replace_thread(task)
        if self.is_short_of_threads and not was_short:
            logger.error(
                "%d thread(s) lost to requests that do not end: no more are started in place of others",
                self._dispatcher.lost_count,
            )
            if self._worker is not None:
                self._worker.ask_to_be_replaced("its threads are lost to requests that do not end (request_timeout)")

    def _step(self) -> None:
        """Run callbacks; move towards the end as far as stop requests, time and open connections allow."""
        while self._callbacks:
            try:
                self._callbacks.popleft()()
            except BaseException:  # of a program that derives a server; the others, and the end, are not its to stop
                logger.exception("uncaptured python exception in the reactor")
        if self._waiter_callbacks:
            self._waiter_woken.set()
        if not self._stop_requests:
            return
        now, connections = self._reactor.now, self.manager.connections
        request = strongest(self._stop_requests)
        leave_seconds = RETIRE_SECONDS if request.retires else self._adj.shutdown_delay
        while True:
            leave_until = self._left_at + leave_seconds
            state = next_state(self.state, request, now=now, leave_until=leave_until, has_connections=bool(connections))
            if state is self.state:
                break
            self._move_to(state, request)
        if state is State.CLOSING:
            self.manager.close_all(but_busy=now < request.until)
        if is_over(state, request, now=now, has_connections=bool(connections)):
            if self._dispatcher.ready and not (state is State.CLOSING and now >= request.until):
                self._reactor.wake()  # what is ready runs first: closing a file, for example
            else:
                self._dispatcher.end_leadership()
                self._report_ended()

    def _move_to(self, state: State, request: StopRequest) -> None:
        if state is State.CLOSING and request.state is not State.CLOSING:
            named = _named(list(self.manager.connections.values()))
            logger.warning("%d connection(s) cut off, not done in time: %s%s", *named)
        elif state is State.CLOSING and request.is_signal and self._under_way():
            named = _named(self._under_way())
            logger.warning("%d connection(s) cut off, because a signal ends the server at once: %s%s", *named)
        self._enter(state)
        if state is State.LEAVING:
            self._left_at = self._reactor.now
            if request.retires:
                self.manager.stop_listening()
                logger.info("Retiring: requests under way are answered, another worker accepts")
            elif request.ends_now:
                count = len(self._under_way())
                logger.info(
                    "Stopping: requests under way are answered (%d); %s ends the server at once",
                    count,
                    request.ends_now,
                )
                self._waiter_callbacks.append(partial(self.tell_stopping, count, request.ends_now))
                self._waiter_woken.set()
            else:
                logger.info("Stopping: requests under way are answered")
        elif state is State.DRAINING:
            self.manager.drain()
        elif state is State.CLOSING:
            self.manager.stop_listening()
            cancelled = self._dispatcher.cancel_pending()
            if cancelled:
                logger.warning("Canceling %d pending task(s)", cancelled)

    def _enter(self, state: State, *, in_silence: bool = False) -> None:
        """Move to a state, and tell it unless `in_silence`. The only place that writes it."""
        self._context.state = state
        if in_silence:
            return
        try:
            self.tell_state(state)
        except BaseException:  # of a program that derives a server: the move goes on, or it might never end
            logger.exception("uncaptured python exception in on_state")
        if self._notifier is not None:
            self._waiter_callbacks.append(partial(self._notifier.on_state, state))
            self._waiter_woken.set()
        if self._worker is not None:
            self._worker.on_state(state)

    def _on_closed(self, connection: Connection) -> None:
        self._observer.on_closed(connection)
        if not self.manager.connections and self.state > State.SERVING:
            self._reactor.wake()  # the last one: the run may be over

    def _report_ended(self) -> None:
        self._leadership_ended.set()
        self._waiter_woken.set()

    def _under_way(self) -> list[Connection]:
        """Return the connections whose request is arriving, waits, runs, or is being answered."""
        connections = self.manager.connections.values()
        return [
            connection
            for connection in connections
            if connection.state_name not in (None, "handshake", "idle", "linger")
        ]

    # --- what the server is told; each from the thread that `Observer` names

    def tell_state(self, state: State) -> None:
        """The server has moved to a state."""
        self._observer.on_state(state)

    def tell_stopping(self, requests: int, ends_now: str) -> None:
        """A signal has stopped the server."""
        self._observer.on_stopping(requests, ends_now)

    def tell_waiting(self) -> None:
        """Time has passed for the thread that waits."""
        self._observer.while_waiting()

    # --- a forked child

    def abandon_after_fork(self) -> None:
        """Let go of everything that the child shares with its parent, in silence: the parent goes on serving."""
        self._dispatcher.abandon_after_fork()
        self._reactor.abandon_after_fork()
        self.manager.abandon_after_fork()
        self._enter(State.CLOSED, in_silence=True)
        self._report_ended()


def _named(connections: list[Connection]) -> tuple[int, str, str]:
    """Return how many there are, some of them by name, and whether there are more: for a record."""
    more = ", ..." if len(connections) > NAMED_AT_MOST else ""
    return len(connections), ", ".join(map(repr, connections[:NAMED_AT_MOST])), more


def _call_each(*calls: Callable[[], object]) -> None:
    """Call one after the other, whatever they raise; raise the last of that in the end."""
    with contextlib.ExitStack() as stack:
        for call in reversed(calls):
            stack.callback(call)
