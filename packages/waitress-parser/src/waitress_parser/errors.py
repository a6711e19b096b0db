"""What can be wrong with a request: one class for every rule that a request can violate.

Every leaf is a `ProtocolError`; its class attributes are the status and reason phrase of the response, and `detail` is
one line for the body of that response. After an error the bytes that follow have no meaning: they must not be
interpreted, and the connection must be closed once the response is sent (RFC 9112 section 9.6).

Rules of this file: a detail is printable ASCII of bounded length whatever the client sent, because it ends up in
responses and in logs. Status codes are those of RFC 9110 section 15; the reason phrase of 413 is the one that waitress
has always sent.
"""

from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from typing_extensions import Self

MAX_SHOWN_CHARACTERS = 80  # of the client's text in a detail: enough to recognise the line, short enough for a log


def shown(text: str) -> str:
    """Return `text` as a detail may quote it: shortened, and every character that is not printable ASCII escaped."""
    is_long = len(text) > MAX_SHOWN_CHARACTERS
    printable = text[:MAX_SHOWN_CHARACTERS].encode("unicode_escape").decode("ascii")
    return printable + "..." if is_long else printable


def unencoded(byte: int, index: int) -> str:
    """Return what a detail says about a byte that a request target cannot have."""
    return f"byte 0x{byte:02X} at index {index} of the request target must be percent-encoded, as %{byte:02X}"


class ProtocolError(Exception):
    """A request that is refused.

    `detail` is what was wrong. `method` is the request's method, or "" if its request line was not read.
    `version` is the version for the response: "1.0" until the field section was read, then the request's own.
    """

    status: ClassVar[int] = 400
    reason: ClassVar[str] = "Bad Request"

    def __init__(self, detail: str) -> None:
        super().__init__(detail)
        self.detail = detail
        self.method = ""
        self.version = "1.0"

    def again(self) -> "Self":
        """Return an equal error that was never raised: keeping it keeps no traceback and no frames alive."""
        twin = type(self).__new__(type(self))
        twin.args = self.args
        twin.__dict__.update(self.__dict__)
        return twin


class LimitExceeded(ProtocolError):
    """Something is larger than the limits allow; `limit` is the largest value that would have been accepted."""

    name: ClassVar[str]

    def __init__(self, limit: int) -> None:
        super().__init__(f"exceeds {self.name} of {limit}")
        self.limit = limit


# Line structure (RFC 9112 section 2.2)


class BareLineBreak(ProtocolError):
    """A CR without its LF, or an LF without its CR, where lines end with CRLF only."""

    def __init__(self, header_line: str | None = None) -> None:
        where = "HTTP message" if header_line is None else f'header line "{shown(header_line)}"'
        super().__init__(f"Bare CR or LF found in {where}")


class ForbiddenOctet(ProtocolError):
    """NUL or another control character in a line; only HTAB is allowed, and only where the line's grammar allows it."""


# Request line (RFC 9112 section 3)


class TlsHandshake(ProtocolError):
    """The first bytes of TLS in place of a request: a client, or a proxy, uses `https:` with the port of plain HTTP."""

    def __init__(self) -> None:
        super().__init__("This port speaks plain HTTP, and the client started TLS")


class StartLineInvalid(ProtocolError):
    """Not exactly `method SP request-target SP HTTP/digit.digit`."""

    def __init__(self, why: str = "") -> None:
        super().__init__("Start line is invalid" + (why and f": {why}"))


class MethodNotUpperCase(ProtocolError):
    """A method with a lower-case letter: applications compare it with upper-case names."""

    def __init__(self, method: str) -> None:
        super().__init__(f'Malformed HTTP method "{shown(method)}"')


class RequestLineTooLong(LimitExceeded):
    """The request line is longer than its limit."""

    status = 414
    reason = "URI Too Long"
    name = "max_request_line"


class VersionNotSupported(ProtocolError):
    """A major version other than 1."""

    status = 505
    reason = "HTTP Version Not Supported"

    def __init__(self, version: str) -> None:
        super().__init__(f'HTTP version "{shown(version)}" is not supported')


class Http2Preface(VersionNotSupported):
    """The preface of HTTP/2 in place of a request: a client that speaks HTTP/2 without being asked to."""

    def __init__(self) -> None:
        ProtocolError.__init__(self, "This port speaks HTTP/1.1, and the client started HTTP/2")


# Field sections (RFC 9112 section 5)


class HeadTooLarge(LimitExceeded):
    """The head of a request, or its trailer section, has more bytes than the limit."""

    status = 431
    reason = "Request Header Fields Too Large"
    name = "max_header"


class TooManyFields(LimitExceeded):
    """A field section has more lines than the limit; a continuation line is one too."""

    status = 431
    reason = "Request Header Fields Too Large"
    name = "max_fields"


class ConnectionTooLong(LimitExceeded):
    """The value of Connection, all its lines together, is longer than the limit."""

    status = 431
    reason = "Request Header Fields Too Large"
    name = "max_connection"


class InvalidFieldLine(ProtocolError):
    """Not `token ":" OWS value OWS`: no colon, no name, whitespace before the colon, or a name that is not a token."""

    def __init__(self) -> None:
        super().__init__("Invalid header")


class FoldWithoutField(ProtocolError):
    """The first line of a field section starts with whitespace: it continues nothing."""

    def __init__(self, line: str) -> None:
        super().__init__(f'Malformed header line "{shown(line)}"')


class FoldedField(ProtocolError):
    """A continuation line in a field about framing, routing or authorisation: recipients could read it differently."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Folded header: {shown(name)}")


class DuplicateField(ProtocolError):
    """A second Host, Content-Length, Content-Type, Authorization or Proxy-Authorization."""

    def __init__(self, name: str) -> None:
        super().__init__(f"Duplicate header: {shown(name)}")


# Request target and Host (RFC 9112 section 3.2, RFC 9110 section 7.2)


class BadTarget(ProtocolError):
    """A request target in none of the four forms, in the wrong form for its method, or not of visible ASCII."""

    def __init__(self, why: str) -> None:
        super().__init__(f"Bad URI: {why}")


class ConnectNotSupported(ProtocolError):
    """CONNECT asks for a tunnel; an origin server has none."""

    status = 501
    reason = "Not Implemented"

    def __init__(self) -> None:
        super().__init__("CONNECT is not supported")


class MissingHost(ProtocolError):
    """An HTTP/1.1 request without Host."""

    def __init__(self) -> None:
        super().__init__("Host header is missing")


class InvalidHost(ProtocolError):
    """A Host that is not `uri-host [ ":" port ]`, or too long to be one."""

    def __init__(self, value: str) -> None:
        super().__init__(f'Host "{shown(value)}" is invalid')


# Message framing (RFC 9112 section 6)


class InvalidContentLength(ProtocolError):
    """A Content-Length that is not a run of decimal digits."""

    def __init__(self) -> None:
        super().__init__("Content-Length is invalid")


class LengthAndTransferCoding(ProtocolError):
    """Content-Length together with Transfer-Encoding: two recipients could see two ends of the request."""

    def __init__(self) -> None:
        super().__init__("Content-Length and Transfer-Encoding exclude each other")


class TransferCodingInHttp10(ProtocolError):
    """Transfer-Encoding in HTTP/1.0, which has none: a proxy in front may have framed the message differently."""

    def __init__(self) -> None:
        super().__init__("Transfer-Encoding is not part of HTTP/1.0")


class InvalidTransferCoding(ProtocolError):
    """A malformed, empty or overlong Transfer-Encoding, or `chunked` not last, twice or with parameters."""

    def __init__(self) -> None:
        super().__init__("Transfer-Encoding is invalid.")


class UnknownTransferCoding(ProtocolError):
    """A transfer coding other than chunked."""

    status = 501
    reason = "Not Implemented"

    def __init__(self) -> None:
        super().__init__("Transfer-Encoding requested is not supported.")


class BodyTooLarge(LimitExceeded):
    """The content is announced to be, or has become, larger than the limit."""

    status = 413
    reason = "Request Entity Too Large"
    name = "max_body"


class UnknownExpectation(ProtocolError):
    """An Expect other than 100-continue."""

    status = 417
    reason = "Expectation Failed"

    def __init__(self, value: str) -> None:
        super().__init__(f'Expectation "{shown(value)}" is not supported')


# Chunked coding (RFC 9112 section 7.1)


class InvalidChunkSize(ProtocolError):
    """A chunk size that is not a bounded run of hexadecimal digits."""

    def __init__(self) -> None:
        super().__init__("Invalid chunk size")


class InvalidChunkExtension(ProtocolError):
    """A chunk extension that is not `*( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )`."""

    def __init__(self) -> None:
        super().__init__("Invalid chunk extension")


class ChunkLineTooLong(LimitExceeded):
    """A chunk-size line is longer than its limit."""

    name = "max_chunk_line"


class ChunkExtensionsTooLong(LimitExceeded):
    """The chunk extensions of one message are together longer than their limit."""

    name = "max_chunk_extension"


class ChunkNotTerminated(ProtocolError):
    """The data of a chunk is not followed by CRLF."""

    def __init__(self) -> None:
        super().__init__("Chunk not properly terminated")


# End of input


class IncompleteRequest(ProtocolError):
    """The input ended inside a message."""

    def __init__(self) -> None:
        super().__init__("Request ended before it was complete")
