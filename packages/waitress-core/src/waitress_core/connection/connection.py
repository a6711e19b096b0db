"""One client: a receiving side, a sending side, and what joins them.

The way of a request through this file: `on_ready` has the receiver read, and a complete request becomes a task
(`_act_on`); the task sends through `sender` and calls `finish` as its last act; `on_notify` sees that and ends the
response (`_end_response`): the connection is idle again, goes on with a request that has been read ahead, or ends.

Only the leader closes the socket, and never while a task runs: the number of a closed descriptor may be another
client's at once, and the task would write to that client.
"""

import contextlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from waitress_buffers import BufferStorageError
from waitress_parser import RequestParser

from ..http.error_responses import ErrorResponse
from ..http.request import Request
from ..http.response import Response
from ..net.transport import Disconnected, FileFailed, HandshakeFailed, Transport
from ..reactor.poller import READ, WRITE
from ..safe_logger import SafeLogger
from ..threads.tasks import Task
from . import overdue
from .context import CLOSING, DRAINING, LEAVING, Endpoint, ServerContext
from .receiver import CLOSE, CONTINUE, PAUSE, ROOM, Outcome, Receiver
from .sender import Sender
from .states import (
    AHEAD,
    CLOSED,
    ENDED,
    FLUSH,
    GONE,
    HANDSHAKE,
    IDLE,
    LINGER,
    PENDING,
    PERSIST,
    READY,
    SHUT,
    Ending,
)

if TYPE_CHECKING:
    import socket

    from ..net.proxy_protocol import ProxyInfo
    from ..net.tls_info import TlsInfo
    from ..observability.access_log import AccessLog, Exchange

logger = SafeLogger(logging.getLogger("waitress"))

INTERIM_RESPONSE = b"HTTP/1.1 100 Continue\r\n\r\n"
GIVEN_UP = "given up"  # no attribute is added for it: each open connection would pay for that


class Connection:
    """One client connection.

    `on_closed` is called when the descriptor has been closed; again if an exception comes before the end of that.
    """

    __slots__ = (
        "_context",
        "_end_reason",
        "_ending",
        "_endpoint",
        "_finished",
        "_on_closed",
        "_task",
        "_transport",
        "arrived_at",
        "called_at",
        "descriptor",
        "exchange",
        "interest",
        "is_client_gone",
        "proxy",
        "reactor",
        "receiver",
        "remote_addr",
        "remote_port",
        "sender",
    )

    def __init__(
        self,
        transport: Transport,
        remote_addr: str,
        remote_port: str,
        endpoint: Endpoint,
        context: ServerContext,
        on_closed: "Callable[[Connection], None]",
        proxy: "ProxyInfo | None" = None,
    ) -> None:
        # Set once, read anywhere
        self.descriptor = transport.descriptor
        self.remote_addr = remote_addr
        self.remote_port = remote_port
        self.reactor = context.reactor
        self.proxy = proxy  # what its proxy has reported, by the PROXY protocol
        self.receiver = Receiver(transport, context)
        self.sender = Sender(transport, context)
        # Whether the client has ended its output, or the connection: `waitress.client_disconnected`
        self.is_client_gone: Callable[[], bool] = self.receiver
        self._endpoint = endpoint
        self._context = context
        self._on_closed = on_closed
        self._transport = transport
        # Reactor only
        self._task: Task | None = None  # while one waits or runs
        self._ending = PERSIST  # after the response that is being sent
        # One of `stats.END_REASONS`, once it is decided before the end; GIVEN_UP after it, while the task still runs
        self._end_reason = ""
        # Written by Reactor.watch, read anywhere
        self.interest = 0
        # The instant at which the request of the task, or of the last one, was complete: set by the reactor
        self.arrived_at = 0.0
        # The instant at which the application, for this request or an earlier one, was called: set by the task
        self.called_at = 0.0
        # From the task to the reactor. The task sets `_finished` as its last act: what becomes of the connection, the
        # response (its status is "" if it has not started), and the instant. `exchange`, for the access log, before it.
        self._finished: tuple[Ending, Response, float] | None = None
        self.exchange: Exchange | None = None

    def __repr__(self) -> str:
        request_id = getattr(self._task, "request_id", "")  # with the setting request_id_header
        of_request = f", request {request_id}" if request_id else ""
        return f"<Connection {self.remote_addr}:{self.remote_port} {(self.state_name or 'closed').upper()}{of_request}>"

    # --- from any thread: what was true a moment ago

    @property
    def state_name(self) -> str | None:
        """One of `states.STATE_NAMES`; None when the connection has been closed.

        If a task has just ended, the state that follows: the reactor may not have seen the end yet.
        """
        sending = self.sender.state
        if sending is CLOSED:
            return None
        if self._task is not None:
            if self._finished is None:
                return "task"
            return "flush" if self.sender.has_pending else "idle"
        if sending is FLUSH:
            return "flush"
        receiving = self.receiver.state
        return "task" if receiving is AHEAD or receiving is ENDED else receiving.name.lower()

    @property
    def is_gone(self) -> bool:
        """Whether the connection has ended; a task may still run."""
        return self.sender.state >= GONE

    @property
    def socket(self) -> "socket.socket":
        """The socket of the client."""
        return self._transport.socket

    @property
    def tls(self) -> "TlsInfo | None":
        """What the TLS handshake has found out; None on a plain connection."""
        return self._transport.tls

    @property
    def incoming(self) -> Request | None:
        """The request with the body that is arriving."""
        return self.receiver.request

    @property
    def idle_since(self) -> float | None:
        """The instant since which no byte of a next request has arrived; None while there is something to do."""
        since = self._context.idle.armed_at(self.descriptor)
        return None if self.is_gone else since  # checked last: after the end, the descriptor may be another's

    # --- before the first byte

    def use_parser(self, parser: RequestParser) -> None:
        """Parse what the client sends by this parser."""
        self.receiver.use_parser(parser)

    # --- application thread, while a task runs

    def has_lost_client(self) -> bool:
        """Whether nothing can reach the client any more: it has reset the connection, or the connection has ended.

        While the connection is watched the reactor sees a reset, and closes it; otherwise this asks the system.
        """
        if self.is_gone:
            return True
        if self.interest or not self._transport.has_failed():
            return False
        self.sender.has_client_left = True  # the log names the client, not the server, as the one that has ended it
        return True

    def wants_close(self) -> bool:
        """Whether the response should say that the connection ends after it.

        Not if a further request has arrived completely: that one is answered too. A part of one is not worth it: a
        client that never sends the rest would keep the connection from others.
        """
        context = self._context
        return (context.state >= LEAVING or context.is_full) and not self.receiver.holds_request()

    def count_refusal(self, rule: str, reason: str = "") -> None:
        """Count a request that is refused by this rule: the name of an error, or of a setting.

        The log has the `reason` once an episode. Thread: the task's, or the leader.
        """
        refusals = self._context.refusals
        if reason and refusals is not None:
            refusals.log(rule, reason)
        self._context.counters.refused.add(rule)

    def finish(self, ending: Ending, response: Response) -> None:
        """End the task with this response. The task must not touch the connection afterwards.

        Before the reactor sees it, the descriptor may become another connection's, which then finds nothing to do.
        """
        context = self._context
        reactor = context.reactor
        ended_at = reactor.clock()
        # In one line, in which nothing is called: an exception of another thread cannot come in between.
        response.is_over, self._finished = True, (ending, response, ended_at)
        if context.resume_leadership():  # nearly always while the application is quick: no turn has to see the end
            try:
                self.on_notify()
            except BaseException:  # otherwise nothing would ever end this connection
                logger.exception("uncaptured python exception, closing channel %r", self)
                self.on_fault()
            return
        reactor.notify_lazily(self.descriptor)
        # Usually nothing is left to do until the client's next byte, which starts a turn anyway; a wake-up would cost
        # a change of threads. This is checked after the notification: whoever changes one of these notifies, too.
        if (
            ending is not PERSIST
            or self.interest != READ
            or self.sender.outbox is not None
            or self.receiver.ahead_bytes
            or context.state >= LEAVING
            or context.is_full
        ):
            reactor.wake_if_polling()

    def finish_failed(self, response: Response) -> None:
        """End the task if `finish`, with this response, has not: an exception of another thread may have struck before,
        or amid it. Thread: the one that has run the task, or any once that has ended.
        """
        if not response.is_over:
            self.finish(Ending.RESET if response.is_open_ended else Ending.LINGER, response)
        self._context.reactor.notify(self.descriptor)

    # --- reactor only: called by the reactor and the deadlines

    def start(self, arrived: bytes = b"") -> None:
        """Start to watch the connection, which has just been accepted; these bytes of it have been read already."""
        reactor = self._context.reactor
        self.receiver.enter(HANDSHAKE if self._transport.needs_handshake else IDLE, reactor.now)
        reactor.watch(self, READ)
        if arrived:
            self._act_on(self.receiver.take(arrived))

    def on_ready(self, readiness: int) -> None:
        """The socket is ready, or has failed."""
        try:
            if readiness != READ and self.interest & WRITE:
                self._flush()
            if readiness != WRITE and self.interest & READ:
                outcome = self.receiver.receive()
                if type(outcome) is Request:  # nearly always: no call for that
                    self.arrived_at = self.reactor.now
                    self._task = task = self._endpoint.make_task(self, outcome)
                    self._context.submit(task)
                elif outcome is not None:
                    self._act_on(outcome)
        except Disconnected as error:
            self.sender.log(error)
            self.close()
        except HandshakeFailed as error:
            self.end_handshake("failed", str(error))
        except (BufferStorageError, FileFailed) as error:
            logger.error("The response to %s cannot be finished: %s", self.remote_addr, error)
            self.close()

    def on_notify(self) -> None:
        """The task has output for the reactor to send, or has ended, or both."""
        finished, sender = self._finished, self.sender
        is_gone, ended_at = sender.state is GONE, 0.0
        if finished is not None:
            context = self._context
            # Reset only when it was seen: a task may set it between an earlier notification and this line.
            self._finished = self._task = None
            self._ending, response, ended_at = finished
            if is_gone and self._end_reason == GIVEN_UP:
                pass  # it has been counted
            elif context.measures is None:
                status = response.status
                context.counters.by_status[status[0] if status else ""] += 1  # a slice would cost more
            else:
                context.measures.end(response.method, response.status, self.arrived_at, self.called_at, ended_at)
        try:
            if is_gone:
                sender.abort()
                if finished is not None:
                    self._release()
            elif sender.outbox is not None and sender.has_pending:
                self._start_flush()
            elif finished is not None:
                self._end_response(ended_at)
        except Disconnected as error:
            sender.log(error)
            self.close()

    def on_fault(self) -> None:
        """A call from the reactor has raised."""
        self.close("error")
        if self._finished is not None:  # the task has ended, and nothing else will notify the reactor of it
            self._finished = self._task = None
        if self._task is None and self.sender.state is GONE:
            self._release()

    def on_receiving_overdue(self) -> None:
        """The deadline of the receiving side is over."""
        overdue.BY_STATE[self.receiver.state](self, self._context)

    def on_sending_overdue(self) -> None:
        """It is time to check whether the client takes its response."""
        overdue.on_output_tick(self, self._context)

    # --- reactor only: from a request to its task, or to an answer of the server itself

    def _act_on(self, outcome: Outcome) -> None:
        """Do what the receiver has found to be done."""
        if type(outcome) is Request:
            self.arrived_at = self.reactor.now
            self._task = task = self._endpoint.make_task(self, outcome)
            self._context.submit(task)
        elif type(outcome) is ErrorResponse:
            self._answer(outcome, "refused")
        elif outcome is PAUSE:
            self._context.reactor.watch(self, self.interest & WRITE)
        elif outcome is CLOSE:
            self.close()
        elif outcome is CONTINUE:
            self.sender.send_now(INTERIM_RESPONSE)
            if self.sender.has_pending:
                self._start_flush()
        elif outcome is ROOM:
            self._context.reactor.watch(self, WRITE)

    def _answer(self, error_response: ErrorResponse, reason: str) -> None:
        """Answer for the server itself, and end the connection: nothing after this is interpreted."""
        self._end_reason = reason
        context, request = self._context, self.receiver.request
        name = context.adj.request_id_header
        if not name:
            self._send_answer(error_response)
            return
        from ..observability.request_ids import records_of  # lazy import: few servers have ids
        from .request_ids import request_id_of

        head = None if request is None else request.head
        request_id = request_id_of(self, head, name, context.is_trusted_proxy)
        with records_of(request_id):
            self._send_answer(error_response, request_id, (name, request_id))

    def _send_answer(
        self, error_response: ErrorResponse, request_id: str | None = None, *fields: tuple[str, str]
    ) -> None:
        context = self._context
        self._log_refusal(error_response, request_id)
        if error_response.rule:
            context.counters.refused.add(error_response.rule)
        response, body = error_response.response(context.adj.ident, *fields)
        head = response.make_head()
        self._count(error_response.method, response.status)
        if context.access_log is not None:
            exchange = self._start_exchange(context.access_log, error_response.method)
            exchange.request_id = request_id
            exchange.answer(response.status, len(head))
        self.receiver.stop()
        self._ending = Ending.LINGER
        self.sender.send_now(head + response.frame(body))
        if self.sender.has_pending:
            self._start_flush()
        else:
            self._end_response(context.reactor.now)

    def _log_refusal(self, error_response: ErrorResponse, request_id: str | None) -> None:
        request = self.receiver.request
        if error_response.speaks:
            self._context.log_other_protocol(error_response.speaks, self.remote_addr)
        elif error_response.fault and request is not None:
            path = request.head.path
            described = path if request_id is None else f"{path} (request {request_id})"
            logger.error("The request body for %s cannot be stored: %s", described, error_response.fault)

    def _count(self, method: str, status: str) -> None:
        """Count a request that gets no task; `status` is empty without an answer."""
        context = self._context
        if context.measures is None:
            context.counters.by_status[status[:1]] += 1
        else:
            context.measures.count(method, status)

    def _start_exchange(self, log: "AccessLog", method: str = "") -> "Exchange":
        """Start the line of the access log for a request that gets no task."""
        request = self.receiver.request
        head = None if request is None else request.head
        self.exchange = log.start(self.remote_addr, head, method, self.sender.sent_bytes, self.tls)
        return self.exchange

    def end_exchange(self, exchange: "Exchange") -> None:
        """Let an application thread write the line of a response that has ended, has failed, or is given up."""
        self.exchange = None
        exchange.end(self.sender.sent_bytes)
        if exchange.reserve_room():
            self._context.submit(exchange)

    # --- reactor only: what is done about a client that is late

    def reset_slow_reader(self, reason: str) -> None:
        """Reset the connection, because the client does not read its response; `reason` as in `close`."""
        logger.info("Client %s does not read its response: connection reset", self.remote_addr)
        self._transport.reset()
        self.close(reason)

    def end_handshake(self, result: str, reason: str) -> None:
        """Close the connection, because TLS is not agreed on: `result` is one of `stats.HANDSHAKES`."""
        logger.info("TLS handshake with %s failed: %s", self.remote_addr, reason)
        self._context.counters.handshakes.add(result)
        self.close("handshake")

    def answer_late(self) -> None:
        """Answer a request that has not arrived in time, and end the connection."""
        self._context.counters.deadlines.add(self.receiver.state.name.lower())
        try:
            self._answer(self.receiver.late_response(), "deadline")
        except Disconnected:
            self.close()

    # --- reactor only: output

    def _start_flush(self) -> None:
        """Send pending output when the client takes it, and check its rate."""
        reactor, sender = self._context.reactor, self.sender
        if not self.interest & WRITE:
            reactor.watch(self, self.interest | WRITE)
            sender.start_rate(reactor.now)
        # No task: the response is complete, or it is the 100 (Continue) for a body that is still arriving.
        state = FLUSH if self._task is None and self.receiver.request is None else PENDING
        if sender.state is not state:
            sender.enter(state, reactor.now)

    def _flush(self) -> None:
        sender, reactor = self.sender, self._context.reactor
        if self.receiver.state is HANDSHAKE:
            reactor.watch(self, READ)
            self._act_on(self.receiver.receive())
            return
        if sender.state is SHUT:
            has_more = not self._transport.end_output()
        else:
            has_more = sender.flush()
        if not has_more:
            reactor.watch(self, self.interest & READ)
            if sender.state is PENDING:
                sender.enter(READY, reactor.now)
        if sender.state is FLUSH and not sender.has_pending:
            self._end_response(reactor.now)

    def _end_response(self, instant: float) -> None:
        """The response has been sent completely at this instant: go on with the next request, or end."""
        context, receiver, sender = self._context, self.receiver, self.sender
        if sender.outbox is not None:
            sender.outbox = None  # it is empty
            if sender.state is not READY:
                sender.enter(READY, instant)
            if self.interest & WRITE:  # one turn has sent exactly all of it, and so has not seen the end
                context.reactor.watch(self, self.interest & READ)
        if self.exchange is not None:
            self.end_exchange(self.exchange)
        if self._ending is not PERSIST:
            self._end()
        elif receiver.ahead_bytes and context.state < CLOSING:
            self._go_on()
        elif receiver.state is ENDED or context.state >= DRAINING:
            self.close()
        else:
            receiver.enter(IDLE, instant)
            if not self.interest & READ:
                context.reactor.watch(self, READ)

    def _end(self) -> None:
        """End the connection as the task has said."""
        if self._ending is Ending.RESET:
            self._transport.reset()
            self.close()
        elif self._ending is Ending.LINGER or self.receiver.ahead_bytes or self._transport.must_linger:
            self._linger()
        else:
            self.close()

    def _go_on(self) -> None:
        """Take the next request from what has been read ahead."""
        context, receiver = self._context, self.receiver
        self._act_on(receiver.go_on())
        if self.is_gone:
            return
        if receiver.state is IDLE and context.state >= DRAINING:
            self.close()  # only an empty line had been read ahead
        elif receiver.state is not ENDED and (receiver.state is not AHEAD or receiver.may_read_ahead()):
            context.reactor.watch(self, self.interest | READ)

    def _linger(self) -> None:
        """End output and discard input for a while: closing with unread input makes the system send a reset, which
        overtakes what the client has not read yet of the response (RFC 9112 9.6).
        """
        if self.receiver.state is ENDED:
            self.close()
            return
        now = self._context.reactor.now
        has_ended = self._transport.end_output()
        self.sender.enter(SHUT, now)
        self.receiver.enter(LINGER, now)
        self._context.reactor.watch(self, READ if has_ended else READ | WRITE)

    # --- reactor only: the end

    def give_up(self, answer: bytes, response: Response) -> None:
        """Send this answer to the client, and end the connection while its task runs, which can send nothing any more.

        The request has ended with `response`, even if its task never does: the answer's. Without an answer it is the
        task's, which has started. If that is open-ended, the connection is reset, so that the client sees that it is
        incomplete.
        """
        if self._finished is not None or self.is_gone:  # the task has just ended, or the client has left
            return
        if answer:
            with contextlib.suppress(Disconnected):
                self.sender.send_now(answer)
        elif response.is_open_ended:
            self._transport.reset()
        self.close("response")
        self._end_reason = GIVEN_UP
        context = self._context
        if context.measures is None:
            context.counters.by_status[response.status[:1]] += 1
        else:
            times = self.arrived_at, self.called_at, context.reactor.now
            context.measures.end(response.method, response.status, *times)

    @property
    def is_busy(self) -> bool:
        """Whether a request of it waits or runs, or its response is not sent yet."""
        return self._task is not None or self.sender.state is FLUSH

    def close_if_idle(self, reason: str) -> bool:
        """Close the connection if no byte of a request has arrived. What has arrived, and was not read yet, is served.

        Return whether it was closed for this reason, and not by its client.
        """
        if self.receiver.state is IDLE:
            self.on_ready(READ)
            if self.receiver.state is IDLE:
                self.close(reason)
                return True
        return False

    def close(self, reason: str = "") -> None:
        """End the connection now. While a task runs, the descriptor stays open until the task has ended.

        `reason` is one of `stats.END_REASONS`; without one it follows from what the connection has seen.
        """
        if self.sender.state >= GONE:
            return
        try:
            self._close(reason)
        except BaseException:  # of another thread, at any step: the next ones have not been made
            self._close(reason)
            raise

    def _close(self, reason: str) -> None:
        """Make the steps of `close`, or again those that may have been left out."""
        context, sender, receiver = self._context, self.sender, self.receiver
        if sender.state < GONE:
            end_reason = self._end_reason or reason or self._reason_seen()
            context.reactor.watch(self, 0)
            if receiver.request is not None:
                self._count(receiver.request.head.method, "")
                if context.access_log is not None:
                    self._start_exchange(context.access_log)
            receiver.end()
            if sender.state is FLUSH and sender.has_pending:
                self._transport.reset()  # or an HTTP/1.0 client could take the end for that of the response
            sender.enter(GONE, 0.0)
            context.counters.by_end_reason[end_reason] += 1
        if sender.outbox is not None:
            sender.abort()
        self._transport.end(is_complete=self._task is None)
        if self._task is None:
            self._release()

    def _reason_seen(self) -> str:
        if self.sender.has_client_left:
            return "client_reset"
        if self._ending is PERSIST and self.receiver.state is ENDED:
            return "client_closed"
        if self._context.state >= LEAVING:
            return "shutdown"
        return "error" if self._ending is PERSIST else "response"

    def _release(self) -> None:
        """Close the descriptor."""
        try:
            self._make_release()
        except BaseException:  # as in `close`
            self._make_release()
            raise

    def _make_release(self) -> None:
        """Make the steps of `_release`, or again those that may have been left out."""
        if self.sender.state is not CLOSED:
            self.sender.enter(CLOSED, 0.0)
        if self.exchange is not None:
            self.end_exchange(self.exchange)
        self._transport.close()
        self._on_closed(self)

    def abandon_after_fork(self) -> None:
        """Close a forked child's copy of the descriptor: what the child's task sends goes nowhere."""
        if not self.is_gone:
            self.sender.enter(GONE, 0.0)
        if self.receiver.state is not ENDED:
            self.receiver.enter(ENDED, 0.0)
        self._transport.close()
