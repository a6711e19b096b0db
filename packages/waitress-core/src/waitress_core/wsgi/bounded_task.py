"""A task that is refused if it has waited for too long when its turn comes.

Thread: an application thread.
"""

from typing import Any, TypeVar

from .task import WSGITask

Kind = TypeVar("Kind", bound=WSGITask)


class BoundedTask(WSGITask):
    """Answers one request, unless it has waited for longer than `queue_timeout`. `bounded` makes a task class one."""

    def service(self) -> None:
        """Run the application and send its response; or refuse the request."""
        timeout = self._context.adj.queue_timeout
        waited = self._connection.reactor.clock() - self._arrived_at
        if timeout and waited > timeout:
            self.refuse("queue_timeout", f"one has waited for {waited:.3f} seconds, longer than {timeout}")
        else:
            super().service()


_bounded: dict[type[WSGITask], type[WSGITask]] = {}  # task class -> its subclass


def bounded(kind: type[Kind]) -> type[Kind]:
    """Return the subclass of a task class whose requests do not wait for too long."""
    if kind not in _bounded:
        _bounded[kind] = type(kind.__name__, (BoundedTask, kind), {})
    found: Any = _bounded[kind]
    return found  # type: ignore[no-any-return]  # made from `kind`, which `type()` does not say
