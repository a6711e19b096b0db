"""Real sockets whose calls fail when a test says so: a listener, and the connections that it accepts.

Where a server sends a file by the system (`os.sendfile`) no method of the socket is called: `Faults.sendfile` stands in
for that.
"""

import os
import socket
import sys
import threading
from typing import Any

_sendfile: Any = getattr(os, "sendfile", None)  # Windows has none


class Faults:
    """Which call fails next; one for all sockets that a listener accepts.

    `seen` counts the calls of the armed names since `arm`, `fired` those that have failed.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._names: frozenset[str] = frozenset()
        self._errors: tuple[int, ...] = ()
        self._first = self._step = 0
        self.seen = 0
        self.fired = 0
        self.most_bytes = sys.maxsize  # moved in one call
        self.descriptors: set[int] = set()  # of the sockets that fail

    def arm(self, *names: str, errors: tuple[int, ...], first: int, step: int = 0) -> None:
        """Have the `first` call of these names fail, and with a step each further one; each with the next error."""
        with self._lock:
            self._names, self._errors, self._first, self._step = frozenset(names), errors, first, step
            self.seen = self.fired = 0

    def disarm(self) -> None:
        """Let every call be."""
        with self._lock:
            self._names = frozenset()

    def before(self, name: str) -> None:
        """Count a call, and raise if it is one that fails."""
        with self._lock:
            if name not in self._names:
                return
            self.seen += 1
            late = self.seen - self._first
            if late and not (late > 0 and self._step and late % self._step == 0):
                return
            number = self._errors[self.fired % len(self._errors)]
            self.fired += 1
        raise OSError(number, os.strerror(number))

    def sendfile(self, out: int, file: int, offset: int, size: int) -> int:
        """Stand in for os.sendfile."""
        if out in self.descriptors:
            self.before("sendfile")
            size = min(size, self.most_bytes)
        return int(_sendfile(out, file, offset, size))


class FaultySocket(socket.socket):
    """A connection; its calls may fail before they have done anything, but for `close`, which fails afterwards."""

    faults: Faults

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        self.faults.before("recv")
        return super().recv(min(size, self.faults.most_bytes), flags)

    def recv_into(self, buffer: Any, nbytes: int = 0, flags: int = 0) -> int:
        self.faults.before("recv_into")
        return super().recv_into(memoryview(buffer)[: self.faults.most_bytes], nbytes, flags)

    def send(self, data: Any, flags: int = 0, /) -> int:
        self.faults.before("send")
        return super().send(memoryview(data)[: self.faults.most_bytes], flags)

    def setblocking(self, flag: bool, /) -> None:
        self.faults.before("setblocking")
        super().setblocking(flag)

    def setsockopt(self, *arguments: Any) -> None:
        self.faults.before("setsockopt")
        super().setsockopt(*arguments)

    def shutdown(self, how: int, /) -> None:
        self.faults.before("shutdown")
        super().shutdown(how)

    def close(self) -> None:
        self.faults.descriptors.discard(self.fileno())
        super().close()
        self.faults.before("close")


class FaultyListener(socket.socket):
    """A listening socket on 127.0.0.1, to be given to a server as one of its `sockets`."""

    def __init__(self, buffer_bytes: int | None = None) -> None:
        """Bind; with `buffer_bytes` the system takes little of what the server sends before the client reads it."""
        super().__init__()
        self.faults = Faults()
        if buffer_bytes is not None:
            self.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        self.bind(("127.0.0.1", 0))

    def accept(self) -> tuple[socket.socket, Any]:
        self.faults.before("accept")
        plain, peer = super().accept()
        accepted = FaultySocket(fileno=plain.detach())
        accepted.faults = self.faults
        self.faults.descriptors.add(accepted.fileno())
        return accepted, peer
