"""One request: its head, and its body as far as it has arrived.

The receiver (reactor only) creates it when the head is complete, fills it, and gives it away when the body is complete
too; from then on it belongs to the task.
"""

from io import BytesIO
from typing import BinaryIO

from waitress_buffers import OverflowBuffer
from waitress_parser import RequestHead


class Request:
    """A request head and the buffer of its decoded body, which exists only where there is a body."""

    __slots__ = ("_body", "head")

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self._body: OverflowBuffer | None = None

    def append(self, data: bytes | memoryview, overflow: int) -> None:
        """Add a piece of the body; from `overflow` bytes on the body is in a temporary file.

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

    def open_body(self) -> BinaryIO:
        """Return the body as a seekable file at its start (`wsgi.input`); valid until `close`."""
        return BytesIO() if self._body is None else self._body.open_file()

    def close(self) -> None:
        """Release the body's memory or temporary file."""
        if self._body is not None:
            self._body.close()
