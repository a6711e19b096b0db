"""Where a program sees or changes what a client sends: a parser between the core's receiver and the program.

    HTTPChannel.received is replaced       each read goes there first, and comes back by `feed`
    parser_class, HTTPRequestParser        each request is parsed by an object of that class; this one makes events of
                                           what it shows, in the order in which the core's parser gives them
    error_task_class, with either          a request that is refused becomes a request without a body; its task
                                           answers with the `error` of the parser

Thread: the leader.
"""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

from waitress_core.connection.context import parser_limits
from waitress_core.http.request import Request
from waitress_parser import (
    NEED_MORE,
    BodyPiece,
    EndOfMessage,
    IncompleteRequest,
    NeedMore,
    ProtocolError,
    RequestHead,
    RequestParser,
)

Event = RequestHead | BodyPiece | EndOfMessage | NeedMore

_END: Final = EndOfMessage([])


class TappedParser(RequestParser):
    """The core's parser, but what it receives takes the way through `HTTPChannel.received`."""

    __slots__ = ("_tap",)

    def __init__(self, adj: Any, tap: Callable[[bytes], object]) -> None:
        super().__init__(parser_limits(adj))
        self._tap = tap

    def receive(self, data: bytes | memoryview) -> None:
        self._tap(bytes(data))

    def feed(self, data: bytes) -> None:
        """Parse bytes that `received` has passed on."""
        super().receive(data)

    def parser_of(self, request: Request) -> Any:
        """No parser of a program has had the request: never called."""
        raise NotImplementedError


class ProgramParser(RequestParser):
    """Shows to the core what parsers of a program's class have parsed.

    `make()` gives such a parser. `tap` gets what is received first, if there is one. Errors become tasks if
    `has_error_tasks`, else they are raised, and answered by the core.
    """

    __slots__ = (
        "_current",
        "_events",
        "_has_ended",
        "_has_error_tasks",
        "_has_head",
        "_held",
        "_is_refused",
        "_make",
        "_parsed",
        "_refusal",
        "_tap",
    )

    def __init__(
        self, make: Callable[[], Any], tap: Callable[[bytes], object] | None, *, has_error_tasks: bool
    ) -> None:
        super().__init__()
        self._make = make
        self._tap = tap
        self._has_error_tasks = has_error_tasks
        self._held = b""  # received, and not parsed
        self._current: Any = None  # the parser of the request that is arriving
        self._has_head = False  # its head has become an event
        self._events: deque[Event] = deque()
        self._parsed: deque[Any] = deque()  # parsers of complete requests that have no task yet
        self._refusal: ProtocolError | None = None  # raised from now on
        self._is_refused = False  # nothing is parsed any more
        self._has_ended = False

    @property
    def is_between_messages(self) -> bool:
        return self._current is None and not self._held

    @property
    def held_bytes(self) -> int:
        return len(self._held) + sum(len(event.data) for event in self._events if isinstance(event, BodyPiece))

    def held_data(self) -> bytes:
        # Asked for between two requests only, when no piece of a body waits among the events.
        return self._held

    def receive(self, data: bytes | memoryview) -> None:
        if self._tap is None:
            self.feed(bytes(data))
        else:
            self._tap(bytes(data))

    def feed(self, data: bytes) -> None:
        """Parse bytes that `received` has passed on."""
        if not self._is_refused:
            self._held += data

    def end_of_input(self) -> None:
        self._has_ended = True
        if self._current is not None and not self._held and not self._events and not self._is_refused:
            raise self._refuse(self._incomplete())

    def next_event(self) -> Event:
        if not self._events and self._refusal is None and not self._is_refused:
            self._parse()
        if self._events:
            return self._events.popleft()
        if self._refusal is not None:
            raise self._refusal.again()
        if self._has_ended and self._current is not None:
            raise self._refuse(self._incomplete())
        return NEED_MORE

    def parser_of(self, request: Request) -> Any:
        """Return the program's parser of a complete request; they are asked for in their order."""
        parser = self._parsed.popleft()
        parser.adopt(request)
        return parser

    def _parse(self) -> None:
        """Let the program's parser read until there is an event, or nothing is left to read."""
        while self._held and not self._events and not self._is_refused:
            parser = self._current
            if parser is None:
                parser = self._current = self._make()
                parser.keep_body(lambda data: self._events.append(BodyPiece(data)))
                self._has_head = False
            taken = parser.received(self._held)
            self._held = self._held[taken:]
            if parser.error is not None:
                self._fail(parser)
                return
            if parser.headers_finished and not self._has_head:
                self._has_head = True
                # Before the pieces of its body.
                head = parser.head._replace(
                    is_persistent=not parser.connection_close, expects_continue=parser.expect_continue
                )
                self._events.appendleft(head)
            if parser.completed:
                self._finish(parser)
            elif not taken:
                return

    def _finish(self, parser: Any) -> None:
        self._current = None
        self._parsed.append(parser)
        self._events.append(_END)

    def _fail(self, parser: Any) -> None:
        """Refuse the request, and read nothing that comes after it."""
        self._is_refused, self._held = True, b""
        self._events.clear()
        failure = parser.failure
        if failure is not None and not self._has_error_tasks:
            self._refusal = failure.again()
            return
        if not self._has_head:
            method = parser.command or "GET"
            self._events.append(RequestHead(method, "", parser.version, [], {}, None, "", "", 0, True, False))
        self._finish(parser)

    def _refuse(self, error: ProtocolError) -> ProtocolError:
        self._is_refused, self._refusal = True, error
        return error.again()

    def _incomplete(self) -> ProtocolError:
        error = IncompleteRequest()
        error.method, error.version = self._current.command, self._current.version
        return error
