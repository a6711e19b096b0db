"""Real sockets with calls that fail when a test wants it: a listener, and the connections that it accepts.

Where a server sends a file by the system no method of the socket is called: `FaultyListener.os_sendfile` is
in for that call.
"""

import os
import socket
import sys
from typing import Any

from .faults import Faults

_sendfile: Any = getattr(os, "sendfile", None)  # Windows has none


class FaultySocket(socket.socket):
    """A connection; its calls may fail before they have done anything, but for `close`, which fails afterwards."""

    listener: "FaultyListener"

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self.listener.faults.before("recv")
        return super().recv(min(size, self.listener.most_bytes), flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.listener.faults.before("recv_into")
        size = nbytes or len(memoryview(buffer))
        return super().recv_into(buffer, min(size, self.listener.most_bytes), flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        self.listener.faults.before("send")
        return super().send(memoryview(data)[: self.listener.most_bytes], flags)

    def setblocking(self, flag: bool, /) -> None:
        self.listener.faults.before("setblocking")
        super().setblocking(flag)

    def setsockopt(self, *arguments: Any) -> None:
        self.listener.faults.before("setsockopt")
        super().setsockopt(*arguments)

    def shutdown(self, how: int, /) -> None:
        self.listener.faults.before("shutdown")
        super().shutdown(how)

    def close(self) -> None:
        try:
            self.listener.faults.before("close")  # first: a test may disarm as soon as the descriptor is no more listed
        finally:
            self.listener.descriptors.discard(self.fileno())
            super().close()


class FaultyListener(socket.socket):
    """A listening socket on 127.0.0.1, to be given to a server as one of its `sockets`.

    `most_bytes` are moved in one call; `descriptors` are those of the connections.
    """

    def __init__(self, buffer_bytes: int | None = None) -> None:
        """Bind; with `buffer_bytes` the system takes little of what the server sends before the client reads it."""
        super().__init__()
        self.faults = Faults()
        self.most_bytes = sys.maxsize
        self.descriptors: set[int] = set()
        if buffer_bytes is not None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.bind(("127.0.0.1", 0))

    def accept(self) -> tuple[socket.socket, Any]:
        self.faults.before("accept")
        plain, peer = super().accept()
        accepted = FaultySocket(fileno=plain.detach())
        accepted.listener = self
        self.descriptors.add(accepted.fileno())
        return accepted, peer

    def os_sendfile(self, out: int, file: int, offset: int, size: int) -> int:
        """Take the place of os.sendfile."""
        if out in self.descriptors:
            self.faults.before("sendfile")
            size = min(size, self.most_bytes)
        return int(_sendfile(out, file, offset, size))
