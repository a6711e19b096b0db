"""A task that reports to the access log what becomes of its request. In place of `task.WSGITask` if there is a log.

Thread: an application thread, but for the construction.
"""

from typing import TYPE_CHECKING

from ..connection.connection import Connection
from ..connection.states import Ending
from ..http.request import Request
from ..observability.access_log import AccessLog, Exchange
from .environ import EnvironBuilder
from .task import TaskContext, WSGITask

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import StartResponse, WSGIEnvironment


class LoggedTask(WSGITask):
    """Answers one request, and writes its line when the response has ended."""

    __slots__ = ("_exchange", "_observer")

    def __init__(
        self,
        context: TaskContext,
        environ_builder: EnvironBuilder,
        log: AccessLog,
        connection: Connection,
        request: Request,
    ) -> None:
        super().__init__(context, environ_builder, connection, request)
        self.follow(log.start(connection.remote_addr, request.head, "", connection.sender.sent_bytes, connection.tls))

    def follow(self, exchange: Exchange) -> None:
        """Report to this exchange what becomes of the request. Call it before `service`."""
        self._exchange = exchange
        self._context = self._observer = _Observer(self._context)

    def refuse(self, rule: str, reason: str) -> None:
        """Answer 503 in place of the application. The leader may do that: another thread writes the line."""
        self._exchange.leave_queue()
        self._connection.exchange = self._exchange
        super().refuse(rule, reason)

    def service(self) -> None:
        """Run the application and send its response."""
        self._exchange.leave_queue()
        super().service()

    def _send_interim(self, head: bytes) -> None:
        self._exchange.head_bytes += len(head)
        super()._send_interim(head)

    def _make_head(self) -> bytes:
        head = super()._make_head()
        self._exchange.answer(self._response.status, len(head))
        return head

    def _finish(self, ending: Ending) -> None:
        exchange, connection = self._exchange, self._connection
        try:
            self._complete_exchange()
            if connection.sender.has_pending or connection.exchange is exchange:
                connection.exchange = exchange
            else:
                exchange.end(connection.sender.sent_bytes)
                exchange.service()
        finally:
            super()._finish(ending)

    def _complete_exchange(self) -> None:
        exchange, environ = self._exchange, self._observer.environ
        exchange.request_id = getattr(self, "request_id", None)  # of an IdentifiedTask
        if environ is not None:
            self._observer.environ = None  # an application may have put this task's methods there
            exchange.remote_addr = self._observer.remote_addr
            exchange.queue_time = max(exchange.queue_time, self._observer.proxy_queue_seconds)
            user = environ.get("REMOTE_USER")
            exchange.remote_user = user if isinstance(user, str) else None

    def _log_end(self) -> None:
        """Let another thread write the line now, before the task has ended. Thread: the leader."""
        self._complete_exchange()
        self._connection.end_exchange(self._exchange)


class _Observer:
    """A context for one task, which sees what the application is called with."""

    __slots__ = ("_context", "adj", "environ", "proxy_policy", "proxy_queue_seconds", "remote_addr")

    def __init__(self, context: TaskContext) -> None:
        self._context = context
        self.adj = context.adj
        self.proxy_policy = context.proxy_policy
        self.environ: WSGIEnvironment | None = None
        self.proxy_queue_seconds = 0.0  # with the time before this server, if a proxy says it
        self.remote_addr = ""  # as proxies report it, and before the application may change it

    def application(self, environ: "WSGIEnvironment", start_response: "StartResponse", /) -> "Iterable[bytes]":
        self.environ = environ
        self.remote_addr = environ["REMOTE_ADDR"]
        if "HTTP_X_REQUEST_START" in environ:
            self.proxy_queue_seconds = environ["waitress.queue_seconds"]
        return self._context.application(environ, start_response)
