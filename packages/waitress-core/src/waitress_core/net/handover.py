"""Listening sockets that stay open when a server is made again: found by their addresses, instead of bound.

A supervisor offers them to the server that it makes from new settings. To its successor, another process, it hands
them by descriptors that stay open over `exec`, and a variable. The variable is private to two versions of this file. It
names the pipe by which the successor reports that it is ready, and the descriptors that are sockets.

Thread: the main thread, before the server runs.
"""

import contextlib
import json
import os
import socket
from collections.abc import Iterator, Sequence

from .listener import HANDOVER_VARIABLE, Listener


class Handover:
    """Sockets to be found by their addresses; `pipe` leads to the process that has handed them, if it is another."""

    def __init__(self, sockets: list[socket.socket], pipe: int | None = None) -> None:
        self._sockets = sockets
        self._pipe = pipe

    def take(self, family: int, address: object) -> socket.socket | None:
        """Return the socket of this address; with port 0, one of this host. None if there is none."""
        for sock in self._sockets:
            if sock.family == family and _fits(sock.getsockname(), address):
                self._sockets.remove(sock)
                return sock
        return None

    def report_ready(self) -> None:
        """Report to the predecessor, which retires; close what nobody wanted."""
        if self._pipe is not None:
            with contextlib.suppress(OSError):  # it is gone
                os.write(self._pipe, b"\0")
        self.close()

    def close(self) -> None:
        """Close what nobody wanted, and the pipe: also in a child, which has nothing to report by it."""
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()


def _fits(name: object, address: object) -> bool:
    if isinstance(name, tuple) and isinstance(address, tuple) and address[1] == 0:
        return bool(name[0] == address[0])
    return name == address or (isinstance(name, tuple) and isinstance(address, tuple) and name[:2] == address[:2])


def handover_text(pipe: int, descriptors: Sequence[int]) -> str:
    """Return the value of the variable."""
    return json.dumps([pipe, list(descriptors)])


_received: Handover | None = None


def received() -> Handover | None:
    """Return what this process was handed or is offered; None if nothing is."""
    global _received
    if _received is None and HANDOVER_VARIABLE in os.environ:
        pipe, descriptors = json.loads(os.environ[HANDOVER_VARIABLE])
        for descriptor in (pipe, *descriptors):
            os.set_inheritable(descriptor, False)
        _received = Handover([socket.socket(fileno=descriptor) for descriptor in descriptors], pipe)
    return _received


@contextlib.contextmanager
def offered(listeners: Sequence[Listener]) -> Iterator[None]:
    """Let servers that are made in this context have the sockets of these listeners, which others have bound."""
    global _received
    _received = Handover([listener.socket.dup() for listener in listeners if listener.owns_path])
    try:
        yield
    finally:
        _received.close()
        _received = None


def take_received() -> Handover | None:
    """Return what this process was handed, and forget it: what is started from now on gets nothing."""
    global _received
    handover, _received = received(), None
    os.environ.pop(HANDOVER_VARIABLE, None)
    return handover
