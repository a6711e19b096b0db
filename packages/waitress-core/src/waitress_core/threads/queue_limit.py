"""Refuses tasks that would wait behind too many others.

Thread: the leader.
"""

from collections import deque
from collections.abc import Callable
from typing import Any

from .dispatcher import Dispatcher
from .tasks import InternalTask, Task


class QueueLimit:
    """Gives a dispatcher no more than `limit` tasks that wait; internal tasks do not count, and are never refused.

    A refused request leaves an internal task behind, its access log line.
    """

    def __init__(self, limit: int, dispatcher: Dispatcher, refuse: Callable[[Any], None]) -> None:
        """`refuse(task)` answers a task that does not run."""
        # Set once
        self._limit = limit
        self._dispatcher = dispatcher
        self._refuse = refuse
        # Leader only
        self._submitted = 0  # tasks, internal ones too
        self._internal: deque[int] = deque()  # for each internal task that is ready, how many were submitted before it

    def submit(self, task: Task) -> None:
        """Pass a task to the dispatcher, or refuse it."""
        ready, internal = self._dispatcher.ready, self._internal
        taken = self._submitted - len(ready)  # they are taken in the order in which they were submitted
        while internal and internal[0] < taken:
            internal.popleft()
        if isinstance(task, InternalTask):
            internal.append(self._submitted)
        elif len(ready) - len(internal) + self._dispatcher.waiting_count >= self._limit:
            self._refuse(task)
            return
        self._submitted += 1
        ready.append(task)
