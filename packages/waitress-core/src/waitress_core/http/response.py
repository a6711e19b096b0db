"""Response head and message framing: the bytes before, between and after the pieces of a body.

Sans-IO: bytes and decisions, no socket, thread or application. The calls for a response are, in this order: `start`
(again after an error, until `make_head`), `make_head`, any number of `frame`, `end`. `early_hints` may come any number
of times before `make_head`.

Framing (RFC 9112 6.3, seen from the sender)
1. HEAD, 204, 205 and 304: no body, whatever the application yields.
2. Content-Length, from the application or because the whole body is known: exactly that many bytes. More are cut off;
   after fewer the connection closes.
3. HTTP/1.1: chunked.
4. HTTP/1.0: the end of the connection is the end of the body.
"""

import enum
from collections.abc import Iterable
from typing import Any, Final

from .response_fields import (
    STATUSES,
    HeaderError,
    checked_name,
    checked_status,
    checked_value,
    parse_content_length,
)
from .response_head import NO_FIELDS, TEMPLATES, HeaderTemplate, new_template

# RFC 9110 15.3.5, 15.3.6, 15.4.5: responses without content. 204 and 304 end with their head, 205 needs a length of 0.
_NULL_BODY = ("204", "205", "304")


class Framing(enum.Enum):
    """How the receiver finds the end of the body."""

    NO_BODY = enum.auto()
    CONTENT_LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()


# Module globals: a member of an enum is slower to look up, and every response needs these.
NO_BODY: Final = Framing.NO_BODY
CONTENT_LENGTH: Final = Framing.CONTENT_LENGTH
CHUNKED: Final = Framing.CHUNKED
CLOSE: Final = Framing.CLOSE


class Response:
    """One response to one request.

    `persists`: the connection can carry another request afterwards; final after `end`. `is_over` is its connection's:
    the task has ended with this response.
    """

    __slots__ = (
        "_ident",
        "_is_http11",
        "_template",
        "_values",
        "content_length",
        "framing",
        "has_head",
        "is_over",
        "is_started",
        "method",
        "persists",
        "remaining",
        "status",
        "surplus",
    )

    def __init__(self, version: str, method: str, persists: bool, ident: str | None) -> None:
        self._is_http11 = version == "1.1"
        self.method = method
        self._ident = ident
        self.status = ""
        self._template = NO_FIELDS
        self._values: list[str] = []  # one for each name of the template
        self.persists = persists
        self.content_length: int | None = None
        self.framing = NO_BODY  # set by `make_head`
        self.remaining = 0  # with CONTENT_LENGTH: bytes still to come
        self.surplus = 0  # bytes that were cut off
        self.is_started = False  # `start` has been called
        self.has_head = False  # `make_head` has been called: status and headers are final
        self.is_over = False

    def start(self, status: Any, headers: Any) -> None:
        """Set status (str) and headers (`list[tuple[str, str]]`), in place of earlier ones.

        Raises:
            AssertionError, HeaderError: they cannot be sent (`checked_*`); the earlier ones are kept.
        """
        # Unknown ones are checked after the `except`, so that their errors do not have the KeyError as their context.
        try:
            known_status: str | None = STATUSES[status]
        except (KeyError, TypeError):  # TypeError: not hashable, so not a str
            known_status = None
        checked: str = known_status or checked_status(status)
        names: list[Any] = []
        values: list[Any] = []
        try:
            for name, value in headers:
                names.append(name)
                values.append(value)
        except (TypeError, ValueError) as error:
            raise HeaderError("headers must be a list of tuples (name, value)") from error
        try:
            known_template: HeaderTemplate | None = TEMPLATES[tuple(names)]
        except (KeyError, TypeError):
            known_template = None
        template = known_template or new_template(tuple(names))
        try:
            text = "".join(values)
        except TypeError:  # one is not a str
            text = "\0"
        if not (text.isascii() and text.isprintable()):
            for name, value in zip(names, values, strict=True):
                checked_value(value, name)
        index = template.content_length_index
        self.content_length = None if index < 0 else parse_content_length(values[index])
        self.status = checked
        self._template = template
        self._values = values
        self.is_started = True

    @property
    def has_body(self) -> bool:
        """Whether a body may be sent at all."""
        return not (self.method == "HEAD" or self.status.startswith(_NULL_BODY))

    @property
    def is_open_ended(self) -> bool:
        """Whether the client would take a close of the connection for the end of the body."""
        return self.framing is CLOSE

    def early_hints(self, headers: Any) -> bytes:
        """Return a 103 (Early Hints) with these fields (RFC 8297): an interim response, sent ahead of this one.

        Empty for HTTP/1.0, which has no interim responses (RFC 9110 15.2), and without a field.

        Raises:
            AssertionError, HeaderError: a field cannot be sent (`checked_*`).
            TypeError: these are no fields.
            RuntimeError: the response itself has started.
        """
        if self.has_head:
            raise RuntimeError("early hints come before the response: its head has been sent already")
        if isinstance(headers, str) or not isinstance(headers, Iterable):
            raise TypeError(f"early hints are a list of (name, value), not {headers!r:.100}")
        lines = []
        for field in headers:
            if not isinstance(field, (tuple, list)) or len(field) != 2:
                raise TypeError(f"early hints are a list of (name, value), and {field!r:.100} is not (name, value)")
            name, value = field
            sent_name = checked_name(name)
            if sent_name == "Content-Length":  # RFC 9110 8.6: not in a 1xx
                raise HeaderError("early hints cannot have a Content-Length")
            lines.append(f"{sent_name}: {checked_value(value, name)}\r\n")
        if not (lines and self._is_http11):
            return b""
        return f"HTTP/1.1 103 Early Hints\r\n{''.join(lines)}\r\n".encode("latin-1")

    def make_head(self) -> bytes:
        """Choose the framing; return the response head, from the status line to the empty line."""
        framing_field = ""
        if self.status.startswith(_NULL_BODY):
            framing = NO_BODY
            if self.status.startswith("205"):
                framing_field = "Content-Length"
                self.content_length = 0
        elif self.content_length is not None:
            framing = CONTENT_LENGTH
            framing_field = "Content-Length"
            self.remaining = self.content_length
        elif self._is_http11:
            framing = CHUNKED
            framing_field = "Transfer-Encoding"
        else:
            framing = CLOSE
        if self.method == "HEAD":
            # RFC 9110 9.3.2: the same fields as for GET, and no body.
            framing = NO_BODY
            self.remaining = 0
        elif framing is CLOSE:
            self.persists = False
        connection = ""
        if not self.persists:
            connection = "close"
        elif not self._is_http11:
            connection = "Keep-Alive"
        self.framing = framing
        self.has_head = True
        return self._template.head(
            self._is_http11, self.status, self._values, framing_field, self.content_length, connection, self._ident
        )

    def frame(self, piece: bytes) -> bytes:
        """Return the bytes to send for a non-empty piece of the body; empty if none of it may be sent."""
        framing = self.framing
        if framing is CONTENT_LENGTH:
            size = len(piece)
            if size > self.remaining:
                self.surplus += size - self.remaining
                piece = piece[: self.remaining]
                size = self.remaining
            self.remaining -= size
            return piece
        if framing is CHUNKED:
            return b"%X\r\n%b\r\n" % (len(piece), piece)
        if framing is CLOSE:
            return piece
        self.surplus += len(piece)
        return b""

    def give_up(self) -> None:
        """Frame nothing more, because framed bytes can no longer be sent."""
        self.framing = NO_BODY
        self.remaining = 0

    def end(self) -> bytes:
        """Return the bytes that end the body. If it is shorter than its Content-Length, the connection must close."""
        framing, self.framing = self.framing, NO_BODY  # an application may keep `write` and call it later
        if framing is CHUNKED:
            return b"0\r\n\r\n"
        if framing is CONTENT_LENGTH and self.remaining:
            self.persists = False
        return b""
