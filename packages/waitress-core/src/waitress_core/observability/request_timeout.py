"""Requests that run for longer than `request_timeout`: logged with their stack, and given up.

Only where the setting asks for it, and then by one check a second of what the threads run.

Thread: the leader.
"""

import logging
from collections.abc import Callable, Sequence

from ..safe_logger import SafeLogger
from ..threads.running import RunningTask
from .request_ids import records_of
from .slow_requests import stack_of, thread_name

logger = SafeLogger(logging.getLogger("waitress"))


class RequestTimeouts:
    """Gives up tasks that run for `seconds` or longer."""

    def __init__(
        self,
        seconds: float,
        running: Callable[[], Sequence[RunningTask]],
        give_up: Callable[[object], None],  # called once for each task
    ) -> None:
        # Set once
        self._seconds = seconds
        self._running = running
        self._give_up = give_up
        # Reactor only
        self._given_up: list[object] = []  # tasks that still ran at the last check

    def tick(self) -> None:
        """Give up those that have run for too long. Call it once a second."""
        overdue = [run for run in self._running() if run.seconds >= self._seconds]
        before, self._given_up = self._given_up, [run.task for run in overdue]
        for run in overdue:
            if not any(run.task is known for known in before):
                with records_of(getattr(run.task, "request_id", None)):
                    self._report(run)
                self._give_up(run.task)

    def _report(self, run: RunningTask) -> None:
        logger.error(
            "%r has been running for %.1f seconds, longer than request_timeout: it is given up, and its thread "
            "%s is lost until it ends:\n%s",
            run.task,
            run.seconds,
            thread_name(run.thread_id),
            stack_of(run.thread_id),
        )
