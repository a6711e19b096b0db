"""A queue in memory.

The content is a front piece, read from an offset, followed by a deque of further pieces. Nothing is ever shifted: skip
moves the offset or drops whole pieces, so a huge piece can be consumed in small steps. Each call costs O(size).

Large bytes objects are kept as they came. Small pieces are gathered in bytearrays: one object for every byte would take
forty times its size, and a client could force that with chunks of one byte.
"""

import io
from collections import deque
from typing import BinaryIO

from .protocol import BytesLike

KEPT_BYTES = 1024  # a piece of this size is kept as it is: its own object adds 4 % at most
GATHERED_BYTES = 64 * 1024  # a gathered piece of this size is full; it is copied once when it comes to the front
SLICED_BYTES = 8 * 1024  # up to this size copying a part is quicker than making a memoryview of it


class MemoryBuffer:
    """A `ByteQueue` in memory; peek copies nothing inside one piece and joins pieces otherwise."""

    __slots__ = ("_front", "_is_closed", "_length", "_offset", "_rest")

    def __init__(self) -> None:
        # Without unread bytes: `b""`, 0 and None. Otherwise the front piece has at least one unread byte.
        self._front = b""
        self._offset = 0
        self._rest: deque[bytes | bytearray] | None = None
        self._length = 0
        self._is_closed = False

    def append(self, data: BytesLike) -> None:
        """Add bytes at the end. A bytes object from 1 KiB on, or added to an empty queue, is kept without copying."""
        if self._is_closed:
            raise ValueError("append to a closed buffer")
        if type(data) is not bytes:
            with memoryview(data) as view:
                data = view.tobytes()
        if not self._length:
            self._front = data
        elif data:
            self._append_behind(data)
        self._length += len(data)

    def _append_behind(self, data: bytes) -> None:
        rest = self._rest
        if rest is None:
            rest = self._rest = deque()
        if len(data) >= KEPT_BYTES:
            rest.append(data)
            return
        last = rest[-1] if rest else None
        if isinstance(last, bytearray) and len(last) < GATHERED_BYTES:
            last += data
        else:
            rest.append(bytearray(data))

    def peek(self, size: int = -1) -> bytes | memoryview:
        """Return the first min(size, len) bytes without consuming them; -1 means all."""
        if size < 0 or size > self._length:
            size = self._length
        front, start = self._front, self._offset
        end = start + size
        if end > len(front):
            return self._peek_across(size)
        if size <= SLICED_BYTES or size == len(front):
            return front[start:end]
        return memoryview(front)[start:end]

    def _peek_across(self, size: int) -> bytes:
        parts: list[bytes | bytearray | memoryview] = [memoryview(self._front)[self._offset :]]
        missing = size - len(parts[0])
        for piece in self._rest or ():
            parts.append(piece if len(piece) <= missing else piece[:missing])
            missing -= len(parts[-1])
            if not missing:
                break
        joined = b"".join(parts)
        if size == self._length:  # keep the joined piece instead: a second peek then costs nothing
            self._front, self._offset, self._rest = joined, 0, None
        return joined

    def skip(self, size: int) -> None:
        """Consume bytes at the front; ValueError, and nothing consumed, if fewer are held."""
        if not 0 <= size <= self._length:
            raise ValueError(f"Can't skip {size} bytes in buffer of {self._length} bytes")
        self._length -= size
        if not self._length:
            self._front, self._offset, self._rest = b"", 0, None
            return
        self._offset += size
        if self._offset >= len(self._front):
            self._advance()

    def _advance(self) -> None:
        """Drop the pieces that the offset has passed."""
        piece: bytes | bytearray = self._front
        offset, rest = self._offset, self._rest
        while rest and offset >= len(piece):
            offset -= len(piece)
            piece = rest.popleft()
        self._front, self._offset = bytes(piece), offset

    def __len__(self) -> int:
        return self._length

    def __bool__(self) -> bool:
        return self._length > 0

    def prune(self) -> None:
        """Drop the consumed part of the front piece, if it is at least as large as the part to copy."""
        if self._offset and 2 * self._offset >= len(self._front):
            self._front, self._offset = self._front[self._offset :], 0

    def open_file(self) -> BinaryIO:
        """Return an `io.BytesIO` of the bytes unread now; it stays valid after close()."""
        if self._is_closed:
            raise ValueError("open_file of a closed buffer")
        return io.BytesIO(self.peek())

    def close(self) -> None:
        """Drop the content; further calls do nothing."""
        self._front, self._offset, self._rest, self._length = b"", 0, None, 0
        self._is_closed = True
