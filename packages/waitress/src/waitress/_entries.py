"""The entries of a server's map: one for each thing that is open.

The server's own threads serve them all. The loop of `wasyncore`, which a program may run over the map, has nothing to
do for them; but any thread may close them.
"""

from typing import TYPE_CHECKING, Any

from waitress_core.net.listener import Listener

from ._left_out import without_effect
from ._logs import Logs
from ._replacements import replaceable

if TYPE_CHECKING:
    import socket

    from ._protocols import ListeningServer, LoopHost


BY_REACTOR = "the server's own threads read, write and accept, and ask no entry of the map"


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

    @without_effect(BY_REACTOR)
    def readable(self) -> bool:
        """Return False: the loop shall not read, nor accept."""
        return False

    @without_effect(BY_REACTOR)
    def writable(self) -> bool:
        """Return False: the loop shall not write."""
        return False


class Listening(Entry):
    """One of several listening sockets of a server.

    In 3.0 each was a separate server, and for programs that look for those it is one to `isinstance`. What it has not
    itself is the server's.
    """

    accepting = True

    def __init__(self, server: "ListeningServer", listener: Listener) -> None:
        self.server = server
        self.listener = listener

    @property  # type: ignore[misc]  # read-only, as that of a mock
    def __class__(self) -> type:
        return self.server.listening_class(self.listener)

    def __getattr__(self, name: str) -> Any:
        if name in ("server", "listener"):  # not set yet: a copy, for example
            raise AttributeError(name)
        return getattr(self.server, name)

    @property
    def effective_host(self) -> str:
        """The numeric address that is listened on."""
        return self.listener.host

    @property
    def effective_port(self) -> str:
        """The port, in decimal."""
        return self.listener.port

    def getsockname(self) -> tuple[str, str]:
        """Return address and port."""
        return self.listener.host, self.listener.port

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
