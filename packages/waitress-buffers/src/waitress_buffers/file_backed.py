"""A queue in an unlinked temporary file.

The first append creates the file. It has no name, so no other program can find it and none is left after a crash. The
unread bytes are those from `_start` to `_end`; the descriptor's own position is not used. Writing is unbuffered: a full
disk is an error of the append that meets it, and that append then changes nothing.

Disk space of consumed bytes is released when the queue is drained. Otherwise the unread bytes are moved to the front of
the file once at least as many have been consumed: source and target then cannot overlap, so a failure half way loses
nothing.
"""

import contextlib
import errno
import io
from typing import IO, BinaryIO

from . import positioned
from .errors import BufferStorageError, storage_error
from .file_view import FileView
from .protocol import BytesLike

MOVED_BYTES = 256 * 1024  # moved at a time; moving needs this much memory
RECLAIMED_BYTES = 16 * 1024 * 1024  # consumed bytes from which append prunes; as waitress' outbuf_high_watermark
VIEW_BYTES = 64 * 1024  # read ahead by the file from open_file


class FileBuffer:
    """A `ByteQueue` in a temporary file in `directory` (None: the system's choice), created by the first append.

    append, peek, prune and reads of the opened file raise StorageFullError or StorageUnavailableError; what was held
    before the call is still held.
    """

    __slots__ = ("_directory", "_end", "_file", "_is_closed", "_is_shown", "_start")

    def __init__(self, directory: str | None = None) -> None:
        self._directory = directory
        self._file: IO[bytes] | None = None
        self._start = 0
        self._end = 0
        self._is_shown = False  # open_file was called: the bytes must stay where they are
        self._is_closed = False

    def append(self, data: BytesLike) -> None:
        """Write bytes at the end, straight from the caller's memory: all of them, or none and an error."""
        if self._is_closed:
            raise ValueError("append to a closed buffer")
        if isinstance(data, memoryview) and not data.c_contiguous:
            data = data.tobytes()
        size = data.nbytes if isinstance(data, memoryview) else len(data)
        if not size:
            return
        if self._start >= RECLAIMED_BYTES:
            # A stream that is never fully drained would fill the disk. A failure here leaves the queue as it was.
            with contextlib.suppress(BufferStorageError):
                self.prune()
        try:
            if self._file is None:
                self._file = self._open()
            positioned.write_fully(self._file, data, self._end)
        except OSError as error:
            if self._file is not None:
                with contextlib.suppress(OSError):  # release the part that was written
                    self._file.truncate(self._end)
            raise storage_error(error, self._directory) from error
        self._end += size

    def _open(self) -> IO[bytes]:
        # Lazy import: it takes longer than all of the buffers, and most programs never fill one. Without a free
        # descriptor it raises an OSError, like any other call.
        import tempfile

        # No `with`: the file lives as long as its content, and close() closes it.
        return tempfile.TemporaryFile(buffering=0, prefix="waitress-buffers-", dir=self._directory)

    def peek(self, size: int = -1) -> bytes:
        """Return the first min(size, len) bytes without consuming them; -1 means all."""
        unread = self._end - self._start
        if size < 0 or size > unread:
            size = unread
        return self._read(size, self._start) if size else b""

    def _read(self, size: int, offset: int) -> bytes:
        """Read exactly `size` bytes at `offset` of the file."""
        try:
            data = positioned.read_fully(self._opened(), size, offset)
            if len(data) < size:
                raise _ended_early(size - len(data))
        except OSError as error:
            raise storage_error(error, self._directory) from error
        return data

    def _read_into(self, target: memoryview, offset: int) -> int:
        """Read some bytes at `offset` of the file into `target`, which is not empty; return how many."""
        try:
            size = positioned.read_into_at(self._opened(), target, offset)
            if not size:
                raise _ended_early(target.nbytes)
        except OSError as error:
            raise storage_error(error, self._directory) from error
        return size

    def _opened(self) -> IO[bytes]:
        if self._file is None:
            raise ValueError("read of a closed buffer")
        return self._file

    def skip(self, size: int) -> None:
        """Consume bytes at the front, without disk work; ValueError, and nothing consumed, if fewer are held."""
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

        Moves the unread bytes to the front, in time proportional to their number, and truncates the file after them.
        Does nothing after open_file: the opened file relies on the place of the bytes.
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
        """Return a buffered, seekable reader of the bytes unread now; reading it consumes nothing.

        It has no descriptor. Reading it after close() raises ValueError, as with any closed file.
        """
        if self._is_closed:
            raise ValueError("open_file of a closed buffer")
        if self._start == self._end:
            return io.BytesIO()
        self._is_shown = True
        return io.BufferedReader(FileView(self._read, self._read_into, self._start, self._end), VIEW_BYTES)

    def close(self) -> None:
        """Drop the content and release the descriptor; further calls do nothing."""
        file, self._file = self._file, None
        self._start = self._end = 0
        self._is_closed = True
        if file is not None:
            with contextlib.suppress(OSError):  # the content is dropped: a failed write of it does not matter
                file.close()


def _ended_early(size: int) -> OSError:
    return OSError(errno.EIO, f"the temporary file ended {size} bytes early")
