"""The same tests over TLS: `pytest --tls`. Servers of `servers.running` and `processes.serving_program` speak it then.

Clients find it out by the address, so that no test has to know. A test marked `plain` is about plain connections.
"""

import http.client
import select
import socket
import ssl
import threading
import time
from functools import cache
from typing import Any

from .certificates import client_context, server_file

is_on = False  # by the option
addresses: set[Any] = set()  # (host, port) of servers that speak TLS


def settings_for(settings: dict[str, Any]) -> dict[str, Any]:
    """Return the settings of a server, with a certificate if it should speak TLS."""
    if not is_on or {"sockets", "unix_socket"} & settings.keys() or "tls_certificate" in settings:
        return settings
    return {**settings, "tls_certificate": server_file()}


def http_connection(address: tuple[str, int]) -> http.client.HTTPConnection:
    """Return a client of the standard library for a server, which may speak TLS."""
    if address not in addresses:
        return http.client.HTTPConnection(*address, timeout=20)
    return http.client.HTTPSConnection(*address, timeout=20, context=client_context())


@cache
def shared_context() -> ssl.SSLContext:
    """Return the context of clients; to load the authority for each of them would cost more than its handshake."""
    return client_context()


def unconnected_socket(address: tuple[str, int]) -> socket.socket:
    """Return a socket that speaks TLS if that server does: each `send` or `recv` goes on with the handshake first."""
    plain = socket.socket()
    if address not in addresses:
        return plain
    return shared_context().wrap_socket(plain, server_hostname="localhost", do_handshake_on_connect=False)


class TlsSocket:
    """A blocking socket over TLS, as far as tests use one; unlike `ssl.SSLSocket` it can end its output alone."""

    def __init__(self, plain: socket.socket, context: ssl.SSLContext | None = None) -> None:
        self._plain = plain
        # After a handshake the peer acknowledges late, and what a test sends in two pieces would arrive 40 ms apart.
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = (context or shared_context()).wrap_bio(
            self._incoming, self._outgoing, server_hostname="localhost"
        )
        self._lock = threading.Lock()  # a test may send in another thread: OpenSSL wants one at a time
        self._read = b""
        self._has_ended = False
        try:
            self._shake_hands()
        except BaseException:
            plain.close()
            raise

    def _shake_hands(self) -> None:
        while True:
            try:
                self._session.do_handshake()
                break
            except ssl.SSLWantReadError:
                self._flush()
            data = self._plain.recv(65536)
            if not data:
                raise ConnectionResetError("the server has ended the handshake")
            self._incoming.write(data)
        self._flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._plain, name)

    def _flush(self) -> None:
        data = self._outgoing.read()
        if data:
            self._plain.sendall(data)

    def sendall(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            with self._lock:
                view = view[self._session.write(view[:16384]) :]
            if self._outgoing.pending > 1 << 18:
                self._flush()
        self._flush()

    def send(self, data: bytes) -> int:
        """Send all, or raise as a socket that does not block."""
        piece = data[:16384]
        if not self._outgoing.pending:
            with self._lock:
                self._session.write(piece)
        rest = self._outgoing.read()
        try:
            sent = self._plain.send(rest)
        except BlockingIOError:
            self._outgoing.write(rest)
            raise
        if sent < len(rest):
            self._outgoing.write(rest[sent:])
        return len(piece)

    def recv(self, size: int, flags: int = 0) -> bytes:
        while not self._read and not self._has_ended:
            try:
                with self._lock:
                    self._read = self._session.read(65536)
                self._has_ended = not self._read
            except ssl.SSLWantReadError:
                data = self._plain.recv(65536)
                if data:
                    self._incoming.write(data)
                else:
                    self._incoming.write_eof()
            except ssl.SSLZeroReturnError:
                self._has_ended = True
            except ssl.SSLEOFError:  # a response that is cut off
                self._has_ended = True
        data, self._read = self._read[:size], self._read[size:]
        if flags & socket.MSG_PEEK:
            self._read = data + self._read
        return data

    def recv_into(self, buffer: Any) -> int:
        data = self.recv(len(buffer))
        memoryview(buffer)[: len(data)] = data
        return len(data)

    def can_read_within(self, seconds: float) -> bool:
        """Wait for data, or for the end; records that are neither do not count."""
        until = time.monotonic() + seconds
        while not self._read and not self._has_ended:
            left = max(0, until - time.monotonic())
            if not select.select([self._plain], [], [], left)[0]:
                return False
            timeout = self._plain.gettimeout()
            self._plain.settimeout(0)
            try:
                self.recv(1, socket.MSG_PEEK)
            except (BlockingIOError, ssl.SSLWantReadError):
                continue
            except ConnectionError:
                return True
            finally:
                self._plain.settimeout(timeout)
        return True

    def shutdown(self, how: int) -> None:
        """End output by close_notify, and then the socket's."""
        try:
            self._session.unwrap()
        except (ssl.SSLError, ValueError):
            pass
        self._flush()
        self._plain.shutdown(how)
