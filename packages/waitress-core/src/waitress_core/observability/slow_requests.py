"""Requests that run for long: the log reports each once, with what its thread is doing at that moment.

Only where a setting asks for it, and then by one check a second of what the threads run: no request pays for a timer.

Thread: the leader.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

from ..safe_logger import SafeLogger
from ..threads.running import RunningTask
from .request_ids import records_of

logger = SafeLogger(logging.getLogger("waitress"))


class SlowRequests:
    """Reports tasks that run for `seconds` or longer."""

    def __init__(self, seconds: float, running: Callable[[], Sequence[RunningTask]]) -> None:
        # Set once
        self._seconds = seconds
        self._running = running
        # Reactor only
        self._reported: list[object] = []  # tasks that still ran at the last check

    def tick(self) -> None:
        """Log those that have become slow. Call it once a second."""
        slow = [run for run in self._running() if run.seconds >= self._seconds]
        for run in slow:
            if not any(run.task is reported for reported in self._reported):
                with records_of(getattr(run.task, "request_id", None)):
                    self._report(run)
        self._reported = [run.task for run in slow]

    def _report(self, run: RunningTask) -> None:
        logger.warning(
            "%r has been running for %.1f seconds, in thread %s:\n%s",
            run.task,
            run.seconds,
            thread_name(run.thread_id),
            stack_of(run.thread_id),
        )


def stack_of(thread_id: int) -> str:
    """Return what a thread is doing, as the lines of a traceback."""
    frame = sys._current_frames().get(thread_id)
    if frame is None:
        return "(no stack: it has just ended, or is a greenlet)"
    return "".join(traceback.format_stack(frame)).rstrip()


def thread_name(thread_id: int) -> str:
    """Return the name of a thread, or its number if it is not one of the interpreter's."""
    names = {thread.ident: thread.name for thread in threading.enumerate()}
    return names.get(thread_id, str(thread_id))
