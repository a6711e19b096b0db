"""What the log says of the queue: when it has grown, and when it is empty again, however many requests pass it.

An episode begins when a task finds no thread free, and ends when no task has for QUIET_SECONDS; within one, each
doubling of the depth is told. A line for every request would cost most when there is least time, and one for every
moment without a queue would come many times a second from a server that is just busy enough.

Knows no queue and no lock: the dispatcher calls it, and its lock guards all of this.
"""

# Seconds in which no task had to wait, after which the queue counts as empty. Doubled: the log reports the end of an
# episode 10 s late, and two bursts within that time as one. Halved: a server that is just busy enough logs two records
# every 2.5 s.
QUIET_SECONDS = 5.0


class QueueDepth:
    """The episode under way, if there is one."""

    def __init__(self) -> None:
        self.told = 0  # the depth that was told last; 0 outside an episode, which may be read without the lock
        self._greatest = 0
        self._longest_wait = 0.0
        self._grown_at = 0.0  # when a task last had to wait

    def grow(self, depth: int, now: float) -> bool:
        """A task has to wait, and makes the queue this deep: whether that is to be told."""
        if not self.told:
            self._greatest, self._longest_wait = 0, 0.0
        self._grown_at = now
        self._greatest = max(self._greatest, depth)
        if depth < 2 * self.told:
            return False
        self.told = depth
        return True

    def end_wait(self, seconds: float) -> None:
        """A task has waited for so long."""
        self._longest_wait = max(self._longest_wait, seconds)

    def end_if_quiet(self, depth: int, now: float) -> tuple[int, float] | None:
        """End the episode if it is over: gives its greatest depth and its longest wait in seconds, to be told."""
        if not self.told or depth > 0 or now - self._grown_at < QUIET_SECONDS:
            return None
        self.told = 0
        return self._greatest, self._longest_wait
