"""The receiving side of a connection: bytes from the transport, through the parser, to complete requests.

It decides and reports; the connection acts. `receive` and `go_on` return what is to be done:

    a Request         it is complete: give it to a task
    an ErrorResponse  the client broke a rule, or its body cannot be stored: answer, and read no further request
    CONTINUE          the client waits for 100 (Continue) before it sends its body
    PAUSE             do not watch the socket for input until the response is sent
    ROOM              the handshake waits for room in the socket: watch that only
    CLOSE             the client has left, or has been lingered for long enough: end the connection
    None              nothing, until more bytes arrive

Never writes to the socket, never waits.

Thread: the leader only, but for `holds_request` (that of the task) and a call of the receiver itself (any).
"""

import enum
from typing import Final

from waitress_buffers import BufferStorageError
from waitress_parser import NEED_MORE, BodyPiece, EndOfMessage, ProtocolError, RequestHead, RequestParser

from ..http.error_responses import (
    ErrorResponse,
    error_response_for,
    late_request_response,
    plain_request_response,
    unstored_body_response,
)
from ..http.request import Request
from ..net.transport import PlainRequest, Transport
from ..reactor.deadlines import DeadlineQueue
from ..reactor.poller import READ, WRITE
from .context import DRAINING, HasDeadlines, ServerContext
from .data_rate import MinDataRate
from .states import AHEAD, BODY, ENDED, HANDSHAKE, HEAD, IDLE, LINGER, ReceiveState

CHUNKED_READ_BYTES = 16 * 1024  # each chunk costs time, and may hold one byte: these take some 5 ms
# Discarded after the end of output: what a gigabit line brings in the default linger_timeout. A client that reads only
# when it has sent all would otherwise be reset before, and never see the answer. It costs less than to take a body.
LINGER_BYTES = 256 * 1024 * 1024
# That a client has at least to go on with a handshake. Doubled: one that starts at the last moment holds its place for
# longer. Halved: after a hold-up of the server, a client with a lost packet is closed.
ANSWER_SECONDS = 1.0


class Directive(enum.Enum):
    """What is to be done, other than to answer."""

    CONTINUE = enum.auto()
    PAUSE = enum.auto()
    CLOSE = enum.auto()
    ROOM = enum.auto()


CONTINUE: Final = Directive.CONTINUE
PAUSE: Final = Directive.PAUSE
CLOSE: Final = Directive.CLOSE
ROOM: Final = Directive.ROOM

Outcome = Request | ErrorResponse | Directive | None


class Receiver:
    """Receives for one connection."""

    __slots__ = (
        "_ahead",
        "_body_rate",
        "_context",
        "_deadline",
        "_deadlines",
        "_descriptor",
        "_discarded_bytes",
        "_parser",
        "_transport",
        "ahead_bytes",
        "request",
        "state",
    )

    def __init__(self, transport: Transport, context: ServerContext) -> None:
        # Set once
        self._transport = transport
        self._descriptor = transport.descriptor
        self._context = context
        self._deadlines = context.receive_deadlines
        # Reactor only
        self._deadline: DeadlineQueue[HasDeadlines] | None = None  # of the state
        self.request: Request | None = None  # with the body that is arriving
        self._body_rate: MinDataRate | None = None
        # While a request arrives, or one has been read ahead; mostly left to others when a request is complete
        self._parser: RequestParser | None = None
        self._discarded_bytes = 0
        # Written by the reactor, read anywhere. What is read ahead waits here: while a task runs nobody writes to the
        # parser, so that the task can see from both whether a further request is complete.
        self._ahead = b""
        self.state: ReceiveState = IDLE  # by `enter` only
        self.ahead_bytes = 0  # of next requests, while one is being answered

    def use_parser(self, parser: RequestParser) -> None:
        """Parse what the client sends by this parser, which has its own class. Call it before the first byte."""
        self._parser = parser

    def enter(self, state: ReceiveState, since: float) -> None:
        """Move to a state; its deadline, if it has one, counts from `since`."""
        deadline = self._deadline
        if deadline is not None:
            deadline.armed.pop(self._descriptor, None)  # every request: no call for that
        self.state = state
        self._deadline = deadline = self._deadlines[state]
        if deadline is not None:
            deadline.armed[self._descriptor] = since

    # --- what arrives

    def receive(self) -> Outcome:
        """Read from the socket once, and return what is to be done.

        Raises:
            Disconnected: the connection has failed.
            HandshakeFailed: there is no TLS.
        """
        if self.state > HEAD:
            return self._receive_more()
        context = self._context
        data = self._transport.receive(context.adj.recv_bytes)
        if not data:
            return None if data is None else self._end_input()
        context.counters.bytes_in += len(data)
        return self._parse(data)

    def take(self, data: bytes) -> Outcome:
        """Parse bytes that have been read already, before the first call of `receive`; return what is to be done."""
        self._context.counters.bytes_in += len(data)
        return self._parse(data)

    def _receive_more(self) -> Outcome:
        """Read what is no head: content, what comes after the present request, or what nobody wants."""
        context, state = self._context, self.state
        data: bytes | memoryview | None
        if state is ENDED:
            return PAUSE  # the answer to half a request is pending; the end stays readable: watching on would spin
        if state is HANDSHAKE:
            return self._shake_hands()
        if state is AHEAD:
            data = self._transport.receive(context.adj.recv_bytes)
        else:
            data = self._receive_into_buffer()
        if not data:
            return None if data is None else self._end_input()
        context.counters.bytes_in += len(data)
        if state is LINGER:
            self._discarded_bytes += len(data)
            return CLOSE if self._discarded_bytes > LINGER_BYTES else None
        if state is BODY:
            return self._parse(data)
        self._ahead += data
        self.ahead_bytes += len(data)
        return None if self.may_read_ahead() else PAUSE

    def _shake_hands(self) -> Outcome:
        """Go on with the handshake of the transport; at its end, with what has come behind it.

        Raises:
            HandshakeFailed: there is no TLS.
        """
        answers = self._transport.handshake_answers
        try:
            waits_for = self._transport.handshake()
        except PlainRequest:
            self._context.counters.handshakes.add("plain")
            return plain_request_response()
        if self._transport.handshake_answers != answers:
            self._give_time_after_answer()
        if waits_for == WRITE:
            return ROOM
        if waits_for == READ:
            return None
        self._context.counters.handshakes.add("done")
        self.enter(IDLE, self._context.reactor.now)
        return self.receive()

    def _give_time_after_answer(self) -> None:
        """Let the handshake have its time again if there is too little left for a client that has got an answer.

        The server may have been held up. A handshake has three answers at most, so that no client stays for ever.
        """
        deadline, now = self._context.handshake, self._context.reactor.now
        armed_at = deadline.armed_at(self._descriptor)
        if armed_at is not None and now - armed_at > deadline.seconds - ANSWER_SECONDS:
            deadline.arm(self._descriptor, now)

    def _receive_into_buffer(self) -> memoryview | None:
        buffer = self._context.read_buffer
        is_chunked = self.request is not None and self.request.head.content_length is None
        size = self._transport.receive_into(buffer, CHUNKED_READ_BYTES if is_chunked else len(buffer))
        return None if size is None else buffer[:size]

    def go_on(self) -> Outcome:
        """Take the next request from what has been read ahead; return what is to be done."""
        data, self._ahead = self._ahead, b""
        return self._parse(data)

    def _parse(self, data: bytes | memoryview) -> Outcome:
        """Parse what has arrived until a request is complete or bytes are missing; return what is to be done."""
        parser, request = self._parser, self.request
        if parser is None:
            self._parser = parser = self._context.take_parser()
        parser.receive(data)
        try:
            while True:
                event = parser.next_event()
                if type(event) is EndOfMessage:
                    self.request = None
                    if type(parser) is RequestParser and parser.is_as_new:
                        # Only here: after an exception, its state is not known.
                        self._context.shared_parser, self._parser = parser, None
                        self.ahead_bytes = 0
                    else:
                        self.ahead_bytes = parser.held_bytes
                    if self.state < AHEAD:
                        self.enter(AHEAD, 0.0)
                    return request
                if type(event) is RequestHead:
                    request = Request(event)
                    if event.content_length != 0:
                        self._start_body(request)
                        # RFC 9110 10.1.1: not when a part of the body has arrived.
                        if event.expects_continue and not parser.held_bytes and self.state is not ENDED:
                            return CONTINUE
                elif type(event) is BodyPiece and request is not None:
                    request.append(event.data, self._context.adj.inbuf_overflow)
                else:
                    break
        except ProtocolError as error:
            return error_response_for(error, bytes(data) if self.state <= HEAD else b"")
        except BufferStorageError as error:
            return self._refuse_body(error)
        if self.state is ENDED:
            return self._end_of_parsing()
        now = self._context.reactor.now
        if parser.is_between_messages:
            if self.state is AHEAD:
                self.enter(IDLE, now)
        elif self.state is IDLE or self.state is AHEAD:
            self.enter(HEAD, now)
        return None

    def _start_body(self, request: Request) -> None:
        adj, now = self._context.adj, self._context.reactor.now
        self.request = request
        self._body_rate = MinDataRate(adj.request_body_timeout, adj.request_body_rate, now)
        if self.state is not ENDED:
            self.enter(BODY, now)

    def _end_input(self) -> Outcome:
        """The client has ended its output; what it has sent completely is still answered."""
        state = self.state
        self.enter(ENDED, 0.0)
        if state is AHEAD:
            return PAUSE  # the end stays readable: watching on would spin
        if state is LINGER:
            return CLOSE
        return self._end_of_parsing()

    def _end_of_parsing(self) -> Outcome:
        if self._parser is not None:
            try:
                self._parser.end_of_input()
            except ProtocolError as error:
                return error_response_for(error)
        return CLOSE

    def _refuse_body(self, error: BufferStorageError) -> ErrorResponse:
        assert self.request is not None  # it is its body
        return unstored_body_response(error, self.request.head)

    # --- for the connection

    def __call__(self) -> bool:
        """Whether the client has ended its output, or the connection. Thread: any.

        The receiver is the `waitress.client_disconnected` of its requests: a bound method would cost each of them 390
        instructions, or one for each connection 64 bytes.
        """
        return self.state is ENDED

    def may_read_ahead(self) -> bool:
        """Whether to read on before a response has ended: a client may pipeline without end, also during a drain."""
        context = self._context
        return self.ahead_bytes < context.adj.recv_bytes and context.state < DRAINING

    def holds_request(self) -> bool:
        """Whether a further request has arrived completely. Thread: the task, while one runs.

        It parses a copy of what is held, which no other thread changes until the task has ended.
        """
        if not self.ahead_bytes:
            return False
        parser = RequestParser(self._context.parser_limits)
        if self._parser is not None:
            parser.receive(self._parser.held_data())
        parser.receive(self._ahead)
        try:
            while (event := parser.next_event()) is not NEED_MORE:
                if type(event) is EndOfMessage:
                    return True
        except ProtocolError:
            pass  # it will be refused: not worth to keep the connection for
        return False

    def is_too_slow(self) -> bool:
        """Whether a body that is arriving has fallen below its minimum rate."""
        assert self.request is not None  # checked in BODY only
        assert self._body_rate is not None
        return self._body_rate.is_too_slow(self._context.reactor.now, self.request.body_bytes)

    def waits_since(self) -> float:
        """Return the instant at which the receiver entered HANDSHAKE, HEAD, BODY or LINGER, in which it is."""
        if self.state is BODY:
            assert self._body_rate is not None
            return self._body_rate.started_at
        assert self._deadline is not None
        return self._deadline.armed_at(self._descriptor) or 0.0

    @property
    def handshake_answers(self) -> int:
        """How often the client has got what its next step of the handshake needs."""
        return self._transport.handshake_answers

    def body_bytes_per_second(self) -> float:
        """Return the present rate of the body that is arriving: see `data_rate`."""
        return 0.0 if self._body_rate is None else self._body_rate.bytes_per_second

    def late_response(self) -> ErrorResponse:
        """Return the answer to a request that has not arrived in time, and parse nothing more."""
        assert self._parser is not None  # called in HEAD and BODY only
        answer = late_request_response(self._parser)
        self._parser = None  # it takes nothing after its end of input
        return answer

    def stop(self) -> None:
        """Drop a request that is arriving: the server answers itself, and nothing after it is parsed."""
        self._drop_request()
        if self.state is not ENDED and self.state is not AHEAD:
            self.enter(AHEAD, 0.0)

    def end(self) -> None:
        """Drop a request that is arriving: the connection has ended."""
        if self.request is not None:
            self._drop_request()
        if self.state is not ENDED:
            self.enter(ENDED, 0.0)

    def _drop_request(self) -> None:
        if self.request is not None:
            self.request.close()
            self.request = None
