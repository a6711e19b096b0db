"""The request parser: bytes in, events out. It decides which part of a message comes next.

Theory. A connection is a sequence of requests, each a head, a body, framed as the head says, and an end. The
machine has one step for each of them and one for failure:

    HEAD ---no body---------> END ----> HEAD
    HEAD ---Content-Length--> FIXED_BODY --all bytes--> END
    HEAD ---chunked---------> CHUNKED_BODY --last chunk, trailers--> HEAD      (body.py returns the end itself)
    HEAD, FIXED_BODY, CHUNKED_BODY --fault--> FAILED

`TRANSITIONS` is the same as a table; the tests hold the machine to it. head.py and body.py read the parts themselves;
receive_buffer.py holds the bytes.

Guarantees:

- `next_event()` returns an event or raises ProtocolError, never anything else, for any bytes in any cut; the
  events, their joined content and the error are the same for every cut.
- After an error nothing is interpreted: `next_event()` raises an equal error on every later call, bytes that arrive are
  dropped, and `end_of_input()` does nothing, in whatever order they are called.
- Time is linear in the bytes received, for any cut. After NEED_MORE the parser holds less than one head, one chunk line
  or one trailer section; the limits bound each of them.
- No socket, file, thread, clock or log. A parser serves one connection and one thread at a time, and another
  connection only while `is_as_new` is true.
"""

import enum
from typing import Final

from .body import ChunkedBody
from .errors import IncompleteRequest, ProtocolError
from .events import NEED_MORE, NO_TRAILERS, BodyPiece, EndOfMessage, NeedMore, RequestHead
from .grammar import CR, CRLF, HEAD_END
from .head import HeadScanner, read_scanned_head, read_whole_head
from .limits import Limits
from .lines import NOT_YET
from .receive_buffer import ReceiveBuffer


class Step(enum.Enum):
    """Which part of a message comes next, or that nothing is read any more."""

    HEAD = "head"
    FIXED_BODY = "body with Content-Length"
    CHUNKED_BODY = "chunked body"
    END = "end of message"
    FAILED = "failed"


TRANSITIONS: Final[dict[Step, frozenset[Step]]] = {
    Step.HEAD: frozenset({Step.FIXED_BODY, Step.CHUNKED_BODY, Step.END, Step.FAILED}),
    Step.FIXED_BODY: frozenset({Step.END, Step.FAILED}),
    Step.CHUNKED_BODY: frozenset({Step.HEAD, Step.FAILED}),
    Step.END: frozenset({Step.HEAD}),
    Step.FAILED: frozenset(),
}

# A global is quicker than an attribute of an enum class, and every event needs one.
_HEAD: Final = Step.HEAD
_FIXED_BODY: Final = Step.FIXED_BODY
_CHUNKED_BODY: Final = Step.CHUNKED_BODY
_END: Final = Step.END
_FAILED: Final = Step.FAILED

_DEFAULT_LIMITS: Final = Limits()
_WITHOUT_HEAD_END: Final = slice(-len(HEAD_END))

GUESSED_BYTES = 4096  # longer than nearly any head; a wrong guess costs the time to parse so many bytes


class RequestParser:
    """Parses the requests of one connection, one after the other.

    Pass what the client sent to `receive()`, then call `next_event()` until it returns NEED_MORE. When the client has
    closed its side, call `end_of_input()`. To leave the next request for later, stop calling after EndOfMessage: its
    bytes are kept.
    """

    __slots__ = (
        "_buffer",
        "_chunked",
        "_failure",
        "_guessed_bytes",
        "_has_input_ended",
        "_has_skipped_line",
        "_is_starved",
        "_limits",
        "_method",
        "_remaining",
        "_scanner",
        "_step",
        "_version",
    )

    def __init__(self, limits: Limits = _DEFAULT_LIMITS) -> None:
        # The whole connection
        self._limits = limits
        self._guessed_bytes = min(limits.max_head_bytes, GUESSED_BYTES)
        self._step = _HEAD
        self._failure: ProtocolError | None = None  # never raised itself: see ProtocolError.again
        self._has_input_ended = False
        self._is_starved = True  # the last event was NEED_MORE and nothing was received since
        self._buffer = ReceiveBuffer()
        # Only while a head is incomplete
        self._scanner: HeadScanner | None = None
        self._has_skipped_line = False
        # Only while a body is incomplete
        self._method = ""
        self._version = "1.0"
        self._remaining = 0  # bytes of a fixed-length body still to come
        self._chunked: ChunkedBody | None = None

    @property
    def is_between_messages(self) -> bool:
        """Whether no byte of a next message has been received; the empty line that is skipped belongs to no message."""
        return self._step is _HEAD and not self._buffer.data

    @property
    def is_as_new(self) -> bool:
        """Whether it parses what comes next as a new parser would, and so may serve another connection."""
        return (
            self._step is _HEAD and not self._buffer.data and not self._has_skipped_line and not self._has_input_ended
        )

    @property
    def held_bytes(self) -> int:
        """Number of bytes received and not yet returned as events."""
        buffer = self._buffer
        # A server reads this once for each request: an empty buffer costs no call.
        return len(buffer) if buffer.data or buffer.view is not None else 0

    def held_data(self) -> bytes:
        """Return a copy of the bytes received and not yet returned as events."""
        buffer = self._buffer
        return bytes(buffer.data[buffer.position :]) if buffer.view is None else bytes(buffer.view)

    def receive(self, data: bytes | memoryview) -> None:
        """Take bytes that have arrived; never raises ProtocolError.

        A bytes object is kept as it is when nothing is held. A memoryview (contiguous, format "B") is copied, unless
        all of it is content of a fixed-length body and nothing else is held: then it becomes a BodyPiece, and its
        buffer may be filled again once that piece is used. After an error the data is dropped. Raises RuntimeError
        after an `end_of_input()` that raised no error.
        """
        if not data or self._step is _FAILED:
            return
        if self._has_input_ended:
            raise RuntimeError("receive() after end_of_input()")
        self._is_starved = False
        buffer = self._buffer
        if buffer.data or buffer.view is not None:
            buffer.append(data)
        elif type(data) is bytes:
            buffer.data = data
        elif self._step is _FIXED_BODY and isinstance(data, memoryview) and data.nbytes <= self._remaining:
            buffer.view = data
        else:
            buffer.append(data)

    def end_of_input(self) -> None:
        """Note that no bytes will follow; raise IncompleteRequest (400) if a message has started and is not complete.

        Complete requests that are held are still returned. If bytes are held that `next_event()` has not parsed yet,
        `next_event()` raises IncompleteRequest instead, where it would have returned NEED_MORE.
        """
        self._has_input_ended = True
        if self._step is _END or self._step is _FAILED or self.is_between_messages:
            return
        if self._is_starved or not self.held_bytes:
            error = IncompleteRequest()
            self._fail(error)
            raise error

    def next_event(self) -> RequestHead | BodyPiece | EndOfMessage | NeedMore:
        """Return the next event; raise ProtocolError, and an equal one on every later call."""
        step = self._step
        try:
            if step is _HEAD:
                return self._next_head()
            if step is _END:
                self._step = _HEAD
                return NO_TRAILERS
            if step is _FIXED_BODY:
                return self._next_fixed()
            if step is _CHUNKED_BODY:
                return self._next_chunked()
        except ProtocolError as error:
            self._fail(error)
            raise
        assert self._failure is not None  # step FAILED
        raise self._failure.again()

    def _next_head(self) -> RequestHead | NeedMore:
        buffer = self._buffer
        data = buffer.data
        head = None
        # A guess that is nearly always right and saves the search: one head is held and nothing else. The bound is for
        # chunked bodies, which end in the same bytes.
        if (
            data.endswith(HEAD_END)
            and len(data) <= self._guessed_bytes
            and not buffer.position
            and self._scanner is None
        ):
            head = read_whole_head(data[_WITHOUT_HEAD_END], self._limits)
        if head is not None:
            buffer.data = b""
        else:
            head = self._find_head()
            if head is None:
                return self._need_more()
        self._has_skipped_line = False
        if head.content_length == 0:
            self._step = _END
        else:
            self._start_body(head)
        return head

    def _find_head(self) -> RequestHead | None:
        """Return a head that is not alone, comes in pieces or looks odd; None while it is incomplete."""
        buffer = self._buffer
        data, start = buffer.data, buffer.position
        if self._scanner is None:
            if not data:
                return None
            if data[start] == CR and not self._has_skipped_line:
                return self._skip_line(data, start)
            end = data.find(HEAD_END, start, start + self._limits.max_head_bytes)
            head = None if end < 0 else read_whole_head(data[start:end], self._limits)
            if head is not None:
                buffer.consume(end + len(HEAD_END))
                return head
            self._scanner = HeadScanner(self._limits)
        end = self._scanner.advance(data, start)
        if end == NOT_YET:
            return None
        head = read_scanned_head(data[start:end], self._limits)
        self._scanner = None
        buffer.consume(end + len(HEAD_END))
        return head

    def _skip_line(self, data: bytes | bytearray, start: int) -> RequestHead | None:
        """Skip an empty line before a request line, and go on.

        RFC 9112 section 2.2: ignore at least one, for clients that send one after a body. Only one is ignored here: a
        stream of them would be a request that never starts.
        """
        if len(data) - start < len(CRLF):
            return None
        self._has_skipped_line = True  # also for a bare CR: the next call then finds the fault
        if data.startswith(CRLF, start):
            self._buffer.consume(start + len(CRLF))
        return self._find_head()

    def _start_body(self, head: RequestHead) -> None:
        self._method = head.method
        self._version = head.version
        if head.content_length is None:
            self._chunked = ChunkedBody(self._limits)
            self._step = _CHUNKED_BODY
        else:
            self._remaining = head.content_length
            self._step = _FIXED_BODY

    def _next_fixed(self) -> BodyPiece | NeedMore:
        data = self._buffer.take_at_most(self._remaining)
        if not data:
            return self._need_more()
        self._remaining -= len(data)
        if not self._remaining:
            self._step = _END
        return BodyPiece(data)

    def _next_chunked(self) -> BodyPiece | EndOfMessage | NeedMore:
        assert self._chunked is not None
        buffer = self._buffer
        event, position = self._chunked.next_event(buffer.data, buffer.position)
        buffer.consume(position)
        if event is NEED_MORE:
            return self._need_more()
        if isinstance(event, EndOfMessage):
            self._chunked = None
            self._step = _HEAD
        return event

    def _need_more(self) -> NeedMore:
        """Return NEED_MORE; raise IncompleteRequest if the input has ended inside a message."""
        self._is_starved = True
        if self._has_input_ended and not self.is_between_messages:
            raise IncompleteRequest
        return NEED_MORE

    def _fail(self, error: ProtocolError) -> None:
        """Add what is known of the request to `error`, keep a copy of it to raise again, and drop what is held."""
        if self._step is not _HEAD:
            error.method = self._method
            error.version = self._version
        elif self._scanner is not None and not error.method:
            error.method = self._scanner.method
        self._failure = error.again()
        self._step = _FAILED
        self._buffer.clear()
        self._scanner = None
        self._chunked = None
