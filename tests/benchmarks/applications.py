"""The applications that are measured; each server runs the same ones."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

HELLO = b"Hello, world!"
RECORDS = json.dumps([{"id": number, "name": f"record {number}", "tags": ["a", "b"]} for number in range(180)]).encode()


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """`/` answers 13 octets, `/json` about 10 KB."""
    body, kind = (RECORDS, "application/json") if environ["PATH_INFO"] == "/json" else (HELLO, "text/plain")
    start_response("200 OK", [("Content-Type", kind), ("Content-Length", str(len(body)))])
    return [body]


def serve() -> None:
    """Serve with whichever waitress this interpreter has, on the port that the environment names."""
    import waitress

    waitress.serve(application, listen=f"127.0.0.1:{os.environ['PORT']}", threads=4, connection_limit=1000, _quiet=True)


if __name__ == "__main__":
    serve()
