"""What a parser returns: the head of a request, pieces of its content, its end, or that it needs more bytes.

Plain records without behaviour. A request is one `RequestHead`, any number of `BodyPiece`, one `EndOfMessage`, in this
order; `NEED_MORE` may come between any two of them and means that everything received so far was returned or is held.
"""

import enum
from typing import Final, NamedTuple


class RequestHead(NamedTuple):
    """The request line and the field section of a request, checked, and what follows from them.

    Nothing is percent-decoded. Strings are latin-1: one character for each byte. A field name with an underscore is
    kept, and is not the name with a hyphen: drop it before you map names to CGI variables, or `X_Forwarded_For` would
    pose as `X-Forwarded-For`.
    """

    method: str
    """A token without lower-case letters."""
    target: str
    """The request target exactly as sent."""
    version: str
    """"1.1" or "1.0"; a higher 1.x is read as 1.1 (RFC 9110 section 2.5)."""
    fields: list[tuple[str, str]]
    """(lower-case name, value) of every field line, in wire order."""
    values: dict[str, str]
    """lower-case name -> value; a repeated field has its values joined in wire order, with ", ", Cookie with "; "."""
    authority: str | None
    """Host and port of an absolute-form target, else the Host field, else None (HTTP/1.0 only)."""
    path: str
    """Raw path of the target, without fragment; "*" for asterisk-form, "/" for an absolute-form without a path."""
    query: str
    """The target after its first "?", without fragment; "" when there is none."""
    content_length: int | None
    """Bytes of content to come; 0 without a body; None when the body is chunked."""
    is_persistent: bool
    """Whether the client keeps the connection open for a next request. If not, read no further."""
    expects_continue: bool
    """Whether the client waits for a 100 (Continue) before it sends the announced body."""


class BodyPiece(NamedTuple):
    """A part of the content of a request, decoded from its framing.

    `data` is never empty. It may be a memoryview of the buffer that was received: use it before the next `receive()`.
    """

    data: bytes | memoryview


class EndOfMessage(NamedTuple):
    """The request is complete; `trailers` is its trailer section: (lower-case name, value), in wire order.

    Trailers are never merged into the fields of the head. Those about framing, routing or authorisation are dropped.
    The list of a message without trailers is shared: do not change it.
    """

    trailers: list[tuple[str, str]]


class NeedMore(enum.Enum):
    """There is no event until more bytes are received."""

    NEED_MORE = "need more"


NEED_MORE: Final = NeedMore.NEED_MORE
NO_TRAILERS: Final = EndOfMessage([])  # one object for nearly all messages
