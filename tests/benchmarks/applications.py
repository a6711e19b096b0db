"""The application that is measured; each server runs the same one."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HELLO = b"Hello, world!"
RECORDS = json.dumps([{"id": number, "name": f"record {number}", "tags": ["a", "b"]} for number in range(180)]).encode()
SLEEP_SECONDS = 0.02
SLEEPY = {"/1-in-20": 20, "/1-in-300": 300}

_requests = itertools.count(1)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`/` answers 13 octets, `/json` about 10 KB; one in so many of the paths of SLEEPY sleeps before it answers."""
    path = environ["PATH_INFO"]
    if path in SLEEPY and next(_requests) % SLEEPY[path] == 0:
        time.sleep(SLEEP_SECONDS)
    body, kind = (RECORDS, "application/json") if path == "/json" else (HELLO, "text/plain")
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]
