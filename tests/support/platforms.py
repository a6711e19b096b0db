"""Calls that not every platform has, for tests that are skipped where they are missing; and whether there is a GIL."""

import os
import signal
import socket
import sys
from pathlib import Path
from typing import Any

HAS_GIL: bool = getattr(sys, "_is_gil_enabled", lambda: True)()

_AF_UNIX: Any = getattr(socket, "AF_UNIX", None)
_mkfifo: Any = getattr(os, "mkfifo", None)
_set_blocking: Any = getattr(os, "set_blocking", None)


def unix_socket() -> socket.socket:
    """Make a stream socket for paths."""
    return socket.socket(_AF_UNIX)


def make_fifo(path: Path) -> None:
    """Make a named pipe."""
    _mkfifo(path)


def open_gate(folder: Path) -> None:
    """Let an application go on that waits to read the named pipe `gate`; this waits for it to come there."""
    with (folder / "gate").open("w"):
        pass


def set_blocking(descriptor: int, is_blocking: bool) -> None:
    """Let reads and writes of a descriptor wait, or not."""
    _set_blocking(descriptor, is_blocking)


def signal_number(name: str) -> int:
    """Return the number of a signal by its name."""
    return int(getattr(signal, name))
