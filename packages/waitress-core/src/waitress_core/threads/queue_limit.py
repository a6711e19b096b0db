"""Refuses tasks that would wait behind too many others.

Thread: the leader.
"""

from collections.abc import Callable
from typing import Any

from .dispatcher import Dispatcher
from .tasks import InternalTask, Task


class QueueLimit:
    """Gives a dispatcher no more than `limit` tasks that wait; internal tasks do not count, and are never refused."""

    def __init__(self, limit: int, dispatcher: Dispatcher, refuse: Callable[[Any], None]) -> None:
        """`refuse(task)` does what is to be done with a task in place of running it."""
        self._limit = limit
        self._dispatcher = dispatcher
        self._refuse = refuse

    def submit(self, task: Task) -> None:
        """Have the task run, or refuse it."""
        dispatcher = self._dispatcher
        waiting = len(dispatcher.ready) + dispatcher.waiting_count
        if waiting >= self._limit and not isinstance(task, InternalTask):
            self._refuse(task)
        else:
            dispatcher.ready.append(task)
