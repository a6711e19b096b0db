"""Decides when tasks are handed off, and when an application thread should lead, by how quick tasks have been.

A hand-off costs more than a small request itself, but while the leader runs a slow one all I/O stops. So tasks are
handed off while their mean time says that they are slow, and for a while after leadership was taken from one, whatever
the mean says. This hold is short after a take among much quick work; each take among little work doubles it.

Knows no thread, clock or lock: the dispatcher calls it.
"""

# Seconds. The leader runs tasks for so long before it asks the poller again, and the watchdog checks at most so often.
# Doubled: while the server is busy, what is ready waits up to 4 ms for the next poll, and 8 ms for the watchdog to take
# leadership from a slow task. Halved: a busy server polls twice as often, for fewer events each time.
QUANTUM = 0.002

# Seconds, the mean time of a task: from here on tasks are handed off, which costs more than a small request itself.
# Doubled: tasks of up to 1 ms run one after another, even if they wait for a database and could wait at once. Halved:
# tasks of 0.25 ms pay for a hand-off, which is a good part of their time.
FAST = QUANTUM / 4

# Tasks that the mean time covers: one task of MEAN_OVER * FAST (5 ms) among quick ones makes the mean slow. Doubled:
# the mean notices a change after twice as many tasks. Halved: one task of 2.5 ms is enough to have tasks handed off.
MEAN_OVER = 10
_DECAY = 1 - 1 / MEAN_OVER  # weight of the mean before a task

# Seconds after a take in which tasks are handed off whatever the mean says: as long as a slow task has stopped the I/O
# under a close watch, two checks. Doubled: after each take among quick work, twice as many requests pay for a hand-off.
# Halved: the next slow task finds an application thread leading again, and stops the I/O again.
SHORTEST_HOLD = 2 * QUANTUM

# Seconds: the bound of the doubling. A take every 0.1 s, each after two checks, stops the I/O for 4 % of the time.
# Doubled: an application that has become quick pays for hand-offs 0.2 s longer. Halved: 8 %.
LONGEST_HOLD = 0.1

# Seconds of tasks that leaders have run since the last take: the hand-offs that they saved pay for the stop of the I/O.
# Doubled: an application with twice the quick work between two slow tasks counts as slow, and the hold doubles at each
# take. Halved: the hold stays the shortest though the I/O stops half the time.
RARE = 2 * SHORTEST_HOLD


class LeadershipPolicy:
    """Remembers how long the tasks of one dispatcher took. Instants and durations are in seconds."""

    __slots__ = ("_hold", "_hold_until", "_mean_seconds", "led_seconds", "tasks_run")

    def __init__(self) -> None:
        # Written by the leader, read by all; a take sets `led_seconds` to 0, and a lost update makes a worse guess only
        self.tasks_run = 0  # by leaders, between two turns
        self.led_seconds = 0.0  # of tasks that leaders ran, since leadership was last taken from one
        # Written by every thread that runs a task: a lost update makes a worse guess only
        self._mean_seconds = 0.0
        # Written by whoever takes leadership, and so by one thread at a time
        self._hold_until = 0.0
        self._hold = SHORTEST_HOLD

    def hands_off(self, now: float) -> bool:
        """Whether tasks should be handed off, and the standby should lead."""
        return self._mean_seconds >= FAST or now < self._hold_until

    def weigh(self, seconds: float, count: int = 1) -> None:
        """Add `count` tasks, which took `seconds` each on average, to the mean."""
        mean = self._mean_seconds  # read once: another thread may write it meanwhile
        self._mean_seconds = mean + (seconds - mean) * (1 - _DECAY**count)

    def on_take(self, now: float) -> None:
        """Start a hold: leadership was taken from a task that keeps it from the I/O, or is about to."""
        is_rare = self.led_seconds >= RARE
        self.led_seconds = 0.0
        self._hold = SHORTEST_HOLD if is_rare else min(self._hold * 2, LONGEST_HOLD)
        self._hold_until = max(self._hold_until, now + self._hold)

    def hand_off_always(self) -> None:
        """Hand every task off from now on."""
        self._hold_until = float("inf")
