"""Receivers of request bodies, by the names of waitress 3.0, over the parser's decoder of chunks.

For programs that decode a body that has not come through a socket of the server.
"""

from typing import BinaryIO

from waitress_parser import BodyPiece, EndOfMessage, Limits, ProtocolError
from waitress_parser.body import ChunkedBody

from ._left_out import LeftOut
from ._modules import old_module
from .buffers import OverflowableBuffer
from .utilities import BadRequest, Error, error_of

__all__ = ["ChunkedReceiver", "FixedStreamReceiver"]


class _Receiver:
    """A body that fills `buf`: `completed` at its end, `error` when it is invalid."""

    completed = False
    error: Error | None = None

    def __init__(self, buf: OverflowableBuffer) -> None:
        self.buf = buf

    def __len__(self) -> int:
        return len(self.buf)

    def getfile(self) -> BinaryIO:
        """Return what has arrived, as a file."""
        return self.buf.getfile()

    def getbuf(self) -> OverflowableBuffer:
        """Return the buffer."""
        return self.buf


class FixedStreamReceiver(_Receiver):
    """A body of `cl` bytes."""

    def __init__(self, cl: int, buf: OverflowableBuffer) -> None:
        super().__init__(buf)
        self.remain = cl

    def received(self, data: bytes) -> int:
        """Receive bytes; return how many of them belong to the body."""
        taken = data[: self.remain]
        if taken:
            self.buf.append(taken)
        self.remain -= len(taken)
        self.completed = not self.remain
        return len(taken)


_STEP = "chunks are decoded in other steps; `completed` says whether all of them have come"


class ChunkedReceiver(_Receiver):
    """A chunked body; `buf` gets the data of its chunks."""

    error: BadRequest | None
    all_chunks_received = LeftOut(_STEP)
    chunk_end = LeftOut(_STEP)
    chunk_remainder = LeftOut(_STEP)
    control_line = LeftOut(_STEP)
    trailer = LeftOut(_STEP)
    validate_chunk_end = LeftOut(_STEP)

    def __init__(self, buf: OverflowableBuffer) -> None:
        super().__init__(buf)
        self._body = ChunkedBody(Limits())
        self._held = b""  # the start of a line or of a trailer section

    def received(self, s: bytes) -> int:
        """Receive bytes; return how many of them belong to the body: after an error, all."""
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


old_module(__name__, "CHUNK_EXT_RE ONLY_HEXDIG_RE find_double_newline")
