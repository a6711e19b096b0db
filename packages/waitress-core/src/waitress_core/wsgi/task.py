"""One call of the application: environ in, response out, by PEP 3333.

Runs on an application thread. It is the only file that calls an application, and whatever an application does ends
here: in a response, or in a closed connection and a log record, and with `close` called on what it returned.

What an application gives is `Any` until it has been checked.
"""

import contextlib
import logging
import math
import traceback
from collections.abc import Callable
from types import TracebackType
from typing import TYPE_CHECKING, Any, Protocol

from waitress_buffers import BufferStorageError, ReadOnlyFileBuffer

from ..config.adjustments import Adjustments
from ..connection.connection import Connection
from ..connection.sender import ClientDisconnected
from ..connection.states import PERSIST, Ending
from ..http.error_responses import SERVER_ERROR, SERVER_ERROR_DETAIL, ErrorResponse
from ..http.request import Request
from ..http.response import Response
from ..safe_logger import SafeLogger
from .environ import add_tls
from .proxy_errors import MalformedProxyHeader
from .proxy_headers import ProxyPolicy

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication, WSGIEnvironment

logger = SafeLogger(logging.getLogger("waitress"))

BUSY = "503 Service Unavailable"
JOIN_BYTES = 64 * 1024  # a larger first piece is sent after the head rather than copied behind it

ExcInfo = tuple[type[BaseException], BaseException, TracebackType] | tuple[None, None, None]


class TaskContext(Protocol):
    """The server, as its tasks see it."""

    adj: Adjustments
    proxy_policy: ProxyPolicy

    @property
    def application(self) -> "WSGIApplication":
        """What is called with each request."""


class EnvironSource(Protocol):
    """What builds the environs of tasks."""

    @property
    def is_tls(self) -> bool:
        """Whether each environ needs `add_tls`."""

    def build(
        self, request: Request, remote_addr: str, remote_port: str, client_disconnected: Callable[[], bool]
    ) -> "WSGIEnvironment":
        """Return the environ of one request from one peer."""


class WSGITask:
    """Answers one request of one connection."""

    __slots__ = (
        "_connection",
        "_context",
        "_ending",
        "_environ_builder",
        "_request",
        "_response",
    )

    def __init__(
        self, context: TaskContext, environ_builder: EnvironSource, connection: Connection, request: Request
    ) -> None:
        head = request.head
        self._connection = connection
        self._request = request
        self._context = context
        self._environ_builder = environ_builder
        self._response = Response(head.version, head.method, head.is_persistent, context.adj.ident)
        self._ending: Ending | None = None  # what the response itself does not say

    def __repr__(self) -> str:
        head = self._request.head
        return f"<WSGITask {head.method} {head.path}>"

    @property
    def request_line(self) -> str:
        """The method and the target, without a query."""
        head = self._request.head
        return f"{head.method} {head.target.partition('?')[0]}"

    def _described(self) -> str:
        """Return what the log calls the request."""
        return self._request.head.path

    def cancel(self) -> None:
        """Give the request up before it could run: the client sees its connection close."""
        self._request.close()
        self._finish(Ending.CLOSE)

    def refuse(self, rule: str, reason: str) -> None:
        """Answer 503 in place of the application, in place of `service`; `rule` is the setting that asks for it.

        Thread: the leader, or an application thread.
        """
        connection = self._connection
        try:
            connection.count_refusal(rule, reason)
            seconds = max(1, math.ceil(self._context.adj.queue_timeout))
            self._answer(BUSY, "The server is busy: try again later", ("Retry-After", str(seconds)))
        except BaseException:
            logger.exception("Exception while refusing %s", self._described())
        finally:
            self._request.close()
            self._finish(Ending.LINGER)

    def service(self) -> None:
        """Run the application and send its response. Raises nothing: whatever happens is logged."""
        try:
            self._run()
        except ClientDisconnected:
            self._log_gone()
            self._ending = Ending.CLOSE
        except MalformedProxyHeader as error:
            self._connection.count_refusal(type(error).__name__)
            self._answer("400 Bad Request", str(error))
        except BaseException as error:
            # SystemExit too: an application that exits ends its request, not its thread or the server.
            if self._ending is None:  # or a write that failed has said how
                self._ending = Ending.LINGER
            logger.exception("Exception while serving %s", self._described())
            self._answer_exception(error)
        finally:
            self._request.close()
            ending = self._ending
            if ending is None:
                ending = PERSIST if self._response.persists else self._last_ending()
            self._finish(ending)

    def fail(self) -> None:
        """End the request, unless it has ended: `service` has raised after all, or its thread has failed.

        Only an exception of another thread can do that (`PyThreadState_SetAsyncExc`), and it may come anywhere.
        """
        try:
            self._request.close()
        finally:
            self._connection.finish_failed(self._response)

    def _finish(self, ending: Ending) -> None:
        self._connection.finish(ending, self._response)

    def _log_end(self) -> None:
        """Do nothing: for a task that is logged."""

    def _last_ending(self) -> Ending:
        # A client that has asked for the end sends nothing more; any other may, and must still be able to read.
        return Ending.LINGER if self._request.head.is_persistent else Ending.CLOSE

    # --- the way of a response

    def _run(self, environ: "WSGIEnvironment | None" = None) -> None:
        """Answer the request, with this environ if it has been built already, and its proxy headers applied."""
        context, connection, request = self._context, self._connection, self._request
        # It may have left while the request was queued. Until then the reactor reads: an interest costs no call.
        if not connection.interest and connection.has_lost_client():
            raise ClientDisconnected
        if environ is None:
            environ = self._environ_builder.build(
                request, connection.remote_addr, connection.remote_port, connection.is_client_gone
            )
            connection.called_at = called_at = connection.reactor.clock()
            environ["waitress.queue_seconds"] = called_at - connection.arrived_at
            if self._environ_builder.is_tls:
                add_tls(environ, connection.tls)
            if context.proxy_policy.is_needed:
                context.proxy_policy.apply(environ, request)
        environ["wsgi.early_hints"] = self  # see `__call__`: a bound method would cost each request 0.5 %
        body = context.application(environ, self.start_response)
        close = getattr(body, "close", None)
        try:
            if isinstance(body, ReadOnlyFileBuffer):
                if self._send_file(body):
                    close = None  # the file is the connection's now
            else:
                self._send_body(body)
        finally:
            if close is not None:
                close()

    def start_response(self, status: Any, headers: Any, exc_info: Any = None) -> Callable[[bytes], object]:
        """Take the application's status and headers (PEP 3333, "The start_response() Callable").

        PEP 3333 has positional arguments; programs also call it by these names, which every server has.
        """
        response = self._response
        if response.is_started:
            if exc_info is None:
                raise AssertionError("start_response called a second time without providing exc_info.")
            if response.has_head and exc_info[1] is not None:
                try:
                    raise exc_info[1].with_traceback(exc_info[2])
                finally:
                    exc_info = None  # or this frame would keep itself alive through the traceback
        response.start(status, headers)
        return self.write

    def __call__(self, headers: Any) -> None:
        """Send a 103 (Early Hints) with these fields, before the response starts: the task is its `wsgi.early_hints`.

        An HTTP/1.0 client gets nothing.

        Raises: as `Response.early_hints`; ClientDisconnected.
        """
        hints = self._response.early_hints(headers)
        if hints:
            self._send_interim(hints)

    def _send_interim(self, head: bytes) -> None:
        self._connection.sender.send(head)

    def write(self, data: Any) -> None:
        """Send a piece of the body: the old way next to the returned iterable (PEP 3333, "The write() Callable")."""
        if not isinstance(data, bytes):
            data = _bytes_of(data)
        if not data:
            # Nothing is sent that could fail: an application that waits for news, with empty pieces, would never end.
            if self._connection.has_lost_client():
                raise ClientDisconnected
            return
        response, sender = self._response, self._connection.sender
        if not response.is_started:
            raise RuntimeError("start_response was not called before body written")
        try:
            if response.has_head:
                framed = response.frame(data)
                if framed:
                    sender.send(framed)
                return
            head = self._make_head()
            framed = response.frame(data)
            if len(framed) < JOIN_BYTES:
                sender.send(head + framed)
            else:
                sender.send(head)
                sender.send(framed)
        except (ClientDisconnected, BufferStorageError):
            # Whatever the application does about it, a part of the response is lost: nothing may follow it.
            self._ending = Ending.RESET if response.is_open_ended else Ending.CLOSE
            response.give_up()
            raise

    def _make_head(self) -> bytes:
        """Return the response head; the state of the server at this moment decides whether the connection persists."""
        if self._connection.wants_close():
            self._response.persists = False
        return self._response.make_head()

    def _send_body(self, body: Any) -> None:
        response = self._response
        try:
            count: int | None = len(body)
        except TypeError:  # most iterables have no length
            count, body = None, _iterator(body)
        for piece in body:
            if count == 1 and response.content_length is None and response.is_started and not response.has_head:
                if not isinstance(piece, bytes):
                    piece = _bytes_of(piece)
                response.content_length = len(piece)
            self.write(piece)
            if response.surplus:
                break  # not one byte more can be sent, and an application may go on for ever
        self._end_body()

    def _end_body(self) -> None:
        """Send the head if it has not been sent, and the end of the body; log a Content-Length that was not kept."""
        response = self._response
        if not response.is_started:
            raise RuntimeError("start_response was not called before the response ended")
        if response.has_head:
            end = response.end()
        else:
            if response.content_length is None and response.has_body:
                response.content_length = 0
            end = self._make_head() + response.end()
        if end:
            self._connection.sender.send(end)
        if response.surplus or response.remaining:
            self._log_length_mismatch()

    def _log_length_mismatch(self) -> None:
        response, path = self._response, self._described()
        if response.remaining:
            logger.warning(
                "application returned too few bytes (%d) for specified Content-Length (%d) via app_iter"
                " while serving %s",
                (response.content_length or 0) - response.remaining,
                response.content_length,
                path,
            )
        elif response.has_body:
            logger.warning(
                "application-written content exceeded the number of bytes specified by Content-Length header (%s)"
                " while serving %s",
                response.content_length,
                path,
            )
        elif self._request.head.method != "HEAD":
            logger.warning(
                "application-written content was ignored due to HTTP response that may not contain a message-body: "
                "(%s) while serving %s",
                response.status,
                path,
            )

    def _send_file(self, file: ReadOnlyFileBuffer) -> bool:
        """Send a wrapped file, without reading it where the system can; True when the connection has taken it over."""
        response, connection = self._response, self._connection
        size = file.prepare(response.content_length) if response.is_started and not response.has_head else 0
        if not size:  # empty, not seekable, or started by `write`: a body like any other
            self._send_body(file)
            return False
        response.content_length = size
        connection.sender.send(self._make_head())
        if not response.has_body:
            response.surplus = size
            self._end_body()
        elif file.file_descriptor is not None:
            response.remaining = 0
            return not connection.sender.send_file(file)
        else:
            while piece := file.peek(file.block_size):
                self.write(bytes(piece))
                file.skip(len(piece))
            self._end_body()
        return False

    # --- answers in the application's place

    def _answer_exception(self, error: BaseException) -> None:
        if self._response.has_head:
            # Too late for another answer: the connection ends, and the client sees that the message is incomplete.
            if self._response.is_open_ended:
                self._ending = Ending.RESET
            return
        detail = SERVER_ERROR_DETAIL
        if self._context.adj.expose_tracebacks:
            with contextlib.suppress(BaseException):  # the application's exception may raise when it is formatted
                detail = "".join(traceback.format_exception(error))
        self._answer(SERVER_ERROR, detail)

    def _answer(self, status: str, detail: str, *fields: tuple[str, str]) -> None:
        """Answer for the server itself, with these header fields besides."""
        head = self._request.head
        page = ErrorResponse(status, detail, head.version, head.method)
        self._response, body = page.response(self._context.adj.ident, *fields)
        try:
            self.write(body)
        except ClientDisconnected:
            self._log_gone()

    def _log_gone(self) -> None:
        path = self._described()
        if self._connection.sender.has_client_left:
            logger.info("Client disconnected while serving %s", path)
        else:
            logger.info("Connection cut off by the server while serving %s", path)


def _bytes_of(piece: Any) -> bytes:
    """Return the content of a piece that is not `bytes` (PEP 3333): a copy, because its owner may change it."""
    try:
        return memoryview(piece).tobytes()
    except TypeError:
        raise TypeError(f"a piece of a response body must be bytes, not {type(piece).__name__}") from None


def _iterator(body: Any) -> Any:
    try:
        return iter(body)
    except TypeError as error:
        raise TypeError(f"the application returned {type(body).__name__}, and not an iterable of bytes") from error
