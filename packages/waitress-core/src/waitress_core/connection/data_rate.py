"""How slow a client may be: seconds of patience that pass away, and that octets earn back.

Patience is never more than it was at the beginning. Were it the sum of all that has been earned, a client could move
some megabytes at once and then hold a connection, or a worker, for hours.

Never reads a clock: instants (seconds of a monotonic clock) come from the caller.
"""


class Patience:
    """So many seconds at most, of which time takes; each `rate` octets that the client moves give one back."""

    __slots__ = ("_left", "_looked_at", "_most", "_moved_bytes", "_rate")

    def __init__(self, seconds: float, rate: int, now: float, moved_bytes: int = 0) -> None:
        self._most = self._left = seconds
        self._rate = rate
        # At the last look
        self._looked_at = now
        self._moved_bytes = moved_bytes

    def spend(self, now: float, moved_bytes: int, *, is_free: bool = False) -> bool:
        """Spend the time since the last look, unless that is free; false when none is left.

        `moved_bytes` is how much the client has moved in all.
        """
        spent = 0.0 if is_free else now - self._looked_at
        earned = (moved_bytes - self._moved_bytes) / self._rate
        self._looked_at = now
        self._moved_bytes = moved_bytes
        self._left = min(self._most, self._left - spent + earned)
        return self._left > 0
