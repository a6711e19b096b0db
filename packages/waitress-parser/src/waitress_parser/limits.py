"""How large a request may be: one frozen record, validated once, shared by all parsers of a server.

All limits are inclusive: a request of exactly the limit is accepted, one byte more is refused as soon as that byte has
arrived. They bound what a parser holds: never more than one head, one chunk line or one trailer section, apart from
complete events that the caller has not taken yet.
"""

from typing import NamedTuple

from .grammar import MAX_CHUNK_SIZE_DIGITS

# The smallest value of each limit. A size may be as small as one byte: to refuse every request is valid too. A chunk
# line must have room for the digits of its size.
_MINIMUM = {
    "max_head_bytes": 1,
    "max_request_line_bytes": 1,
    "max_fields": 0,
    "max_body_bytes": 0,
    "max_chunk_line_bytes": MAX_CHUNK_SIZE_DIGITS,
    "max_chunk_extension_bytes": 0,
}


class _Fields(NamedTuple):
    max_head_bytes: int
    max_request_line_bytes: int
    max_fields: int
    max_body_bytes: int
    max_chunk_line_bytes: int
    max_chunk_extension_bytes: int


class Limits(_Fields):
    """The largest request that is accepted.

    `max_head_bytes` counts from the first byte of the request line to the empty line, both included.
    `max_request_line_bytes` is without CRLF. `max_fields` counts the lines of the field section, continuation lines
    too. The limits of bytes and fields of a head also apply to a trailer section. `max_body_bytes` counts decoded
    content. `max_chunk_line_bytes` is one chunk-size line without CRLF, `max_chunk_extension_bytes` the sum of
    all chunk extensions of one message.

    Raises ValueError, which names the field, for a value out of range.
    """

    __slots__ = ()

    def __new__(
        cls,
        max_head_bytes: int = 256 * 1024,  # waitress 256K, node 16K, Apache 8K a line
        max_request_line_bytes: int = 64 * 1024,  # RFC 9112 section 3 asks for 8000 at least
        max_fields: int = 1000,  # Apache and CPython's http.client have 100, Tomcat 100, node 2000
        max_body_bytes: int = 1024 * 1024 * 1024,  # waitress 1G
        max_chunk_line_bytes: int = 4 * 1024,
        max_chunk_extension_bytes: int = 16 * 1024,  # Go's net/http 16K; more is padding that keeps a server busy
    ) -> "Limits":
        limits = super().__new__(
            cls,
            max_head_bytes,
            max_request_line_bytes,
            max_fields,
            max_body_bytes,
            max_chunk_line_bytes,
            max_chunk_extension_bytes,
        )
        for name, minimum in _MINIMUM.items():
            value = getattr(limits, name)
            if not isinstance(value, int) or isinstance(value, bool) or value < minimum:
                raise ValueError(f"{name} must be an integer of at least {minimum}, not {value!r}")
        return limits
