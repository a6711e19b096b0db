"""The applications that `features.py` asks: one by path, and one of ASGI."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LARGE_PIECES = 128  # of 64 KiB
SLOW_SECONDS = 1.5


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    path = environ["PATH_INFO"]
    if path == "/large":
        start_response("200 OK", [("Content-Length", str(LARGE_PIECES * 65536))])
        return (bytes(65536) for _ in range(LARGE_PIECES))
    if path == "/hints" and "wsgi.early_hints" in environ:
        environ["wsgi.early_hints"]([("Link", "</a.css>; rel=preload")])
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
        f"remote_addr: {environ['REMOTE_ADDR']}\n"
        f"process: {os.getpid()}\n".encode()
    ]


def slow() -> Iterator[bytes]:
    yield b"started"
    time.sleep(SLOW_SECONDS)
    yield b"done"


async def asgi(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Answer a request, and accept a websocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
    elif scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/plain")]})
        await send({"type": "http.response.body", "body": b"by ASGI"})
    else:  # the lifespan of the process
        while (message := await receive())["type"] != "lifespan.shutdown":
            await send({"type": f"{message['type']}.complete"})
        await send({"type": "lifespan.shutdown.complete"})
