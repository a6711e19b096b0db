"""Decides when the queue of tasks is worth a log record, however many requests pass through it.

An episode starts when a task finds no free thread, and ends when no task has had to wait for QUIET_SECONDS. Within an
episode each doubling of the depth is logged, and its end. A record for every request would cost most when there is
least time, and a server that is just busy enough would log each moment without a queue, many times a second.

Knows no queue and no lock: the dispatcher calls it, holding its own lock.
"""

# Seconds in which no task had to wait, after which the queue counts as empty. Doubled: the log reports the end of an
# episode 10 s late, and two bursts within that time as one. Halved: a server that is just busy enough logs two records
# every 2.5 s.
QUIET_SECONDS = 5.0


class QueueLog:
    """The current episode, if there is one."""

    def __init__(self) -> None:
        self.logged_depth = 0  # the depth that was logged last; 0 outside an episode; may be read without the lock
        self._greatest = 0
        self._longest_wait = 0.0
        self._grown_at = 0.0  # when a task last had to wait

    def grow(self, depth: int, now: float) -> bool:
        """Note that a task has to wait, and makes the queue `depth` deep; return whether to log that."""
        if not self.logged_depth:
            self._greatest, self._longest_wait = 0, 0.0
        self._grown_at = now
        self._greatest = max(self._greatest, depth)
        if depth < 2 * self.logged_depth:
            return False
        self.logged_depth = depth
        return True

    def end_wait(self, seconds: float) -> None:
        """Note that a task has waited for `seconds`."""
        self._longest_wait = max(self._longest_wait, seconds)

    def end_if_quiet(self, depth: int, now: float) -> tuple[int, float] | None:
        """End the episode if it is over; return its greatest depth and its longest wait in seconds, to be logged."""
        if not self.logged_depth or depth > 0 or now - self._grown_at < QUIET_SECONDS:
            return None
        self.logged_depth = 0
        return self._greatest, self._longest_wait
