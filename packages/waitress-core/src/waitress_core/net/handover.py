"""Listening sockets that a supervisor hands to its successor: descriptors that stay open over `exec`, and a variable.

The variable is private to two versions of this file. It says which pipe tells the predecessor that the successor is
ready, and which descriptors are sockets; each is found again by its address.

Thread: the main thread, before the server runs.
"""

import contextlib
import json
import os
import socket
from collections.abc import Sequence

from .binding import HANDOVER_VARIABLE as VARIABLE


class Handover:
    """What this process was handed."""

    def __init__(self, text: str) -> None:
        self._pipe, descriptors = json.loads(text)
        self._sockets = []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
            self._sockets.append(socket.socket(fileno=descriptor))
        os.set_inheritable(self._pipe, False)

    def take(self, family: int, address: object) -> socket.socket | None:
        """Return the socket of this address; with port 0, one of this host. None if there is none."""
        for sock in self._sockets:
            if sock.family == family and _fits(sock.getsockname(), address):
                self._sockets.remove(sock)
                return sock
        return None

    def report_ready(self) -> None:
        """Tell the predecessor to retire; close what nobody wanted."""
        with contextlib.suppress(OSError):  # it is gone
            os.write(self._pipe, b"\0")
        os.close(self._pipe)
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
    """Return what this process was handed; None if nothing was."""
    global _received
    if _received is None and VARIABLE in os.environ:
        _received = Handover(os.environ[VARIABLE])
    return _received


def take_received() -> Handover | None:
    """Return the same, and forget it: what is started from now on gets nothing."""
    global _received
    handover, _received = received(), None
    os.environ.pop(VARIABLE, None)
    return handover
