"""The interface of every queue of this package, as types.

A queue is a sequence of bytes with two ends: `append` adds at the end, `peek` returns the front and `skip` drops it.
Peeking and skipping are separate because a socket reports only afterwards how much it took.

Thread: one at a time. No queue has a lock; to share one between threads, hand it over or guard it.
"""

from typing import BinaryIO, Protocol, TypeAlias

BytesLike: TypeAlias = bytes | bytearray | memoryview


class ByteQueue(Protocol):
    """A first-in, first-out queue of bytes."""

    def append(self, data: BytesLike) -> None:
        """Add bytes at the end; the caller may reuse a bytearray or memoryview at once.

        Raises BufferStorageError if storage fails, ValueError after close(): the queue is as it was before the call.
        """

    def peek(self, size: int = -1) -> bytes | memoryview:
        """Return the first min(size, len) bytes without consuming them; -1 means all.

        The returned object does not change, whatever happens to the queue afterwards.
        """

    def skip(self, size: int) -> None:
        """Consume bytes at the front; ValueError, and nothing consumed, if fewer are held."""

    def __len__(self) -> int:
        """Return the number of unread bytes."""

    def __bool__(self) -> bool:
        """Return whether there are unread bytes."""

    def prune(self) -> None:
        """Release the storage of consumed bytes, if that costs no more than consuming them did."""

    def open_file(self) -> BinaryIO:
        """Return a seekable file of the bytes unread now, at position 0; reading it consumes nothing.

        It owns nothing: closing it does not change the queue. It is valid until the queue is closed, and has the same
        bytes all that time. Raises ValueError after close().
        """

    def close(self) -> None:
        """Drop the content and release the descriptor, if any; further calls do nothing. The queue is then empty."""


class ReadableFile(Protocol):
    """What a file must have for a file wrapper (PEP 3333, "Optional Platform-Specific File Handling")."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` bytes, none at the end of the file."""
