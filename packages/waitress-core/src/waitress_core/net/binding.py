"""Binds listening sockets, TCP addresses and unix sockets, or inherits them: all of them or none.

Thread: any, before the server runs.
"""

import contextlib
import errno
import os
import socket
import stat
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager

from ..config.addresses import AF_UNIX, IPPROTO_IPV6, IPV6_V6ONLY, ListenAddress, ListenWord, bracketed
from ..config.adjustments import Adjustments
from .listener import HANDOVER_VARIABLE, Listener, ListeningSocket

# Of `bind` on Windows, which has its own sentences for them. 10013 is also that of a port in a reserved range.
_WINDOWS_CAUSES = {
    10048: "Address already in use",
    10049: "Cannot assign requested address",
    10013: "Permission denied; another program listens there, or the port is reserved",
}

_O_PATH: int = getattr(os, "O_PATH", 0o10000000)  # of Linux; PyPy has no name for it


@contextlib.contextmanager
def _naming(address: str, remedy: Callable[[OSError], str]) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        cause = _WINDOWS_CAUSES.get(getattr(error, "winerror", 0)) or error.strerror or error
        message = f"Cannot listen on {address}: {cause}{remedy(error)}"
        # Without a number it is Python that refuses, for example a path that is too long.
        raise (OSError(message) if error.errno is None else OSError(error.errno, message)) from None


def naming_inet(host: str, port: int) -> AbstractContextManager[None]:
    """Name the address in an OSError, with the remedy if there is one; its type and errno stay."""

    def remedy(error: OSError) -> str:
        if error.errno == errno.EADDRINUSE:
            return "; something listens there: end it, or choose another port"
        if error.errno == errno.EADDRNOTAVAIL:
            return "; no interface of this machine has the address: choose one that it has, or 0.0.0.0 for all of them"
        if error.errno != errno.EACCES or not 0 < port < 1024 or sys.platform == "win32":
            return ""
        return (
            "; a port below 1024 needs a privilege: choose another, such as 8080, behind a proxy, or listen on "
            "systemd, which passes its socket"
        )

    return _naming(f"{bracketed(host)}:{port}", remedy)


def naming_path(path: str) -> AbstractContextManager[None]:
    """Name the path in an OSError, as `naming_inet` does with an address."""
    folder = os.path.dirname(os.path.abspath(path))

    def remedy(error: OSError) -> str:
        if error.errno == errno.ENOENT and not os.path.exists(folder):
            return f"; there is no folder {folder}: make it first"
        if error.errno == errno.EACCES and not os.access(folder, os.W_OK | os.X_OK):
            return f"; this user may not create files in {folder}: choose a folder in which the user may"
        if error.errno is None and "too long" in str(error):
            return (
                f"; it has {len(os.fsencode(path))} bytes, and about 100 fit: choose a shorter one, or a relative one"
            )
        return ""

    return _naming(path, remedy)


def reserve_address(sock: socket.socket) -> None:
    """Let an address be bound again soon after its last use, but by nobody else while this socket has it."""
    if sys.platform == "win32":
        # There SO_REUSEADDR lets a second server in, and without this option one that sets it can bind next to ours.
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_EXCLUSIVEADDRUSE, 1)
    else:
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
    with naming_inet(host, port):
        sock = ListeningSocket(address.family, address.type, address.protocol)
        try:
            reserve_address(sock)
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
        OSError: with the errno of the cause, EADDRINUSE while another server listens there; the message names the path.
    """
    with naming_path(path):
        if AF_UNIX is None:
            raise OSError(errno.EAFNOSUPPORT, "this system has no unix sockets")
        _remove_stale_socket(path, AF_UNIX)
        sock = ListeningSocket(AF_UNIX, socket.SOCK_STREAM)
        is_bound = False
        try:
            if sys.platform == "linux":
                os.fchmod(sock.fileno(), permissions)  # there these become the path's, less the umask
            sock.bind(path)
            is_bound = True
            _set_permissions(path, permissions)  # before listen: nobody can connect with other permissions
            sock.listen(backlog)
        except BaseException:
            sock.close()
            if is_bound:
                os.unlink(path)
            raise
        return sock


def _remove_stale_socket(path: str, family: int) -> None:
    """Remove a socket that nobody listens on, or a link to one."""
    in_use = os.strerror(errno.EADDRINUSE)
    try:
        is_socket = stat.S_ISSOCK(os.stat(path).st_mode)
    except FileNotFoundError:
        if os.path.islink(path):
            raise OSError(errno.EADDRINUSE, f"{in_use} by a link to a file that does not exist") from None
        return
    if not is_socket:
        raise OSError(errno.EADDRINUSE, f"{in_use} by a file that is not a socket")
    with socket.socket(family, socket.SOCK_STREAM) as client:
        client.setblocking(False)  # a server with a full backlog lets others wait
        try:
            client.connect(path)
        except (ConnectionRefusedError, FileNotFoundError):  # only the socket's file is left
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            return
        except PermissionError as error:
            raise OSError(error.errno, f"{error.strerror} to connect to the socket that is there") from None
        except OSError:  # EAGAIN of a full backlog, EPROTOTYPE of a socket for datagrams
            pass
    raise OSError(errno.EADDRINUSE, f"{in_use} by a running server")


def _set_permissions(path: str, permissions: int) -> None:
    """Set the permissions of the socket at a path; if somebody has put a link there meanwhile, not those of its target.

    Raises:
        OSError: they cannot be set, or it is no socket any more.
    """
    if sys.platform != "linux":
        os.chmod(path, permissions, follow_symlinks=os.chmod not in os.supports_follow_symlinks)
        return
    # Linux has no chmod that does not follow links, but a descriptor stays that of one file, whatever the path becomes.
    descriptor = os.open(path, _O_PATH | os.O_NOFOLLOW)
    try:
        mode = os.fstat(descriptor).st_mode
        if not stat.S_ISSOCK(mode):
            raise OSError(errno.EADDRINUSE, f"{os.strerror(errno.EADDRINUSE)} by a file that is not a socket")
        if stat.S_IMODE(mode) != permissions:
            os.chmod(f"/proc/self/fd/{descriptor}", permissions)
    finally:
        os.close(descriptor)


def handed_over(family: int, address: object) -> socket.socket | None:
    """Return the listening socket of this address that a supervisor has kept open; mostly there is none."""
    if HANDOVER_VARIABLE not in os.environ and f"{__package__}.handover" not in sys.modules:
        return None
    from .handover import received  # lazy import: only the successor of a supervisor needs it

    handover = received()
    return None if handover is None else handover.take(family, address)


def open_listeners(adj: Adjustments, addresses: Iterable[ListenAddress]) -> list[Listener]:
    """Open a listener for each given socket, or for the unix socket, or for each address: all of them, or none.

    Raises:
        OSError: an address cannot be bound; those opened before it are closed again.
        ValueError: there is no such socket to inherit, or none for the certificate that is set; the same.
    """
    listeners: list[Listener] = []
    try:
        if adj.sockets:
            for sock in adj.sockets:
                sock.listen(adj.backlog)
                listeners.append(Listener(sock, owns_socket=False, scheme=adj.given_scheme))
        elif adj.unix_socket is not None:
            handed = None if AF_UNIX is None else handed_over(AF_UNIX, adj.unix_socket)
            sock = handed or bind_unix(adj.unix_socket, adj.unix_socket_perms, adj.backlog)
            listeners.append(_own(sock, default_scheme=adj.given_scheme))
        else:
            for address in addresses:
                if address.inherited is None:
                    sock = handed_over(address.family, address.address) or bind_inet(address, adj.backlog)
                    listeners.append(_own(sock, address, default_scheme=adj.default_scheme))
                else:
                    listeners.extend(_inherit(address.inherited, address, adj, listeners))
        if adj.has_tls and all(listener.scheme != "https" for listener in listeners):
            from ..config.tls import no_listener  # lazy import: only servers that speak TLS need it

            raise no_listener(adj, "inherited unix sockets speak TLS only as https://systemd or https://fd:3")
    except BaseException:
        for listener in listeners:
            if listener.owns_socket and not listener.owns_path:
                listener.socket.detach()  # inherited: another listener may use the same descriptor
            listener.close()
        raise
    return listeners


def _own(
    sock: socket.socket, address: ListenAddress | None = None, *, default_scheme: str = "http", owns_path: bool = True
) -> Listener:
    """Return the listener of a socket, which speaks what the word of its address says, or else `default_scheme`."""
    scheme, has_proxy_prelude = ("", False) if address is None else (address.scheme, address.has_proxy_prelude)
    try:
        return Listener(
            sock,
            owns_socket=True,
            owns_path=owns_path,
            scheme=scheme or default_scheme,
            has_proxy_prelude=has_proxy_prelude,
        )
    except BaseException:
        sock.close()
        raise


def _inherit(word: ListenWord, address: ListenAddress, adj: Adjustments, listeners: list[Listener]) -> list[Listener]:
    from .activation import inherited_sockets  # lazy import: only servers that inherit sockets need it

    taken = {listener.descriptor for listener in listeners}
    found = []
    for sock in inherited_sockets(word, taken):
        default_scheme = adj.given_scheme if sock.family == AF_UNIX else adj.default_scheme
        # Whoever passed a socket keeps it, and its path with it: the next process listens there.
        found.append(_own(sock, address, default_scheme=default_scheme, owns_path=False))
    return found
