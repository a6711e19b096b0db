"""How slowly a client may send its body or read its response: a minimum rate with a time budget.

The budget never grows beyond what it was at the start. If it could hold all that was ever earned, a client could
transfer some megabytes at once and then hold a connection, or an application thread, for hours.

Never reads a clock: instants (seconds of a monotonic clock) come from the caller.
"""

# Charged by one check, whatever time has passed: they come once a second, and a server that was held up for longer (by
# an application that keeps the interpreter, or a signal that stops it) cannot know what the client did meanwhile.
CHARGED_SECONDS = 2.0

# Bytes per second of a client that is not slow, and is not closed at the connection limit. Doubled: a client on a slow
# mobile network loses its transfer there. Halved: 8 MB/s are enough to hold a thousand connections.
QUICK = 16 * 1024
COUNTED = 1.5 * QUICK  # of the present rate at most: after a burst of any size, a second without a byte is slow


class MinDataRate:
    """A time budget of `seconds`: elapsed time uses it up, and every `rate` bytes transferred give one second back."""

    __slots__ = ("_checked_at", "_left", "_most", "_moved_bytes", "_rate", "bytes_per_second", "started_at")

    def __init__(self, seconds: float, rate: int, now: float, moved_bytes: int = 0) -> None:
        self._most = self._left = seconds
        self._rate = rate
        self.started_at = now
        # The present rate, up to COUNTED: each check weighs as much as all before it
        self.bytes_per_second = COUNTED  # not known yet
        # At the last check
        self._checked_at = now
        self._moved_bytes = moved_bytes

    def is_too_slow(self, now: float, moved_bytes: int, *, is_free: bool = False) -> bool:
        """Charge the time since the last check, unless it `is_free`; return whether the budget is used up.

        `moved_bytes` is the total that the client has transferred so far.
        """
        seconds = now - self._checked_at
        moved = moved_bytes - self._moved_bytes
        if seconds > 0:
            self.bytes_per_second = (self.bytes_per_second + min(moved / seconds, COUNTED)) / 2
        used = 0.0 if is_free else min(seconds, CHARGED_SECONDS)
        earned = moved / self._rate
        self._checked_at = now
        self._moved_bytes = moved_bytes
        self._left = min(self._most, self._left - used + earned)
        return self._left <= 0

    @property
    def behind_seconds(self) -> float:
        """How much of the budget is used up: the client needs as long at the minimum rate to catch up."""
        return self._most - self._left
