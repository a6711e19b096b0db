"""A queue in an unlinked temporary file.

The file is made by the first append and has no name that another program could find, or that could be left behind.
Unread octets are those from `_start` to `_end`; both are ours, so the descriptor's position means nothing. Writing is
unbuffered: a full disk shows at the append that meets it, and that append is then as if it had not been.

Disk space of consumed octets comes back when the queue is drained, and otherwise by moving what is unread to the front
of the file once as much has been consumed. Source and target cannot overlap then, so a failure half way loses nothing.
"""

import contextlib
import errno
import io
from typing import IO, BinaryIO

from . import positioned
from .errors import BufferStorageError, storage_error
from .file_view import FileView
from .protocol import Octets

MOVED_BYTES = 256 * 1024  # moved at a time, so that moving needs no more memory than this
RECLAIMED_BYTES = 16 * 1024 * 1024  # so much consumed makes append prune by itself; waitress' outbuf_high_watermark
VIEW_BYTES = 64 * 1024  # read ahead by the file that open_file gives


class FileBuffer:
    """A `ByteQueue` in a temporary file of `directory` (the system's choice when None), made by the first append.

    Raises StorageFullError or StorageUnavailableError from append, peek, prune, and reads of the opened file; what was
    held before the call is still held.
    """

    __slots__ = ("_directory", "_end", "_file", "_is_closed", "_is_shown", "_start")

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._start = 0
        self._end = 0
        self._is_shown = False  # open_file was called: the octets must stay where they are
        self._is_closed = False

    def append(self, data: Octets) -> None:
        """Write octets at the end, straight from the caller's memory; all of them, or none and an error."""
        if self._is_closed:
            raise ValueError("append to a closed buffer")
        if isinstance(data, memoryview) and not data.c_contiguous:
            data = data.tobytes()
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if not size:
            return
        if self._start >= RECLAIMED_BYTES:
            # A stream that is never quite drained would fill the disk. A failure here leaves the queue as it was.
            with contextlib.suppress(BufferStorageError):
                self.prune()
        try:
            if self._file is None:
                self._file = self._open()
            positioned.write_fully(self._file, data, self._end)
        except OSError as error:
            if self._file is not None:
                with contextlib.suppress(OSError):  # the part that was written is room which others can use
                    self._file.truncate(self._end)
            raise storage_error(error, self._directory) from error
        self._end += size

    def _open(self) -> IO[bytes]:
        # Late: it takes longer to import than all of the buffers, and most programs never fill one. Where that fails
        # for want of a descriptor, it is an OSError as of any other call.
        import tempfile

        # No `with`: the file lives as long as its content, and close() closes it.
        return tempfile.TemporaryFile(buffering=0, prefix="waitress-buffers-", dir=self._directory)

    def peek(self, size: int = -1) -> bytes:
        """Read min(size, len) octets of the front without consuming them; -1 means all."""
        unread = self._end - self._start
        if size < 0 or size > unread:
            size = unread
        return self._read(size, self._start) if size else b""

    def _read(self, size: int, offset: int) -> bytes:
        """Read exactly `size` octets at `offset` of the file."""
        if self._file is None:
            raise ValueError("read of a closed buffer")
        try:
            data = positioned.read_fully(self._file, size, offset)
            if len(data) < size:
                raise OSError(errno.EIO, f"the temporary file ended {size - len(data)} bytes early")
        except OSError as error:
            raise storage_error(error, self._directory) from error
        return data

    def skip(self, size: int) -> None:
        """Consume octets at the front; ValueError, and nothing consumed, when fewer are held. No disk work."""
        if not 0 <= size <= len(self):
            raise ValueError(f"Can't skip {size} bytes in buffer of {len(self)} bytes")
        self._start += size
        if self._start == self._end and not self._is_shown:
            self._start = self._end = 0  # the next append writes over what was consumed

    def __len__(self) -> int:
        return self._end - self._start

    def __bool__(self) -> bool:
        return self._end > self._start

    @property
    def is_shown(self) -> bool:
        """Whether open_file was called, so that the file must live until close()."""
        return self._is_shown

    def prune(self) -> None:
        """Release disk space, once no more is unread than was consumed.

        What is unread is moved to the front, which takes time in proportion to it, and the file is cut there.
        Does nothing after open_file, which promises that the octets stay.
        """
        unread = self._end - self._start
        if self._file is None or self._is_shown or self._start < unread:
            return
        try:
            for done in range(0, unread, MOVED_BYTES):
                piece = self._read(min(MOVED_BYTES, unread - done), self._start + done)
                positioned.write_fully(self._file, piece, done)
            self._file.truncate(unread)
        except BufferStorageError:
            raise
        except OSError as error:
            raise storage_error(error, self._directory) from error
        self._start, self._end = 0, unread

    def open_file(self) -> BinaryIO:
        """Return a buffered, seekable reader of what is unread now; it has no descriptor, and reading consumes nothing.

        Reading it after close() is a ValueError, as with any closed file.
        """
        if self._is_closed:
            raise ValueError("open_file of a closed buffer")
        if self._start == self._end:
            return io.BytesIO()
        self._is_shown = True
        return io.BufferedReader(FileView(self._read, self._start, self._end), VIEW_BYTES)

    def close(self) -> None:
        """Drop the content and release the descriptor; further calls do nothing."""
        file, self._file = self._file, None
        self._start = self._end = 0
        self._is_closed = True
        if file is not None:
            with contextlib.suppress(OSError):  # the content is unwanted: that it was not all written is no loss
                file.close()
