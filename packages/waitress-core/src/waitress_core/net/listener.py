"""A listening socket: bound, inherited or given.

Knows where it listens and how to accept; whether there is room for a client is decided by `connection.acceptor`.
"""

import contextlib
import os
import socket
import sys
from typing import Any

from ..config.addresses import AF_UNIX, bracketed
from .errors import error_numbers

# Errors of `accept` that the next attempt would meet too: no resources, or no listener any more. All others belong to
# the client that waited: Linux passes on whatever the network reports of it (accept(2)), and other systems do the like.
_NO_RESOURCES = error_numbers("EMFILE", "ENFILE", "ENOBUFS", "ENOMEM")
_NO_LISTENER = error_numbers("EBADF", "EINVAL", "ENOTSOCK", "NOTINITIALISED")
_LASTING = _NO_RESOURCES | _NO_LISTENER

HANDOVER_VARIABLE = "_WAITRESS_HANDOVER"  # of the environment: another process passes its sockets, see `handover`


def file_of(descriptor: int) -> tuple[int, int] | None:
    """Return which file is behind a descriptor, None if it is closed: the number may be another file's later."""
    if sys.platform == "win32":  # a socket is no file there
        return None
    try:
        status = os.fstat(descriptor)
    except OSError:
        return None
    return status.st_dev, status.st_ino


class ClientLeft(Exception):
    """The client that waited cannot be accepted: it has left, or the network has failed it."""


class ListeningSocket(socket.socket):
    """A socket that accepts a client in fewer steps, with family and type as plain attributes.

    A plain socket makes enum members of both for each client, for which one request on one connection costs 6 % more;
    and it sets a timeout, which `net.transport` does in any case.
    """

    __slots__ = ("family", "type")

    def __init__(self, family: int, type: int, proto: int = 0, fileno: int | None = None) -> None:
        super().__init__(family, type, proto, fileno)
        self.family: Any = family
        self.type: Any = type

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a client; whether its socket blocks is not defined."""
        descriptor, address = self._accept()  # type: ignore[attr-defined]  # of every interpreter, but of no stub
        return socket.socket(self.family, self.type, self.proto, descriptor), address


class Listener:
    """One listening socket.

    `owns_socket`: close it at the end; a given socket belongs to its giver. `owns_path`: remove its path then, which is
    somebody else's if the socket was inherited. `scheme` is what its clients speak, "http" or "https"; with
    `has_proxy_prelude` a PROXY protocol header comes before that.
    """

    def __init__(
        self,
        sock: socket.socket,
        *,
        owns_socket: bool,
        owns_path: bool = True,
        scheme: str = "http",
        has_proxy_prelude: bool = False,
    ) -> None:
        sock.setblocking(False)
        # Set once, read anywhere
        self.socket = sock
        self.descriptor = sock.fileno()
        self._file = file_of(self.descriptor)
        self.owns_socket = owns_socket
        self.owns_path = owns_path
        self.scheme = scheme
        self.has_proxy_prelude = has_proxy_prelude
        self.is_unix = sock.family == AF_UNIX
        self._path = ""
        self._path_identity: tuple[int, int] | None = None  # until the path is removed
        self._left_identity: tuple[int, int] | None = None  # while another process owns the path
        name = sock.getsockname()
        if self.is_unix:
            self.host, self.port = "unix", os.fsdecode(name)
            if owns_socket and owns_path:
                self._path = os.path.abspath(self.port)  # an application may change the working directory
                status = os.stat(self._path)
                self._path_identity = (status.st_dev, status.st_ino)
        else:
            self.host, self.port = str(name[0]), str(name[1])

    def __repr__(self) -> str:
        return f"<Listener {self.host}:{self.port}>"

    def request_scheme(self, url_scheme: str) -> str:
        """Return wsgi.url_scheme of its requests; the setting `url_scheme` is for a proxy that ends TLS."""
        return "https" if self.scheme == "https" else url_scheme

    def server_port(self, url_scheme: str) -> str:
        """Return the decimal port for SERVER_PORT, which is never empty (PEP 3333): a unix socket has its scheme's."""
        if self.is_unix:
            return "443" if self.request_scheme(url_scheme) == "https" else "80"
        return self.port

    @property
    def url_authority(self) -> tuple[str, str]:
        """Host and port as they are written in a URL."""
        return bracketed(self.host), self.port.replace("\0", "@")  # of Linux: a name that is no path

    @property
    def url(self) -> str:
        """Its address: `http://HOST:PORT`, or `http://unix:PATH`."""
        return "{}://{}:{}".format(self.scheme, *self.url_authority)

    def accept(self) -> tuple[socket.socket, Any] | None:
        """Accept one client: its socket and address; None when none waits. Thread: the leader.

        Raises:
            ClientLeft: the client that waited has left already; another one may wait.
            OSError: none can be accepted now: out of descriptors or memory, or the socket is no listener any more.
        """
        try:
            accepted, peer = self.socket.accept()
        except BlockingIOError:
            return None
        except OSError as error:
            if error.errno in _LASTING:
                raise
            raise ClientLeft from error
        if not peer and not self.is_unix:  # macOS: the client has left already
            accepted.close()
            raise ClientLeft
        return accepted, peer

    def close(self) -> None:
        """Stop listening; any number of times."""
        if not self.owns_socket:
            return
        with contextlib.suppress(OSError):  # somebody else has closed it: see `lifecycle.descriptors`
            self.socket.close()
        if self._path_identity is not None:
            with contextlib.suppress(OSError):  # it is gone, or not ours to remove
                status = os.stat(self._path)
                # Another server may have put its own socket there.
                if (status.st_dev, status.st_ino) == self._path_identity:
                    os.unlink(self._path)
            self._path_identity = None

    @property
    def is_lost(self) -> bool:
        """Whether other code has closed the descriptor, without the socket that has it. Thread: any."""
        # The second is asked last: the leader may close the socket in between.
        return file_of(self.descriptor) != self._file and self.socket.fileno() != -1

    def duplicate(self) -> "Listener":
        """Return another listener on the same socket, with its own descriptor."""
        return Listener(
            self.socket.dup(),
            owns_socket=True,
            owns_path=False,
            scheme=self.scheme,
            has_proxy_prelude=self.has_proxy_prelude,
        )

    def leave_path(self) -> None:
        """Leave the path at the end: another process owns it."""
        self._left_identity, self._path_identity = self._path_identity, None

    def reclaim_path(self) -> None:
        """Remove the path at the end after all: the process that owned it is gone."""
        self._path_identity = self._left_identity

    def abandon_after_fork(self) -> None:
        """Close a forked child's copy of the socket; the path is the parent's."""
        self.leave_path()
        self.socket.close()
