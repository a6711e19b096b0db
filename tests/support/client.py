"""A client that sends exactly the bytes it is given, and reads responses strictly."""

import select
import socket
import time
from collections.abc import Iterable
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from . import over_tls, strict
from .platforms import unix_socket

TIMEOUT = 60.0  # seconds; a test that waits so long for the server has failed
MOST_CHECKED_BYTES = 65536  # of a response that h11 reads too: for more it takes too long


@dataclass
class Response:
    """One response as it came: `headers` in wire order, names as sent; `body` decoded; `raw` all of its bytes."""

    version: str
    status: int
    reason: str
    headers: list[tuple[str, str]]
    body: bytes
    raw: bytes

    def all(self, name: str) -> list[str]:
        """Return the values of every field of that name, in order."""
        return [value for field, value in self.headers if field.lower() == name.lower()]

    def header(self, name: str) -> str | None:
        """Return the one value of a field; None when it is absent."""
        values = self.all(name)
        assert len(values) < 2, f"{name} is sent {len(values)} times"
        return values[0] if values else None


class Client:
    """One connection; `address` is (host, port) or the path of a unix socket."""

    def __init__(self, address: tuple[str, int] | str, timeout: float = TIMEOUT) -> None:
        self.socket: Any
        if isinstance(address, str):
            self.socket = unix_socket()
            self.socket.settimeout(timeout)
            try:
                self.socket.connect(address)
            except OSError:
                self.socket.close()
                raise
        else:
            self.socket = socket.create_connection(address, timeout)
            if address in over_tls.addresses:
                self.socket = over_tls.TlsSocket(self.socket)
        self._received = b""

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    def send(self, data: bytes) -> None:
        """Send bytes."""
        self.socket.sendall(data)

    def send_until_refused(self, pieces: Iterable[bytes]) -> None:
        """Send pieces, each at once, and stop if the server has closed the connection; its answer can be read."""
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for piece in pieces:
                self.socket.sendall(piece)
        except ConnectionError:
            pass

    def get(self, path: str = "/", *fields: str, version: str = "1.1") -> Response:
        """Send a GET with a Host field and the given field lines, and read its response."""
        lines = [f"GET {path} HTTP/{version}", "Host: localhost", *fields, "", ""]
        self.send("\r\n".join(lines).encode("latin-1"))
        return self.response()

    def response(self, method: str = "GET") -> Response:
        """Read one response to a request with that method; what comes after it is kept for the next call."""
        received = bytearray(self._received)
        self._received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            self._more(received)
        lines = received[:end].decode("latin-1").split("\r\n")
        version, status, reason = lines[0].split(" ", 2)
        headers = []
        for line in lines[1:]:
            name, separator, value = line.partition(": ")
            assert separator, f"not a field line: {line!r}"
            headers.append((name, value))
        response = Response(version, int(status), reason, headers, b"", b"")
        start = end + 4
        has_end = False
        if method == "HEAD" or response.status < 200 or response.status in (204, 304):
            stop = start
        elif response.header("Transfer-Encoding") is not None:
            assert response.header("Transfer-Encoding") == "chunked"
            assert response.header("Content-Length") is None
            response.body, stop = self._chunked(received, start)
        elif (length := response.header("Content-Length")) is not None:
            stop = start + int(length)
            while len(received) < stop:
                self._more(received)
            response.body = bytes(received[start:stop])
        else:
            received += self.rest()
            stop = len(received)
            response.body = bytes(received[start:])
            has_end = True
        response.raw = bytes(received[:stop])
        self._received = bytes(received[stop:])
        if stop <= MOST_CHECKED_BYTES:
            head, content, rest = strict.read_response(response.raw, method, has_end=has_end)
            assert (head.status_code, content, rest) == (response.status, response.body, b""), "h11 reads it otherwise"
        return response

    def rest(self) -> bytes:
        """Read until the server ends its output; a reset counts as an end."""
        received = bytearray(self._received)
        self._received = b""
        try:
            while data := self.socket.recv(65536):
                received += data
        except ConnectionError:
            pass
        return bytes(received)

    def is_closed_within(self, seconds: float) -> bool:
        """Wait up to so many seconds for the server to end the connection; discard what it sends before."""
        until = time.monotonic() + seconds
        timeout = self.socket.gettimeout()
        try:
            while (left := until - time.monotonic()) > 0:
                self.socket.settimeout(left)
                if not self.socket.recv(65536):
                    return True
        except TimeoutError:
            return False
        except ConnectionError:
            return True
        finally:
            self.socket.settimeout(timeout)
        return False

    def can_read_within(self, seconds: float) -> bool:
        """Wait up to so many seconds for bytes from the server, or for the end of the connection."""
        if isinstance(self.socket, over_tls.TlsSocket):
            return self.socket.can_read_within(seconds)
        return bool(select.select([self.socket], [], [], seconds)[0])

    def end_output(self) -> None:
        """Half-close: send no more, still read."""
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self) -> None:
        """End the connection with a reset."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    def close(self) -> None:
        """End the connection."""
        self.socket.close()

    def _more(self, received: bytearray) -> None:
        data = self.socket.recv(65536)
        assert data, f"the connection ended within a response: {bytes(received[:500])!r}"
        received += data

    def _chunked(self, received: bytearray, at: int) -> tuple[bytes, int]:
        body = bytearray()
        while True:
            while (end := received.find(b"\r\n", at)) < 0:
                self._more(received)
            size = int(bytes(received[at:end]), 16)
            at = end + 2
            while len(received) < at + size + 2:
                self._more(received)
            assert received[at + size : at + size + 2] == b"\r\n"
            body += received[at : at + size]
            at += size + 2
            if not size:
                return bytes(body), at
