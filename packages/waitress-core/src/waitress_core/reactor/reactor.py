"""The I/O turn: call notified handlers, ask the poller, call the handlers of what is ready, expire deadlines.

Knows descriptors and handlers, nothing of HTTP or WSGI. The reactor is a role, not a thread: the leader (see
`threads.dispatcher`) calls `turn`, one thread at a time. Everything here belongs to the leader, except the ways to
notify it, and `wake`.

A turn waits in the poller only, or for a moment after a poll that has failed; handlers write bodies to disk, piece by
piece. It never runs application code: handlers hand requests off, and they run between two turns.

A turn handles what is ready for TURN_SECONDS. Then it ends, so that requests that are ready run, and the poller is
asked again: it reports again what was not handled. The next turn starts with what has taken the least time since turns
end early, of this with what was reported last, so that many clients with input that takes long to handle do not keep
others waiting. Some turns keep the order of the poller, so that the former do not wait for ever.

Why no wake-up is lost
    A thread that notifies appends a descriptor to `_notified`, and then reads `_is_polling` under the lock. The leader,
    under the lock, sets `_is_polling` if `_notified` is empty, and then polls. So either the leader has seen the
    descriptor, or the thread sees that it polls, and makes the wake-up readable, which ends the poll now or at once.
    Each ordering, with its test in tests/core/reactor:
    - before the turn: handled before the poll (test_a_notification_before_a_turn_is_handled_before_the_wait)
    - after that, before the leader has the lock: the poll does not wait
      (test_a_notification_between_the_first_check_and_the_lock_leaves_no_wait)
    - after the lock, before the poll: the wake-up is readable when the poll starts
      (test_a_notification_between_the_lock_and_the_poll_ends_the_poll)
    - during the poll: it ends (test_a_notification_during_the_poll_ends_it)
    - after the poll, while handlers run: handled at the start of the next turn, without a wake-up
      (test_a_notification_outside_a_poll_costs_no_wake_up)
    - by a notified handler: handled in the next round, before which the poll does not wait
      (test_a_notification_by_a_notified_handler_waits_for_what_is_ready)
    - before an exception of another thread, which comes when the notification has been taken and not handled: every
      handler is notified again (test_an_exception_at_any_step_of_a_turn_loses_no_notification)
    - lazily: handled when the poll ends for another reason, at the latest after the timeout of the turn
      (test_a_lazy_notification_costs_no_wake_up, test_a_lazy_notification_before_a_turn_is_handled_before_the_wait)
    - before or while `close` runs: by `close` (test_closing_handles_the_notifications_that_are_left)
    - after `close`: by the thread that notifies (test_after_close_a_notification_is_handled_by_its_thread,
      test_after_close_a_lazy_notification_is_handled_when_its_thread_wakes,
      test_after_close_notifications_of_several_threads_are_all_handled)
    - `wake`, from any thread or a signal handler, writes to the wake-up without a lock, so it ends the poll or the next
      one (test_waking_takes_no_lock, test_a_wake_up_from_a_signal_handler_ends_a_poll,
      test_a_wake_up_before_a_poll_ends_it_at_once_until_it_is_cleared)
    - `wake` while the leader handles another: `on_wake` is called after the wake-up is cleared, so it sees the request
      of a `wake` before that (test_a_wake_up_before_the_clearing_of_another_is_seen_by_on_wake), and a `wake` after
      that ends the next poll (test_a_wake_up_after_the_clearing_of_another_is_not_lost)
"""

import contextlib
import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sized
from typing import Any, ClassVar, Protocol, TypeVar

from ..safe_logger import SafeLogger
from ..throttled_logger import ThrottledLogger
from .deadlines import DeadlineQueue
from .poller import READ, Poller, best_poller
from .wakeup import WakeUp

logger = SafeLogger(logging.getLogger("waitress"))

Deadlines = TypeVar("Deadlines", bound=DeadlineQueue[Any])

TICK_SECONDS = 1.0  # between two checks of deadlines; a wait for readiness is never longer
# Of handling what is ready. Doubled: a request that is ready waits for 20 ms while many clients send what takes long to
# parse. Halved: a busy server asks the poller more often, for fewer events each time.
TURN_SECONDS = 0.01
LITTLE_SECONDS = TURN_SECONDS / 10  # less is as good as none, for a listener or a small request
IN_ORDER = 4  # of so many turns that end early, one keeps the order of the poller
FEW = 3  # events that a turn handles without looking at the time, which would cost each request of a quiet server
FAULT_SECONDS = 0.1  # of sleep after a poll that failed
LOG_SECONDS = 1.0  # at most one record about faults that escape a turn in so many seconds


class Handler(Protocol):
    """What the reactor calls. Thread: the leader. Each call may close the handler."""

    descriptor: int
    interest: int  # written by `Reactor.watch` only; 0 while the poller does not know the descriptor

    def on_ready(self, readiness: int) -> None:
        """Handle a descriptor that is ready, or has failed: `readiness` is a bit set of `poller`."""

    def on_notify(self) -> None:
        """Handle a call of `Reactor.notify` or `notify_lazily`."""

    def on_fault(self) -> None:
        """Close, after another call has raised. Its exception is being handled, and was logged; raise nothing."""


def _nothing() -> None:
    pass


class Reactor:
    """The handlers of one server, by their descriptors, and the turn that serves them."""

    usual_tick_seconds: ClassVar[float] = TICK_SECONDS  # an attribute, so that a test can shorten it

    def __init__(
        self,
        *,
        poller: Poller | None = None,
        clock: Callable[[], float] = time.monotonic,
        ready: Sized = (),  # what handlers have handed off and has not run yet; no wait starts before it has
        on_tick: Callable[[], None] = _nothing,  # called once in `tick_seconds`
        on_wake: Callable[[], None] = _nothing,  # called after `wake`
    ) -> None:
        # Set once, read anywhere
        self.clock = clock
        self.poller = best_poller() if poller is None else poller  # used by the leader only
        try:
            self._wake_up = WakeUp()
            self.poller.register(self._wake_up.descriptor, READ)
        except OSError:
            self.poller.close()
            raise
        self._lock = threading.Lock()
        # Leader only
        self.handlers: dict[int, Handler] = {}
        self._deadlines: list[DeadlineQueue[Any]] = []
        self._ready = ready
        self._on_tick = on_tick
        self._on_wake = on_wake
        self.now = clock()  # the instant at which the poll of this turn ended
        self.tick_seconds = self.usual_tick_seconds  # between two ticks now
        self._next_tick_at = self.now
        self._cut_turns = 0  # that have ended early
        self._taken: dict[int, float] = {}  # seconds by descriptor, since turns end early
        self._faults = ThrottledLogger(logger, LOG_SECONDS)  # one that stays does not fill the log
        # Appended to by any thread, emptied by the leader: descriptors; one that has no handler now is skipped
        self._notified: deque[int] = deque()
        # Like `notify`, but ends no wait: it may take as long as a turn waits. After `close`, call `wake_if_polling`
        # next. Thread: any. It is the method of the deque, because every request calls it.
        self.notify_lazily: Callable[[int], None] = self._notified.append
        # Guarded by self._lock. Without it `wake_if_polling` could read `_is_polling` before the leader has set it, but
        # after the leader has checked `_notified`: a handler would wait for a poll that nothing ends.
        self._is_polling = False
        self._is_closed = False

    # --- any thread

    @property
    def descriptors(self) -> list[int]:
        """Its own descriptors, without those of handlers; empty after its end."""
        if self._is_closed:
            return []
        own = [self._wake_up.descriptor, self._wake_up.write_descriptor]
        return own if self.poller.descriptor is None else [*own, self.poller.descriptor]

    def notify(self, descriptor: int) -> None:
        """Call `on_notify` of a descriptor's handler in the next turn, which starts at once.

        After `close` there is no leader and no turn: then it is called here.
        """
        self.notify_lazily(descriptor)
        self.wake_if_polling()

    def wake_if_polling(self) -> None:
        """End the poll, if one waits, because of a lazy notification before."""
        with self._lock:
            is_polling = self._is_polling
        if is_polling:
            self._wake_up.wake()
        elif self._is_closed:
            self._call_notified()

    def wake(self) -> None:
        """End the wait of the current turn, or the next, and call `on_wake`. A signal handler may call it: no lock."""
        self._wake_up.wake()

    # --- leader only

    def add_deadlines(self, queue: Deadlines) -> Deadlines:
        """Check this queue too, once a tick; return it."""
        self._deadlines.append(queue)
        return queue

    def watch(self, handler: Handler, interest: int) -> None:
        """Watch a handler's descriptor for `interest`; 0 removes it from the poller."""
        if interest == handler.interest:
            return
        if not handler.interest:
            self.poller.register(handler.descriptor, interest)
            self._taken.pop(handler.descriptor, None)  # mostly another's, who had the number before
        elif interest:
            self.poller.modify(handler.descriptor, interest)
        else:
            try:
                self.poller.unregister(handler.descriptor)
            except (OSError, ValueError, KeyError):
                pass  # the owner of a given socket has closed it, and epoll has forgotten it
        handler.interest = interest

    def tick_every(self, seconds: float | None = None) -> None:
        """Tick as often as this from now on, or by default as usual."""
        self.tick_seconds = self.usual_tick_seconds if seconds is None else seconds
        self._next_tick_at = min(self._next_tick_at, self.now + self.tick_seconds)

    def turn(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for readiness, and call the handlers. Raises nothing."""
        try:
            self._turn(timeout)
        except BaseException:  # the last net: no fault may lose leadership
            self._log_fault()

    def _log_fault(self) -> None:
        """Log the exception that is being handled."""
        self._faults.log(logging.ERROR, self.now, "uncaptured python exception in the reactor", exc_info=True)

    def _turn(self, timeout: float) -> None:
        if self._notified:
            # Before the poll, which could not wait otherwise: each request of a client alone would cost two polls.
            self.now = self.clock()
            self._call_notified()
            if self._ready:
                timeout = 0.0
        if timeout > self.tick_seconds:
            timeout = self.tick_seconds
        with self._lock:
            self._is_polling = not self._notified
            if self._notified:
                timeout = 0.0
        try:
            events = self.poller.poll(timeout)
        except BaseException:
            # Notifications and deadlines go on, and the server can still be stopped; without the sleep this would spin.
            self._log_fault()
            time.sleep(FAULT_SECONDS)
            events = []
        self._is_polling = False  # without the lock: a wake-up too many does no harm
        self.now = self.clock()
        if self._notified:
            # Before the events: mostly they are the next requests of clients that have just got their responses.
            self._call_notified()
        handlers = self.handlers
        for descriptor, readiness in events if len(events) <= FEW else self._while_there_is_time(events):
            handler = handlers.get(descriptor)
            if handler is not None:
                try:
                    handler.on_ready(readiness)
                except BaseException:
                    self._fault(handler)
            elif descriptor == self._wake_up.descriptor:
                self._wake_up.clear()
                self._on_wake()
        if self.now >= self._next_tick_at:
            self._next_tick_at = self.now + self.tick_seconds
            self._expire()
            self._on_tick()

    def _while_there_is_time(self, events: list[tuple[int, int]]) -> Iterator[tuple[int, int]]:
        """Yield events until the turn has taken its time, in most turns those first that have taken the least."""
        taken = self._taken
        if taken and self._cut_turns % IN_ORDER:
            events = events[::-1]
            events.sort(key=lambda event: taken.get(event[0], 0.0) // LITTLE_SECONDS)
        before, until = self.now, self.now + TURN_SECONDS
        for event in events:
            yield event
            after = self.clock()
            if after > until or taken:  # nearly never: to note the time of each would cost every request 1 %
                taken[event[0]] = taken.get(event[0], 0.0) + after - before
                if after > until:
                    self._cut_turns += 1
                    return
            before = after
        taken.clear()

    def _expire(self) -> None:
        started_at = self.clock()
        for queue in self._deadlines:
            while (descriptor := queue.pop_due(self.now)) is not None:
                handler = self.handlers.get(descriptor)
                if handler is not None:
                    try:
                        queue.on_due(handler)
                    except BaseException:
                        self._fault(handler)
                    if self.clock() - started_at > TURN_SECONDS:
                        self._next_tick_at = self.now  # the rest in the next turn
                        return

    def _call_notified(self) -> None:
        try:
            for _ in range(len(self._notified)):  # not those that come meanwhile
                try:
                    descriptor = self._notified.popleft()
                except IndexError:  # after `close` several threads may be here
                    return
                handler = self.handlers.get(descriptor)
                if handler is not None:
                    try:
                        handler.on_notify()
                    except BaseException:
                        self._fault(handler)
        except BaseException:  # of another thread: it may have come when a notification was taken, and not handled
            self._notified.extend(list(self.handlers))
            raise

    def _fault(self, handler: Handler) -> None:
        """Log an exception of one handler, and close that handler only."""
        logger.exception("uncaptured python exception, closing channel %r", handler)
        try:
            handler.on_fault()
        except BaseException:
            self._log_fault()

    def close(self) -> None:
        """Handle what is notified, and close the reactor's own descriptors. No `turn` may follow."""
        with self._lock:
            self._is_closed = True
            self._is_polling = False
        self._call_notified()
        with contextlib.suppress(OSError):  # somebody else has closed it: see `lifecycle.descriptors`
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
