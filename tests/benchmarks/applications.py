"""The application that is measured; each server runs the same one."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Iterator
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HELLO = b"Hello, world!"
RECORDS = json.dumps([{"id": number, "name": f"record {number}", "tags": ["a", "b"]} for number in range(180)]).encode()
SLEEP_SECONDS = 0.02
WORK_SECONDS = 0.001
SLEEPY = {"/1-in-20": 20, "/1-in-300": 300}

PIECE_BYTES = 64 * 1024
LARGE_BYTES = 200_000_000
LARGE_FILE = Path(__file__).resolve().parents[2] / ".venvs" / "large"  # made by `measures.make_large_file`

_requests = itertools.count(1)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer by the path.

    `/` has 13 bytes, `/json` about 10 KB, `/bytes/N` N bytes. `/work` keeps a processor busy before the response. One
    of N requests to a path of SLEEPY sleeps. `/generator` and `/file` are large downloads. The response to a POST is
    the length of its body.
    """
    path = environ["PATH_INFO"]
    kind, body = "text/plain", HELLO
    if environ["REQUEST_METHOD"] == "POST":
        body = str(sum(map(len, pieces_of(environ["wsgi.input"])))).encode()
    elif path == "/json":
        kind, body = "application/json", RECORDS
    elif path == "/work":
        work(WORK_SECONDS)
    elif path in SLEEPY:
        if next(_requests) % SLEEPY[path] == 0:
            time.sleep(SLEEP_SECONDS)
    elif path.startswith("/bytes/"):
        body = data_of(int(path.rpartition("/")[2]))
    elif path in ("/generator", "/file"):
        start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(LARGE_BYTES))])
        return large_body() if path == "/generator" else wrapped_file(environ)
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def work(seconds: float) -> None:
    """Keep a processor busy for this time, in Python."""
    until = time.thread_time() + seconds
    while time.thread_time() < until:
        pass


@lru_cache(maxsize=2)
def data_of(count: int) -> bytes:
    return b"x" * count


def pieces_of(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(PIECE_BYTES):
        yield piece


def large_body() -> Iterator[bytes]:
    for start in range(0, LARGE_BYTES, PIECE_BYTES):
        yield data_of(min(PIECE_BYTES, LARGE_BYTES - start))


def wrapped_file(environ: WSGIEnvironment) -> Iterable[bytes]:
    """Return the file in the file wrapper of the server, or in pieces if it has none."""
    file = LARGE_FILE.open("rb")
    if "wsgi.file_wrapper" in environ:
        wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file, PIECE_BYTES)
        return wrapped
    return pieces_of(file)
