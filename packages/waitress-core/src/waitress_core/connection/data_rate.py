"""How slowly a client may send its body or read its response: a minimum rate with a time budget.

The budget never grows beyond what it was at the start. If it could hold all that was ever earned, a client could
transfer some megabytes at once and then hold a connection, or an application thread, for hours.

Never reads a clock: instants (seconds of a monotonic clock) come from the caller.
"""


class MinDataRate:
    """A time budget of `seconds`: elapsed time uses it up, and every `rate` bytes transferred give one second back."""

    __slots__ = ("_checked_at", "_left", "_most", "_moved_bytes", "_rate")

    def __init__(self, seconds: float, rate: int, now: float, moved_bytes: int = 0) -> None:
        self._most = self._left = seconds
        self._rate = rate
        # At the last check
        self._checked_at = now
        self._moved_bytes = moved_bytes

    def is_too_slow(self, now: float, moved_bytes: int, *, is_free: bool = False) -> bool:
        """Charge the time since the last check, unless it `is_free`; return whether the budget is used up.

        `moved_bytes` is the total that the client has transferred so far.
        """
        used = 0.0 if is_free else now - self._checked_at
        earned = (moved_bytes - self._moved_bytes) / self._rate
        self._checked_at = now
        self._moved_bytes = moved_bytes
        self._left = min(self._most, self._left - used + earned)
        return self._left <= 0
