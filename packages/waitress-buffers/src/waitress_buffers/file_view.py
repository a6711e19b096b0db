"""A range of bytes as a read-only, seekable raw file: an application gets it as `wsgi.input`.

It has its own position and no descriptor. It owns nothing: functions of the caller read the bytes, and the caller
decides how long they exist.
"""

import io
from collections.abc import Callable
from typing import TYPE_CHECKING

from . import positioned

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer


class FileView(io.RawIOBase):
    """The bytes from `start` to `end` of a file that two functions read.

    `read(size, offset)` returns exactly `size` bytes; `read_into(target, offset)` puts at least one byte into `target`,
    and returns how many. Otherwise they raise.
    """

    def __init__(
        self,
        read: Callable[[int, int], bytes],
        read_into: Callable[[memoryview, int], int],
        start: int,
        end: int,
    ) -> None:
        super().__init__()
        self._read = read
        self._read_into = read_into
        self._start = start
        self._size = end - start
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        self._check_open()
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move as in any file: beyond the end is legal and reads nothing, before the start is a ValueError."""
        self._check_open()
        if whence not in (io.SEEK_SET, io.SEEK_CUR, io.SEEK_END):
            raise ValueError(f"whence {whence} is not 0, 1 or 2")
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        if base + offset < 0:
            raise ValueError(f"position {base + offset} is before the start of the file")
        self._position = base + offset
        return self._position

    def readinto(self, target: "WriteableBuffer", /) -> int:
        self._check_open()
        offset = self._start + self._position
        most = min(self._size - self._position, positioned.MAX_CALL_BYTES)
        with memoryview(target) as view:
            if not view.nbytes or most <= 0:
                return 0
            if view.nbytes <= most:
                size = self._read_into(view, offset)
            else:
                with view.cast("B") as as_bytes, as_bytes[:most] as wanted:
                    size = self._read_into(wanted, offset)
        self._position += size
        return size

    def readall(self) -> bytes:  # the inherited one reads a few KiB at a time
        self._check_open()
        size = max(0, self._size - self._position)
        data = self._read(size, self._start + self._position) if size else b""
        self._position += size
        return data

    def _check_open(self) -> None:
        if self.closed:
            raise ValueError("I/O operation on closed file")
