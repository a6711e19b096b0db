"""Logs a kind of event that may come thousands of times a second: now and then, or as a count.

Never reads a clock: instants (`now`, seconds of a monotonic clock) come from the caller.

Thread: one `ThrottledLogger` is used by one thread at a time, or under a lock of the caller. No lock may be held over a
log record: under a lock, call `take_suppressed`, and log after the lock.
"""

from .safe_logger import SafeLogger


class ThrottledLogger:
    """Logs at most one record in `seconds`: of one event (`log`), or of all since the last (`take_suppressed`).

    With `until_quiet` each event extends the wait, logged or not: an event is logged only if none came in the `seconds`
    before it. A cause that lasts is then logged once, however long it lasts:

        self._accept_failures = ThrottledLogger(logger, QUIET_SECONDS, until_quiet=True)
        ...
        self._accept_failures.log(logging.WARNING, self._reactor.now, "server accept() threw an exception: %s", error)
    """

    def __init__(self, logger: SafeLogger, seconds: float, *, until_quiet: bool = False) -> None:
        self._logger = logger
        self._seconds = seconds
        self._until_quiet = until_quiet
        self._suppressed = 0  # events since the last record, if they are counted
        self._waits_since = float("-inf")  # the last record, or with `until_quiet` the last event

    def log(self, level: int, now: float, text: str, *args: object, exc_info: bool = False) -> None:
        """Log an event, unless there was a record a moment ago."""
        is_due = now - self._waits_since >= self._seconds
        if is_due or self._until_quiet:
            self._waits_since = now
        if is_due:
            self._logger.log(level, text, *args, exc_info=exc_info, stacklevel=2)

    def suppress(self) -> None:
        """Count an event without a record, for `take_suppressed` to report later."""
        self._suppressed += 1

    def take_suppressed(self, now: float) -> int:
        """Return how many suppressed events to log now, as one record; 0 if there are none, or it is too early."""
        if not self._suppressed or now - self._waits_since < self._seconds:
            return 0
        count, self._suppressed, self._waits_since = self._suppressed, 0, now
        return count
