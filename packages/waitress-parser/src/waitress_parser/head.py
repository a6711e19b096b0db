"""The head of a request: from the bytes of its lines to a `RequestHead`.

Two ways with one result. `read_whole_head` takes a head that arrives complete, as nearly all do: a few calls in C over
the whole block show that its structure is clean and that it is within the limits. `HeadScanner` takes what comes in
pieces or looks odd, and finds the fault that shows first. Both end in `_read_lines`.

The order of checks is part of the behaviour, because it decides which fault of several is answered:

    1. structure and limit of the request line, byte by byte (lines.py)
    2. the request line itself, as soon as its CRLF has come (request_line.py)
    3. structure and limits of the field section, byte by byte (lines.py)
    4. when the head is complete: the field lines (fields.py), the target and Host (target.py), message framing
       (framing.py), expectation (persistence.py)
"""

from .errors import HeadTooLarge, ProtocolError, RequestLineTooLong, TlsHandshake
from .events import RequestHead
from .fields import parse_fields, read_known_fields
from .framing import body_length
from .grammar import ALLOWED_IN_LINES, TLS_HANDSHAKE, TLS_MAJOR_VERSION
from .limits import Limits
from .lines import NOT_YET, TOO_LONG, LineScanner, Part, SectionScanner
from .persistence import expects_continue, is_persistent
from .request_line import parse_request_line
from .target import choose_authority, parse_target

_new_tuple = tuple.__new__


def read_whole_head(block: bytes | bytearray, limits: Limits) -> RequestHead | None:
    """Return the head in `block`, or None if that is not exactly one head of clean lines within the limits.

    `block` is without the CRLFCRLF that ends the head, which is known to be within `max_head_bytes`. Raises
    ProtocolError for a fault in clean lines.
    """
    lines = block.decode("latin-1").split("\r\n", limits.max_fields)
    # Without the bytes that lines may have, CR, LF and forbidden bytes are left. They are two for each split, or
    # there is a fault or a line too many.
    if (
        len(block.translate(None, ALLOWED_IN_LINES)) != 2 * len(lines) - 2
        or not lines[0]  # an empty line before the head
        or len(lines[0]) > limits.max_request_line_bytes
    ):
        return None
    return _read_lines(lines, limits.max_body_bytes)


def read_scanned_head(block: bytes | bytearray, limits: Limits) -> RequestHead:
    """Return the head in `block`; a `HeadScanner` has checked its structure and limits."""
    head = _read_lines(block.decode("latin-1").split("\r\n"), limits.max_body_bytes)
    assert head is not None  # no empty line: the scanner has searched for it
    return head


class HeadScanner:
    """Checks a head while it arrives; exists only while a head is incomplete."""

    __slots__ = ("_limits", "_line", "_line_bytes", "_section", "method")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._line = LineScanner(Part.REQUEST_LINE)
        self._line_bytes = 0
        # Set once the request line is complete
        self._section: SectionScanner | None = None
        self.method = ""

    def advance(self, data: bytes | bytearray, start: int) -> int:
        """Return the index of the CRLFCRLF that ends the head which starts at `start`, or NOT_YET.

        Raises ProtocolError for the fault that shows first: in the structure, a limit, or the request line.
        """
        if self._section is None:
            line_end = self._scan_request_line(data, start)
            if line_end == NOT_YET:
                return NOT_YET
            self.method, _, _ = parse_request_line(data[start:line_end].decode("latin-1"))
            self._line_bytes = line_end - start
            max_head = self._limits.max_head_bytes
            self._section = SectionScanner(max_head - self._line_bytes, self._limits.max_fields, max_head)
        try:
            return self._section.advance(data, start + self._line_bytes)
        except ProtocolError as error:
            error.method = self.method
            raise

    def _scan_request_line(self, data: bytes | bytearray, start: int) -> int:
        if data[start] == TLS_HANDSHAKE:  # no line may have this byte; the next one decides how to call the fault
            if len(data) - start < 2:
                return NOT_YET
            if data[start + 1] == TLS_MAJOR_VERSION:
                raise TlsHandshake
        max_line, max_head = self._limits.max_request_line_bytes, self._limits.max_head_bytes
        line_end = self._line.advance(data, start, min(max_line, max_head))
        if line_end == TOO_LONG:
            raise RequestLineTooLong(max_line) if max_line <= max_head else HeadTooLarge(max_head)
        return line_end


def _read_lines(lines: list[str], max_body_bytes: int) -> RequestHead | None:
    """Return the head that these lines make, or None if one of them is empty; raise ProtocolError."""
    method, target, version = parse_request_line(lines.pop(0))
    answer_version = "1.0"
    try:
        section = read_known_fields(lines)
        if section is None:
            if "" in lines:  # checked only here: an empty line has no known name, so the quick way refuses it
                return None
            section = parse_fields(lines)
        fields, values = section
        answer_version = version
        target_authority, path, query = parse_target(method, target)
        authority = choose_authority(target_authority, values.get("host"), version)
        length: int | None = 0
        persistent = version == "1.1"
        waits = False
        # Checked here, because most requests have none of these fields and a call costs more than the check.
        if "content-length" in values or "transfer-encoding" in values:
            length = body_length(version, values.get("transfer-encoding"), values.get("content-length"), max_body_bytes)
        if "connection" in values:
            persistent = is_persistent(version, values["connection"])
        if "expect" in values:
            waits = expects_continue(version, values["expect"], length != 0)
    except ProtocolError as error:
        error.method = method
        error.version = answer_version
        raise
    # RequestHead(...) would run the __new__ of a NamedTuple, which is a Python function: 0.1 of 6 microseconds.
    return _new_tuple(
        RequestHead,
        (method, target, version, fields, values, authority, path, query, length, persistent, waits),
    )
