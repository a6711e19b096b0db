"""A WSGI application without a framework, for clients: it shows what it was asked, and answers in every shape.

waitress-serve --listen=127.0.0.1:0 plain:application
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING
from wsgiref.validate import validator

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

READ_BYTES = 64 * 1024
RELEASE_SECONDS = 30.0

_released = threading.Event()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Find the page for the path of the request."""
    return PAGES.get(environ["PATH_INFO"], not_found)(environ, start_response)


def hello(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with a known length."""
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", "6")])
    return [b"hello\n"]


def show_environ(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with all strings of the environ, as one line of JSON."""
    strings = {name: value for name, value in environ.items() if isinstance(value, str)}
    start_response("200 OK", [("Content-Type", "application/json")])
    return [json.dumps(strings).encode() + b"\n"]


def digest(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Read the body to its end in pieces; answer with its size, its SHA-256, and what the environ says of it."""
    size, sha256 = 0, hashlib.sha256()
    while piece := environ["wsgi.input"].read(READ_BYTES):
        size += len(piece)
        sha256.update(piece)
    start_response("200 OK", [("Content-Type", "application/json")])
    told = {
        "method": environ["REQUEST_METHOD"],
        "size": size,
        "sha256": sha256.hexdigest(),
        "content_length": environ.get("CONTENT_LENGTH"),
        "transfer_encoding": environ.get("HTTP_TRANSFER_ENCODING"),
        "remote_port": environ["REMOTE_PORT"],
    }
    return [json.dumps(told).encode()]


def echo(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the body that came."""
    start_response("200 OK", [("Content-Type", environ.get("CONTENT_TYPE") or "application/octet-stream")])
    return [environ["wsgi.input"].read()]


def pieces(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Answer in pieces, with no length known before."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    for number in range(3):
        yield f"piece {number}\n".encode()


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Answer with a first piece; with the second once /release has been asked for; nginx is not to wait for both."""
    _released.clear()
    start_response("200 OK", [("Content-Type", "text/plain"), ("X-Accel-Buffering", "no")])
    yield b"first\n"
    yield b"second\n" if _released.wait(RELEASE_SECONDS) else b"nobody has asked for /release\n"


def release(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Let /stream go on."""
    _released.set()
    start_response("204 No Content", [])
    return []


def not_modified(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with a status that has no body."""
    start_response("304 Not Modified", [("ETag", '"1"')])
    return []


def nothing(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with an empty body."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return []


def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer that nothing lives at this path."""
    start_response("404 Not Found", [("Content-Type", "text/plain")])
    return [b"nothing here\n"]


PAGES: dict[str, Callable[[WSGIEnvironment, StartResponse], Iterable[bytes]]] = {
    "/": hello,
    "/environ": show_environ,
    "/digest": digest,
    "/echo": echo,
    "/pieces": pieces,
    "/stream": stream,
    "/release": release,
    "/not-modified": not_modified,
    "/nothing": nothing,
}

validated = validator(application)


def make_show_environ(global_config: dict[str, str], **settings: str) -> object:
    """Return the page that shows the environ, as an application for any path (PasteDeploy calls this)."""
    return show_environ
