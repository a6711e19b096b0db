"""Decides when the queue of tasks is worth a log record, however many requests pass through it.

A queue that is served within a moment is not: a browser that asks for a page and its images at once makes one. An
episode starts when a task has waited for longer than `warning_seconds`, and ends when none has for QUIET_SECONDS.
Within an episode each doubling of the depth is logged, and its end. A record for every request would cost most when
there is least time, and a server that is just busy enough would log each moment without a queue, many times a second.

With 0 seconds each task that has to wait is logged, as waitress 3.0.2 does.

Knows no queue and no lock: the dispatcher calls it, holding its own lock.
"""

# Seconds in which no task had to wait too long, after which the queue counts as empty. Doubled: the log reports the end
# of an episode 10 s late, and two bursts within that time as one. Halved: a server that is just busy enough logs two
# records every 2.5 s.
QUIET_SECONDS = 5.0


class QueueLog:
    """The current episode, if there is one."""

    def __init__(self, warning_seconds: float) -> None:
        self.logged_depth = 0  # the depth that was logged last; 0 outside an episode; may be read without the lock
        # A task that has waited for longer is to be noted; may be read without the lock
        self.late_seconds = warning_seconds or float("inf")
        self._greatest = 0
        self._longest_wait = 0.0
        self._late_at = 0.0  # when a task last had to wait too long

    def grow(self, depth: int, now: float) -> bool:
        """Note that a task has to wait, and makes the queue `depth` deep; return whether to log that."""
        if depth == 1 and not self.logged_depth:
            self._greatest = 0
            self._longest_wait = 0.0
        self._greatest = max(self._greatest, depth)
        if self.late_seconds != float("inf"):
            return False
        self._late_at = now
        self.logged_depth = depth
        return True

    def note_wait(self, seconds: float, depth: int, now: float) -> int:
        """Note that a task has waited for `seconds` so far, one of `depth` that wait; return a depth to log, or 0."""
        self._longest_wait = max(self._longest_wait, seconds)
        if seconds <= self.late_seconds:
            return 0
        self._late_at = now
        self._greatest = max(self._greatest, depth)  # no `grow` if it has only waited for a free thread to wake up
        if depth < 2 * self.logged_depth:
            return 0
        self.logged_depth = depth
        return depth

    def end_if_quiet(self, depth: int, now: float) -> tuple[int, float] | None:
        """End the episode if it is over; return its greatest depth and its longest wait in seconds, to be logged."""
        if not self.logged_depth or depth > 0 or now - self._late_at < QUIET_SECONDS:
            return None
        episode = self._greatest, self._longest_wait
        self.logged_depth, self._greatest, self._longest_wait = 0, 0, 0.0
        return episode
