"""The request parser, by the names of waitress 3.0, over `waitress_parser`.

For programs that parse requests themselves, or read what a channel's `requests` hold. The rules are those of the new
parser: what it refuses is refused here.
"""

import io
import re
import sys
from collections.abc import Callable
from typing import BinaryIO

from waitress_core import Adjustments
from waitress_core.connection.context import parser_limits
from waitress_core.http.request import Request
from waitress_core.wsgi.environ import is_hidden, percent_decoded
from waitress_parser import (
    BodyPiece,
    BodyTooLarge,
    EndOfMessage,
    ProtocolError,
    RequestHead,
    RequestParser,
    UnknownTransferCoding,
)

from ._left_out import LeftOut
from ._modules import old_module
from ._replacements import is_replaced, replaceable
from .buffers import COPY_BYTES, OverflowableBuffer
from .rfc7230 import HEADER_FIELD_RE, TOKEN
from .utilities import BadRequest, Error, ServerNotImplemented, error_of

__all__ = [
    "HEADER_FIELD_RE",
    "HTTPRequestParser",
    "ParsingError",
    "TransferEncodingNotImplemented",
    "crack_first_line",
    "first_line_re",
    "get_header_lines",
    "split_uri",
    "unquote_bytes_to_wsgi",
]

# request-line = method SP request-target [ SP HTTP-version ]
first_line_re = re.compile(rf"(?P<method>{TOKEN}) (?P<uri>[^ ]+)(?: HTTP/(?P<version>[0-9]\.[0-9]))?".encode("latin-1"))


class ParsingError(Exception):
    """A head that cannot be read."""


class TransferEncodingNotImplemented(Exception):
    """A transfer coding that is not known."""


_ANY_BODY_BYTES = sys.maxsize  # for the machine: the limit is that of `adj`, which a subclass may replace meanwhile


@replaceable
class HTTPRequestParser:
    """One request, as far as it has come; `adj` limits how large it may be.

    A subclass may override `parse_header`, which gets the head once it is complete, and there change the attributes,
    put another `adj` in the place of this one, set `connection_close` or `error`, or raise a ParsingError.
    """

    completed = False  # no more input is needed: the request is complete, or `error` says why it is invalid
    empty = False  # for programs that read it: a request never consists of empty lines only
    headers_finished = False
    expect_continue = False
    connection_close = False
    chunked = False
    content_length = 0
    header_plus = b""  # the head, as far as it has come; empty when it is complete
    header_bytes_received = 0
    body_bytes_received = 0
    error: Error | None = None
    version = "1.0"
    first_line = b""
    command = ""
    request_uri = ""
    url_scheme = ""
    proxy_scheme = ""
    proxy_netloc = ""
    path = ""
    query = ""
    fragment = ""
    _failure: ProtocolError | None = None  # what `error` has been made of, if the machine has refused the request
    _store: Callable[[bytes], object] | None = None  # where a server keeps the body
    _request: Request | None = None  # of a server

    def __init__(self, adj: Adjustments) -> None:
        self.adj = adj
        self.headers: dict[str, str] = {}  # by the names of CGI, as in the environ, but without `HTTP_`
        self._machine: RequestParser | None = None  # made when bytes come
        self._head: RequestHead | None = None
        self._buffer: OverflowableBuffer | None = None  # the body, unless a server keeps it

    @classmethod
    def of_request(cls, adj: Adjustments, request: Request, completed: bool) -> "HTTPRequestParser":
        """Return a request of the server in the shape of a parser that has parsed it."""
        parser = cls(adj)
        parser._take_head(request.head)
        parser._request = request
        parser.body_bytes_received = request.body_bytes
        if completed:
            parser._complete()
        return parser

    # --- what has come

    def received(self, data: bytes) -> int:
        """Parse bytes; return how many of them belong to this request: all, until it is complete."""
        if self.completed:
            return 0
        machine = self._machine
        if machine is None:
            machine = self._machine = self._new_machine()
        if not self.headers_finished:
            self.header_plus += data
            self.header_bytes_received = len(self.header_plus)
        machine.receive(data)
        try:
            while not self.completed:
                event = machine.next_event()
                if isinstance(event, RequestHead):
                    self._finish_head(event, self.header_bytes_received - machine.held_bytes)
                elif isinstance(event, BodyPiece):
                    self._add(bytes(event.data))
                elif isinstance(event, EndOfMessage):
                    self._complete()
                else:
                    return len(data)
        except BodyTooLarge:
            self._fail(BodyTooLarge(self.adj.max_request_body_size))
        except ProtocolError as error:
            self._fail(error)
        return len(data) if self.error is not None else len(data) - machine.held_bytes

    def _new_machine(self) -> RequestParser:
        return RequestParser(parser_limits(self.adj)._replace(max_body_bytes=_ANY_BODY_BYTES))

    def _finish_head(self, head: RequestHead, size: int) -> None:
        header_plus = self.header_plus[:size]
        self.header_plus, self.header_bytes_received = b"", size
        self._head = head
        try:
            if is_replaced(self, "parse_header"):
                self.parse_header(header_plus)
            else:
                self._take_head(head)
        except ParsingError as error:
            self.error = BadRequest(str(error))
        except TransferEncodingNotImplemented as error:
            self.error = ServerNotImplemented(str(error))
        self.headers_finished = True
        if self.error is not None:
            self.completed = True
        elif (head.content_length or 0) > self.adj.max_request_body_size:
            raise BodyTooLarge(self.adj.max_request_body_size)

    def _add(self, data: bytes) -> None:
        self.body_bytes_received += len(data)
        if self.body_bytes_received > self.adj.max_request_body_size:
            raise BodyTooLarge(self.adj.max_request_body_size)
        if self._store is not None:
            self._store(data)
            return
        if self._buffer is None:
            self._buffer = OverflowableBuffer(self.adj.inbuf_overflow)
        self._buffer.append(data)

    def _fail(self, error: ProtocolError) -> None:
        if self._head is None:
            self.command, self.version = error.method, error.version
        else:
            error.method, error.version = self._head.method, self._head.version
        self.error, self._failure, self.completed = error_of(error), error, True

    def _complete(self) -> None:
        self.completed = True
        if self.chunked:
            self.headers["CONTENT_LENGTH"] = str(self.body_bytes_received)

    # --- the head

    def parse_header(self, header_plus: bytes) -> None:
        """Read a head, with or without the empty line that ends it.

        Raises:
            ParsingError: it cannot be read.
            TransferEncodingNotImplemented: its transfer coding is not known.
        """
        if b"\r\n" not in header_plus:
            raise ParsingError("HTTP message header invalid")
        machine = self._new_machine()
        machine.receive(header_plus.removesuffix(b"\r\n\r\n").removesuffix(b"\r\n") + b"\r\n\r\n")
        try:
            head = machine.next_event()
        except UnknownTransferCoding as error:
            raise TransferEncodingNotImplemented(error.detail) from error
        except ProtocolError as error:
            raise ParsingError(error.detail) from error
        if not isinstance(head, RequestHead):
            raise ParsingError("HTTP message header invalid")
        self._take_head(head)

    def _take_head(self, head: RequestHead) -> None:
        self._head = head
        self.first_line = f"{head.method} {head.target} HTTP/{head.version}".encode("latin-1")
        self.command, self.version, self.request_uri = head.method, head.version, head.target
        self.url_scheme = self.adj.url_scheme
        self.proxy_scheme, self.proxy_netloc, _, _, self.fragment = split_uri(head.target.encode("latin-1"))
        self.path, self.query = unquote_bytes_to_wsgi(head.path.encode("latin-1")), head.query
        self.headers = {
            name.upper().replace("-", "_"): value for name, value in head.values.items() if not is_hidden(name)
        }
        self.chunked = head.content_length is None
        self.content_length = head.content_length or 0
        self.expect_continue = head.expects_continue
        self.connection_close = not head.is_persistent
        self.headers_finished = True

    # --- the body

    @property
    def body_rcv(self) -> "BodyReceiver | None":
        """The body, as far as it has come, by the methods of a receiver; None if the request has none."""
        return BodyReceiver(self) if self.chunked or self.content_length else None

    def get_body_stream(self) -> BinaryIO:
        """Return the body as a file at its start; it is valid until `close`."""
        if self._request is not None:
            return self._request.open_body()
        return io.BytesIO() if self._buffer is None else self._buffer.getfile()

    def close(self) -> None:
        """Release the room of the body."""
        if self._request is not None:
            self._request.close()
        if self._buffer is not None:
            self._buffer.close()

    # --- for a server

    @property
    def head(self) -> RequestHead | None:
        """What the head says, and the parser has not changed; None before it has come."""
        return self._head

    @property
    def failure(self) -> ProtocolError | None:
        """Why the request breaks a rule of the server; None also if a subclass alone has refused it."""
        return self._failure

    def keep_body(self, store: Callable[[bytes], object]) -> None:
        """Give each piece of the body to `store`, instead of keeping it."""
        self._store = store

    def adopt(self, request: Request) -> None:
        """Use the body of a request of the server, which has got all of its pieces."""
        self._request = request


class BodyReceiver:
    """The body of a request that a parser reads: what can be seen of it by the names of a receiver."""

    received = LeftOut("bytes go to the `received` of the parser")

    def __init__(self, parser: HTTPRequestParser) -> None:
        self._parser = parser

    def __len__(self) -> int:
        return self._parser.body_bytes_received

    @property
    def completed(self) -> bool:
        """Whether all of it has come."""
        return self._parser.completed and self._parser.error is None

    @property
    def error(self) -> Error | None:
        """Why it is invalid."""
        return self._parser.error if self._parser.headers_finished else None

    @property
    def remain(self) -> int:
        """Bytes that are to come, if that is known."""
        return max(0, self._parser.content_length - len(self))

    @property
    def buf(self) -> OverflowableBuffer:
        """A copy of what has come, as a buffer."""
        copy = OverflowableBuffer(self._parser.adj.inbuf_overflow)
        with self.getfile() as file:
            while piece := file.read(COPY_BYTES):
                copy.append(piece)
        return copy

    def getbuf(self) -> OverflowableBuffer:
        """Return a copy of what has come, as a buffer."""
        return self.buf

    def getfile(self) -> BinaryIO:
        """Return what has come, as a file."""
        return self._parser.get_body_stream()


def unquote_bytes_to_wsgi(bytestring: str | bytes) -> str:
    """Decode percent-encoding; return the bytes as PEP 3333 wants them, each as one latin-1 character."""
    data = bytestring.encode() if isinstance(bytestring, str) else bytestring
    return percent_decoded(data.decode("latin-1"))


def split_uri(uri: bytes) -> tuple[str, str, str, str, str]:
    """Split a request target into scheme, authority, path (decoded), query and fragment.

    Raises:
        ParsingError: it is no ASCII, or no target.
    """
    from urllib.parse import urlsplit  # lazy import: it imports much, and few servers need it

    try:
        text = uri.decode("ascii")
        if text.startswith("//"):  # a path, although in a URI an authority would follow
            path, _, fragment = text.partition("#")
            path, _, query = path.partition("?")
            return "", "", unquote_bytes_to_wsgi(path), query, fragment
        scheme, netloc, path, query, fragment = urlsplit(text)
    except ValueError as error:
        raise ParsingError("Bad URI") from error
    return scheme, netloc, unquote_bytes_to_wsgi(path), query, fragment


def get_header_lines(header: bytes) -> list[bytes]:
    """Split header fields into lines, each with what continues it.

    Raises:
        ParsingError: a line break that is not CRLF, or a continuation of nothing.
    """
    lines: list[bytes] = []
    for line in header.split(b"\r\n"):
        if b"\r" in line or b"\n" in line:
            raise ParsingError(f'Bare CR or LF found in header line "{line.decode("latin-1")}"')
        if line.startswith((b" ", b"\t")):
            if not lines:
                raise ParsingError(f'Malformed header line "{line.decode("latin-1")}"')
            lines[-1] += line
        elif line:
            lines.append(line)
    return lines


def crack_first_line(line: bytes) -> tuple[bytes, bytes, bytes]:
    """Split a request line into method, target and version (empty without one); three times nothing if it is invalid.

    Raises:
        ParsingError: a method with a lower-case letter.
    """
    match = first_line_re.fullmatch(line)
    if match is None:
        return b"", b"", b""
    method = match["method"]
    if method != method.upper():
        raise ParsingError(f'Malformed HTTP method "{method.decode("latin-1")}"')
    return method, match["uri"], match["version"] or b""


old_module(
    __name__,
    "BytesIO ChunkedReceiver FixedStreamReceiver ONLY_DIGIT_RE OverflowableBuffer "
    "RequestEntityTooLarge RequestHeaderFieldsTooLarge find_double_newline parse "
    "unquote_to_bytes",
)
