"""A task with a request that has an id: in the environ, on the response, and in its log records.

Thread: an application thread, but for the construction.
"""

from typing import TYPE_CHECKING, Any

from ..connection.request_ids import request_id_of
from ..observability.request_ids import current_request_id
from .task import ExcInfo, TaskContext, WSGITask

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class IdentifiedTask(WSGITask):
    """Answers one request that has an id. `task_kinds` combines it with another task."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        context = self._context
        name = context.adj.request_id_header
        assert name is not None  # or it would be another task
        self._id_header = name
        self.request_id = request_id_of(self._connection, self._request.head, name, context.proxy_policy.trusts)
        self._context = _IdentifyingContext(context, self.request_id, "HTTP_" + name.upper().replace("-", "_"))

    def __repr__(self) -> str:
        return f"{super().__repr__()[:-1]}, request {self.request_id}>"

    def _described(self) -> str:
        return f"{super()._described()} (request {self.request_id})"

    def service(self) -> None:
        """Run the application and send its response."""
        token = current_request_id.set(self.request_id)
        try:
            super().service()
        finally:
            current_request_id.reset(token)

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: ExcInfo | None = None
    ) -> "Callable[[bytes], object]":
        """Take the application's status and headers, and add the id."""
        fields = list(headers)
        given = {name.lower() for name, _ in fields if isinstance(name, str)}
        if self._id_header.lower() not in given:
            fields.append((self._id_header, self.request_id))
        return super().start_response(status, fields, exc_info)

    def _answer(self, status: str, detail: str, *fields: tuple[str, str]) -> None:
        super()._answer(status, detail, *fields, (self._id_header, self.request_id))


class _IdentifyingContext:
    """A context for one task, which adds the id to what the application is called with."""

    __slots__ = ("_context", "_environ_key", "_request_id", "adj", "proxy_policy")

    def __init__(self, context: TaskContext, request_id: str, environ_key: str) -> None:
        self._context = context
        self._request_id = request_id
        self._environ_key = environ_key
        self.adj = context.adj
        self.proxy_policy = context.proxy_policy

    def application(self, environ: "WSGIEnvironment", start_response: "StartResponse", /) -> "Iterable[bytes]":
        environ[self._environ_key] = environ["waitress.request_id"] = self._request_id
        return self._context.application(environ, start_response)
