"""Requests that run for long: each is told in the log once, with what its thread is doing at that moment.

Only where it is asked for, and then by one look a second at what the threads run: no request pays for a timer.

Thread: the holder of the lead.
"""

import logging
import sys
import threading
import traceback
from collections.abc import Callable, Sequence

from ..threads.running import RunningTask

logger = logging.getLogger("waitress")


class SlowRequests:
    """Looks for tasks that run for `seconds` or longer."""

    def __init__(self, seconds: float, running: Callable[[], Sequence[RunningTask]]) -> None:
        # Set once
        self._seconds = seconds
        self._running = running
        # The holder of the lead only
        self._told: list[object] = []  # tasks that still ran when it last looked

    def tick(self) -> None:
        """Log those that have become slow. To be called once a second."""
        slow = [run for run in self._running() if run.seconds >= self._seconds]
        for run in slow:
            if not any(run.task is told for told in self._told):
                self._tell(run)
        self._told = [run.task for run in slow]

    def _tell(self, run: RunningTask) -> None:
        frame = sys._current_frames().get(run.thread_id)
        names = {thread.ident: thread.name for thread in threading.enumerate()}
        logger.warning(
            "%r has been running for %.1f seconds, in thread %s:\n%s",
            run.task,
            run.seconds,
            names.get(run.thread_id, run.thread_id),
            "".join(traceback.format_stack(frame)).rstrip() if frame is not None else "(it has just ended)",
        )
