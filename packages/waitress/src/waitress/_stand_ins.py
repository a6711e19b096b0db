"""Tasks for a channel of a program's own, as the task and the core see them.

A program that accepts clients itself, such as aiowsgi, makes tasks for an object in the place of a channel: that has
`server`, `addr` and `write_soon`, and may have `check_client_disconnected`. A request, too, may be any object with the
attributes of a parser. Only the program knows when such a task has ended, and what becomes of the connection.
"""

import logging
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import IO, Any

from waitress_core.connection.connection import Connection
from waitress_core.reactor.poller import READ
from waitress_core.safe_logger import contained
from waitress_core.wsgi.environ import EnvironBuilder, percent_decoded
from waitress_core.wsgi.proxy_headers import ProxyPolicy
from waitress_parser import RequestHead

from .buffers import ReadOnlyFileBasedBuffer

logger = logging.getLogger("waitress")


class ParsedRequest:
    """The request of a task as the core sees it: made from what its parser shows now, which a program may change."""

    def __init__(self, parser: Any) -> None:
        self._parser = parser

    @property
    def head(self) -> RequestHead:
        """The head; the target and its parts as they came, unless a program has changed them."""
        parser = self._parser
        came: RequestHead | None = getattr(parser, "head", None)
        values = {name.lower().replace("_", "-"): value for name, value in parser.headers.items()}
        version = parser.version if parser.version in ("1.0", "1.1") else "1.0"
        is_persistent = not getattr(parser, "connection_close", _asks_for_close(version, values))
        path, authority, fields = parser.path.replace("%", "%25"), None, list(values.items())
        if came is not None:
            # The lines as they came, which a trusted proxy's header is read by.
            new = [(name, value) for name, value in fields if came.values.get(name) != value]
            fields = [(name, value) for name, value in came.fields if name in values and name not in dict(new)] + new
            if percent_decoded(came.path) == parser.path:
                path = came.path
            if came.values.get("host") == values.get("host"):
                authority = came.authority
        return RequestHead(
            method=parser.command,
            target=getattr(parser, "request_uri", path),
            version=version,
            fields=fields,
            values=values,
            authority=authority,
            path=path,
            query=parser.query,
            content_length=0,  # the header CONTENT_LENGTH is among the values
            is_persistent=is_persistent,
            expects_continue=False,
        )

    @property
    def body_bytes(self) -> int:
        """Length of the body."""
        size: int = getattr(self._parser, "body_bytes_received", 0)
        return size

    def open_body(self) -> IO[bytes]:
        """Return the body as a file at its start."""
        file: IO[bytes] = self._parser.get_body_stream()
        return file

    def close(self) -> None:
        """Release the room of the body. Raises nothing: what comes next ends the request."""
        close = getattr(self._parser, "close", None)
        if close is not None:
            try:
                close()
            except BaseException:  # the program's
                with contained:
                    logger.exception("Exception in close of %r", self._parser)


def _asks_for_close(version: str, values: dict[str, str]) -> bool:
    connection = values.get("connection", "").lower()
    return connection == "close" if version == "1.1" else connection != "keep-alive"


class StandInConnection:
    """A program's channel, by what a task uses of a connection and its sender."""

    has_pending = False
    interest = READ  # the program watches for the client's end
    outbox = None
    sent_bytes = 0

    def __init__(self, channel: Any) -> None:
        self._channel = channel
        self.sender = self
        self.reactor = SimpleNamespace(clock=time.monotonic)
        self.arrived_at = time.monotonic()

    @property
    def remote_addr(self) -> str:
        """Address of the client."""
        address: str = self._channel.addr[0]
        return address

    @property
    def remote_port(self) -> str:
        """Port of the client; empty without one."""
        port = self._channel.addr[1]
        return "" if port is None else str(port)

    def is_client_gone(self) -> bool:
        """Whether the client has disconnected."""
        check = getattr(self._channel, "check_client_disconnected", None)
        return check is not None and bool(check())

    has_lost_client = is_client_gone

    def wants_close(self) -> bool:
        """Return False: the program ends its connections."""
        return False

    def send(self, data: bytes) -> None:
        """Send bytes."""
        if data:
            self._channel.write_soon(data)

    def finish(self, ending: object, response: object) -> None:
        """Do nothing: the program knows."""


class NoPolicy:
    """The policy of a program's own server: none but what its application does."""

    is_needed = False


class StandInContext:
    """The server of a program's channel, by what a task uses of it."""

    def __init__(self, server: Any) -> None:
        self._server = server
        self.adj = server.adj
        # A server of 3.0 had the policy in its application.
        self.proxy_policy: ProxyPolicy | NoPolicy = getattr(server, "proxy_policy", None) or NoPolicy()

    @property
    def application(self) -> Any:
        """What is called with each request."""
        return self._server.application


def is_served(channel: Any) -> bool:
    """Return whether a channel is one of a server that runs, and not a program's own."""
    return isinstance(getattr(channel, "connection", None), Connection) and hasattr(channel, "environ_builder")


class StandInEnvirons:
    """Makes environs for a program's channel, from what its server says."""

    is_tls = False

    def __init__(self, channel: Any) -> None:
        self._server = channel.server

    def build(
        self, request: ParsedRequest, remote_addr: str, remote_port: str, client_disconnected: Callable[[], bool]
    ) -> Any:
        """Return the environ of one request from one peer."""
        server, adj = self._server, self._server.adj
        settings: Any = SimpleNamespace(
            url_prefix=adj.url_prefix,
            url_scheme=getattr(adj, "url_scheme", "http"),
            server_name=server.server_name,
            ident=adj.ident,
        )
        environ_builder = EnvironBuilder(settings, str(server.effective_port), settings.url_scheme)
        environ_builder.offer("wsgi.file_wrapper", ReadOnlyFileBasedBuffer)
        parsed: Any = request
        return environ_builder.build(parsed, remote_addr, remote_port, client_disconnected)
