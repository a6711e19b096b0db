"""Receivers of request bodies, by the names of waitress 3.0, over the parser's decoder of chunks.

For programs that decode a body themselves, which came another way than by a socket of the server.
"""

from typing import BinaryIO

from waitress_parser import BodyPiece, EndOfMessage, Limits, ProtocolError
from waitress_parser.body import ChunkedBody

from .buffers import OverflowableBuffer
from .utilities import BadRequest, Error, error_of

__all__ = ["ChunkedReceiver", "FixedStreamReceiver"]


class _Receiver:
    """A body that fills `buf`: `completed` when it is whole, `error` when it cannot become so."""

    completed = False
    error: Error | None = None

    def __init__(self, buf: OverflowableBuffer) -> None:
        self.buf = buf

    def __len__(self) -> int:
        return len(self.buf)

    def getfile(self) -> BinaryIO:
        """Return what has come as a file."""
        return self.buf.getfile()

    def getbuf(self) -> OverflowableBuffer:
        """Return the buffer."""
        return self.buf


class FixedStreamReceiver(_Receiver):
    """A body of `cl` octets."""

    def __init__(self, cl: int, buf: OverflowableBuffer) -> None:
        super().__init__(buf)
        self.remain = cl

    def received(self, data: bytes) -> int:
        """Take octets; return how many of them are the body's."""
        taken = data[: self.remain]
        if taken:
            self.buf.append(taken)
        self.remain -= len(taken)
        self.completed = not self.remain
        return len(taken)


class ChunkedReceiver(_Receiver):
    """A chunked body; `buf` gets what its chunks hold."""

    error: BadRequest | None

    def __init__(self, buf: OverflowableBuffer) -> None:
        super().__init__(buf)
        self._body = ChunkedBody(Limits())
        self._held = b""  # the beginning of a line, or of a section of trailers

    def received(self, s: bytes) -> int:
        """Take octets; return how many of them are the body's. After an error that is all of them."""
        if self.completed:
            return 0
        if self.error is not None:
            return len(s)
        data, position = self._held + s, 0
        try:
            while True:
                event, position = self._body.next_event(data, position)
                if isinstance(event, BodyPiece):
                    self.buf.append(bytes(event.data))
                    continue
                if isinstance(event, EndOfMessage):
                    self.completed = True
                break
        except ProtocolError as error:
            refused = error_of(error)
            assert isinstance(refused, BadRequest)  # of a chunk, nothing is not implemented
            self.error = refused
            return len(s)
        self._held = b"" if self.completed else data[position:]
        return len(s) - (len(data) - position if self.completed else 0)
