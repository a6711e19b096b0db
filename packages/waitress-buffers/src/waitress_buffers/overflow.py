"""A queue in memory while it is small, and in a temporary file while it is large.

It moves to the file when its unread bytes would reach `overflow`, and back to memory once it is drained, which closes
the file. A spill takes effect only when it is complete: if it fails, the memory still holds the content.
"""

from typing import BinaryIO

from .file_backed import FileBuffer
from .memory import MemoryBuffer
from .protocol import BytesLike


class OverflowBuffer:
    """A `ByteQueue` that holds fewer than `overflow` unread bytes in memory, and more in a file in `directory`.

    Raises ValueError for a negative `overflow`; StorageFullError and StorageUnavailableError like `FileBuffer`.
    """

    __slots__ = ("_directory", "_is_closed", "_overflow", "_store")

    def __init__(self, overflow: int, directory: str | None = None) -> None:
        if overflow < 0:
            raise ValueError(f"overflow {overflow} is negative: it is a number of bytes, 0 or more")
        self._overflow = overflow
        self._directory = directory
        self._store: MemoryBuffer | FileBuffer = MemoryBuffer()
        self._is_closed = False

    @property
    def is_on_disk(self) -> bool:
        """Whether the content is in a temporary file, which uses one descriptor."""
        return isinstance(self._store, FileBuffer)

    def append(self, data: BytesLike) -> None:
        """Add bytes at the end. If storage fails, none of them is kept, and what was held stays readable."""
        if self._is_closed:
            raise ValueError("append to a closed buffer")
        store = self._store
        if isinstance(store, MemoryBuffer):
            size = data.nbytes if isinstance(data, memoryview) else len(data)
            if size and len(store) + size >= self._overflow:
                self._spill(store, data)
                return
        store.append(data)

    def _spill(self, memory: MemoryBuffer, data: BytesLike) -> None:
        file = FileBuffer(self._directory)
        try:
            file.append(memory.peek())
            file.append(data)
        except BaseException:
            file.close()
            raise
        self._store = file

    def peek(self, size: int = -1) -> bytes | memoryview:
        """Return the first min(size, len) bytes without consuming them; -1 means all."""
        return self._store.peek(size)

    def skip(self, size: int) -> None:
        """Consume bytes at the front; ValueError, and nothing consumed, if fewer are held."""
        store = self._store
        store.skip(size)
        if isinstance(store, FileBuffer) and not store and not store.is_shown:
            store.close()
            self._store = MemoryBuffer()

    def __len__(self) -> int:
        return len(self._store)

    def __bool__(self) -> bool:
        return bool(self._store)

    def prune(self) -> None:
        """Release the memory or disk space of consumed bytes, as the store in use does."""
        self._store.prune()

    def open_file(self) -> BinaryIO:
        """Return a seekable file of the bytes unread now; a temporary file then stays until close()."""
        return self._store.open_file()

    def close(self) -> None:
        """Drop the content and release the descriptor; further calls do nothing."""
        self._is_closed = True
        self._store.close()
        self._store = MemoryBuffer()
        self._store.close()
