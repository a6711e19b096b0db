"""Byte queues, by the names and methods of waitress 3.0: two over `waitress_buffers`, the rest as they were.

For applications that return a `ReadOnlyFileBasedBuffer`, check whether a response is one, or buffer their own data
with the others.
"""

import io
import os
from typing import IO, Any, BinaryIO, Literal, NoReturn, Protocol

from waitress_buffers import OverflowBuffer, ReadOnlyFileBuffer

from ._left_out import LeftOut
from ._modules import old_module

__all__ = [
    "COPY_BYTES",
    "STRBUF_LIMIT",
    "BytesIOBasedBuffer",
    "FileBasedBuffer",
    "OverflowableBuffer",
    "ReadOnlyFileBasedBuffer",
    "TempfileBasedBuffer",
]

COPY_BYTES = 256 * 1024  # moved at a time from buffer to buffer
STRBUF_LIMIT = 8192  # bytes; without effect


class HasFile(Protocol):
    """A buffer of any kind, as another takes what it holds."""

    def getfile(self) -> IO[bytes]:
        """Return a file, at the first unread byte."""


class FileBasedBuffer:
    """A queue in a file that the caller gives: `remain` bytes are unread, from the position of `file`."""

    remain = 0

    def __init__(self, file: IO[bytes], from_buffer: HasFile | None = None) -> None:
        self.file = file
        if from_buffer is not None:
            self._take(from_buffer.getfile())

    def _take(self, source: IO[bytes]) -> None:
        """Append the rest of a file from its position, which stays as it was."""
        position = source.tell()
        while piece := source.read(COPY_BYTES):
            self.append(piece)
        source.seek(position)

    def __len__(self) -> int:
        return self.remain

    def __bool__(self) -> Literal[True]:
        return True

    def append(self, s: bytes) -> None:
        """Add bytes at the end."""
        position = self.file.tell()
        self.file.seek(0, os.SEEK_END)
        self.file.write(s)
        self.file.seek(position)
        self.remain += len(s)

    def get(self, numbytes: int = -1, skip: bool = False) -> bytes:
        """Return up to so many bytes from the front, -1 for all; with `skip` they are consumed."""
        position = self.file.tell()
        data = self.file.read(numbytes)
        if skip:
            self.remain -= len(data)
        else:
            self.file.seek(position)
        return data

    def skip(self, numbytes: int, allow_prune: int = 0) -> None:
        """Consume bytes from the front; ValueError when there are fewer."""
        if numbytes > self.remain:
            raise ValueError(f"Can't skip {numbytes} bytes in buffer of {self.remain} bytes")
        self.file.seek(numbytes, os.SEEK_CUR)
        self.remain -= numbytes

    def newfile(self) -> IO[bytes]:
        """Return an empty file of the same kind."""
        raise NotImplementedError

    def prune(self) -> None:
        """Free the space of consumed bytes: unread ones move to a new file."""
        source = self.file
        if not source.tell():
            return  # nothing is consumed
        self.file = self.newfile()
        self.remain = 0
        self._take(source)
        source.close()

    def getfile(self) -> IO[bytes]:
        """Return the file, at the first unread byte."""
        return self.file

    def close(self) -> None:
        """Close the file, if it can be closed, and empty the queue."""
        if hasattr(self.file, "close"):
            self.file.close()
        self.remain = 0


class TempfileBasedBuffer(FileBasedBuffer):
    """A queue in a temporary file."""

    def __init__(self, from_buffer: HasFile | None = None) -> None:
        super().__init__(self.newfile(), from_buffer)

    def newfile(self) -> IO[bytes]:
        """Return another temporary file."""
        from tempfile import TemporaryFile  # lazy import: it imports much, and few need it

        return TemporaryFile("w+b")


class BytesIOBasedBuffer(FileBasedBuffer):
    """A queue in memory."""

    def __init__(self, from_buffer: HasFile | None = None) -> None:
        super().__init__(self.newfile(), from_buffer)

    def newfile(self) -> IO[bytes]:
        """Return another file in memory."""
        return io.BytesIO()


class ReadOnlyFileBasedBuffer(ReadOnlyFileBuffer):
    """The `wsgi.file_wrapper`: a file that an application sends from its current position."""

    @property
    def file(self) -> Any:
        """The file of the application."""
        return self._file

    @property
    def remain(self) -> int:
        """Bytes that are prepared and not consumed; a subclass's `prepare` may set it."""
        return len(self)

    @remain.setter
    def remain(self, value: int) -> None:
        self._remaining = value

    def get(self, numbytes: int = -1, skip: bool = False) -> bytes:
        """Return up to so many prepared bytes, -1 for all; with `skip` they are consumed."""
        data = bytes(self.peek(numbytes))
        if skip:
            self.skip(len(data))
        return data

    def skip(self, numbytes: int, allow_prune: int = 0) -> None:
        """Consume prepared bytes; ValueError when there are fewer."""
        super().skip(numbytes)

    def next(self) -> bytes:
        """Read the next `block_size` bytes; StopIteration at the end."""
        return next(self)

    def getfile(self) -> Any:
        """Return the file of the application."""
        return self._file

    def append(self, s: object) -> NoReturn:
        """Raise a NotImplementedError: nothing can be added to the file of an application."""
        raise NotImplementedError("a read-only file cannot be appended to")

    def prune(self) -> None:
        """Raise a NotImplementedError: nothing can be taken out of the file of an application."""
        raise NotImplementedError("a read-only file cannot be pruned")


_ONE_QUEUE = "one queue of waitress_buffers holds the content, in memory or in a file"


class OverflowableBuffer:
    """A queue in memory, and in a temporary file once it holds `overflow` bytes."""

    def __init__(self, overflow: int) -> None:
        self.overflow = overflow
        self._queue = OverflowBuffer(overflow)

    @property
    def overflowed(self) -> bool:
        """Whether it is in a file."""
        return self._queue.is_on_disk

    @property
    def strbuf(self) -> bytes:
        """What is unread, if it is in memory; else nothing."""
        return b"" if self.overflowed else self.get()

    @property
    def buf(self) -> FileBasedBuffer | None:
        """What is unread, to be read, if it is in a file; None if it is in memory."""
        if not self.overflowed:
            return None
        unread = FileBasedBuffer(self.getfile())
        unread.remain = len(self)
        return unread

    _create_buffer = LeftOut(_ONE_QUEUE)
    _set_small_buffer = LeftOut(_ONE_QUEUE)
    _set_large_buffer = LeftOut(_ONE_QUEUE)

    def __len__(self) -> int:
        return len(self._queue)

    def __bool__(self) -> bool:
        return bool(self._queue)

    def append(self, s: bytes) -> None:
        """Add bytes at the end."""
        self._queue.append(s)

    def get(self, numbytes: int = -1, skip: bool = False) -> bytes:
        """Return up to so many bytes from the front, -1 for all; with `skip` they are consumed."""
        data = bytes(self._queue.peek(numbytes))
        if skip:
            self._queue.skip(len(data))
        return data

    def skip(self, numbytes: int, allow_prune: bool = False) -> None:
        """Consume bytes from the front; ValueError when there are fewer."""
        self._queue.skip(numbytes)

    def prune(self) -> None:
        """Free the space of consumed bytes."""
        self._queue.prune()

    def getfile(self) -> BinaryIO:
        """Return what is unread as a file at its start; reading it consumes nothing."""
        return self._queue.open_file()

    def close(self) -> None:
        """Drop the content."""
        self._queue.close()


old_module(__name__, "BytesIO")
