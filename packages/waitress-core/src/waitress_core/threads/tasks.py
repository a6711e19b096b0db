"""What the dispatcher runs: tasks, and what may take them in its place.

Knows no thread, queue or lock.
"""

from typing import Protocol


class Task(Protocol):
    """One call of an application; exactly one of the two methods is called, once.

    Our own tasks also have `fail`. It is called if `service` has raised, or its thread has failed: the task may be
    anywhere between its start and its end.
    """

    def service(self) -> None:
        """Run, on an application thread."""

    def cancel(self) -> None:
        """Release what waits for the task, which will not run. Called by the leader, or after its end."""


class InternalTask:
    """A task that is no request: work of the server itself that may block or run application code.

    It is cancelled only once leadership has ended. An access log line and the close of a file are such tasks.
    """

    __slots__ = ()


class TaskSink(Protocol):
    """Takes tasks in place of the dispatcher's own application threads."""

    def add_task(self, task: Task, /) -> None:
        """Run `task.service` soon, in some thread."""
