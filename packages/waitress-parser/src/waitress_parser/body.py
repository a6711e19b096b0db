"""The chunked transfer coding: from chunks to content (RFC 9112 section 7.1).

    chunked-body   = *chunk last-chunk trailer-section CRLF
    chunk          = chunk-size [ chunk-ext ] CRLF chunk-data CRLF
    chunk-size     = 1*HEXDIG                                   at most 16 digits
    last-chunk     = 1*"0" [ chunk-ext ] CRLF
    chunk-ext      = *( BWS ";" BWS token [ BWS "=" BWS ( token / quoted-string ) ] )      checked and ignored
    BWS            = *( SP / HTAB )                             so whitespace after a size needs a ";" after it

    SIZE_LINE --size > 0--> DATA --size bytes--> DATA_END --CRLF--> SIZE_LINE
    SIZE_LINE --size 0--> TRAILERS --CRLFCRLF--> (end of message)

Rules: nothing is lenient here, because a recipient that reads a size, a sign or a line end differently sees another
request after the body (CVE-2019-16785, CVE-2022-24761). A step either succeeds and moves on or raises and changes
nothing, so data before a fault is returned first, for any cut. A size is compared with the limit before its data is
read. Small chunks that are held together are returned as one piece.

`ChunkedBody` holds no bytes: the caller holds them and passes them with a position.
"""

import enum
import re
from functools import cache
from typing import Final

from .errors import (
    BodyTooLarge,
    ChunkExtensionsTooLong,
    ChunkLineTooLong,
    ChunkNotTerminated,
    InvalidChunkExtension,
    InvalidChunkSize,
    ProtocolError,
)
from .events import NEED_MORE, NO_TRAILERS, BodyPiece, EndOfMessage, NeedMore
from .fields import parse_trailers
from .grammar import CRLF, MAX_CHUNK_SIZE_DIGITS, QUOTED_STRING, TCHAR
from .limits import Limits
from .lines import NOT_YET, TOO_LONG, LineScanner, Part, SectionScanner

_SIZE = rb"[0-9A-Fa-f]{1,%d}" % MAX_CHUNK_SIZE_DIGITS
_LINE_START = re.compile(rb"(%s)(?:[;\r\t ]|\Z)" % _SIZE)

# Apart from whitespace, every alternative starts with a character that cannot come before it: no backtracking into what
# was matched. Whitespace is matched once before "=" and once before ";".
# Text: it is compiled for the first chunked body, not at import.
_EXTENSION = rf"[\t ]*;[\t ]*{TCHAR}+(?:[\t ]*=[\t ]*(?:{TCHAR}+|{QUOTED_STRING}))?".encode("latin-1")
_EXTENSIONS = rb"(?:%s)*" % _EXTENSION
_LINE = rb"(%s)(?:\r\n|(?:%s)+\r\n)" % (_SIZE, _EXTENSION)  # the alternatives are for speed


@cache
def _whole_line() -> re.Pattern[bytes]:
    return re.compile(_LINE)


class Step(enum.Enum):
    """Which part of a chunked body comes next."""

    SIZE_LINE = "chunk size"
    DATA = "chunk data"
    DATA_END = "CRLF after chunk data"
    TRAILERS = "trailer section"


# A global is quicker than an attribute of an enum class, and a large body has many chunks.
_SIZE_LINE: Final = Step.SIZE_LINE
_DATA: Final = Step.DATA
_DATA_END: Final = Step.DATA_END
_TRAILERS: Final = Step.TRAILERS


class ChunkedBody:
    """Decodes one chunked body."""

    __slots__ = ("_extension_bytes", "_limits", "_line", "_remaining", "_step", "_total", "_trailers", "_whole_line")

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._whole_line = _whole_line()
        self._step = _SIZE_LINE
        self._remaining = 0  # bytes of the current chunk's data still to come
        self._total = 0  # announced sizes of all chunks so far
        self._extension_bytes = 0  # of all chunk lines so far
        self._line: LineScanner | None = None  # only while a chunk line is incomplete
        self._trailers: SectionScanner | None = None  # only while the trailer section is incomplete

    def next_event(self, data: bytes | bytearray, position: int) -> tuple[BodyPiece | EndOfMessage | NeedMore, int]:
        """Return the next event in `data` from `position` on, and the position after it.

        Raises ProtocolError, at the position where the last event ended; another call raises the same again.
        """
        pieces: list[bytes | bytearray] = []
        try:
            while True:
                if self._step is _DATA:
                    stop = min(position + self._remaining, len(data))
                    if stop == position:
                        break
                    pieces.append(data[position:stop])
                    self._remaining -= stop - position
                    position = stop
                    if not self._remaining:
                        self._step = _DATA_END
                elif self._step is _DATA_END:
                    if not data.startswith(CRLF, position) and not self._has_data_end(data, position):
                        break
                    position += len(CRLF)
                    self._step = _SIZE_LINE
                elif self._step is _SIZE_LINE:
                    if self._line is None:
                        position = self._take_whole_chunks(data, position, pieces)
                    line_end = self._read_size_line(data, position)
                    if line_end == NOT_YET:
                        break
                    if self._remaining:
                        position = line_end + len(CRLF)
                        self._step = _DATA
                    else:
                        position = line_end  # a trailer section starts with the CRLF before it (lines.py)
                        self._step = _TRAILERS
                elif pieces:
                    break
                else:
                    end = self._find_end(data, position)
                    if end == NOT_YET:
                        break
                    return self._end_of_message(data, position, end), end + 2 * len(CRLF)
        except ProtocolError:
            if not pieces:
                raise
        if pieces:
            return BodyPiece(bytes(pieces[0]) if len(pieces) == 1 else b"".join(pieces)), position
        return NEED_MORE, position

    def _take_whole_chunks(self, data: bytes | bytearray, position: int, pieces: list[bytes | bytearray]) -> int:
        """Add to `pieces` the data of the chunks from `position` on that are held whole; return the index after them.

        Stops at a chunk that is not whole, or is the last one, or is refused. Without this the other steps would do the
        same, and take 1.6 times as long for a small chunk.
        """
        limits, match = self._limits, self._whole_line.match
        max_line = limits.max_chunk_line_bytes + len(CRLF)
        room = limits.max_body_bytes - self._total
        extension_room = limits.max_chunk_extension_bytes - self._extension_bytes
        while line := match(data, position, position + max_line):
            digits, start = line[1], line.end()
            size = int(digits, 16)
            end = start + size
            extension_bytes = start - position - len(digits) - len(CRLF)
            if not size or size > room or extension_bytes > extension_room or not data.startswith(CRLF, end):
                break
            pieces.append(data[start:end])
            room -= size
            extension_room -= extension_bytes
            position = end + len(CRLF)
        self._total = limits.max_body_bytes - room
        self._extension_bytes = limits.max_chunk_extension_bytes - extension_room
        return position

    def _read_size_line(self, data: bytes | bytearray, position: int) -> int:
        """Read the chunk line at `position` into `_remaining`; return the index of its CRLF, or NOT_YET."""
        limits = self._limits
        line = None
        if self._line is None:  # a line that came in pieces goes the other way: no byte is matched again and again
            line = self._whole_line.match(data, position, position + limits.max_chunk_line_bytes + len(CRLF))
        if line is not None:
            digits, line_end = line[1], line.end() - len(CRLF)
        else:
            digits, line_end = self._scan_size_line(data, position)
            if line_end == NOT_YET:
                return NOT_YET
        extension_bytes = self._extension_bytes + line_end - position - len(digits)
        if extension_bytes > limits.max_chunk_extension_bytes:
            raise ChunkExtensionsTooLong(limits.max_chunk_extension_bytes)
        size = int(digits, 16)
        if self._total + size > limits.max_body_bytes:
            raise BodyTooLarge(limits.max_body_bytes)
        self._total += size
        self._extension_bytes = extension_bytes
        self._line = None
        self._remaining = size
        return line_end

    def _scan_size_line(self, data: bytes | bytearray, position: int) -> tuple[bytes | bytearray, int]:
        """Return the size and the index of the CRLF, or NOT_YET, of a line that is incomplete or refused."""
        start = _LINE_START.match(data, position)
        if start is None:
            if position == len(data):
                return b"", NOT_YET
            raise InvalidChunkSize
        max_line = self._limits.max_chunk_line_bytes
        max_extension = self._limits.max_chunk_extension_bytes
        max_with_extension = len(start[1]) + max_extension - self._extension_bytes
        if self._line is None:
            self._line = LineScanner(Part.CHUNK_LINE)
        line_end = self._line.advance(data, position, min(max_line, max_with_extension))
        if line_end == TOO_LONG:
            if max_line <= max_with_extension:
                raise ChunkLineTooLong(max_line)
            raise ChunkExtensionsTooLong(max_extension)
        if line_end != NOT_YET and not re.fullmatch(_EXTENSIONS, data[start.end(1) : line_end]):
            raise InvalidChunkExtension if data.find(b";", position, line_end) >= 0 else InvalidChunkSize
        return start[1], line_end

    def _has_data_end(self, data: bytes | bytearray, position: int) -> bool:
        """Return whether the CRLF after chunk data has come; raise ChunkNotTerminated for anything else."""
        end = data[position : position + len(CRLF)]
        if not CRLF.startswith(end):
            raise ChunkNotTerminated
        return len(end) == len(CRLF)

    def _find_end(self, data: bytes | bytearray, position: int) -> int:
        """Return the index of the CRLFCRLF that ends the trailer section, or NOT_YET."""
        if self._trailers is None:
            max_head = self._limits.max_head_bytes
            self._trailers = SectionScanner(max_head + len(CRLF), self._limits.max_fields, max_head)
        return self._trailers.advance(data, position)

    def _end_of_message(self, data: bytes | bytearray, start: int, end: int) -> EndOfMessage:
        if start == end:
            return NO_TRAILERS
        trailers = parse_trailers(data[start + len(CRLF) : end].decode("latin-1").split("\r\n"))
        return EndOfMessage(trailers) if trailers else NO_TRAILERS
