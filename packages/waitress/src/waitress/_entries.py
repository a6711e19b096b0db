"""What stands in the map of a server, for each thing that is open.

Threads of the server's own serve them all, so the loop of `wasyncore`, which any program may have walk the map, has
nothing to do for them; but any thread may close them.
"""

import logging
from typing import TYPE_CHECKING

from waitress_core.net.listener import Listener

if TYPE_CHECKING:
    import socket

    from .server import BaseWSGIServer


class Logs:
    """Says what it has to say by `log` and `log_info`, which a program may override."""

    __slots__ = ()

    logger = logging.getLogger("waitress")

    def log(self, message: str) -> None:
        """Log at the level DEBUG."""
        self.logger.debug(message)

    def log_info(self, message: str, type: str = "info") -> None:
        """Log at a level by its name."""
        self.logger.log(getattr(logging, type.upper(), logging.INFO), message)


class Entry(Logs):
    """A server, a channel, or one of several listening sockets, as the loop and who closes it see it."""

    __slots__ = ()

    accepting = False

    def close(self) -> None:
        """End it. Thread: any."""
        raise NotImplementedError

    def handle_close(self) -> None:
        """Do what `close` does: by both names programs end what a map holds."""
        self.close()

    def readable(self) -> bool:
        """Tell the loop that others read, or accept."""
        return False

    def writable(self) -> bool:
        """Tell the loop that others write."""
        return False


class Listening(Entry):
    """One of several listening sockets of a server."""

    accepting = True

    def __init__(self, server: "BaseWSGIServer", listener: Listener) -> None:
        self.server = server
        self.listener = listener

    @property
    def loop_host(self) -> "BaseWSGIServer":
        """The server that the loop is to begin."""
        return self.server

    @property
    def socket(self) -> "socket.socket":
        """The listening socket."""
        return self.listener.socket

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.listener.descriptor

    def close(self) -> None:
        """Listen no more. Thread: any."""
        self.server.end_listening(self.listener)
