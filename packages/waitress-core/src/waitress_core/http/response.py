"""Response head and message framing: what stands before, between and after the pieces of a body.

Sans-IO: bytes and decisions, no socket, thread or application. The order of a response is `start` (again after an
error, while nothing has been framed), `begin`, any number of `frame`, `end`.

Framing (RFC 9112 6.3, seen from the sender)
1. HEAD, 204, 205 and 304: no body, whatever the application yields.
2. Content-Length, by the application or because the body is known: so many octets; surplus is cut, and with less the
   connection closes.
3. HTTP/1.1: chunked.
4. HTTP/1.0: the end of the connection is the end of the body.
"""

import enum
from collections.abc import Iterable
from typing import Final

from .response_fields import STATUSES, HeaderError, checked_status, checked_value, parse_content_length
from .response_head import NO_FIELDS, TEMPLATES, new_template

# RFC 9110 15.3.5, 15.3.6, 15.4.5: responses without content. 204 and 304 end with their head, 205 has to say so.
_NULL_BODY = ("204", "205", "304")


class Framing(enum.Enum):
    """How the receiver finds the end of the body."""

    NO_BODY = enum.auto()
    CONTENT_LENGTH = enum.auto()
    CHUNKED = enum.auto()
    CLOSE = enum.auto()


# For the path of every response: see `phases`.
NO_BODY: Final = Framing.NO_BODY
CONTENT_LENGTH: Final = Framing.CONTENT_LENGTH
CHUNKED: Final = Framing.CHUNKED
CLOSE: Final = Framing.CLOSE


class Response:
    """One response to one request.

    `persists`: the connection can carry another request afterwards; final once `end` has been called.
    """

    __slots__ = (
        "_ident",
        "_is_head_request",
        "_is_http11",
        "_template",
        "_values",
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
        self._template = NO_FIELDS
        self._values: list[str] = []  # of the fields that the template names
        self.persists = persists
        self.content_length: int | None = None
        self.framing = NO_BODY  # decided by `begin`
        self.remaining = 0  # with CONTENT_LENGTH: octets still to come
        self.surplus = 0  # octets that were cut off
        self.is_started = False  # `start` has been called
        self.has_begun = False  # `begin` has been called: status and headers are final

    def start(self, status: str, headers: Iterable[tuple[str, str]]) -> None:
        """Take status and headers, in place of earlier ones.

        Raises:
            AssertionError, HeaderError: they cannot be sent (`checked_*`); what was there before is kept.
        """
        # What is not known is checked after the `except`: its own faults are to be told without ours before them.
        try:
            known_status = STATUSES[status]
        except (KeyError, TypeError):  # TypeError: not hashable, so no str
            known_status = None
        status = known_status or checked_status(status)
        names, values = [], []
        try:
            for name, value in headers:
                names.append(name)
                values.append(value)
        except (TypeError, ValueError) as error:
            raise HeaderError("headers must be a list of tuples (name, value)") from error
        try:
            known_template = TEMPLATES[tuple(names)]
        except (KeyError, TypeError):
            known_template = None
        template = known_template or new_template(tuple(names))
        try:
            text = "".join(values)
        except TypeError:  # one is no str
            text = "\0"
        if not (text.isascii() and text.isprintable()):
            for name, value in zip(names, values, strict=True):
                checked_value(value, name)
        index = template.content_length_index
        self.content_length = None if index < 0 else parse_content_length(values[index])
        self.status = status
        self._template = template
        self._values = values
        self.is_started = True

    @property
    def has_body(self) -> bool:
        """Whether octets of a body may be sent at all."""
        return not (self._is_head_request or self.status.startswith(_NULL_BODY))

    @property
    def is_open_ended(self) -> bool:
        """Whether to close the connection now would look like the proper end of the body."""
        return self.framing is CLOSE

    def begin(self) -> bytes:
        """Decide the framing and return the response head, from the status line to the empty line."""
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
        if self._is_head_request:
            # The fields are those of GET; no octet of a body follows them.
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
        self.has_begun = True
        return self._template.head(
            self._is_http11, self.status, self._values, framing_field, self.content_length, connection, self._ident
        )

    def frame(self, piece: bytes) -> bytes:
        """Return a non-empty piece of the body as it is to be sent; empty when none of it may be."""
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
        """Frame nothing more: what is framed cannot be sent."""
        self.framing = NO_BODY
        self.remaining = 0

    def end(self) -> bytes:
        """Return what ends the body. A body shorter than its Content-Length ends the connection too."""
        framing, self.framing = self.framing, NO_BODY  # an application may keep `write`, and call it later
        if framing is CHUNKED:
            return b"0\r\n\r\n"
        if framing is CONTENT_LENGTH and self.remaining:
            self.persists = False
        return b""
