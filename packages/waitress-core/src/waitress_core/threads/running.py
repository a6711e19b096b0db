"""What each application thread runs, and since when.

`running` has one writer, its thread, and any number of readers. The thread writes task and time as one object, so no
reader sees the task of one call with the time of another, with a GIL or without. A task costs a tuple and no lock.
"""

from collections.abc import Iterable
from typing import NamedTuple


class ThreadSlot:
    """One application thread."""

    __slots__ = ("is_lost", "running", "thread_id")

    def __init__(self) -> None:
        self.thread_id = 0  # as `threading.get_ident` gives it; 0 before the thread has started
        # Written under the dispatcher's lock, by the thread that starts the threads: another thread has been started in
        # place of this one, which ends with its task
        self.is_lost = False
        self.running: tuple[object, float] | None = None  # a task, and when it started


class RunningTask(NamedTuple):
    """A task that runs, its thread, and for how many seconds it has run."""

    thread_id: int
    task: object
    seconds: float


def running_tasks(slots: Iterable[ThreadSlot], now: float) -> list[RunningTask]:
    """Return the tasks that run at this moment."""
    runs = [(slot.thread_id, slot.running) for slot in slots]
    return [RunningTask(thread_id, run[0], max(0.0, now - run[1])) for thread_id, run in runs if run is not None]
