"""The limit of the interpreter: one thread, one loop, the least HTTP that can be measured. It trusts its input.

python -m tests.benchmarks.limit PORT
"""

from __future__ import annotations

import io
import select
import socket
import sys
from typing import Any

from tests.benchmarks.applications import application


def serve(port: int) -> None:
    if sys.platform != "linux":
        raise RuntimeError("the limit is measured with epoll, which is Linux's")
    listener = socket.create_server(("127.0.0.1", port), backlog=1024)
    listener.setblocking(False)
    poller = select.epoll()
    poller.register(listener, select.EPOLLIN)
    clients: dict[int, socket.socket] = {}
    while True:
        for descriptor, _ in poller.poll():
            if descriptor == listener.fileno():
                client, _ = listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                clients[client.fileno()] = client
                poller.register(client, select.EPOLLIN)
                continue
            client = clients[descriptor]
            try:
                head = client.recv(65536)
                if head:
                    client.sendall(answer(head))
            except ConnectionError:
                head = b""
            if not head or b"\r\nConnection: close\r\n" in head:
                poller.unregister(client)
                del clients[descriptor]
                client.close()


def answer(head: bytes) -> bytes:
    """Return the response to a request without a body, whose head is complete."""
    request_line, *lines = head.decode("latin-1")[:-4].split("\r\n")
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
    }
    for line in lines:
        name, _, value = line.partition(": ")
        environ["HTTP_" + name.upper().replace("-", "_")] = value
    parts: list[str] = []

    def start_response(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        parts.append(f"HTTP/1.1 {status}\r\n")
        parts.extend([f"{name}: {value}\r\n" for name, value in headers])

    body = b"".join(application(environ, start_response))
    return "".join([*parts, "\r\n"]).encode("latin-1") + body


if __name__ == "__main__":
    serve(int(sys.argv[1]))
