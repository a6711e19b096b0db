"""One client: octets to the parser, complete requests to tasks, and from one phase (`phases`) to the next.

The socket is closed by the holder of the lead only, and never while a task runs: the number of a closed descriptor may
be another client's at once, and the worker would write to that one.
"""

import logging
from typing import TYPE_CHECKING

from waitress_buffers import BufferStorageError
from waitress_parser import BodyPiece, EndOfMessage, ProtocolError, RequestHead, RequestParser

from ..http.error_responses import ErrorResponse, error_response_for, late_request_response, unstored_body_response
from ..http.request import Request
from ..net.transport import Disconnected, FileFailed, SocketTransport
from ..reactor.poller import READ, WRITE
from ..wsgi.environ import EnvironBuilder
from .context import ServerContext
from .sender import Sender
from .states import BODY, CLOSED, FLUSH, HEAD, IDLE, LINGER, PERSIST, TASK, Ending, Phase

if TYPE_CHECKING:
    from ..observability.access_log import AccessLog, Exchange

logger = logging.getLogger("waitress")

CHUNKED_READ_BYTES = 16 * 1024  # each chunk costs time, and they may be of one octet: this is some 5 ms of them
LINGER_BYTES = 64 * 1024  # discarded after the end of output
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Connection:
    """One client connection."""

    __slots__ = (
        "_discarded_bytes",
        "_ended_at",
        "_ending",
        "_is_input_ended",
        "_is_task_done",
        "_parser",
        "_read_ahead_bytes",
        "_request",
        "_services",
        "_status",
        "_transport",
        "descriptor",
        "environ_builder",
        "exchange",
        "interest",
        "is_gone",
        "phase",
        "remote_addr",
        "remote_port",
        "sender",
    )

    def __init__(
        self,
        transport: SocketTransport,
        remote_addr: str,
        remote_port: str,
        environ_builder: EnvironBuilder,
        services: "ServerContext[Connection]",
    ) -> None:
        # Set once, read anywhere
        self.descriptor = transport.descriptor
        self.remote_addr = remote_addr
        self.remote_port = remote_port
        self.environ_builder = environ_builder
        self.sender = Sender(transport, services.sender)
        self._services = services
        self._transport = transport
        # The holder of the lead only
        self._parser = RequestParser(services.limits)
        self._request: Request | None = None  # whose body is on its way
        self._discarded_bytes = 0
        # Written by the holder of the lead, read by others too: the worker, and who looks on
        self.phase = IDLE
        self.interest = 0  # by Reactor.watch
        self._read_ahead_bytes = 0  # of next requests, while a task runs
        self._is_input_ended = False  # only ever from false to true
        self.is_gone = False  # only ever from false to true
        # The worker sets all, the flag last, as its last act; from then on they are the reactor's until the next task
        self._ending = PERSIST
        self._status = ""  # of the response; empty when none has begun
        self._ended_at = 0.0  # by the reactor's clock
        self._is_task_done = False
        self.exchange: Exchange | None = None  # for the access log, when the response has ended; set before the flag

    def __repr__(self) -> str:
        return f"<Connection {self.remote_addr}:{self.remote_port} {self.phase.name}>"

    # --- for who looks on, from any thread

    @property
    def incoming(self) -> Request | None:
        """The request whose body is on its way."""
        return self._request

    @property
    def activity(self) -> Phase:
        """The phase. If a task has just ended, the phase that follows: the reactor may not have seen the end."""
        if self.phase is TASK and self._is_task_done:
            return FLUSH if self.sender.has_pending else IDLE
        return self.phase

    @property
    def idle_since(self) -> float | None:
        """The instant since which no octet of a next request has come; None while there is something to do."""
        return self._services.idle.armed_at(self.descriptor)

    # --- before the first octet

    def use_parser(self, parser: RequestParser) -> None:
        """Have what the client sends parsed by this one."""
        self._parser = parser

    # --- the worker, while a task runs

    def is_client_gone(self) -> bool:
        """Whether the client has ended its output, or the connection: `waitress.client_disconnected`."""
        return self._is_input_ended or self.is_gone

    def wants_close(self) -> bool:
        """Whether the response should say that the connection ends after it.

        Not while a further request has been read ahead: that one is answered too.
        """
        services = self._services
        return (services.is_leaving or services.is_full) and not self._read_ahead_bytes

    def finish(self, ending: Ending, status: str = "") -> None:
        """End the task, whose response had this status: nothing of it changes this connection any more.

        When the reactor looks, the descriptor may be another connection's: that one finds nothing to do.
        """
        self._ending = ending
        self._status = status
        services = self._services
        self._ended_at = services.reactor.clock()
        self._is_task_done = True
        services.reactor.notify_lazily(self.descriptor)
        # Most often there is nothing to do before the client's next octet, which begins a turn; to end the wait of the
        # poller costs a change of threads. Asked only now: who changes one of these sees to the attention after it.
        is_plain = ending is PERSIST and self.interest == READ and self.sender.outbox is None
        if not is_plain or self._read_ahead_bytes or services.is_leaving or services.is_full:
            services.reactor.wake_if_polling()

    # --- the holder of the lead: called by the reactor and the deadlines

    def begin(self) -> None:
        """Begin to watch a connection that has just been accepted."""
        services = self._services
        services.idle.arm(self.descriptor, services.reactor.now)
        services.reactor.watch(self, READ)

    def on_ready(self, readiness: int) -> None:
        """The socket is ready, or has failed."""
        try:
            if readiness != READ and self.interest & WRITE:
                self._flush()
            if readiness != WRITE and self.interest & READ:
                self._receive()
        except Disconnected as error:
            self.sender.log(error)
            self.close()
        except (BufferStorageError, FileFailed) as error:
            logger.error("The response to %s cannot be finished: %s", self.remote_addr, error)
            self.close()

    def on_notify(self) -> None:
        """The task has output for the reactor to send, or has ended, or both."""
        is_task_done, outbox = self._is_task_done, self.sender.outbox
        if is_task_done:
            # Taken back only when it was seen: a worker may set it between an earlier attention of its and this line.
            self._is_task_done = False
            self.phase = FLUSH
            self._services.counters.by_status[self._status[:1]] += 1
        if self.is_gone:
            self.sender.abort()
            if is_task_done:
                self._release()
        elif outbox is not None and outbox.pending_bytes:
            self._begin_flush()
        elif is_task_done:
            try:
                self._end_response(self._ended_at)
            except Disconnected as error:
                self.sender.log(error)
                self.close()

    def on_fault(self) -> None:
        """A call from the reactor has raised."""
        self.close()

    def on_overdue(self) -> None:
        """The time for a request to arrive is up."""
        try:
            self._answer(late_request_response(self._parser))
        except Disconnected:
            self.close()

    def on_body_pace(self) -> None:
        """Look whether a body keeps its minimum rate."""
        services, request = self._services, self._request
        assert request is not None  # looked at while its body is on its way
        if request.spend_patience(services.reactor.now):
            services.body.arm(self.descriptor, services.reactor.now)
        else:
            self.on_overdue()

    def on_output_pace(self) -> None:
        """Look whether the client takes its response."""
        services = self._services
        # Linux calls a socket writable when a third of its buffer is free, which may be megabytes, but takes octets as
        # soon as there is any room: without this a slow reader that reads steadily would seem to stand still.
        self.on_ready(WRITE)
        if self.is_gone or not self.interest & WRITE:
            return
        if self.sender.spend_patience(services.reactor.now):
            services.output.arm(self.descriptor, services.reactor.now)
        else:
            logger.info("Client %s does not take its response: connection reset", self.remote_addr)
            self._transport.reset()
            self.close()

    # --- the holder of the lead: input

    def _receive(self) -> None:
        services, phase = self._services, self.phase
        data: bytes | memoryview | None
        if phase is BODY or phase is LINGER:
            buffer = services.read_buffer
            if self._request is not None and self._request.head.content_length is None:
                buffer = buffer[:CHUNKED_READ_BYTES]
            size = self._transport.receive_into(buffer)
            data = None if size is None else buffer[:size]
        else:
            data = self._transport.receive(services.adj.recv_bytes)
        if data is None:
            return
        services.counters.bytes_in += len(data)
        if not data:
            self._end_input()
        elif phase is IDLE or phase is HEAD or phase is BODY:
            self._parser.receive(data)
            self._advance()
        elif phase is LINGER:
            self._discarded_bytes += len(data)
            if self._discarded_bytes > LINGER_BYTES:
                self.close()
        else:
            self._parser.receive(data)
            self._read_ahead_bytes += len(data)
            if not self._may_read_ahead():
                services.reactor.watch(self, self.interest & WRITE)

    def _advance(self) -> None:
        """Take the parser's events until a request is complete or octets are missing."""
        parser, services = self._parser, self._services
        try:
            while True:
                event = parser.next_event()
                if type(event) is EndOfMessage:
                    self._submit()
                    return
                if type(event) is RequestHead:
                    self._request = Request(event)
                    if event.content_length != 0:
                        self._begin_body(self._request)
                elif type(event) is BodyPiece and self._request is not None:
                    self._request.append(event.data, services.adj.inbuf_overflow)
                else:
                    break
        except ProtocolError as error:
            self._answer(error_response_for(error))
        except BufferStorageError as error:
            self._refuse_body(error)
        else:
            if self.phase is IDLE and not parser.is_between_messages:
                services.idle.disarm(self.descriptor)
                services.head.arm(self.descriptor, services.reactor.now)
                self.phase = HEAD

    def _begin_body(self, request: Request) -> None:
        services = self._services
        adj, now = services.adj, services.reactor.now
        self._disarm_input()
        self.phase = BODY
        request.begin_pace(now, adj.request_body_timeout, adj.request_body_rate)
        services.body.arm(self.descriptor, now)
        # RFC 9110 10.1.1: not when the body has begun already.
        if request.head.expects_continue and not self._parser.held_bytes:
            self.sender.send_now(CONTINUE)
            if self.sender.has_pending:
                self._begin_flush()

    def _submit(self) -> None:
        """Hand a complete request to a task."""
        request, self._request = self._request, None
        assert request is not None  # a message begins with its head
        services = self._services
        if self.phase is IDLE:  # nearly always: no call for that
            services.idle.disarm(self.descriptor)
        else:
            self._disarm_input()
        self.phase = TASK
        self._read_ahead_bytes = self._parser.held_bytes
        services.submit(services.make_task(self, request))

    def _disarm_input(self) -> None:
        """Let the connection off the deadline of its phase."""
        if self.phase is IDLE:
            self._services.idle.disarm(self.descriptor)
        elif self.phase is HEAD:
            self._services.head.disarm(self.descriptor)
        elif self.phase is BODY:
            self._services.body.disarm(self.descriptor)

    def _end_input(self) -> None:
        """The client has ended its output; what it has sent completely is still answered."""
        self._is_input_ended = True
        if self.phase is TASK or self.phase is FLUSH:
            # The end stays readable: watching on would spin.
            self._services.reactor.watch(self, self.interest & WRITE)
        elif self.phase is LINGER:
            self.close()
        else:
            try:
                self._parser.end_of_input()
            except ProtocolError as error:
                self._answer(error_response_for(error))
            else:
                self.close()

    def _refuse_body(self, error: BufferStorageError) -> None:
        assert self._request is not None  # it is its body
        head = self._request.head
        logger.error("The request body for %s cannot be stored: %s", head.path, error)
        self._answer(unstored_body_response(error, head))

    def _answer(self, page: ErrorResponse) -> None:
        """Answer for the server itself, and end the connection: nothing after this is interpreted."""
        services = self._services
        response, body = page.response(services.adj.ident)
        head = response.begin()
        services.counters.by_status[response.status[:1]] += 1
        if services.access_log is not None:
            self._begin_exchange(services.access_log, page.method).answer(response.status, len(head))
        self._drop_request()
        self.phase = FLUSH
        self._ending = Ending.LINGER
        self.sender.send_now(head + response.frame(body))
        if self.sender.has_pending:
            self._begin_flush()
        else:
            self._end_response(services.reactor.now)

    def _begin_exchange(self, log: "AccessLog", method: str = "") -> "Exchange":
        """Have the access log tell of a request that gets no task."""
        head = None if self._request is None else self._request.head
        self.exchange = log.begin(self.remote_addr, head, method, self.sender.sent_bytes)
        return self.exchange

    def _end_exchange(self, exchange: "Exchange") -> None:
        """Have an application thread write the line of a response that has ended, or cannot."""
        self.exchange = None
        exchange.end(self.sender.sent_bytes)
        if exchange.reserve_room():
            self._services.submit(exchange)

    def _drop_request(self) -> None:
        """Forget a request that is on its way."""
        self._disarm_input()
        if self._request is not None:
            self._request.close()
            self._request = None

    # --- the holder of the lead: output

    def _begin_flush(self) -> None:
        """Have pending output sent when the client takes it, and look after its pace."""
        services = self._services
        if not self.interest & WRITE:
            services.reactor.watch(self, self.interest | WRITE)
            self.sender.begin_pace(services.reactor.now)
            services.output.arm(self.descriptor, services.reactor.now)

    def _flush(self) -> None:
        if not self.sender.flush():
            self._services.reactor.watch(self, self.interest & READ)
        if self.phase is FLUSH and not self.sender.has_pending:
            self._end_response(self._services.reactor.now)

    def _end_response(self, instant: float) -> None:
        """The response is sent wholly, since this instant: go on with the next request, or end."""
        services = self._services
        if self.sender.outbox is not None:
            self.sender.outbox = None  # it is empty
            services.output.disarm(self.descriptor)
            if self.interest & WRITE:  # it took exactly what is sent in one turn, which did not see the end
                services.reactor.watch(self, self.interest & READ)
        if self.exchange is not None:
            self._end_exchange(self.exchange)
        if self._ending is not PERSIST:
            self._end()
        elif self._read_ahead_bytes and not services.is_closing:
            self._go_on()
        elif self._is_input_ended or services.is_draining:
            self.close()
        else:
            self.phase = IDLE
            services.idle.arm(self.descriptor, instant)
            if not self.interest & READ:
                services.reactor.watch(self, READ)

    def _end(self) -> None:
        """End the connection as the task has said."""
        if self._ending is Ending.RESET:
            self._transport.reset()
            self.close()
        elif self._ending is Ending.LINGER or self._read_ahead_bytes:
            self._linger()
        else:
            self.close()

    def _go_on(self) -> None:
        """Take the next request out of what has been read ahead."""
        services = self._services
        self.phase = IDLE
        services.idle.arm(self.descriptor, services.reactor.now)
        self._advance()
        if self.is_gone:
            return
        if self._is_input_ended and self.phase in (IDLE, HEAD, BODY):
            self._end_input()
        elif self.phase is IDLE and services.is_draining:
            self.close()  # only an empty line had been read ahead
        elif not self._is_input_ended and (self.phase not in (TASK, FLUSH) or self._may_read_ahead()):
            services.reactor.watch(self, self.interest | READ)

    def _may_read_ahead(self) -> bool:
        """Whether to read on before a response has ended: a client may pipeline without end, also of a drain."""
        return self._read_ahead_bytes < self._services.adj.recv_bytes and not self._services.is_draining

    def _linger(self) -> None:
        """End output and discard input for a while: to close with unread input makes the system send a reset, which
        overtakes what the client has not read yet of the response (RFC 9112 9.6).
        """
        if self._is_input_ended:
            self.close()
            return
        self.phase = LINGER
        self._transport.end_output()
        self._services.linger.arm(self.descriptor, self._services.reactor.now)
        self._services.reactor.watch(self, READ)

    # --- the holder of the lead: the end

    @property
    def is_busy(self) -> bool:
        """Whether a request of it waits or runs, or its response is not sent yet."""
        return self.phase is TASK or self.phase is FLUSH

    def close_if_idle(self) -> None:
        """Close a connection that has sent no octet of a request; one that just has is served."""
        if self.phase is IDLE:
            self.on_ready(READ)
            if self.phase is IDLE:
                self.close()

    def close(self) -> None:
        """End the connection now; while a task runs, as far as that allows."""
        if self.is_gone:
            return
        self.is_gone = True
        services = self._services
        services.reactor.watch(self, 0)
        if self._request is not None:
            services.counters.by_status[""] += 1
            if services.access_log is not None:
                self._begin_exchange(services.access_log)
        self._drop_request()
        services.output.disarm(self.descriptor)
        services.linger.disarm(self.descriptor)
        if self.phase is FLUSH and self.sender.has_pending:
            self._transport.reset()  # or an HTTP/1.0 client could take the end for that of the response
        self.sender.abort()
        self._transport.end()
        if self.phase is not TASK:
            self._release()

    def _release(self) -> None:
        """Close the descriptor."""
        self.phase = CLOSED
        if self.exchange is not None:
            self._end_exchange(self.exchange)
        self._transport.close()
        self._services.remove(self)
        self._services.counters.ended_bytes_out += self._transport.sent_bytes

    def abandon_after_fork(self) -> None:
        """Close a forked child's copy of the descriptor: what the child's task sends goes nowhere."""
        self.is_gone = True
        self._transport.close()
