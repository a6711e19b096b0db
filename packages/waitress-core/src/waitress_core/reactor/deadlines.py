"""Deadlines of one kind: a FIFO, so that neither arming nor looking costs more with more of them.

All deadlines of a queue are equally long, hence the one armed first is due first, and only the front is ever looked at.
Never reads a clock: instants (seconds of a monotonic clock) come from the caller.

Thread: the holder of the lead only, but for `armed_at`, which any may ask.
"""

from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

Item = TypeVar("Item", bound=Hashable)


class DeadlineQueue(Generic[Item]):
    """Items that are due `seconds` after they were armed, in the order in which they are due.

    `on_due(item)` is to be called for each that `pop_due` gives.
    """

    def __init__(self, seconds: float, on_due: Callable[[Item], None]) -> None:
        self.seconds = seconds
        self.on_due = on_due
        self._armed_at: dict[Item, float] = {}  # insertion order is the order in which they are due

    def __len__(self) -> int:
        return len(self._armed_at)

    def arm(self, item: Item, now: float) -> None:
        """Begin an item's time, anew if it had begun already."""
        armed_at = self._armed_at
        if item in armed_at:
            del armed_at[item]
        armed_at[item] = now

    def disarm(self, item: Item) -> None:
        """Let an item off; nothing happens when it is not armed."""
        self._armed_at.pop(item, None)

    def armed_at(self, item: Item) -> float | None:
        """Return since when an item is armed; None when it is not."""
        return self._armed_at.get(item)

    def longest_armed(self) -> tuple[Item, float] | None:
        """Return the item that has been armed longest, and since when."""
        return next(iter(self._armed_at.items()), None)

    def pop_due(self, now: float) -> Item | None:
        """Take out an item whose time has passed; None when there is none."""
        first = self.longest_armed()
        if first is None or first[1] > now - self.seconds:
            return None
        del self._armed_at[first[0]]
        return first[0]
