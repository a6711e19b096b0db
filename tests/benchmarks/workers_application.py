"""The application that workers are measured with: it computes for 2 ms, and holds 24 MiB."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

WORK_SECONDS = 0.002
HELD = [str(number) * 4 for number in range(330_000)]


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer `/` with 13 bytes, `/work` with the same after it has computed, `/pid` with the process id."""
    path, body = environ["PATH_INFO"], b"Hello, world!"
    if path == "/work":
        until = time.thread_time() + WORK_SECONDS
        while time.thread_time() < until:
            pass
    elif path == "/pid":
        body = str(os.getpid()).encode()
    start_response("200 OK", [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
    return [body]
