"""The file wrapper of PEP 3333: an application's file, to send from its current position.

prepare() finds a range, which peek and skip then read like a queue. A regular file is read by position, or sent by
os.sendfile from `file_descriptor` and `offset`: its own position is then not used. Any other seekable object is read
once, forward, into a small buffer of bytes that were peeked and not yet skipped: to seek back, a gzip file would
decompress everything again. Objects that cannot seek are iterated instead.

Errors of the application's file pass through unchanged.
"""

import io
import os
import stat
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

from . import positioned
from .memory import MemoryBuffer
from .protocol import BytesLike, ReadableFile

PASSED_THROUGH = frozenset({"seek", "seekable", "tell"})


class ReadOnlyFileBuffer:
    """`wsgi.file_wrapper(file, block_size=32768)`: a file to send; always true, even if it is empty.

    Either iterate it, or call prepare() and then peek and skip; iterating ignores what those have read. `seek`, `tell`
    and `seekable` are those of the file, and missing if the file lacks them.
    """

    __slots__ = ("_ahead", "_file", "_is_closed", "_is_read", "_offset", "_raw", "_remaining", "block_size")

    seek: Callable[..., int]
    seekable: Callable[[], bool]
    tell: Callable[[], int]

    def __init__(self, file: ReadableFile, block_size: int = 32768) -> None:
        self._file: Any = file
        self.block_size = block_size
        self._raw: io.FileIO | None = None  # set by prepare(): the regular file that has the bytes
        self._ahead = MemoryBuffer()  # peeked and not skipped; always empty for a regular file
        self._offset = 0
        self._remaining = 0
        self._is_read = False  # the file's position may differ from `_offset`
        self._is_closed = False

    if not TYPE_CHECKING:  # a type checker would take every name for granted

        def __getattr__(self, name: str) -> Any:
            if name in PASSED_THROUGH:
                return getattr(self._file, name)
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def prepare(self, size: int | None = None) -> int:
        """Return the number of bytes from the current position to the end of the file, at most `size`.

        peek and skip then go no further. Returns 0 for text and for a file that cannot seek: iterate these.
        """
        file = self._file
        self._raw = None
        self._remaining = 0
        if self._is_closed or isinstance(_unwrapped(file), io.TextIOBase) or not _is_seekable(file):
            return 0
        try:
            if self._is_read:
                file.seek(self._offset)
            start: int = file.tell()
            file.seek(0, os.SEEK_END)
            end: int = file.tell()
            file.seek(start)
        except OSError:  # a pipe that claims to be seekable, a file of /proc
            return 0
        self._ahead = MemoryBuffer()
        self._is_read = False
        self._offset = start
        self._remaining = max(0, end - start if size is None else min(size, end - start))
        self._raw = _regular_file(file)
        return self._remaining

    @property
    def file_descriptor(self) -> int | None:
        """Descriptor from which os.sendfile at `offset` sends the prepared bytes; None if it would send other bytes.

        None before prepare(), after close(), and for all but plain regular files: a gzip file has a descriptor too, but
        that reads the compressed bytes. Read it again for each use: a number is reused once its file is closed.
        """
        raw = self._raw
        return None if raw is None or raw.closed else raw.fileno()

    @property
    def offset(self) -> int:
        """Position in the file of the first unread prepared byte."""
        return self._offset

    def peek(self, size: int = -1) -> bytes | memoryview:
        """Return the first min(size, len) prepared bytes without consuming them; -1 means all.

        A file that became shorter gives what is left of it. Raises EOFError if that is nothing.
        """
        if size < 0 or size > self._remaining:
            size = self._remaining
        if not size:
            return b""
        self._is_read = True
        data: bytes | memoryview
        if self._raw is not None:
            # Through the file, not the raw one: without pread it must seek, and a buffered reader must know about that.
            data = positioned.read_fully(self._file, size, self._offset)
        else:
            while len(self._ahead) < size and (block := self._file.read(size - len(self._ahead))):
                self._ahead.append(block)
            data = self._ahead.peek(size)
        if not data:
            raise EOFError(f"the file ended {self._remaining} bytes early: it became shorter after prepare()")
        return data

    def skip(self, size: int) -> None:
        """Consume prepared bytes, peeked or not; ValueError, and nothing consumed, if there are fewer."""
        if not 0 <= size <= self._remaining:
            raise ValueError(f"Can't skip {size} bytes in buffer of {self._remaining} bytes")
        if self._raw is None:
            peeked = min(size, len(self._ahead))
            if peeked < size:
                self._file.seek(self._offset + size)
            self._ahead.skip(peeked)
        self._is_read = True
        self._offset += size
        self._remaining -= size

    def __len__(self) -> int:
        """Return the number of prepared bytes not yet skipped; 0 before prepare()."""
        return self._remaining

    def __bool__(self) -> bool:
        return True  # an application that returns one has returned a body, whatever its length

    def __iter__(self) -> "ReadOnlyFileBuffer":
        return self

    def __next__(self) -> bytes:
        """Return the next `block_size` bytes at the file's own position."""
        block: bytes = self._file.read(self.block_size)
        if not block:
            raise StopIteration
        return block

    def append(self, data: BytesLike) -> NoReturn:
        """Raise NotImplementedError."""
        raise NotImplementedError("a ReadOnlyFileBuffer cannot be appended to")

    def close(self) -> None:
        """Close the file if it has `close`; further calls do nothing, even if that call raised."""
        if self._is_closed:
            return
        self._is_closed = True
        self._raw = None
        self._remaining = 0
        self._ahead.close()
        if hasattr(self._file, "close"):
            self._file.close()


def _is_seekable(file: Any) -> bool:
    if not (hasattr(file, "seek") and hasattr(file, "tell")):
        return False
    return bool(file.seekable()) if hasattr(file, "seekable") else True


def _unwrapped(file: Any) -> Any:
    # NamedTemporaryFile returns a wrapper; there is none unless some code has imported tempfile.
    wrapper = getattr(sys.modules.get("tempfile"), "_TemporaryFileWrapper", None)
    return file.file if type(file) is wrapper else file


def _regular_file(file: Any) -> io.FileIO | None:
    """Return the regular file that has exactly the bytes which `file` reads, or None.

    Only exact types are trusted: a subclass may override read.
    """
    file = _unwrapped(file)
    if type(file) in (io.BufferedReader, io.BufferedRandom):
        file = file.raw
    if type(file) is not io.FileIO or not file.readable():
        return None
    return file if stat.S_ISREG(os.fstat(file.fileno()).st_mode) else None
