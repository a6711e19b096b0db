"""The watchdog: takes leadership from a task that keeps it from the I/O.

A thread of its own, for the leader cannot do it: it is in the task. It never runs the application and does no I/O.

Leadership is in its slot while a task of the leader runs. If the watchdog finds it there at two checks in a row, and no
task was started between them, then one task has run from the first check to the second: it takes leadership away.

It pauses for a QUANTUM between two checks, and longer the longer every task has been quick, up to LONGEST_PAUSE: a
thread that wants the global lock for a check makes the leader pay for each system call meanwhile. Checks at every
QUANTUM cost a fifth of the requests (measured on CPython 3.11, two cores, small requests on 16 connections). Without
tasks it parks: an idle server runs nothing.
"""

import threading
import time
from collections.abc import Callable, Sized

from .leadership import LeadershipPolicy

QUANTUM = 0.002  # seconds of tasks between two turns, and the shortest pause of the watchdog
PAUSE_GROWTH = 1.02  # of the watchdog's pause at each look that found the tasks quick: 0.4 s to the longest
LONGEST_PAUSE = 0.01  # seconds: a task keeps the lead from the I/O for no more than two of them
PARK = 10  # looks without a task after which the watchdog sleeps
IDLE_WAIT = 1.0  # seconds: the longest wait of one turn


class Watchdog:
    """Checks that no task keeps leadership for long; `run` is its thread."""

    def __init__(self, policy: LeadershipPolicy, slot: Sized, take: Callable[[], None]) -> None:
        """Watch the tasks that `policy` counts.

        `slot` is not empty while leadership is with a task; `take()` takes it from there, if it still is.
        """
        # Set once
        self._policy = policy
        self._slot = slot
        self._take = take
        self._unparked = threading.Event()
        # Written by the watchdog's thread, read by the leader before each task
        self.is_parked = False
        # Written by whoever ends the threads, read by the watchdog's thread
        self._is_stopped = False

    def unpark(self) -> None:
        """Have it check again, because a task is going to run. Thread: the leader."""
        self._unparked.set()

    def stop(self) -> None:
        """End its thread soon. Thread: any."""
        self._is_stopped = True
        self._unparked.set()

    def run(self) -> None:
        """Check until stopped. Thread: the watchdog's."""
        policy, slot, seen, quiet, pause = self._policy, self._slot, -1, 0, QUANTUM
        while not self._is_stopped:
            time.sleep(pause)
            if policy.tasks_run != seen:
                seen, quiet = policy.tasks_run, 0
                pause = min(pause * PAUSE_GROWTH, LONGEST_PAUSE)
            elif slot:
                self._take()
                pause = QUANTUM
            else:
                quiet += 1
                if quiet > PARK:
                    quiet = 0
                    pause = QUANTUM
                    self._park(seen)

    def _park(self, seen: int) -> None:
        """Wait for the next task: `seen` is the number of tasks at the last check."""
        self.is_parked = True
        # Checked again: a leader that came just before has not seen `is_parked`, and has woken nobody.
        if self._policy.tasks_run == seen and not self._slot and not self._is_stopped:
            # Bounded: a missed wake-up costs a late check, never a lost one.
            self._unparked.wait(IDLE_WAIT)
        self.is_parked = False
        self._unparked.clear()
