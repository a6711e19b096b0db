"""One run of a server, from the first accept to the last close.

What happens to a request is in `connection` and `wsgi`; here is what happens to the server. The leader makes every move
from state to state, in `_step`, as `shutdown` decides. The thread in `wait` only waits (`waiter`), and closes
everything after leadership has ended. `wiring` makes the parts.
"""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..connection.connection import Connection
from ..connection.context import State
from ..connection.manager import ConnectionManager
from ..net.listener import Listener
from ..reactor.reactor import Reactor
from ..safe_logger import SafeLogger
from ..threads.dispatcher import Dispatcher
from .descriptors import OwnDescriptors
from .figures import RunFigures
from .shutdown import is_over, next_state, strongest
from .states import RETIRE_SECONDS, StopRequest
from .waiter import Waiter
from .wiring import make_context, make_endpoint, make_ticks

if TYPE_CHECKING:
    from .notify import Notifier
    from .observer import Observer, WorkerSlot

logger = SafeLogger(logging.getLogger("waitress"))

THREADS_SECONDS = 2.0  # for threads that run no application to end, on a machine under load
# Ticks of a reactor, once a second, without which systemd is no longer notified that the server is alive.
# Doubled: a reactor that hangs is noticed as much later. Halved: one that was late on a machine under load would count.
STALLED_TICKS = 3
NAMED_AT_MOST = 10  # connections that the record of a cut-off names


class ServerRun:
    """Serves `listeners` with the application of `observer`, once: `start`, `wait`, `close_all`, in this order."""

    threads_seconds = THREADS_SECONDS  # an attribute, so that a test can shorten it

    def __init__(
        self,
        observer: "Observer",
        listeners: list[Listener],
        dispatcher: Dispatcher,
        *,
        stop_requests: list[StopRequest],  # appended to by any thread or signal handler
        waiter_callbacks: deque[Callable[[], None]],  # likewise, called by the thread in `wait`
        notifier: "Notifier | None" = None,  # of systemd
        worker: "WorkerSlot | None" = None,  # one of several
    ) -> None:
        # Set once, read anywhere
        self._observer = observer
        self._worker = worker
        self._adj = observer.adj
        self._dispatcher = dispatcher
        self._listeners = listeners
        self._notifier = notifier
        self._reactor = Reactor(ready=dispatcher.ready, on_tick=self._tick, on_wake=self._step)
        self._context = make_context(observer, self._reactor, dispatcher, worker)
        self.manager = ConnectionManager(
            self._context,
            [make_endpoint(observer, self._context, listener) for listener in listeners],
            on_opened=observer.on_opened,
            on_closed=self._on_closed,
        )
        self._waiter = Waiter(
            waiter_callbacks,
            check=self._check,
            is_alive=self._has_ticked,
            notifier=notifier,
            seconds=self._adj.asyncore_loop_timeout,
        )
        self._descriptors = OwnDescriptors(self._reactor, listeners)
        self.figures = RunFigures(self._context, self.manager.connections, dispatcher)
        # Appended to by any thread, called by the leader
        self._callbacks: deque[Callable[[], None]] = deque()
        # Appended to by any thread or signal handler, acted on by the leader
        self._stop_requests = stop_requests
        # Written by the leader, read by the thread that waits
        self._ticked_at = self._reactor.now
        # Reactor only
        self._acted_on = State.SERVING  # the latest state, once all that it asks for is done
        self._ticks = make_ticks(observer, self._context, dispatcher, self._give_up)
        if worker is not None:
            self._ticks.append(worker.on_tick)
        self._left_at = 0.0  # when it moved to LEAVING

    # --- any thread

    @property
    def state(self) -> State:
        """The state of the server."""
        return self._context.state

    @property
    def threads(self) -> list[threading.Thread]:
        """The threads that serve: they cannot wait for the end."""
        return self._dispatcher.threads

    def wake_leader(self) -> None:
        """Act on a new request at once. Takes no lock: a signal handler may call it."""
        self._reactor.wake()

    def call_soon_threadsafe(self, callback: Callable[[], None]) -> None:
        """Let the leader call this, which must not block, between two turns.

        So another thread can close a connection. After the end nothing is called: everything is closed by then.
        """
        self._callbacks.append(callback)
        self._reactor.wake()

    def remove_listener(self, number: int) -> None:
        """Accept no more from the listener of this number, for good."""
        self.call_soon_threadsafe(partial(self.manager.remove_listener, self._listeners[number]))

    def wake_waiter(self) -> None:
        """Make the thread that waits call `Observer.while_waiting` at once."""
        self._waiter.wake()

    # --- the thread in run(), or the one of start(): runs no application code and, while there is a leader, no I/O

    def start(self) -> None:
        """Start to serve.

        Raises:
            CannotStartThread: the system has none left.
            OSError: other code has closed descriptors of the server.
        """
        self._descriptors.check()
        self.manager.start()
        self._enter(State.SERVING)
        self._dispatcher.start(self._reactor.turn)

    def wait(self) -> None:
        """Wait until the leadership has ended; replace the leader if it is lost.

        Raises:
            CannotStartThread: the leader or another thread is lost, and the system has none left to replace it.
            OSError: other code has closed descriptors of the server.
        """
        try:
            self._waiter.wait()
        except BaseException as error:
            # From a signal handler that is not ours, and then its exception ends with the server; or from the observer.
            is_exit = isinstance(error, (KeyboardInterrupt, SystemExit))
            seconds = self._observer.close_seconds
            self._stop_requests.append(StopRequest(State.CLOSING, self._reactor.clock() + seconds, is_signal=is_exit))
            self.wake_leader()
            self._waiter.wait_for_end(seconds + self.threads_seconds)
            if not is_exit:
                raise

    def _check(self) -> None:
        self._descriptors.check()
        self._dispatcher.check()
        self.report_waiting()
        if self._dispatcher.has_leadership_ended:  # an exception of another thread may have kept the leader from `end`
            self._waiter.end()

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
        _call_each(self.manager.tick, self._dispatcher.tick, *self._ticks, self._step)

    def _give_up(self, task: object) -> None:
        """A task runs for longer than `request_timeout`: end its connection, and replace its thread."""
        self._context.counters.refused.add("request_timeout")
        time_out = getattr(task, "time_out", None)  # not of a program's own tasks
        if time_out is not None:
            time_out()
        self._waiter.call(partial(self._replace_thread, task))

    def _replace_thread(self, task: object) -> None:
        """Start a thread in place of one that is lost. Thread: the one that waits."""
        was_short = self._dispatcher.is_short_of_threads
        self._dispatcher.replace_thread(task)
        if self._dispatcher.is_short_of_threads and not was_short:
            logger.error(
                "%d thread(s) lost to requests that do not end: further ones are not replaced",
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
        if self._waiter.callbacks:  # left by a signal handler, which wakes only the leader
            self._waiter.wake()
        if not self._stop_requests:
            return
        now, connections = self._reactor.now, self.manager.connections
        request = strongest(self._stop_requests)
        if self._acted_on < self.state:  # an exception has interrupted the move
            try:
                self._act(request)
            except BaseException:  # one that comes each time must not keep the server from its end
                logger.exception("uncaptured python exception in the reactor")
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
                self._waiter.end()

    def _move_to(self, state: State, request: StopRequest) -> None:
        if state is State.CLOSING and request.state is not State.CLOSING:
            named = _named(list(self.manager.connections.values()))
            logger.warning("%d connection(s) cut off, not done in time: %s%s", *named)
        elif state is State.CLOSING and request.is_signal and self._under_way():
            named = _named(self._under_way())
            logger.warning("%d connection(s) cut off, because a signal ends the server at once: %s%s", *named)
        if state is State.LEAVING:
            self._left_at = self._reactor.now
        self._enter(state)
        self._act(request)
        if state is State.LEAVING:
            if request.retires:
                logger.info("Retiring: answering the requests in progress, another worker accepts")
            elif request.ends_now:
                count = len(self._under_way())
                logger.info(
                    "Stopping: answering the requests in progress (%d); %s ends the server at once",
                    count,
                    request.ends_now,
                )
                self._waiter.call(partial(self.report_stopping, count, request.ends_now))
            else:
                logger.info("Stopping: answering the requests in progress")

    def _act(self, request: StopRequest) -> None:
        """Do what the present state asks for; it may be done twice."""
        state = self.state
        if state is State.DRAINING:
            self.manager.drain()
        elif state is State.CLOSING or request.retires:
            self.manager.stop_listening()
        if state is State.CLOSING:
            cancelled = self._dispatcher.cancel_pending()
            if cancelled:
                logger.warning("Canceling %d pending task(s)", cancelled)
        self._acted_on = state

    def _enter(self, state: State, *, in_silence: bool = False) -> None:
        """Move to a state, and report it unless `in_silence`. The only place that writes it."""
        self._context.state = state
        if in_silence:
            return
        try:
            self.report_state(state)
        except BaseException:  # of a program that derives a server: the move goes on, or it might never end
            logger.exception("uncaptured python exception in on_state")
        if self._notifier is not None:
            self._waiter.call(partial(self._notifier.on_state, state))
        if self._worker is not None:
            self._worker.on_state(state)

    def _on_closed(self, connection: Connection) -> None:
        self._observer.on_closed(connection)
        if not self.manager.connections and self.state > State.SERVING:
            self._reactor.wake()  # the last one: the run may be over

    def _under_way(self) -> list[Connection]:
        """Return the connections with a request that is arriving, waits, runs, or is being answered."""
        connections = self.manager.connections.values()
        return [
            connection
            for connection in connections
            if connection.state_name not in (None, "handshake", "idle", "linger")
        ]

    # --- what is reported to the server; each from the thread that `Observer` names

    def report_state(self, state: State) -> None:
        """The server has moved to a state."""
        self._observer.on_state(state)

    def report_stopping(self, requests: int, ends_now: str) -> None:
        """A signal has stopped the server."""
        self._observer.on_stopping(requests, ends_now)

    def report_waiting(self) -> None:
        """Time has passed for the thread that waits."""
        self._observer.while_waiting()

    # --- a forked child

    def abandon_after_fork(self) -> None:
        """Let go of everything that the child shares with its parent, in silence: the parent goes on serving."""
        self._dispatcher.abandon_after_fork()
        self._reactor.abandon_after_fork()
        self.manager.abandon_after_fork()
        self._enter(State.CLOSED, in_silence=True)
        self._waiter.end()


def _named(connections: list[Connection]) -> tuple[int, str, str]:
    """Return how many there are, some of them by name, and whether there are more: for a record."""
    more = ", ..." if len(connections) > NAMED_AT_MOST else ""
    return len(connections), ", ".join(map(repr, connections[:NAMED_AT_MOST])), more


def _call_each(*calls: Callable[[], object]) -> None:
    """Call one after the other, whatever they raise; raise the last of that in the end."""
    with contextlib.ExitStack() as stack:
        for call in reversed(calls):
            stack.callback(call)
