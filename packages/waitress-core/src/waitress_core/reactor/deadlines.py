"""Deadlines of one kind: a FIFO, so that neither arming nor checking costs more with more of them.

All deadlines of a queue are equally long, so the one armed first is due first, and only the front is ever checked.
Deadlines are armed for descriptors; the reactor finds the handler.
Never reads a clock: instants (seconds of a monotonic clock) come from the caller.

Thread: the leader only, but for `armed_at`, which any may call.
"""

from collections.abc import Callable
from typing import Generic, TypeVar

Handler = TypeVar("Handler")


class DeadlineQueue(Generic[Handler]):
    """Descriptors that are due `seconds` after they were armed, in the order in which they are due.

    The reactor calls `on_due(handler)` for each that `pop_due` returns. Every request arms and disarms one: where that
    matters, `armed` is changed directly, as `arm` and `disarm` do it.
    """

    def __init__(self, seconds: float, on_due: Callable[[Handler], None]) -> None:
        self.seconds = seconds
        self.on_due = on_due
        self.armed: dict[int, float] = {}  # since when; insertion order is the order in which they are due

    def __len__(self) -> int:
        return len(self.armed)

    def arm(self, descriptor: int, now: float) -> None:
        """Start a descriptor's time, again if it had started already."""
        self.armed.pop(descriptor, None)
        self.armed[descriptor] = now

    def disarm(self, descriptor: int) -> None:
        """Stop a descriptor's time; nothing happens when it is not armed."""
        self.armed.pop(descriptor, None)

    def armed_at(self, descriptor: int) -> float | None:
        """Return the instant since which a descriptor is armed; None when it is not."""
        return self.armed.get(descriptor)

    def longest_armed(self) -> tuple[int, float] | None:
        """Return the descriptor that has been armed longest, and since when."""
        return next(iter(self.armed.items()), None)

    def pop_due(self, now: float) -> int | None:
        """Remove and return a descriptor that is due; None when there is none."""
        first = self.longest_armed()
        if first is None or first[1] > now - self.seconds:
            return None
        del self.armed[first[0]]
        return first[0]
