"""The entries of a server's map: one for each thing that is open.

The server's own threads serve them all. The loop of `wasyncore`, which a program may run over the map, has nothing to
do for them; but any thread may close them.
"""

from typing import TYPE_CHECKING

from waitress_core.net.listener import Listener

from ._logs import Logs
from ._replacements import replaceable

if TYPE_CHECKING:
    import socket

    from ._protocols import ListeningServer, LoopHost


@replaceable
class Entry(Logs):
    """A server, a channel, or one of several listening sockets, as the loop sees it, and anyone who closes it."""

    __slots__ = ()

    accepting = False

    def close(self) -> None:
        """End it. Thread: any."""
        raise NotImplementedError

    def handle_close(self) -> None:
        """Do what `close` does: programs end the entries of a map by either name."""
        self.close()

    def readable(self) -> bool:
        """Return False: the loop shall not read, nor accept."""
        return False

    def writable(self) -> bool:
        """Return False: the loop shall not write."""
        return False


class Listening(Entry):
    """One of several listening sockets of a server."""

    accepting = True

    def __init__(self, server: "ListeningServer", listener: Listener) -> None:
        self.server = server
        self.listener = listener

    @property
    def loop_host(self) -> "LoopHost":
        """The server that the loop is to start."""
        return self.server

    @property
    def socket(self) -> "socket.socket":
        """The listening socket."""
        return self.listener.socket

    def fileno(self) -> int:
        """Return the descriptor."""
        return self.listener.descriptor

    def close(self) -> None:
        """Stop listening. Thread: any."""
        self.server.end_listening(self.listener)
