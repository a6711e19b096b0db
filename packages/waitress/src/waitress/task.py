"""Tasks, by the names of waitress 3.0; the threads that run them are in `_dispatcher`.

For programs that derive a `task_class` (to add to the environ, or to see each response), or replace `hop_by_hop`.

A server uses these tasks only if a program has replaced something of a channel or a task (see `_replacements`).
Otherwise it uses those of `waitress_core`, which are the same without the attributes.
"""

import time
from collections.abc import Set
from typing import TYPE_CHECKING, Any

import waitress_core.wsgi.task
from waitress_buffers import ReadOnlyFileBuffer
from waitress_core.connection.sender import ClientDisconnected
from waitress_core.connection.states import Ending
from waitress_core.http.error_responses import ERROR_CONTENT_TYPE
from waitress_core.http.response import CHUNKED, CLOSE, Response
from waitress_core.http.response_fields import HOP_BY_HOP
from waitress_core.http.response_head import forbid
from waitress_core.safe_logger import contained
from waitress_core.wsgi.environ import add_tls

from ._dispatcher import ThreadedTaskDispatcher, logger, queue_logger
from ._modules import call_when_rebound, old_module
from ._replacements import is_replaced, replaceable
from ._stand_ins import ParsedRequest, StandInConnection, StandInContext, StandInEnvirons, is_served
from .buffers import ReadOnlyFileBasedBuffer

if TYPE_CHECKING:
    from collections.abc import Iterable

    from _typeshed.wsgi import WSGIEnvironment

    from ._protocols import TaskChannel
    from .parser import HTTPRequestParser

__all__ = [
    "ErrorTask",
    "ReadOnlyFileBasedBuffer",
    "Task",
    "ThreadedTaskDispatcher",
    "WSGITask",
    "hop_by_hop",
    "logger",
    "queue_logger",
]

hop_by_hop: Set[str] = HOP_BY_HOP  # no application may send these; may be rebound: see `_replacements`


@replaceable
class Task(waitress_core.wsgi.task.WSGITask):
    """One response to one request of a channel.

    `execute` of a subclass makes it: it sets `status`, `response_headers` and then `complete`, and calls `write`.
    """

    logger = logger
    status = "200 OK"
    start_time = 0.0
    logged_write_excess = False
    logged_write_no_body = False
    _is_complete = False
    _framed_bytes = 0  # bytes given to `write`: the body's size where no length is declared
    _holds_head = False  # an empty piece sends nothing: while an iterable is sent, and at the end
    _has_head_failed = False  # the error response is then made without `build_response_header`
    _ends_itself = False  # `service` or `refuse` of this class has been called, which end the request whatever happens

    def __init__(self, channel: "TaskChannel | Any", request: "HTTPRequestParser | Any") -> None:
        self._is_served = is_served(channel)
        parsed: Any = ParsedRequest(request)
        if self._is_served:
            super().__init__(channel.server, channel.environ_builder, channel.connection, parsed)
        else:
            stand_ins: tuple[Any, Any, Any] = (
                StandInContext(channel.server),
                StandInEnvirons(channel),
                StandInConnection(channel),
            )
            super().__init__(*stand_ins, parsed)
        self.channel: Any = channel
        self.request: Any = request  # a parser
        self._version = request.version if request.version in ("1.0", "1.1") else "1.0"
        self.response_headers: list[tuple[str, str]] = []

    def service(self) -> None:
        """Answer the request.

        Raises nothing, unless the channel is a program's own: that one handles exceptions.
        """
        self._ends_itself = True
        if self._is_served:
            super().service()
            return
        try:
            self._run()
        except OSError:
            self.close_on_finish = True
            if self._context.adj.log_socket_errors:
                raise

    def refuse(self, rule: str, reason: str) -> None:
        """Answer 503 in place of the application, in place of `service`; `rule` is the setting that asks for it."""
        self._ends_itself = True
        super().refuse(rule, reason)

    def end_unless_served(self, *, has_failed: bool) -> None:
        """End the request, and its connection, if a `service` of the program has not called this one, or has failed.

        Nothing else would end them. If it has failed, a response without a length must not look complete.
        """
        if has_failed and self._ends_itself:
            self.fail()
        elif not self._ends_itself:
            self._request.close()
            self._finish(Ending.RESET if has_failed and self._response.is_open_ended else self._last_ending())

    # --- what a program may override

    def start(self) -> None:
        """Start the task."""
        self.start_time = time.time()

    def execute(self) -> None:
        """Make the response."""
        raise NotImplementedError

    def finish(self) -> None:
        """End the response."""
        if not self.wrote_header:
            self._holds_head = True  # it is sent with the end, and with a Content-Length then
            self.write(b"")
        super()._end_body()

    def build_response_header(self) -> bytes:
        """Return the head of the response, as it is sent, from `status` and `response_headers`."""
        self._start()
        self._apply_close_on_finish()
        return super()._make_head()

    def write(self, data: bytes) -> None:
        """Send a piece of the body, after the head. An empty piece sends only the head."""
        if self.complete and not self._response.is_started:
            self._start()
        if not (data or self.wrote_header or self._holds_head) and self.complete:
            self._connection.sender.send(self._make_head())
        super().write(data)
        self._framed_bytes += len(data)

    # --- what a program may read and set

    @property
    def version(self) -> str:
        """The version of the response: "1.1" or "1.0"."""
        return self._version

    @version.setter
    def version(self, value: str) -> None:
        self._version = value
        if not self._response.is_started:
            before, head = self._response, self._request.head
            self._response = Response(value, head.method, before.persists, self._context.adj.ident)
            self._response.content_length = before.content_length

    @property
    def complete(self) -> bool:
        """Whether status and headers are set: by `start_response`, or by the task itself."""
        return self._is_complete or self._response.is_started

    @complete.setter
    def complete(self, value: bool) -> None:
        self._is_complete = value

    @property
    def wrote_header(self) -> bool:
        """Whether the head has been made."""
        return self._response.has_head

    @property
    def chunked_response(self) -> bool:
        """Whether the body is sent in chunks."""
        return self._response.framing is CHUNKED

    @property
    def has_body(self) -> bool:
        """Whether a body may be sent."""
        return self._response.has_body

    @property
    def content_length(self) -> int | None:
        """Bytes of the body, if that is known before the end."""
        return self._response.content_length

    @content_length.setter
    def content_length(self, value: int | None) -> None:
        self._response.content_length = value

    @property
    def content_bytes_written(self) -> int:
        """Bytes of the body that have been sent or queued."""
        response = self._response
        if not (response.has_head and response.has_body):
            return 0
        return self._framed_bytes if self.content_length is None else self.content_length - response.remaining

    @property
    def close_on_finish(self) -> bool:
        """Whether the connection ends after the response."""
        return not self._response.persists

    @close_on_finish.setter
    def close_on_finish(self, value: bool) -> None:
        self._response.persists = not value

    def set_close_on_finish(self) -> None:
        """Close the connection after the response."""
        self.close_on_finish = True

    def remove_content_length_header(self) -> None:
        """Remove Content-Length from the headers."""
        self.response_headers = [field for field in self.response_headers if field[0].lower() != "content-length"]

    # --- what the core's task calls

    def _run(self, environ: "WSGIEnvironment | None" = None) -> None:
        self.start()
        self.execute()
        self.finish()
        self._apply_close_on_finish()

    def _make_head(self) -> bytes:
        if self._has_head_failed:
            return super()._make_head()
        try:
            head = self.build_response_header()
        except BaseException:
            self._has_head_failed = True
            raise
        response = self._response
        if not response.has_head:  # a program's own head, which alone says how the body is framed
            response.make_head()
            if response.framing is CHUNKED:
                response.framing = CLOSE
        return head

    def _answer(self, status: str, detail: str, *fields: tuple[str, str]) -> None:
        if not isinstance(self, ErrorTask) and is_replaced(self.channel, "error_task_class"):
            self._answer_by_program(status, detail)
        if not self._response.has_head:
            self.status, self.response_headers = status, [("Content-Type", ERROR_CONTENT_TYPE), *fields]
            super()._answer(status, detail, *fields)

    def _answer_by_program(self, status: str, detail: str) -> None:
        """Answer by the `error_task_class` of a program."""
        from .utilities import error_with  # lazy import: few programs have such a class

        channel, request = self.channel, self.channel.parser_class(self.channel.adj)
        for name in ("version", "command", "path", "query", "request_uri"):
            setattr(request, name, getattr(self.request, name))
        request.error = error_with(status, detail)
        task = channel.error_task_class(channel, request)
        task.set_close_on_finish()
        try:
            task._run()
        except ClientDisconnected:
            self._log_gone()
        except Exception:
            with contained:
                logger.exception("Exception while serving %s", request.path)
        self._response = task._response

    def _log_length_mismatch(self) -> None:
        """Log it once, and not if a program says that it has been logged."""
        response = self._response
        if not response.remaining:
            name = "logged_write_excess" if response.has_body else "logged_write_no_body"
            if getattr(self, name):
                return
            setattr(self, name, True)
        super()._log_length_mismatch()

    def _send_body(self, body: "Iterable[bytes]") -> None:
        self._holds_head = True
        super()._send_body(body)
        self._holds_head = False

    def _end_body(self) -> None:
        """Do nothing: `finish`, which may write more, ends the body."""

    def _apply_close_on_finish(self) -> None:
        if self.close_on_finish:  # a class may set it for all its responses
            self._response.persists = False

    def _start(self) -> None:
        """Start the response with the status, headers and length of the attributes."""
        length = self.content_length
        self._response.start(self.status, self.response_headers)
        if length is not None:
            self.content_length = length


@replaceable
class ErrorTask(Task):
    """Answers with the `error` of the request."""

    _is_complete = True

    def execute(self) -> None:
        """Send the error as the response."""
        assert self.request.error is not None  # only a request with an error gets this task
        adj = self._context.adj
        self.status, self.response_headers, body = self.request.error.to_response(adj.ident)
        request_id = getattr(self, "request_id", None)  # of an IdentifiedTask
        if request_id is not None:
            self.response_headers.append((adj.request_id_header or "", request_id))
        self.content_length = len(body)
        self.set_close_on_finish()
        self.write(body)


@replaceable
class WSGITask(Task):
    """Calls the application."""

    environ: "WSGIEnvironment | None" = None

    def get_environment(self) -> "WSGIEnvironment":
        """Return the environ of the request, the same at each call."""
        if self.environ is None:
            connection, channel = self._connection, self.channel
            parsed: Any = ParsedRequest(self.request)
            client_disconnected = getattr(channel, "check_client_disconnected", connection.is_client_gone)
            environ = self._environ_builder.build(
                parsed, connection.remote_addr, connection.remote_port, client_disconnected
            )
            if self._environ_builder.is_tls:
                add_tls(environ, connection.tls)
            else:
                environ["wsgi.url_scheme"] = self.request.url_scheme
            # Here, and not where the application is called, which a program may do itself.
            if self._context.proxy_policy.is_needed:
                self._context.proxy_policy.apply(environ, parsed)
            self.environ = environ
        return self.environ

    def execute(self) -> None:
        """Call the application, and send its response."""
        self.environ = self.get_environment()
        waitress_core.wsgi.task.WSGITask._run(self, self.environ)

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """Set the application's status and headers (PEP 3333, "The start_response() Callable")."""
        write = super().start_response(status, headers, exc_info)
        self.status, self.response_headers = status, list(headers)
        return write

    def _send_file(self, file: ReadOnlyFileBuffer) -> bool:
        size = file.prepare(self.content_length) if self.complete and not self.wrote_header else 0
        if size:  # a file bypasses `write`, but for its head
            self.content_length = size
            self.write(b"")
            if not self._is_served:
                self.channel.write_soon(file)
                return True
        return super()._send_file(file)


_logged: dict[type[Task], type[Task]] = {}  # task class of the program -> its subclass


def logged(task_class: type[Task]) -> type[Task]:
    """Return the subclass of a task class that writes the access log."""
    from waitress_core.wsgi.logged_task import LoggedTask  # lazy import: only servers with an access log need it

    found = _logged.get(task_class)
    if found is None:
        bases, body = (LoggedTask, task_class), {"__slots__": (), "__init__": task_class.__init__}
        found = _logged[task_class] = type(task_class.__name__, bases, body)
    return found


call_when_rebound(__name__, "hop_by_hop", forbid)


old_module(__name__, "build_http_date deque rename_headers sys threading")
