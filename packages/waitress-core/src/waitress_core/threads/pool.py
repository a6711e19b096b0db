"""The threads of a dispatcher: start them, keep them going whatever is raised in them, replace and end them.

Knows no leadership and no queue.
"""

import logging
import threading
import time
from collections.abc import Callable
from functools import partial

from ..safe_logger import SafeLogger
from .running import ThreadSlot

logger = SafeLogger(logging.getLogger("waitress"))

# Seconds that a thread pauses after an exception in its own loop. Doubled: if each turn failed, I/O would go on five
# times a second rather than ten. Halved: twice the records of one that stays.
FAULT_SECONDS = 0.1


class CannotStartThread(RuntimeError):
    """The system has no thread left."""


def start_thread(target: Callable[[], None], name: str) -> threading.Thread:
    """Start a thread that does not keep the process alive.

    Raises:
        CannotStartThread: the system has none left.
    """
    thread = threading.Thread(target=target, name=name, daemon=True)
    try:
        thread.start()
    except RuntimeError as error:
        raise CannotStartThread(f"Cannot start the thread {name}: {error}") from error
    return thread


class _Member:
    """One of the threads: its name, its slot, and what it runs until it is told to stop."""

    __slots__ = ("name", "run", "slot")

    def __init__(self, name: str, slot: ThreadSlot, run: Callable[[ThreadSlot], None]) -> None:
        self.name = name
        self.slot = slot
        self.run = run


class ThreadPool:
    """Threads with names that start with `name`. Thread: the same one starts, checks and ends them.

    `on_fault(slot)` is called when the thread of a slot has failed, or has ended: by itself, or by `check`. What the
    thread was running is in the slot until then.
    """

    def __init__(self, name: str, on_fault: Callable[[ThreadSlot], None]) -> None:
        # Set once
        self._name = name
        self._on_fault = on_fault
        # Read anywhere
        self.threads: list[threading.Thread] = []
        self.slots: list[ThreadSlot] = []  # of the application threads
        self._members: list[_Member] = []  # what each of `threads` runs
        self._application_threads = 0  # that were started
        self._is_stopped = False

    def start_application_thread(self, run: Callable[[ThreadSlot], None]) -> None:
        """Start one that runs tasks.

        Raises:
            CannotStartThread: the system has none left.
        """
        slot = ThreadSlot()
        self._start(_Member(f"{self._name}-{self._application_threads}", slot, run))
        self._application_threads += 1
        self.slots.append(slot)

    def start(self, name: str, run: Callable[[ThreadSlot], None]) -> None:
        """Start one that runs no tasks.

        Raises:
            CannotStartThread: the system has none left.
        """
        self._start(_Member(f"{self._name}-{name}", ThreadSlot(), run))

    def _start(self, member: _Member) -> None:
        self.threads.append(start_thread(partial(self._keep_running, member), member.name))
        self._members.append(member)

    def _keep_running(self, member: _Member) -> None:
        """Run one of the threads until it is told to stop, whatever is raised in it."""
        pause = 0.0
        while not self._is_stopped:
            try:
                time.sleep(pause)
                member.run(member.slot)
                return
            except BaseException:
                pause = FAULT_SECONDS
                self._on_fault(member.slot)
                logger.exception("uncaptured python exception in the thread %s, which goes on", member.name)

    def check(self) -> None:
        """Replace threads that have ended; remove those that were lost, and have ended with their task.

        Raises:
            CannotStartThread: the system has none left.
        """
        for index in reversed(range(len(self._members))):
            member = self._members[index]
            if self.threads[index].is_alive():
                continue
            if member.slot.is_lost:
                del self.threads[index], self._members[index]
                self.slots.remove(member.slot)
            else:
                self._on_fault(member.slot)
                logger.error("The thread %s has ended: another one replaces it", member.name)
                self.threads[index] = start_thread(partial(self._keep_running, member), member.name)

    @property
    def lost_count(self) -> int:
        """Application threads that have been replaced, and still run their task. Thread: any."""
        return sum(slot.is_lost and slot.running is not None for slot in self.slots.copy())

    def stop(self) -> None:
        """Let no thread go on after what it runs has ended."""
        self._is_stopped = True

    def join(self, timeout: float) -> int:
        """Wait up to `timeout` seconds for the threads to end; return how many still run.

        The thread that calls this is neither waited for nor counted.
        """
        until = time.perf_counter() + timeout
        others = [thread for thread in self.threads if thread is not threading.current_thread()]
        for thread in others:
            thread.join(max(0.0, until - time.perf_counter()))
        return sum(thread.is_alive() for thread in others)
