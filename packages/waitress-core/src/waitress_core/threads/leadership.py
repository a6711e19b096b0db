"""Decides when tasks are handed off, and when an application thread should lead, by how quick tasks have been.

A hand-off costs more than a small request itself, but while the leader runs a slow one all I/O stops. So tasks are
handed off while their mean time says that they are slow, and for a while after leadership was taken from one, whatever
the mean says. A rare take, after many quick tasks, starts no such hold, and its task does not count in the mean: the
hand-offs that the leaders have saved pay for the stop of the I/O. Each other take doubles the hold.

Knows no thread, clock or lock: the dispatcher calls it.
"""

# Seconds. The leader runs tasks for so long before it asks the poller again. Doubled: while the server is busy, what is
# ready waits up to 4 ms for the next poll. Halved: a busy server polls twice as often, for fewer events each time.
QUANTUM = 0.002

# Seconds between two checks of the watchdog after it took leadership, as long as it finds new tasks: the next slow task
# stops the I/O for one to two of them. Doubled: 0.9 of the requests if 1 in 300 sleeps. Halved: a few more of them, for
# twice the checks.
SHORTEST_PAUSE = QUANTUM / 4

# Seconds, the mean time of a task: from here on tasks are handed off, which costs more than a small request itself.
# Doubled: tasks of up to 1 ms run one after another, even if they wait for a database and could wait at once. Halved:
# tasks of 0.25 ms pay for a hand-off, which is a good part of their time.
FAST = QUANTUM / 4

# Tasks that the mean time covers: one task of MEAN_OVER * FAST (5 ms) among quick ones makes the mean slow, unless its
# take was rare. Doubled: the mean notices a change after twice as many tasks. Halved: one task of 2.5 ms is enough to
# have tasks handed off.
MEAN_OVER = 10
_DECAY = 1 - 1 / MEAN_OVER  # weight of the mean before a task

# Tasks that leaders have run since the last take, from which a take is rare: the hand-offs that they saved, some 40 us
# each, pay for the stop of the I/O. Doubled: 1.3 times the processor time if 1 in 50 or 1 in 100 sleeps. Halved: no
# difference there.
RARE_AFTER = 40

# Seconds after the first take that is not rare in which tasks are handed off whatever the mean says: as long as a slow
# task has stopped the I/O under a close watch. Doubled or halved: no difference if 1 in 50, 100 or 300 sleeps.
SHORTEST_HOLD = 2 * SHORTEST_PAUSE

# Seconds: the bound of the doubling. A take every 0.1 s, each after two checks, stops the I/O for 4 % of the time.
# Doubled: an application that has become quick pays for hand-offs 0.2 s longer. Halved: 8 %.
LONGEST_HOLD = 0.1


class LeadershipPolicy:
    """Remembers how long the tasks of one dispatcher took. Instants and durations are in seconds."""

    __slots__ = ("_hold", "_hold_until", "_mean_seconds", "_tasks_at_take", "tasks_run")

    def __init__(self) -> None:
        # Written by the leader, read by all
        self.tasks_run = 0  # by leaders, between two turns
        # Written by every thread that runs a task: a lost update makes a worse guess only
        self._mean_seconds = 0.0
        # Written by whoever takes leadership, and so by one thread at a time
        self._tasks_at_take = 0
        self._hold_until = 0.0
        self._hold = 0.0  # 0 after a rare take

    def hands_off(self, now: float) -> bool:
        """Whether tasks should be handed off, and the standby should lead."""
        return self._mean_seconds >= FAST or now < self._hold_until

    def weigh(self, seconds: float, count: int = 1) -> None:
        """Add `count` tasks, which took `seconds` each on average, to the mean."""
        mean = self._mean_seconds  # read once: another thread may write it meanwhile
        self._mean_seconds = mean + (seconds - mean) * (1 - _DECAY**count)

    def on_take(self, now: float) -> None:
        """Start a hold, unless takes are rare: leadership was taken from a task that keeps it from the I/O, or will."""
        is_rare = self.tasks_run - self._tasks_at_take > RARE_AFTER
        self._tasks_at_take = self.tasks_run
        self._hold = 0.0 if is_rare else min(max(self._hold * 2, SHORTEST_HOLD), LONGEST_HOLD)
        self._hold_until = max(self._hold_until, now + self._hold)

    @property
    def was_rare(self) -> bool:
        """Whether the last take was rare."""
        return not self._hold

    def hand_off_always(self) -> None:
        """Hand every task off from now on."""
        self._hold_until = float("inf")
