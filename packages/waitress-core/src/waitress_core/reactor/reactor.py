"""The I/O turn: look at what workers left, ask the poller, call the handlers of what is ready, expire deadlines.

Knows descriptors and handlers, nothing of HTTP or WSGI. It is a role, not a thread: whoever holds the lead (see
`dispatcher`) calls `turn`, one thread at a time, and everything here but the ways to ask for attention, and `wake`,
belongs to that role.

A turn waits in the poller only, or for a moment after one that has failed; handlers write bodies to disk, piece by
piece. It never runs application code: handlers hand requests over, to be run between two turns.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence, Sized
from contextlib import suppress
from typing import Any, Protocol

from ..throttled_logger import ThrottledLogger
from .deadlines import DeadlineQueue
from .poller import READ, Poller, best_poller
from .wakeup import WakeUp

logger = logging.getLogger("waitress")

TICK_SECONDS = 1.0  # deadlines are looked at so often; a wait for readiness is never longer
FAULT_SECONDS = 0.1  # of rest after a poll that failed
LOG_SECONDS = 1.0  # at most one record about faults that escape a turn in so many seconds


class Handler(Protocol):
    """What the reactor calls; each call comes from the holder of the lead, and may close the handler."""

    descriptor: int
    interest: int  # written by `Reactor.watch` only; 0 while the poller does not know the descriptor

    def on_ready(self, readiness: int) -> None:
        """The descriptor is ready, or has failed: a bit set of `poller`."""

    def on_notify(self) -> None:
        """A worker has asked for a look, by `Reactor.notify` or `notify_lazily`."""

    def on_fault(self) -> None:
        """One of the other calls has raised (it is being handled, and will be logged): close, raise nothing."""


def _nothing() -> None:
    pass


class Reactor:
    """The handlers of one server, by their descriptors, and the turn that serves them."""

    def __init__(self, poller: Poller | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        # Set once, read anywhere
        self.clock = clock
        self.poller = best_poller() if poller is None else poller  # used by the holder of the lead only
        try:
            self._wake_up = WakeUp()
            self.poller.register(self._wake_up.descriptor, READ)
        except OSError:
            self.poller.close()
            raise
        self._lock = threading.Lock()
        # The holder of the lead only
        self.handlers: dict[int, Handler] = {}
        self.deadlines: Sequence[DeadlineQueue[Any]] = ()
        self.ready: Sized = ()  # what handlers have handed over to be run; no wait begins before that
        self.on_tick: Callable[[], None] = _nothing  # called once in TICK_SECONDS
        self.on_wake: Callable[[], None] = _nothing  # called after `wake`
        self.now = clock()  # the instant at which the present turn's poll ended
        self._next_tick_at = self.now
        self._faults = ThrottledLogger(logger, LOG_SECONDS)  # one that stays does not fill the log
        self._notified: deque[int] = deque()  # descriptors; one whose handler has gone is passed over
        # Guarded by self._lock. Without it `wake_if_polling` could see `_is_polling` before the reactor has set it, but
        # after the reactor has looked at `_notified`: a handler would wait for a poll that nothing ends.
        self._is_polling = False
        self._is_closed = False

    # --- any thread

    def notify(self, descriptor: int) -> None:
        """Have `on_notify` of a descriptor's handler called in the next turn, which begins at once.

        After `close` there is no lead and no turn: then it is called here.
        """
        self.notify_lazily(descriptor)
        self.wake_if_polling()

    def notify_lazily(self, descriptor: int) -> None:
        """Like `notify`, but end no wait: it may take TICK_SECONDS. After `close`, call `wake_if_polling` next."""
        self._notified.append(descriptor)

    def wake_if_polling(self) -> None:
        """Have the next turn begin at once, for the attention that has been asked for."""
        with self._lock:
            is_polling = self._is_polling
        if is_polling:
            self._wake_up.wake()
        elif self._is_closed:
            self._call_notified()

    def wake(self) -> None:
        """End the wait of the turn under way. Takes no lock: a signal handler may call it."""
        self._wake_up.wake()

    # --- the holder of the lead

    def watch(self, handler: Handler, interest: int) -> None:
        """Watch a handler's descriptor for `interest`; 0 takes it out of the poller."""
        if interest == handler.interest:
            return
        if not handler.interest:
            self.poller.register(handler.descriptor, interest)
        elif interest:
            self.poller.modify(handler.descriptor, interest)
        else:
            # The owner of a given socket may have closed it, and epoll has forgotten it then.
            with suppress(OSError, ValueError, KeyError):
                self.poller.unregister(handler.descriptor)
        handler.interest = interest

    def turn(self, timeout: float) -> None:
        """Serve what is ready, after waiting for it up to `timeout` seconds. Raises nothing."""
        try:
            self._turn(timeout)
        except Exception:  # the last net: no fault may lose the lead
            self._log_fault()

    def _log_fault(self) -> None:
        """Log the exception that is being handled."""
        self._faults.log(logging.ERROR, self.now, "uncaptured python exception in the reactor", exc_info=True)

    def _turn(self, timeout: float) -> None:
        if self._notified:
            # Not left for after the poll, which could not wait then: each request of a client alone would cost two.
            self.now = self.clock()
            self._call_notified()
            if self.ready:
                timeout = 0
        with self._lock:
            self._is_polling = not self._notified
            if self._notified:
                timeout = 0
        try:
            events = self.poller.poll(timeout)
        except Exception:
            # The other duties go on, and the server can still be ended; without the pause this would spin.
            self._log_fault()
            time.sleep(FAULT_SECONDS)
            events = []
        self._is_polling = False  # without the lock: a wake-up too many does no harm
        self.now = self.clock()
        if self._notified:
            # Before what is ready: most often that is the next request of a client whose response has just ended.
            self._call_notified()
        handlers = self.handlers
        for descriptor, readiness in events:
            handler = handlers.get(descriptor)
            if handler is not None:
                try:
                    handler.on_ready(readiness)
                except Exception:
                    self._fault(handler)
            elif descriptor == self._wake_up.descriptor:
                self._wake_up.clear()
                self.on_wake()
        if self.now >= self._next_tick_at:
            self._next_tick_at = self.now + TICK_SECONDS
            self._expire()
            self.on_tick()

    def _expire(self) -> None:
        for queue in self.deadlines:
            while (handler := queue.pop_due(self.now)) is not None:
                try:
                    queue.on_due(handler)
                except Exception:
                    self._fault(handler)

    def _call_notified(self) -> None:
        for _ in range(len(self._notified)):  # not to those that come meanwhile
            try:
                descriptor = self._notified.popleft()
            except IndexError:  # after `close` several workers may be here
                return
            handler = self.handlers.get(descriptor)
            if handler is not None:
                try:
                    handler.on_notify()
                except Exception:
                    self._fault(handler)

    def _fault(self, handler: Handler) -> None:
        """A fault of one handler costs that handler only."""
        logger.exception("uncaptured python exception, closing channel %r", handler)
        handler.on_fault()

    def close(self) -> None:
        """Close the reactor's own descriptors, after the last look at what workers left. No `turn` may follow."""
        with self._lock:
            self._is_closed = True
            self._is_polling = False
        self._call_notified()
        self.poller.close()
        self._wake_up.close()

    def abandon_after_fork(self) -> None:
        """Close a forked child's copies of the reactor's own descriptors; the registrations are the parent's."""
        self._lock = threading.Lock()  # another thread may have held it
        self._is_closed = True
        self._is_polling = False
        self._notified.clear()
        self.poller.close()
        self._wake_up.close()
