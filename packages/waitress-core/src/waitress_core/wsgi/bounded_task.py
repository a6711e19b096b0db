"""A task that is refused if it has waited for too long when its turn comes, and given up if it runs for too long.

Its output starts once: either the application's, or the answer that the request is given up. Whoever takes the token
out of `_output_token` may start it; `deque.pop` is atomic, with and without a GIL. It is logged once, too: when the
task ends, or when it is given up, which may be long before. Whoever takes the token out of `_end_token` logs it.

Thread: an application thread, but for the construction and `time_out`.
"""

import logging
from collections import deque
from typing import Any

from ..connection.sender import ClientDisconnected
from ..connection.states import Ending
from ..http.error_responses import ErrorResponse
from ..safe_logger import SafeLogger
from .task import BUSY, WSGITask

logger = SafeLogger(logging.getLogger("waitress"))


class BoundedTask(WSGITask):
    """Answers one request, within `queue_timeout` and `request_timeout`. `task_kinds` combines it with another task."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._output_token = deque([None])
        self._end_token = deque([None])
        self._has_output = False
        self._is_given_up = False  # written by the leader

    def service(self) -> None:
        """Run the application and send its response; or refuse the request."""
        timeout = self._context.adj.queue_timeout
        connection = self._connection
        now = connection.reactor.clock()
        waited = now - connection.arrived_at
        if timeout and waited > timeout:
            connection.called_at = now  # the histogram of queue times must not lack those that waited longest
            self.refuse("queue_timeout", f"a request has waited for {waited:.3f} seconds, longer than {timeout}")
        else:
            super().service()

    def write(self, data: bytes) -> None:
        """Send a piece of the body, unless the request has been given up."""
        if self._is_given_up:
            self._ending = Ending.RESET if self._response.is_open_ended else Ending.CLOSE
            self._response.give_up()
            raise ClientDisconnected
        super().write(data)

    def _take_output(self) -> None:
        if not self._has_output:
            try:
                self._output_token.pop()
            except IndexError:  # the request has been given up, and answered
                raise ClientDisconnected from None
            self._has_output = True

    def _send_interim(self, head: bytes) -> None:
        self._take_output()
        super()._send_interim(head)

    def _make_head(self) -> bytes:
        self._take_output()
        return super()._make_head()

    def _log_gone(self) -> None:
        if not self._is_given_up:  # or that is logged, and the client may have a whole answer
            super()._log_gone()

    def _finish(self, ending: Ending) -> None:
        try:
            self._end_token.pop()
        except IndexError:  # it has been given up, and is in the access log
            logger.info("The request that was given up has ended: %s", self._described())
            self._connection.finish(ending, self._response)
        else:
            super()._finish(ending)

    def time_out(self) -> None:
        """End the connection, with an answer if nothing has been sent. The task runs on. Thread: the leader."""
        try:
            self._end_token.pop()
        except IndexError:  # the task has just ended
            return
        self._is_given_up = True
        try:
            self._output_token.pop()
        except IndexError:
            self._connection.give_up(b"", self._response)
        else:
            self._answer_late()
        self._log_end()

    def _answer_late(self) -> None:
        head = self._request.head
        request_id = getattr(self, "request_id", None)
        fields = [] if request_id is None else [(self._context.adj.request_id_header or "", request_id)]
        page = ErrorResponse(BUSY, "The request took too long", head.version, head.method)
        response, body = page.response(self._context.adj.ident, *fields)
        answer = response.make_head()
        exchange = getattr(self, "_exchange", None)  # of a LoggedTask
        if exchange is not None:
            exchange.answer(response.status, len(answer))
        self._connection.give_up(answer + response.frame(body), response)
