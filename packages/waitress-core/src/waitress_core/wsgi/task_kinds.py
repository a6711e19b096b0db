"""Which class of task the settings ask for. What few servers want is imported only for those."""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ..config.adjustments import Adjustments
from ..connection.connection import Connection
from ..http.request import Request
from ..threads.tasks import Task
from .environ import EnvironBuilder
from .task import TaskContext, WSGITask

if TYPE_CHECKING:
    from ..observability.access_log import AccessLog

Kind = TypeVar("Kind", bound=WSGITask)


def task_factory(
    context: TaskContext, environ_builder: EnvironBuilder, access_log: "AccessLog | None"
) -> Callable[[Connection, Request], Task]:
    """Return what makes the task of a complete request of one listener."""
    kind: type[WSGITask] = WSGITask
    arguments: list[Any] = [context, environ_builder]
    if access_log is not None:
        from .logged_task import LoggedTask

        kind = LoggedTask
        arguments.append(access_log)
    return partial(task_kind(kind, context.adj), *arguments)


def task_kind(kind: type[Kind], adj: Adjustments) -> type[Kind]:
    """Return the subclass of a task class that does what the settings ask for."""
    if adj.queue_timeout or adj.request_timeout:
        from .bounded_task import BoundedTask

        kind = _combined(BoundedTask, kind)
    if adj.uses_proxy_protocol:
        from .proxied_task import ProxiedTask

        kind = _combined(ProxiedTask, kind)
    if adj.request_id_header:
        from .identified_task import IdentifiedTask

        kind = _combined(IdentifiedTask, kind)
    return kind


_subclasses: dict[tuple[type, type], Any] = {}  # (the class that adds something, the task class) -> of both


def _combined(addition: type[WSGITask], kind: type[Kind]) -> type[Kind]:
    """Return the subclass of a task class to which another class of tasks adds something; each is made once."""
    key = addition, kind
    if key not in _subclasses:
        _subclasses[key] = type(kind.__name__, (addition, kind), {})
    made: type[Kind] = _subclasses[key]
    return made
