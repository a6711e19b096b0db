"""Visits of clients, each kind a function; every response is compared to its last byte.

A server that ends may end a visit, but must not cut a response.
"""

from __future__ import annotations

import contextlib
import random
import socket
import time
import zlib
from collections.abc import Callable

from tests.functional.applications import get, post
from tests.soak.application import WHOLE
from tests.support.client import Client, Response

Visit = Callable[[Client, random.Random], None]
NOTHING = b"0"  # the checksum of no body


class Ended(Exception):
    """The server has closed the connection before the first byte of a response."""


def send(client: Client, data: bytes) -> None:
    """Send; a closed connection is noticed when the response is read."""
    with contextlib.suppress(ConnectionError):
        client.send(data)


def answered(client: Client, expected: bytes) -> Response:
    """Read a response.

    Raises:
        Ended: no byte of it has arrived.
        AssertionError: it is incomplete or different.
    """
    try:
        if not client._received and not client.socket.recv(1, socket.MSG_PEEK):
            raise Ended
    except ConnectionError as error:
        raise Ended from error
    try:
        response = client.response()
    except ConnectionError as error:
        raise AssertionError("reset within a response") from error
    assert response.status == 200, response.raw[:1000]
    assert response.body == expected, f"{len(response.body)} bytes in place of {len(expected)}"
    return response


def asked(client: Client, path: str, expected: bytes, version: str = "1.1") -> None:
    """Send a GET and read its response, after which the server may close the connection."""
    send(client, get(target=path, version=version))
    if answered(client, expected).header("Connection") == "close":
        raise Ended


# --- clients that read their responses


def quick(client: Client, choice: random.Random) -> None:
    for _ in range(choice.randint(1, 10)):
        asked(client, "/", NOTHING)


def pipelined(client: Client, choice: random.Random) -> None:
    count = choice.randint(2, 20)
    send(client, get() * count)
    for _ in range(count):
        answered(client, NOTHING)


def slow_calls(client: Client, choice: random.Random) -> None:
    for _ in range(choice.randint(1, 3)):
        asked(client, "/sleep", NOTHING)


def downloads(client: Client, choice: random.Random) -> None:
    for _ in range(3):
        asked(client, choice.choice(["/pieces", "/whole", "/file"]), WHOLE)


def old_download(client: Client, choice: random.Random) -> None:
    asked(client, choice.choice(["/pieces", "/whole", "/file"]), WHOLE, version="1.0")


def slow_reader(client: Client, choice: random.Random) -> None:
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 20_000)
    send(client, get(target=choice.choice(["/pieces", "/whole", "/file"])))
    for _ in range(5):
        time.sleep(0.02)
        with contextlib.suppress(ConnectionError):
            client._received += client.socket.recv(10_000)
    answered(client, WHOLE)


def upload(client: Client, choice: random.Random) -> None:
    body = choice.randbytes(choice.randint(1, 300_000))
    if choice.random() < 0.5:
        request = post(f"Content-Length: {len(body)}", body=body)
    else:
        request = post("Transfer-Encoding: chunked", body=b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
    send(client, request)
    answered(client, b"%d" % zlib.crc32(body))


def slow_upload(client: Client, choice: random.Random) -> None:
    body = choice.randbytes(100_000)
    send(client, post(f"Content-Length: {len(body)}"))
    for at in range(0, len(body), 20_000):
        time.sleep(0.01)
        send(client, body[at : at + 20_000])
    answered(client, b"%d" % zlib.crc32(body))


# --- clients that do not


def says_nothing(client: Client, choice: random.Random) -> None:
    client.reset()


def resets_within_a_request(client: Client, choice: random.Random) -> None:
    request = post("Content-Length: 100000", body=bytes(100_000))
    send(client, request[: choice.randint(1, len(request) - 1)])
    client.reset()


def resets_within_an_answer(client: Client, choice: random.Random) -> None:
    send(client, get(target=choice.choice(["/pieces", "/whole", "/file", "/sleep"])))
    if choice.random() < 0.5:
        client.socket.recv(10_000)
    client.reset()


def talks_nonsense(client: Client, choice: random.Random) -> None:
    send(client, choice.randbytes(100) + b"\r\n\r\n")
    client.rest()


PATIENT: list[Visit] = [quick, pipelined, slow_calls, downloads, old_download, slow_reader, upload, slow_upload]
RUDE: list[Visit] = [says_nothing, resets_within_a_request, resets_within_an_answer, talks_nonsense]
