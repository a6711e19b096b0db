"""A TLS client that is driven step by step, for servers that a test turns by hand."""

import socket
import ssl
import time
from collections.abc import Callable
from functools import partial
from typing import TypeVar

from .certificates import client_context

WAIT_SECONDS = 20.0

Result = TypeVar("Result")


class TlsPeer:
    """The client's end of a connection; while it waits, it calls `turn`, which should let the server do something.

    What it sends leaves in `pieces` of this many bytes of records, with a turn after each; None leaves all at once.
    """

    def __init__(
        self,
        sock: socket.socket,
        turn: Callable[[], object],
        *,
        context: ssl.SSLContext | None = None,
        server_name: str = "localhost",
        piece_bytes: int | None = None,
    ) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.turn = turn
        self.piece_bytes = piece_bytes
        self.incoming = ssl.MemoryBIO()
        self.outgoing = ssl.MemoryBIO()
        self.session = (context or client_context()).wrap_bio(self.incoming, self.outgoing, server_hostname=server_name)
        self.has_ended = False  # the server has ended the socket's output
        self.was_reset = False

    def step(self) -> None:
        """Send records, let the server turn, receive records."""
        data = self.outgoing.read()
        size = self.piece_bytes or len(data) or 1
        for start in range(0, max(len(data), 1), size):
            rest = data[start : start + size]
            while rest:
                try:
                    rest = rest[self.socket.send(rest) :]
                except BlockingIOError:
                    self.turn()
                except ConnectionError:
                    self.was_reset = self.has_ended = True
                    return
            self.turn()
        try:
            received = self.socket.recv(1 << 18)
        except BlockingIOError:
            return
        except ConnectionError:
            self.was_reset = self.has_ended = True
            return
        if received:
            self.incoming.write(received)
        else:
            self.has_ended = True
            self.incoming.write_eof()

    def until_done(self, call: Callable[[], Result]) -> Result:
        """Call until it does not want to read; the exceptions of an end pass."""
        until = time.monotonic() + WAIT_SECONDS
        while True:
            assert time.monotonic() < until, "the server does not answer"
            try:
                result = call()
            except ssl.SSLWantReadError:
                if self.was_reset:
                    raise ConnectionResetError from None
                self.step()
            else:
                self.step()
                return result

    def shake_hands(self) -> "TlsPeer":
        """Agree on TLS."""
        self.until_done(self.session.do_handshake)
        return self

    def send(self, data: bytes) -> None:
        """Send bytes."""
        view = memoryview(data)
        while view:
            view = view[self.session.write(bytes(view[:16384])) :]
        self.step()

    def receive(self, size: int) -> bytes:
        """Read exactly this many bytes."""
        received = bytearray()
        while len(received) < size:
            data = self.until_done(partial(self.session.read, size - len(received)))
            assert data, f"the end came after {len(received)} bytes"
            received += data
        return bytes(received)

    def rest(self) -> tuple[bytes, str]:
        """Read to the end; return what came, and how it ended: "close_notify", "cut" or "reset"."""
        received = bytearray()
        while True:
            try:
                data = self.until_done(lambda: self.session.read(65536))
            except ssl.SSLZeroReturnError:
                return bytes(received), "close_notify"
            except (ssl.SSLEOFError, ConnectionError):
                return bytes(received), "reset" if self.was_reset else "cut"
            if not data:
                return bytes(received), "close_notify"
            received += data
