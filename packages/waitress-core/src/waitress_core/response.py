"""Response head and message framing: what stands before, between and after the pieces of a body.

Sans-IO: bytes and decisions, no socket, thread or application. The order of a response is `start` (again after an
error, while nothing has been framed), `begin`, any number of `frame`, `end`.

Framing (RFC 9112 6.3, seen from the sender)
1. HEAD, 204 and 304: no body, whatever the application yields.
2. Content-Length, by the application or because the body is known: so many octets; surplus is cut, and with less the
   connection closes.
3. HTTP/1.1: chunked.
4. HTTP/1.0: the end of the connection is the end of the body.
"""

import enum
from collections.abc import Iterable
from operator import itemgetter

from .http_date import current_date
from .response_fields import (
    NAMES,
    STATUSES,
    HeaderError,
    checked_name,
    checked_status,
    checked_value,
    parse_content_length,
)

# RFC 9110 15.3.5, 15.4.5: responses that end with their head
_NULL_BODY = ("204", "304")


class Framing(enum.Enum):
    """How the receiver finds the end of the body."""

    NO_BODY = enum.auto()
    CONTENT_LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()


class Response:
    """One response to one request.

    `persists`: the connection can carry another request afterwards; final once `end` has been called.
    """

    __slots__ = (
        "_has_date",
        "_has_server",
        "_headers",
        "_ident",
        "_is_head_request",
        "_is_http11",
        "content_length",
        "framing",
        "has_begun",
        "is_started",
        "persists",
        "remaining",
        "status",
        "surplus",
    )

    def __init__(self, version: str, method: str, persists: bool, ident: str | None) -> None:
        self._is_http11 = version == "1.1"
        self._is_head_request = method == "HEAD"
        self._ident = ident
        self.status = ""
        self._headers: list[tuple[str, str]] = []  # as they are sent, but for Content-Length
        self._has_date = self._has_server = False  # whether the application has given them
        self.persists = persists
        self.content_length: int | None = None
        self.framing = Framing.NO_BODY  # decided by `begin`
        self.remaining = 0  # with Framing.CONTENT_LENGTH: octets still to come
        self.surplus = 0  # octets that were cut off
        self.is_started = False  # `start` has been called
        self.has_begun = False  # `begin` has been called: status and headers are final

    def start(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        """Take status and headers, in place of earlier ones.

        Raises:
            AssertionError, HeaderError: they can not be sent (`checked_*`); what was there before is kept.
        """
        try:
            status = STATUSES[status]
        except (KeyError, TypeError):
            status = checked_status(status)
        names = NAMES
        checked = []
        content_length = None
        has_date = has_server = False
        for name, value in headers:
            try:
                sent = names[name]
            except (KeyError, TypeError):
                sent = checked_name(name)
            if type(value) is not str or not value.isascii() or not value.isprintable():
                value = checked_value(value)
            if sent == "Content-Length":
                if content_length is not None:
                    raise HeaderError("Content-Length is given twice")
                content_length = parse_content_length(value)
                continue
            if sent == "Date":
                if has_date:
                    raise HeaderError("Date is given twice")
                has_date = True
            elif sent == "Server":
                if has_server:
                    raise HeaderError("Server is given twice")
                has_server = True
            checked.append((sent, value))
        self.status = status
        self._headers = checked
        self._has_date = has_date
        self._has_server = has_server
        self.content_length = content_length
        self.is_started = True

    @property
    def has_body(self) -> bool:
        """Whether octets of a body may be sent at all."""
        return not (self._is_head_request or self.status.startswith(_NULL_BODY))

    @property
    def is_open_ended(self) -> bool:
        """Whether the connection's end, just now, would look like the body's."""
        return self.framing is Framing.CLOSE

    def begin(self) -> bytes:
        """Decide the framing and give the response head, from the status line to the empty line."""
        headers = self._headers
        if self.status.startswith(_NULL_BODY):
            self.framing = Framing.NO_BODY
        elif self.content_length is not None:
            self.framing = Framing.CONTENT_LENGTH
            self.remaining = self.content_length
            headers.append(("Content-Length", str(self.content_length)))
        elif self._is_http11:
            self.framing = Framing.CHUNKED
            headers.append(("Transfer-Encoding", "chunked"))
        else:
            self.framing = Framing.CLOSE
        if self._is_head_request:
            # The fields are those of GET; no octet of a body follows them.
            self.framing = Framing.NO_BODY
            self.remaining = 0
        elif self.framing is Framing.CLOSE:
            self.persists = False
        if not self.persists:
            headers.append(("Connection", "close"))
        elif not self._is_http11:
            headers.append(("Connection", "Keep-Alive"))
        if not self._has_date:
            headers.append(("Date", current_date()))
        if self._has_server:
            headers.append(("Via", self._ident or "waitress"))
        elif self._ident:
            headers.append(("Server", self._ident))
        headers.sort(key=_NAME)
        self.has_begun = True
        version = "HTTP/1.1" if self._is_http11 else "HTTP/1.0"
        fields = "\r\n".join([f"{name}: {value}" for name, value in headers])
        return f"{version} {self.status}\r\n{fields}\r\n\r\n".encode("latin-1")

    def frame(self, piece: bytes) -> bytes:
        """Give a non-empty piece of the body as it is to be sent; empty when none of it may be."""
        framing = self.framing
        if framing is Framing.CHUNKED:
            return b"%X\r\n%b\r\n" % (len(piece), piece)
        if framing is Framing.CONTENT_LENGTH:
            size = len(piece)
            if size > self.remaining:
                self.surplus += size - self.remaining
                piece = piece[: self.remaining]
                size = self.remaining
            self.remaining -= size
            return piece
        if framing is Framing.CLOSE:
            return piece
        self.surplus += len(piece)
        return b""

    def give_up(self) -> None:
        """Frame nothing more: what is framed can not be sent."""
        self.framing = Framing.NO_BODY
        self.remaining = 0

    def end(self) -> bytes:
        """Give what ends the body. A body shorter than its Content-Length ends the connection too."""
        framing, self.framing = self.framing, Framing.NO_BODY  # an application may keep `write`, and call it later
        if framing is Framing.CHUNKED:
            return b"0\r\n\r\n"
        if framing is Framing.CONTENT_LENGTH and self.remaining:
            self.persists = False
        return b""


_NAME = itemgetter(0)
