"""Listening sockets: bound, inherited or given, and what accepts from them.

`open_sockets` binds all or nothing. A `Listener` is the reactor's handler of one such socket: it accepts what is there
and gives it to the manager, which decides whether there is room.

Thread: opening, any; accepting, the holder of the lead.
"""

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from ..config.addresses import AF_UNIX, IPPROTO_IPV6, IPV6_V6ONLY, ListenAddress, bracketed
from ..config.adjustments import Adjustments
from ..reactor.poller import READ
from ..reactor.reactor import Reactor
from ..wsgi.environ import EnvironBuilder

ACCEPT_BURST = 64  # connections accepted in one turn, so that accepting does not hold up those that are there
_CLIENT_LEFT = frozenset({errno.ECONNABORTED, errno.EPROTO})  # between its arrival and now


@contextlib.contextmanager
def naming(address: str) -> Iterator[None]:
    """Have an OSError say which address cannot be had; its type and errno stay."""
    try:
        yield
    except OSError as error:
        message = f"Cannot listen on {address}: {error.strerror or error}"
        # Without a number it is Python that refuses, a path that is too long say.
        raise (OSError(message) if error.errno is None else OSError(error.errno, message)) from None


def reuse_address(sock: socket.socket) -> None:
    """Let an address be bound again soon after its last use."""
    if sys.platform != "win32":  # there it would let a second server take the port over
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def separate_families(sock: socket.socket) -> None:
    """Keep IPv4 off an IPv6 socket: it has sockets of its own, and an address then means the same on every system."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(IPPROTO_IPV6, IPV6_V6ONLY, 1)


def bind_inet(address: ListenAddress, backlog: int) -> socket.socket:
    """Bind and listen on a TCP address.

    Raises:
        OSError: with the errno of the cause; the message names the address.
    """
    host, port = address.address[:2]
    with naming(f"{bracketed(host)}:{port}"):
        sock = socket.socket(address.family, address.type, address.protocol)
        try:
            reuse_address(sock)
            separate_families(sock)
            sock.bind(address.address)
            sock.listen(backlog)
        except BaseException:
            sock.close()
            raise
        return sock


def bind_unix(path: str, permissions: int, backlog: int) -> socket.socket:
    """Bind and listen on a unix socket; a socket that an earlier server has left at the path is replaced.

    Raises:
        OSError: with the errno of the cause; the message names the path.
    """
    with naming(path):
        if AF_UNIX is None:
            raise OSError(errno.EAFNOSUPPORT, "this system has no unix sockets")
        sock = socket.socket(AF_UNIX, socket.SOCK_STREAM)
        is_bound = False
        try:
            with contextlib.suppress(FileNotFoundError):
                if not stat.S_ISSOCK(os.stat(path).st_mode):
                    in_use = os.strerror(errno.EADDRINUSE)
                    raise OSError(errno.EADDRINUSE, f"{in_use} by what is not a socket")
                os.unlink(path)
            sock.bind(path)
            is_bound = True
            os.chmod(path, permissions)  # before listen: nobody can connect with other permissions
            sock.listen(backlog)
        except BaseException:
            sock.close()
            if is_bound:
                os.unlink(path)
            raise
        return sock


class Gate(Protocol):
    """What decides about new connections."""

    def has_room(self) -> bool:
        """Whether another connection may be held."""

    def make_room(self) -> bool:
        """Close a connection that can be spared; false when there is none, and accepting has been paused."""

    def pause_accepting(self, listener: "Listener", cause: OSError) -> None:
        """Accept nothing from this listener for a while: the next attempt would fail too."""

    def add(self, accepted: socket.socket, peer: Any, listener: "Listener") -> None:
        """Take a connection on."""


class Listener:
    """One listening socket.

    `owns_socket`: close it, and remove its path, at the end; a socket that was given belongs to who gave it.
    """

    def __init__(self, sock: socket.socket, adj: Adjustments, owns_socket: bool) -> None:
        sock.setblocking(False)
        self.socket = sock
        self.descriptor = sock.fileno()
        self.interest = 0
        self.owns_socket = owns_socket
        self.is_unix = sock.family == AF_UNIX
        self._path = ""
        self._path_identity: tuple[int, int] | None = None
        name = sock.getsockname()
        if self.is_unix:
            self.host, self.port = "unix", os.fsdecode(name)
            # PEP 3333: SERVER_PORT is never empty; a path is no port.
            server_port = "443" if adj.url_scheme == "https" else "80"
            if owns_socket:
                self._path = os.path.abspath(self.port)  # an application may change the working directory
                status = os.stat(self._path)
                self._path_identity = (status.st_dev, status.st_ino)
        else:
            self.host, self.port = str(name[0]), str(name[1])
            server_port = self.port
        self.environ_builder = EnvironBuilder(adj, server_port)
        self._gate: Gate | None = None

    def __repr__(self) -> str:
        return f"<Listener {self.host}:{self.port}>"

    @property
    def url_authority(self) -> tuple[str, str]:
        """Host and port as they stand in a URL."""
        return bracketed(self.host), self.port.replace("\0", "@")  # of Linux: a name that is no path

    # --- the holder of the lead

    def begin(self, gate: Gate, reactor: Reactor) -> None:
        """Begin to accept."""
        self._gate = gate
        reactor.watch(self, READ)

    def on_ready(self, readiness: int) -> None:
        """Accept what waits, if there is room for it."""
        gate = self._gate
        assert gate is not None
        if not gate.has_room() and not gate.make_room():
            return
        for _ in range(ACCEPT_BURST):
            # Only for a client that is surely there a connection is closed: not in the later rounds.
            if not self.accept_one(gate) or not gate.has_room():
                return

    def accept_one(self, gate: Gate) -> bool:
        """Accept one connection; false when there is none now, or none can be had."""
        try:
            accepted, peer = self.socket.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            if error.errno in _CLIENT_LEFT:
                return True
            # Out of descriptors or memory, or the socket's owner has ended it: trying again at once would spin.
            gate.pause_accepting(self, error)
            return False
        if not peer and not self.is_unix:  # macOS: the client has left already
            accepted.close()
            return True
        gate.add(accepted, peer, self)
        return True

    def on_notify(self) -> None:
        """No worker asks for it."""

    def on_fault(self) -> None:
        """A fault while one connection was accepted: the others still come."""

    def close(self) -> None:
        """Stop listening; any number of times."""
        if not self.owns_socket:
            return
        self.socket.close()
        if self._path_identity is not None:
            with contextlib.suppress(OSError):  # it is gone, or not ours to remove
                status = os.stat(self._path)
                # Another server may have put its own socket there.
                if (status.st_dev, status.st_ino) == self._path_identity:
                    os.unlink(self._path)
            self._path_identity = None

    def abandon_after_fork(self) -> None:
        """Close a forked child's copy of the socket; the path is the parent's."""
        self._path_identity = None
        self.socket.close()


def open_listeners(adj: Adjustments, addresses: Iterable[ListenAddress]) -> list[Listener]:
    """Open a listener for each given socket, or for the unix socket, or for each address: all or none.

    Raises:
        OSError: an address that cannot be had; those opened before it are closed again.
    """
    listeners: list[Listener] = []
    try:
        if adj.sockets:
            for sock in adj.sockets:
                sock.listen(adj.backlog)
                listeners.append(Listener(sock, adj, owns_socket=False))
        elif adj.unix_socket is not None:
            listeners.append(_own(bind_unix(adj.unix_socket, adj.unix_socket_perms, adj.backlog), adj))
        else:
            for address in addresses:
                listeners.append(_own(bind_inet(address, adj.backlog), adj))
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _own(sock: socket.socket, adj: Adjustments) -> Listener:
    try:
        return Listener(sock, adj, owns_socket=True)
    except BaseException:
        sock.close()
        raise
