"""The request parser, by the names of waitress 3.0, over `waitress_parser`.

For programs that parse requests themselves, or read what a channel's `requests` hold. The rules are those of the new
parser: what it refuses is refused here.
"""

import io
import re
from typing import BinaryIO

from waitress_core import Adjustments
from waitress_core.connection.context import parser_limits
from waitress_core.http.request import Request
from waitress_core.wsgi.environ import is_hidden, percent_decoded
from waitress_parser import (
    BodyPiece,
    EndOfMessage,
    NeedMore,
    ProtocolError,
    RequestHead,
    RequestParser,
    UnknownTransferCoding,
)

from .rfc7230 import HEADER_FIELD_RE, TOKEN
from .utilities import Error, error_of

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


class HTTPRequestParser:
    """One request, as far as it has come; `adj` limits how large it may be."""

    completed = False  # no more input is needed: the request is complete, or `error` says why it is invalid
    empty = False  # for programs that read it: a request never consists of empty lines only
    headers_finished = False
    expect_continue = False
    connection_close = False
    chunked = False
    content_length = 0
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

    def __init__(self, adj: Adjustments) -> None:
        self.adj = adj
        self.headers: dict[str, str] = {}  # by the names of CGI, as in the environ, but without `HTTP_`
        self._parser = RequestParser(parser_limits(adj))
        self._request: Request | None = None

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

    @property
    def whole(self) -> Request | None:
        """The request as the server has it, once its head has come."""
        return self._request

    def received(self, data: bytes) -> int:
        """Parse bytes; return how many of them belong to this request: all, until it is complete."""
        if self.completed:
            return 0
        parser = self._parser
        parser.receive(data)
        try:
            while not self.completed:
                event = parser.next_event()
                if isinstance(event, RequestHead):
                    self._take_head(event)
                    self._request = Request(event)
                elif isinstance(event, BodyPiece) and self._request is not None:
                    self._request.append(event.data, self.adj.inbuf_overflow)
                    self.body_bytes_received += len(event.data)
                elif isinstance(event, EndOfMessage):
                    self._complete()
                elif isinstance(event, NeedMore):
                    return len(data)
        except ProtocolError as error:
            self.error = error_of(error)
            self.completed = True
            return len(data)
        return len(data) - parser.held_bytes

    def parse_header(self, header_plus: bytes) -> None:
        """Read a head, with or without the empty line that ends it.

        Raises:
            ParsingError: it cannot be read.
            TransferEncodingNotImplemented: its transfer coding is not known.
        """
        if b"\r\n" not in header_plus:
            raise ParsingError("HTTP message header invalid")
        parser = RequestParser(parser_limits(self.adj))
        parser.receive(header_plus.removesuffix(b"\r\n\r\n").removesuffix(b"\r\n") + b"\r\n\r\n")
        try:
            head = parser.next_event()
        except UnknownTransferCoding as error:
            raise TransferEncodingNotImplemented(error.detail) from error
        except ProtocolError as error:
            raise ParsingError(error.detail) from error
        if not isinstance(head, RequestHead):
            raise ParsingError("HTTP message header invalid")
        self._take_head(head)

    def _take_head(self, head: RequestHead) -> None:
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

    def _complete(self) -> None:
        self.completed = True
        if self.chunked:
            self.headers["CONTENT_LENGTH"] = str(self.body_bytes_received)

    def get_body_stream(self) -> BinaryIO:
        """Return the body as a file at its start; it is valid until `close`."""
        return io.BytesIO() if self._request is None else self._request.open_body()

    def close(self) -> None:
        """Release the room of the body."""
        if self._request is not None:
            self._request.close()


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
    """Split a request line into method, target and version (empty without one); three times nothing when it is none.

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
