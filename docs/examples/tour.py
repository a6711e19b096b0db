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
<meta name="viewport" content="width=device-width">
<title>A tour of WSGI</title>
<style>
  :root {{ color-scheme: light dark; --line: #8884; --accent: light-dark(#1f7a4d, #3fae79) }}
  body {{ font: 16px/1.5 system-ui, sans-serif; max-width: 56rem; margin: 3rem auto; padding: 0 1rem }}
  h1 {{ margin: 0 }} h2 {{ font-size: 1.1rem; margin: 0 0 .5rem }}
  section {{ border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0 }}
  .three {{ display: grid; gap: 1rem; grid-template-columns: repeat(auto-fit, minmax(15rem, 1fr)); margin: 1.5rem 0 }}
  .three section {{ margin: 0 }}
  button, .button {{ font: inherit; color: #fff; background: #1f7a4d; border: 0; border-radius: .3rem;
    padding: .3rem .8rem; text-decoration: none; cursor: pointer }}
  output {{ display: block; white-space: pre-wrap; overflow-wrap: anywhere; min-height: 3em; padding-top: .5rem }}
  output, td, code {{ font-family: ui-monospace, monospace; font-size: .85rem }}
  input {{ max-width: 100%; margin-bottom: .5rem }}
  table {{ border-collapse: collapse; width: 100% }}
  th {{ text-align: left; font-weight: normal; padding-right: 1rem; vertical-align: top; color: var(--accent) }}
  td {{ overflow-wrap: anywhere }} tr {{ border-top: 1px solid var(--line) }}
  @media (max-width: 40rem) {{ th, td {{ display: block }} }}
</style>
<h1>It works</h1>
<p>This page comes from a WSGI application of one file, <code>tour.py</code>, served by <b>{server}</b>.
<div class="three">
  <section>
    <h2>Stream</h2>
    <p>Ten lines, each sent as soon as the application yields it.
    <p><button id="start">Start</button>
    <output id="lines"></output>
  </section>
  <section>
    <h2>Upload</h2>
    <p>Shows the size of a file, and its SHA-256.
    <form id="upload"><input type="file" name="file" required> <button>Upload</button> <output></output></form>
  </section>
  <section>
    <h2>File</h2>
    <p>The source of this application, sent by the server from the file.
    <p><a class="button" href="{root}/file">Show</a>
  </section>
</div>
<section>
  <h2>What the application gets: the environ of this request</h2>
  <table>
{rows}
  </table>
</section>
<script>
  const upload = document.getElementById("upload"), lines = document.getElementById("lines");
  upload.onsubmit = async event => {{
    event.preventDefault();
    const answer = await fetch("{root}/upload", {{method: "PUT", body: upload.file.files[0]}});
    upload.querySelector("output").value = await answer.text();
  }};
  document.getElementById("start").onclick = async () => {{
    lines.value = "";
    const reader = (await fetch("{root}/stream")).body.pipeThrough(new TextDecoderStream()).getReader();
    for (let piece; !(piece = await reader.read()).done;) lines.value += piece.value;
  }};
</script>
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
    server = html.escape(environ.get("SERVER_SOFTWARE") or "a WSGI server")
    body = PAGE.format(rows=rows, root=html.escape(environ["SCRIPT_NAME"]), server=server).encode()
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
