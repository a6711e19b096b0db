"""What every queue of this package promises, as types.

A queue is a row of octets with two ends: `append` adds at the end; `peek` looks at the front and `skip` drops what was
dealt with. Looking and dropping are apart because a socket says only afterwards how much it took.

Thread: one owner at a time. No queue has a lock; who shares one between threads passes it on or guards it.
"""

from typing import BinaryIO, Protocol, TypeAlias

Octets: TypeAlias = bytes | bytearray | memoryview


class ByteQueue(Protocol):
    """A first-in, first-out queue of bytes."""

    def append(self, data: Octets) -> None:
        """Add octets at the end; the caller may reuse a bytearray or memoryview at once.

        Raises BufferStorageError where storage fails, ValueError after close(): the queue is as it was before the call.
        """

    def peek(self, size: int = -1) -> bytes | memoryview:
        """Return min(size, len) octets of the front without consuming them; -1 means all.

        What was returned stays as it is, whatever happens to the queue afterwards.
        """

    def skip(self, size: int) -> None:
        """Consume octets at the front; ValueError, and nothing consumed, when fewer are held."""

    def __len__(self) -> int:
        """Number of unread octets."""

    def __bool__(self) -> bool:
        """Whether there are unread octets."""

    def prune(self) -> None:
        """Release the storage of consumed octets, where that costs no more than consuming them did."""

    def open_file(self) -> BinaryIO:
        """Return a seekable file of what is unread now, at position 0; it consumes nothing.

        It owns nothing: closing it leaves the queue as it is. It is valid until the queue is closed, and shows the same
        octets all that time. ValueError after close().
        """

    def close(self) -> None:
        """Drop the content and release the descriptor, if any; further calls do nothing. The queue is empty then."""


class ReadableFile(Protocol):
    """All that a file wrapper may expect of a file (PEP 3333, "Optional Platform-Specific File Handling")."""

    def read(self, size: int, /) -> bytes:
        """Return up to `size` octets, none at the end."""
