"""One run of a server, from the first accept to the last close: wires reactor, dispatcher and connections.

What happens to a request is in `connection` and `task`; here is what happens to the server. Every step from state to
state (`lifecycle`) is made by the holder of the lead, in `_step`; `run` only waits, and tidies up after the lead.
"""

import logging
import threading
from functools import partial

from .connection import ConnectionServices
from .dispatcher import Dispatcher
from .lifecycle import CLOSE_SECONDS, State
from .listeners import Listener
from .reactor import Handler, Reactor
from .roster import Roster
from .task import Site, WSGITask

logger = logging.getLogger("waitress")

THREADS_SECONDS = 2.0  # for threads that run no application to end, on a machine under load


class Engine:
    """Serves `listeners` with the application of `site`; made for one call of `run`."""

    def __init__(
        self,
        site: Site,
        listeners: list[Listener],
        handlers: dict[int, Handler],
        dispatcher: Dispatcher,
        wishes: list[State],
    ) -> None:
        adj = site.adj
        # Set once, read anywhere
        self._adj = adj
        self._dispatcher = dispatcher
        self._reactor = Reactor(handlers)
        services = ConnectionServices(
            adj, self._reactor, partial(WSGITask, site), dispatcher.ready.append, dispatcher.yield_lead
        )
        self.roster = Roster(services, listeners)
        self._reactor.on_look = self._look
        self._reactor.on_wake = self._step
        self._lead_ended = threading.Event()
        self._wishes = wishes  # appended to by any thread or signal handler; the holder of the lead acts on the highest
        # The holder of the lead only
        self.state = State.READY
        self._until = 0.0  # when the present state ends at the latest

    # --- any thread

    def notice(self) -> None:
        """Act on a new wish at once. Takes no lock: a signal handler may call it."""
        self._reactor.wake()

    # --- the thread in run()

    def run(self) -> None:
        """Serve until the end. Runs no application code and, once there is a lead, no I/O in the calling thread."""
        try:
            self.roster.begin()
            self.state = State.SERVING
            self._dispatcher.start(self._reactor.turn)
            self._wait()
        finally:
            self._tidy_up()

    def _wait(self) -> None:
        try:
            # In slices: on Windows a wait without an end can not be interrupted.
            while not self._lead_ended.wait(self._adj.asyncore_loop_timeout):
                pass
        except (KeyboardInterrupt, SystemExit):
            # From a signal handler that is not ours: the server ends, and the exception with it.
            self._wishes.append(State.CLOSING)
            self.notice()
            self._lead_ended.wait(CLOSE_SECONDS + THREADS_SECONDS)

    def _tidy_up(self) -> None:
        """After the lead has ended there is no reactor: what is left is this thread's."""
        still_running = self._dispatcher.stop_threads(THREADS_SECONDS)
        if still_running:
            logger.warning("%d thread(s) still running", still_running)
        self._dispatcher.cancel_pending()
        self.roster.stop_listening()
        self.roster.close_all(but_busy=False)
        self._reactor.close()
        self.state = State.CLOSED

    # --- the holder of the lead

    def _look(self) -> None:
        self.roster.look()
        self._step()

    def _step(self) -> None:
        """Move on to the wanted state, and from one whose work or time has ended."""
        now, wanted = self._reactor.now, max(self._wishes)
        if wanted > self.state:
            if wanted is State.DRAINING:
                self._begin_draining(now)
            else:
                self._begin_closing(now + (CLOSE_SECONDS if wanted is State.CLOSING else 0))
        if self.state is State.DRAINING and now >= self._until and self.roster.connections:
            logger.warning("%d connection(s) cut off: not done within shutdown_timeout", len(self.roster.connections))
            self._begin_closing(now)
        if self.state is State.CLOSING:
            self.roster.close_all(but_busy=now < self._until)
        is_over = self.state is State.CLOSING and now >= self._until
        if self.state <= State.SERVING:
            return
        if self._dispatcher.ready and not is_over:
            self._reactor.wake()  # what is ready runs first: closing a file, say
        elif is_over or not self.roster.connections:
            self._dispatcher.end_lead()
            self._lead_ended.set()

    def _begin_draining(self, now: float) -> None:
        self.state = State.DRAINING
        self._until = now + self._adj.shutdown_timeout
        logger.info("Stopping: requests under way are answered; a second signal ends at once")
        self.roster.on_emptied = self._reactor.wake
        self.roster.drain()

    def _begin_closing(self, until: float) -> None:
        self.state = State.CLOSING
        self._until = until
        self.roster.on_emptied = self._reactor.wake
        self.roster.stop_listening()
        cancelled = self._dispatcher.cancel_pending()
        if cancelled:
            logger.warning("Canceling %d pending task(s)", cancelled)

    # --- a forked child

    def abandon_after_fork(self) -> None:
        """Let go of everything that the child shares with its parent, in silence: the parent goes on serving."""
        self._dispatcher.abandon_after_fork()
        self._reactor.abandon_after_fork()
        self.roster.abandon_after_fork()
        self.state = State.CLOSED
        self._lead_ended.set()
