"""The servers, as waitress 3.0 offers them: those of `waitress_core`, with its constructors."""

import socket
from typing import TYPE_CHECKING, Any

import waitress_core
from waitress_core import TaskSink
from waitress_core.addresses import AF_UNIX, ListenAddress
from waitress_core.listeners import Listener, open_listeners
from waitress_core.server import kind_of_server

from .adjustments import Adjustments

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication


class BaseWSGIServer(waitress_core.BaseWSGIServer):
    """A server; the settings come as `adj` or as keyword arguments.

    It listens on `_sock`, which the caller closes; else on `sockinfo`, one entry of `Adjustments.listen`; else where
    the settings say. `bind_socket` allows to bind a `_sock` that has no address. `_start` has no effect.
    """

    def __init__(
        self,
        application: "WSGIApplication",
        map: dict[int, Any] | None = None,
        _start: bool = True,
        _sock: socket.socket | None = None,
        dispatcher: TaskSink | None = None,
        adj: waitress_core.Adjustments | None = None,
        sockinfo: tuple[Any, ...] | None = None,
        bind_socket: bool = True,
        **adjustments: Any,
    ) -> None:
        self._given_socket = _sock
        self._given_address = sockinfo
        self._binds_socket = bind_socket
        super().__init__(application, map, dispatcher, Adjustments(**adjustments) if adj is None else adj)

    def _open(self, adj: waitress_core.Adjustments) -> list[Listener]:
        sock = self._given_socket
        address = None if self._given_address is None else ListenAddress(*self._given_address)
        if sock is not None:
            if self._binds_socket and _is_unbound(sock):
                sock.bind((address or adj.listen[0]).address)
            sock.listen(adj.backlog)
            return [Listener(sock, adj, owns_socket=False)]
        if address is not None and address.family != AF_UNIX:
            return open_listeners(adj, [address])
        return super()._open(adj)


def _is_unbound(sock: socket.socket) -> bool:
    try:
        name = sock.getsockname()
    except OSError:  # what Windows says of such a socket
        return True
    return not name if sock.family == AF_UNIX else not name[1]


class TcpWSGIServer(BaseWSGIServer, waitress_core.TcpWSGIServer):
    """A server on one TCP address."""


WSGIServer = TcpWSGIServer

if AF_UNIX is not None:

    class UnixWSGIServer(BaseWSGIServer, waitress_core.UnixWSGIServer):
        """A server on a unix socket, whose path it removes at its end."""


class MultiSocketServer(BaseWSGIServer, waitress_core.MultiSocketServer):
    """A server on several listeners."""


def create_server(
    application: "WSGIApplication",
    map: dict[int, Any] | None = None,
    _start: bool = True,
    _sock: socket.socket | None = None,
    _dispatcher: TaskSink | None = None,
    **adjustments: Any,
) -> BaseWSGIServer:
    """Make the server that the settings ask for, listening: on a unix socket, on one address, or on several.

    `map` is a dict that the server keeps everything open in, by descriptor. Requests go to `_dispatcher`, if it is
    given. `_sock` is a socket to listen on; `_start` has no effect.

    Raises:
        ValueError: the settings, or an application that is None.
        OSError: an address that cannot be had; nothing stays open.
    """
    adj = Adjustments(**adjustments)
    unix = BaseWSGIServer if AF_UNIX is None else UnixWSGIServer  # the former says what the system lacks
    kind: type[BaseWSGIServer] = kind_of_server(adj, TcpWSGIServer, unix, MultiSocketServer)
    return kind(application, map, _start, _sock, _dispatcher, adj)
