"""A program that gevent or eventlet has given greenlets for threads; it serves until SIGTERM.

python greenlets.py gevent|eventlet SETTINGS [late]

SETTINGS are those of `monkey.patch_all` or `monkey_patch`, as a literal of Python. With `late`, waitress is imported
before. The variable SERVED has more settings of the server, as a literal too.
"""

from __future__ import annotations

import ast
import logging
import os
import sys
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

kind, settings, *when = sys.argv[1:]

if when:
    import waitress
if kind == "gevent":
    from gevent import monkey

    monkey.patch_all(**ast.literal_eval(settings))
else:
    import eventlet

    eventlet.monkey_patch(**ast.literal_eval(settings))
if not when:
    import waitress

LARGE_BYTES = 3 * 1024 * 1024
SLEEP_SECONDS = 0.3


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Answer with the size of the body, after a sleep at /sleep, or by LARGE_BYTES."""
    path = environ["PATH_INFO"]
    if path == "/sleep":
        print("sleeping", file=sys.stderr, flush=True)
        time.sleep(SLEEP_SECONDS)
    body = bytes(LARGE_BYTES) if path == "/large" else str(len(environ["wsgi.input"].read())).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


if __name__ == "__main__":
    logging.getLogger("waitress").setLevel(logging.INFO)
    served = ast.literal_eval(os.environ.get("SERVED", "{}"))
    waitress.serve(application, listen="127.0.0.1:0", threads=9, **served)
    print("ended")
