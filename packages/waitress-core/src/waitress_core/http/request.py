"""One request: its head, and the part of its body that has arrived.

The connection makes it when the head is complete and appends the body (leader thread). When the body is complete too,
the connection gives it to a task, and only the task uses it from then on.
"""

from io import BytesIO
from typing import BinaryIO

from waitress_buffers import OverflowBuffer
from waitress_parser import RequestHead

from ..connection.data_rate import Patience


class Request:
    """A request head, and a buffer for the decoded body, made with the first piece."""

    __slots__ = ("_body", "_patience", "head")

    def __init__(self, head: RequestHead) -> None:
        self.head = head
        self._body: OverflowBuffer | None = None
        self._patience: Patience | None = None

    def append(self, data: bytes | memoryview, overflow: int) -> None:
        """Add a piece of the body; a body of `overflow` bytes or more moves to a temporary file.

        Raises:
            BufferStorageError: the temporary file cannot be made or written.
        """
        if self._body is None:
            self._body = OverflowBuffer(overflow)
        self._body.append(data)

    @property
    def body_bytes(self) -> int:
        """The length of the body so far."""
        return 0 if self._body is None else len(self._body)

    def begin_pace(self, now: float, seconds: float, rate: int) -> None:
        """Begin to look after the pace at which the body arrives: see `pace`."""
        self._patience = Patience(seconds, rate, now)

    def spend_patience(self, now: float) -> bool:
        """Look after the pace; false when the body is too slow."""
        return self._patience is None or self._patience.spend(now, self.body_bytes)

    def open_body(self) -> BinaryIO:
        """Return the body as a seekable file at its start (`wsgi.input`); valid until `close`."""
        return BytesIO() if self._body is None else self._body.open_file()

    def close(self) -> None:
        """Release the body's memory or temporary file."""
        if self._body is not None:
            self._body.close()
