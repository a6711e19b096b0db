"""One run of a server, from the first accept to the last close: wires reactor, dispatcher and connections.

What happens to a request is in `connection` and `task`; here is what happens to the server. Every step from state to
state (`lifecycle`) is made by the holder of the lead, in `_step`; the thread of `wait` only waits, and tidies up after
the lead.
"""

import logging
import threading
from functools import partial

from .access_log import AccessLog
from .connection import ConnectionServices
from .dispatcher import Dispatcher
from .lifecycle import CLOSE_SECONDS, State, Wish
from .listeners import Listener
from .logged_task import LoggedTask
from .reactor import Handler, Reactor
from .roster import Roster
from .task import Site, WSGITask

logger = logging.getLogger("waitress")

THREADS_SECONDS = 2.0  # for threads that run no application to end, on a machine under load
NAMED_AT_MOST = 10  # connections that the record of a cut-off names


class Engine:
    """Serves `listeners` with the application of `site`, once: `begin`, `wait`, `tidy_up`, in this order."""

    def __init__(
        self,
        site: Site,
        listeners: list[Listener],
        handlers: dict[int, Handler],
        dispatcher: Dispatcher,
        wishes: list[Wish],
    ) -> None:
        adj = site.adj
        # Set once, read anywhere
        self._adj = adj
        self._dispatcher = dispatcher
        self._reactor = Reactor(handlers)
        access_log = AccessLog(adj.access_log_format, self._reactor.clock) if adj.access_log else None
        make_task = partial(WSGITask, site) if access_log is None else partial(LoggedTask, site, access_log)
        services = ConnectionServices(
            adj, self._reactor, make_task, dispatcher.ready.append, dispatcher.yield_lead, access_log
        )
        self.roster = Roster(services, listeners)
        self._reactor.on_look = self._look
        self._reactor.on_wake = self._step
        self._lead_ended = threading.Event()
        # Appended to by any thread or signal handler; the holder of the lead acts on those for the highest state.
        self._wishes = wishes
        # The holder of the lead only
        self.state = State.READY
        self._leaves_at = 0.0  # when LEAVING ends at the latest

    # --- any thread

    def notice(self) -> None:
        """Act on a new wish at once. Takes no lock: a signal handler may call it."""
        self._reactor.wake()

    # --- the thread in run(), or the one of start(): runs no application code and, while there is a lead, no I/O

    def begin(self) -> None:
        """Begin to serve.

        Raises:
            CannotStartThread: the system has none left.
        """
        self.roster.begin()
        self.state = State.SERVING
        self._dispatcher.start(self._reactor.turn)

    def wait(self) -> None:
        """Wait until the lead has ended."""
        try:
            # In slices: on Windows a wait without an end can not be interrupted.
            while not self._lead_ended.wait(self._adj.asyncore_loop_timeout):
                pass
        except (KeyboardInterrupt, SystemExit):
            # From a signal handler that is not ours: the server ends, and the exception with it.
            self._wishes.append(Wish(State.CLOSING, self._reactor.clock() + CLOSE_SECONDS))
            self.notice()
            self._lead_ended.wait(CLOSE_SECONDS + THREADS_SECONDS)

    def tidy_up(self) -> None:
        """Leave nothing, also of what could not begin. There is no reactor any more: what is left is this thread's."""
        still_running = self._dispatcher.stop_threads(THREADS_SECONDS)
        if still_running:
            logger.warning("%d thread(s) still running", still_running)
        self._dispatcher.cancel_pending()
        self.roster.stop_listening()
        self.roster.close_all(but_busy=False)
        self._reactor.close()
        self._dispatcher.cancel_pending()  # what those ends have left: files to close, lines of the access log
        self.state = State.CLOSED

    # --- the holder of the lead

    def _look(self) -> None:
        self.roster.look()
        self._dispatcher.look()
        self._step()

    def _step(self) -> None:
        """Move on to the wanted state, and from one whose work or time has ended."""
        if not self._wishes:
            return
        now = self._reactor.now
        wanted = max(self._wishes).state
        until = min(wish.until for wish in self._wishes if wish.state is wanted)
        if wanted is State.LEAVING:
            if self.state is State.SERVING:
                self._begin_leaving(now)
            if self.state is State.LEAVING and now >= min(self._leaves_at, until):
                self.state = State.DRAINING
                self.roster.drain()
            if now >= until and self.roster.connections:
                self._log_cut_off()
                wanted = State.CLOSING
                self._wishes.append(Wish(wanted, now))
        if wanted is State.CLOSING:
            if self.state is not wanted:
                self._begin_closing()
            self.roster.close_all(but_busy=now < until)
        if self.state is State.LEAVING:
            return
        is_over = wanted is State.CLOSING and now >= until
        if self._dispatcher.ready and not is_over:
            self._reactor.wake()  # what is ready runs first: closing a file, say
        elif is_over or not self.roster.connections:
            self._dispatcher.end_lead()
            self._lead_ended.set()

    def _begin_leaving(self, now: float) -> None:
        self.state = State.LEAVING
        self._leaves_at = now + self._adj.shutdown_delay
        logger.info("Stopping: requests under way are answered; a further SIGTERM or SIGINT ends the server at once")
        self.roster.on_emptied = self._reactor.wake
        self.roster.leave()

    def _begin_closing(self) -> None:
        self.state = State.CLOSING
        self.roster.on_emptied = self._reactor.wake
        self.roster.stop_listening()
        cancelled = self._dispatcher.cancel_pending()
        if cancelled:
            logger.warning("Canceling %d pending task(s)", cancelled)

    def _log_cut_off(self) -> None:
        connections = list(self.roster.connections.values())
        named = ", ".join(map(repr, connections[:NAMED_AT_MOST]))
        more = ", ..." if len(connections) > NAMED_AT_MOST else ""
        logger.warning("%d connection(s) cut off, not done in time: %s%s", len(connections), named, more)

    # --- a forked child

    def abandon_after_fork(self) -> None:
        """Let go of everything that the child shares with its parent, in silence: the parent goes on serving."""
        self._dispatcher.abandon_after_fork()
        self._reactor.abandon_after_fork()
        self.roster.abandon_after_fork()
        self.state = State.CLOSED
        self._lead_ended.set()
