"""The application that `features.py` asks, by path."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGE_PIECES = 128  # of 64 KiB
SLOW_SECONDS = 1.5


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/large":
        start_response("200 OK", [("Content-Length", str(LARGE_PIECES * 65536))])
        return (bytes(65536) for _ in range(LARGE_PIECES))
    write = start_response("200 OK", [("Content-Type", "text/plain")])
    if path == "/write":
        write(b"written")
        return []
    if path == "/read":
        return [environ["wsgi.input"].read(int(environ["CONTENT_LENGTH"]))]
    if path == "/slow":
        return slow()
    return [
        f"file_wrapper: {'wsgi.file_wrapper' in environ}\n"
        f"forwarded_for: {environ.get('HTTP_X_FORWARDED_FOR')}\n"
        f"remote_addr: {environ['REMOTE_ADDR']}\n".encode()
    ]


def slow() -> Iterator[bytes]:
    yield b"started"
    time.sleep(SLOW_SECONDS)
    yield b"done"
