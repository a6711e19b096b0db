"""Binds listening sockets: TCP addresses and unix sockets, all of them or none.

Thread: any, before the server runs.
"""

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Iterable, Iterator

from ..config.addresses import AF_UNIX, IPPROTO_IPV6, IPV6_V6ONLY, ListenAddress, bracketed
from ..config.adjustments import Adjustments
from .listener import Listener


@contextlib.contextmanager
def naming(address: str) -> Iterator[None]:
    """Name the address in an OSError; its type and errno stay."""
    try:
        yield
    except OSError as error:
        message = f"Cannot listen on {address}: {error.strerror or error}"
        # Without a number it is Python that refuses, for example a path that is too long.
        raise (OSError(message) if error.errno is None else OSError(error.errno, message)) from None


def reuse_address(sock: socket.socket) -> None:
    """Allow an address to be bound again soon after its last use."""
    if sys.platform != "win32":  # there it would let a second server take the port over
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)


def separate_families(sock: socket.socket) -> None:
    """Keep IPv4 off an IPv6 socket: IPv4 has its own sockets, and an address means the same on every system."""
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
    """Bind and listen on a unix socket; a socket that an earlier server left at the path is replaced.

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


def open_listeners(adj: Adjustments, addresses: Iterable[ListenAddress]) -> list[Listener]:
    """Open a listener for each given socket, or for the unix socket, or for each address: all of them, or none.

    Raises:
        OSError: an address cannot be bound; those opened before it are closed again.
    """
    listeners: list[Listener] = []
    try:
        if adj.sockets:
            for sock in adj.sockets:
                sock.listen(adj.backlog)
                listeners.append(Listener(sock, owns_socket=False))
        elif adj.unix_socket is not None:
            listeners.append(_own(bind_unix(adj.unix_socket, adj.unix_socket_perms, adj.backlog)))
        else:
            for address in addresses:
                sock = bind_inet(address, adj.backlog)
                listeners.append(
                    _own(sock, scheme=address.scheme or "http", has_proxy_prelude=address.has_proxy_prelude)
                )
    except BaseException:
        for listener in listeners:
            listener.close()
        raise
    return listeners


def _own(sock: socket.socket, *, scheme: str = "http", has_proxy_prelude: bool = False) -> Listener:
    try:
        return Listener(sock, owns_socket=True, scheme=scheme, has_proxy_prelude=has_proxy_prelude)
    except BaseException:
        sock.close()
        raise
