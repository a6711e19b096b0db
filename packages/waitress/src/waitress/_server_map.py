"""The map of a server: what a program sees of everything that is open, by descriptor.

It has a channel for each client, but not before a program looks at the map, or has a use for channels in another way:
they would cost each connection a tenth of its instructions, and an idle one a fifth of its memory.
"""

import threading
from collections.abc import Callable, Iterable
from typing import Any

from waitress_core.connection.connection import Connection
from waitress_core.connection.states import CLOSED


class ServerMap:
    """The entries, and the channels of open connections. Thread: any, where nothing else is said."""

    def __init__(
        self,
        given: dict[int, Any] | None,
        *,
        make_channel: Callable[[Connection], Any],
        connections: Callable[[], Iterable[Connection]],  # all that are open
    ) -> None:
        self._make_channel = make_channel
        self._connections = connections
        self.entries: dict[int, Any] = {} if given is None else given  # programs change it as well
        self.channels: dict[Connection, Any] = {}  # one that is off the map may still have a request
        # Whether each connection gets a channel; from then on, they do. A program may look at its own map at any time.
        self.has_channels = given is not None
        self.has_hooks = False  # of the run: a program wants to see channels enter and leave the map
        # Held while the first look makes the channels: that of another thread waits until the map has them all.
        # Reentrant, because a program's channel may look at the map.
        self._first_look = threading.RLock()
        # Without it another thread could enter a descriptor between the check and the pop of `remove`. Reentrant,
        # because a signal handler may close the server in between.
        self._lock = threading.RLock()

    def for_program(self) -> dict[int, Any]:
        """Return the entries to a program, which sees all that happens to them from now on."""
        with self._first_look:
            if not self.has_channels:
                self.has_channels = True  # before the connections are read: the leader makes the channels of later ones
                for connection in self._connections():
                    self.open(connection)
        return self.entries

    def open(self, connection: Connection) -> None:
        """Make the channel of a connection, unless it has one or has ended, and enter it."""
        channel = self._make_channel(connection)
        with self._lock:
            # At a program's first look, its thread and the leader may make one each, or the connection may end.
            if connection in self.channels or connection.sender.state is CLOSED:
                return
            self.channels[connection] = channel
            if not self.has_hooks:
                self.entries[connection.descriptor] = channel
        if self.has_hooks:
            channel.add_channel()

    def close(self, connection: Connection) -> Any:
        """Take the channel of a connection that has ended off the map, and return it; None without one."""
        with self._lock:
            channel = self.channels.pop(connection, None)
        if self.has_hooks:
            self.remove_channel(connection)
        else:
            self.remove(connection.descriptor, channel)
        return channel

    def enter(self, descriptor: int, entry: Any, map: dict[int, Any] | None = None) -> None:
        """Put this into a map, by default this one."""
        with self._lock:
            (self.entries if map is None else map)[descriptor] = entry

    def remove(self, descriptor: int, entry: object, map: dict[int, Any] | None = None) -> None:
        """Take this off a map, by default this one, unless the descriptor is another's already."""
        entries = self.entries if map is None else map
        with self._lock:
            if entries.get(descriptor) is entry:
                entries.pop(descriptor, None)

    def remove_channel(self, connection: Connection) -> None:
        """Take the channel of a connection off the map."""
        entry: Any = self.entries.get(connection.descriptor)
        if getattr(entry, "connection", None) is connection:
            if self.has_hooks:
                entry.del_channel()
            else:
                self.remove(connection.descriptor, entry)

    def abandon_after_fork(self) -> None:
        """In a forked child: another thread of the parent may have held the locks."""
        self._first_look = threading.RLock()
        self._lock = threading.RLock()
