"""Connected pairs of TCP sockets."""

import socket


def tcp_pair(buffer_bytes: int | None = None) -> tuple[socket.socket, socket.socket]:
    """Return an accepted socket and its client; with `buffer_bytes` the system holds little between the two."""
    with socket.socket() as listener:
        if buffer_bytes is not None:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer_bytes)
        listener.bind(("127.0.0.1", 0))
        listener.listen(1)
        client = socket.socket()
        client.settimeout(20)
        if buffer_bytes is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer_bytes)
        client.connect(listener.getsockname())
        accepted, _ = listener.accept()
    return accepted, client


def receive_all(client: socket.socket) -> tuple[bytes, bool]:
    """Read until the peer ends; return what came, and whether the end was a reset."""
    received = bytearray()
    try:
        while data := client.recv(65536):
            received += data
    except ConnectionError:
        return bytes(received), True
    return bytes(received), False


def is_open(client: socket.socket) -> bool:
    """Whether the peer has not closed; discards what it has sent."""
    timeout = client.gettimeout()
    client.setblocking(False)
    try:
        return client.recv(65536) != b""
    except BlockingIOError:
        return True
    except ConnectionError:
        return False
    finally:
        client.settimeout(timeout)


def reset(client: socket.socket) -> None:
    """Close so that the peer sees a reset."""
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
    client.close()
