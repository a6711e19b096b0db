"""Refuses tasks that would wait behind too many others.

Thread: the leader, but for the start of an internal task.
"""

import threading
from collections.abc import Callable
from typing import Any

from .dispatcher import Dispatcher
from .tasks import InternalTask, Task


class QueueLimit:
    """Gives a dispatcher no more than `limit` tasks that wait; internal tasks do not count, and are never refused."""

    def __init__(self, limit: int, dispatcher: Dispatcher, refuse: Callable[[Any], None]) -> None:
        """`refuse(task)` does what is to be done with a task in place of running it."""
        # Set once
        self._limit = limit
        self._dispatcher = dispatcher
        self._refuse = refuse
        # Guarded by self._lock: without it two that start at once would be one, and the limit too high for ever
        self._lock = threading.Lock()
        self._internal_count = 0  # internal tasks that wait

    def submit(self, task: Task) -> None:
        """Have the task run, or refuse it."""
        dispatcher = self._dispatcher
        if isinstance(task, InternalTask):
            self._count_internal(1)
            dispatcher.ready.append(_Uncounted(task, self._count_internal))
        elif len(dispatcher.ready) + dispatcher.waiting_count - self._internal_count >= self._limit:
            self._refuse(task)
        else:
            dispatcher.ready.append(task)

    def _count_internal(self, change: int) -> None:
        with self._lock:
            self._internal_count += change


class _Uncounted(InternalTask):
    """An internal task that says when it waits no more: a refused request leaves one behind, its access log line."""

    __slots__ = ("_count", "_task")

    def __init__(self, task: Task, count: Callable[[int], None]) -> None:
        self._task = task
        self._count = count

    def __repr__(self) -> str:
        return repr(self._task)

    def service(self) -> None:
        """Run the task. Thread: an application thread."""
        self._count(-1)
        self._task.service()

    def cancel(self) -> None:
        """Cancel the task."""
        self._count(-1)
        self._task.cancel()
