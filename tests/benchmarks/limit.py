"""The limit of the interpreter: one thread, one loop, the least HTTP that can be measured. It trusts its input.

python -m tests.benchmarks.limit PORT [CERTIFICATE KEY]
"""

from __future__ import annotations

import io
import os
import select
import socket
import ssl
import sys
import tempfile
from collections.abc import Iterator
from typing import IO, Any, BinaryIO

from tests.benchmarks.applications import application

MOVED_BYTES = 512 * 1024  # of a file or a body, in one call


class SecureClient:
    """A client over TLS, which sends one record at a time: the fewest calls of OpenSSL and of the system."""

    def __init__(self, client: socket.socket, context: ssl.SSLContext) -> None:
        self._client, self._incoming, self._outgoing = client, ssl.MemoryBIO(), ssl.MemoryBIO()
        self._session = context.wrap_bio(self._incoming, self._outgoing, server_side=True)
        self.fileno, self.close = client.fileno, client.close
        is_established = False
        while not is_established:
            arrived = client.recv(65536)
            if not arrived:
                raise ConnectionResetError
            self._incoming.write(arrived)
            try:
                self._session.do_handshake()
                is_established = True
            except ssl.SSLWantReadError:
                pass
            client.sendall(self._outgoing.read())

    def arrived_with_handshake(self) -> bytes:
        """Return a request that has come together with the end of the handshake: the poller reports it no more."""
        try:
            return self._session.read(65536)
        except ssl.SSLWantReadError:
            return b""

    def recv(self, size: int) -> bytes:
        data = self._client.recv(size)
        if data:
            self._incoming.write(data)
            data = self._session.read(size)
        return data

    def sendall(self, data: bytes) -> None:
        self._session.write(data)
        self._client.sendall(self._outgoing.read())


def serve(port: int, context: ssl.SSLContext | None = None) -> None:
    if sys.platform != "linux":
        raise RuntimeError("the limit is measured with epoll, which is Linux's")
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket | SecureClient] = {}
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == listener.fileno():
                accepted, _ = listener.accept()
                accepted.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                try:
                    if context is None:
                        clients[accepted.fileno()] = accepted
                    else:
                        clients[accepted.fileno()] = secure = SecureClient(accepted, context)
                        if head := secure.arrived_with_handshake():
                            answer(head, secure)
                    poller.register(accepted, select.EPOLLIN)
                except OSError:  # a check whether the port is open
                    accepted.close()
                continue
            client = clients[descriptor]
            try:
                head = client.recv(65536)
                if head:
                    answer(head, client)
            except ConnectionError:
                head = b""
            if not head or b"\r\nConnection: close\r\n" in head:
                poller.unregister(descriptor)
                del clients[descriptor]
                client.close()


class WrappedFile:
    """A file that the system sends by itself."""

    def __init__(self, file: BinaryIO, block_size: int) -> None:
        self._file, self._block_size = file, block_size

    def __iter__(self) -> Iterator[bytes]:
        return iter(lambda: self._file.read(self._block_size), b"")

    def send(self, client: socket.socket) -> None:
        with self._file:
            if sys.platform == "linux":  # as in `serve`
                while os.sendfile(client.fileno(), self._file.fileno(), None, MOVED_BYTES):
                    pass


def store_body(client: socket.socket, start: bytes, length: int, file: IO[bytes]) -> None:
    """Receive a body into a file, as a server that calls the application when the body is complete."""
    file.write(start)
    missing, room = length - len(start), memoryview(bytearray(MOVED_BYTES))
    while missing > 0 and (size := client.recv_into(room)):
        file.write(room[:size])
        missing -= size
    file.seek(0)


def answer(head: bytes, client: socket.socket | SecureClient) -> None:
    """Answer a request, of which the complete head has arrived, and perhaps a part of a body."""
    head, _, start = head.partition(b"\r\n\r\n")
    request_line, *lines = head.decode("latin-1").split("\r\n")
    method, target, _ = request_line.split(" ")
    path, _, query = target.partition("?")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": method,
        "SCRIPT_NAME": "",
        "PATH_INFO": path,
        "QUERY_STRING": query,
        "SERVER_NAME": "127.0.0.1",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
        "wsgi.file_wrapper": WrappedFile,
    }
    for line in lines:
        name, _, value = line.partition(": ")
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    if method == "POST":
        assert isinstance(client, socket.socket)  # bodies are measured without TLS
        with tempfile.TemporaryFile(buffering=0) as file:
            store_body(client, start, int(environ["HTTP_CONTENT_LENGTH"]), file)
            respond({**environ, "wsgi.input": file}, client)
    else:
        respond(environ, client)


def respond(environ: dict[str, Any], client: socket.socket | SecureClient) -> None:
    """Call the application, and send its response."""
    parts: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        parts.append(f"HTTP/1.1 {status}\r\n")
        parts.extend([f"{name}: {value}\r\n" for name, value in headers])

    body = application(environ, start_response)
    response_head = "".join([*parts, "\r\n"]).encode("latin-1")
    if isinstance(body, list):
        client.sendall(response_head + b"".join(body))
        return
    client.sendall(response_head)
    if isinstance(body, WrappedFile) and isinstance(client, socket.socket):
        body.send(client)
    else:
        for piece in body:
            client.sendall(piece)


if __name__ == "__main__":
    secure = None
    if len(sys.argv) > 2:
        secure = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        secure.load_cert_chain(sys.argv[2], sys.argv[3])
    serve(int(sys.argv[1]), secure)
