"""The structure of lines, checked as their bytes arrive: where they end, what none may contain, how long they may be.

A head, a chunk line or a trailer section comes here if it did not arrive whole and clean in one piece. Two scanners
share the work: `LineScanner` for one line (the request line, a chunk-size line), `SectionScanner` for a field section
with the empty line that ends it.

Theory. The fault of a section is the one that shows first when its bytes come one by one; so the error is the same
however the network cuts them. Each kind of fault has a position, the index of the byte that shows it:

- a forbidden control character and a bare LF: their own index; a bare CR: the index after it;
- a limit: the index of the first byte that is too many.

The lowest position wins, and at the same position structure goes before limits. One call searches the same window of
bytes for both, so the order of the searches does not matter.

Rules: `checked` is the offset from the start of the line or section before which nothing is searched again. It stops
before a CR, or a CRLF, if the next byte decides its meaning. So every byte is examined a constant number of times: time
is linear for any cut. A scanner that raises has changed nothing and raises the same again.

Source: RFC 9112 section 2.2 (a bare CR may be refused; a bare LF as line end is a MAY that is not used here, because
request smuggling is made of it, CVE-2019-16785), RFC 9110 section 5.5 (NUL, CR and LF in values are dangerous).
"""

import enum
import re
from itertools import islice
from typing import Final

from .errors import (
    BareLineBreak,
    ForbiddenOctet,
    HeadTooLarge,
    InvalidChunkExtension,
    ProtocolError,
    TooManyFields,
    unencoded,
)
from .grammar import ALLOWED_IN_LINES, CR, CRLF, FORBIDDEN_TO_NUL, HEAD_END

_LINE_START = re.compile(rb"\r\n[^\r]")  # not of the empty line

NOT_YET: Final = -1
TOO_LONG: Final = -2


class Part(enum.Enum):
    """Which part of a message a line belongs to: it decides the words of an error, never whether there is one."""

    REQUEST_LINE = "request line"
    FIELD_LINE = "field line"
    CHUNK_LINE = "chunk line"


class LineScanner:
    """Finds the end of one line in bytes that arrive piece by piece."""

    __slots__ = ("_checked", "_part")

    def __init__(self, part: Part) -> None:
        self._part = part
        self._checked = 0

    def advance(self, data: bytes | bytearray, start: int, max_bytes: int) -> int:
        """Return the index of the CRLF that ends the line which starts at `start`, or NOT_YET or TOO_LONG.

        `max_bytes` is without the CRLF. Raises a structure error (400) if that shows first.
        """
        unchecked = start + self._checked
        beyond = start + max_bytes  # index of the first byte that is too many, unless it is the CR of the line end
        end = data.find(CRLF, unchecked, beyond + 2)
        if end >= 0:
            _check_structure(data, start, unchecked, end, self._part)
            return end
        is_too_long = len(data) > beyond and data[beyond] != CR
        stop = beyond + 1 if is_too_long else min(len(data), beyond + 2)
        if stop > unchecked and data[stop - 1] == CR:
            stop -= 1
        _check_structure(data, start, unchecked, stop, self._part)
        if is_too_long:
            return TOO_LONG
        self._checked = stop - start
        return NOT_YET


class SectionScanner:
    """Finds the end of a field section in bytes that arrive piece by piece.

    A section starts with the CRLF of the line before it, so that one pattern, CRLFCRLF, ends it even when it is empty.
    A continuation line counts as a line: it costs as much as one.
    """

    __slots__ = ("_checked", "_line_count", "_max_bytes", "_max_fields", "_named_limit")

    def __init__(self, max_bytes: int, max_fields: int, named_limit: int) -> None:
        """`max_bytes` counts from the CRLF before the section to the empty line; errors name `named_limit` instead."""
        self._max_bytes = max_bytes
        self._max_fields = max_fields
        self._named_limit = named_limit
        self._checked = 0
        self._line_count = 0

    def advance(self, data: bytes | bytearray, start: int) -> int:
        """Return the index of the CRLFCRLF that ends the section which starts at `start`, or NOT_YET.

        Raises a structure error (400), TooManyFields or HeadTooLarge (431), whichever shows first.
        """
        unchecked = start + self._checked
        beyond = start + self._max_bytes
        end = data.find(HEAD_END, unchecked, beyond)
        is_too_large = end < 0 and len(data) > beyond
        stop = end + 2 if end >= 0 else min(len(data), beyond + 1)
        if end < 0 and stop > unchecked and data[stop - 1] == CR:
            stop -= 1
        ends_with_crlf = stop - 2 >= unchecked and data[stop - 2 : stop] == CRLF
        # The last CRLF ends the section, or the next call counts it: its next byte decides whether it starts a line.
        count = self._line_count + data.count(CRLF, unchecked, stop) - ends_with_crlf
        if count > self._max_fields:
            # The first byte of one line too many: a fault at that byte or before it goes first, one after it does not.
            excess = next(
                islice(_LINE_START.finditer(data, unchecked, stop), self._max_fields - self._line_count, None), None
            )
            if excess is not None:  # else a bare CR follows a CRLF
                _check_structure(data, start, unchecked, excess.end(), Part.FIELD_LINE)
                raise TooManyFields(self._max_fields)
        _check_structure(data, start, unchecked, stop, Part.FIELD_LINE)
        if is_too_large:
            raise HeadTooLarge(self._named_limit)
        self._line_count = count
        self._checked = stop - start - (2 if ends_with_crlf else 0)
        return end if end >= 0 else NOT_YET


def _check_structure(data: bytes | bytearray, start: int, unchecked: int, stop: int, part: Part) -> None:
    """Raise for the first forbidden byte or bare line break in data[unchecked:stop].

    That must not end with a CR if the next byte is unknown. The line or section starts at `start`: the detail may quote
    from there.
    """
    window = data[unchecked:stop]
    # Whole-block checks in C: what is left without the allowed bytes must be the CRs and LFs of line ends.
    if len(window.translate(None, ALLOWED_IN_LINES)) == 2 * window.count(CRLF):
        return
    marked = window.replace(CRLF, b"  ").translate(FORBIDDEN_TO_NUL)  # a regex would take ten times as long
    fault = unchecked + marked.find(0)
    line_end = data.rfind(CRLF, start, fault)
    line_start = start if line_end < 0 else line_end + len(CRLF)
    raise _structure_error(part, data[fault], data[line_start:fault].decode("latin-1"))


def _structure_error(part: Part, byte: int, line: str) -> ProtocolError:
    """Return the error for `byte`, found after the text `line`."""
    if byte in CRLF:
        return BareLineBreak(line if part is Part.FIELD_LINE else None)
    if part is Part.FIELD_LINE:
        return ForbiddenOctet("Invalid header")
    if part is Part.CHUNK_LINE:
        return InvalidChunkExtension()
    _, space, target = line.partition(" ")
    why = f": {unencoded(byte, len(target))}" if space and " " not in target else ""
    return ForbiddenOctet(f"Start line is invalid{why}")
