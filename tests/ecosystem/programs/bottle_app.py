"""A Bottle application that gives files: `waitress-serve --listen=127.0.0.1:0 bottle_app:application`.

FOLDER is where they are. It logs on `wsgi.errors` whether a body goes to the server as its file wrapper.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from bottle import Bottle, static_file

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment


def give(name: str) -> Any:
    """Return a file, or the range of it that is asked for."""
    return static_file(name, root=os.environ["FOLDER"], mimetype="application/octet-stream")


site = Bottle()
site.route("/files/<name>", callback=give)


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Call the site."""
    asked = f"{environ['PATH_INFO']}?{environ['QUERY_STRING']}"
    body: Iterable[bytes] = site(environ, start_response)
    kind = "a file wrapper" if isinstance(body, environ["wsgi.file_wrapper"]) else "an iterable"
    print(f"{asked} is answered by {kind}", file=environ["wsgi.errors"], flush=True)
    return body
