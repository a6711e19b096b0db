"""The structure of lines, checked as their octets arrive: where they end, what none may contain, how long they may be.

This is the way of a head, a chunk line or a trailer section that did not come whole and clean in one piece. Two
scanners share the work: `LineScanner` for one line (the request line, a chunk-size line), `SectionScanner` for a field
section with the empty line that ends it.

The theory. The fault of a section is the one that shows first when its octets come one by one; so the answer is the
same however the network cuts them. Each kind of fault has a position, the index of the octet that gives it away:

- a forbidden control octet and a bare LF: their own index; a bare CR: the index after it;
- a limit: the index of the first octet that is too many.

The lowest position wins, and at the same position structure goes before limits. Within one call both are looked for in
the same window of octets, so the order of calls does not matter.

Rules: `checked` is the offset from the start of the line or section up to which nothing has to be looked at again. It
stops before a CR, or a CRLF, whose meaning the next octet decides. Every octet is therefore examined a constant number
of times: time is linear for any cut. A scanner that raises has changed nothing and raises the same again.

Source: RFC 9112 section 2.2 (a bare CR may be refused; a bare LF as line end is a MAY that we do not use, because it is
what request smuggling is made of, CVE-2019-16785), RFC 9110 section 5.5 (NUL, CR and LF in values are dangerous).
"""

from __future__ import annotations

import enum
import re
from typing import Final

from .errors import (
    BareLineBreak,
    ForbiddenOctet,
    HeadTooLarge,
    InvalidChunkExtension,
    ProtocolError,
    TooManyFields,
)
from .grammar import CR, CRLF, HEAD_END, LINE_OCTETS

_FAULT = re.compile(rb"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F]|\r(?!\n)|(?<!\r)\n")
_FIELD_START = re.compile(rb"\r\n[^\t\r ]")  # neither a continuation line nor the empty line

NOT_YET: Final = -1
TOO_LONG: Final = -2


class Part(enum.Enum):
    """Which part of a message a line belongs to: it decides how a fault is worded, never whether it is one."""

    REQUEST_LINE = "request line"
    FIELD_LINE = "field line"
    CHUNK_LINE = "chunk line"


class LineScanner:
    """Finds the end of one line in octets that arrive piece by piece."""

    __slots__ = ("_checked", "_part")

    def __init__(self, part: Part) -> None:
        self._part = part
        self._checked = 0

    def advance(self, data: bytes | bytearray, start: int, max_bytes: int) -> int:
        """Return the index of the CRLF that ends the line which begins at `start`, or NOT_YET or TOO_LONG.

        `max_bytes` is without the CRLF. Raises a structure error (400) when that shows first.
        """
        begin = start + self._checked
        beyond = start + max_bytes  # index of the first octet that is too many, unless it is the CR of the line end
        end = data.find(CRLF, begin, beyond + 2)
        if end >= 0:
            _check_structure(data, start, begin, end, self._part)
            return end
        is_too_long = len(data) > beyond and data[beyond] != CR
        stop = beyond + 1 if is_too_long else min(len(data), beyond + 2)
        if stop > begin and data[stop - 1] == CR:
            stop -= 1
        _check_structure(data, start, begin, stop, self._part)
        if is_too_long:
            return TOO_LONG
        self._checked = stop - start
        return NOT_YET


class SectionScanner:
    """Finds the end of a field section in octets that arrive piece by piece.

    A section begins with the CRLF of the line before it, so that one pattern, CRLFCRLF, ends it even when it is empty.
    """

    __slots__ = ("_checked", "_field_count", "_max_bytes", "_max_fields", "_named_limit")

    def __init__(self, max_bytes: int, max_fields: int, named_limit: int) -> None:
        """`max_bytes` counts from the CRLF before the section to the empty line, `named_limit` is what errors name."""
        self._max_bytes = max_bytes
        self._max_fields = max_fields
        self._named_limit = named_limit
        self._checked = 0
        self._field_count = 0

    def advance(self, data: bytes | bytearray, start: int) -> int:
        """Return the index of the CRLFCRLF that ends the section which begins at `start`, or NOT_YET.

        Raises a structure error (400), TooManyFields or HeadTooLarge (431), whichever shows first.
        """
        begin = start + self._checked
        beyond = start + self._max_bytes
        end = data.find(HEAD_END, begin, beyond)
        is_too_large = end < 0 and len(data) > beyond
        stop = end + 2 if end >= 0 else min(len(data), beyond + 1)
        if end < 0 and stop > begin and data[stop - 1] == CR:
            stop -= 1
        count = self._field_count + len(_FIELD_START.findall(data, begin, stop))
        if count > self._max_fields:
            # The octet that begins one field too many; a fault at that very octet, but none behind it, goes first.
            excess = list(_FIELD_START.finditer(data, begin, stop))[self._max_fields - self._field_count]
            _check_structure(data, start, begin, excess.end(), Part.FIELD_LINE)
            raise TooManyFields(self._max_fields)
        _check_structure(data, start, begin, stop, Part.FIELD_LINE)
        if is_too_large:
            raise HeadTooLarge(self._named_limit)
        self._field_count = count
        if data[stop - 2 : stop] == CRLF and stop - 2 >= begin:
            stop -= 2  # whether a field line begins behind this CRLF is not known yet
        self._checked = stop - start
        return end if end >= 0 else NOT_YET


def _check_structure(data: bytes | bytearray, start: int, begin: int, stop: int, part: Part) -> None:
    """Raise for the first forbidden octet or bare line break in data[begin:stop], which does not end with an open CR.

    `start` is where the line or section begins: a detail may quote from there.
    """
    octets = data[begin:stop]
    # Whole-block checks in C: what is left without the allowed octets must be the CRs and LFs of line ends.
    if len(octets.translate(None, LINE_OCTETS)) == 2 * octets.count(CRLF):
        return
    fault = _FAULT.search(octets)
    assert fault is not None
    line_start = max(data.rfind(CRLF, start, begin + fault.start()) + 2, start)
    raise _structure_error(part, fault[0], bytes(data[line_start : begin + fault.start()]).decode("latin-1"))


def _structure_error(part: Part, octet: bytes, line: str) -> ProtocolError:
    """Return the error for `octet`, found behind the text `line`."""
    if octet in CRLF:
        return BareLineBreak(line if part is Part.FIELD_LINE else None)
    if part is Part.FIELD_LINE:
        return ForbiddenOctet("Invalid header")
    return ForbiddenOctet("Start line is invalid") if part is Part.REQUEST_LINE else InvalidChunkExtension()
