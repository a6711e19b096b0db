"""One request: its head, and its body as far as it has arrived.

Made by the connection (the holder of the lead) when the head is complete, filled by it, and given to a task when the
body is complete too; from then on it is the task's.
"""

import io
from typing import BinaryIO

from waitress_buffers import OverflowBuffer
from waitress_parser import RequestHead


class Request:
    """A request head and the buffer of its decoded body, which exists only where there is a body."""

    __slots__ = ("_began_at", "_body", "head")

    def __init__(self, head: RequestHead, now: float) -> None:
        self.head = head
        self._body: OverflowBuffer | None = None
        self._began_at = now

    def append(self, data: bytes | memoryview, overflow: int) -> None:
        """Add a piece of the body; from `overflow` bytes on it lies in a temporary file.

        Raises:
            BufferStorageError: there is no room on disk.
        """
        if self._body is None:
            self._body = OverflowBuffer(overflow)
        self._body.append(data)

    @property
    def body_bytes(self) -> int:
        """Length of the body so far."""
        return 0 if self._body is None else len(self._body)

    def is_too_slow(self, now: float, grace_seconds: float, rate: int) -> bool:
        """Whether the body has taken longer than the grace, and a second for each `rate` bytes of it."""
        return now - self._began_at >= grace_seconds + self.body_bytes / rate

    def open_body(self) -> BinaryIO:
        """Give the body as a seekable file at its start (`wsgi.input`); valid until `close`."""
        return io.BytesIO() if self._body is None else self._body.open_file()

    def close(self) -> None:
        """Give the body's memory or temporary file back."""
        if self._body is not None:
            self._body.close()
