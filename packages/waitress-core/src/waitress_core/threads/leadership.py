"""When requests are handed over, and when an application thread should hold the lead: by how quick tasks have been.

Handing over costs more than a small request itself, but while the lead keeps a slow one the I/O stands still. So tasks
are handed over while their mean time says that they are slow, and for a while after the lead was taken from one,
whatever the mean says. That while is short after a take among much quick work, and twice as long at each that came
among little.

Knows no thread, clock or lock: the dispatcher calls it.
"""

FAST = 0.0005  # seconds: mean time of a task under which tasks are not handed over
DECAY = 0.9  # weight of all tasks before in their mean time
SHORTEST_HOLD = 0.004  # seconds after a take in which tasks are handed over whatever the mean says
LONGEST_HOLD = 0.1
RARE = 0.008  # seconds of tasks run by the lead since the last take: what that gained pays for a stop of the I/O


class LeadershipPolicy:
    """What is remembered of the tasks of one dispatcher, and what follows from it. Instants and times in seconds."""

    __slots__ = ("_hold", "_hold_until", "_mean_seconds", "led_seconds", "tasks_run")

    def __init__(self) -> None:
        # Written by whoever runs a task, read by all: a lost update costs a worse guess, nothing else
        self.tasks_run = 0  # by the lead; counted by its holder
        self.led_seconds = 0.0  # of those, since the lead was last taken from one; counted by its holder
        self._mean_seconds = 0.0
        # Written by whoever takes the lead, and so by one at a time
        self._hold_until = 0.0
        self._hold = SHORTEST_HOLD

    def hands_off(self, now: float) -> bool:
        """Whether tasks are to be handed over, and the lead to be the spare's."""
        return self._mean_seconds >= FAST or now < self._hold_until

    def weigh(self, seconds: float, count: int = 1) -> None:
        """So many tasks have run, each for so long on average."""
        mean = self._mean_seconds  # read once: another thread may write it meanwhile
        self._mean_seconds = mean + (seconds - mean) * (1 - DECAY**count)

    def on_take(self, now: float) -> None:
        """The lead is taken from a task that keeps it from the I/O, or is about to."""
        is_rare = self.led_seconds >= RARE
        self.led_seconds = 0.0
        self._hold = SHORTEST_HOLD if is_rare else min(self._hold * 2, LONGEST_HOLD)
        self._hold_until = max(self._hold_until, now + self._hold)

    def hand_off_always(self) -> None:
        """Have every task handed over from now on."""
        self._hold_until = float("inf")
