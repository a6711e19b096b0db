"""The watchdog: takes leadership from a task that keeps it from the I/O.

It is its own thread, because the leader is in the task. It never runs the application and does no I/O.

Leadership is in its slot while a task of the leader runs. If the watchdog finds it there at two checks in a row, and no
task was started between them, then one task has run from the first check to the second: it takes leadership away.

It pauses for a QUANTUM between two checks. After it took leadership it pauses for SHORTEST_PAUSE, because more slow
tasks may come, and the longer every task has been quick, the longer, up to LONGEST_PAUSE: a thread that wants the
global lock for a check makes the leader pay for each system call meanwhile. Checks at every QUANTUM cost a twentieth of
the requests (measured on CPython 3.11, two cores, small requests on 16 connections). Without tasks it parks: an idle
server runs nothing.
"""

import time
from collections.abc import Callable

from .event import Event
from .leadership import QUANTUM, SHORTEST_PAUSE, LeadershipPolicy

# Seconds: a task keeps leadership from the I/O for two pauses at most. Doubled: the first slow task after quick ones
# stops the I/O for 40 ms. Halved: twice the checks, each of which takes the global lock from the leader.
LONGEST_PAUSE = 0.01

# Factor of the pause at each check that found new tasks: 151 checks, or 0.5 s of quick tasks, from SHORTEST_PAUSE to
# LONGEST_PAUSE. Doubled to 4 %: 0.25 s of quick tasks are enough to relax the watch. Halved to 1 %: it takes 1 s after
# each take until the watch costs little again.
PAUSE_GROWTH = 1.02

# Checks without a task before the watchdog parks: 20 to 100 ms. Doubled: it checks an idle server for twice as long.
# Halved: a client that sends 60 requests a second has the leader wake the watchdog for each.
CHECKS_UNTIL_PARKED = 10

# Seconds: the longest wait of a turn, and of the parked watchdog. The reactor ticks once a second, within a turn.
# Doubled: an idle server notices deadlines a second later. Halved: it wakes up twice as often, for nothing.
IDLE_WAIT = 1.0


class Watchdog:
    """Checks that no task keeps leadership for long; `run` is its thread."""

    def __init__(self, policy: LeadershipPolicy, is_in_slot: Callable[[], bool], take: Callable[[], None]) -> None:
        """Watch the tasks that `policy` counts.

        `is_in_slot()` says whether leadership is in the slot, while a task runs; `take()` takes it from there, if it
        still is.
        """
        # Set once
        self._policy = policy
        self._is_in_slot = is_in_slot
        self._take = take
        self._unparked = Event()
        # Written by the watchdog's thread, read by the leader before each task
        self.is_parked = False
        # Written by whoever ends the threads, read by the watchdog's thread
        self._is_stopped = False

    def unpark(self) -> None:
        """Check again from now on, because a task is going to run. Thread: the leader, or whoever stops it."""
        self._unparked.set()

    def stop(self) -> None:
        """End the thread at its next check. Thread: any."""
        self._is_stopped = True
        self.unpark()

    def run(self) -> None:
        """Check until stopped. Thread: the watchdog's."""
        policy, seen, quiet, pause = self._policy, -1, 0, QUANTUM
        self.is_parked = False  # it may have been when an exception ended the last call
        while not self._is_stopped:
            time.sleep(pause)
            if policy.tasks_run != seen:
                seen, quiet = policy.tasks_run, 0
                pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
            elif self._is_in_slot():
                self._take()
                pause = SHORTEST_PAUSE
            else:
                pause = max(pause, QUANTUM)
                quiet += 1
                if quiet > CHECKS_UNTIL_PARKED:
                    quiet = 0
                    pause = QUANTUM
                    self._park(seen)

    def _park(self, seen: int) -> None:
        """Wait for the next task: `seen` is the number of tasks at the last check."""
        self.is_parked = True
        # Checked again: a leader that came just before has not seen `is_parked`, and has woken nobody.
        if self._policy.tasks_run == seen and not self._is_in_slot() and not self._is_stopped:
            # Bounded: a missed wake-up costs a late check, never a lost one.
            self._unparked.wait(IDLE_WAIT)
        self.is_parked = False
        self._unparked.clear()
