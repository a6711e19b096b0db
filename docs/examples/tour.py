"""A tour of WSGI in one file: what a request looks like, and four ways to answer it.

    waitress-serve --listen=127.0.0.1:8080 tour:application

PEP 3333 is the contract: the application is called once for each request with the `environ`, announces status and
headers by `start_response`, and gives its body back as an iterable of bytes.
"""

from __future__ import annotations

import hashlib
import html
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

READ_BYTES = 64 * 1024

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<title>A tour of WSGI</title>
<style>
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem }}
  th {{ text-align: left; font-weight: normal; padding-right: 2rem; white-space: nowrap; vertical-align: top }}
  td {{ font-family: ui-monospace, monospace; overflow-wrap: anywhere }}
</style>
<h1>A tour of WSGI</h1>
<ul>
  <li><a href="{root}/stream">/stream</a>: a body made piece by piece, while the client reads it</li>
  <li><a href="{root}/file">/file</a>: a file that the server sends by itself (this application's source)</li>
</ul>
<form>
  <input type="file" name="file" required> <button>Upload</button> <output></output>
</form>
<script>
  document.forms[0].onsubmit = event => {{
    event.preventDefault();
    const form = event.target;
    fetch("{root}/upload", {{method: "PUT", body: form.file.files[0]}})
      .then(response => response.text()).then(text => form.querySelector("output").value = text);
  }};
</script>
<h2>The environ of this request</h2>
<table>
{rows}
</table>
"""


def application(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Find the page for the method and path of the request."""
    method = environ["REQUEST_METHOD"]
    allowed, page = ROUTES.get(environ["PATH_INFO"] or "/", ("GET, HEAD", not_found))
    if method not in allowed.split(", "):
        start_response("405 Method Not Allowed", [("Allow", allowed), ("Content-Type", "text/plain; charset=utf-8")])
        return [f"{method} is not for this page; there is {allowed}.\n".encode()]
    return page(environ, start_response)


def show_environ(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """One page: the whole environ, escaped, for everything in it may come from the client."""
    # repr: its strings are bytes decoded as latin-1 (PEP 3333), so this shows just what the client sent.
    rows = "\n".join(
        f"<tr><th>{html.escape(name)}<td>{html.escape(repr(value))}" for name, value in sorted(environ.items())
    )
    body = PAGE.format(rows=rows, root=html.escape(environ["SCRIPT_NAME"])).encode()
    start_response("200 OK", [("Content-Type", "text/html; charset=utf-8"), ("Content-Length", str(len(body)))])
    return [body]


def receive_upload(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Size and SHA-256 of the request body: `curl --upload-file FILE http://127.0.0.1:8080/upload`."""
    size, digest = int(environ.get("CONTENT_LENGTH") or 0), hashlib.sha256()
    remaining = size
    while remaining > 0:
        piece = environ["wsgi.input"].read(min(remaining, READ_BYTES))
        if not piece:  # some servers call the application before the whole body is there, and the client may leave
            break
        remaining -= len(piece)
        digest.update(piece)
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    return [f"{size - remaining} bytes, sha256 {digest.hexdigest()}\n".encode()]


def stream(environ: WSGIEnvironment, start_response: StartResponse) -> Iterator[bytes]:
    """Ten lines, four in a second: each is sent as soon as it is yielded."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8"), ("Cache-Control", "no-store")])
    for number in range(1, 11):
        yield f"line {number} of 10\n".encode()
        time.sleep(0.25)


def send_file(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """This file. The server sends it, knows its length and closes it."""
    start_response("200 OK", [("Content-Type", "text/plain; charset=utf-8")])
    file = open(__file__, "rb")  # noqa: SIM115  # the file wrapper closes it
    wrapped: Iterable[bytes] = environ["wsgi.file_wrapper"](file)
    return wrapped


def not_found(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
    """Nothing lives at this path."""
    start_response("404 Not Found", [("Content-Type", "text/plain; charset=utf-8")])
    return [b"There is no such page.\n"]


# Path to (methods allowed, page).
ROUTES: dict[str, tuple[str, Callable[..., Iterable[bytes]]]] = {
    "/": ("GET, HEAD", show_environ),
    "/upload": ("POST, PUT", receive_upload),
    "/stream": ("GET, HEAD", stream),
    "/file": ("GET, HEAD", send_file),
}
