"""A task with an environ that has what the PROXY protocol has reported about its connection.

Thread: an application thread, but for the construction.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..http.request import Request
from .task import EnvironSource, WSGITask

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIEnvironment


class ProxiedTask(WSGITask):
    """Answers one request of a connection that may have come by a proxy. `task_kinds` combines it with another task."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        proxy = self._connection.proxy
        if proxy is not None and proxy.environ:
            self._environ_builder = _AddingBuilder(self._environ_builder, proxy.environ)


class _AddingBuilder:
    """Adds to each environ of another builder."""

    def __init__(self, builder: EnvironSource, added: dict[str, str]) -> None:
        self.is_tls = builder.is_tls
        self._build = builder.build
        self._added = added

    def build(
        self, request: Request, remote_addr: str, remote_port: str, client_disconnected: Callable[[], bool]
    ) -> "WSGIEnvironment":
        environ = self._build(request, remote_addr, remote_port, client_disconnected)
        environ.update(self._added)
        return environ
