"""What one of server, channel, task and loop needs of another, so that none imports the one above it.

For type checkers only: nothing imports this file at run time.
"""

from typing import Any, Protocol

from waitress_core import Adjustments
from waitress_core.connection.connection import Connection
from waitress_core.net.listener import Listener
from waitress_core.wsgi.environ import EnvironBuilder
from waitress_core.wsgi.task import TaskContext


class LoopHost(Protocol):
    """A server that an entry of a map belongs to, as the loop sees it; `loop_host` of the entry names it."""

    def start_in_loop(self) -> None:
        """Serve, if that has not started."""

    def wait_in_loop(self, seconds: float) -> None:
        """Wait for the end, for at most so many seconds: where the loop has nothing else to wait for."""

    def turn_in_loop(self) -> None:
        """Do what the thread in `run` does between two waits. Called after each wait of the loop."""

    def signal_in_loop(self, name: str) -> None:
        """Drain, as a signal asks for; at once when it is not the first."""

    def end_in_loop(self) -> None:
        """End."""


class ListeningServer(LoopHost, Protocol):
    """A server, as one of its listening sockets sees it."""

    def end_listening(self, listener: Listener) -> None:
        """Accept no more from a listener. Thread: any."""

    def listening_class(self, listener: Listener) -> type:
        """Return the class of a server on this listener alone."""


class ChannelServer(TaskContext, Protocol):
    """A server, as its channels see it."""

    has_program_parser: bool
    """Whether a program has replaced something of a parser or of an error task."""

    @property
    def arriving(self) -> Connection:
        """The connection that a channel is made for, by this thread, a leader."""

    def enter_channel(self, channel: Any, map: dict[int, Any] | None) -> None:
        """Put a channel into a map, by default the server's. Thread: any."""

    def leave_channel(self, channel: Any, map: dict[int, Any] | None) -> None:
        """Take a channel off a map, by default the server's. Thread: any."""

    def end_channel(self, connection: Connection) -> None:
        """End a connection soon, and take its channel off the map at once. Thread: any."""


class TaskChannel(Protocol):
    """A channel, as its tasks see it."""

    server: Any
    """The server, a `ChannelServer`."""
    connection: Connection
    environ_builder: EnvironBuilder

    @property
    def adj(self) -> Adjustments:
        """The settings of the server."""
